//! Events of our contracts, read once: what is in final blocks is kept in memory and never asked for again, so that an
//! epoch costs the same whatever the age of the ledger. A node that kept an event back is noticed by a hole; then
//! everything is read again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy::{
    primitives::{Address, B256, keccak256},
    sol_types::SolEvent,
};
use bitcoin::{OutPoint, ScriptBuf, Txid, hashes::Hash};
use domain::EpochId;
use evm::{
    DynProvider, Finality,
    bindings::{IEpochLedger, IFleetOracle, IPayoutRegistry},
    block_at, decoded, logs_between,
};
use tokio::sync::Mutex;

use super::rpc;
use crate::error::Error;

/// What events up to block `next`, itself not among them, have added up to.
#[derive(Debug, Default)]
pub(super) struct Prefix<S> {
    next: u64,
    pub(super) state: S,
}

/// Commitments of final blocks, from the first epoch on without a hole.
#[derive(Debug, Default)]
pub(super) struct Commitments {
    pub(super) by_epoch: BTreeMap<u32, Arc<IEpochLedger::Committed>>,
    pub(super) funding: Arc<BTreeSet<OutPoint>>,
}

/// Reports of final blocks.
#[derive(Debug, Default)]
pub(super) struct Reports {
    pub(super) by_epoch: BTreeMap<u32, Vec<Arc<IFleetOracle::FleetReport>>>,
    pub(super) receipts: Arc<BTreeSet<OutPoint>>,
}

/// Proven batches: transaction by epoch and batch, and batches by the block that they were proven under.
#[derive(Debug, Default)]
pub(super) struct Proven {
    pub(super) txids: BTreeMap<(u32, u16), Txid>,
    pub(super) under: BTreeMap<B256, Vec<(u32, u16)>>,
}

/// Every payout script that was ever registered, by its hash.
#[derive(Debug, Default)]
pub(super) struct Scripts(pub(super) Arc<BTreeMap<B256, ScriptBuf>>);

/// Everything that is remembered of a chain.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) commitments: Mutex<Prefix<Commitments>>,
    pub(super) reports: Mutex<Prefix<Reports>>,
    pub(super) proven: Mutex<Prefix<Proven>>,
    /// Proven batches as both endpoints tell them.
    pub(super) agreed: Mutex<Prefix<Proven>>,
    pub(super) scripts: Mutex<Prefix<Scripts>>,
}

/// A set of coins: the many of final blocks, shared, and the few after them.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Of final blocks.
    pub settled: Arc<BTreeSet<OutPoint>>,
    /// Of later ones.
    pub fresh: BTreeSet<OutPoint>,
}

impl Places {
    /// Whether a coin is among them.
    #[must_use]
    pub fn contains(&self, place: &OutPoint) -> bool {
        self.settled.contains(place) || self.fresh.contains(place)
    }
}

/// A state that events add up to.
pub(super) trait Fold<E> {
    /// Takes the next event.
    fn take(&mut self, event: E);
}

impl Fold<IEpochLedger::Committed> for Commitments {
    fn take(&mut self, event: IEpochLedger::Committed) {
        Arc::make_mut(&mut self.funding).extend(event.commitment.funding.iter().map(place));
        self.by_epoch.insert(event.epoch, Arc::new(event));
    }
}

impl Fold<IFleetOracle::ReportPosted> for Reports {
    fn take(&mut self, event: IFleetOracle::ReportPosted) {
        let report = event.report;
        let receipts = report.receipts.iter().map(|receipt| OutPoint {
            txid: Txid::from_byte_array(receipt.txid.0),
            vout: receipt.vout,
        });
        Arc::make_mut(&mut self.receipts).extend(receipts);
        self.by_epoch.entry(report.epoch).or_default().push(Arc::new(report));
    }
}

impl Fold<IEpochLedger::PayoutProven> for Proven {
    fn take(&mut self, event: IEpochLedger::PayoutProven) {
        let (epoch, batch) = (event.epoch, event.batch);
        self.txids.insert((epoch, batch), Txid::from_byte_array(event.txid.0));
        self.under.entry(event.blockHash).or_default().push((epoch, batch));
    }
}

impl Fold<IPayoutRegistry::ScriptRegistered> for Scripts {
    fn take(&mut self, event: IPayoutRegistry::ScriptRegistered) {
        let script = ScriptBuf::from_bytes(event.script.to_vec());
        Arc::make_mut(&mut self.0).insert(keccak256(&event.script), script);
    }
}

/// An outpoint of a contract.
pub(super) fn place(place: &IEpochLedger::OutPoint) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array(place.txid.0), vout: place.vout }
}

impl Commitments {
    /// Whether there is one for every epoch of `first..next`, the last few of them in `fresh`.
    pub(super) fn whole(
        &self,
        fresh: &[IEpochLedger::Committed],
        first: EpochId,
        next: EpochId,
    ) -> bool {
        let settled = u32::try_from(self.by_epoch.len()).unwrap_or(u32::MAX);
        let after = first.0.saturating_add(settled);
        // epochs are distinct, so that many within these bounds leave no hole
        let ends = self.by_epoch.first_key_value().is_none_or(|(epoch, _)| *epoch == first.0)
            && self
                .by_epoch
                .last_key_value()
                .is_none_or(|(epoch, _)| epoch.saturating_add(1) == after);
        ends && fresh.iter().map(|found| found.epoch).eq(after..next.0)
    }
}

impl<S: Default> Prefix<S> {
    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes the events of one contract that are final at every reader and were not read before; all must tell the
    /// same.
    pub(super) async fn grow<E>(
        &mut self,
        readers: &[DynProvider],
        contract: Address,
        first_block: u64,
    ) -> Result<(), Error>
    where
        E: SolEvent + PartialEq,
        S: Fold<E>,
    {
        let mut to = u64::MAX;
        for reader in readers {
            to = to.min(block_at(reader, Finality::Finalized).await?.number);
        }
        let from = self.next.max(first_block);
        if from > to {
            return Ok(());
        }
        let mut told: Option<Vec<E>> = None;
        for reader in readers {
            let events = events::<E>(reader, contract, from, to).await?;
            match &told {
                Some(first) if *first != events => {
                    let why = "the two endpoints tell different events";
                    return Err(rpc(E::SIGNATURE, why));
                }
                Some(_) => {}
                None => told = Some(events),
            }
        }
        told.into_iter().flatten().for_each(|event| self.state.take(event));
        self.next = to.saturating_add(1);
        Ok(())
    }

    /// The events after those that were kept, up to a block.
    pub(super) async fn tail<E: SolEvent>(
        &self,
        reader: &DynProvider,
        contract: Address,
        first_block: u64,
        to: u64,
    ) -> Result<Vec<E>, Error> {
        events(reader, contract, self.next.max(first_block), to).await
    }
}

async fn events<E: SolEvent>(
    reader: &DynProvider,
    contract: Address,
    from: u64,
    to: u64,
) -> Result<Vec<E>, Error> {
    let logs = logs_between(reader, &[contract], Some(E::SIGNATURE_HASH), from, to).await?;
    Ok(decoded::<E>(&logs)?.into_iter().map(|(event, _)| event).collect())
}
