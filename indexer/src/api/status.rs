//! Where the index stands, and what it is an index of.

use axum::{Json, extract::State};
use domain::{EPOCH_SECONDS, EpochId};
use evm::Deployment;
use serde::Serialize;

use super::{Answer, Dec, Shared};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    ready: bool,
    chain_id: Dec,
    /// Newest block of the node.
    head: Option<Dec>,
    finalized: Option<Dec>,
    /// Unix seconds of the indexed block: the time that epochs are made of.
    chain_time: Dec,
    epoch: Dec,
    epoch_start: Dec,
    epoch_end: Dec,
    epoch_seconds: Dec,
    bitcoin_network: String,
    blocks_removed: Dec,
}

pub(super) async fn status(State(app): Shared) -> Answer<Status> {
    let snapshot = app.snapshot().await?;
    let standing = app.progress.standing();
    let epoch = EpochId::at(snapshot.tip.timestamp);
    snapshot.reply(Status {
        ready: standing.ready,
        chain_id: app.deployment.chain_id.into(),
        head: standing.head.map(|block| block.number.into()),
        finalized: standing.finalized.map(|block| block.number.into()),
        chain_time: snapshot.tip.timestamp.into(),
        epoch: Dec(i64::from(epoch.0)),
        epoch_start: epoch.start().into(),
        epoch_end: epoch.end().into(),
        epoch_seconds: EPOCH_SECONDS.into(),
        bitcoin_network: app.network.to_string(),
        blocks_removed: standing.removed.into(),
    })
}

/// The deployment file as it is.
pub(super) async fn deployment(State(app): Shared) -> Json<Deployment> {
    Json(app.deployment.clone())
}
