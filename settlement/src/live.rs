//! The real surroundings of the engine: an EVM node at two endpoints, Bitcoin, SQLite or PostgreSQL, signers on sockets.

use std::{
    ops::{Deref, Range},
    path::PathBuf,
    time::Duration,
};

use alloy::primitives::{B256, U256};
use bitcoin::{BlockHash, OutPoint, Transaction, Txid, block::Header, hashes::Hash};
use domain::{EpochId, Leaf};
use evm::{
    BlockRef, DynProvider,
    bindings::{IBitcoinRelay, IEpochLedger},
};
use tokio::time::Instant;

use crate::{
    allocate::{Allocation, World},
    backend::Backend,
    chain::{Chain, Places, Report, rpc},
    error::Error,
    known::KnownTx,
    ledger::Figures,
    node::Broadcast,
    orders::Action,
    plan::PlannedTx,
    proof::Mined,
    protocol::{self, Request},
    psbt::Signatures,
    relay::{self, Headers},
    retrace,
    rim::{Bitcoin, Book, Evm, Rim, Signers},
    snapshot::Snapshots,
    state::State,
    store::{BitcoinNews, Store},
    treasury::{Treasury, TreasuryCoin},
    vault::Coin,
};

/// The real surroundings.
#[derive(Debug)]
pub struct Live;

impl Rim for Live {
    type Evm = LiveEvm;
    type Bitcoin = LiveBitcoin;
    type Book = Store;
    type Signers = Sockets;
}

/// The chain that is read, and the connection that writes to it.
#[derive(Debug)]
pub struct LiveEvm {
    chain: Chain,
    writer: DynProvider,
    snapshots: Snapshots,
}

impl LiveEvm {
    /// Over a chain, with a connection that signs.
    #[must_use]
    pub fn new(chain: Chain, writer: DynProvider) -> Self {
        Self { snapshots: Snapshots::new(chain.clone()), chain, writer }
    }

    /// The connection that signs.
    #[must_use]
    pub fn writer(&self) -> DynProvider {
        self.writer.clone()
    }

    /// The ledger, to be written to.
    #[must_use]
    pub fn writable_ledger(&self) -> IEpochLedger::IEpochLedgerInstance<DynProvider> {
        IEpochLedger::new(self.chain.deployment.epoch_ledger, self.writer.clone())
    }
}

impl Deref for LiveEvm {
    type Target = Chain;

    fn deref(&self) -> &Chain {
        &self.chain
    }
}

impl Evm for LiveEvm {
    fn first_epoch(&self) -> EpochId {
        self.chain.deployment.first_epoch
    }

    async fn finalized(&self) -> Result<BlockRef, Error> {
        self.chain.finalized().await
    }

    async fn now(&self) -> Result<u64, Error> {
        self.chain.now().await
    }

    async fn next_epoch(&self) -> Result<EpochId, Error> {
        let next = self.chain.ledger().nextEpoch().call().await;
        Ok(EpochId(next.map_err(|error| rpc("nextEpoch", error))?))
    }

    async fn report(&self, epoch: EpochId, at: &BlockRef) -> Result<Option<Report>, Error> {
        self.chain.report(epoch, at).await
    }

    async fn distributed(&self, at: &BlockRef) -> Result<Places, Error> {
        self.chain.distributed(at).await
    }

    async fn committed_funding(&self) -> Result<Places, Error> {
        self.chain.committed_funding().await
    }

    async fn commitment(&self, epoch: EpochId) -> Result<Option<IEpochLedger::Commitment>, Error> {
        self.chain.commitment(epoch).await
    }

    async fn committed_finally(&self, epoch: EpochId, hash: B256) -> Result<bool, Error> {
        self.chain.committed_finally(epoch, hash).await
    }

    async fn wrapper_count(&self) -> Result<usize, Error> {
        let wrappers = self.chain.ledger().wrappers().call().await;
        Ok(wrappers.map_err(|error| rpc("wrappers", error))?.len())
    }

