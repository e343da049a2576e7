//! Signed orders: taken only when they could be filled as they stand; refused with a reason, and then nothing is stored.

pub(super) mod book;
mod form;
mod signature;

use alloy::primitives::{B256, U256};
use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
};
use evm::bindings::IPositionMarket::{IPositionMarketInstance, Order};
use serde::Serialize;

use super::{Answer, App, Dec, Problem, Reply, Shared};
use crate::store::writer::signed;
use form::Posted;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    hash: String,
    series: Dec,
    remaining: String,
}

/// Takes a signed order. The same order twice is the same order once.
pub(super) async fn post(
    State(app): Shared,
    posted: Result<Json<Posted>, JsonRejection>,
) -> Result<(StatusCode, Json<Reply<Stored>>), Problem> {
    let Json(posted) = posted.map_err(|error| {
        let fix =
            "send {\"order\": {...}, \"signature\": \"0x...\"} with integers as decimal strings";
        Problem::bad("malformed_order", error.body_text(), fix)
    })?;
    let (order, bytes) = posted.read()?;
    let snapshot = app.snapshot().await?;
    let series = form::series_of(&order, &app.deployment)?;
    form::not_expired(&order, snapshot.tip.timestamp)?;
    let hash = signature::order_hash(&order, &app.deployment);
    signature::check(&app, &order, hash, &bytes).await?;
    let remaining = remaining_on_chain(&app, &order).await?;
    store(&app, series, &order, hash, &bytes, snapshot.tip.timestamp).await?;
    let stored = Stored {
        hash: format!("{hash:#x}"),
        series: Dec(i64::from(series)),
        remaining: remaining.to_string(),
    };
    let reply: Answer<Stored> = snapshot.reply(stored);
    Ok((StatusCode::CREATED, reply?))
}

async fn remaining_on_chain(app: &App, order: &Order) -> Result<U256, Problem> {
    let market = IPositionMarketInstance::new(app.deployment.position_market, &app.provider);
    let epoch = market.makerEpoch(order.maker).call().await.map_err(Problem::node)?;
    if order.group >> 32 != u64::from(epoch) {
        let detail =
            format!("the maker's orders must name epoch {epoch} in the upper half of their group");
        let fix = "sign a new order with group = makerEpoch << 32 | your group number";
        return Err(Problem::bad("wrong_maker_epoch", detail, fix));
    }
    let state = market.orderState(order.clone()).call().await.map_err(Problem::node)?;
    if state.cancelled {
        let fix = "sign a new order, with a group that is not cancelled";
        return Err(Problem::bad("order_cancelled", "this order or its group was cancelled", fix));
    }
    let remaining = U256::from(order.baseAmount).saturating_sub(state.filled);
    if remaining.is_zero() {
        let fix = "sign a new order with another salt";
        return Err(Problem::bad("order_filled", "this order is already filled", fix));
    }
    Ok(remaining)
}

async fn store(
    app: &App,
    series: u16,
    order: &Order,
    hash: B256,
    signature: &[u8],
    now: u64,
) -> Result<(), Problem> {
    let mut write = app.store.write().await?;
    sqlx::query(
        "insert into orders (hash, series, maker, taker, base, quote, side, base_amount, quote_amount, expiry,
                             group_id, salt, signature, received_at)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (hash) do nothing",
    )
    .bind(format!("{hash:#x}"))
    .bind(series)
    .bind(format!("{:#x}", order.maker))
    .bind(format!("{:#x}", order.taker))
    .bind(format!("{:#x}", order.base))
    .bind(format!("{:#x}", order.quote))
    .bind(order.side)
    .bind(order.baseAmount.to_string())
    .bind(order.quoteAmount.to_string())
    .bind(signed(order.expiry.to()))
    .bind(order.group.to_string())
    .bind(order.salt.to_string())
    .bind(format!("0x{}", hex::encode(signature)))
    .bind(signed(now))
    .execute(&mut *write)
    .await?;
    Ok(write.commit().await?)
}
