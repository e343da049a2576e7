//! Blocks applied and taken back leave exactly what a fresh index holds; balance-seconds by the contract's own rule.

#[path = "court_tests.rs"]
mod court_tests;

use alloy::{
    primitives::{Address, B256, LogData, U256},
    rpc::types::Log,
    sol_types::SolEvent,
};
use domain::{EPOCH_SECONDS, EpochId, SeriesId};
use evm::{BlockRef, Deployment, SeriesContracts, bindings::ITwabToken::Transfer};
use proptest::prelude::*;
use sqlx::AssertSqlSafe;

use super::apply::apply;
use crate::{
    derive::{Inputs, Sources},
    store::{Store, table::DERIVED},
};

const UNIT: Address = Address::repeat_byte(0x11);
/// Balances of four accounts move in random steps; account 0 is the mint.
const ACCOUNTS: u8 = 4;

fn deployment() -> Deployment {
    let other = Address::repeat_byte;
    Deployment {
        chain_id: 31_337,
        block: 1,
        first_epoch: EpochId(0),
        access_manager: other(0xa0),
        quote: other(0xa1),
        series_registry: other(0xa2),
        primary_sale: other(0xa3),
        position_market: other(0xa4),
        fair_value: other(0xa5),
        fleet_oracle: other(0xa6),
        payout_registry: other(0xa7),
        epoch_ledger: other(0xa8),
        bitcoin_relay: other(0xa9),
        ledger_court: other(0xaa),
        credit_rule: other(0xab),
        series_upgrader: other(0xac),
        registrar_bond: other(0xad),
        hash_proof: other(0xae),
        repositioner: other(0xaf),
        series: vec![SeriesContracts {
            id: SeriesId(1),
            unit: UNIT,
            pool: other(0xb1),
            lp_share: other(0xb2),
            queue: other(0xb3),
            claim_token: other(0xb4),
        }],
    }
}

/// A step: from, to, amount.
type Step = (u8, u8, u64);

struct World {
    store: Store,
    sources: Sources,
    tip: BlockRef,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("i.sqlite")).await.unwrap();
        let tip =
            BlockRef { number: 0, hash: B256::ZERO, parent: B256::ZERO, timestamp: 1_000_000 };
        Self { store, sources: Sources::new(&deployment()), tip, _dir: dir }
    }

    async fn block(&mut self, seconds: u64, fork: u8, steps: &[Step]) {
        let number = self.tip.number + 1;
        let mut hash = B256::with_last_byte(fork);
        hash[..8].copy_from_slice(&number.to_be_bytes());
        let timestamp = self.tip.timestamp + seconds;
        let block = BlockRef { number, hash, parent: self.tip.hash, timestamp };
        let logs: Vec<Log> = (0_u64..).zip(steps).map(|(index, step)| log(index, *step)).collect();
        apply(&self.store, &self.sources, block, &logs, &Inputs::new()).await.unwrap();
        self.tip = block;
    }

    async fn unwind(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.store.unwind_tip(self.tip.number).await.unwrap();
            self.tip = self.store.tip().await.unwrap().unwrap_or(BlockRef {
                number: 0,
                hash: B256::ZERO,
                parent: B256::ZERO,
                timestamp: 1_000_000,
            });
        }
    }

    /// Every row of every derived table, and of the raw ones.
    async fn dump(&self) -> Vec<String> {
        let mut rows = Vec::new();
        let mut read = self.store.read().await.unwrap();
        for table in DERIVED {
            let sql =
                format!("select json_object({}) from {} order by 1", table.as_json(), table.name);
            let found: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut *read).await.unwrap();
            rows.extend(found.into_iter().map(|row| format!("{} {row}", table.name)));
        }
        for sql in [
            "select json_array(number, hash, parent, timestamp) from blocks order by number",
            "select json_array(block, log_index, data) from logs order by block, log_index",
            "select json_array(block, seq, tbl, key, old) from undo order by block, seq",
        ] {
            rows.extend(sqlx::query_scalar::<_, String>(sql).fetch_all(&mut *read).await.unwrap());
        }
        rows
    }

    async fn held(&self, account: u8, epoch: u32) -> U256 {
        let mut read = self.store.read().await.unwrap();
        let (token, account) = (format!("{UNIT:#x}"), format!("{:#x}", address(account)));
        let epoch = EpochId(epoch);
        let now = self.tip.timestamp;
        crate::api::held_in(&mut read, &token, &account, epoch, now).await.unwrap()
    }
}

fn address(account: u8) -> Address {
    if account == 0 { Address::ZERO } else { Address::repeat_byte(account) }
}

fn log(index: u64, (from, to, amount): Step) -> Log {
    let event = Transfer { from: address(from), to: address(to), amount: U256::from(amount) };
    let data: LogData = event.encode_log_data();
    Log {
        inner: alloy::primitives::Log { address: UNIT, data },
        log_index: Some(index),
        transaction_hash: Some(B256::with_last_byte(7)),
        ..Log::default()
    }
}