    async fn commit(&self, commitment: IEpochLedger::Commitment) -> Result<(), Error> {
        let ledger = self.writable_ledger();
        evm::land("commit", ledger.commit(commitment)).await?;
        Ok(())
    }

    async fn batch_proven(&self, epoch: EpochId, batch: u16) -> Result<bool, Error> {
        let proven = self.chain.ledger().batchProven(epoch.0, batch).call().await;
        proven.map_err(|error| rpc("batchProven", error))
    }

    async fn proven_finally(&self, epoch: EpochId, batch: u16) -> Result<bool, Error> {
        self.chain.proven_finally(epoch, batch).await
    }

    async fn confirmations_needed(&self, block: BlockHash, sats: u64) -> Result<u64, Error> {
        let under = self.chain.proven_under(block).await?;
        let value = U256::from(under.saturating_add(sats));
        let needed = self.chain.ledger().confirmationsFor(value).call().await;
        let needed = needed.map_err(|error| rpc("confirmationsFor", error))?;
        Ok(u64::try_from(needed).unwrap_or(u64::MAX))
    }

    async fn follow_relay(&self, bitcoin: &impl Bitcoin) -> Result<U256, Error> {
        let relay = IBitcoinRelay::new(self.chain.deployment.bitcoin_relay, self.writer());
        relay::follow(&relay, &HeadersOf(bitcoin)).await
    }

    async fn prove(
        &self,
        epoch: EpochId,
        batch: u16,
        proof: IEpochLedger::Proof,
    ) -> Result<(), Error> {
        let ledger = self.writable_ledger();
        let committed = self.chain.committed(epoch).await?;
        let paying = committed.as_ref().map(evm::record::paying);
        let paying = paying.ok_or_else(|| Error::waiting(epoch, "it is not committed"))?;
        evm::land("provePayout", ledger.provePayout(epoch.0, batch, paying, proof)).await?;
        Ok(())
    }

    async fn first_baton(&self) -> Result<OutPoint, Error> {
        let (txid, vout) = self.chain.first_baton().await?;
        Ok(OutPoint { txid: Txid::from_byte_array(txid.0), vout })
    }

    async fn world(
        &self,
        epoch: EpochId,
        at: &BlockRef,
        report: &Report,
        previous: Vec<Leaf>,
    ) -> Result<World, Error> {
        self.snapshots.world(epoch, at, report, previous).await
    }

    async fn as_committed(
        &self,
        world: &World,
        found: &IEpochLedger::Commitment,
        at: &BlockRef,
    ) -> Result<Allocation, Error> {
        retrace::committed(&self.chain, world, found, at).await
    }
}

/// Headers for the relay, from where the engine reads Bitcoin.
struct HeadersOf<'a, B>(&'a B);

impl<B: Bitcoin> Headers for HeadersOf<'_, B> {
    async fn header(&self, height: u64) -> Result<Header, Error> {
        let height = u32::try_from(height).map_err(|error| Error::node("getblockhash", error))?;
        self.0.header_at(height).await
    }

    async fn tip(&self) -> Result<u64, Error> {
        Ok(self.0.tip().0.into())
    }
}

/// The source of Bitcoin's blocks and the treasury wallet that is read from it.
#[derive(Debug)]
pub struct LiveBitcoin {
    source: Backend,
    treasury: Treasury,
    started: Instant,
}

impl LiveBitcoin {
    /// Over a node or a light server, and a loaded wallet.
    #[must_use]
    pub fn new(source: impl Into<Backend>, treasury: Treasury) -> Self {
        Self { source: source.into(), treasury, started: Instant::now() }
    }
}

impl Bitcoin for LiveBitcoin {
    async fn sync(&self) -> Result<(BitcoinNews, bool), Error> {
        match &self.source {
            Backend::Node(node) => self.treasury.sync(node).await,
            Backend::Light(light) => self.treasury.sync_light(light).await,
        }
    }

    fn tip(&self) -> (u32, BlockHash) {
        self.treasury.tip()
    }

    fn coins(&self, confirmations: u32) -> Vec<TreasuryCoin> {
        self.treasury.coins(confirmations)
    }

