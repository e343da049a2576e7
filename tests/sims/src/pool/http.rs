//! The pool's read-only statement API, and the switch for its misbehaviour.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Pool, ledger::Book, misbehave::Mode};
use crate::process::lock;

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

/// Serves until the pool stops.
pub(crate) async fn serve(pool: Arc<Pool>, listener: TcpListener) {
    let stop = pool.stop.clone();
    let app = Router::new()
        .route("/health", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/api/v1/pool", get(about))
        .route("/api/v1/accounts/{name}/earnings", get(earnings))
        .route("/api/v1/accounts/{name}/payouts", get(payouts))
        .route("/api/v1/accounts/{name}/workers", get(workers))
        .route("/admin/misbehave", post(misbehave))
        .with_state(pool);
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::warn!("http: {error}");
    }
}

fn refuse(status: StatusCode, message: impl ToString) -> (StatusCode, Json<Value>) {
    (status, Json(json!({"error": message.to_string()})))
}

async fn about(State(pool): State<Arc<Pool>>) -> Json<Value> {
    let height = pool.newest.borrow().as_ref().map_or(0, |job| job.height.saturating_sub(1));
    let cfg = &pool.cfg;
    Json(json!({
        "coin": cfg.coin,
        "algorithm": "sha256d",
        "scheme": "PPS",
        "pps_sats_per_mhash": cfg.pps_sats_per_mhash.to_string(),
        "fee": format!("{}.{:04}", cfg.fee_bp / 10_000, cfg.fee_bp % 10_000),
        "fee_bp": cfg.fee_bp.to_string(),
        "share_hashes": cfg.share_hashes.to_string(),
        "payout_interval_s": cfg.payout_interval_s.to_string(),
        "min_payout_sats": cfg.min_payout_sats.to_string(),
        "height": height.to_string(),
        "time": pool.now(),
        "connections": pool.connections.load(Ordering::Relaxed),
    }))
}

/// Checks account and token.
fn open_account(
    pool: &Pool,
    name: &str,
    headers: &HeaderMap,
) -> Result<Book, (StatusCode, Json<Value>)> {
    let account =
        pool.cfg.account(name).ok_or_else(|| refuse(StatusCode::NOT_FOUND, "no such account"))?;
    if let Some(token) = &account.token {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok());
        if given.and_then(|value| value.strip_prefix("Bearer ")) != Some(token) {
            return Err(refuse(StatusCode::UNAUTHORIZED, "bearer token missing or wrong"));
        }
    }
    Ok(lock(&pool.ledger).accounts.get(name).cloned().unwrap_or_default())
}

async fn earnings(
    State(pool): State<Arc<Pool>>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Answer {
    let book = open_account(&pool, &name, &headers)?;
    let bound = |key: &str, default: u64| match query.get(key) {
        None => Ok(default),
        Some(text) => text.parse::<u64>().map_err(|_| {
            refuse(StatusCode::BAD_REQUEST, format!("{key} is not a time in seconds"))
        }),
    };
    let (from, to) = (bound("from", 0)?, bound("to", u64::MAX)?);
    let inflate = *pool.mode.borrow() == Mode::InflateStatement;
    let show = |number: u64| (if inflate { number + number / 10 } else { number }).to_string();
    let rows: Vec<Value> = book
        .buckets
        .iter()
        .filter(|(start, _)| **start >= from && **start < to)
        .map(|(start, bucket)| {
            json!({
                "hour_start": start,
                "shares": show(bucket.shares),
                "hashes": show(bucket.hashes),
                "sats": show(bucket.sats_floor()),
            })
        })
        .collect();
    Ok(Json(Value::Array(rows)))
}

async fn payouts(
    State(pool): State<Arc<Pool>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer {
    open_account(&pool, &name, &headers)?;
    let ledger = lock(&pool.ledger);
    let mut rows = Vec::new();
    for payout in &ledger.payouts {
        for line in payout.lines.iter().filter(|line| line.account == name) {
            let covers: Vec<Value> = line
                .covers
                .iter()
                .map(|(start, sats)| json!({"hour_start": start, "sats": sats.to_string()}))
                .collect();
            rows.push(json!({
                "txid": payout.txid,
                "vout": line.vout,
                "address": line.address,
                "sats": line.sats.to_string(),
                "time": payout.time,
                "covers": covers,
            }));
        }
    }
    Ok(Json(Value::Array(rows)))
}

async fn workers(
    State(pool): State<Arc<Pool>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let book = open_account(&pool, &name, &headers)?;
    let pair = |shares: u64, hashes: u64| json!({"shares": shares.to_string(), "hashes": hashes.to_string()});
    let rows: Vec<Value> = book
        .workers
        .iter()
        .map(|(worker, count)| {
            json!({
                "worker": worker,
                "accepted": pair(count.accepted_shares, count.accepted_hashes),
                "rejected": pair(count.rejected_shares, count.rejected_hashes),
                "stale": pair(count.stale_shares, count.stale_hashes),
            })
        })
        .collect();
    Ok(Json(Value::Array(rows)))
}

async fn misbehave(State(pool): State<Arc<Pool>>, Json(body): Json<Value>) -> Answer {
    let text = body.get("mode").and_then(Value::as_str).unwrap_or_default();
    let mode = Mode::parse(text).map_err(|error| refuse(StatusCode::BAD_REQUEST, error))?;
    tracing::info!(?mode, "misbehave");
    pool.mode.send_replace(mode);
    if mode == Mode::SetExtranonce {
        // A new block template soon, so that every connection gets its new job.
        pool.poke.notify_one();
    }
    Ok(Json(json!({"mode": text})))
}
