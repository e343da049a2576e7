//! Confirmation to proof: show the ledger contract that every transaction was mined.

use domain::EpochId;
use evm::{
    Finality,
    bindings::{IBitcoinRelay, IEpochLedger},
    block_at,
};
use tracing::info;

use super::Engine;
use crate::{
    chain::rpc,
    encode::ROOT_BATCH,
    error::Error,
    halt::HaltPoint,
    node::internal,
    proof,
    relay::{self, Headers},
    state::{Confirmed, Inclusion, State},
};

impl Engine {
    /// Proves each transaction in the plan's order; what the contract has already is passed over.
    pub(super) async fn prove(&self, epoch: EpochId, confirmed: Confirmed) -> Result<bool, Error> {
        let done = |state: &State| match state {
            State::Committed(intent) => intent.batches.is_empty(),
            state => matches!(state, State::Proven(_)),
        };
        for inclusion in &confirmed.inclusions {
            if self.batch_proven(epoch, inclusion.batch).await? {
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

    async fn batch_proven(&self, epoch: EpochId, batch: u16) -> Result<bool, Error> {
        let proven = self.chain.ledger().batchProven(epoch.0, batch).call().await;
        proven.map_err(|error| rpc("batchProven", error))
    }

    async fn prove_one(
        &self,
        epoch: EpochId,
        confirmed: &Confirmed,
        inclusion: &Inclusion,
    ) -> Result<(), Error> {
        let (tip, _) = self.treasury.tip();
        let needed = self.confirmations_needed(confirmed, inclusion).await?;
        let relay = IBitcoinRelay::new(self.chain.deployment.bitcoin_relay, self.writer.clone());
        let unit = relay::follow(&relay, &self.node).await?;
        // a few more than confirmations: blocks of an easier period before this one count for less
        let last =
            u64::from(inclusion.height).saturating_add(needed.saturating_mul(5)).min(tip.into());
        let mut run = Vec::new();
        for height in u64::from(inclusion.height)..=last {
            run.push(self.node.header(height).await?);
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
        let block = self.node.block(inclusion.block).await?;
        let proof = proof::build(&block, inclusion.txid, headers).ok_or_else(|| {
            Error::mismatch(epoch, format!("block {} lacks {}", inclusion.block, inclusion.txid))
        })?;
        let ledger = self.ledger();
        evm::land("provePayout", ledger.provePayout(epoch.0, inclusion.batch, proof)).await?;
        info!(epoch = epoch.0, txid = %inclusion.txid, batch = inclusion.batch, "proven on chain");
        Ok(())
    }

    /// Confirmations that the contract wants for this batch: more, the more sats are proven under one block.
    async fn confirmations_needed(
        &self,
        confirmed: &Confirmed,
        inclusion: &Inclusion,
    ) -> Result<u64, Error> {
        let latest = block_at(self.chain.reader(), Finality::Latest).await?;
        let address = self.chain.deployment.epoch_ledger;
        let proven = self.chain.logs::<IEpochLedger::PayoutProven>(address, &latest).await?;
        let block = internal(inclusion.block);
        let mut sats = 0_u64;
        for event in proven.into_iter().filter(|event| event.blockHash == block) {
            if event.batch != ROOT_BATCH {
                let batches = self.chain.ledger().batchesOf(event.epoch).call().await;
                let batches = batches.map_err(|error| rpc("batchesOf", error))?;
                let total = batches.get(usize::from(event.batch)).map_or(0, |batch| batch.total);
                sats = sats.saturating_add(total);
            }
        }
        let batches = &confirmed.signed.planned.intent.batches;
        let own = batches.get(usize::from(inclusion.batch)).map_or(0, |batch| batch.total);
        let value = alloy::primitives::U256::from(sats.saturating_add(own));
        let needed = self.chain.ledger().confirmationsFor(value).call().await;
        let needed = needed.map_err(|error| rpc("confirmationsFor", error))?;
        Ok(u64::try_from(needed).unwrap_or(u64::MAX))
    }
}
