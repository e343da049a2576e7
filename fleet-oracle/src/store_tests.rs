//! Tests of the store.

use alloy::primitives::Address;

use super::*;
use crate::attribution::PoolPayout;
use domain::{Coin, Production, SeriesId, journal::Line};

fn wanted(n: u8) -> Signed {
    Signed { hash: B256::repeat_byte(n), request: format!("{{\"n\":{n}}}") }
}

#[tokio::test]
async fn one_digest_for_an_epoch_and_round_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("signer.sqlite");
    let store = Store::open(&path).await.unwrap();
    let bind =
        async |store: &Store, round, n| store.bind(EpochId(5), round, &wanted(n)).await.unwrap();
    assert_eq!(bind(&store, 0, 1).await, Some(wanted(1)));
    assert_eq!(bind(&store, 0, 1).await, Some(wanted(1)), "again: the same");
    assert_eq!(bind(&store, 0, 2).await, Some(wanted(1)));
    drop(store);
    let store = Store::open(&path).await.unwrap();
    assert_eq!(bind(&store, 0, 2).await, Some(wanted(1)), "after a restart too");
    assert_eq!(bind(&store, 2, 2).await, Some(wanted(2)), "another round");
    assert_eq!(bind(&store, 1, 3).await, None, "never a round that was left behind");
    assert_eq!(bind(&store, 0, 1).await, Some(wanted(1)), "what was signed stays so");
    assert_eq!(store.last_signed().await.unwrap(), Some((5, 2)));
}

#[tokio::test]
async fn two_digests_at_the_same_instant_bind_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("signer.sqlite")).await.unwrap();
    let all = futures::future::join_all((0..20).map(|n| {
        let store = store.clone();
        async move { store.bind(EpochId(1), 0, &wanted(n)).await.unwrap().unwrap().hash }
    }))
    .await;
    assert!(all.iter().all(|hash| *hash == all[0]));
}

#[tokio::test]
async fn an_observation_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("signer.sqlite")).await.unwrap();
    let made = |n: u8| SignedObservation { body: n.to_string(), signature: "00".into() };
    assert_eq!(store.keep_observation(EpochId(1), &made(1)).await.unwrap(), made(1));
    assert_eq!(store.keep_observation(EpochId(1), &made(2)).await.unwrap(), made(1));
}

fn work(epoch: u32, hashes: u128) -> Production {
    let (from, to) = (EpochId(epoch).start(), EpochId(epoch).end());
    let (venue, machine, series) = ("btc".into(), "m".into(), SeriesId(1));
    Production::Work {
        from,
        to,
        epoch: EpochId(epoch),
        venue,
        machine,
        series,
        shares: 1,
        hashes,
        rejected: 0,
        stale: 0,
    }
}

#[tokio::test]
async fn the_switching_journal_is_followed_and_a_changed_line_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("signer.sqlite")).await.unwrap();
    let mut head = domain::journal::Head::default();
    let lines: Vec<Line> = [work(3, 10), work(3, 5), work(4, 7)]
        .iter()
        .map(|record| {
            let line = head.append(record).unwrap();
            head.follow(&line).unwrap();
            line
        })
        .collect();
    store.take_lines(&lines[..2]).await.unwrap();
    let mut forged = lines[2].clone();
    forged.body = serde_json::value::to_raw_value(&work(4, 700)).unwrap();
    assert!(matches!(store.take_lines(&[forged]).await, Err(StoreError::Journal(_))));
    store.take_lines(&lines[2..]).await.unwrap();
    let work = store.work(EpochId(0), EpochId(9)).await.unwrap();
    let of = |epoch: u32| work[&(EpochId(epoch), "btc".to_owned(), SeriesId(1))];
    assert_eq!((of(3), of(4)), (15, 7));
    assert_eq!(store.journal_hash(EpochId(3)).await.unwrap(), lines[1].hash);
    assert_eq!(store.journal_hash(EpochId(9)).await.unwrap(), lines[2].hash);
    assert_eq!(store.journal_head().await.unwrap(), head);
}

#[tokio::test]
async fn blocks_that_were_taken_back_take_their_outputs_along() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("signer.sqlite")).await.unwrap();
    let block = |height: u64| {
        let output = crate::attribution::Output {
            txid: B256::repeat_byte(u8::try_from(height).unwrap()),
            vout: 0,
            sats: height,
        };
        (StoredBlock { height, hash: height.to_string(), time: height * 100 }, vec![output])
    };
    store.add_blocks(&[block(1), block(2), block(3)]).await.unwrap();
    assert_eq!(store.outputs(3, 300).await.unwrap().len(), 2, "the third is too late");
    assert_eq!(store.outputs(1, 999).await.unwrap().len(), 1, "the others are too fresh");
    store.rewind(Some(1)).await.unwrap();
    assert_eq!(store.block_at_most(99).await.unwrap().unwrap().height, 1);
    assert_eq!(store.outputs(99, 999).await.unwrap().len(), 1);
    let trade = crate::attribution::Trade { id: 4, time_ms: 1, coin: Coin::Bch, sold: 2, net: 3 };
    store.add_trades(std::slice::from_ref(&trade)).await.unwrap();
    store.add_trades(std::slice::from_ref(&trade)).await.unwrap();
    assert_eq!(store.trades(Coin::Bch).await.unwrap(), [trade]);
}

