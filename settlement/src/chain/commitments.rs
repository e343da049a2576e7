//! Commitments, reports and proofs out of what is remembered, each checked against the hash that the contract keeps.

use std::{collections::BTreeMap, sync::Arc};

use alloy::{
    eips::BlockId,
    primitives::{B256, keccak256},
    sol_types::SolValue,
};
use bitcoin::{BlockHash, ScriptBuf, Txid};
use domain::EpochId;
use evm::{
    BlockRef, Finality,
    bindings::{IEpochLedger, IFleetOracle, ILedgerCourt::Books, IPayoutRegistry},
    block_at,
    record::{self, record_hash},
};
use tokio::sync::MutexGuard;

use super::{
    Chain, Places,
    history::{self, Commitments, Prefix},
    rpc,
};
use crate::{encode::ROOT_BATCH, error::Error, node::internal};

/// A commitment that is final at both endpoints, and the paying one before it.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The epoch's.
    pub commitment: IEpochLedger::Commitment,
    /// Of the newest earlier epoch that has a batch; `None` if there is none.
    pub paying: Option<IEpochLedger::Commitment>,
}

impl Chain {
    /// The report of an epoch that hashes to what the oracle keeps.
    pub(super) async fn posted(
        &self,
        epoch: EpochId,
        hash: B256,
    ) -> Result<Option<IFleetOracle::FleetReport>, Error> {
        let mut reports = self.history.reports.lock().await;
        let oracle = self.deployment.fleet_oracle;
        reports
            .grow::<IFleetOracle::ReportPosted>(&self.readers[..1], oracle, self.deployment.block)
            .await?;
        let rounds = reports.state.by_epoch.get(&epoch.0);
        let found =
            rounds.into_iter().flatten().find(|body| evm::quorum::report_hash(body) == hash);
        let found = found.map(|body| body.as_ref().clone());
        if found.is_none() {
            reports.forget();
        }
        Ok(found)
    }

