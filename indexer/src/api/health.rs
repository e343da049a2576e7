//! Liveness, readiness and Prometheus metrics.

use std::fmt::Write;

use axum::{extract::State, http::StatusCode};

use super::{Problem, Shared};

/// The process answers.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// The index has caught up with a node that answers.
pub(super) async fn ready(State(app): Shared) -> Result<&'static str, Problem> {
    let standing = app.progress.standing();
    if standing.ready {
        return Ok("ready\n");
    }
    let number =
        |block: Option<evm::BlockRef>| block.map_or("none".into(), |b| b.number.to_string());
    let detail = format!("indexed {}, node {}", number(standing.indexed), number(standing.head));
    let fix = "wait for the index to catch up; if the node's number stands still, look at the node";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail, fix))
}

/// Prometheus text.
pub(super) async fn metrics(State(app): Shared) -> String {
    let standing = app.progress.standing();
    let number = |block: Option<evm::BlockRef>| block.map_or(0, |block| block.number);
    let mut text = String::new();
    for (name, kind, help, value) in [
        ("indexer_block", "gauge", "Newest indexed block.", number(standing.indexed)),
        ("indexer_head_block", "gauge", "Newest block of the node.", number(standing.head)),
        ("indexer_ready", "gauge", "1 when caught up.", u64::from(standing.ready)),
        ("indexer_blocks_applied_total", "counter", "Blocks applied.", standing.applied),
        (
            "indexer_blocks_removed_total",
            "counter",
            "Blocks taken back by reorgs.",
            standing.removed,
        ),
        ("indexer_stream_failures_total", "counter", "Times the stream failed.", standing.failures),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    text
}