#[tokio::test]
async fn two_readings_at_once_count_work_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("signer.sqlite")).await.unwrap();
    let lines = [domain::journal::Head::default().append(&work(3, 10)).unwrap()];
    let all = futures::future::join_all((0..8).map(|_| store.take_lines(&lines))).await;
    assert_eq!(all.iter().filter(|taken| taken.is_ok()).count(), 1);
    let work = store.work(EpochId(0), EpochId(9)).await.unwrap();
    assert_eq!(work[&(EpochId(3), "btc".to_owned(), SeriesId(1))], 10);
}

#[tokio::test]
async fn a_withdrawal_that_the_venue_no_longer_lists_is_remembered() {
    use crate::attribution::{Withdrawal, WithdrawalStatus};
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("signer.sqlite")).await.unwrap();
    let one = |id: &str, status, txid| Withdrawal {
        id: id.into(),
        applied: "2026-01-01 00:00:00".into(),
        txid,
        gross: 10,
        fee: 1,
        status,
    };
    store.put_withdrawals(&[one("a", WithdrawalStatus::Open, None)]).await.unwrap();
    let sent = one("a", WithdrawalStatus::Sent, Some(B256::repeat_byte(1)));
    store.put_withdrawals(std::slice::from_ref(&sent)).await.unwrap();
    let failed = one("b", WithdrawalStatus::Failed, None);
    store.put_withdrawals(std::slice::from_ref(&failed)).await.unwrap();
    assert_eq!(store.withdrawals().await.unwrap(), [sent, failed]);
}

#[tokio::test]
async fn the_shares_of_a_proof_come_from_the_journal_and_a_proof_is_made_once() {
    use alloy::primitives::U256;
    use domain::ShareProof;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("signer.sqlite");
    let store = Store::open(&path).await.unwrap();
    let proof = ShareProof {
        version: 1,
        previous: B256::repeat_byte(2),
        time: 3,
        bits: 4,
        nonce: 5,
        coinbase: vec![6; 60].into(),
        tag_at: 45,
        branch: vec![B256::repeat_byte(7)],
    };
    let share = |epoch: u32, hash: u64| Production::Share {
        time: EpochId(epoch).start(),
        epoch: EpochId(epoch),
        venue: "btc".into(),
        machine: "m".into(),
        hash: B256::from(U256::from(hash)),
        proof: Box::new(proof.clone()),
    };
    let tagged = |epoch: u32, target: u64, tag: Option<[u8; 4]>| Production::Tagged {
        time: EpochId(epoch).start(),
        epoch: EpochId(epoch),
        venue: "btc".into(),
        tag: tag.map(Into::into),
        target: B256::from(U256::from(target)),
    };
    let tag = Some([1, 2, 3, 4]);
    let records =
        [tagged(5, 900, tag), tagged(5, 800, tag), tagged(5, 1, None), share(5, 30), share(5, 20)];
    let mut head = domain::journal::Head::default();
    let mut lines = |records: &[Production]| -> Vec<Line> {
        let line = |record| {
            let line = head.append(record).unwrap();
            head.follow(&line).unwrap();
            line
        };
        records.iter().map(line).collect()
    };
    store.take_lines(&lines(&records)).await.unwrap();
    let found = store.found(EpochId(5)).await.unwrap();
    let hashes: Vec<U256> = found.shares.iter().map(|(hash, _)| *hash).collect();
    assert_eq!(hashes, [20, 30].map(U256::from));
    assert_eq!(found.shares[0].1, proof);
    assert_eq!((found.bound, found.unprovable), (Some(U256::from(800)), vec!["btc".to_owned()]));

    let plan = |n: u64| crate::proofs::Plan {
        bound: U256::from(n),
        highest: U256::from(n),
        shares: vec![vec![9].into()],
    };
    store.keep_hash_proof(EpochId(5), &plan(1)).await.unwrap();
    drop(store);
    let store = Store::open(&path).await.unwrap();
    store.keep_hash_proof(EpochId(5), &plan(2)).await.unwrap();
    assert_eq!(store.hash_proof(EpochId(5)).await.unwrap(), Some(plan(1)), "after a restart too");

    store.take_lines(&lines(&[tagged(9, 900, tag)])).await.unwrap();
    assert_eq!(store.found(EpochId(5)).await.unwrap(), Default::default(), "too old to be proven");
}

#[tokio::test]
async fn what_a_pool_no_longer_lists_still_happened() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("signer.sqlite")).await.unwrap();
    let payout = |n: u8, vout, amount| PoolPayout {
        txid: B256::repeat_byte(n),
        vout,
        amount,
        time: n.into(),
        covers: vec![(3_600, amount)],
    };
    store.put_payouts("a", &[payout(1, None, 5), payout(2, Some(1), 6)]).await.unwrap();
    store.put_payouts("b", &[payout(1, None, 9)]).await.unwrap();
    store.put_payouts("a", &[payout(1, None, 7), payout(3, None, 8)]).await.unwrap();
    let expected = [payout(1, None, 7), payout(2, Some(1), 6), payout(3, None, 8)];
    assert_eq!(store.payouts("a").await.unwrap(), expected);
}

#[tokio::test]
async fn the_first_signature_seen_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("signer.sqlite")).await.unwrap();
    let seen =
        |n: u8| Seen { epoch: 5, round: 1, hash: B256::repeat_byte(n), signature: n.to_string() };
    let who = Address::repeat_byte(7);
    assert_eq!(store.see(who, &seen(1)).await.unwrap(), seen(1));
    assert_eq!(
        store.see(who, &seen(2)).await.unwrap(),
        seen(1),
        "the first, to show beside the second"
    );
    assert_eq!(store.seen(5).await.unwrap(), [seen(1)]);
}
