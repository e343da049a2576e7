-- Demands of the court and what became of them. `calldata` is written before it is sent; the chain decides whether it
-- has arrived.
CREATE TABLE answers (
    account TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    asked_at BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('answering', 'answered', 'missed')),
    calldata TEXT NOT NULL,
    PRIMARY KEY (account, epoch, asked_at)
);
