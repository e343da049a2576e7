//! The made-up chains behind the verifier's transport: bodies of JSON-RPC batches in, bodies out, as over HTTP.

use std::sync::Arc;

use serde_json::{Value, json};
use verifier::rpc::{Posted, Transport};

/// Answers one call; `None` refuses it.
pub(super) trait Node: Send + Sync {
    fn answer(&self, method: &str, params: &Value) -> Option<Value>;
}

/// A node as a transport.
pub(super) struct Wire<N>(pub(super) Arc<N>);

impl<N: Node> Transport for Wire<N> {
    fn post(&self, body: Vec<u8>) -> Posted<'_> {
        Box::pin(async move {
            let calls: Vec<Value> =
                serde_json::from_slice(&body).map_err(|error| error.to_string())?;
            let answers: Vec<Value> = calls
                .iter()
                .map(|call| {
                    let method = call["method"].as_str().unwrap_or_default();
                    match self.0.answer(method, &call["params"]) {
                        Some(result) => json!({"id": call["id"], "result": result}),
                        None => {
                            json!({"id": call["id"], "error": {"message": format!("{method}: not found")}})
                        }
                    }
                })
                .collect();
            serde_json::to_vec(&answers).map_err(|error| error.to_string())
        })
    }
}

impl Node for super::blocks::Chain {
    fn answer(&self, method: &str, params: &Value) -> Option<Value> {
        self.answer(method, params)
    }
}

impl Node for super::contracts::Chain {
    fn answer(&self, method: &str, params: &Value) -> Option<Value> {
        self.answer(method, params)
    }
}
