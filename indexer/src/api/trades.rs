//! What changed hands: on the market, with the pool, from the primary sale.

use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::{Answer, Dec, Shared};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    series: Option<u16>,
    limit: Option<u16>,
}

#[derive(Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
struct Trade {
    block: Dec,
    log_index: Dec,
    timestamp: Dec,
    series: Option<Dec>,
    venue: String,
    /// The taker's side.
    side: String,
    maker: Option<String>,
    taker: Option<String>,
    base: String,
    quote: String,
    units: String,
    quote_amount: String,
    order_hash: Option<String>,
    txid: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Trades {
    trades: Vec<Trade>,
}

/// Newest first, at most 500.
pub(super) async fn list(State(app): Shared, Query(which): Query<Which>) -> Answer<Trades> {
    let mut snapshot = app.snapshot().await?;
    let trades = sqlx::query_as(
        "select * from trades where ?1 is null or series = ?1 order by block desc, log_index desc limit ?2",
    )
    .bind(which.series)
    .bind(which.limit.unwrap_or(100).min(500))
    .fetch_all(&mut *snapshot.db)
    .await?;
    snapshot.reply(Trades { trades })
}
