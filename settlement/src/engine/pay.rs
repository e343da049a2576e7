//! Commit to confirmation: plan, collect signatures, broadcast, follow.

use std::time::Duration;

use bitcoin::{OutPoint, Psbt, Transaction, Txid, hashes::Hash};
use domain::EpochId;
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use tracing::{info, warn};

use super::Engine;
use crate::{
    error::Error,
    halt::HaltPoint,
    node::Broadcast,
    plan::{Order, PlannedTx, plan},
    protocol::Request,
    psbt,
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
        let order = Order {
            epoch: epoch.0,
            root: commitment.root.hash,
            fee_rate: commitment.feeRate,
            baton,
            funding,
            batches: intent.batches.iter().map(crate::allocate::Batch::outputs).collect(),
        };
        // what is committed is paid even if the operator has since raised the least baton
        let plan = plan(&self.vault, &order, 330)?;
        self.halts.at(HaltPoint::PlannedUnsaved).await;
        let first = plan.txs.first().map(|planned| planned.tx.clone());
        let first = first.ok_or_else(|| Error::mismatch(epoch, "a plan without transaction"))?;
        let baton = plan.baton.clone();
        info!(epoch = epoch.0, txid = %first.compute_txid(), "the payout is fixed");
        let state = State::Planned(Planned { intent, plan, creator });
        self.store.put_plan(epoch, &state, &baton, &first).await?;
        self.halts.at(HaltPoint::PlannedSaved).await;
        Ok(true)
    }

    /// Collects signatures for every transaction of the plan, unless the chain has it already. Before anybody is asked,
    /// nobody must have paused and the books must add up.
    pub(super) async fn sign(&self, epoch: EpochId, planned: Planned) -> Result<bool, Error> {
        for each in &planned.plan.txs {
            if self.included(each.tx.compute_txid()).await?.is_none() {
                if self.store.paused().await? {
                    return Err(Error::waiting(epoch, "two operators have paused settlement"));
                }
                self.store.check_books(epoch, &planned.plan.txs).await?;
                break;
            }
        }
        // several at once: each signer takes one after the other, and merging goes on beside
        let each = planned.plan.txs.iter().map(|each| self.complete(epoch, &planned, each));
        let txs: Vec<Transaction> = stream::iter(each).buffered(AT_ONCE).try_collect().await?;
        self.halts.at(HaltPoint::SignedUnsaved).await;
        self.store.put_state(epoch, &State::Signed(Signed { planned, txs })).await?;
        self.halts.at(HaltPoint::SignedSaved).await;
        Ok(true)
    }

    /// The transaction with its signatures, or as it is if a block holds it already.
    async fn complete(
        &self,
        epoch: EpochId,
        planned: &Planned,
        each: &PlannedTx,
    ) -> Result<Transaction, Error> {
        if self.included(each.tx.compute_txid()).await?.is_some() {
            return Ok(each.tx.clone());
        }
        self.signed(epoch, planned, each).await
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
            if found == needed {
                return Ok(psbt::finalise(merged)?);
            }
        }
        let txid = merged.unsigned_tx.compute_txid();
        for handed in crate::offline::handed_in(&self.config.psbt_dir, txid) {
            if let Err(why) = psbt::merge(&mut merged, &handed) {
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
        let Some(first) = signed.txs.first() else { return Ok(false) };
        if self.included(first.compute_txid()).await?.is_none() {
            self.broadcast(epoch, first).await?;
        }
        self.halts.at(HaltPoint::BroadcastDone).await;
        self.store.put_state(epoch, &State::Sent(signed)).await?;
        self.halts.at(HaltPoint::SentSaved).await;
        Ok(true)
    }

    async fn broadcast(&self, epoch: EpochId, tx: &Transaction) -> Result<(), Error> {
        let txid = tx.compute_txid();
        if let Some(first) = tx.input.first() {
            self.no_rival(epoch, first.previous_output, txid).await?;
        }
        match self.node.broadcast(tx).await? {
            Broadcast::Known => {
                self.sent_at.lock().await.insert(txid, self.node.elapsed());
                let (tip, _) = self.node.tip();
                self.sent_below.lock().await.entry(txid).or_insert(tip);
                info!(epoch = epoch.0, %txid, "broadcast");
                Ok(())
            }
            Broadcast::Refused(why) => {
                Err(Error::mismatch(epoch, format!("the node refuses {txid}: {why}")))
            }
        }
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
    /// anything that a reorg took out again.
    pub(super) async fn follow(&self, epoch: EpochId, signed: Signed) -> Result<bool, Error> {
        let mut inclusions = Vec::with_capacity(signed.txs.len());
        let (mut may_send, mut deep) = (true, true);
        for (tx, planned) in signed.txs.iter().zip(&signed.planned.plan.txs) {
            let txid = tx.compute_txid();
            let Some((height, block, depth)) = self.included(txid).await? else {
                if tx.input.iter().any(|input| input.witness.is_empty()) {
                    // it was found in a block before we had signatures, and the block is gone
                    let state = State::Planned(signed.planned.clone());
                    self.store.put_state(epoch, &state).await?;
                    return Ok(true);
                }
                if may_send {
                    self.send_again(epoch, tx).await?;
                }
                // chunks wait until the root transaction, the first, is in a block
                (may_send, deep) = (may_send && !inclusions.is_empty(), false);
                continue;
            };
            deep &= depth >= self.config.bitcoin.confirmations;
            inclusions.push(Inclusion { batch: planned.batch, txid, height, block });
        }
        if !deep {
            return Ok(false);
        }
        self.halts.at(HaltPoint::ConfirmedUnsaved).await;
        self.store.put_state(epoch, &State::Confirmed(Confirmed { signed, inclusions })).await?;
        self.halts.at(HaltPoint::ConfirmedSaved).await;
        Ok(true)
    }

    async fn send_again(&self, epoch: EpochId, tx: &Transaction) -> Result<(), Error> {
        let last = self.sent_at.lock().await.get(&tx.compute_txid()).copied();
        if last.is_some_and(|at| self.node.elapsed().saturating_sub(at) < AGAIN) {
            return Ok(());
        }
        self.broadcast(epoch, tx).await
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
    let mut previous = vec![planned.creator.clone()];
    previous.extend(planned.plan.txs.first().map(|first| first.tx.clone()));
    for spent in each.coins.iter().filter(|spent| spent.keychain == Keychain::Treasury) {
        previous.extend(coin(spent.outpoint).map(|(_, tx)| tx));
    }
    Ok(psbt::build(vault, &each.tx, &each.coins, &previous)?)
}
