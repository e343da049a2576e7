//! Commit to confirmation: plan, collect signatures, broadcast, follow.

use std::time::Duration;

use bitcoin::{OutPoint, Psbt, Transaction, Txid};
use domain::EpochId;
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use tracing::{info, warn};

use super::{Engine, vary::MOVED};
use crate::{
    bump::DUST,
    error::Error,
    halt::HaltPoint,
    known::KnownTx,
    node::Broadcast,
    plan::{PlannedTx, plan},
    protocol::Request,
    psbt,
    refusal::Refusal,
    rim::{Bitcoin, Book, Evm, Rim, Signers},
    state::{Confirmed, Inclusion, Intent, Planned, Signed, State},
    vault::{Coin, Keychain, Vault},
};

/// A transaction that is in no block is handed to the node again after this long.
const AGAIN: Duration = Duration::from_secs(5);
/// Transactions that are being signed at the same time.
const AT_ONCE: usize = 4;

impl<R: Rim> Engine<R> {
    /// Fixes the transactions once the commit is final at both endpoints.
    pub(super) async fn plan(&self, epoch: EpochId, intent: Intent) -> Result<bool, Error> {
        let found = self.chain.commitment(epoch).await?.map(|found| Intent::new(&found, vec![], 0));
        if found.is_none_or(|found| found.hash() != intent.hash()) {
            warn!(epoch = epoch.0, "the commit was taken back by a reorg; it is decided again");
            self.store.put_state(epoch, &State::Allocated(intent)).await?;
            return Ok(true);
        }
        if !self.chain.committed_finally(epoch, intent.hash()).await? {
            return Err(Error::waiting(epoch, "the commit is not final yet"));
        }
        if intent.batches.is_empty() {
            self.store.put_state(epoch, &State::Closed(intent)).await?;
            return Ok(true);
        }
        // this commit is final, so every earlier one is: an empty one that is not closed yet may still turn out another
        self.after_earlier(epoch, "planned", |state| state.plan().is_some()).await?;
        let (baton, creator) = self.baton(epoch).await?;
        let order = self.order(epoch, &intent, baton, None)?;
        // a database that was lost may have known a dearer variant: the node may still hold it
        let plan = match self.waiting_variant(&order, None).await? {
            Some(plan) => plan,
            // what is committed is paid even if the operator has since raised the least baton
            None => plan(&self.vault, &order, DUST)?,
        };
        self.halts.at(HaltPoint::PlannedUnsaved).await;
        if let Some(txid) = plan.first_txid() {
            info!(epoch = epoch.0, %txid, "the payout is fixed");
        }
        let (tip, _) = self.node.tip();
        let state = State::Planned(Planned { intent, plan, creator, tip, others: Vec::new() });
        self.store.put_plan(epoch, &state).await?;
        self.halts.at(HaltPoint::PlannedSaved).await;
        Ok(true)
    }

    /// Collects signatures for every transaction of the plan, unless the chain has it already. Before anybody is asked,
    /// nobody must have paused and the books must add up.
    pub(super) async fn sign(&self, epoch: EpochId, planned: Planned) -> Result<bool, Error> {
        if self.turn_to_winner(epoch, &planned, &[]).await? {
            return Ok(true);
        }
        if self.included(planned.creator.txid()).await?.is_none() {
            if let Some(to) = self.moved(epoch, &planned).await? {
                return self.turn_to(epoch, planned, Vec::new(), to, MOVED).await;
            }
            // until then nobody knows whether the chain holds another variant of the baton
            let out = |state: &State| match state.planned() {
                None => state.baton_known(),
                Some(_) => !matches!(state, State::Planned(_) | State::Signed(_)),
            };
            self.after_earlier(epoch, "sent", out).await?;
        }
        let txs = match self.all_signed(epoch, &planned).await {
            Ok(txs) => txs,
            Err(error) => return self.give_up(epoch, planned, error).await,
        };
        let raised = !planned.others.is_empty();
        self.halts.at(if raised { HaltPoint::BumpSigned } else { HaltPoint::SignedUnsaved }).await;
        self.store.put_state(epoch, &State::Signed(Signed { planned, txs })).await?;
        let saved = if raised { HaltPoint::BumpSignedSaved } else { HaltPoint::SignedSaved };
        self.halts.at(saved).await;
        Ok(true)
    }

    async fn all_signed(&self, epoch: EpochId, planned: &Planned) -> Result<Vec<KnownTx>, Error> {
        for each in &planned.plan.txs {
            if self.included(each.tx.txid()).await?.is_none() {
                if self.store.paused().await? {
                    return Err(Error::waiting(epoch, "two operators have paused settlement"));
                }
                self.check_books(epoch, &planned.plan.txs).await?;
                break;
            }
        }
        // several at once: each signer takes one after the other, and merging goes on beside
        let each = planned.plan.txs.iter().map(|each| self.complete(epoch, planned, each));
        stream::iter(each).buffered(AT_ONCE).try_collect().await
    }

