//! Variants of a payout: the one that the chain or the node holds in place of ours, the one that a moved baton asks for,
//! and the dearer one when blocks leave ours out. None is forgotten, and whichever is mined is followed.

use std::ops::RangeInclusive;

use bitcoin::{OutPoint, Transaction, Txid, hashes::Hash};
use domain::EpochId;
use tracing::{info, warn};

use super::Engine;
use crate::{
    bump::{DUST, Standing, package_rate_ceil},
    error::Error,
    halt::HaltPoint,
    plan::{Order, Plan, fee_ceil, plan, signed_vsize_ceil},
    refusal::Refusal,
    rim::{Bitcoin, Book, Rim},
    state::{Intent, Planned, Signed, State},
    variant::{Variant, recognise},
    vault::Coin,
};

pub(super) const MOVED: &str =
    "the epoch before leaves another variant's baton: it is planned on that one";

impl<R: Rim> Engine<R> {
    /// What an epoch pays, from a baton and at a rate.
    pub(super) fn order(
        &self,
        epoch: EpochId,
        intent: &Intent,
        baton: Coin,
        fee_rate: Option<u64>,
    ) -> Result<Order, Error> {
        let commitment = intent.commitment()?;
        let mut funding = Vec::with_capacity(commitment.funding.len());
        for place in &commitment.funding {
            let txid = Txid::from_byte_array(place.txid.0);
            let outpoint = OutPoint { txid, vout: place.vout };
            let found = self.node.coin(outpoint);
            let missing =
                || Error::waiting(epoch, format!("funding {outpoint} is in no block read"));
            funding.push(found.ok_or_else(missing)?.0);
        }
        Ok(Order {
            epoch: epoch.0,
            root: commitment.root.hash,
            fee_rate: fee_rate.unwrap_or(commitment.feeRate),
            baton,
            funding,
            batches: intent.batches.iter().map(crate::allocate::Batch::outputs).collect(),
        })
    }

    /// The variant that the active chain holds, if it is not the present one.
    pub(super) async fn winner(
        &self,
        epoch: EpochId,
        planned: &Planned,
    ) -> Result<Option<Variant>, Error> {
        let Some(present) = planned.plan.first_txid() else { return Ok(None) };
        if self.included(present).await?.is_some() {
            return Ok(None);
        }
        for other in &planned.others {
            if let Some(txid) = other.plan.first_txid()
                && self.included(txid).await?.is_some()
            {
                return Ok(Some(other.clone()));
            }
        }
        for (baton, creator) in batons(planned) {
            for (rival, _) in self.store.rivals(baton.outpoint, present).await? {
                let Some((_, block, _)) = self.included(rival).await? else { continue };
                let block = self.node.block(block).await?;
                let seen = block.txdata.iter().find(|tx| tx.compute_txid() == rival);
                let order = self.order(epoch, &planned.intent, baton.clone(), None)?;
                let found = match seen {
                    Some(seen) => recognise(&self.vault, &order, seen)?,
                    None => None,
                };
                let Some(plan) = found else {
                    let spends = baton.outpoint;
                    let what = format!("{spends} was spent by {rival}, which is not our {present}");
                    return Err(Error::mismatch(epoch, what));
                };
                return Ok(Some(self.variant(plan, creator)));
            }
        }
        Ok(None)
    }

    /// The variant in the node's mempool that spends a baton, if it is one of ours and not `present`.
    pub(super) async fn waiting_variant(
        &self,
        order: &Order,
        present: Option<Txid>,
    ) -> Result<Option<Plan>, Error> {
        let Some(seen) = self.node.spender(order.baton.outpoint).await? else { return Ok(None) };
        if Some(seen.compute_txid()) == present {
            return Ok(None);
        }
        Ok(recognise(&self.vault, order, &seen)?)
    }

    fn variant(&self, plan: Plan, creator: Transaction) -> Variant {
        let (tip, _) = self.node.tip();
        Variant { plan, creator, txs: Vec::new(), tip }
    }

    /// Makes another variant the present one. If it is signed it counts as sent, and is sent again where nobody has it.
    pub(super) async fn turn_to(
        &self,
        epoch: EpochId,
        planned: Planned,
        txs: Vec<Transaction>,
        to: Variant,
        why: &str,
    ) -> Result<bool, Error> {
        let (planned, txs) = planned.exchanged(txs, to);
        if let Some(txid) = planned.plan.first_txid() {
            let (tip, _) = self.node.tip();
            self.sent_below.lock().await.insert(txid, tip);
            info!(epoch = epoch.0, %txid, "{why}");
        }
        let state = match txs.is_empty() {
            true => State::Planned(planned),
            false => State::Sent(Signed { planned, txs }),
        };
        self.put_variant(epoch, &state).await?;
        Ok(true)
    }

    /// Writes a state and the baton that its present variant leaves behind.
    pub(super) async fn put_variant(&self, epoch: EpochId, state: &State) -> Result<(), Error> {
        let plan = state.plan().ok_or_else(|| Error::mismatch(epoch, "it has no plan"))?;
        let first = plan.txs.first().map(|first| first.tx.clone());
        let first = first.ok_or_else(|| Error::mismatch(epoch, "a plan without transaction"))?;
        self.store.put_plan(epoch, state, &plan.baton, &first).await
    }

