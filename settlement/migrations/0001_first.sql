-- One writer: the settlement process that holds the file lock beside this database.

-- Where each epoch stands. `data` is the JSON of the state; it is written before the state's effect.
CREATE TABLE epochs (
    epoch INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;

-- Leaves of each epoch, account ascending.
CREATE TABLE leaves (
    epoch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    leaf TEXT NOT NULL,
    PRIMARY KEY (epoch, position)
) STRICT, WITHOUT ROWID;

-- The newest planned baton: one row, whatever the age of the ledger.
CREATE TABLE baton (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    coin TEXT NOT NULL,
    creator TEXT NOT NULL
) STRICT;

-- Changes of the treasury wallet, merged in order of id.
CREATE TABLE wallet_changes (
    id INTEGER PRIMARY KEY,
    change TEXT NOT NULL
) STRICT;

-- Transactions with a payout marker that were seen in a block (the block may have left the chain since).
CREATE TABLE marked (
    txid TEXT NOT NULL,
    block_hash TEXT NOT NULL,
    height INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    spends TEXT NOT NULL,
    PRIMARY KEY (txid, block_hash)
) STRICT, WITHOUT ROWID;

-- Transactions that pay to the first baton's script.
CREATE TABLE genesis (
    txid TEXT PRIMARY KEY,
    raw TEXT NOT NULL
) STRICT, WITHOUT ROWID;
