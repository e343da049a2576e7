//! HTTP: health, status, metrics, and the journal's lines for whoever wants to check them. Read-only.

use std::fmt::Write;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use crate::{journal::JournalView, proxy::Status};

/// Most lines of one answer.
const MAX_LINES: usize = 10_000;

/// What handlers ask.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The proxy.
    pub questions: mpsc::Sender<oneshot::Sender<Status>>,
    /// The journal.
    pub journal: JournalView,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    from: u64,
    #[serde(default = "thousand")]
    limit: usize,
}

const fn thousand() -> usize {
    1_000
}

/// Serves until `stop`.
///
/// # Errors
/// Those of the listening socket.
pub async fn serve(
    listener: TcpListener,
    sources: Sources,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/health", get(health))
        .route("/status", get(status))
        .route("/journal", get(journal))
        .route("/metrics", get(metrics))
        .with_state(sources);
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn failed(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": why }))).into_response()
}

async fn ask(sources: &Sources) -> Option<Status> {
    let (answer, asked) = oneshot::channel();
    sources.questions.send(answer).await.ok()?;
    asked.await.ok()
}

async fn health(State(sources): State<Sources>) -> Response {
    match ask(&sources).await {
        Some(status) => Json(json!({ "status": "ok", "time": status.time })).into_response(),
        None => failed("the engine has stopped"),
    }
}

async fn status(State(sources): State<Sources>) -> Response {
    match ask(&sources).await {
        Some(status) => Json(status).into_response(),
        None => failed("the engine has stopped"),
    }
}

/// Lines byte for byte as they are on disk, so that hashes can be checked: the array is put together as text.
async fn journal(State(sources): State<Sources>, Query(page): Query<Page>) -> Response {
    let limit = page.limit.min(MAX_LINES);
    let read = tokio::task::spawn_blocking(move || sources.journal.read(page.from, limit)).await;
    match read {
        Ok(Ok(lines)) => {
            let array = format!("[{}]", lines.trim_end_matches('\n').replace('\n', ","));
            ([(header::CONTENT_TYPE, "application/json")], array).into_response()
        }
        Ok(Err(error)) => failed(&error.to_string()),
        Err(error) => failed(&error.to_string()),
    }
}

async fn metrics(State(sources): State<Sources>) -> Response {
    match ask(&sources).await {
        Some(status) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], render(&status)).into_response()
        }
        None => failed("the engine has stopped"),
    }
}

/// Prometheus' text form. Names of venues and machines are plain by configuration, so no label needs escaping.
fn render(status: &Status) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, samples: Vec<(String, String)>| {
        let _ = writeln!(text, "# TYPE switching_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "switching_{name}{labels} {value}");
        }
    };
    let one = |value: u64| vec![(String::new(), value.to_string())];
    let latency = &status.switch_latency_micros;
    family("time_seconds", "gauge", one(status.time));
    family("switches_total", "counter", one(status.switches));
    family("disconnects_total", "counter", one(status.disconnects));
    family("journal_lines", "gauge", one(status.journal.len));
    family("switch_latency_seconds_sum", "counter", vec![(String::new(), seconds(latency.sum))]);
    family("switch_latency_seconds_count", "counter", one(latency.switches));
    family("switch_latency_seconds_max", "gauge", vec![(String::new(), seconds(latency.max))]);
    let connected = status.machines.iter().filter(|machine| machine.connected).count();
    family("machines_connected", "gauge", vec![(String::new(), connected.to_string())]);
    let venue = |name: &str| format!("{{venue=\"{name}\"}}");
    let ups = status.venues.iter().map(|v| (venue(&v.name), u8::from(v.up).to_string()));
    family("venue_up", "gauge", ups.collect());
    let provable = status.venues.iter().map(|v| (venue(&v.name), u8::from(v.provable).to_string()));
    family("venue_provable", "gauge", provable.collect());
    if let Some(proof) = &status.proof {
        let hashes = proof.unprovable_hashes.to_string();
        family("unprovable_hashes_total", "counter", vec![(String::new(), hashes)]);
    }
    let rates =
        status.rates.iter().map(|r| (venue(&r.rate.venue), r.rate.millisats_per_mhash.to_string()));
    family("rate_millisats_per_mhash", "gauge", rates.collect());
    let hashes = status.venues.iter().map(|v| (venue(&v.name), v.tally.hashes.to_string()));
    family("hashes_total", "counter", hashes.collect());
    let shares = status.venues.iter().flat_map(|v| {
        let tally = v.tally;
        [("accepted", tally.accepted), ("rejected", tally.rejected), ("stale", tally.stale)].map(
            |(result, count)| {
                (format!("{{venue=\"{}\",result=\"{result}\"}}", v.name), count.to_string())
            },
        )
    });
    family("shares_total", "counter", shares.collect());
    let local = &status.shares_without_verdict;
    let kinds = [
        ("below_venue", local.below_venue),
        ("invalid", local.invalid),
        ("stale", local.stale),
        ("duplicate", local.duplicate),
        ("low_difficulty", local.low_difficulty),
        ("unauthorized", local.unauthorized),
        ("unanswered", local.unanswered),
        ("stale_unexplained", local.stale_unexplained),
    ];
    let kinds = kinds.map(|(kind, count)| (format!("{{kind=\"{kind}\"}}"), count.to_string()));
    family("shares_without_verdict_total", "counter", kinds.to_vec());
    family("malformed_lines_total", "counter", one(local.malformed_lines));
    text
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
