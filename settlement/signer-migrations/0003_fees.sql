-- What each signed transaction leaves to miners: what the limit on an epoch's fees is held against.
ALTER TABLE spent ADD COLUMN fee INTEGER NOT NULL DEFAULT 0;
