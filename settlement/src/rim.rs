//! What the engine needs of the world around it: two chains, a database, signers. The running service has the real
//! ones (`live`); a simulation plays them, with every mistake that they can make.
//!
//! An answer may be late, missing or a lie; the engine is written so that a wrong answer costs time, never money.
#![allow(
    async_fn_in_trait,
    reason = "the engine is driven by one task; its futures need not be Send"
)]

use std::{ops::Range, time::Duration};

use alloy::primitives::U256;
use bitcoin::{BlockHash, OutPoint, Transaction, Txid, block::Header};
use domain::{EpochId, Leaf};
use evm::{BlockRef, bindings::IEpochLedger};

use crate::{
    allocate::{Allocation, World},
    chain::{Places, Report},
    error::Error,
    known::KnownTx,
    ledger::Figures,
    node::Broadcast,
    plan::PlannedTx,
    proof::Mined,
    protocol::Request,
    psbt::Signatures,
    state::State,
    store::BitcoinNews,
    treasury::TreasuryCoin,
    vault::Coin,
};

/// One set of surroundings.
pub trait Rim {
    /// The EVM chain.
    type Evm: Evm;
    /// The Bitcoin chain and the treasury wallet on it.
    type Bitcoin: Bitcoin;
    /// The database.
    type Book: Book;
    /// Those who hold the keys.
    type Signers: Signers;
}

/// The EVM chain. Every call fails when a node does not answer; where only a block is final, it says so.
#[allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "each is what `chain::Chain` has under the same name"
)]
pub trait Evm {
    /// First epoch that the ledger takes.
    fn first_epoch(&self) -> EpochId;
    async fn finalized(&self) -> Result<BlockRef, Error>;
    /// Unix seconds of the newest block.
    async fn now(&self) -> Result<u64, Error>;
    /// The epoch that the ledger takes next, in the newest block.
    async fn next_epoch(&self) -> Result<EpochId, Error>;
    async fn report(&self, epoch: EpochId, at: &BlockRef) -> Result<Option<Report>, Error>;
    /// Coins that reports up to a final block have distributed.
    async fn distributed(&self, at: &BlockRef) -> Result<Places, Error>;
    /// Coins that commitments in the newest block spend.
    async fn committed_funding(&self) -> Result<Places, Error>;
    async fn commitment(&self, epoch: EpochId) -> Result<Option<IEpochLedger::Commitment>, Error>;
    /// Whether the commitment with this hash is final at both endpoints.
    async fn committed_finally(
        &self,
        epoch: EpochId,
        hash: alloy::primitives::B256,
    ) -> Result<bool, Error>;
    /// Wrappers that the ledger has in the newest block.
    async fn wrapper_count(&self) -> Result<usize, Error>;
    /// Sends a commitment and waits until it is mined.
    async fn commit(&self, commitment: IEpochLedger::Commitment) -> Result<(), Error>;
    async fn batch_proven(&self, epoch: EpochId, batch: u16) -> Result<bool, Error>;
    async fn proven_finally(&self, epoch: EpochId, batch: u16) -> Result<bool, Error>;
    /// Confirmations that the ledger asks for, if `sats` more are proven under `block`.
    async fn confirmations_needed(&self, block: BlockHash, sats: u64) -> Result<u64, Error>;
    /// Shows the relay the difficulty periods that it does not know yet; the work of one confirmation.
    async fn follow_relay(&self, bitcoin: &impl Bitcoin) -> Result<U256, Error>;
    /// Sends a proof and waits until it is mined.
    async fn prove(
        &self,
        epoch: EpochId,
        batch: u16,
        proof: IEpochLedger::Proof,
    ) -> Result<(), Error>;
    /// The baton that the ledger was opened with.
    async fn first_baton(&self) -> Result<OutPoint, Error>;
    /// The world of an epoch, given the leaves of the one before.
    async fn world(
        &self,
        epoch: EpochId,
        at: &BlockRef,
        report: &Report,
        previous: Vec<Leaf>,
    ) -> Result<World, Error>;
    /// The epoch as it was committed: ours, or what the court has read of a commitment that broke the rules.
    async fn as_committed(
        &self,
        world: &World,
        found: &IEpochLedger::Commitment,
        at: &BlockRef,
    ) -> Result<Allocation, Error>;
}

