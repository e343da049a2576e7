//! The status server: what every epoch has become, read from the database. It changes nothing.

use std::sync::Arc;

use axum::{Json, Router, extract::State as Shared, http::StatusCode, routing::get};
use domain::EpochId;
use serde::Serialize;

use crate::{
    court::Bond,
    engine::{Engine, Watch},
    error::Error,
    ownership::Unproven,
    plan::Plan,
    state::State,
    store::Store,
};

/// One epoch, as answered by `GET /status`.
#[derive(Debug, Serialize)]
pub struct EpochStatus {
    /// The epoch.
    pub epoch: u32,
    /// Its state.
    pub state: &'static str,
    /// Sats paid in it.
    #[serde(with = "domain::decimal", skip_serializing_if = "is_zero")]
    pub total: u64,
    /// Accounts paid in it.
    pub payees: usize,
    /// Committed root; absent before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Transactions, the one that spends the baton first.
    pub txids: Vec<String>,
    /// The baton it leaves behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baton: Option<String>,
    /// Every variant, if its fee was raised or its baton has moved; the one in `txids` first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<VariantStatus>,
    /// What it waits for, as far as the running service has found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
}

/// A variant, as answered by `GET /status`.
#[derive(Debug, Serialize)]
pub struct VariantStatus {
    /// The transaction that spends the baton.
    pub txid: String,
    /// Sats of fee of all its transactions.
    #[serde(with = "domain::decimal")]
    pub fee: u64,
    /// Whether it was signed, and so may be mined.
    pub signed: bool,
}

/// What `GET /status` answers.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Newest planned baton, `txid:vout`.
    pub baton: Option<String>,
    /// Its sats.
    pub baton_sats: Option<String>,
    /// What went wrong in the last round, if anything did.
    pub trouble: Option<String>,
    /// The bond in quote units, when the service has looked at it.
    pub bond: Option<Bond>,
    /// Demands that wait for an answer.
    pub demands: Vec<DemandStatus>,
    /// Accounts that are paid much and have shown no key of their script; no payment waits for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unproven: Vec<Unproven>,
    /// Every epoch, ascending.
    pub epochs: Vec<EpochStatus>,
}

/// A demand of the court, as answered by `GET /status`.
#[derive(Debug, Serialize)]
pub struct DemandStatus {
    /// Whose leaves.
    pub account: String,
    /// At which epoch.
    pub epoch: u32,
    /// Last second in which an answer is taken, Unix seconds; 0 if it could not be read.
    #[serde(with = "domain::decimal")]
    pub until: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(sats: &u64) -> bool {
    *sats == 0
}

fn variants(state: &State) -> Vec<VariantStatus> {
    let Some(planned) = state.planned().filter(|planned| !planned.others.is_empty()) else {
        return Vec::new();
    };
    let status = |plan: &Plan, signed| VariantStatus {
        txid: plan.first_txid().map_or_else(String::new, |txid| txid.to_string()),
        fee: plan.fees(),
        signed,
    };
    let present = status(&planned.plan, !matches!(state, State::Planned(_)));
    let others = planned.others.iter().map(|other| status(&other.plan, !other.txs.is_empty()));
    std::iter::once(present).chain(others).collect()
}

fn describe(epoch: EpochId, state: &State) -> Result<EpochStatus, Error> {
    let batches = state.intent().map(|intent| intent.batches.as_slice()).unwrap_or_default();
    let root = state.intent().map(crate::state::Intent::commitment).transpose()?;
    let plan = state.plan();
    let txids = plan.iter().flat_map(|plan| &plan.txs).map(|tx| tx.tx.txid().to_string());
    Ok(EpochStatus {
        epoch: epoch.0,
        state: state.name(),
        total: batches.iter().fold(0, |sum, batch| batch.total.saturating_add(sum)),
        payees: batches.iter().map(|batch| batch.payments.len()).sum(),
        root: root.map(|commitment| commitment.root.hash.to_string()),
        txids: txids.collect(),
        baton: plan.map(|plan| plan.baton.outpoint.to_string()),
        variants: variants(state),
        waiting: None,
    })
}

/// Reads the status from a database.
///
/// # Errors
/// Those of the database.
pub async fn status(
    store: &Store,
    trouble: Option<String>,
    watch: &Watch,
) -> Result<Status, Error> {
    let baton = store.newest_baton().await?.map(|(_, coin)| coin);
    let states = store.states().await?;
    let epochs = states.iter().map(|(epoch, state)| describe(*epoch, state));
    Ok(Status {
        baton: baton.as_ref().map(|coin| coin.outpoint.to_string()),
        baton_sats: baton.map(|coin| coin.output.value.to_sat().to_string()),
        trouble,
        bond: watch.bond,
        demands: watch
            .waiting
            .iter()
            .map(|(account, epoch, until)| DemandStatus {
                account: account.to_string(),
                epoch: epoch.0,
                until: *until,
            })
            .collect(),
        unproven: Vec::new(),
        epochs: epochs.collect::<Result<_, _>>()?,
    })
}

/// The routes `/health`, `/status` and `/metrics`.
pub fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/status", get(full))
        .route("/metrics", get(gauges))
        .with_state(engine)
}

async fn health(Shared(engine): Shared<Arc<Engine>>) -> Json<serde_json::Value> {
    let trouble = engine.trouble().await;
    Json(serde_json::json!({ "ok": trouble.is_none(), "trouble": trouble }))
}

async fn gauges(Shared(engine): Shared<Arc<Engine>>) -> Result<String, (StatusCode, String)> {
    let text = crate::metrics::text(&engine).await;
    text.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

async fn full(Shared(engine): Shared<Arc<Engine>>) -> Result<Json<Status>, (StatusCode, String)> {
    let watch = engine.court().await;
    let fail = |error: Error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let status = status(&engine.store(), engine.trouble().await, &watch).await;
    let mut status = status.map_err(fail)?;
    status.unproven = engine.unproven().await.map_err(fail)?;
    let waits = engine.waits().await;
    for epoch in &mut status.epochs {
        epoch.waiting = waits.get(&EpochId(epoch.epoch)).cloned();
    }
    Ok(Json(status))
}
