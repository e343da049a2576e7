//! Snapshot to commit: read the world, decide the commitment, put it on chain. And the way back: epochs that are
//! committed on chain and unknown to the database are computed again and must come out the same.

use domain::{EpochId, Leaf};
use evm::{BlockRef, bindings::IEpochLedger};
use tracing::{info, warn};

use super::Engine;
use crate::{
    allocate::{Allocation, Cut, Terms, World, allocate},
    bump::package_rate_ceil,
    error::Error,
    halt::HaltPoint,
    ledger::Figures,
    node::internal,
    plan::PlanError,
    rim::{Bitcoin, Book, Evm, Rim},
    state::{Intent, SnapshotAt, State},
};

impl<R: Rim> Engine<R> {
    /// Computes again every epoch that the ledger has and the database has not.
    pub(super) async fn adopt_committed(&self) -> Result<(), Error> {
        let at = self.chain.finalized().await?;
        let (first, next) = (self.chain.first_epoch(), self.chain.next_epoch().await?);
        for epoch in self.store.missing(first, next).await? {
            let Some(commitment) = self.chain.commitment(epoch).await? else { return Ok(()) };
            let (world, wrappers, deductions) = match self.world(epoch, &at).await? {
                Some(found) => found,
                None => return Err(Error::waiting(epoch, "its report is not final here")),
            };
            let outcome = self.chain.as_committed(&world, &commitment, &at).await?;
            let figures = figures(epoch, &world, deductions, &outcome)?;
            let intent = Intent::new(&commitment, outcome.batches, wrappers);
            let state = State::Committed(intent);
            self.store.put_leaves(epoch, &state, &outcome.leaves, &figures).await?;
            info!(epoch = epoch.0, "computed again from the chain");
        }
        Ok(())
    }

    /// Begins the next epoch once its report is final.
    pub(super) async fn begin_next(&self) -> Result<(), Error> {
        let epoch = self.chain.next_epoch().await?;
        if self.store.state(epoch).await?.is_some() {
            return Ok(());
        }
        let at = self.chain.finalized().await?;
        let Some(report) = self.chain.report(epoch, &at).await? else { return Ok(()) };
        self.halts.at(HaltPoint::SnapshotChosen).await;
        let at = SnapshotAt { number: at.number, hash: at.hash, report: report.hash };
        self.store.put_state(epoch, &State::Snapshot(at)).await?;
        info!(epoch = epoch.0, report = %report.hash, "snapshot");
        self.halts.at(HaltPoint::SnapshotSaved).await;
        Ok(())
    }

    /// The world of an epoch, its number of wrappers and the report's deductions; `None` if its report is not final.
    async fn world(
        &self,
        epoch: EpochId,
        at: &BlockRef,
    ) -> Result<Option<(World, usize, u64)>, Error> {
        let Some(report) = self.chain.report(epoch, at).await? else { return Ok(None) };
        let previous = self.leaves_before(epoch).await?;
        let world = self.chain.world(epoch, at, &report, previous).await?;
        let wrappers = world.wrappers.len();
        let series = report.body.iter().flat_map(|body| &body.series);
        let deductions = series.fold(0, |sum, each| each.deductions.saturating_add(sum));
        Ok(Some((world, wrappers, deductions)))
    }

    async fn leaves_before(&self, epoch: EpochId) -> Result<Vec<Leaf>, Error> {
        match epoch.previous() {
            Some(previous) if previous >= self.chain.first_epoch() => {
                if self.store.state(previous).await?.is_none() {
                    return Err(Error::waiting(
                        epoch,
                        format!("epoch {previous} is not allocated"),
                    ));
                }
                self.store.leaves(previous).await
            }
            _ => Ok(Vec::new()),
        }
    }

    pub(super) async fn allocate(&self, epoch: EpochId, at: SnapshotAt) -> Result<bool, Error> {
        self.after_earlier(epoch, "planned", State::baton_known).await?;
        // any finalized block after the report gives the same world; the newest one needs no archive
        let now = self.chain.finalized().await?;
        let Some((world, wrappers, deductions)) = self.world(epoch, &now).await? else {
            return Err(Error::mismatch(epoch, "its report was final and is not any more"));
        };
        let hash = self.chain.report(epoch, &now).await?.map(|report| report.hash);
        if hash != Some(at.report) {
            return Err(Error::mismatch(epoch, "its report changed after it was final"));
        }
        let (outcome, commitment) = self.decide(epoch, &world, &now).await?;
        let figures = figures(epoch, &world, deductions, &outcome)?;
        self.halts.at(HaltPoint::AllocatedUnsaved).await;
        let state = State::Allocated(Intent::new(&commitment, outcome.batches, wrappers));
        self.store.put_leaves(epoch, &state, &outcome.leaves, &figures).await?;
        self.halts.at(HaltPoint::AllocatedSaved).await;
        Ok(true)
    }

