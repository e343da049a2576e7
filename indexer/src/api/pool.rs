//! The buyback pool of a series: its state and quotes from the contract, its history from the index.

use alloy::{
    contract::{CallBuilder, CallDecoder},
    primitives::U256,
    providers::Provider,
};
use axum::extract::{Path, State};
use evm::bindings::{
    IBuybackPool::IBuybackPoolInstance, IExitQueue::IExitQueueInstance,
    IFairValue::IFairValueInstance,
};
use serde::Serialize;
use sqlx::FromRow;

use super::{Answer, App, Dec, Problem, Shared, chain::at_block, series};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StateView {
    cash: String,
    inventory: String,
    inventory_max: String,
    pending_deposits: String,
    outflow_left: String,
    settled_epoch: Dec,
}

/// A quote, or the contract's reason for refusing one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Quote {
    quote: Option<String>,
    why: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ValueView {
    epoch: Dec,
    /// Sats per whole unit, rounded down; the exact value is `published` / 2^32.
    fair_value_sats: String,
    published: String,
    previous: String,
    raw: String,
    schedule: String,
    hardware: String,
    discounted: String,
    fresh: bool,
    bid_base: Quote,
    ask_base: Quote,
}

#[derive(Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    block: Dec,
    log_index: Dec,
    timestamp: Dec,
    kind: String,
    account: Option<String>,
    units: Option<String>,
    quote: Option<String>,
    shares: Option<String>,
    epoch: Option<Dec>,
    txid: String,
}

#[derive(Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ticket {
    ticket: String,
    owner: String,
    units: String,
    settled_units: String,
    quote: String,
    taken_back: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pool {
    series: Dec,
    state: StateView,
    /// For selling one whole unit to the pool now.
    bid: Quote,
    /// For buying one whole unit from the pool now.
    ask: Quote,
    /// Null before the first valuation.
    valuation: Option<ValueView>,
    queue_head: String,
    tickets: Vec<Ticket>,
    events: Vec<Event>,
}

pub(super) async fn pool(State(app): Shared, Path(id): Path<u16>) -> Answer<Pool> {
    let contracts = series::contracts(&app, id)?;
    let mut snapshot = app.snapshot().await?;
    let at = at_block(snapshot.tip.number);
    let pool = IBuybackPoolInstance::new(contracts.pool, &app.provider);
    let queue = IExitQueueInstance::new(contracts.queue, &app.provider);
    let one = U256::from(domain::UNIT);
    let state = pool.state().block(at).call().await.map_err(Problem::node)?;
    let head = queue.head().block(at).call().await.map_err(Problem::node)?;
    let bid = quoted(pool.quoteSell(one).block(at)).await?;
    let ask = quoted(pool.quoteBuy(one).block(at)).await?;
    let valuation = valuation(&app, id, snapshot.tip.number).await?;
    let tickets = sqlx::query_as(
        "select * from tickets where series = ? order by length(ticket) desc, ticket desc limit 100",
    )
    .bind(id)
    .fetch_all(&mut *snapshot.db)
    .await?;
    let events = sqlx::query_as(
        "select * from pool_events where series = ? order by block desc, log_index desc limit 50",
    )
    .bind(id)
    .fetch_all(&mut *snapshot.db)
    .await?;
    snapshot.reply(Pool {
        series: Dec(i64::from(id)),
        state: StateView {
            cash: state.cash.to_string(),
            inventory: state.inventory.to_string(),
            inventory_max: state.inventoryMax.to_string(),
            pending_deposits: state.pendingDeposits.to_string(),
            outflow_left: state.outflowLeft.to_string(),
            settled_epoch: Dec(i64::from(state.settledEpoch)),
        },
        bid,
        ask,
        valuation,
        queue_head: head.to_string(),
        tickets,
        events,
    })
}

async fn valuation(app: &App, id: u16, block: u64) -> Result<Option<ValueView>, Problem> {
    let at = at_block(block);
    let value = IFairValueInstance::new(app.deployment.fair_value, &app.provider);
    let Some(v) = answered(value.valuation(id).block(at)).await?.ok().filter(|v| v.epoch != 0)
    else {
        return Ok(None);
    };
    let fresh = answered(value.fresh(id).block(at)).await?.unwrap_or(false);
    Ok(Some(ValueView {
        epoch: Dec(i64::from(v.epoch)),
        fair_value_sats: (v.published >> 32).to_string(),
        published: v.published.to_string(),
        previous: v.previous.to_string(),
        raw: v.raw.to_string(),
        schedule: v.schedule.to_string(),
        hardware: v.hardware.to_string(),
        discounted: v.discounted.to_string(),
        fresh,
        bid_base: quoted(value.bidBase(id).block(at)).await?,
        ask_base: quoted(value.askBase(id).block(at)).await?,
    }))
}

async fn quoted<P: Provider, D: CallDecoder<CallOutput = U256>>(
    call: CallBuilder<P, D>,
) -> Result<Quote, Problem> {
    Ok(match answered(call).await? {
        Ok(quote) => Quote { quote: Some(quote.to_string()), why: None },
        Err(why) => Quote { quote: None, why: Some(why) },
    })
}

/// The contract's answer or, inside, its refusal in words; a node that does not answer is a problem.
async fn answered<P: Provider, D: CallDecoder>(
    call: CallBuilder<P, D>,
) -> Result<Result<D::CallOutput, String>, Problem> {
    match call.call().await {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) => match error.as_revert_data() {
            Some(data) => Ok(Err(evm::sender::explain(&data))),
            None => Err(Problem::node(error)),
        },
    }
}
