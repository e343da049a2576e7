//! HTTP between signers, and for operators. What matters carries its own signature, so reading needs no key.

use std::sync::{Arc, PoisonError};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use domain::EpochId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    batch::{Attestation, BatchFields},
    observation::{Observation, SignedObservation},
    request::LedRequest,
    signer::{Refusal, Signer},
    store::Seen,
    upgrade::UpgradeFields,
};

type Answer<T> = Result<Json<T>, (StatusCode, String)>;

/// Routes.
pub fn router(signer: Arc<Signer>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/status", get(status))
        .route("/observation", get(observation))
        .route("/seen", get(seen))
        .route("/gap", get(gap))
        .route("/sign", post(sign))
        .route("/attest", post(attest))
        .route("/attest-upgrade", post(attest_upgrade))
        .with_state(signer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfEpoch {
    epoch: EpochId,
}

fn refuse(refusal: Refusal) -> (StatusCode, String) {
    let status = match refusal {
        Refusal::Bad(_) => StatusCode::BAD_REQUEST,
        Refusal::NotNow(_) | Refusal::Bound(_) | Refusal::Disagrees(_) => StatusCode::CONFLICT,
        Refusal::Trouble(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, refusal.to_string())
}

async fn health(State(signer): State<Arc<Signer>>) -> Json<Value> {
    Json(json!({ "status": "ok", "signer": signer.address() }))
}

async fn observation(
    State(signer): State<Arc<Signer>>,
    Query(query): Query<OfEpoch>,
) -> Answer<SignedObservation> {
    signer.observe(query.epoch).await.map(Json).map_err(refuse)
}

/// Signatures that this signer saw, its own too: so that nobody signs two reports unnoticed.
async fn seen(
    State(signer): State<Arc<Signer>>,
    Query(query): Query<OfEpoch>,
) -> Answer<Vec<Seen>> {
    signer.store.seen(query.epoch.0).await.map(Json).map_err(|error| refuse(error.into()))
}

async fn gap(State(signer): State<Arc<Signer>>, Query(query): Query<OfEpoch>) -> Answer<String> {
    signer.sign_gap(query.epoch).await.map(Json).map_err(refuse)
}

async fn sign(State(signer): State<Arc<Signer>>, Json(led): Json<LedRequest>) -> Answer<Seen> {
    signer.sign_led(&led).await.map(Json).map_err(refuse)
}

async fn attest(
    State(signer): State<Arc<Signer>>,
    Json(fields): Json<BatchFields>,
) -> Answer<Attestation> {
    let signature = signer.attest(&fields).await.map_err(refuse)?;
    Ok(Json(Attestation { signature }))
}

async fn attest_upgrade(
    State(signer): State<Arc<Signer>>,
    Json(fields): Json<UpgradeFields>,
) -> Answer<Attestation> {
    let signature = signer.attest_upgrade(&fields).await.map_err(refuse)?;
    Ok(Json(Attestation { signature }))
}

async fn status(State(signer): State<Arc<Signer>>) -> Answer<Value> {
    let last_signed = signer.store.last_signed().await.map_err(|error| refuse(error.into()))?;
    let notes = signer.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let epoch = notes.round.map(|(epoch, _)| EpochId(epoch));
    let reading = match epoch {
        Some(epoch) => {
            signer.store.observation(epoch).await.map_err(|error| refuse(error.into()))?
        }
        None => None,
    };
    let reading: Option<Observation> =
        reading.and_then(|made| serde_json::from_str(&made.body).ok());
    Ok(Json(json!({
        "signer": signer.address(),
        "time": signer.clock.now().to_string(),
        "lastPosted": notes.last_posted,
        "lastSigned": last_signed.map(|(epoch, round)| json!({ "epoch": epoch, "round": round })),
        "round": notes.round.map(|(epoch, round)| json!({ "epoch": epoch, "round": round })),
        "counts": notes.counts,
        "slashed": notes.slashed,
        "reading": reading,
        "peers": notes.peers,
        "trouble": notes.trouble,
    })))
}