    fn coin(&self, outpoint: OutPoint) -> Option<(Coin, Transaction)> {
        self.treasury.coin(outpoint)
    }

    async fn hash_at(&self, height: u32) -> Result<BlockHash, Error> {
        match &self.source {
            Backend::Node(node) => node.hash_at(height).await,
            // what was checked, not what the server says now
            Backend::Light(_) => {
                let none = || Error::node("hash of a block", format!("none was read at {height}"));
                self.treasury.hash_at(height).ok_or_else(none)
            }
        }
    }

    async fn header_at(&self, height: u32) -> Result<Header, Error> {
        self.source.header_at(height, self.treasury.hash_at(height)).await
    }

    async fn mined(&self, height: u32, block: BlockHash, txid: Txid) -> Result<Mined, Error> {
        self.source.mined(height, block, txid).await
    }

    async fn fee_rate_ceil(&self, blocks: u16) -> Result<Option<u64>, Error> {
        self.source.connection().fee_rate_ceil(blocks).await
    }

    async fn broadcast(&self, tx: &Transaction) -> Result<Broadcast, Error> {
        self.source.connection().broadcast(tx).await
    }

    async fn spender(&self, coin: &Coin) -> Result<Option<Transaction>, Error> {
        self.source.connection().spender(coin).await
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Book for Store {
    async fn state(&self, epoch: EpochId) -> Result<Option<State>, Error> {
        self.state(epoch).await
    }

    async fn phase(&self, epoch: EpochId) -> Result<Option<String>, Error> {
        self.phase(epoch).await
    }

    async fn put_state(&self, epoch: EpochId, state: &State) -> Result<(), Error> {
        self.put_state(epoch, state).await
    }

    async fn put_leaves(
        &self,
        epoch: EpochId,
        state: &State,
        leaves: &[Leaf],
        figures: &Figures,
    ) -> Result<(), Error> {
        self.put_leaves(epoch, state, leaves, figures).await
    }

    async fn leaves(&self, epoch: EpochId) -> Result<Vec<Leaf>, Error> {
        self.leaves(epoch).await
    }

    async fn missing(&self, first: EpochId, next: EpochId) -> Result<Vec<EpochId>, Error> {
        self.missing(first, next).await
    }

    async fn unfinished(&self) -> Result<Vec<EpochId>, Error> {
        self.unfinished().await
    }

    async fn put_plan(&self, epoch: EpochId, state: &State) -> Result<(), Error> {
        self.put_plan(epoch, state).await
    }

    async fn baton(&self) -> Result<Option<(EpochId, Coin, KnownTx)>, Error> {
        self.baton().await
    }

    async fn put_news(&self, news: &BitcoinNews) -> Result<(), Error> {
        self.put_news(news).await
    }

    async fn seen(&self, txid: Txid) -> Result<Vec<(u32, BlockHash)>, Error> {
        self.seen(txid).await
    }

    async fn rivals(
        &self,
        outpoint: OutPoint,
        txid: Txid,
    ) -> Result<Vec<(Txid, BlockHash)>, Error> {
        self.rivals(outpoint, txid).await
    }

    async fn genesis(&self, txid: Txid) -> Result<Option<Transaction>, Error> {
        self.genesis(txid).await
    }

    async fn paused(&self) -> Result<bool, Error> {
        Ok(self.last_order().await?.1 == Action::Pause)
    }

    async fn check_books(
        &self,
        epoch: EpochId,
        txs: &[PlannedTx],
        ended: Option<&Range<EpochId>>,
    ) -> Result<(), Error> {
        self.check_books(epoch, txs, ended).await
    }
}

/// Signers behind Unix sockets, in the order of the configuration.
#[derive(Clone, Debug)]
pub struct Sockets(pub Vec<PathBuf>);

impl Signers for Sockets {
    async fn ask(&self, signer: usize, request: &Request) -> Result<Signatures, String> {
        let socket = self.0.get(signer).ok_or("there is no such signer")?;
        protocol::ask(socket, request).await
    }
}
