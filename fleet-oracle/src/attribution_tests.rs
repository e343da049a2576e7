//! Tests of attribution.

use super::*;
use proptest::prelude::*;

const E: u64 = 28_800;

fn id(n: u64) -> B256 {
    B256::from(alloy::primitives::U256::from(n))
}

fn pool(name: &str, coin: Coin, to_exchange: bool, payouts: Vec<PoolPayout>) -> PoolStatement {
    PoolStatement { name: name.into(), coin, to_exchange, payouts }
}

fn payout(n: u64, covers: &[(u64, u64)]) -> PoolPayout {
    let amount = covers.iter().map(|(_, sats)| sats).sum();
    PoolPayout { txid: id(n), vout: None, amount, time: n, covers: covers.to_vec() }
}

fn trade(n: u64, sold: u64, net: u64) -> Trade {
    Trade { id: n, time_ms: n, coin: Coin::Bch, sold, net }
}

fn withdrawal(n: u64, gross: u64, fee: u64) -> Withdrawal {
    let status = WithdrawalStatus::Sent;
    Withdrawal {
        id: n.to_string(),
        applied: format!("{n:09}"),
        txid: Some(id(n)),
        gross,
        fee,
        status,
    }
}

fn output(n: u64, sats: u64) -> Output {
    Output { txid: id(n), vout: 1, sats }
}

fn pieces(receipt: &Receipt) -> Vec<(u32, u64)> {
    receipt.pieces.iter().map(|piece| (piece.epoch.0, piece.sats)).collect()
}

#[test]
fn a_pool_payout_goes_to_the_epochs_of_its_hours() {
    let pools =
        [pool("btc", Coin::Btc, false, vec![payout(1, &[(E - 3600, 10), (E, 20), (E + 3600, 5)])])];
    let (receipts, rest) = attribute(&[output(1, 35), output(2, 7)], &pools, &[], &[]);
    assert_eq!(pieces(&receipts[0]), [(0, 10), (1, 25)]);
    assert_eq!((receipts.len(), rest.len()), (1, 1));
    assert!(rest[0].why.contains("no pool payout"));
}

#[test]
fn a_payout_that_does_not_add_up_is_left_out() {
    let mut wrong = payout(1, &[(0, 10)]);
    wrong.amount = 11;
    let pools = [pool("btc", Coin::Btc, false, vec![wrong])];
    let (receipts, rest) =
        attribute(&[Output { txid: id(1), vout: 0, sats: 11 }], &pools, &[], &[]);
    assert!(receipts.is_empty() && rest[0].why.contains("covering 10"), "{rest:?}");
}

#[test]
fn withdrawals_follow_trades_and_trades_follow_earnings() {
    // 100 coins of epoch 0, 300 of epoch 1. The first trade sells 200 for 1,000; the second 200 for 3,000.
    let pools = [pool("bch", Coin::Bch, true, vec![payout(1, &[(0, 100), (E, 300)])])];
    let trades = [trade(1, 200, 1_000), trade(2, 200, 3_000)];
    let withdrawals = [withdrawal(10, 750, 50), withdrawal(11, 3_250, 50)];
    let (receipts, rest) =
        attribute(&[output(10, 700), output(11, 3_200)], &pools, &trades, &withdrawals);
    assert!(rest.is_empty(), "{rest:?}");
    // 750 of trade 1 = 150 coins = 100 of epoch 0 and 50 of epoch 1, so 500 and 250 before the fee.
    assert_eq!(pieces(&receipts[0]), [(0, 466), (1, 234)]);
    assert_eq!(pieces(&receipts[1]), [(1, 3_200)]);
}

#[test]
fn what_is_behind_an_open_withdrawal_or_beyond_the_books_waits() {
    let pools = [pool("bch", Coin::Bch, true, vec![payout(1, &[(0, 100)])])];
    let trades = [trade(1, 100, 1_000)];
    let mut first = withdrawal(10, 400, 0);
    first.status = WithdrawalStatus::Open;
    let second = withdrawal(11, 400, 0);
    let outputs = [output(11, 400)];
    let (receipts, rest) = attribute(&outputs, &pools, &trades, &[first.clone(), second.clone()]);
    assert!(receipts.is_empty() && rest[0].why.contains("still open"));
    first.status = WithdrawalStatus::Failed;
    let (receipts, _) = attribute(&outputs, &pools, &trades, &[first, second]);
    assert_eq!(receipts.len(), 1);
    let (_, rest) = attribute(&[output(12, 2_000)], &pools, &trades, &[withdrawal(12, 2_000, 0)]);
    assert!(rest[0].why.contains("than the trades brought"));
    let (_, rest) =
        attribute(&[output(13, 500)], &pools, &[trade(1, 101, 500)], &[withdrawal(13, 500, 0)]);
    assert!(rest[0].why.contains("more BCH was sold"), "{rest:?}");
}

#[test]
fn two_equal_withdrawals_in_one_transaction_have_an_origin_each() {
    let pools = [pool("bch", Coin::Bch, true, vec![payout(1, &[(0, 100), (E, 100)])])];
    let trades = [trade(1, 200, 1_000)];
    let mut second = withdrawal(10, 500, 0);
    second.id = "11".into();
    let outputs = [0, 1].map(|vout| Output { txid: id(10), vout, sats: 500 });
    let (receipts, rest) = attribute(&outputs, &pools, &trades, &[withdrawal(10, 500, 0), second]);
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(pieces(&receipts[0]), [(0, 500)]);
    assert_eq!(pieces(&receipts[1]), [(1, 500)]);
}

proptest! {
    #[test]
    fn every_receipt_is_split_exactly_and_later_events_change_nothing(
        hours in prop::collection::vec((0..20_u64, 1..5_000_u64), 1..30),
        prices in prop::collection::vec((1..2_000_u64, 1..90_000_u64), 1..20),
        takes in prop::collection::vec((600..30_000_u64, 0..500_u64), 1..20),
    ) {
        let covers: Vec<(u64, u64)> = hours.iter().map(|(hour, coins)| (hour * 3_600, *coins)).collect();
        let pools = [pool("bch", Coin::Bch, true, vec![payout(1, &covers)])];
        let trades: Vec<Trade> = (1..).zip(&prices).map(|(n, (sold, net))| trade(n, *sold, *net)).collect();
        let withdrawals: Vec<Withdrawal> =
            (100..).zip(&takes).map(|(n, (amount, fee))| withdrawal(n, *amount, *fee)).collect();
        let outputs: Vec<Output> =
            (100..).zip(&takes).map(|(n, (amount, fee))| output(n, amount - fee)).collect();
        let (receipts, rest) = attribute(&outputs, &pools, &trades, &withdrawals);
        prop_assert_eq!(receipts.len() + rest.len(), outputs.len());
        for receipt in &receipts {
            prop_assert_eq!(receipt.pieces.iter().map(|piece| piece.sats).sum::<u64>(), receipt.sats);
        }
        for cut in 0..withdrawals.len() {
            let (early, _) = attribute(&outputs[..cut], &pools, &trades, &withdrawals[..cut]);
            prop_assert!(early.iter().all(|receipt| receipts.contains(receipt)));
        }
    }
}
