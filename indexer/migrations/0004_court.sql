-- What the court said of the payout ledger, and orders that makers posted on chain. Derived: a reorg takes them back.

create table court_faults (
    block bigint not null, log_index bigint not null, timestamp bigint not null, fault text not null,
    epoch bigint not null, account text not null, challenger text not null, txid text not null,
    primary key (block, log_index)
);
-- Series 0 is `paid`, in sats; any other its accumulator, in 2^-64 sat. `change` is signed decimal.
create table court_corrections (
    block bigint not null, log_index bigint not null, timestamp bigint not null, epoch bigint not null,
    account text not null, series bigint not null, change text not null, txid text not null,
    primary key (block, log_index)
);
create table court_penalties (
    block bigint not null, log_index bigint not null, timestamp bigint not null, pool text not null,
    amount text not null, to_challenger text not null, txid text not null,
    primary key (block, log_index)
);
-- `state` is `waiting`, `answered` or `silent`.
create table court_demands (
    account text not null, epoch bigint not null, asked_by text not null, asked_at bigint not null,
    state text not null, changed_at bigint not null, txid text not null,
    primary key (account, epoch)
);
-- One row. `leaving` is announced to be withdrawn from `leaving_from` on.
create table court_bond (
    name text primary key, held text not null, leaving text not null, leaving_from text not null
);

create table posted_orders (
    hash text primary key, series bigint not null, maker text not null, taker text not null, base text not null,
    quote text not null, side bigint not null, base_amount text not null, quote_amount text not null,
    expiry bigint not null, group_id text not null, salt text not null, signature text not null,
    received_at bigint not null
);
create index posted_orders_series on posted_orders (series, side);
