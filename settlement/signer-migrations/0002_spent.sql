-- What each signed transaction takes out of the vault, and when it was first signed: what spending limits are held against.
CREATE TABLE spent (
    epoch INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    txid TEXT NOT NULL,
    sats INTEGER NOT NULL,
    signed_at INTEGER NOT NULL,
    PRIMARY KEY (epoch, batch, txid)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_by_time ON spent (signed_at);
