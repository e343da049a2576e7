//! The read-only HTTP API: health, status, and the journal.

use axum::{
    Json, Router,
    extract::{Query, State as Extract},
    routing::get,
};
use domain::{Coin, journal::Line};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::converter::{Shared, locked};

/// Most lines of one answer.
const MOST: usize = 10_000;

/// Routes. Integers are decimal strings; amounts are in 10^-8.
pub fn router(shared: Shared) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/status", get(status))
        .route("/journal", get(journal))
        .with_state(shared)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    from: usize,
    #[serde(default = "thousand")]
    limit: usize,
}

fn thousand() -> usize {
    1_000
}

async fn health(Extract(shared): Extract<Shared>) -> Json<Value> {
    Json(json!({ "status": "ok", "trouble": locked(&shared).trouble }))
}

async fn journal(Extract(shared): Extract<Shared>, Query(page): Query<Page>) -> Json<Vec<Line>> {
    Json(locked(&shared).journal.page(page.from, page.limit.min(MOST)))
}

async fn status(Extract(shared): Extract<Shared>) -> Json<Value> {
    let state = locked(&shared);
    let book = &state.book;
    let balances: Vec<Value> = state
        .balances
        .iter()
        .map(|(coin, balance)| {
            let expected = if *coin == Coin::Btc { book.expected_btc() } else { book.expected_coin(*coin) };
            let held = balance.free.saturating_add(balance.locked);
            let apart = expected.map(|sum| i128::from(held).saturating_sub(i128::from(sum)));
            json!({
                "coin": coin, "free": balance.free.to_string(), "locked": balance.locked.to_string(),
                "expected": expected.map(|sum| sum.to_string()),
                "unexplained": apart.map(|difference| difference.to_string()),
            })
        })
        .collect();
    let sold: Vec<Value> = book
        .sold
        .iter()
        .map(|(coin, amount)| json!({ "coin": coin, "amount": amount.to_string() }))
        .collect();
    let length = state.journal.head().len;
    let recent = usize::try_from(length.saturating_sub(10)).unwrap_or(usize::MAX);
    Json(json!({
        "balances": balances,
        "sold": sold,
        "grossSats": book.gross,
        "tradingFeeSats": book.trading_fees,
        "withdrawnSats": book.withdrawn,
        "withdrawalFeeSats": book.withdrawal_fees,
        "pending": book.pending.as_ref().map(|pending| format!("{pending:?}")),
        "journalLength": length.to_string(),
        "journalHead": state.journal.head().hash,
        "lastEvents": state.journal.page(recent, 10),
        "trouble": state.trouble,
    }))
}
