//! Confirmation to proof: show the ledger contract that every transaction was mined.

use domain::EpochId;
use tracing::info;

use super::Engine;
use crate::{
    error::Error,
    halt::HaltPoint,
    relay,
    rim::{Bitcoin, Book, Evm, Rim},
    state::{Confirmed, Inclusion, State},
};

impl<R: Rim> Engine<R> {
    /// Proves each transaction in the plan's order; what the contract has already is passed over.
    pub(super) async fn prove(&self, epoch: EpochId, confirmed: Confirmed) -> Result<bool, Error> {
        let done = |state: &State| match state {
            State::Committed(intent) => intent.batches.is_empty(),
            state => matches!(state, State::Proven(_)),
        };
        for inclusion in &confirmed.inclusions {
            if self.chain.batch_proven(epoch, inclusion.batch).await? {
                continue;
            }
            self.after_earlier(epoch, "proven", done).await?;
            if self.node.hash_at(inclusion.height).await? != inclusion.block {
                self.store.put_state(epoch, &State::Sent(confirmed.signed)).await?;
                return Ok(true);
            }
            self.prove_one(epoch, &confirmed, inclusion).await?;
        }
        self.halts.at(HaltPoint::ProofLanded).await;
        // proven is for ever here, so it must be on the chain too: a reorg may still take a proof back
        for inclusion in &confirmed.inclusions {
            if !self.chain.proven_finally(epoch, inclusion.batch).await? {
                return Err(Error::waiting(epoch, "its proofs are not final yet"));
            }
        }
        self.store.put_state(epoch, &State::Proven(confirmed)).await?;
        self.halts.at(HaltPoint::ProvenSaved).await;
        Ok(true)
    }

    async fn prove_one(
        &self,
        epoch: EpochId,
        confirmed: &Confirmed,
        inclusion: &Inclusion,
    ) -> Result<(), Error> {
        let (tip, _) = self.node.tip();
        let batches = &confirmed.signed.planned.intent.batches;
        let own = batches.get(usize::from(inclusion.batch)).map_or(0, |batch| batch.total);
        let needed = self.chain.confirmations_needed(inclusion.block, own).await?;
        let unit = self.chain.follow_relay(&self.node).await?;
        // a few more than confirmations: blocks of an easier period before this one count for less
        let most = u32::try_from(needed.saturating_mul(5)).unwrap_or(u32::MAX);
        let last = inclusion.height.saturating_add(most).min(tip);
        let mut run = Vec::new();
        for height in inclusion.height..=last {
            run.push(self.node.header_at(height).await?);
            if relay::enough(&run, unit, needed).is_some() {
                break;
            }
        }
        let Some(count) = relay::enough(&run, unit, needed) else {
            let what = format!(
                "batch {} needs the work of {needed} headers to be proven",
                inclusion.batch
            );
            return Err(Error::waiting(epoch, what));
        };
        let headers =
            run.iter().take(count).flat_map(bitcoin::consensus::encode::serialize).collect();
        let mined = self.node.mined(inclusion.height, inclusion.block, inclusion.txid).await?;
        let proof = mined.proof(headers);
        self.chain.prove(epoch, inclusion.batch, proof).await?;
        info!(epoch = epoch.0, txid = %inclusion.txid, batch = inclusion.batch, "proven on chain");
        Ok(())
    }
}
