-- The transaction that makes the newest baton is the first of its epoch's plan: it is not written twice.
ALTER TABLE baton DROP COLUMN creator;
