-- One schema for SQLite now and PostgreSQL later: integers that fit 63 bits are bigint, larger ones decimal text;
-- addresses and hashes are lower-case hex text with 0x; times are unix seconds of chain time.

-- What this database is an index of.
create table meta (name text primary key, value text not null);

-- Every applied block, for ever: a stored hash is how a reorg that happened while we were down is noticed.
create table blocks (
    number bigint primary key, hash text not null, parent text not null, timestamp bigint not null
);

-- Every log of ours as the node gave it.
create table logs (
    block bigint not null, log_index bigint not null, address text not null, topics text not null,
    data text not null, txid text not null,
    primary key (block, log_index)
);

-- The exact inverse of every derived write, in order. `old` null: the row was not there.
create table undo (
    block bigint not null, seq bigint not null, tbl text not null, key text not null, old text,
    primary key (block, seq)
);

create table series (
    id bigint primary key, unit text not null, algorithm bigint not null, generation bigint not null,
    hashrate_per_unit text not null, millijoule_per_terahash bigint not null, service_date bigint not null,
    opex_per_unit text not null, policy text not null, model text not null, name text not null, symbol text not null,
    backed_units text not null, machines bigint not null, last_machine_root text
);
create table machine_batches (
    series bigint not null, nonce bigint not null, machines bigint not null, units text not null,
    machine_root text not null, evidence text not null, block bigint not null, txid text not null,
    primary key (series, nonce)
);

-- Balances of units, LP shares and queue claims; the zero address holds the supply.
create table holders (
    token text not null, account text not null, balance text not null, since bigint not null,
    primary key (token, account)
);
create index holders_account on holders (account);
-- Cumulative balance-seconds at each second in which an account was touched, and the balance from then on.
create table checkpoints (
    token text not null, account text not null, timestamp bigint not null,
    cumulative text not null, balance text not null,
    primary key (token, account, timestamp)
);

-- Everything that changed hands for quote: venue is `market`, `pool` or `primary`; side is the taker's.
create table trades (
    block bigint not null, log_index bigint not null, timestamp bigint not null, series bigint, venue text not null,
    side text not null, maker text, taker text not null, base text not null, quote text not null,
    units text not null, quote_amount text not null, order_hash text, txid text not null,
    primary key (block, log_index)
);
create index trades_series on trades (series, block, log_index);
create table order_states (
    hash text primary key, maker text not null, filled text not null, cancelled bigint not null
);
create table cancelled_groups (
    maker text not null, group_id text not null, block bigint not null, primary key (maker, group_id)
);

-- Orders name their maker's epoch in the upper half of their group; those of an earlier epoch are dead.
create table maker_epochs (maker text primary key, epoch bigint not null, block bigint not null);

create table pool_events (
    block bigint not null, log_index bigint not null, timestamp bigint not null, series bigint not null,
    kind text not null, account text, units text, quote text, shares text, epoch bigint, txid text not null,
    primary key (block, log_index)
);
create index pool_events_series on pool_events (series, block, log_index);
create table pool_epochs (
    series bigint not null, epoch bigint not null, cash text not null, inventory text not null, shares text not null,
    primary key (series, epoch)
);
create table tickets (
    series bigint not null, ticket text not null, owner text not null, units text not null,
    settled_units text not null, quote text not null, taken_back text not null,
    primary key (series, ticket)
);
create table queue_claims (
    block bigint not null, log_index bigint not null, series bigint not null, owner text not null,
    recipient text not null, quote text not null, txid text not null,
    primary key (block, log_index)
);

