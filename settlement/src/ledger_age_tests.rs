//! No question that the books ask of a growing table reads it whole: a ledger of ten years answers like a new one.

use bitcoin::{BlockHash, OutPoint, Txid, hashes::Hash};
use sqlx::Row;

use crate::{
    database::{Database, open_sqlite},
    ledger::{books::RESOLUTION, check::SINGLES, moves::SINCE},
    store::{BitcoinNews, Marked, Store},
};

/// A partial index serves only a query that repeats the index's condition: SQL cannot know that a parameter fulfils it.
#[tokio::test]
async fn the_books_ask_by_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("books.sqlite");
    drop(Store::open(&Database::Sqlite(path.clone())).await.unwrap());
    let pool = open_sqlite(&path).await.unwrap();
    for sql in [RESOLUTION, SINGLES, SINCE] {
        let asked = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let plan = sqlx::query(asked).bind(1_i64).fetch_all(&pool).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        assert!(steps.iter().any(|step| step.starts_with("SEARCH ")), "{sql}: {steps:?}");
        assert!(!steps.iter().any(|step| step.starts_with("SCAN ")), "{sql}: {steps:?}");
    }
}

/// What is remembered between blocks is not what blocks have changed.
#[tokio::test]
async fn a_block_replaces_what_was_answered_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Database::Sqlite(dir.path().join("books.sqlite"))).await.unwrap();
    let txid = |n: u8| Txid::from_byte_array([n; 32]);
    let (block, spends) = (BlockHash::from_byte_array([7; 32]), OutPoint::new(txid(9), 0));
    for _ in 0..2 {
        assert_eq!(store.seen(txid(1)).await.unwrap(), []);
        assert_eq!(store.rivals(spends, txid(2)).await.unwrap(), []);
    }
    let seen = Marked { txid: txid(1), block, height: 5, epoch: 3, batch: 0, spends };
    store.put_news(&BitcoinNews { marked: vec![seen], ..Default::default() }).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.seen(txid(1)).await.unwrap(), [(5, block)]);
        assert_eq!(store.rivals(spends, txid(2)).await.unwrap(), [(txid(1), block)]);
        assert_eq!(store.rivals(spends, txid(1)).await.unwrap(), []);
    }
}
