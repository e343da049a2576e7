//! The running demo: who is up and where. Starting order is the order of what needs what.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::B256;
use domain::EpochId;
use evm::{Deployment, SeriesContracts, bindings::IEpochLedger};
use eyre::{Result, bail, eyre};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Options, keys, outside, say, second_payout, services, time};
use crate::{
    devnet::{Anvil, Bitcoind, DevKey, deploy, dev_key, next_epoch_start},
    process::{Process, kill_orphans},
};

/// Sats in the first baton: the operator's reserve for miner fees.
const RESERVE: u64 = 5_000_000;
/// Blocks of the BTC chain that belong to the operator, to the exchange, and to the pool.
const FIRST_BLOCKS: (u32, u32, u32) = (2, 12, 110);
/// How long a step of the story may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything that runs.
#[derive(Debug)]
pub struct World {
    /// Folder of everything.
    pub dir: PathBuf,
    /// EVM chain.
    pub evm: Arc<Anvil>,
    /// Bitcoin chain.
    pub bitcoin: Arc<Bitcoind>,
    /// The chain that stands for Bitcoin Cash.
    pub bch: Arc<Bitcoind>,
    /// Contracts.
    pub deployment: Deployment,
    /// Base URL of the indexer: the page and the API.
    pub api: String,
    /// Base URL of the switching engine's status.
    pub switching: String,
    /// Base URL of the machines' statistics.
    pub machines: String,
    /// Where machines connect.
    pub stratum: String,
    only_series: SeriesContracts,
    processes: tokio::sync::Mutex<Vec<Process>>,
    time: (CancellationToken, JoinHandle<()>),
    commands: services::Commands,
}

impl World {
    /// Starts everything; chain time runs when this returns.
    ///
    /// # Errors
    /// When a part does not come up; the message names it and shows the end of its log.
    pub async fn start(options: &Options) -> Result<Self> {
        let dir = empty_folder(&options.dir)?;
        say::act("Starting the chains and the world around us");
        let (evm, bitcoin, bch) = chains(&dir).await?;
        let descriptors = keys::make_bitcoin_keys(&dir)?;
        let ports = services::Ports::take(options.port)?;
        let treasury = services::treasury_addresses(&dir, &evm, &bitcoin, &descriptors, &ports)?;
        let exchange = outside::start_exchange(&dir, &bitcoin, &bch, &treasury.withdrawals).await?;
        let deposits = outside::deposit_address(&exchange, "BCH").await?;
        let (operator, coins) = (
            bitcoin.new_address("operator", "bech32").await?,
            bitcoin.new_address("exchange", "bech32").await?,
        );
        let others = [(operator, FIRST_BLOCKS.0), (coins, FIRST_BLOCKS.1)];
        let btc_pool =
            outside::start_pool(&dir, "BTC", &bitcoin, &treasury.pool, FIRST_BLOCKS.2, &others)
                .await?;
        let bch_pool =
            outside::start_pool(&dir, "BCH", &bch, &deposits, FIRST_BLOCKS.2, &[]).await?;
        say::done("two chains of coins, two pools and an exchange are up");
        let deployment_path = deploy(&dir, &evm, 6).await?;
        let deployment = Deployment::read(&deployment_path)?;
        let only_series =
            deployment.series.first().cloned().ok_or_else(|| eyre!("no series was deployed"))?;
        say::done(&format!("contracts are deployed on chain {}", deployment.chain_id));
        let plan = services::Plan {
            dir: &dir,
            evm: &evm,
            bitcoin: &bitcoin,
            deployment: &deployment_path,
            descriptors: &descriptors,
            treasury: &treasury,
            exchange: &exchange,
            btc_pool: &btc_pool,
            bch_pool: &bch_pool,
            ports: &ports,
        };
        let (mut processes, commands) = services::start(&plan).await?;
        let machines = outside::start_machines(&dir, &ports.stratum).await?;
        say::done(
            "switching, conversion, five oracle signers, indexer, settlement and two Bitcoin signers are up",
        );
        let machines_http = machines.http.clone();
        processes.extend([machines.process, btc_pool.process, bch_pool.process, exchange.process]);
        let stop = CancellationToken::new();
        let nodes = vec![Arc::clone(&bitcoin), Arc::clone(&bch)];
        let task = time::start(Arc::clone(&evm), nodes, stop.clone()).await?;
        let world = Self {
            api: format!("http://{}", ports.api),
            switching: format!("http://{}", ports.switching),
            machines: machines_http,
            stratum: ports.stratum.clone(),
            only_series,
            processes: tokio::sync::Mutex::new(processes),
            time: (stop, task),
            commands,
            dir,
            evm,
            bitcoin,
            bch,
            deployment,
        };
        world.first_baton().await?;
        Ok(world)
    }

    /// The demo's only series.
    #[must_use]
    pub fn series(&self) -> &SeriesContracts {
        &self.only_series
    }

    /// Pays the first baton from the operator's coins and tells the ledger about it.
    async fn first_baton(&self) -> Result<()> {
        let address = self.commands.baton_address()?;
        let (txid, vout) = self.bitcoin.pay_from("operator", &address, RESERVE).await?;
        let operator = self.bitcoin.rpc.wallet("operator");
        self.wait_until("the first baton's confirmation", async || {
            let transaction = operator.call("gettransaction", json!([txid])).await?;
            Ok(transaction["confirmations"].as_i64().is_some_and(|n| n > 0))
        })
        .await?;
        let mut hash: B256 = txid.parse()?;
        hash.0.reverse();
        let ledger =
            IEpochLedger::new(self.deployment.epoch_ledger, self.evm.as_key(DevKey::Operator)?);
        evm::land("setBaton", ledger.setBaton(hash, vout)).await?;
        say::done(&format!("the first baton, with {RESERVE} sat for fees, is {txid}:{vout}"));
        Ok(())
    }

