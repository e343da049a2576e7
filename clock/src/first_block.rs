//! The first block of the period of chain time that runs now: what nobody could know before the period began.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::ask;

/// The first block of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstBlock {
    /// EIP-155 id of its chain.
    pub chain_id: u64,
    /// Its time, unix seconds: the period is the one that holds it.
    pub time: u64,
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// A block as the node shows it.
#[derive(Clone, Copy, Debug)]
struct Block {
    number: u64,
    time: u64,
    hash: [u8; 32],
}

/// Follows the first block of the running period of `period` seconds, asking the node at `url` every `poll_ms`, until
/// every receiver is dropped. `None` until the first is known. A block that the chain takes back is replaced; while
/// the node does not answer, what was known stays.
#[must_use]
pub fn first_blocks(url: String, period: u64, poll_ms: u64) -> watch::Receiver<Option<FirstBlock>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let client = reqwest::Client::new();
        while !sender.is_closed() {
            let known = *sender.borrow();
            match look(&client, &url, period.max(1), known).await {
                Ok(found) => {
                    sender.send_if_modified(|block| {
                        let changed = found.is_some() && *block != found;
                        if changed {
                            *block = found;
                        }
                        changed
                    });
                }
                Err(why) => tracing::debug!(why, "the first block of the period is not known"),
            }
            tokio::time::sleep(Duration::from_millis(poll_ms.max(1))).await;
        }
    });
    receiver
}

/// The first block of the period that holds the latest block, if the chain is older than that period.
async fn look(
    client: &reqwest::Client,
    url: &str,
    period: u64,
    known: Option<FirstBlock>,
) -> Result<Option<FirstBlock>, String> {
    let latest = block(client, url, "latest").await?;
    let start = latest.time.saturating_sub(latest.time.checked_rem(period).unwrap_or_default());
    if let Some(known) = known.filter(|known| known.time >= start)
        && block(client, url, &format!("{:#x}", known.number)).await?.hash == known.hash
    {
        return Ok(Some(known));
    }
    // `found` is in the period; everything below `before` is older.
    let (mut before, mut found) = (0, latest);
    while before < found.number {
        let middle = before.midpoint(found.number);
        let seen = block(client, url, &format!("{middle:#x}")).await?;
        if seen.time >= start {
            found = seen;
        } else {
            before = middle.saturating_add(1);
        }
    }
    if found.number == 0 {
        return Ok(None); // no block of an earlier period shows that it is the first
    }
    let chain_id = ask(client, url, "eth_chainId", json!([])).await?;
    let chain_id = quantity(&chain_id).ok_or_else(|| format!("chain id {chain_id}"))?;
    let Block { number, time, hash } = found;
    Ok(Some(FirstBlock { chain_id, time, number, hash }))
}

async fn block(client: &reqwest::Client, url: &str, which: &str) -> Result<Block, String> {
    let found = ask(client, url, "eth_getBlockByNumber", json!([which, false])).await?;
    let field = |name: &str| found.get(name).unwrap_or(&Value::Null);
    let parsed = || {
        Some(Block {
            number: quantity(field("number"))?,
            time: quantity(field("timestamp"))?,
            hash: hash(field("hash"))?,
        })
    };
    parsed().ok_or_else(|| format!("unexpected block {found}"))
}

fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

fn hash(value: &Value) -> Option<[u8; 32]> {
    let text = value.as_str()?.strip_prefix("0x")?;
    let mut out = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (place, byte) in out.iter_mut().enumerate() {
        let at = place.saturating_mul(2);
        *byte = u8::from_str_radix(text.get(at..at.saturating_add(2))?, 16).ok()?;
    }
    Some(out)
}