    /// Coins that reports of final blocks have distributed.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn distributed(&self, _at: &BlockRef) -> Result<Places, Error> {
        let mut reports = self.history.reports.lock().await;
        let oracle = self.deployment.fleet_oracle;
        reports
            .grow::<IFleetOracle::ReportPosted>(&self.readers[..1], oracle, self.deployment.block)
            .await?;
        let settled = Arc::clone(&reports.state.receipts);
        Ok(Places { settled, ..Places::default() })
    }

    /// Payout scripts by hash, as registered in final blocks.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn scripts(&self) -> Result<Arc<BTreeMap<B256, ScriptBuf>>, Error> {
        let mut scripts = self.history.scripts.lock().await;
        let registry = self.deployment.payout_registry;
        scripts
            .grow::<IPayoutRegistry::ScriptRegistered>(
                &self.readers[..1],
                registry,
                self.deployment.block,
            )
            .await?;
        Ok(Arc::clone(&scripts.state.0))
    }

    /// Reads the scripts again the next time: one was missing.
    pub async fn forget_scripts(&self) {
        self.history.scripts.lock().await.forget();
    }

    async fn remembered(&self) -> Result<MutexGuard<'_, Prefix<Commitments>>, Error> {
        let mut kept = self.history.commitments.lock().await;
        let ledger = self.deployment.epoch_ledger;
        kept.grow::<IEpochLedger::Committed>(&self.readers[..1], ledger, self.deployment.block)
            .await?;
        Ok(kept)
    }

    /// Commitments after those that are remembered, up to the newest block. None is missing, for a list with a hole is a
    /// node's mistake: epochs are committed one after the other.
    async fn fresh(
        &self,
        kept: &mut Prefix<Commitments>,
    ) -> Result<Vec<IEpochLedger::Committed>, Error> {
        let latest = block_at(self.reader(), Finality::Latest).await?;
        let next = self.ledger().nextEpoch().block(BlockId::hash(latest.hash)).call().await;
        let next = EpochId(next.map_err(|error| rpc("nextEpoch", error))?);
        let (ledger, from) = (self.deployment.epoch_ledger, self.deployment.block);
        let tail = kept
            .tail::<IEpochLedger::Committed>(self.reader(), ledger, from, latest.number)
            .await?;
        if kept.state.whole(&tail, self.deployment.first_epoch, next) {
            return Ok(tail);
        }
        kept.forget();
        Err(rpc("Committed events", format!("not one for every epoch before {next}: ask again")))
    }

    /// Coins that commitments in the newest block spend.
    ///
    /// # Errors
    /// When an event is missing, or the node does not answer.
    pub async fn committed_funding(&self) -> Result<Places, Error> {
        let mut kept = self.remembered().await?;
        let fresh = self.fresh(&mut kept).await?;
        let fresh = fresh.iter().flat_map(|found| &found.commitment.funding);
        let fresh = fresh.map(history::place).collect();
        Ok(Places { settled: Arc::clone(&kept.state.funding), fresh })
    }

    /// The epoch's commitment in the newest block, checked against the ledger's hash; `None` if there is none.
    ///
    /// # Errors
    /// When the event does not match, or the node does not answer.
    pub async fn commitment(
        &self,
        epoch: EpochId,
    ) -> Result<Option<IEpochLedger::Commitment>, Error> {
        Ok(self.committed(epoch).await?.map(|found| found.commitment))
    }

    /// The same, with what the ledger found when it was made.
    ///
    /// # Errors
    /// When the event does not match, or the node does not answer.
    pub async fn committed(
        &self,
        epoch: EpochId,
    ) -> Result<Option<IEpochLedger::Committed>, Error> {
        let hash = self.ledger().commitmentHash(epoch.0).call().await;
        let hash = hash.map_err(|error| rpc("commitmentHash", error))?;
        if hash.is_zero() {
            return Ok(None);
        }
        let is_it =
            |found: &IEpochLedger::Committed| found.epoch == epoch.0 && record_hash(found) == hash;
        let mut kept = self.remembered().await?;
        if let Some(found) = kept.state.by_epoch.get(&epoch.0).filter(|found| is_it(found)) {
            return Ok(Some(found.as_ref().clone()));
        }
        let fresh = self.fresh(&mut kept).await?;
        if let Some(found) = fresh.into_iter().find(is_it) {
            return Ok(Some(found));
        }
        kept.forget();
        Err(Error::mismatch(epoch, "no Committed event hashes to the ledger's hash"))
    }

    /// What the court is brought of an epoch's commitment and of the one before it.
    ///
    /// # Errors
    /// When the epoch is not committed, an event does not match, or the node does not answer.
    pub async fn books(&self, epoch: EpochId) -> Result<Books, Error> {
        let missing = || Error::waiting(epoch, "it is not committed");
        let here = self.committed(epoch).await?.ok_or_else(missing)?;
        let before = match epoch.previous().filter(|before| *before >= self.deployment.first_epoch)
        {
            Some(before) => Some(self.committed(before).await?.ok_or_else(missing)?),
            None => None,
        };
        Ok(record::books(&here, before.as_ref()))
    }

    /// Whether both endpoints hold the commitment with this `hash` (keccak of its encoding) as the epoch's in a finalized
    /// block.
    ///
    /// # Errors
    /// When an endpoint holds another one, or does not answer.
    pub async fn committed_finally(&self, epoch: EpochId, hash: B256) -> Result<bool, Error> {
        let mut kept = self.remembered().await?;
        let Some(found) = kept.state.by_epoch.get(&epoch.0) else { return Ok(false) };
        let told = keccak256(found.commitment.abi_encode());
        let held = match told == hash {
            true => self.holds_finally(epoch, record_hash(found)).await,
            false => {
                let what = format!("the ledger tells of commitment {told}, ours is {hash}");
                Err(Error::mismatch(epoch, what))
            }
        };
        if held.is_err() {
            kept.forget();
        }
        held
    }

    /// The epoch's commitment in a block that is final at both endpoints, and the paying one before it: that decides
    /// which baton is spent. `None` if it is not there yet.
    ///
    /// # Errors
    /// When the endpoints disagree, an event is missing, or a node does not answer.
    pub async fn final_commitment(&self, epoch: EpochId) -> Result<Option<Committed>, Error> {
        let mut kept = self.remembered().await?;
        let found = self.final_among(&kept.state, epoch).await;
        if found.is_err() {
            kept.forget();
        }
        found
    }

    async fn final_among(
        &self,
        kept: &Commitments,
        epoch: EpochId,
    ) -> Result<Option<Committed>, Error> {
        let Some(own) = kept.by_epoch.get(&epoch.0) else { return Ok(None) };
        let commitment = own.commitment.clone();
        let last = kept.by_epoch.last_key_value().map_or(epoch.0, |(last, _)| *last);
        if !kept.whole(&[], self.deployment.first_epoch, EpochId(last).next()) {
            return Err(rpc("Committed events", "an epoch is missing among them: ask again"));
        }
        for (number, found) in kept.by_epoch.range(..=epoch.0).rev() {
            if !self.holds_finally(EpochId(*number), record_hash(found)).await? {
                return Ok(None);
            }
            if *number != epoch.0 && !found.commitment.batches.is_empty() {
                return Ok(Some(Committed { commitment, paying: Some(found.commitment.clone()) }));
            }
        }
        Ok(Some(Committed { commitment, paying: None }))
    }

    /// Transactions by which batches of an epoch were proven, in blocks that are final at both endpoints, which tell the
    /// same.
    ///
    /// # Errors
    /// When the endpoints differ, or one does not answer.
    pub async fn proven_txids(&self, epoch: u32) -> Result<Vec<(u16, Txid)>, Error> {
        let mut agreed = self.history.agreed.lock().await;
        let (ledger, from) = (self.deployment.epoch_ledger, self.deployment.block);
        agreed.grow::<IEpochLedger::PayoutProven>(&self.readers, ledger, from).await?;
        let of_epoch = agreed.state.txids.range((epoch, 0)..=(epoch, u16::MAX));
        Ok(of_epoch.map(|((_, batch), txid)| (*batch, *txid)).collect())
    }

    /// Sats that are proven under a Bitcoin block already, in the newest EVM block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn proven_under(&self, block: BlockHash) -> Result<u64, Error> {
        let latest = block_at(self.reader(), Finality::Latest).await?;
        let (ledger, from) = (self.deployment.epoch_ledger, self.deployment.block);
        let hash = internal(block);
        let mut batches = {
            let mut kept = self.history.proven.lock().await;
            kept.grow::<IEpochLedger::PayoutProven>(&self.readers[..1], ledger, from).await?;
            let tail = kept
                .tail::<IEpochLedger::PayoutProven>(self.reader(), ledger, from, latest.number)
                .await?;
            let tail = tail.into_iter().filter(|event| event.blockHash == hash);
            let mut found = kept.state.under.get(&hash).cloned().unwrap_or_default();
            found.extend(tail.map(|event| (event.epoch, event.batch)));
            found
        };
        batches.dedup();
        let mut sats = 0_u64;
        for (epoch, batch) in batches.into_iter().filter(|(_, batch)| *batch != ROOT_BATCH) {
            let of_epoch = self.commitment(EpochId(epoch)).await?.unwrap_or_default().batches;
            let total = of_epoch.get(usize::from(batch)).map_or(0, |batch| batch.total);
            sats = sats.saturating_add(total);
        }
        Ok(sats)
    }
}