/// Turns random steps into ones that no balance forbids.
fn possible(blocks: &[(u64, Vec<Step>)], balances: &mut [u64]) -> Vec<(u64, Vec<Step>)> {
    let possible_step = |(from, to, amount): Step, balances: &mut [u64]| {
        let (f, t) = (usize::from(from), usize::from(to));
        let amount = if from == 0 { amount } else { amount.min(balances[f]) };
        if from != 0 {
            balances[f] -= amount;
        }
        if to != 0 {
            balances[t] += amount;
        }
        (from, to, amount)
    };
    let of_block = |steps: &Vec<Step>, balances: &mut [u64]| -> Vec<Step> {
        steps
            .iter()
            .filter(|(f, t, _)| (*f, *t) != (0, 0))
            .map(|s| possible_step(*s, balances))
            .collect()
    };
    blocks.iter().map(|(seconds, steps)| (*seconds, of_block(steps, balances))).collect()
}

fn blocks() -> impl Strategy<Value = Vec<(u64, Vec<Step>)>> {
    let step = (0..ACCOUNTS, 0..ACCOUNTS, 0..1_000_u64);
    let seconds = prop_oneof![
        Just(0),
        1..900_u64,
        Just(EPOCH_SECONDS),
        40 * EPOCH_SECONDS..50 * EPOCH_SECONDS
    ];
    prop::collection::vec((seconds, prop::collection::vec(step, 0..6)), 1..8)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_reorg_leaves_what_a_fresh_index_holds(common in blocks(), old in blocks(), new in blocks()) {
        run(async {
            let mut start = vec![0; usize::from(ACCOUNTS)];
            let common = possible(&common, &mut start);
            let old = possible(&old, &mut start.clone());
            let new = possible(&new, &mut start.clone());
            let (mut reorged, mut fresh) = (World::new().await, World::new().await);
            for (seconds, steps) in &common {
                reorged.block(*seconds, 0, steps).await;
                fresh.block(*seconds, 0, steps).await;
            }
            let before = reorged.dump().await;
            for (seconds, steps) in &old {
                reorged.block(*seconds, 1, steps).await;
            }
            reorged.unwind(old.len()).await;
            assert_eq!(reorged.dump().await, before);
            for (seconds, steps) in &new {
                reorged.block(*seconds, 2, steps).await;
                fresh.block(*seconds, 2, steps).await;
            }
            assert_eq!(reorged.dump().await, fresh.dump().await);
            reorged.unwind(common.len() + new.len()).await;
            assert!(reorged.dump().await.is_empty());
        });
    }

    /// Balance-seconds against the definition: the balance after each block, times the seconds until the next.
    #[test]
    fn balance_seconds_follow_the_end_of_block_rule(blocks in blocks()) {
        run(async {
            let blocks = possible(&blocks, &mut vec![0; usize::from(ACCOUNTS)]);
            let mut world = World::new().await;
            let mut balances = vec![0_u64; usize::from(ACCOUNTS)];
            let mut supply = 0_u64;
            let mut spans: Vec<(u64, Vec<u64>)> = Vec::new();
            for (seconds, steps) in &blocks {
                world.block(*seconds, 0, steps).await;
                for (from, to, amount) in steps {
                    if *from == 0 { supply += amount } else { balances[usize::from(*from)] -= amount }
                    if *to == 0 { supply -= amount } else { balances[usize::from(*to)] += amount }
                }
                balances[0] = supply;
                spans.push((world.tip.timestamp, balances.clone()));
            }
            let now = world.tip.timestamp;
            let first = EpochId::at(spans[0].0).0;
            for epoch in (first..=EpochId::at(now).0).rev().take(60) {
                for account in 0..ACCOUNTS {
                    let (start, end) = (EpochId(epoch).start(), EpochId(epoch).end().min(now));
                    let mut expected = U256::ZERO;
                    for (index, (since, balances)) in spans.iter().enumerate() {
                        let until = spans.get(index + 1).map_or(now, |next| next.0);
                        let seconds = until.min(end).saturating_sub((*since).max(start));
                        expected += U256::from(balances[usize::from(account)]) * U256::from(seconds);
                    }
                    assert_eq!(world.held(account, epoch).await, expected, "account {account} epoch {epoch}");
                }
            }
        });
    }
}

#[test]
fn a_transfer_of_more_than_was_held_stores_nothing() {
    run(async {
        let mut world = World::new().await;
        world.block(1, 0, &[(0, 1, 5)]).await;
        let before = world.dump().await;
        let block = BlockRef {
            number: 2,
            hash: B256::with_last_byte(9),
            parent: world.tip.hash,
            timestamp: world.tip.timestamp + 1,
        };
        let logs = [log(0, (1, 2, 3)), log(1, (1, 2, 3))];
        let error =
            apply(&world.store, &world.sources, block, &logs, &Inputs::new()).await.unwrap_err();
        assert!(error.to_string().contains("a log is missing"), "{error}");
        assert_eq!(world.dump().await, before);
    });
}

#[test]
fn a_database_belongs_to_one_deployment() {
    run(async {
        let world = World::new().await;
        world.store.belongs_to("a").await.unwrap();
        world.store.belongs_to("a").await.unwrap();
        let error = world.store.belongs_to("b").await.unwrap_err().to_string();
        assert!(error.contains("another deployment"), "{error}");
    });
}
