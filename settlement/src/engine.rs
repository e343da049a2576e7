//! Drives every epoch from its snapshot to its proof. Each step writes what it is about to do, does it, and writes that
//! it is done; each asks the contract or the node first, so a step that is repeated after a crash changes nothing.

mod answer;
mod commit;
mod fund;
mod owners;
mod pay;
mod prove;
mod raise;
mod vary;

pub use answer::Watch;
pub use commit::recompute;
pub(crate) use pay::unsigned;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bitcoin::{BlockHash, Txid};
use domain::EpochId;
use evm::Deployment;
use tokio::sync::{Mutex, RwLock};
use tracing::{info, warn};

use crate::{
    backend::{Backend, Connection},
    chain::{Chain, rpc},
    config::Config,
    error::Error,
    halt::Halts,
    known::KnownTx,
    live::{Live, LiveBitcoin, LiveEvm, Sockets},
    metrics, orders,
    plan::PlannedTx,
    rim::{Bitcoin, Book, Evm, Rim},
    state::State,
    store::Store,
    treasury::Treasury,
    vault::{Coin, GENESIS_BATON, Keychain, Vault},
};

/// Blocks below the tip in which coins may have been spent that a reorg gives back.
pub(crate) const REORG: u32 = 1_000;
/// Longest pause after repeated failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The running service. Share it by `Arc` with the status server.
#[derive(Debug)]
pub struct Engine<R: Rim = Live> {
    config: Config,
    vault: Vault,
    chain: R::Evm,
    node: R::Bitcoin,
    store: Arc<R::Book>,
    signers: R::Signers,
    halts: Halts,
    /// When each transaction was last handed to the node, by the node's `elapsed`.
    sent_at: Mutex<BTreeMap<Txid, Duration>>,
    watch: Mutex<Watch>,
    /// Tip when this process first handed a transaction out.
    sent_below: Mutex<BTreeMap<Txid, u32>>,
    trouble: RwLock<Option<(String, &'static str)>>,
    /// What unfinished epochs wait for.
    waits: Mutex<BTreeMap<EpochId, String>>,
    /// Fees raised since this process started.
    bumps: AtomicU64,
}

impl Engine {
    /// Opens the database, loads the wallet, connects to both chains and checks that they are the right ones.
    ///
    /// # Errors
    /// When another instance runs, a file is missing, a node is down or on another chain.
    pub async fn start(config: Config, halts: Halts) -> Result<Self, Error> {
        let store = Arc::new(Store::open(&config.database).await?);
        let vault = config.vault()?;
        let deployment = Deployment::read(&config.deployment)?;
        let chain = Chain::connect(&config.evm.rpc, deployment).await?;
        let [first, _] = &config.evm.rpc;
        let writer = evm::connect_signing(first, evm::read_key(&config.evm.key_file)?)?;
        let connection = Connection::open(&config).await?;
        let asked = chain.ledger().confirmations().call().await;
        let asked = u32::from(asked.map_err(|error| rpc("confirmations", error))?);
        if config.bitcoin.confirmations < asked {
            let why = format!("bitcoin.confirmations must be at least {asked}, as the ledger asks");
            return Err(Error::Config(why));
        }
        let (lookahead, birthday) = (config.vault.lookahead, config.bitcoin.birthday_height);
        let changes = store.wallet().await?;
        store.compact_wallet(&changes).await?;
        let treasury = Treasury::load(&vault, changes, lookahead, birthday)?;
        let (tip, _) = treasury.tip();
        let coins = store.coins(tip.saturating_sub(REORG)).await?;
        let treasury = treasury.booked(&vault, config.vault.reserve_index, coins);
        let signers = Sockets(config.signers.iter().map(|each| each.socket.clone()).collect());
        let source = Backend::open(connection, &config, &vault, &treasury, &store).await?;
        let (chain, node) = (LiveEvm::new(chain, writer), LiveBitcoin::new(source, treasury));
        Ok(Self::new(config, vault, chain, node, store, signers, halts))
    }

