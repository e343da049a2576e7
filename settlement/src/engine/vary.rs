//! Variants of a payout: the one that the chain or the node holds in place of ours, and the one that a moved baton asks
//! for. None is forgotten, and whichever is mined is followed.

use bitcoin::{OutPoint, Txid, hashes::Hash};
use domain::EpochId;
use tracing::info;

use super::Engine;
use crate::{
    bump::DUST,
    error::Error,
    known::KnownTx,
    plan::{Order, Plan, plan},
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
    async fn winner(&self, epoch: EpochId, planned: &Planned) -> Result<Option<Variant>, Error> {
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
                let Some((height, block, _)) = self.included(rival).await? else { continue };
                let seen = self.node.mined(height, block, rival).await?.tx;
                let order = self.order(epoch, &planned.intent, baton.clone(), None)?;
                let Some(plan) = recognise(&self.vault, &order, &seen)? else {
                    let spends = baton.outpoint;
                    let what = format!("{spends} was spent by {rival}, which is not our {present}");
                    return Err(Error::mismatch(epoch, what));
                };
                return Ok(Some(self.variant(plan, creator)));
            }
        }
        Ok(None)
    }

    /// Makes the variant that the active chain holds the present one; `false` if it is that already, or holds none.
    pub(super) async fn turn_to_winner(
        &self,
        epoch: EpochId,
        planned: &Planned,
        txs: &[KnownTx],
    ) -> Result<bool, Error> {
        let Some(winner) = self.winner(epoch, planned).await? else { return Ok(false) };
        let why = "the chain holds another variant of it";
        self.turn_to(epoch, planned.clone(), txs.to_vec(), winner, why).await
    }

    /// The variant in the node's mempool that spends a baton, if it is one of ours and not `present`.
    pub(super) async fn waiting_variant(
        &self,
        order: &Order,
        present: Option<Txid>,
    ) -> Result<Option<Plan>, Error> {
        let Some(seen) = self.node.spender(&order.baton).await? else { return Ok(None) };
        if Some(seen.compute_txid()) == present {
            return Ok(None);
        }
        Ok(recognise(&self.vault, order, &seen)?)
    }

    pub(super) fn variant(&self, plan: Plan, creator: KnownTx) -> Variant {
        let (tip, _) = self.node.tip();
        Variant { plan, creator, txs: Vec::new(), tip }
    }

    /// Makes another variant the present one. If it is signed it counts as sent, and is sent again where nobody has it.
    pub(super) async fn turn_to(
        &self,
        epoch: EpochId,
        planned: Planned,
        txs: Vec<KnownTx>,
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
        self.store.put_plan(epoch, &state).await?;
        Ok(true)
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
}

/// The batons that an epoch's variants spend, with the transactions that created them; the present one's first.
fn batons(planned: &Planned) -> Vec<(Coin, KnownTx)> {
    let mut found: Vec<(Coin, KnownTx)> = Vec::new();
    let others = planned.others.iter().map(|other| (&other.plan, &other.creator));
    for (plan, creator) in std::iter::once((&planned.plan, &planned.creator)).chain(others) {
        let Some(coin) = plan.txs.first().and_then(|first| first.coins.first()) else { continue };
        if found.iter().all(|(known, _)| known.outpoint != coin.outpoint) {
            found.push((coin.clone(), creator.clone()));
        }
    }
    found
}
