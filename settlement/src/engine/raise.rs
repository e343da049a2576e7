//! Raises a payout's fee, as far as policy, caps and what later epochs count on allow; and what is known of that when a
//! later epoch chooses its coins and rate.

use std::{ops::RangeInclusive, sync::atomic::Ordering};

use domain::EpochId;
use tracing::warn;

use super::{Engine, vary::MOVED};
use crate::{
    bump::{DUST, Standing, package_rate_ceil},
    error::Error,
    halt::HaltPoint,
    plan::{Plan, fee_ceil, plan, signed_vsize_ceil},
    rim::{Bitcoin, Book, Rim},
    state::{Planned, Signed, State},
    variant::Variant,
};

impl<R: Rim> Engine<R> {
    /// Fixes a variant with a higher fee if the policy says so and no later epoch counts on the baton. `refused` says that
    /// the node does not take the present one at all, nor any child of it: then a later epoch may count on the baton (it
    /// moves to the new one), if no other raise has made use of what every baton keeps for that.
    pub(super) async fn bump(
        &self,
        epoch: EpochId,
        signed: &Signed,
        refused: bool,
    ) -> Result<bool, Error> {
        let (planned, policy) = (&signed.planned, &self.config.policy);
        let Some(first) = planned.plan.txs.first() else { return Ok(false) };
        let (tip, _) = self.node.tip();
        let since = self.sent_below.lock().await.get(&first.tx.txid()).copied();
        let blocks = tip.saturating_sub(since.unwrap_or(planned.tip).max(planned.tip));
        let raised = !planned.others.is_empty();
        let due = refused || policy.bump.is_due(blocks, raised);
        if !due || self.store.paused().await? {
            return Ok(false);
        }
        let may = self.is_newest(epoch).await? || (refused && self.is_alone(epoch).await?);
        if !may {
            return Ok(false);
        }
        let standing = Standing { blocks, raised, refused, ..self.standing(epoch, planned).await? };
        let Some(rate) = policy.bump.next_rate(policy.cap(), &standing) else { return Ok(false) };
        let least = standing.rate.saturating_add(policy.bump.incremental_fee_rate);
        let plan = match self.unsigned_raise(planned, least..=policy.max_fee_rate)? {
            Some(before) => before,
            None => {
                let Some(baton) = first.coins.first().cloned() else { return Ok(false) };
                let order = self.order(epoch, &planned.intent, baton, Some(rate))?;
                plan(&self.vault, &order, DUST)?
            }
        };
        self.check_books(epoch, &plan.txs).await?;
        self.halts.at(HaltPoint::BumpUnsaved).await;
        warn!(epoch = epoch.0, rate, blocks, "blocks leave the payout out: its fee is raised");
        let to = self.variant(plan, planned.creator.clone());
        self.turn_to(epoch, planned.clone(), signed.txs.clone(), to, "a dearer variant is fixed")
            .await?;
        self.bumps.fetch_add(1, Ordering::Relaxed);
        self.halts.at(HaltPoint::BumpSaved).await;
        Ok(true)
    }

    /// A raise that was fixed before and nobody signed: co-signers off the network may be at it.
    fn unsigned_raise(
        &self,
        planned: &Planned,
        rates: RangeInclusive<u64>,
    ) -> Result<Option<Plan>, Error> {
        let spends = planned.plan.spends();
        let unsigned = |other: &&Variant| other.txs.is_empty() && other.plan.spends() == spends;
        for other in planned.others.iter().rev().filter(unsigned) {
            if rates.contains(&self.rate_of(&other.plan)?) {
                return Ok(Some(other.plan.clone()));
            }
        }
        Ok(None)
    }

    async fn standing(&self, epoch: EpochId, planned: &Planned) -> Result<Standing, Error> {
        let mut rate = self.rate_of(&planned.plan)?;
        for other in planned.others.iter().filter(|other| !other.txs.is_empty()) {
            rate = rate.max(self.rate_of(&other.plan)?);
        }
        let committed = planned.intent.commitment()?.feeRate;
        let (mut vsize, mut committed_fee, mut first) = (0_u64, 0_u64, None);
        for each in &planned.plan.txs {
            let size = signed_vsize_ceil(&self.vault, each)?;
            vsize = vsize.saturating_add(size);
            committed_fee = committed_fee.saturating_add(fee_ceil(size, committed)?);
            first.get_or_insert(size);
        }
        let estimate = self.node.fee_rate_ceil(2).await?;
        let ancestors = self.ancestors(epoch).await?;
        let with_them = |target| package_rate_ceil(target, first.unwrap_or_default(), &ancestors);
        Ok(Standing {
            blocks: 0,
            raised: false,
            refused: false,
            rate,
            estimate: estimate.map(with_them),
            vsize,
            txs: u64::try_from(planned.plan.txs.len()).unwrap_or(u64::MAX),
            fee: planned.plan.fees(),
            committed_fee,
            baton: planned.plan.baton.output.value.to_sat(),
        })
    }