    /// The transaction with its signatures, or as it is if a block holds it already.
    async fn complete(
        &self,
        epoch: EpochId,
        planned: &Planned,
        each: &PlannedTx,
    ) -> Result<KnownTx, Error> {
        if self.included(each.tx.txid()).await?.is_some() {
            return Ok(each.tx.clone());
        }
        self.signed(epoch, planned, each).await.map(KnownTx::from)
    }

    async fn signed(
        &self,
        epoch: EpochId,
        planned: &Planned,
        each: &PlannedTx,
    ) -> Result<Transaction, Error> {
        let unsigned = unsigned(&self.vault, |place| self.node.coin(place), planned, each)?;
        let request = Request::new(epoch.0, each.batch, &unsigned, &planned.intent.batches);
        let needed = self.config.vault.threshold;
        let (mut merged, mut found, mut refusals) = (unsigned, 0_usize, Vec::new());
        // as many as are needed at once; the others only if one of those does not sign
        let first = (0..needed).map(|position| self.signers.ask(position, &request));
        let mut answers = join_all(first).await.into_iter();
        for (signer, position) in self.config.signers.iter().zip(0_usize..) {
            let answer = match answers.next() {
                Some(answer) => answer,
                None => self.signers.ask(position, &request).await,
            };
            let added = answer.and_then(|answer| {
                psbt::merge(&mut merged, &answer).map_err(|error| error.to_string())
            });
            match added {
                Ok(()) => {
                    let signed = merged.inputs.iter().map(|input| input.partial_sigs.len());
                    found = signed.min().unwrap_or_default();
                }
                Err(why) => refusals.push(format!("{}: {why}", signer.name)),
            }
            if found == 1 {
                self.halts.at(HaltPoint::OneSignature).await;
            }
            if found >= needed {
                return Ok(psbt::finalise(merged)?);
            }
        }
        let txid = each.tx.txid();
        for handed in crate::offline::handed_in(&self.config.psbt_dir, txid) {
            if let Err(why) = psbt::merge_signed(&mut merged, &handed) {
                refusals.push(format!("a file in {}: {why}", self.config.psbt_dir.display()));
                continue;
            }
            let signed = merged.inputs.iter().map(|input| input.partial_sigs.len());
            found = signed.min().unwrap_or_default();
            if found >= needed {
                return Ok(psbt::finalise(merged)?);
            }
        }
        Err(Error::Signers { epoch, needed, found, why: refusals.join("; ") })
    }

    /// Hands the transaction that spends the baton to the network.
    pub(super) async fn send(&self, epoch: EpochId, signed: Signed) -> Result<bool, Error> {
        if self.turn_to_winner(epoch, &signed.planned, &signed.txs).await? {
            return Ok(true);
        }
        let Some(first) = signed.txs.first() else { return Ok(false) };
        if self.included(first.txid()).await?.is_none()
            && let Broadcast::Refused(why) =
                self.broadcast(epoch, first, signed.planned.tip).await?
        {
            return self.refused(epoch, signed, &why).await;
        }
        let raised = !signed.planned.others.is_empty();
        self.halts.at(if raised { HaltPoint::BumpSent } else { HaltPoint::BroadcastDone }).await;
        self.store.put_state(epoch, &State::Sent(signed)).await?;
        self.halts.at(if raised { HaltPoint::BumpSentSaved } else { HaltPoint::SentSaved }).await;
        Ok(true)
    }

    /// Hands out a transaction that was fixed when the tip was at height `since`.
    async fn broadcast(
        &self,
        epoch: EpochId,
        tx: &KnownTx,
        since: u32,
    ) -> Result<Broadcast, Error> {
        let txid = tx.txid();
        if let Some(first) = tx.input.first() {
            self.no_rival(epoch, first.previous_output, txid).await?;
        }
        let answer = self.node.broadcast(tx).await?;
        let (tip, _) = self.node.tip();
        // a database of an older version does not know the height
        let since = if since == 0 { tip } else { since.min(tip) };
        self.sent_below.lock().await.entry(txid).or_insert(since);
        if answer == Broadcast::Known {
            self.sent_at.lock().await.insert(txid, self.node.elapsed());
            info!(epoch = epoch.0, %txid, "broadcast");
        }
        Ok(answer)
    }

