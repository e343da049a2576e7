//! No question that the books ask of a growing table reads it whole: a ledger of ten years answers like a new one. And what
//! is remembered beside the database never stands against it.

use bitcoin::{BlockHash, OutPoint, Txid, hashes::Hash};
use domain::EpochId;
use evm::bindings::IEpochLedger;
use sqlx::Row;

use crate::{
    database::{Database, open_sqlite},
    ledger::{books::RESOLUTION, check::SINGLES, moves::SINCE},
    state::{Intent, State},
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

/// A state is written over the one that it was left in, and one without its parts is damage and not absence.
#[tokio::test]
async fn a_database_that_has_lost_a_state_is_not_written_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("books.sqlite");
    let store = Store::open(&Database::Sqlite(path.clone())).await.unwrap();
    let intent = Intent::new(&IEpochLedger::Commitment::default(), vec![], 0);
    let (epoch, allocated) = (EpochId(5), State::Allocated(intent.clone()));
    store.put_state(epoch, &allocated).await.unwrap();
    let other = open_sqlite(&path).await.unwrap();
    let change = async |sql: &'static str| sqlx::query(sql).execute(&other).await.unwrap();
    change("UPDATE epochs SET state = 'snapshot'").await;
    let error = store.put_state(epoch, &State::Committed(intent.clone())).await.unwrap_err();
    assert!(error.to_string().contains("not as it was left"), "{error}");
    // what failed is forgotten: from here on the database alone is asked
    assert!(store.state(epoch).await.unwrap_err().to_string().contains("lacks its snapshot"));
    change("UPDATE epochs SET state = 'allocated'").await;
    assert_eq!(store.state(epoch).await.unwrap(), Some(allocated));
    change("DELETE FROM parts").await;
    assert!(store.state(epoch).await.unwrap_err().to_string().contains("lacks its intent"));
}
