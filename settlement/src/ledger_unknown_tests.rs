//! What settlement's books make of a payout in a block that no variant here explains.

use super::*;
use crate::store::Marked;

/// A variant that nobody here remembers is in a block: its epoch has to say first whether it is one, and nothing stops. A
/// spend of anything else that only names the epoch stops settlement.
#[tokio::test]
async fn an_unknown_variant_makes_others_wait_and_a_spend_of_other_coins_stops_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut story = Story::start(&Database::Sqlite(dir.path().join("books.sqlite"))).await;
    let (planned, coin) = story.plan(50_000, 40_000, 1_000).await;
    let (epoch, txs) = (EpochId(story.epoch), planned.plan.txs.clone());
    let moves = mined(&story.planned(40_000, 3_000, &coin));
    let marked = |spends| Marked {
        txid: moves.txid,
        block: BlockHash::from_byte_array(hash(900)),
        height: 101,
        epoch: epoch.0,
        batch: 0,
        spends,
    };
    for (spends, waits) in [(coin.outpoint, false), (moves.spends[0], true)] {
        let at = marked(spends);
        let dir = tempfile::tempdir().unwrap();
        let mut story = Story::start(&Database::Sqlite(dir.path().join("books.sqlite"))).await;
        story.plan(50_000, 40_000, 1_000).await;
        story.block(vec![moves.clone()], false).await;
        let news = BitcoinNews { marked: vec![at], ..BitcoinNews::default() };
        story.store.put_news(&news).await.unwrap();
        let error = story.store.check_books(epoch, &txs, Some(&ENDED)).await.unwrap_err();
        assert_eq!(matches!(&error, Error::Waiting { .. }), waits, "{error}");
        assert_eq!(matches!(&error, Error::Conservation { .. }), !waits, "{error}");
    }
}

/// The database was lost, and a node that answers late has not told of an epoch's commit yet: what pays it is in a block,
/// and nothing stops. A spend that names an epoch which nobody can have committed stops settlement.
#[tokio::test]
async fn the_payout_of_an_epoch_not_heard_of_makes_others_wait_unless_there_is_no_such_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let mut story = Story::start(&Database::Sqlite(dir.path().join("books.sqlite"))).await;
    let (planned, coin) = story.plan(50_000, 40_000, 1_000).await;
    let (epoch, txs) = (EpochId(story.epoch), planned.plan.txs.clone());
    let moves = mined(&story.planned(40_000, 3_000, &coin));
    let (before, newest) = (EpochId(ENDED.start.0 - 1), EpochId(ENDED.end.0 - 1));
    for (named, waits) in [(newest, true), (ENDED.end, false), (before, false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut story = Story::start(&Database::Sqlite(dir.path().join("books.sqlite"))).await;
        story.plan(50_000, 40_000, 1_000).await;
        story.block(vec![moves.clone()], false).await;
        let (block, spends) = (BlockHash::from_byte_array(hash(900)), moves.spends[0]);
        let at = Marked { txid: moves.txid, block, height: 101, epoch: named.0, batch: 0, spends };
        let news = BitcoinNews { marked: vec![at], ..BitcoinNews::default() };
        story.store.put_news(&news).await.unwrap();
        let error = story.store.check_books(epoch, &txs, Some(&ENDED)).await.unwrap_err();
        assert_eq!(matches!(&error, Error::Waiting { .. }), waits, "{named}: {error}");
        assert_eq!(matches!(&error, Error::Conservation { .. }), !waits, "{named}: {error}");
        let error = story.store.check_books(epoch, &txs, None).await.unwrap_err();
        assert!(matches!(&error, Error::Waiting { .. }), "{named}, the clock unknown: {error}");
    }
}

/// A theft stops settlement whatever else waits, and in whichever order they are found.
#[tokio::test]
async fn a_theft_is_told_of_though_another_spend_waits() {
    for last in [0_u8, 0xff] {
        let dir = tempfile::tempdir().unwrap();
        let mut story = Story::start(&Database::Sqlite(dir.path().join("books.sqlite"))).await;
        let (planned, coin) = story.plan(50_000, 40_000, 1_000).await;
        let (epoch, txs) = (EpochId(story.epoch), planned.plan.txs.clone());
        let moves = mined(&story.planned(40_000, 3_000, &coin));
        let (txid, left) = (Txid::from_byte_array([last; 32]), moves.born[0].coin.clone());
        let (paid, spends) = (left.output.value.to_sat(), vec![left.outpoint]);
        let stolen = TxMoves { txid, spends, born: vec![], paid, fee: 0, brought: 0 };
        let (block, spends) = (BlockHash::from_byte_array(hash(900)), moves.spends[0]);
        let at = Marked { txid: moves.txid, block, height: 101, epoch: 1_009, batch: 0, spends };
        story.block(vec![moves], false).await;
        let news = BitcoinNews { marked: vec![at], ..BitcoinNews::default() };
        story.store.put_news(&news).await.unwrap();
        let check = async |story: &Story| {
            story.store.check_books(epoch, &txs, Some(&ENDED)).await.unwrap_err()
        };
        let error = check(&story).await;
        assert!(matches!(&error, Error::Waiting { .. }), "{error}");
        story.block(vec![stolen], false).await;
        let error = check(&story).await;
        assert!(matches!(&error, Error::Conservation { .. }), "{error}");
        assert!(error.to_string().contains(&txid.to_string()), "{error}");
    }
}
