//! A regtest bitcoind.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use eyre::{Result, eyre};
use serde_json::{Value, json};

use crate::{paths, ports, process::Process, rpc::Rpc};

/// A running regtest node.
#[derive(Debug)]
pub struct Bitcoind {
    /// The process.
    pub process: Process,
    /// JSON-RPC URL without credentials.
    pub url: String,
    /// Cookie file with the credentials.
    pub cookie: PathBuf,
    /// The node's RPC.
    pub rpc: Rpc,
}

impl Bitcoind {
    /// Starts a node called `name` with its data under `dir/name`, its clock at `time`.
    ///
    /// # Errors
    /// When bitcoind is missing or does not come up.
    pub async fn start(dir: &Path, name: &str, first_port: u16, time: u64) -> Result<Self> {
        let mut command = Command::new(paths::bitcoin("bitcoind")?);
        command.args(["-listen=0", "-fallbackfee=0.00001"]);
        Self::launch(command, dir, name, first_port, time).await
    }

    /// Starts a node with the mempool of clusters (Bitcoin Core 31; it has no wallet) and has `self` connect to it: what
    /// one of them is told, the other hears at once. Its clock stands ten years after `time`, so that no block is too new
    /// for it, however far `self` is set.
    ///
    /// # Errors
    /// When it was not built (the message says how), or the two do not meet.
    pub async fn start_cluster_peer(&self, dir: &Path, first_port: u16, time: u64) -> Result<Self> {
        let peers = ports::free_from(first_port.saturating_add(150))?;
        let mut command = Command::new(paths::cluster_bitcoind()?);
        command.arg(format!("-bind=127.0.0.1:{peers}")).arg("-whitelist=noban@127.0.0.1");
        command.args(["-listenonion=0", "-dnsseed=0", "-fixedseeds=0", "-maxtipage=1000000000"]);
        let time = time.saturating_add(10 * 365 * 86_400);
        let peer = Self::launch(command, dir, "bitcoin-cluster", first_port, time).await?;
        self.call("addnode", json!([format!("127.0.0.1:{peers}"), "add"])).await?;
        let height = self.height().await?;
        for _ in 0..300 {
            if peer.height().await? == height {
                return Ok(peer);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(eyre!("the two nodes do not meet within 30 s:\n{}", peer.process.tail()))
    }

    async fn launch(
        mut command: Command,
        dir: &Path,
        name: &str,
        first_port: u16,
        time: u64,
    ) -> Result<Self> {
        let data = dir.join(name);
        std::fs::create_dir_all(&data)?;
        let port = ports::free_from(first_port.saturating_add(100))?;
        command.arg("-regtest").arg(format!("-datadir={}", data.display()));
        command.arg(format!("-rpcport={port}")).arg(format!("-mocktime={time}"));
        command.args([
            "-server=1",
            "-txindex=1",
            "-printtoconsole=0",
            "-debuglogfile=debug.log",
            "-dbcache=64",
            "-rpcthreads=16",
        ]);
        command.args(["-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-rpcworkqueue=256"]);
        let mut process = Process::spawn(name, &mut command, dir)?;
        let cookie = data.join("regtest/.cookie");
        let url = format!("http://127.0.0.1:{port}");
        let rpc = Rpc::with_cookie(&url, cookie.clone());
        for _ in 0..300 {
            if cookie.exists() && rpc.call("getblockcount", json!([])).await.is_ok() {
                return Ok(Self { process, url, cookie, rpc });
            }
            if let Some(status) = process.ended()? {
                return Err(eyre!("{name} ended ({status}):\n{}", process.tail()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(eyre!("{name} does not answer after 30 s:\n{}", process.tail()))
    }

    /// Opens the wallet `faucet` and mines 101 blocks to it.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn open_faucet(&self) -> Result<()> {
        self.rpc.call("createwallet", json!(["faucet"])).await?;
        self.mine(101).await?;
        Ok(())
    }

    /// The wallet `faucet`.
    #[must_use]
    pub fn faucet(&self) -> Rpc {
        self.rpc.wallet("faucet")
    }

    /// Another wallet of the node.
    #[must_use]
    pub fn wallet(&self, name: &str) -> Rpc {
        self.rpc.wallet(name)
    }

    /// Mines blocks to the faucet and returns the height.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn mine(&self, blocks: u32) -> Result<u64> {
        let address = self.faucet().call("getnewaddress", json!([])).await?;
        self.rpc.call("generatetoaddress", json!([blocks, address])).await?;
        self.height().await
    }

    /// Pays `sats` to `address` from the faucet; returns txid and output index. Not mined yet.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn pay(&self, address: &str, sats: u64) -> Result<(String, u32)> {
        self.pay_from("faucet", address, sats).await
    }

    /// The same from another wallet of the node.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn pay_from(&self, wallet: &str, address: &str, sats: u64) -> Result<(String, u32)> {
        let amount = format!("{}.{:08}", sats / 100_000_000, sats % 100_000_000);
        let wallet = self.rpc.wallet(wallet);
        let txid = wallet.call("sendtoaddress", json!([address, amount])).await?;
        let txid = txid.as_str().ok_or_else(|| eyre!("no txid"))?.to_owned();
        // of the wallet, which knows its own at once: a block may have taken it from the mempool before the index has it
        let tx = wallet.call("gettransaction", json!([txid, false, true])).await?;
        let outputs = tx["decoded"]["vout"].as_array().cloned().unwrap_or_default();
        let ours = outputs.iter().position(|out| out["scriptPubKey"]["address"] == address);
        let index = ours.ok_or_else(|| eyre!("{txid} does not pay {address}"))?;
        Ok((txid, u32::try_from(index)?))
    }

    /// A new address of a wallet on this node, `kind` as the node names it; the wallet is made when missing.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn new_address(&self, wallet: &str, kind: &str) -> Result<String> {
        let wallets = self.call("listwallets", json!([])).await?;
        if !wallets.as_array().is_some_and(|all| all.iter().any(|name| name == wallet)) {
            self.call("createwallet", json!([wallet])).await?;
        }
        let address = self.rpc.wallet(wallet).call("getnewaddress", json!(["", kind])).await?;
        Ok(address.as_str().ok_or_else(|| eyre!("no address"))?.to_owned())
    }

    /// Height of the best chain.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn height(&self) -> Result<u64> {
        let height = self.rpc.call("getblockcount", json!([])).await?;
        height.as_u64().ok_or_else(|| eyre!("no height"))
    }

    /// Sets the node's clock.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn set_time(&self, time: u64) -> Result<()> {
        self.rpc.call("setmocktime", json!([time])).await?;
        Ok(())
    }

    /// Calls a node method.
    ///
    /// # Errors
    /// With the node's message.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        self.rpc.call(method, params).await
    }
}