-- `gap` 1: declared without a report; `by_quorum` 0: by anyone, a day late. `signers`: recovered from the posting transaction, JSON, null if posted indirectly.
create table reports (
    epoch bigint not null, round bigint not null, gap bigint not null, by_quorum bigint not null, hash text, prev_hash text,
    config_digest text,
    quote_per_btc text, quote_spread bigint, observed_at bigint, evidence_root text, signers text,
    block bigint not null, timestamp bigint not null, txid text not null,
    primary key (epoch, round)
);
create table report_receipts (
    epoch bigint not null, round bigint not null, position bigint not null, txid text not null, vout bigint not null,
    sats bigint not null,
    primary key (epoch, round, position)
);
create table report_series (
    epoch bigint not null, round bigint not null, series bigint not null, work text not null,
    live_hashrate text not null, hardware_price text not null, deductions bigint not null,
    primary key (epoch, round, series)
);
create table report_pieces (
    epoch bigint not null, round bigint not null, series bigint not null, work_epoch bigint not null,
    sats bigint not null,
    primary key (epoch, round, series, work_epoch)
);
create table signer_sets (
    block bigint not null, log_index bigint not null, signers text not null, quorum bigint not null,
    config_digest text not null,
    primary key (block, log_index)
);

-- `kind`: staked, unstaked, slashed (with the epoch and round of which the signer signed two reports).
create table stake_events (
    block bigint not null, log_index bigint not null, timestamp bigint not null, signer text not null,
    kind text not null, amount text not null, epoch bigint, round bigint, txid text not null,
    primary key (block, log_index)
);
-- Prices reported apart from production.
create table valuation_reports (
    epoch bigint primary key, round bigint not null, hash text not null, after_report text not null,
    quote_per_btc text not null, quote_spread bigint not null, observed_at bigint not null,
    block bigint not null, timestamp bigint not null, txid text not null
);

-- Sats per whole unit times 2^32.
create table valuations (
    series bigint not null, epoch bigint not null, schedule text not null, hardware text not null,
    discounted text not null, raw text not null, published text not null, previous text not null,
    quote_per_btc text not null, block bigint not null,
    primary key (series, epoch)
);
create table value_params (
    series bigint primary key, initial_value text not null, scrap_ppm bigint not null, decay_ppm bigint not null,
    discount_ppm bigint not null, life_epochs bigint not null
);

create table payout_scripts (
    account text not null, from_epoch bigint not null, script text not null, minimum bigint not null,
    block bigint not null, txid text not null,
    primary key (account, from_epoch)
);
create index payout_scripts_script on payout_scripts (script);

create table commitments (
    epoch bigint primary key, root_hash text not null, acc_sum text not null, paid_sum bigint not null,
    accounts bigint not null, min_pay bigint not null, fee_rate bigint not null, anchor_height bigint not null,
    anchor_hash text not null, deferred bigint not null, funding text not null, total bigint not null,
    block bigint not null, timestamp bigint not null, txid text not null
);
create table payout_batches (
    epoch bigint not null, batch bigint not null, outputs_hash text not null, total bigint not null,
    primary key (epoch, batch)
);
-- Bitcoin txids and block hashes are in display order here.
create table payout_proofs (
    epoch bigint not null, batch bigint not null, bitcoin_txid text not null, bitcoin_block text not null,
    block bigint not null, timestamp bigint not null, txid text not null,
    primary key (epoch, batch)
);
-- What the proven Bitcoin transaction pays, read from the proof itself.
create table payout_outputs (
    epoch bigint not null, batch bigint not null, vout bigint not null, script text not null, sats bigint not null,
    primary key (epoch, batch, vout)
);
create index payout_outputs_script on payout_outputs (script);
create table wrappers (
    series bigint not null, wrapper text not null, share_token text not null, first_loss text not null,
    block bigint not null,
    primary key (series, wrapper)
);
create table batons (
    block bigint not null, log_index bigint not null, bitcoin_txid text not null, vout bigint not null,
    primary key (block, log_index)
);

-- Signed orders given to us. Not derived from the chain, so a reorg leaves them; whether one can be filled is asked anew.
create table orders (
    hash text primary key, series bigint not null, maker text not null, taker text not null, base text not null,
    quote text not null, side bigint not null, base_amount text not null, quote_amount text not null,
    expiry bigint not null, group_id text not null, salt text not null, signature text not null,
    received_at bigint not null
);
create index orders_series on orders (series, side);
