//! The dev EVM chain: anvil from npm.

use std::{path::Path, process::Command, time::Duration};

use alloy::primitives::{Address, U256};
use evm::DynProvider;
use eyre::{Result, eyre};
use serde_json::{Value, json};

use super::{DevKey, dev_key};
use crate::{paths, ports, process::Process, rpc::Rpc};

/// Ether given to each dev key.
const ETHER_EACH: u64 = 10_000;

/// A running anvil. `finalized` is two blocks behind `latest`.
#[derive(Debug)]
pub struct Anvil {
    /// The process.
    pub process: Process,
    /// JSON-RPC URL.
    pub url: String,
    rpc: Rpc,
}

impl Anvil {
    /// Starts it at `genesis` (unix seconds), mining a block per transaction.
    ///
    /// # Errors
    /// When anvil is missing or does not come up.
    pub async fn start(dir: &Path, first_port: u16, genesis: u64) -> Result<Self> {
        let port = ports::free_from(first_port)?;
        let mut command = Command::new(paths::foundry("anvil")?);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--slots-in-an-epoch", "1", "--timestamp", &genesis.to_string()]);
        command.args([
            "--quiet",
            "--accounts",
            "1",
            "--disable-code-size-limit",
            "--gas-limit",
            "60000000",
        ]);
        let mut process = Process::spawn("anvil", &mut command, dir)?;
        let url = format!("http://127.0.0.1:{port}");
        let rpc = Rpc::new(&url);
        for _ in 0..200 {
            if rpc.call("eth_chainId", json!([])).await.is_ok() {
                return Ok(Self { process, rpc, url });
            }
            if let Some(status) = process.ended()? {
                return Err(eyre!("anvil ended ({status}):\n{}", process.tail()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(eyre!("anvil does not answer after 20 s:\n{}", process.tail()))
    }

    /// Calls a node method.
    ///
    /// # Errors
    /// With the node's message.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        self.rpc.call(method, params).await
    }

    /// A provider that reads.
    ///
    /// # Errors
    /// Never in practice: the URL is ours.
    pub fn reader(&self) -> Result<DynProvider> {
        Ok(evm::connect(&self.url)?)
    }

    /// A provider that signs as `who`.
    ///
    /// # Errors
    /// Never in practice: the URL is ours.
    pub fn as_key(&self, who: DevKey) -> Result<DynProvider> {
        Ok(evm::connect_signing(&self.url, dev_key(who))?)
    }

    /// Gives dev keys ether for gas.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn fund(&self, keys: &[DevKey]) -> Result<()> {
        let wei = U256::from(ETHER_EACH) * U256::from(10).pow(U256::from(18));
        for key in keys {
            self.call("anvil_setBalance", json!([dev_key(*key).address(), wei])).await?;
        }
        Ok(())
    }

    /// The unlocked account that deploys.
    ///
    /// # Errors
    /// When the node has none.
    pub async fn deployer(&self) -> Result<Address> {
        let accounts = self.call("eth_accounts", json!([])).await?;
        let first = accounts.pointer("/0").and_then(Value::as_str);
        Ok(first.ok_or_else(|| eyre!("anvil has no account"))?.parse()?)
    }

    /// Timestamp of the latest block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn now(&self) -> Result<u64> {
        Ok(evm::block_at(&self.reader()?, evm::Finality::Latest).await?.timestamp)
    }

    /// Moves chain time on by `seconds` and mines one block there.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn advance(&self, seconds: u64) -> Result<()> {
        let target = self.now().await?.saturating_add(seconds);
        self.call("evm_setNextBlockTimestamp", json!([target])).await?;
        self.call("evm_mine", json!([])).await?;
        Ok(())
    }

    /// Mines `blocks`, one second apart: three make anything before them final.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn mine(&self, blocks: u64) -> Result<()> {
        self.call("anvil_mine", json!([blocks, 1])).await?;
        Ok(())
    }

    /// From now on blocks come only from [`Self::tick`], each `seconds` of chain time after the one before.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn run_by_ticks(&self, seconds: u64) -> Result<()> {
        self.call("evm_setAutomine", json!([false])).await?;
        self.call("anvil_setBlockTimestampInterval", json!([seconds])).await?;
        Ok(())
    }

    /// Mines one block with all waiting transactions.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn tick(&self) -> Result<()> {
        self.call("evm_mine", json!([])).await?;
        Ok(())
    }
}
