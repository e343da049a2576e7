//! The machines' counters over HTTP, and the switch for their misbehaviour.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Machine, Mode};
use crate::process::lock;

type Machines = Arc<Vec<Arc<Machine>>>;

/// Serves until `stop`.
pub(crate) async fn serve(
    machines: Vec<Arc<Machine>>,
    listener: TcpListener,
    stop: CancellationToken,
) {
    let app = Router::new()
        .route("/health", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/stats", get(stats))
        .route("/admin/misbehave", post(misbehave))
        .with_state(Arc::new(machines));
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::warn!("http: {error}");
    }
}

async fn stats(State(machines): State<Machines>) -> Json<Value> {
    Json(Value::Array(machines.iter().map(|machine| show(machine)).collect()))
}

fn show(machine: &Machine) -> Value {
    let (hashes, best) = {
        let slot = lock(&machine.slot);
        (slot.hashes, slot.best)
    };
    let stats = lock(&machine.stats).clone();
    let rejected: Map<String, Value> =
        stats.rejected.iter().map(|(code, count)| (code.to_string(), json!(count))).collect();
    json!({
        "serial": machine.serial,
        "connected": stats.connected,
        "connects": stats.connects,
        "failed_connects": stats.failed_connects,
        "disconnects": stats.disconnects,
        "jobs": stats.jobs,
        "bad_lines": stats.bad_lines,
        "shares_submitted": stats.submitted,
        "accepted": stats.accepted,
        "rejected": rejected,
        "unanswered": stats.lost + stats.waiting,
        "hashes": hashes.to_string(),
        "best_share_hash": best.map(hex::encode),
        "mode": format!("{:?}", *machine.mode.borrow()),
    })
}

async fn misbehave(
    State(machines): State<Machines>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let refuse = |message: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": message})));
    let text = body.get("mode").and_then(Value::as_str).unwrap_or_default();
    let mode = Mode::parse(text).ok_or_else(|| refuse("unknown mode"))?;
    let serial = body.get("machine").and_then(Value::as_str);
    let mut changed = 0;
    for machine in machines.iter().filter(|m| serial.is_none_or(|serial| serial == m.serial)) {
        machine.mode.send_replace(mode);
        changed += 1;
    }
    if changed == 0 {
        return Err(refuse("no machine of that serial"));
    }
    Ok(Json(json!({"mode": text, "machines": changed})))
}
