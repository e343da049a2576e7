//! The one room that reads time.
//!
//! What flows in: the system clock, or the timestamp of an EVM node's latest block. What flows out: unix seconds of
//! *chain time*, the time that epochs are made of, and the first block of the period that runs, which dates whatever
//! carries its hash. In production the two clocks agree to a few seconds; on the dev chain, where eight hours pass in
//! half a minute, services follow the chain.
//!
//! It never decides anything, and it never goes back: a reading below an earlier one is replaced by the earlier one.

mod first_block;
pub use first_block::{FirstBlock, first_blocks};

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use serde::Deserialize;

/// Where time comes from, as written in a service's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClockConfig {
    /// The machine's own clock.
    System,
    /// The latest block of an EVM node, asked every `poll_ms`.
    Chain {
        /// JSON-RPC endpoint.
        url: String,
        /// Milliseconds between readings.
        poll_ms: u64,
    },
}

/// Why a clock cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The node did not answer with a block.
    #[error("the chain clock got no block from {url}: {why}; is the node up?")]
    NoBlock {
        /// Endpoint.
        url: String,
        /// What went wrong.
        why: String,
    },
}

/// A running clock. Cheap to clone; reading never blocks.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// The highest reading so far: the system clock may be set back.
    System(Arc<AtomicU64>),
    Chain(Arc<AtomicU64>),
}

impl Clock {
    /// Starts the clock; a chain clock has read its first block when this returns and polls until the last clone is
    /// dropped.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn start(config: &ClockConfig) -> Result<Self, ClockError> {
        match config {
            ClockConfig::System => Ok(Self { source: Source::System(Arc::default()) }),
            ClockConfig::Chain { url, poll_ms } => {
                let client = reqwest::Client::new();
                let first = chain_time(&client, url).await?;
                let now = Arc::new(AtomicU64::new(first));
                tokio::spawn(follow(client, url.clone(), *poll_ms, Arc::downgrade(&now)));
                Ok(Self { source: Source::Chain(now) })
            }
        }
    }

    /// A clock that a test sets by hand.
    #[must_use]
    pub fn fixed(time: Arc<AtomicU64>) -> Self {
        Self { source: Source::Chain(time) }
    }

    /// Unix seconds now.
    #[must_use]
    pub fn now(&self) -> u64 {
        match &self.source {
            Source::System(highest) => {
                let now = system_seconds();
                highest.fetch_max(now, Ordering::Relaxed).max(now)
            }
            Source::Chain(now) => now.load(Ordering::Relaxed),
        }
    }
}

async fn follow(
    client: reqwest::Client,
    url: String,
    poll_ms: u64,
    now: std::sync::Weak<AtomicU64>,
) {
    loop {
        tokio::time::sleep(Duration::from_millis(poll_ms.max(1))).await;
        let Some(now) = now.upgrade() else { return };
        if let Ok(time) = chain_time(&client, &url).await {
            now.fetch_max(time, Ordering::Relaxed);
        }
    }
}

async fn chain_time(client: &reqwest::Client, url: &str) -> Result<u64, ClockError> {
    let no_block = |why: String| ClockError::NoBlock { url: url.to_owned(), why };
    let params = serde_json::json!(["latest", false]);
    let block = ask(client, url, "eth_getBlockByNumber", params).await.map_err(no_block)?;
    let stamp = block.get("timestamp").and_then(serde_json::Value::as_str);
    let stamp = stamp.and_then(|hex| hex.strip_prefix("0x"));
    stamp
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .ok_or_else(|| no_block(format!("unexpected answer {block}")))
}

/// One JSON-RPC call. Says why when there is no result.
async fn ask(
    client: &reqwest::Client,
    url: &str,
    method: &str,
    params: serde_json::Value,
) -> Result<serde_json::Value, String> {
    let call = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let reply = client.post(url).json(&call).timeout(Duration::from_secs(5)).send().await;
    let reply = reply.map_err(|error| error.to_string())?;
    let mut reply: serde_json::Value = reply.json().await.map_err(|error| error.to_string())?;
    match reply.get_mut("result").map(serde_json::Value::take) {
        Some(result) if !result.is_null() => Ok(result),
        _ => Err(format!("unexpected answer {reply}")),
    }
}

#[allow(clippy::disallowed_methods, reason = "this crate is where the system clock is read")]
fn system_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused() {
        let text = r#"{"source":"chain","url":"http://127.0.0.1:1","poll_ms":1,"pol_ms":2}"#;
        let error = serde_json::from_str::<ClockConfig>(text).unwrap_err().to_string();
        assert!(error.contains("pol_ms"), "{error}");
    }

    #[tokio::test]
    async fn the_system_clock_does_not_go_back() {
        let clock = Clock::start(&ClockConfig::System).await.unwrap();
        assert!(clock.now() > 1_700_000_000);
        let Source::System(highest) = &clock.source else { panic!("{clock:?}") };
        highest.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(clock.now(), u64::MAX);
    }

    #[tokio::test]
    async fn a_dead_node_is_named() {
        let config = ClockConfig::Chain { url: "http://127.0.0.1:9".into(), poll_ms: 10 };
        let error = Clock::start(&config).await.unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:9"), "{error}");
    }
}
