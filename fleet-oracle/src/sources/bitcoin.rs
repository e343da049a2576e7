//! The treasury on the Bitcoin chain, read block by block from this signer's own node.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{json, value::RawValue};

use super::{SourceError, internal_txid};
use crate::{
    attribution::Output,
    config::BitcoinConfig,
    numbers::scaled_exact,
    store::{Store, StoreError, StoredBlock},
};

const NAME: &str = "bitcoin node";
/// Blocks written to the store at once.
const AT_ONCE: usize = 50;

/// A bitcoind and the addresses that are watched.
#[derive(Debug)]
pub struct Treasury {
    config: BitcoinConfig,
    http: reqwest::Client,
    wait: Duration,
}

/// Why the treasury cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreasuryError {
    /// The node.
    #[error(transparent)]
    Node(#[from] SourceError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Deserialize)]
struct Reply<T> {
    result: Option<T>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Block {
    hash: String,
    height: u64,
    time: u64,
    previousblockhash: Option<String>,
    tx: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    txid: String,
    vout: Vec<TransactionOutput>,
}

#[derive(Deserialize)]
struct TransactionOutput {
    /// Kept as text: a float would lose sats.
    value: Box<RawValue>,
    n: u32,
    #[serde(rename = "scriptPubKey")]
    script: Script,
}

#[derive(Deserialize)]
struct Script {
    address: Option<String>,
}

impl Treasury {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(config: BitcoinConfig, wait: Duration) -> Self {
        Self { config, http: reqwest::Client::new(), wait }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        parameters: serde_json::Value,
    ) -> Result<T, SourceError> {
        let cookie = std::fs::read_to_string(&self.config.cookie_file).map_err(|error| {
            SourceError::new(NAME, format!("{}: {error}", self.config.cookie_file.display()))
        })?;
        let (user, password) = cookie.trim().split_once(':').unwrap_or((cookie.trim(), ""));
        let body = json!({ "jsonrpc": "1.0", "id": 1, "method": method, "params": parameters });
        let request = self.http.post(&self.config.url).basic_auth(user, Some(password)).json(&body);
        let answer = request.timeout(self.wait).send().await;
        let answer = answer.map_err(|error| SourceError::new(NAME, error))?;
        let text = answer.text().await.map_err(|error| SourceError::new(NAME, error))?;
        let reply: Reply<T> = serde_json::from_str(&text)
            .map_err(|error| SourceError::new(NAME, format!("{method}: {error}")))?;
        match reply {
            Reply { result: Some(result), .. } => Ok(result),
            Reply { error, .. } => {
                Err(SourceError::new(NAME, format!("{method}: {}", error.unwrap_or_default())))
            }
        }
    }

    /// Reads every new block into the store, after taking back those that are no longer in the chain. Returns the tip.
    ///
    /// # Errors
    /// When the node or the store refuses; what was read so far is kept.
    pub async fn sync(&self, store: &Store) -> Result<u64, TreasuryError> {
        let tip: u64 = self.call("getblockcount", json!([])).await?;
        let mut last = self.common(store, tip).await?;
        let mut batch = Vec::new();
        loop {
            let height = last
                .as_ref()
                .map_or(self.config.start_height, |block| block.height.saturating_add(1));
            if height > tip {
                break;
            }
            let hash: String = self.call("getblockhash", json!([height])).await?;
            let block: Block = self.call("getblock", json!([hash, 2])).await?;
            if last
                .as_ref()
                .is_some_and(|last| block.previousblockhash.as_ref() != Some(&last.hash))
            {
                break; // a reorganisation under our feet: the next reading sorts it out
            }
            let (stored, outputs) = self.pick(block)?;
            last = Some(stored.clone());
            batch.push((stored, outputs));
            if batch.len() >= AT_ONCE {
                store.add_blocks(&batch).await?;
                batch.clear();
            }
        }
        store.add_blocks(&batch).await?;
        Ok(last.map_or(0, |block| block.height))
    }

    /// The highest stored block that is still in the chain; blocks above it are forgotten.
    async fn common(&self, store: &Store, tip: u64) -> Result<Option<StoredBlock>, TreasuryError> {
        let newest = store.block_at_most(u64::MAX).await?;
        let mut block = store.block_at_most(tip).await?;
        while let Some(stored) = &block {
            let hash: String = self.call("getblockhash", json!([stored.height])).await?;
            if hash == stored.hash {
                break;
            }
            tracing::warn!(height = stored.height, "a bitcoin block was taken back");
            block = match stored.height.checked_sub(1) {
                Some(height) => store.block_at_most(height).await?,
                None => None,
            };
        }
        if newest != block {
            store.rewind(block.as_ref().map(|block| block.height)).await?;
        }
        Ok(block)
    }

    fn pick(&self, block: Block) -> Result<(StoredBlock, Vec<Output>), SourceError> {
        let mut outputs = Vec::new();
        for transaction in &block.tx {
            for output in &transaction.vout {
                let ours = output.script.address.as_ref();
                if !ours.is_some_and(|address| self.config.treasury.contains(address)) {
                    continue;
                }
                let sats =
                    scaled_exact(output.value.get(), 8).map_err(|e| SourceError::new(NAME, e))?;
                let txid = internal_txid(NAME, &transaction.txid)?;
                outputs.push(Output { txid, vout: output.n, sats });
            }
        }
        Ok((StoredBlock { height: block.height, hash: block.hash, time: block.time }, outputs))
    }
}
