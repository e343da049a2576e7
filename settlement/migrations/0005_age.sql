-- An epoch costs the same whatever the age of the ledger: what is asked each round has an index of its own, and the
-- leaves of an epoch are one row.

CREATE INDEX epochs_open ON epochs (epoch) WHERE state NOT IN ('proven', 'closed');
CREATE INDEX marked_spends ON marked (spends);

-- Leaves of each epoch, account ascending: hex of the bytes that are hashed, one after the other.
CREATE TABLE packed_leaves (
    epoch BIGINT PRIMARY KEY,
    leaves TEXT NOT NULL
);
DROP TABLE leaves;

-- A database from before this is one that was lost: everything is read and computed again from both chains. Orders and
-- answers stay; spends that a person accepted have to be accepted again.
DELETE FROM epochs;
DELETE FROM baton;
DELETE FROM wallet_changes;
DELETE FROM marked;
DELETE FROM genesis;
DELETE FROM transfers;
DELETE FROM coins;
DELETE FROM outflows;
DELETE FROM figures;
UPDATE accounts SET debits = 0, credits = 0, debits_pending = 0, credits_pending = 0;