    /// The allocation and the commitment that puts it on chain.
    async fn decide(
        &self,
        epoch: EpochId,
        world: &World,
        at: &BlockRef,
    ) -> Result<(Allocation, IEpochLedger::Commitment), Error> {
        let policy = &self.config.policy;
        let defer = self.overdue(epoch).await?;
        if defer {
            warn!(epoch = epoch.0, "deferred: it is old; what it owes is paid with the next");
        }
        let cut = Cut::MaxBytes(policy.max_batch_bytes);
        let outcome = allocate(world, &Terms { min_pay: policy.min_pay, defer, cut })?;
        let (height, block) = self.node.tip();
        let (fee_rate, funding) = self.rate_and_funding(epoch, &outcome, at).await?;
        let accounts = u32::try_from(outcome.leaves.len());
        let commitment = IEpochLedger::Commitment {
            epoch: epoch.0,
            root: root(&outcome),
            accounts: accounts.map_err(|_| Error::mismatch(epoch, "more than 2^32 accounts"))?,
            minPay: policy.min_pay,
            feeRate: fee_rate,
            anchorHeight: height,
            anchorHash: internal(block),
            funding,
            defer,
            batches: batches(&outcome),
        };
        Ok((outcome, commitment))
    }

    /// The fee rate, with what earlier payouts that wait for a block lack (this one spends their baton, so it brings them
    /// along, for no more than a raise may cost), and coins that pay it. Where coins do not suffice for that, it pays for
    /// itself alone.
    async fn rate_and_funding(
        &self,
        epoch: EpochId,
        outcome: &Allocation,
        at: &BlockRef,
    ) -> Result<(u64, Vec<IEpochLedger::OutPoint>), Error> {
        let rate = self.fee_rate().await?;
        let (funding, vsize) = self.fund(epoch, outcome, rate, at).await?;
        let ancestors = self.ancestors(epoch).await?;
        if vsize == 0 || ancestors.is_empty() {
            return Ok((rate, funding));
        }
        let cap = self.config.policy.cap();
        let more = u128::from(cap.extra_sats).saturating_mul(1_000).checked_div(vsize.into());
        let more = more.and_then(|more| u64::try_from(more).ok()).unwrap_or_default();
        let most = rate.saturating_add(more).min(cap.rate);
        let raised = package_rate_ceil(rate, vsize, &ancestors).min(most);
        match self.fund(epoch, outcome, raised, at).await {
            Ok((funding, _)) => Ok((raised, funding)),
            Err(Error::Plan(PlanError::Short { .. })) => Ok((rate, funding)),
            Err(error) => Err(error),
        }
    }

    async fn fee_rate(&self) -> Result<u64, Error> {
        let policy = &self.config.policy;
        let estimate = self.node.fee_rate_ceil(policy.confirm_within_blocks).await?;
        let rate = estimate.unwrap_or(policy.fallback_fee_rate);
        Ok(rate.clamp(policy.min_fee_rate, policy.max_fee_rate))
    }

    pub(super) async fn commit(&self, epoch: EpochId, intent: Intent) -> Result<bool, Error> {
        match self.chain.commitment(epoch).await? {
            None => self.land_commit(epoch, &intent).await?,
            Some(found) if Intent::new(&found, Vec::new(), 0).hash() == intent.hash() => {}
            Some(found) => return self.take_over(epoch, &found).await,
        }
        self.halts.at(HaltPoint::CommitLanded).await;
        self.store.put_state(epoch, &State::Committed(intent)).await?;
        self.halts.at(HaltPoint::CommittedSaved).await;
        Ok(true)
    }

    async fn land_commit(&self, epoch: EpochId, intent: &Intent) -> Result<(), Error> {
        let commitment = intent.commitment()?;
        let now = self.chain.wrapper_count().await?;
        if now != intent.wrappers {
            return self.again(epoch, "a wrapper was added").await;
        }
        if !commitment.defer && self.overdue(epoch).await? {
            return self.again(epoch, "it has become too old to be paid by itself").await;
        }
        self.chain.commit(commitment).await
    }

