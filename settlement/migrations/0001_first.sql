-- One writer: the settlement process that holds the lock of this database. One schema for SQLite and PostgreSQL:
-- integers are bigint, everything else is text.

-- Where each epoch stands. `data` is the JSON of the state; it is written before the state's effect.
CREATE TABLE epochs (
    epoch BIGINT PRIMARY KEY,
    state TEXT NOT NULL,
    data TEXT NOT NULL
);

-- Leaves of each epoch, account ascending.
CREATE TABLE leaves (
    epoch BIGINT NOT NULL,
    position BIGINT NOT NULL,
    leaf TEXT NOT NULL,
    PRIMARY KEY (epoch, position)
);

-- The newest planned baton: one row, whatever the age of the ledger.
CREATE TABLE baton (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    epoch BIGINT NOT NULL,
    coin TEXT NOT NULL,
    creator TEXT NOT NULL
);

-- Changes of the treasury wallet, merged in order of id.
CREATE TABLE wallet_changes (
    id BIGINT PRIMARY KEY,
    change TEXT NOT NULL
);

-- Transactions with a payout marker that were seen in a block (the block may have left the chain since).
CREATE TABLE marked (
    txid TEXT NOT NULL,
    block_hash TEXT NOT NULL,
    height BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    batch BIGINT NOT NULL,
    spends TEXT NOT NULL,
    PRIMARY KEY (txid, block_hash)
);

-- Transactions that pay to the first baton's script.
CREATE TABLE genesis (
    txid TEXT PRIMARY KEY,
    raw TEXT NOT NULL
);