    /// Waits until `ready` says yes; fails when it takes too long or a process ends.
    ///
    /// # Errors
    /// As said; the message names what was waited for.
    pub async fn wait_until(
        &self,
        what: &str,
        ready: impl AsyncFn() -> Result<bool>,
    ) -> Result<()> {
        let started = std::time::Instant::now();
        while !ready().await? {
            self.all_alive().await?;
            if started.elapsed() > PATIENCE {
                bail!("{what} did not come within {} s", PATIENCE.as_secs());
            }
            say::waiting(what);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// A moment, in which every process must be alive.
    ///
    /// # Errors
    /// When one ended; the message names it.
    pub async fn pause(&self) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(250)).await;
        self.all_alive().await
    }

    async fn all_alive(&self) -> Result<()> {
        for process in self.processes.lock().await.iter_mut() {
            if let Some(status) = process.ended()? {
                bail!("{} ended ({status}):\n{}", process.name(), process.tail());
            }
        }
        Ok(())
    }

    /// Runs one of the demo's commands to its end and returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run_to_end(&self, name: &str) -> Result<String> {
        let mut command = self.commands.named(name)?;
        tokio::task::spawn_blocking(move || keys::output(&mut command)).await?
    }

    /// A signed transaction that pays `epoch` again at a higher fee, as raw hex.
    ///
    /// # Errors
    /// When settlement or its signers refuse.
    pub async fn second_payout(&self, epoch: EpochId) -> Result<String> {
        let mut command = self.commands.planned_psbt(epoch)?;
        let planned = tokio::task::spawn_blocking(move || keys::output(&mut command)).await??;
        let sockets: Vec<PathBuf> = keys::BITCOIN_SIGNERS
            .iter()
            .take(2)
            .map(|name| keys::signer_home(&self.dir, name).join("signer.sock"))
            .collect();
        let sockets: Vec<&Path> = sockets.iter().map(PathBuf::as_path).collect();
        second_payout::sign(&planned, &sockets).await
    }

    /// Tells where to look.
    pub fn where_to_look(&self) {
        let anya = dev_key(DevKey::Anya).address();
        let cookie = self.bitcoin.cookie.display();
        say::act("Everything is up");
        for (what, place) in [
            ("page and API", format!("{}/", self.api)),
            ("fleet", format!("{}/status", self.switching)),
            ("machines connect to", self.stratum.clone()),
            ("EVM node", self.evm.url.clone()),
            ("bitcoind", format!("{} (cookie {cookie})", self.bitcoin.url)),
            ("contracts", self.dir.join("deployment.json").display().to_string()),
            ("logs", format!("{}/*.log", self.dir.display())),
            ("check everything", "./scripts/audit, or with --tamper".into()),
            ("check one holder", format!("./scripts/audit --account {anya}")),
        ] {
            say::line(&format!("  {what:<20} {place}"));
        }
        say::line("  Ctrl-C stops all of it");
    }

    /// Returns when a process ends that should not.
    ///
    /// # Errors
    /// Always: which process, and the end of its log.
    pub async fn watch(&self) -> Result<()> {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.all_alive().await?;
        }
    }

    /// Stops every process, last started first, and time.
    pub async fn shut_down(self) {
        self.time.0.cancel();
        let _ = self.time.1.await;
        let mut processes = self.processes.into_inner();
        while let Some(mut process) = processes.pop() {
            if !process.stop() {
                say::note(&format!("{} had to be killed", process.name()));
            }
        }
        let _ = std::fs::remove_file(self.dir.join("audit.args"));
    }
}

async fn chains(dir: &Path) -> Result<(Arc<Anvil>, Arc<Bitcoind>, Arc<Bitcoind>)> {
    let genesis = next_epoch_start();
    let evm = Anvil::start(dir, 8_545, genesis).await?;
    evm.fund(&DevKey::ALL).await?;
    let bitcoin = Bitcoind::start(dir, "bitcoin", 18_343, genesis).await?;
    let bch = Bitcoind::start(dir, "bitcoin-cash", 18_343, genesis).await?;
    Ok((Arc::new(evm), Arc::new(bitcoin), Arc::new(bch)))
}

/// Empties the demo's folder, unless another demo runs in it or it holds something else.
fn empty_folder(dir: &Path) -> Result<PathBuf> {
    let mark = dir.join("demo.pid");
    if let Ok(text) = std::fs::read_to_string(&mark) {
        // Empty for a process that ended and was not waited for.
        let alive = std::fs::read_to_string(format!("/proc/{}/cmdline", text.trim()));
        if alive.is_ok_and(|words| words.contains("xtask")) {
            bail!(
                "a demo runs in {} already (process {}): stop it first",
                dir.display(),
                text.trim()
            );
        }
        let orphans = kill_orphans(&dir.canonicalize()?)?;
        if orphans > 0 {
            say::note(&format!("{orphans} processes of a demo that was killed are stopped"));
            std::thread::sleep(Duration::from_millis(300));
        }
        std::fs::remove_dir_all(dir)?;
    } else if dir.exists() && dir.read_dir()?.next().is_some() {
        bail!("{} is not a demo's folder: name an empty one with --dir", dir.display());
    }
    std::fs::create_dir_all(dir)?;
    std::fs::write(&mark, std::process::id().to_string())?;
    Ok(dir.canonicalize()?)
}
