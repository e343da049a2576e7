//! What the court says and what makers post, in random order: every row is taken back with its block.

use alloy::primitives::{I256, U256, aliases::U40, aliases::U96};
use evm::bindings::{
    ILedgerCourt::{
        Answered, Bonded, Claimed, Corrected, Demanded, Fault, Penalised, Upheld,
        WithdrawalAnnounced, Withdrawn,
    },
    IPositionMarket::{Order, OrderCancelled, OrderPosted},
};

use super::*;

const COURT: Address = Address::repeat_byte(0xaa);
const MARKET: Address = Address::repeat_byte(0xa4);

fn sources() -> Sources {
    Sources::new(&Deployment { ledger_court: COURT, position_market: MARKET, ..deployment() })
}

fn event(index: u64, address: Address, data: LogData) -> Log {
    Log {
        inner: alloy::primitives::Log { address, data },
        log_index: Some(index),
        transaction_hash: Some(B256::with_last_byte(7)),
        ..Log::default()
    }
}

fn order(salt: u8) -> Order {
    Order {
        maker: address(1),
        taker: Address::ZERO,
        base: UNIT,
        quote: deployment().quote,
        side: salt % 2,
        baseAmount: U96::from(9_u64),
        quoteAmount: 5,
        expiry: U40::from(u32::MAX),
        group: 3,
        salt: salt.into(),
    }
}

/// One of the court's or the market's events.
fn said(index: u64, (kind, who, amount): (u8, u8, u32)) -> Log {
    let (account, epoch) = (address(who), u32::from(who));
    let sum = U256::from(amount);
    let change = I256::try_from(i64::from(amount) - 500).unwrap();
    let faults = [Fault::WrongShare, Fault::Unpaid, Fault::Silence];
    let fault = faults[usize::from(who) % 3];
    let order_hash = B256::with_last_byte(who);
    let data = match kind {
        0 => Bonded { from: account, amount: sum }.encode_log_data(),
        1 => Penalised { pool: order_hash, amount: sum, toChallenger: sum }.encode_log_data(),
        2 => WithdrawalAnnounced { amount: sum, from: sum }.encode_log_data(),
        3 => Withdrawn { to: account, amount: sum }.encode_log_data(),
        4 => Demanded { account, epoch, by: address(2) }.encode_log_data(),
        5 => Answered { account, epoch }.encode_log_data(),
        6 => Upheld { fault, epoch, account, challenger: address(3) }.encode_log_data(),
        7 => Corrected { epoch, account, series: 1, change }.encode_log_data(),
        8 => Claimed { pool: order_hash, account, amount: sum }.encode_log_data(),
        9 => {
            let posted =
                OrderPosted { orderHash: order_hash, maker: address(1), order: order(who) };
            return event(index, MARKET, posted.encode_log_data());
        }
        _ => {
            let cancelled = OrderCancelled { orderHash: order_hash, maker: address(1) };
            return event(index, MARKET, cancelled.encode_log_data());
        }
    };
    event(index, COURT, data)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_reorg_takes_back_what_the_court_said_and_makers_posted(
        first in prop::collection::vec((0_u8..11, 0_u8..5, 0_u32..1_000), 0..12),
        second in prop::collection::vec((0_u8..11, 0_u8..5, 0_u32..1_000), 0..12),
    ) {
        run(async {
            let mut world = World::new().await;
            world.sources = sources();
            let mut dumps = vec![world.dump().await];
            for said_now in [&first, &second] {
                let logs: Vec<Log> = (0_u64..).zip(said_now).map(|(n, what)| said(n, *what)).collect();
                let number = world.tip.number + 1;
                let hash = B256::with_last_byte(u8::try_from(number).unwrap());
                let timestamp = world.tip.timestamp + 10;
                let block = BlockRef { number, hash, parent: world.tip.hash, timestamp };
                apply(&world.store, &world.sources, block, &logs, &Inputs::new()).await.unwrap();
                world.tip = block;
                dumps.push(world.dump().await);
            }
            for expected in dumps.iter().rev().skip(1) {
                world.unwind(1).await;
                assert_eq!(&world.dump().await, expected);
            }
        });
    }
}

#[test]
fn the_bond_adds_up_and_a_demand_ends() {
    run(async {
        let mut world = World::new().await;
        world.sources = sources();
        let logs: Vec<Log> = [
            (0, 1, 900),
            (1, 1, 300),
            (2, 1, 200),
            (4, 2, 0),
            (4, 3, 0),
            (5, 3, 0),
            (6, 2, 0),
            (9, 1, 0),
        ]
        .into_iter()
        .zip(0_u64..)
        .map(|(what, n)| said(n, what))
        .collect();
        let block =
            BlockRef { number: 1, hash: B256::with_last_byte(1), parent: B256::ZERO, timestamp: 9 };
        apply(&world.store, &world.sources, block, &logs, &Inputs::new()).await.unwrap();
        let mut read = world.store.read().await.unwrap();
        let bond: (String, String) = sqlx::query_as("select held, leaving from court_bond")
            .fetch_one(&mut *read)
            .await
            .unwrap();
        assert_eq!(bond, ("600".to_owned(), "200".to_owned()));
        let states: Vec<String> =
            sqlx::query_scalar("select state from court_demands order by epoch")
                .fetch_all(&mut *read)
                .await
                .unwrap();
        assert_eq!(states, ["silent", "answered"]);
        let posted: (i64, String) = sqlx::query_as("select series, signature from posted_orders")
            .fetch_one(&mut *read)
            .await
            .unwrap();
        assert_eq!(posted, (1, "0x".to_owned()));
    });
}