/// The Bitcoin chain and the treasury wallet on it.
#[allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "each is what `Backend` or `Treasury` has under the same name"
)]
pub trait Bitcoin {
    /// Reads the next stretch of blocks; `true` if there are more. The news must be stored before anything is built on
    /// them.
    async fn sync(&self) -> Result<(BitcoinNews, bool), Error>;
    fn tip(&self) -> (u32, BlockHash);
    /// Unspent treasury coins with at least so many confirmations, oldest first.
    fn coins(&self, confirmations: u32) -> Vec<TreasuryCoin>;
    /// A treasury coin, spent or not, with the transaction that created it.
    fn coin(&self, outpoint: OutPoint) -> Option<(Coin, Transaction)>;
    async fn hash_at(&self, height: u32) -> Result<BlockHash, Error>;
    async fn header_at(&self, height: u32) -> Result<Header, Error>;
    /// A transaction in the block at `height`, with what shows that it is there.
    async fn mined(&self, height: u32, block: BlockHash, txid: Txid) -> Result<Mined, Error>;
    async fn fee_rate_ceil(&self, blocks: u16) -> Result<Option<u64>, Error>;
    async fn broadcast(&self, tx: &Transaction) -> Result<Broadcast, Error>;
    /// The transaction in the mempool that spends a coin, if there is one.
    async fn spender(&self, coin: &Coin) -> Result<Option<Transaction>, Error>;
    /// Time since some moment before the engine started; it never goes back.
    fn elapsed(&self) -> Duration;
}

/// The database: what a call has written is durable when it returns, all of it or nothing; a state that need not last by
/// itself (`State::must_last`) is so with the next that does.
#[allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "each is what `Store` has under the same name"
)]
pub trait Book {
    async fn state(&self, epoch: EpochId) -> Result<Option<State>, Error>;
    /// Name of the epoch's state.
    async fn phase(&self, epoch: EpochId) -> Result<Option<String>, Error>;
    async fn put_state(&self, epoch: EpochId, state: &State) -> Result<(), Error>;
    async fn put_leaves(
        &self,
        epoch: EpochId,
        state: &State,
        leaves: &[Leaf],
        figures: &Figures,
    ) -> Result<(), Error>;
    async fn leaves(&self, epoch: EpochId) -> Result<Vec<Leaf>, Error>;
    /// Epochs from `first` up to `next` that have no state, ascending.
    async fn missing(&self, first: EpochId, next: EpochId) -> Result<Vec<EpochId>, Error>;
    async fn unfinished(&self) -> Result<Vec<EpochId>, Error>;
    async fn put_plan(&self, epoch: EpochId, state: &State) -> Result<(), Error>;
    async fn baton(&self) -> Result<Option<(EpochId, Coin, KnownTx)>, Error>;
    async fn put_news(&self, news: &BitcoinNews) -> Result<(), Error>;
    async fn seen(&self, txid: Txid) -> Result<Vec<(u32, BlockHash)>, Error>;
    async fn rivals(&self, outpoint: OutPoint, txid: Txid)
    -> Result<Vec<(Txid, BlockHash)>, Error>;
    async fn genesis(&self, txid: Txid) -> Result<Option<Transaction>, Error>;
    /// Whether two operators have paused.
    async fn paused(&self) -> Result<bool, Error>;
    /// Holds the books against each other before `txs` are signed; only epochs of `ended`, if that is known, can have
    /// been committed.
    async fn check_books(
        &self,
        epoch: EpochId,
        txs: &[PlannedTx],
        ended: Option<&Range<EpochId>>,
    ) -> Result<(), Error>;
}

/// Those who hold the keys, numbered as in the configuration.
pub trait Signers {
    /// Asks one of them.
    ///
    /// # Errors
    /// In words: it is down, refuses, or answers nonsense.
    async fn ask(&self, signer: usize, request: &Request) -> Result<Signatures, String>;
}