    /// Sats per 1,000 vB of the transaction that spends the baton.
    pub(crate) fn rate_of(&self, plan: &Plan) -> Result<u64, Error> {
        let Some(first) = plan.txs.first() else { return Ok(0) };
        let vsize = signed_vsize_ceil(&self.vault, first)?.max(1);
        let fee = u128::from(first.fee().unwrap_or_default()).saturating_mul(1_000);
        Ok(u64::try_from(fee.checked_div(vsize.into()).unwrap_or_default()).unwrap_or(u64::MAX))
    }

    /// Fee and virtual bytes of earlier epochs' payouts that are in no block.
    pub(super) async fn ancestors(&self, epoch: EpochId) -> Result<Vec<(u64, u64)>, Error> {
        let mut found = Vec::new();
        for earlier in self.store.unfinished().await?.into_iter().filter(|other| *other < epoch) {
            let Some(state) = self.store.state(earlier).await? else { continue };
            let Some(first) = state.plan().and_then(|plan| plan.txs.first()) else { continue };
            if self.included(first.tx.txid()).await?.is_none() {
                let vsize = signed_vsize_ceil(&self.vault, first)?;
                found.push((first.fee().unwrap_or_default(), vsize));
            }
        }
        Ok(found)
    }

    /// Sats by which the baton may turn out smaller than it is planned, because another variant of an earlier epoch may be
    /// mined.
    pub(super) async fn doubt(&self, epoch: EpochId) -> Result<u64, Error> {
        let mut sum = 0_u64;
        for earlier in self.store.unfinished().await?.into_iter().filter(|other| *other < epoch) {
            match self.store.state(earlier).await? {
                Some(State::Planned(planned)) => sum = sum.saturating_add(planned.doubt()),
                Some(State::Signed(signed) | State::Sent(signed)) => {
                    sum = sum.saturating_add(signed.planned.doubt());
                }
                _ => {}
            }
        }
        Ok(sum)
    }

    /// Whether no later epoch has decided on its funding, counting on the baton that this one leaves.
    async fn is_newest(&self, epoch: EpochId) -> Result<bool, Error> {
        if self.store.baton().await?.is_none_or(|(newest, _, _)| newest != epoch) {
            return Ok(false);
        }
        for later in self.store.unfinished().await?.into_iter().filter(|other| *other > epoch) {
            let state = self.store.state(later).await?;
            let intent = state.as_ref().and_then(State::intent);
            if intent.is_some_and(|intent| !intent.batches.is_empty()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether no other unfinished epoch has variants.
    async fn is_alone(&self, epoch: EpochId) -> Result<bool, Error> {
        for other in self.store.unfinished().await?.into_iter().filter(|other| *other != epoch) {
            let state = self.store.state(other).await?;
            let planned = state.as_ref().and_then(State::planned);
            if planned.is_some_and(|planned| !planned.others.is_empty()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The signers do not sign, or the reserve does not cover the fees. If the baton has moved, that is why; if it is a
    /// dearer variant, the one before stays.
    pub(super) async fn give_up(
        &self,
        epoch: EpochId,
        planned: Planned,
        why: Error,
    ) -> Result<bool, Error> {
        if let Error::Signers { .. } = &why
            && let Some(to) = self.moved(epoch, &planned).await?
        {
            return self.turn_to(epoch, planned, Vec::new(), to, MOVED).await;
        }
        let spends = planned.plan.spends();
        let signed = |other: &&Variant| !other.txs.is_empty() && other.plan.spends() == spends;
        if let Error::Signers { .. } | Error::Reserve { .. } = &why
            && let Some(before) = planned.others.iter().rev().find(signed).cloned()
        {
            let words = "the variant before it stays";
            self.turn_to(epoch, planned, Vec::new(), before, words).await?;
        }
        Err(why)
    }
}
