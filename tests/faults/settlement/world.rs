//! A world to pay in: both dev chains, three signers, two holders with Bitcoin addresses, and the real `settlement`.

use std::{path::PathBuf, process::Command, str::FromStr, time::Duration};

use alloy::primitives::{Address, U256, aliases::U40};
use bitcoin::hashes::Hash;
use domain::UNIT;
use evm::bindings::{
    IDemoQuote, IEpochLedger, IFleetOracle, IPayoutRegistry, IPrimarySale, ITwabToken,
};
use serde_json::{Value, json};
use tests::report;
use xtask::{
    devnet::{Bitcoind, DevKey, Devnet, Options, dev_key, write_key},
    paths,
    process::Process,
};

use super::desk::{PATIENCE, init_signer, run_signer, start_signer, vault, write_config};

/// Whole units: registered, Anya's and Boris's. The rest stays with the primary sale, which has no address.
pub const UNITS: u64 = 100;
pub const ANYA: u64 = 30;
pub const BORIS: u64 = 12;
/// Sats that each epoch earns.
pub const POT: u64 = 1_000_000;
/// Sats in the first baton: the operator's reserve for miner fees.
pub const RESERVE: u64 = 1_000_000;
const MATURE: u32 = 6;

pub struct World {
    pub net: Devnet,
    pub dir: PathBuf,
    pub config: PathBuf,
    /// Epoch that the next call to `earn` closes.
    pub next: u32,
    /// Payout scripts of Anya and Boris, hex.
    pub scripts: [String; 2],
    /// The first baton.
    pub baton: bitcoin::OutPoint,
    /// Miners take everything but payouts.
    pub full: bool,
    /// The node that settlement speaks to, if it is not `net.bitcoin`.
    #[allow(dead_code, reason = "`tests/nodes` asks it")]
    pub peer: Option<Bitcoind>,
    signers: Vec<Process>,
    // dropped last: the processes above log into it
    _scratch: tempfile::TempDir,
}

impl World {
    /// Chains, contracts, signers, baton, fee reserve, holders; the first epoch is closed with nothing to pay.
    pub async fn start() -> Self {
        Self::start_on("", false).await
    }