    /// No other transaction in the active chain spends what ours spends.
    async fn no_rival(&self, epoch: EpochId, spends: OutPoint, txid: Txid) -> Result<(), Error> {
        for (rival, _) in self.store.rivals(spends, txid).await? {
            if self.included(rival).await?.is_some() {
                let what = format!("{spends} was spent by {rival}, which is not our {txid}");
                return Err(Error::mismatch(epoch, what));
            }
        }
        Ok(())
    }

    /// Watches the transactions until each is deep enough; sends chunks once the root transaction is in a block, and
    /// anything that a reorg took out again. Follows whichever variant the chain holds, and raises the fee while it holds
    /// none.
    pub(super) async fn follow(&self, epoch: EpochId, signed: Signed) -> Result<bool, Error> {
        if self.turn_to_winner(epoch, &signed.planned, &signed.txs).await? {
            return Ok(true);
        }
        let mut inclusions = Vec::with_capacity(signed.txs.len());
        let (mut may_send, mut deep) = (true, true);
        for (tx, planned) in signed.txs.iter().zip(&signed.planned.plan.txs) {
            let txid = tx.txid();
            let Some((height, block, depth)) = self.included(txid).await? else {
                if tx.input.iter().any(|input| input.witness.is_empty()) {
                    // it was found in a block before we had signatures, and the block is gone
                    let state = State::Planned(signed.planned.clone());
                    self.store.put_state(epoch, &state).await?;
                    return Ok(true);
                }
                if may_send && let Some(why) = self.send_again(epoch, tx, &signed.planned).await? {
                    return match inclusions.is_empty() {
                        true => self.refused(epoch, signed, &why).await,
                        false => Err(chunk_refused(epoch, txid, &why)),
                    };
                }
                if may_send && inclusions.is_empty() && self.bump(epoch, &signed, false).await? {
                    return Ok(true);
                }
                // chunks wait until the root transaction, the first, is in a block
                (may_send, deep) = (may_send && !inclusions.is_empty(), false);
                continue;
            };
            deep &= depth >= self.config.bitcoin.confirmations;
            inclusions.push(Inclusion { batch: planned.batch, txid, height, block });
        }
        if !inclusions.is_empty() {
            self.in_block(&signed.planned).await;
        }
        if !deep {
            return Ok(false);
        }
        self.halts.at(HaltPoint::ConfirmedUnsaved).await;
        self.store.put_state(epoch, &State::Confirmed(Confirmed { signed, inclusions })).await?;
        self.halts.at(HaltPoint::ConfirmedSaved).await;
        Ok(true)
    }

    /// While one variant is in a block none waits for one.
    async fn in_block(&self, planned: &Planned) {
        let (tip, _) = self.node.tip();
        let mut below = self.sent_below.lock().await;
        for txid in planned.plans().filter_map(crate::plan::Plan::first_txid) {
            below.insert(txid, tip);
        }
    }

    /// Hands a transaction out again now and then; what the node says if it refuses it.
    async fn send_again(
        &self,
        epoch: EpochId,
        tx: &KnownTx,
        planned: &Planned,
    ) -> Result<Option<String>, Error> {
        let last = self.sent_at.lock().await.get(&tx.txid()).copied();
        if last.is_some_and(|at| self.node.elapsed().saturating_sub(at) < AGAIN) {
            return Ok(None);
        }
        match self.broadcast(epoch, tx, planned.tip).await? {
            Broadcast::Known => Ok(None),
            Broadcast::Refused(why) => Ok(Some(why)),
        }
    }
}

/// A chunk's fee is fixed by the root transaction, which is mined: what the node has no room for waits.
fn chunk_refused(epoch: EpochId, txid: Txid, why: &str) -> Error {
    match Refusal::of(why) {
        Refusal::TooLong | Refusal::TooCheap => {
            Error::waiting(epoch, format!("the node has no room for chunk {txid} yet: {why}"))
        }
        Refusal::Taken | Refusal::Other => {
            Error::mismatch(epoch, format!("the node refuses {txid}: {why}"))
        }
    }
}

/// The PSBT of one planned transaction, with every transaction that it spends.
///
/// # Errors
/// When the wallet lacks a funding transaction.
pub(crate) fn unsigned(
    vault: &Vault,
    coin: impl Fn(OutPoint) -> Option<(Coin, Transaction)>,
    planned: &Planned,
    each: &PlannedTx,
) -> Result<Psbt, Error> {
    let treasury = each.coins.iter().filter(|spent| spent.keychain == Keychain::Treasury);
    let funding: Vec<KnownTx> =
        treasury.filter_map(|spent| Some(coin(spent.outpoint)?.1.into())).collect();
    let mut previous = vec![&planned.creator];
    previous.extend(planned.plan.txs.first().map(|first| &first.tx));
    previous.extend(&funding);
    Ok(psbt::build(vault, &each.tx, &each.coins, previous)?)
}
