-- What this signer has signed: written before a signature leaves the process, never changed.
CREATE TABLE signed (
    epoch INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    txid TEXT NOT NULL,
    root TEXT NOT NULL,
    spends TEXT NOT NULL,
    PRIMARY KEY (epoch, batch, txid)
) STRICT, WITHOUT ROWID;

-- One root per epoch, for ever.
CREATE TABLE roots (
    epoch INTEGER PRIMARY KEY,
    root TEXT NOT NULL
) STRICT;
