-- Orders to pause or resume that two operators gave and that were carried out.
CREATE TABLE orders (
    number BIGINT PRIMARY KEY,
    action TEXT NOT NULL
);
