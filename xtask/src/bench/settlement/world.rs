//! The real engine on a real Bitcoin node and a real database; the EVM chain and the signers' view of it are in memory,
//! because what is measured is settlement and not an EVM node.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::primitives::{Address, U256, keccak256};
use bitcoin::{OutPoint, ScriptBuf, Txid};
use domain::{EpochId, SeriesId};
use eyre::{Result, eyre};
use serde_json::json;
use settlement::{
    allocate::{Entry, Piece, Weights},
    database::Database,
    engine::Engine,
    halt::Halts,
    live::LiveBitcoin,
    node::Node,
    protocol::Request,
    psbt::Signatures,
    rim::{Rim, Signers},
    signer::{sign_with, store::SignerStore},
    store::Store,
    treasury::Treasury,
    vault::{GENESIS_BATON, Keychain},
};

use super::super::crash::{
    ledger::{Earned, Ledger},
    rim::Shared,
    settings::config,
    signers::{LIMITS, approved},
    sim::{Keys, Sim},
};
use crate::devnet::Bitcoind;

/// What the engine is measured in.
#[derive(Debug)]
pub(super) struct Measured;

impl Rim for Measured {
    type Evm = Shared;
    type Bitcoin = LiveBitcoin;
    type Book = Store;
    type Signers = Recorded;
}

/// The signers' rules and signatures, and a durable record on disk before each answer.
#[derive(Debug)]
pub(super) struct Recorded {
    rules: Shared,
    /// A signer takes one request after the other, in the order in which they come.
    stores: Vec<tokio::sync::Mutex<SignerStore>>,
}

impl Signers for Recorded {
    async fn ask(&self, signer: usize, request: &Request) -> Result<Signatures, String> {
        let store = self.stores.get(signer).ok_or("no such signer")?.lock().await;
        let facts = self.rules.facts(signer, request)?;
        let (vault, key) = (self.rules.0.borrow().vault.clone(), self.rules.key(signer));
        let (root, asked) = (facts.commitment.root.hash, request.clone());
        // each on a thread of its own, as each is a process of its own in service
        let own = tokio::task::spawn_blocking(move || {
            let mut own = approved(&vault, &facts, &asked)?;
            let signatures = sign_with(&key, &mut own).map_err(|error| error.to_string())?;
            Ok::<_, String>((own, signatures))
        });
        let (own, signatures) = own.await.map_err(|error| error.to_string())??;
        let tx = &own.unsigned_tx;
        let (txid, spends) = (tx.compute_txid(), tx.input[0].previous_output);
        let sats = tx.output.iter().map(|output| output.value.to_sat()).sum();
        let (epoch, batch, now) = (request.epoch, request.batch, self.rules.0.borrow().ledger.time);
        let kept =
            store.record_spend(&LIMITS, epoch, batch, txid, root, spends, sats, 0, now).await;
        kept.map_err(|error| error.to_string())?;
        self.rules.keep(signer, request, root, txid);
        Ok(signatures)
    }
}

/// A node, a database, an engine.
pub(super) struct Bench {
    pub(super) node: Bitcoind,
    pub(super) engine: Engine<Measured>,
    pub(super) shared: Shared,
    pub(super) first: u32,
    pub(super) next: u32,
    /// Time spent in the engine.
    pub(super) busy: Cell<Duration>,
}

impl Bench {
    /// Chains, database and signers; the ledger begins with epoch `first`.
    pub(super) async fn start(dir: &Path, first: u32) -> Result<Self> {
        let time = crate::devnet::next_epoch_start();
        let port = crate::ports::base_of_this_process();
        let node = Bitcoind::start(dir, "bitcoin", port, time).await?;
        node.open_faucet().await?;
        let keys = Keys::new();
        let address = |keychain, index| keys.vault.address(keychain, index).map(|a| a.to_string());
        let baton = address(Keychain::Baton, GENESIS_BATON)?;
        let (txid, vout) = node.pay(&baton, 100_000_000).await?;
        let mut sim = Sim::new(&keys, 1);
        sim.ledger = Ledger::new(first, OutPoint { txid: txid.parse()?, vout });
        node.mine(1).await?;
        let shared = Shared(Rc::new(RefCell::new(sim)));
        let store = Arc::new(Store::open(&Database::Sqlite(dir.join("settlement.sqlite"))).await?);
        let treasury = Treasury::load(&keys.vault, store.wallet().await?, 20, 0)?.booked(
            &keys.vault,
            Some(0),
            store.coins(0).await?,
        );
        let client = Node::connect(&node.url, &node.cookie)?;
        let mut stores = Vec::new();
        for name in ["a", "b", "c"] {
            let folder = dir.join(format!("signer-{name}"));
            std::fs::create_dir_all(&folder)?;
            stores.push(tokio::sync::Mutex::new(SignerStore::open(&folder).await?));
        }
        let signers = Recorded { rules: shared.clone(), stores };
        let mut settings = config(90_000);
        settings.policy.max_fee_rate = 1_000;
        let bitcoin = LiveBitcoin::new(client, treasury);
        let (vault, chain) = (keys.vault.clone(), shared.clone());
        let engine = Engine::new(settings, vault, chain, bitcoin, store, signers, Halts::default());
        Ok(Self { node, engine, shared, first, next: first, busy: Cell::default() })
    }

