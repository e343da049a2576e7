//! Electrum's protocol 1.4: JSON-RPC, a line a message.

use std::sync::Arc;

use eyre::{Result, eyre};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::{Light, index::ScriptId};
use crate::node::RpcError;

/// Serves for ever.
pub(crate) async fn listen(light: Arc<Light>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let light = Arc::clone(&light);
        tokio::spawn(async move {
            if let Err(error) = session(&light, stream).await {
                tracing::debug!("session ended: {error}");
            }
        });
    }
}

async fn session(light: &Light, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let request: Value = serde_json::from_str(&line)?;
        let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
        let params = request.get("params").cloned().unwrap_or_default();
        let id = request.get("id").cloned().unwrap_or_default();
        let reply = match answer(light, method, &params).await {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(error) => {
                let words = match error.downcast_ref::<RpcError>() {
                    Some(rpc) => format!(
                        "the transaction was rejected by network rules.\n\n{}\n",
                        rpc.message
                    ),
                    None => error.to_string(),
                };
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": 1, "message": words}})
            }
        };
        write.write_all(format!("{reply}\n").as_bytes()).await?;
    }
    Ok(())
}

async fn answer(light: &Light, method: &str, params: &Value) -> Result<Value> {
    let text = |at: usize| params.get(at).and_then(Value::as_str).unwrap_or_default();
    let number = |at: usize| {
        let number = params.get(at).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        number.ok_or_else(|| eyre!("parameter {at} of {method} must be a number"))
    };
    let mode = *light.mode.lock().await;
    Ok(match method {
        "server.version" => json!(["sim-light", "1.4"]),
        "server.ping" => Value::Null,
        "blockchain.headers.subscribe" => {
            let height = light.height().await?;
            json!({"height": height, "hex": hex::encode(light.header(height).await?)})
        }
        "blockchain.block.headers" => {
            let (from, shown) = (number(0)?, light.height().await?);
            let mut bytes = Vec::new();
            for height in (from..=shown).take(usize::try_from(number(1)?.min(2_016))?) {
                bytes.extend(light.header(height).await?);
            }
            json!({"count": bytes.len() / 80, "max": 2_016, "hex": hex::encode(bytes)})
        }
        "blockchain.scripthash.get_history" => {
            light.height().await?;
            let history = light.index.lock().await.history(&script(text(0))?, mode);
            let entry = |(txid, height): (bitcoin::Txid, Option<u32>)| json!({"tx_hash": txid.to_string(), "height": height.unwrap_or(0)});
            history.into_iter().map(entry).collect()
        }
        "blockchain.transaction.get" => {
            let tx = light.index.lock().await.transaction(text(0), mode);
            let tx = tx.ok_or_else(|| eyre!("no such transaction"))?;
            json!(hex::encode(bitcoin::consensus::serialize(&tx)))
        }
        "blockchain.transaction.get_merkle" => {
            let (height, pos, merkle) = light.index.lock().await.branch(text(0), mode)?;
            if height != number(1)? {
                return Err(eyre!("{} is not in block {}", text(0), number(1)?));
            }
            json!({"block_height": height, "pos": pos, "merkle": merkle})
        }
        "blockchain.transaction.id_from_pos" => {
            let index = light.index.lock().await;
            let block = index.block(number(0)?).ok_or_else(|| eyre!("no such block"))?;
            let tx = block.txdata.get(usize::try_from(number(1)?)?);
            json!(tx.ok_or_else(|| eyre!("no such place"))?.compute_txid().to_string())
        }
        "blockchain.estimatefee" => json!(-1),
        "blockchain.transaction.broadcast" => json!(light.broadcast(text(0)).await?),
        other => return Err(eyre!("unknown method {other:?}")),
    })
}

/// A script's id from Electrum's way to show it, backwards.
fn script(text: &str) -> Result<ScriptId> {
    let mut id: ScriptId =
        hex::decode(text)?.try_into().map_err(|_| eyre!("a scripthash has 32 bytes"))?;
    id.reverse();
    Ok(id)
}