    /// The same on a Bitcoin node with these settings; if `cluster`, settlement speaks to one with a cluster mempool beside
    /// it.
    pub async fn start_on(node: &str, cluster: bool) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().to_owned();
        std::fs::create_dir(dir.join("bitcoin")).unwrap();
        std::fs::write(dir.join("bitcoin/bitcoin.conf"), format!("[regtest]\n{node}")).unwrap();
        let options = Options::default();
        let net = Devnet::start(&dir, options.clone()).await.unwrap();
        let mut peer = None;
        if cluster {
            let started = net.bitcoin.start_cluster_peer(&dir, options.first_port, options.genesis);
            peer = Some(started.await.unwrap());
        }
        let first = net.deployment.first_epoch.0;
        let keys: Vec<String> = ["a", "b", "c"].map(|name| init_signer(&dir, name)).into();
        let vault = vault(&keys);
        let config = write_config(&dir, &net, peer.as_ref().unwrap_or(&net.bitcoin), &vault);
        write_key(DevKey::Operator, &dir.join("operator.key")).unwrap();
        let mut signers = Vec::new();
        for name in ["a", "b", "c"] {
            signers.push(start_signer(&dir, &net, &vault, name).await);
        }
        let mut world = Self {
            net,
            config,
            next: first,
            scripts: [String::new(), String::new()],
            baton: bitcoin::OutPoint::null(),
            full: false,
            peer,
            signers,
            dir,
            _scratch: scratch,
        };
        world.open().await;
        world
    }

    async fn open(&mut self) {
        report::register_batch(&self.net, UNITS, 4).await.unwrap();
        for (position, who) in [DevKey::Anya, DevKey::Boris].into_iter().enumerate() {
            // one of each witness version, of nobody's keys: what they get stays where it is
            let script =
                [[&[0x00, 0x14], [7; 20].as_slice()].concat(), taproot()][position].clone();
            let script = bitcoin::ScriptBuf::from_bytes(script);
            let address = bitcoin::Address::from_script(&script, bitcoin::Network::Regtest);
            let address = address.unwrap().to_string();
            let script = self.cli(&["script", "--network", "regtest", &address]);
            self.scripts[position] = script.trim_start_matches("0x").to_owned();
            let registry = self.net.deployment.payout_registry;
            let registry = IPayoutRegistry::new(registry, self.net.evm.as_key(who).unwrap());
            let bytes = hex::decode(&self.scripts[position]).unwrap();
            evm::land("setScript", registry.setScript(bytes.into(), 0)).await.unwrap();
        }
        let baton = self.address(&["baton-genesis"]);
        let (txid, vout) = self.net.bitcoin.pay(&baton, RESERVE).await.unwrap();
        self.baton = bitcoin::OutPoint { txid: txid.parse().unwrap(), vout };
        let operator = self.net.evm.as_key(DevKey::Operator).unwrap();
        let ledger = IEpochLedger::new(self.net.deployment.epoch_ledger, operator);
        evm::land("setBaton", ledger.setBaton(internal(&txid), vout)).await.unwrap();
        self.earn(0).await;
        self.buy().await;
        report::enter_epoch(&self.net, self.next).await.unwrap();
        // holdings are whole from the next epoch on; this one is split by seconds and has no pot
        self.earn(0).await;
    }

    async fn buy(&self) {
        let (anya, quote) = (self.net.evm.as_key(DevKey::Anya).unwrap(), u64::MAX);
        let contracts = &self.net.deployment;
        let token = IDemoQuote::new(contracts.quote, anya.clone());
        let sale = IPrimarySale::new(contracts.primary_sale, anya.clone());
        let unit = ITwabToken::new(contracts.series[0].unit, anya);
        let (me, boris) = (address(DevKey::Anya), address(DevKey::Boris));
        let quote = U256::from(quote);
        evm::land("mint", token.mint(me, quote)).await.unwrap();
        evm::land("approve", token.approve(contracts.primary_sale, quote)).await.unwrap();
        evm::land("buy", sale.buy(1, units(ANYA + BORIS), quote, me)).await.unwrap();
        evm::land("transfer", unit.transfer(boris, units(BORIS))).await.unwrap();
    }

    /// Ends epoch `next`, pays `sats` into the treasury and has the quorum report them. Returns the epoch.
    pub async fn earn(&mut self, sats: u64) -> u32 {
        let epoch = self.next;
        report::enter_epoch(&self.net, epoch + 1).await.unwrap();
        let mut body = report::blank_report(&self.net, epoch).await.unwrap();
        if sats > 0 {
            let treasury = self.address(&["treasury", "1"]);
            let (txid, vout) = self.net.bitcoin.pay(&treasury, sats).await.unwrap();
            self.blocks(MATURE).await;
            body.receipts = vec![IFleetOracle::Receipt { txid: internal(&txid), vout, sats }];
            body.series[0].pots = vec![IFleetOracle::Piece { workEpoch: epoch, sats }];
        }
        body.observedAt = U40::from(self.net.evm.now().await.unwrap());
        report::post(&self.net, body).await.unwrap();
        self.net.evm.mine(3).await.unwrap();
        self.next += 1;
        epoch
    }

    /// Has settlement read Bitcoin from a light server from its next start on.
    pub fn read_from(&self, kind: &str, url: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        let old = text.lines().find(|line| line.starts_with("backend = ")).unwrap();
        self.configure(old, &format!("backend = {{ kind = {kind:?}, url = {url:?} }}"));
    }

    /// Changes settlement's configuration, from its next start on.
    pub fn configure(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&self.config, text.replacen(from, to, 1)).unwrap();
    }

    /// Runs `settlement run`, halting at a point if one is named, and waits until it is ready.
    pub async fn settle(&self, halt_at: Option<&str>) -> Process {
        let mut command = Command::new(paths::ours("settlement").unwrap());
        command.args(["run", "--config"]).arg(&self.config);
        if let Some(point) = halt_at {
            command.args(["--halt-at", point]);
        }
        let mut process = Process::spawn("settlement", &mut command, &self.dir).unwrap();
        process.line("ready settlement", PATIENCE).await.unwrap();
        process
    }

    /// Lets both chains run until the process has halted at its point.
    pub async fn until_halted(&self, process: &mut Process) {
        for _ in 0..200 {
            if process.output().unwrap().lines().any(|line| line.starts_with("halted ")) {
                return;
            }
            self.tick().await;
        }
        panic!("never halted:\n{}", process.tail());
    }

    /// Lets both chains run until the ledger has seen the epoch proven.
    pub async fn until_proven(&self, epoch: u32, process: &Process) {
        for _ in 0..200 {
            if self.is_proven(epoch).await {
                return;
            }
            self.tick().await;
        }
        panic!("epoch {epoch} is never proven:\n{}", process.tail());
    }

    /// Whether the ledger has seen the epoch proven.
    pub async fn is_proven(&self, epoch: u32) -> bool {
        let ledger = self.ledger();
        let committed = ledger.nextEpoch().call().await.unwrap() > epoch;
        committed && ledger.isProven(epoch).call().await.unwrap()
    }

    /// Lets both chains run for ever.
    pub async fn keep_mining(&self) {
        loop {
            self.tick().await;
        }
    }

    /// Lets both chains run until a block holds the epoch's payout.
    pub async fn until_mined(&self, epoch: u32) {
        for _ in 0..200 {
            if !self.payouts(epoch).await.is_empty() {
                return;
            }
            self.tick().await;
        }
        panic!("epoch {epoch} is never mined");
    }

    /// Replaces the last `depth` blocks by one more, empty ones: what was in them waits again.
    pub async fn reorg(&self, depth: u64) {
        let fork = self.net.bitcoin.height().await.unwrap() + 1 - depth;
        let hash = self.net.bitcoin.call("getblockhash", json!([fork])).await.unwrap();
        self.net.bitcoin.call("invalidateblock", json!([hash])).await.unwrap();
        for _ in 0..=depth {
            self.block_of(&[]).await;
        }
    }

    /// Mines blocks.
    pub async fn blocks(&self, count: u32) {
        if !self.full {
            self.net.bitcoin.mine(count).await.unwrap();
            return;
        }
        for _ in 0..count {
            let mut others = Vec::new();
            let waiting = self.net.bitcoin.call("getrawmempool", json!([])).await.unwrap();
            for txid in waiting.as_array().unwrap() {
                let raw = self.net.bitcoin.call("getrawtransaction", json!([txid])).await;
                // it may just have been replaced
                let Ok(raw) = raw else { continue };
                if !raw.as_str().unwrap().contains("6a284c485231") {
                    others.push(raw);
                }
            }
            self.block_of(&others).await;
        }
    }

    /// Mines a block of these transactions, in hex.
    pub async fn block_of(&self, transactions: &[Value]) {
        let address = self.net.bitcoin.faucet().call("getnewaddress", json!([])).await.unwrap();
        let block = json!([address, transactions]);
        self.net.bitcoin.call("generateblock", block).await.unwrap();
    }

    pub async fn tick(&self) {
        self.net.evm.mine(1).await.unwrap();
        self.blocks(1).await;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }

    pub fn ledger(&self) -> IEpochLedger::IEpochLedgerInstance<evm::DynProvider> {
        IEpochLedger::new(self.net.deployment.epoch_ledger, self.net.evm.reader().unwrap())
    }

    /// The epoch's committed root.
    pub async fn root(&self, epoch: u32) -> IEpochLedger::Root {
        let (ledger, from) = (self.net.deployment.epoch_ledger, self.net.deployment.block);
        let reader = self.net.evm.reader().unwrap();
        let found = evm::record::committed(&reader, ledger, from, epoch).await.unwrap();
        found.unwrap().commitment.root
    }

    /// What `settlement status` says of an epoch.
    pub fn status(&self, epoch: u32) -> Value {
        let config = self.config.to_str().unwrap();
        let all: Value = serde_json::from_str(&self.cli(&["status", "--config", config])).unwrap();
        let epochs = all["epochs"].as_array().unwrap();
        epochs.iter().find(|found| found["epoch"] == epoch).cloned().unwrap_or(Value::Null)
    }

    /// Output of a `settlement` command that must succeed.
    pub fn cli(&self, args: &[&str]) -> String {
        let output = Command::new(paths::ours("settlement").unwrap()).args(args).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "settlement {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn address(&self, which: &[&str]) -> String {
        let config = self.config.to_str().unwrap();
        self.cli(&[&["address", "--config", config], which].concat())
    }

    /// Removes the whole database.
    pub fn delete_database(&self) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(self.dir.join(format!("settlement.sqlite{end}")));
        }
        assert!(!self.dir.join("settlement.sqlite").exists());
    }

    /// Stops a signer.
    pub fn stop_signer(&mut self, position: usize) {
        self.signers[position].kill().unwrap();
    }

    /// SIGKILL of a signer, and a new one in its place at once.
    pub fn restart_signer(&mut self, position: usize) {
        self.signers[position].kill().unwrap();
        self.signers[position] = run_signer(&self.dir, ["a", "b", "c"][position]);
    }

    /// Sats ever paid to a script and not spent: payees of this world spend nothing.
    pub async fn received(&self, script: &str) -> u64 {
        let scan = json!(["start", [format!("raw({script})")]]);
        let found = self.net.bitcoin.call("scantxoutset", scan).await.unwrap();
        let amount = found["total_amount"].to_string();
        let amount = bitcoin::Amount::from_str_in(&amount, bitcoin::Denomination::Bitcoin);
        amount.unwrap().to_sat()
    }

    /// Transactions in the active chain whose marker names the epoch.
    pub async fn payouts(&self, epoch: u32) -> Vec<bitcoin::Transaction> {
        let prefix = format!("6a284c485231{epoch:08x}");
        let tip = self.net.bitcoin.height().await.unwrap();
        let mut found = Vec::new();
        for height in (102..=tip).rev() {
            let hash = self.net.bitcoin.call("getblockhash", json!([height])).await.unwrap();
            let raw = self.net.bitcoin.call("getblock", json!([hash, 0])).await.unwrap();
            let raw = hex::decode(raw.as_str().unwrap()).unwrap();
            let block: bitcoin::Block = bitcoin::consensus::deserialize(&raw).unwrap();
            let names = |tx: &bitcoin::Transaction| {
                tx.output
                    .iter()
                    .any(|o| hex::encode(o.script_pubkey.as_bytes()).starts_with(&prefix))
            };
            found.extend(block.txdata.into_iter().filter(names));
        }
        found
    }
}

fn taproot() -> Vec<u8> {
    [&[0x51, 0x20], [9; 32].as_slice()].concat()
}

pub fn address(who: DevKey) -> Address {
    dev_key(who).address()
}

fn units(whole: u64) -> U256 {
    U256::from(whole) * U256::from(UNIT)
}

/// A txid as contracts have it.
pub fn internal(txid: &str) -> alloy::primitives::B256 {
    bitcoin::Txid::from_str(txid).unwrap().to_byte_array().into()
}