    /// Ends an epoch in which `holders` with P2WPKH scripts earn `each` sats or a little more; the coin is in a block.
    pub(super) async fn earn(&mut self, holders: u32, each: u64) -> Result<u32> {
        let epoch = self.next;
        self.next += 1;
        let sats = u64::from(holders) * each;
        let treasury = self.shared.0.borrow().vault.address(Keychain::Treasury, 1)?.to_string();
        let (txid, vout) = self.node.pay(&treasury, sats).await?;
        self.node.mine(3).await?;
        let mut sim = self.shared.0.borrow_mut();
        let place = OutPoint { txid: txid.parse::<Txid>()?, vout };
        Arc::make_mut(&mut sim.ledger.receipts).insert(place);
        sim.ledger.time = sim.ledger.time.max(EpochId(epoch).end() + 1);
        let seconds = U256::from(28_800_u64) * U256::from(10_u64).pow(U256::from(18));
        let of: BTreeMap<Address, U256> = (0..holders).map(|n| (holder(n), seconds)).collect();
        let entry = |account: &Address| Entry { script: script(account), minimum: 0, dust: 294 };
        let entries = of.keys().map(|account| (*account, entry(account))).collect();
        let weights = Weights { total: seconds * U256::from(holders), of };
        let (series, work_epoch) = (SeriesId(1), EpochId(epoch));
        let pieces = vec![Piece { series, work_epoch, sats }];
        sim.ledger.mine();
        let block = sim.ledger.latest().number;
        sim.ledger.earned.insert(epoch, Earned { block, pieces, weights, entries });
        (0..3).for_each(|_| sim.ledger.mine());
        Ok(epoch)
    }

    /// One round of the engine; a wait is no failure here.
    pub(super) async fn round(&self) -> Result<()> {
        let started = Instant::now();
        let ended = self.engine.round().await;
        self.busy.set(self.busy.get() + started.elapsed());
        match ended {
            Ok(()) | Err(settlement::error::Error::Waiting { .. }) => Ok(()),
            Err(error) => Err(eyre!("{error}")),
        }
    }

    /// Scripts of the first holders.
    pub(super) fn scripts(&self, count: u32) -> Vec<ScriptBuf> {
        (0..count).map(|n| script(&holder(n))).collect()
    }

    /// What the engine says is wrong, if anything.
    pub(super) async fn trouble(&self) -> String {
        format!("{:?}", self.engine.round().await)
    }

    /// The commit becomes final.
    pub(super) fn finalise(&self) {
        (0..3).for_each(|_| self.shared.0.borrow_mut().ledger.mine());
    }

    /// Mines until every transaction of the epoch is deep and proven.
    pub(super) async fn finish(&self, epoch: u32) -> Result<()> {
        for _ in 0..40 {
            self.node.mine(2).await?;
            self.finalise();
            self.round().await?;
            if self.shared.0.borrow().ledger.done(epoch) {
                self.finalise();
                return self.round().await;
            }
        }
        Err(eyre!("epoch {epoch} is never proven: {:?}", self.engine.round().await))
    }

    /// A transaction of the node by its id, as verbose JSON.
    pub(super) async fn transaction(&self, txid: &Txid) -> Result<serde_json::Value> {
        self.node.call("getrawtransaction", json!([txid.to_string(), 1])).await
    }
}

fn holder(n: u32) -> Address {
    Address::from_slice(&keccak256(n.to_be_bytes())[..20])
}

fn script(account: &Address) -> ScriptBuf {
    ScriptBuf::from_bytes([&[0x00, 0x14], account.as_slice()].concat())
}
