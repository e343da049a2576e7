-- Generation changes. `state`: open, cancelled or executed. Amounts in quote units.
create table upgrades (
    series bigint not null, nonce bigint not null, state text not null, funder text not null, vendor text not null,
    retired_root text not null, machine_root text not null, generation bigint not null, model text not null,
    machines bigint not null, hashrate text not null, millijoule_per_terahash bigint not null,
    service_date bigint not null, opex_per_unit text not null, price text not null, arrived text not null,
    carried text not null, evidence text not null, ready_at bigint not null,
    hashrate_per_unit_before text, hashrate_per_unit_after text, remainder text,
    block bigint not null, txid text not null,
    primary key (series, nonce)
);

-- Serials shown to be registered twice.
create table duplicate_serials (
    block bigint not null, log_index bigint not null, root_a text not null, root_b text not null,
    machine text not null, penalty text not null, txid text not null,
    primary key (block, log_index)
);

-- 1 while too few machines have hashed for 21 epochs.
alter table series add column unbacked bigint not null default 0;
