//! Esplora's HTTP interface, the part that a wallet asks for, and the switch that makes the server lie.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bitcoin::{Transaction, consensus::serialize};
use eyre::{Result, eyre};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    Light,
    index::{Index, ScriptId},
};
use crate::node::RpcError;

type Shared = State<Arc<Light>>;

/// Transactions a page.
const PAGE: usize = 25;

/// A failure as Esplora reports it.
struct Failed(StatusCode, String);

impl From<eyre::Report> for Failed {
    fn from(error: eyre::Report) -> Self {
        match error.downcast_ref::<RpcError>() {
            Some(rpc) => {
                let words = json!({"code": rpc.code, "message": rpc.message});
                Self(StatusCode::BAD_REQUEST, format!("{} RPC error: {words}", rpc.method))
            }
            None => Self(StatusCode::NOT_FOUND, error.to_string()),
        }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

/// Serves for ever.
pub(crate) async fn serve(light: Arc<Light>, listener: TcpListener) {
    let app = Router::new()
        .route("/blocks/tip/height", get(tip))
        .route("/block-height/{height}", get(hash))
        .route("/blocks/{height}", get(blocks))
        .route("/block/{hash}/txid/{at}", get(txid_at))
        .route("/scripthash/{id}/txs", get(first_page))
        .route("/scripthash/{id}/txs/chain/{last}", get(later_page))
        .route("/tx/{txid}/raw", get(raw))
        .route("/tx/{txid}/merkle-proof", get(proof))
        .route("/fee-estimates", get(|| async { Json(json!({})) }))
        .route("/tx", post(broadcast))
        .route("/admin/misbehave", post(misbehave))
        .with_state(light);
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!("HTTP ended: {error}");
    }
}

#[derive(Deserialize)]
struct Misbehave {
    mode: String,
}

async fn misbehave(State(light): Shared, Json(wish): Json<Misbehave>) -> Result<String, Failed> {
    let done = light.misbehave(&wish.mode).await;
    done.map_err(|error| Failed(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(wish.mode)
}

async fn tip(State(light): Shared) -> Result<String, Failed> {
    Ok(light.height().await?.to_string())
}

async fn hash(State(light): Shared, Path(height): Path<u32>) -> Result<String, Failed> {
    let info = info(&light, height).await?;
    Ok(info.get("id").and_then(Value::as_str).unwrap_or_default().to_owned())
}

async fn blocks(State(light): Shared, Path(height): Path<u32>) -> Result<Json<Value>, Failed> {
    let mut page = Vec::new();
    for at in (0..=height).rev().take(10) {
        page.push(info(&light, at).await?);
    }
    Ok(Json(Value::Array(page)))
}

async fn info(light: &Light, height: u32) -> Result<Value> {
    let header: bitcoin::block::Header =
        bitcoin::consensus::deserialize(&light.header(height).await?)?;
    let index = light.index.lock().await;
    let txs = index.block(height).map_or(1, |block| block.txdata.len());
    let before = (height > 0).then(|| header.prev_blockhash.to_string());
    Ok(json!({
        "id": header.block_hash().to_string(), "height": height,
        "version": header.version.to_consensus(), "timestamp": header.time, "tx_count": txs,
        "size": 0, "weight": 0, "merkle_root": header.merkle_root.to_string(),
        "previousblockhash": before, "mediantime": header.time, "nonce": header.nonce,
        "bits": header.bits.to_consensus(), "difficulty": 0,
    }))
}

async fn txid_at(
    State(light): Shared,
    Path((hash, at)): Path<(String, usize)>,
) -> Result<String, Failed> {
    let index = light.index.lock().await;
    let block = index.height_of(&hash).and_then(|height| index.block(height));
    let tx = block.and_then(|block| block.txdata.get(at));
    Ok(tx.ok_or_else(|| eyre!("no such transaction"))?.compute_txid().to_string())
}

async fn first_page(State(light): Shared, Path(id): Path<String>) -> Result<Json<Value>, Failed> {
    page(&light, &id, None).await.map(Json).map_err(Failed::from)
}

async fn later_page(
    State(light): Shared,
    Path((id, last)): Path<(String, String)>,
) -> Result<Json<Value>, Failed> {
    page(&light, &id, Some(last)).await.map(Json).map_err(Failed::from)
}

/// What waits, then the newest first; the next page begins after `last`.
async fn page(light: &Light, id: &str, last: Option<String>) -> Result<Value> {
    light.height().await?;
    let id: ScriptId =
        hex::decode(id)?.try_into().map_err(|_| eyre!("a scripthash has 32 bytes"))?;
    let mode = *light.mode.lock().await;
    let index = light.index.lock().await;
    let mut history = index.history(&id, mode);
    history.reverse();
    let waiting = history.iter().filter(|(_, height)| height.is_none()).count();
    let skip = match &last {
        None => 0,
        Some(last) => {
            let at = history.iter().position(|(txid, _)| txid.to_string() == *last);
            at.map_or(history.len(), |at| at + 1)
        }
    };
    let most = if last.is_none() { PAGE + waiting } else { PAGE };
    let shown = history.into_iter().skip(skip).take(most);
    let txs = shown.filter_map(|(txid, height)| {
        let tx = index.transaction(&txid.to_string(), mode)?;
        Some(describe(&index, &tx, height))
    });
    Ok(txs.collect())
}

fn describe(index: &Index, tx: &Transaction, height: Option<u32>) -> Value {
    let input = |input: &bitcoin::TxIn| {
        let witness: Vec<String> = input.witness.iter().map(hex::encode).collect();
        json!({
            "txid": input.previous_output.txid.to_string(), "vout": input.previous_output.vout,
            "prevout": null, "scriptsig": hex::encode(input.script_sig.as_bytes()),
            "witness": witness, "is_coinbase": tx.is_coinbase(),
            "sequence": input.sequence.to_consensus_u32(),
        })
    };
    let output = |output: &bitcoin::TxOut| {
        let script = hex::encode(output.script_pubkey.as_bytes());
        json!({"scriptpubkey": script, "value": output.value.to_sat()})
    };
    let txid = tx.compute_txid();
    let status = match (height, index.place(&txid)) {
        (Some(height), place) => {
            let hash = place.map(|(_, hash)| hash.to_string());
            json!({"confirmed": true, "block_height": height, "block_hash": hash, "block_time": 0})
        }
        _ => json!({"confirmed": false}),
    };
    json!({
        "txid": txid.to_string(), "version": tx.version.0,
        "locktime": tx.lock_time.to_consensus_u32(),
        "vin": tx.input.iter().map(input).collect::<Vec<_>>(),
        "vout": tx.output.iter().map(output).collect::<Vec<_>>(),
        "size": tx.total_size(), "weight": tx.weight().to_wu(), "fee": 0, "status": status,
    })
}

async fn raw(State(light): Shared, Path(txid): Path<String>) -> Result<Vec<u8>, Failed> {
    let mode = *light.mode.lock().await;
    let tx = light.index.lock().await.transaction(&txid, mode);
    Ok(serialize(&tx.ok_or_else(|| eyre!("Transaction not found"))?))
}

async fn proof(State(light): Shared, Path(txid): Path<String>) -> Result<Json<Value>, Failed> {
    let mode = *light.mode.lock().await;
    let (height, pos, merkle) = light.index.lock().await.branch(&txid, mode)?;
    Ok(Json(json!({"block_height": height, "merkle": merkle, "pos": pos})))
}

async fn broadcast(State(light): Shared, body: Bytes) -> Result<String, Failed> {
    let raw = std::str::from_utf8(&body).map_err(|error| eyre!("{error}"))?;
    Ok(light.broadcast(raw.trim()).await?)
}
