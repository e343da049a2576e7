//! Confirmation to proof: show the ledger contract that every transaction was mined.

use domain::EpochId;
use evm::{Finality, bindings::IEpochLedger, block_at};
use tracing::info;

use super::Engine;
use crate::{
    chain::rpc,
    encode::ROOT_BATCH,
    error::Error,
    halt::HaltPoint,
    node::internal,
    proof,
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
        let needed = self.headers_needed(confirmed, inclusion).await?;
        let last = inclusion.height.saturating_add(needed).saturating_sub(1);
        if last > tip {
            let what = format!("batch {} needs {needed} headers to be proven", inclusion.batch);
            return Err(Error::waiting(epoch, what));
        }
        let mut headers = Vec::new();
        for height in inclusion.height..=last {
            let header = self.node.header_at(height).await?;
            headers.extend(bitcoin::consensus::encode::serialize(&header));
        }
        let block = self.node.block(inclusion.block).await?;
        let proof = proof::build(&block, inclusion.txid, headers).ok_or_else(|| {
            Error::mismatch(epoch, format!("block {} lacks {}", inclusion.block, inclusion.txid))
        })?;
        let ledger = self.ledger();
        evm::land("provePayout", ledger.provePayout(epoch.0, inclusion.batch, proof)).await?;
        info!(epoch = epoch.0, txid = %inclusion.txid, batch = inclusion.batch, "proven on chain");
        Ok(())
    }

    /// Headers that the contract wants for this batch: more, the more sats are proven under one block.
    async fn headers_needed(
        &self,
        confirmed: &Confirmed,
        inclusion: &Inclusion,
    ) -> Result<u32, Error> {
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
        Ok(u32::try_from(needed).unwrap_or(u32::MAX))
    }
}
