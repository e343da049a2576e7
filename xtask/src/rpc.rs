//! JSON-RPC and plain HTTP, as the demo and the tests need them.

use std::{path::PathBuf, time::Duration};

use eyre::{Result, WrapErr, eyre};
use serde_json::{Value, json};

/// A JSON-RPC endpoint.
#[derive(Clone, Debug)]
pub struct Rpc {
    client: reqwest::Client,
    /// Endpoint.
    pub url: String,
    cookie: Option<PathBuf>,
}

impl Rpc {
    /// An endpoint without authentication.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { client: reqwest::Client::new(), url: url.into(), cookie: None }
    }

    /// A bitcoind endpoint that authenticates by cookie file.
    #[must_use]
    pub fn with_cookie(url: impl Into<String>, cookie: PathBuf) -> Self {
        Self { cookie: Some(cookie), ..Self::new(url) }
    }

    /// The same node, another path: `/wallet/NAME`.
    #[must_use]
    pub fn wallet(&self, name: &str) -> Self {
        Self { url: format!("{}/wallet/{name}", self.url), ..self.clone() }
    }

    /// Calls a method.
    ///
    /// # Errors
    /// With the node's own message when it refuses.
    #[allow(clippy::needless_pass_by_value, reason = "calls read better with json! in place")]
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut request = self.client.post(&self.url).timeout(Duration::from_secs(60)).json(&body);
        if let Some(cookie) = &self.cookie {
            let cookie = std::fs::read_to_string(cookie)?;
            let (user, password) =
                cookie.split_once(':').ok_or_else(|| eyre!("bad cookie file"))?;
            request = request.basic_auth(user, Some(password));
        }
        let reply: Value = request.send().await.wrap_err_with(|| method.to_owned())?.json().await?;
        match reply.get("error") {
            None | Some(Value::Null) => Ok(reply.get("result").cloned().unwrap_or_default()),
            Some(error) => {
                Err(eyre!("{method}: {}", error["message"].as_str().unwrap_or(&error.to_string())))
            }
        }
    }
}

/// GETs JSON.
///
/// # Errors
/// When the server does not answer with success and JSON.
pub async fn get(url: &str) -> Result<Value> {
    let reply = reqwest::Client::new().get(url).timeout(Duration::from_secs(10)).send().await?;
    let status = reply.status();
    let text = reply.text().await?;
    if !status.is_success() {
        return Err(eyre!("{url}: {status}: {text}"));
    }
    serde_json::from_str(&text).wrap_err_with(|| format!("{url}: not JSON: {text}"))
}

/// POSTs JSON and returns status and body.
///
/// # Errors
/// When the server does not answer.
pub async fn post(url: &str, body: &Value) -> Result<(u16, Value)> {
    let client = reqwest::Client::new();
    let reply = client.post(url).timeout(Duration::from_secs(30)).json(body).send().await?;
    let status = reply.status().as_u16();
    let text = reply.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}