    /// Takes an epoch that is in no commitment back to its snapshot. A commit that is still under way and lands after
    /// this is taken over.
    async fn again(&self, epoch: EpochId, why: &str) -> Result<(), Error> {
        let at = self.chain.finalized().await?;
        let hash = self.chain.report(epoch, &at).await?.map(|report| report.hash);
        let report = hash.ok_or_else(|| Error::waiting(epoch, "its report is not final"))?;
        let state = State::Snapshot(SnapshotAt { number: at.number, hash: at.hash, report });
        self.store.put_state(epoch, &state).await?;
        Err(Error::waiting(epoch, format!("{why}: it is allocated again")))
    }

    async fn overdue(&self, epoch: EpochId) -> Result<bool, Error> {
        let now = EpochId::at(self.chain.now().await?);
        Ok(is_overdue(epoch, now, self.config.policy.defer_after_epochs))
    }

    /// Another instance (or this one before its database was lost) committed other terms: they count. The root must be
    /// ours under those terms, or what the court has read of one that broke the rules.
    async fn take_over(
        &self,
        epoch: EpochId,
        found: &IEpochLedger::Commitment,
    ) -> Result<bool, Error> {
        let at = self.chain.finalized().await?;
        let world = self.world(epoch, &at).await?;
        let (world, wrappers, deductions) =
            world.ok_or_else(|| Error::waiting(epoch, "its report is not final"))?;
        let outcome = self.chain.as_committed(&world, found, &at).await?;
        let figures = figures(epoch, &world, deductions, &outcome)?;
        let state = State::Committed(Intent::new(found, outcome.batches, wrappers));
        self.store.put_leaves(epoch, &state, &outcome.leaves, &figures).await?;
        warn!(
            epoch = epoch.0,
            "the ledger holds a commitment that is not this database's; taken over"
        );
        Ok(true)
    }
}

/// Whether an epoch is so old that it pays nobody: more than `after` epochs have passed since its end.
const fn is_overdue(epoch: EpochId, now: EpochId, after: u32) -> bool {
    now.0.saturating_sub(epoch.0) > after.saturating_add(1)
}

/// The allocation under the terms of a commitment on chain.
///
/// # Errors
/// When root or batches differ from the commitment's.
pub fn recompute(
    epoch: EpochId,
    world: &World,
    commitment: &IEpochLedger::Commitment,
) -> Result<Allocation, Error> {
    let terms = Terms {
        min_pay: commitment.minPay,
        defer: commitment.defer,
        cut: Cut::Totals(commitment.batches.iter().map(|batch| batch.total).collect()),
    };
    let outcome = allocate(world, &terms)?;
    if root(&outcome) != commitment.root || batches(&outcome) != commitment.batches {
        let (theirs, ours) = (commitment.root.hash, outcome.root.hash);
        let what = format!("the committed root is {theirs}, computed from the chain it is {ours}");
        return Err(Error::mismatch(epoch, what));
    }
    Ok(outcome)
}

fn figures(
    epoch: EpochId,
    world: &World,
    deductions: u64,
    outcome: &Allocation,
) -> Result<Figures, Error> {
    let figures = Figures::new(world, deductions, outcome);
    figures.ok_or_else(|| Error::mismatch(epoch, "its sats do not fit 63 bits"))
}

fn root(outcome: &Allocation) -> IEpochLedger::Root {
    IEpochLedger::Root {
        hash: outcome.root.hash,
        accSum: outcome.root.acc_sum,
        paidSum: outcome.root.paid_sum.0,
    }
}

fn batches(outcome: &Allocation) -> Vec<IEpochLedger::Batch> {
    let batch = |batch: &crate::allocate::Batch| IEpochLedger::Batch {
        outputsHash: batch.outputs_hash,
        total: batch.total,
    };
    outcome.batches.iter().map(batch).collect()
}

/// An outpoint as contracts have it.
pub(super) fn outpoint(outpoint: &bitcoin::OutPoint) -> IEpochLedger::OutPoint {
    IEpochLedger::OutPoint { txid: internal(outpoint.txid), vout: outpoint.vout }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ledger refuses to pay an epoch by itself from 7 epochs after its start on: every setting must give way before.
    #[test]
    fn an_epoch_is_overdue_before_the_ledger_refuses_it() {
        let epoch = EpochId(100);
        assert!(!is_overdue(epoch, EpochId(104), 3));
        assert!(is_overdue(epoch, EpochId(105), 3));
        for after in 0..=5 {
            assert!(is_overdue(epoch, EpochId(107), after), "{after}");
        }
    }
}
