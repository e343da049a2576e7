//! Where a signer reads: each source typed, each failure named.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use alloy::primitives::B256;
use serde::de::DeserializeOwned;

pub mod bitcoin;
pub mod exchange;
pub mod journal;
pub mod pools;
pub mod prices;

/// A source gave no usable answer. Nothing was concluded from it.
#[derive(Debug, thiserror::Error)]
#[error("{source_name}: {why}")]
pub struct SourceError {
    /// Which source.
    pub source_name: String,
    /// What is wrong.
    pub why: String,
}

impl SourceError {
    /// An error of `source_name`.
    pub fn new(source_name: impl Into<String>, why: impl ToString) -> Self {
        Self { source_name: source_name.into(), why: why.to_string() }
    }
}

/// GET with a time limit; the body as text.
pub(crate) async fn get_text(
    http: &reqwest::Client,
    name: &str,
    request: reqwest::RequestBuilder,
    wait: Duration,
) -> Result<String, SourceError> {
    let request = request
        .timeout(wait)
        .build()
        .map_err(|error| SourceError::new(name, error.without_url()))?;
    let answer = http.execute(request).await;
    let answer = answer.map_err(|error| SourceError::new(name, error.without_url()))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| SourceError::new(name, error.without_url()))?;
    if status.is_success() {
        return Ok(text);
    }
    let shown: String = text.chars().take(200).collect();
    Err(SourceError::new(name, format!("status {status}: {shown}")))
}

/// GET with a time limit, decoded.
pub(crate) async fn get_json<T: DeserializeOwned>(
    http: &reqwest::Client,
    name: &str,
    request: reqwest::RequestBuilder,
    wait: Duration,
) -> Result<T, SourceError> {
    let text = get_text(http, name, request, wait).await?;
    serde_json::from_str(&text).map_err(|error| SourceError::new(name, error))
}

/// A secret from a file that only its owner may read.
pub(crate) fn read_secret(path: &Path) -> Result<zeroize::Zeroizing<String>, SourceError> {
    let name = path.display().to_string();
    let mode = std::fs::metadata(path).map_err(|error| SourceError::new(&name, error))?;
    if mode.permissions().mode() & 0o077 != 0 {
        return Err(SourceError::new(name, "others may read this secret: run `chmod 600` on it"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| SourceError::new(&name, error))?;
    Ok(zeroize::Zeroizing::new(text.trim().to_owned()))
}

/// A transaction id as bitcoind shows it, in internal byte order.
pub(crate) fn internal_txid(name: &str, shown: &str) -> Result<B256, SourceError> {
    let mut bytes = [0_u8; 32];
    hex::decode_to_slice(shown, &mut bytes)
        .map_err(|error| SourceError::new(name, format!("txid {shown:?}: {error}")))?;
    bytes.reverse();
    Ok(B256::from(bytes))
}