    /// Works for ever. After a failure the pause doubles up to ten seconds.
    ///
    /// # Errors
    /// When the database cannot be written or holds damaged values, or the books do not add up: going on could lose what
    /// must not be lost.
    pub async fn run(&self) -> Result<(), Error> {
        let poll = Duration::from_millis(self.config.poll_ms);
        let mut pause = poll;
        loop {
            match self.live_round().await {
                Ok(()) => {
                    pause = poll;
                    *self.trouble.write().await = None;
                }
                Err(error) if error.is_fatal() => return Err(error),
                Err(Error::Waiting { .. }) => pause = poll,
                Err(error) => {
                    let words = Some((error.to_string(), metrics::kind(&error)));
                    let mut trouble = self.trouble.write().await;
                    if *trouble != words {
                        warn!("{error}");
                        *trouble = words;
                    }
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// One round and what only the running service does: orders before it, the court after it.
    async fn live_round(&self) -> Result<(), Error> {
        self.take_orders().await?;
        match self.round().await {
            Err(error) if error.is_fatal() => Err(error),
            // last, so that a lost database has its trees again
            ended => {
                let court = self.face_court().await;
                ended.and(court)
            }
        }
    }

    /// Carries out what two operators have ordered.
    async fn take_orders(&self) -> Result<(), Error> {
        let Some(orders) = &self.config.orders else { return Ok(()) };
        let (chain, ledger) = (self.chain.deployment.chain_id, self.chain.deployment.epoch_ledger);
        loop {
            let next = self.store.last_order().await?.0.saturating_add(1);
            let words = orders::read(&orders.dir)?;
            let found = orders::ordered(&words, next, chain, ledger, &orders.operators);
            let Some(action) = found else { return Ok(()) };
            self.store.put_order(next, action).await?;
            warn!(order = next, "two operators ordered: {action:?}");
        }
    }
}

impl<R: Rim> Engine<R> {
    /// An engine in surroundings that were opened and checked.
    pub fn new(
        config: Config,
        vault: Vault,
        chain: R::Evm,
        node: R::Bitcoin,
        store: Arc<R::Book>,
        signers: R::Signers,
        halts: Halts,
    ) -> Self {
        Self {
            config,
            vault,
            chain,
            node,
            store,
            signers,
            halts,
            sent_at: Mutex::default(),
            watch: Mutex::default(),
            sent_below: Mutex::default(),
            trouble: RwLock::default(),
            waits: Mutex::default(),
            bumps: AtomicU64::new(0),
        }
    }

    /// The database, for the status server.
    #[must_use]
    pub fn store(&self) -> Arc<R::Book> {
        Arc::clone(&self.store)
    }

    /// What went wrong in the last round, if anything did.
    pub async fn trouble(&self) -> Option<String> {
        self.trouble.read().await.as_ref().map(|(words, _)| words.clone())
    }

    /// Its kind, as the metrics name it.
    pub async fn trouble_kind(&self) -> Option<&'static str> {
        self.trouble.read().await.as_ref().map(|(_, kind)| *kind)
    }

    /// Blocks that have come since this process handed a transaction out.
    pub async fn blocks_waiting(&self, txid: Txid) -> u32 {
        let (tip, _) = self.node.tip();
        self.sent_below.lock().await.get(&txid).map_or(0, |sent| tip.saturating_sub(*sent))
    }

    /// How long ago the node last answered this process that it has a transaction; `None` if it never did.
    pub async fn since_handed_out(&self, txid: Txid) -> Option<Duration> {
        let at = self.sent_at.lock().await.get(&txid).copied();
        at.map(|at| self.node.elapsed().saturating_sub(at))
    }

    /// Fees raised since this process started.
    #[must_use]
    pub fn bumps(&self) -> u64 {
        self.bumps.load(Ordering::Relaxed)
    }

    /// What unfinished epochs wait for.
    pub async fn waits(&self) -> BTreeMap<EpochId, String> {
        self.waits.lock().await.clone()
    }

    async fn note_wait(&self, epoch: EpochId, what: Option<&str>) {
        let mut waits = self.waits.lock().await;
        match what {
            None => drop(waits.remove(&epoch)),
            Some(what) if waits.get(&epoch).is_some_and(|known| known == what) => {}
            Some(what) => {
                info!(epoch = epoch.0, "waits: {what}");
                waits.insert(epoch, what.to_owned());
            }
        }
    }

    /// One look at both chains, and every step that can be taken. An epoch that fails or waits does not hold up the
    /// later ones but where they depend on it; the first failure is reported.
    ///
    /// # Errors
    /// With the first failure; the round may be repeated after any but one of the database or of the books.
    pub async fn round(&self) -> Result<(), Error> {
        loop {
            let (news, more) = self.node.sync().await?;
            self.store.put_news(&news).await?;
            if !more {
                break;
            }
        }
        let mut first = self.adopt_committed().await.err();
        if first.is_none() {
            first = self.begin_next().await.err();
        }
        for epoch in self.store.unfinished().await? {
            loop {
                let step = self.advance(epoch).await;
                match &step {
                    Err(Error::Waiting { what, .. }) => self.note_wait(epoch, Some(what)).await,
                    _ => self.note_wait(epoch, None).await,
                }
                match step {
                    Ok(true) => {}
                    Ok(false) | Err(Error::Waiting { .. }) => break,
                    Err(error @ Error::Conservation { .. }) => return Err(error),
                    Err(error) => {
                        first.get_or_insert(error);
                        break;
                    }
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Takes one step; `false` if there is nothing to do now.
    async fn advance(&self, epoch: EpochId) -> Result<bool, Error> {
        let Some(state) = self.store.state(epoch).await? else { return Ok(false) };
        let (before, began) = (state.name(), self.node.elapsed());
        let moved = match state {
            State::Snapshot(at) => self.allocate(epoch, at).await?,
            State::Allocated(intent) => self.commit(epoch, intent).await?,
            State::Committed(intent) => self.plan(epoch, intent).await?,
            State::Planned(planned) => self.sign(epoch, planned).await?,
            State::Signed(signed) => self.send(epoch, signed).await?,
            State::Sent(signed) => self.follow(epoch, signed).await?,
            State::Confirmed(confirmed) => self.prove(epoch, confirmed).await?,
            State::Proven(_) | State::Closed(_) => false,
        };
        if moved && let Some(phase) = self.store.phase(epoch).await? {
            let took = self.node.elapsed().saturating_sub(began);
            info!(epoch = epoch.0, from = before, ?took, "{phase}");
        }
        Ok(moved)
    }

    /// Waits until every earlier epoch that is not finished satisfies `ready`.
    async fn after_earlier(
        &self,
        epoch: EpochId,
        what: &str,
        ready: impl Fn(&State) -> bool,
    ) -> Result<(), Error> {
        for earlier in self.store.unfinished().await?.into_iter().filter(|other| *other < epoch) {
            let state = self.store.state(earlier).await?;
            if !state.as_ref().is_some_and(&ready) {
                return Err(Error::waiting(epoch, format!("epoch {earlier} is not {what} yet")));
            }
        }
        Ok(())
    }

    /// The books add up, so `txs` may be signed. Where they wait for an epoch, the ledger's clock tells whether there can
    /// be such an epoch; a fee is raised without it.
    async fn check_books(&self, epoch: EpochId, txs: &[PlannedTx]) -> Result<(), Error> {
        match self.store.check_books(epoch, txs, None).await {
            Err(wait @ Error::Waiting { .. }) => {
                let Ok(now) = self.chain.now().await else { return Err(wait) };
                let ended = self.chain.first_epoch()..EpochId::at(now);
                self.store.check_books(epoch, txs, Some(&ended)).await
            }
            ended => ended,
        }
    }

    /// The baton that the next planned epoch spends, with the transaction that created it.
    async fn baton(&self, epoch: EpochId) -> Result<(Coin, KnownTx), Error> {
        if let Some((from, coin, creator)) = self.store.baton().await? {
            if from >= epoch {
                let what = format!("its baton was already spent by the plan of epoch {from}");
                return Err(Error::mismatch(epoch, what));
            }
            return Ok((coin, creator));
        }
        let outpoint = self.chain.first_baton().await?;
        let creator = self.store.genesis(outpoint.txid).await?;
        let creator = creator.ok_or_else(|| {
            Error::waiting(epoch, format!("the first baton {outpoint} is in no block we have read"))
        })?;
        let output =
            usize::try_from(outpoint.vout).ok().and_then(|vout| creator.output.get(vout)).cloned();
        let script = self.vault.script(Keychain::Baton, GENESIS_BATON)?;
        let output = output.filter(|output| output.script_pubkey == script).ok_or_else(|| {
            Error::mismatch(
                epoch,
                format!("the first baton {outpoint} does not pay our descriptor"),
            )
        })?;
        let coin = Coin { outpoint, output, keychain: Keychain::Baton, index: GENESIS_BATON };
        Ok((coin, creator.into()))
    }

    /// Where a transaction is in the active chain, if it is: height, block, confirmations.
    async fn included(&self, txid: Txid) -> Result<Option<(u32, BlockHash, u32)>, Error> {
        let (tip, _) = self.node.tip();
        for (height, block) in self.store.seen(txid).await? {
            if height <= tip && self.node.hash_at(height).await? == block {
                let depth = tip.saturating_sub(height).saturating_add(1);
                return Ok(Some((height, block, depth)));
            }
        }
        Ok(None)
    }
}
