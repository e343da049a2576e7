-- The double-entry ledger, in sats. Transfers are only ever inserted; accounts hold their sums.
CREATE TABLE accounts (
    name TEXT PRIMARY KEY,
    debits BIGINT NOT NULL,
    credits BIGINT NOT NULL,
    debits_pending BIGINT NOT NULL,
    credits_pending BIGINT NOT NULL
);
INSERT INTO accounts VALUES
    ('wallet', 0, 0, 0, 0), ('float', 0, 0, 0, 0), ('reserve', 0, 0, 0, 0), ('pots', 0, 0, 0, 0),
    ('payables', 0, 0, 0, 0), ('residue', 0, 0, 0, 0), ('paid', 0, 0, 0, 0), ('fees', 0, 0, 0, 0);

-- `id` is made from what the transfer is, so that a retry makes the same one. `phase`: single, pending, post, void or
-- reverse; the last three name the transfer they resolve, which only one may. `epoch` and `height` are -1 for none.
CREATE TABLE transfers (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    phase TEXT NOT NULL,
    target TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    batch BIGINT NOT NULL,
    debit TEXT NOT NULL REFERENCES accounts (name),
    credit TEXT NOT NULL REFERENCES accounts (name),
    sats BIGINT NOT NULL CHECK (sats > 0),
    reference TEXT NOT NULL,
    height BIGINT NOT NULL
);
CREATE UNIQUE INDEX one_resolution ON transfers (target) WHERE target <> '';
CREATE INDEX transfers_by_epoch ON transfers (epoch, kind) WHERE epoch >= 0;
CREATE INDEX transfers_by_height ON transfers (height) WHERE height >= 0;

-- Outputs in the active chain that we can spend, and where they were spent (-1: nowhere).
CREATE TABLE coins (
    place TEXT PRIMARY KEY,
    sats BIGINT NOT NULL,
    keychain TEXT NOT NULL,
    born BIGINT NOT NULL,
    spent BIGINT NOT NULL
);
CREATE INDEX coins_unspent ON coins (place) WHERE spent = -1;
CREATE INDEX coins_by_birth ON coins (born);
CREATE INDEX coins_by_death ON coins (spent) WHERE spent >= 0;

-- Transactions in the active chain that spent coins of ours: what left, to others and to miners. `matched` once a payout of
-- ours, or a person, has accounted for it.
CREATE TABLE outflows (
    txid TEXT PRIMARY KEY,
    height BIGINT NOT NULL,
    paid BIGINT NOT NULL,
    fee BIGINT NOT NULL,
    matched BIGINT NOT NULL
);
CREATE INDEX outflows_open ON outflows (txid) WHERE matched = 0;

-- What an epoch's allocation comes to, sats. `opened` once its commit is final and the transfers are made, `posted` once
-- its payouts are confirmed.
CREATE TABLE figures (
    epoch BIGINT PRIMARY KEY,
    pots BIGINT NOT NULL,
    deductions BIGINT NOT NULL,
    corrections BIGINT NOT NULL,
    paid BIGINT NOT NULL,
    owed BIGINT NOT NULL,
    accounts BIGINT NOT NULL,
    opened BIGINT NOT NULL,
    posted BIGINT NOT NULL
);
CREATE INDEX figures_open ON figures (epoch) WHERE posted = 0;
CREATE INDEX fees_by_reference ON transfers (reference) WHERE kind = 'fee';