    /// The node does not take the transaction that spends the baton: finds out what to do instead.
    pub(super) async fn refused(
        &self,
        epoch: EpochId,
        signed: Signed,
        why: &str,
    ) -> Result<bool, Error> {
        match Refusal::of(why) {
            Refusal::TooLong => {
                let what = format!("the node takes no more before a block has come: {why}");
                return Err(Error::waiting(epoch, what));
            }
            Refusal::TooCheap => {
                if self.bump(epoch, &signed, true).await? {
                    return Ok(true);
                }
                let what =
                    format!("the node takes nothing this cheap, and the fee is not raised: {why}");
                return Err(Error::waiting(epoch, what));
            }
            Refusal::Taken | Refusal::Other => {}
        }
        let planned = signed.planned;
        let present = planned.plan.first_txid();
        for (baton, creator) in batons(&planned) {
            let order = self.order(epoch, &planned.intent, baton, None)?;
            if let Some(plan) = self.waiting_variant(&order, present).await? {
                let to = self.variant(plan, creator);
                let why = "the node has another variant of it";
                return self.turn_to(epoch, planned, signed.txs, to, why).await;
            }
        }
        if let Some(to) = self.moved(epoch, &planned).await? {
            let why =
                "another variant of the epoch before was mined: it is planned on that one's baton";
            return self.turn_to(epoch, planned, signed.txs, to, why).await;
        }
        let txid = present.map_or_else(String::new, |txid| txid.to_string());
        Err(Error::mismatch(epoch, format!("the node refuses {txid}: {why}")))
    }

    /// A variant on the baton that the epoch before leaves by now, if that is another one.
    pub(super) async fn moved(
        &self,
        epoch: EpochId,
        planned: &Planned,
    ) -> Result<Option<Variant>, Error> {
        let mut before = epoch.previous();
        while let Some(earlier) = before {
            let Some(state) = self.store.state(earlier).await? else { return Ok(None) };
            let Some(plan_before) = state.plan() else {
                before = earlier.previous();
                continue;
            };
            let baton = plan_before.baton.clone();
            let spends = |plan: &Plan| plan.spends() == Some(baton.outpoint);
            if spends(&planned.plan) {
                return Ok(None);
            }
            if let Some(known) = planned.others.iter().rev().find(|other| spends(&other.plan)) {
                return Ok(Some(known.clone()));
            }
            let creator = plan_before.txs.first().map(|first| first.tx.clone());
            let creator =
                creator.ok_or_else(|| Error::mismatch(earlier, "a plan without transaction"))?;
            let order = self.order(epoch, &planned.intent, baton, None)?;
            let plan = plan(&self.vault, &order, DUST)?;
            return Ok(Some(self.variant(plan, creator)));
        }
        Ok(None)
    }

    /// Fixes a variant with a higher fee if the policy says so and no later epoch counts on the baton; `refused` says that
    /// the node does not take the present one at all.
    pub(super) async fn bump(
        &self,
        epoch: EpochId,
        signed: &Signed,
        refused: bool,
    ) -> Result<bool, Error> {
        let (planned, policy) = (&signed.planned, &self.config.policy);
        let Some(first) = planned.plan.txs.first() else { return Ok(false) };
        let (tip, _) = self.node.tip();
        let since = self.sent_below.lock().await.get(&first.tx.compute_txid()).copied();
        let blocks = tip.saturating_sub(since.unwrap_or(planned.tip).max(planned.tip));
        let raised = !planned.others.is_empty();
        let due = refused || policy.bump.is_due(blocks, raised);
        if !due || self.store.paused().await? || !self.is_newest(epoch).await? {
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
        self.store.check_books(epoch, &plan.txs).await?;
        self.halts.at(HaltPoint::BumpUnsaved).await;
        warn!(epoch = epoch.0, rate, blocks, "blocks leave the payout out: its fee is raised");
        let to = self.variant(plan, planned.creator.clone());
        self.turn_to(epoch, planned.clone(), signed.txs.clone(), to, "a dearer variant is fixed")
            .await?;
        self.bumps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
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
            if self.included(first.tx.compute_txid()).await?.is_none() {
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

/// The batons that an epoch's variants spend, with the transactions that created them; the present one's first.
fn batons(planned: &Planned) -> Vec<(Coin, Transaction)> {
    let mut found: Vec<(Coin, Transaction)> = Vec::new();
    let others = planned.others.iter().map(|other| (&other.plan, &other.creator));
    for (plan, creator) in std::iter::once((&planned.plan, &planned.creator)).chain(others) {
        let Some(coin) = plan.txs.first().and_then(|first| first.coins.first()) else { continue };
        if found.iter().all(|(known, _)| known.outpoint != coin.outpoint) {
            found.push((coin.clone(), creator.clone()));
        }
    }
    found
}
