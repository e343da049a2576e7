-- An epoch costs the same whatever the age of the ledger: what is asked each round has an index of its own, and the
-- leaves of an epoch are one row.

CREATE INDEX epochs_open ON epochs (epoch) WHERE state NOT IN ('proven', 'closed');
CREATE INDEX epochs_all ON epochs (epoch);
CREATE INDEX marked_spends ON marked (spends);

-- Leaves of each epoch, account ascending, in the bytes that are hashed, one after the other.
CREATE TABLE packed_leaves (
    epoch INTEGER PRIMARY KEY,
    leaves BLOB NOT NULL
) STRICT;

DROP TABLE leaves;
