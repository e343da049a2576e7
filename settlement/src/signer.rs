//! The validating signer: a process of its own, with its own key, its own store and its own view of the EVM chain. It
//! signs a payout only if every input and output is what the ledger's commitment, in a final block, allows; it writes
//! down what it signs before the signature leaves.
//!
//! It never believes settlement: scripts come from its own descriptors, amounts from previous transactions whose txid
//! it computes, the committed outputs from the chain.

pub mod check;
pub mod config;
#[cfg(test)]
mod corpus;
pub mod keys;
pub mod limits;
pub mod server;
pub mod store;

use bitcoin::{OutPoint, Psbt, Txid, bip32::Xpriv, hashes::Hash, secp256k1::Secp256k1};
use domain::EpochId;
use tracing::info;

use crate::{
    chain::{Chain, rpc},
    encode::ROOT_BATCH,
    error::Error,
    protocol::Request,
    psbt::{self, Signatures},
    signer::{
        check::{Facts, check},
        keys::Key,
        limits::Limits,
        store::SignerStore,
    },
    vault::Vault,
};

/// A signer at work.
pub struct Signer {
    key: Key,
    vault: Vault,
    limits: Limits,
    chain: Chain,
    store: SignerStore,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

/// Why a signer did not sign.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request breaks a rule.
    #[error(transparent)]
    Rule(#[from] check::Broken),
    /// Chain or store cannot be read; asking again may help.
    #[error(transparent)]
    Error(#[from] Error),
}

impl Signer {
    /// Puts a signer together.
    #[must_use]
    pub const fn new(
        key: Key,
        vault: Vault,
        limits: Limits,
        chain: Chain,
        store: SignerStore,
    ) -> Self {
        Self { key, vault, limits, chain, store }
    }

    /// Checks a request against the chain and signs it; the same request again gets the same signatures.
    ///
    /// # Errors
    /// With the reason it refuses for.
    pub async fn sign(&self, request: &Request) -> Result<Signatures, Refusal> {
        let asked = psbt::from_hex(&request.psbt).map_err(Error::from)?;
        let facts = self.facts(request.epoch, request.batch).await?;
        let chunks = request.chunk_outputs().map_err(check::Broken::Chunk)?;
        let approved = check(&self.vault, &self.limits, &facts, request.batch, &chunks, asked)?;
        let tx = &approved.psbt.unsigned_tx;
        let (txid, root) = (tx.compute_txid(), facts.commitment.root.hash);
        let spends = tx.input.first().map_or_else(OutPoint::null, |input| input.previous_output);
        let sats = approved.leaves(request.batch, facts.commitment.batches.len());
        let now = self.chain.now().await?;
        let (epoch, batch) = (request.epoch, request.batch);
        let limits = &self.limits;
        let fee = approved.fee();
        self.store.record_spend(limits, epoch, batch, txid, root, spends, sats, fee, now).await?;
        info!(epoch = request.epoch, batch = request.batch, %txid, "signed");
        Ok(sign_with(self.key.get(), &mut { approved.psbt })?)
    }

    async fn facts(&self, epoch: u32, batch: u16) -> Result<Facts, Refusal> {
        let missing = || check::Broken::NotCommitted(epoch);
        let found = self.chain.final_commitment(EpochId(epoch)).await?.ok_or_else(missing)?;
        let (commitment, paying) = (found.commitment, found.paying);
        let previous = paying.as_ref().map(|earlier| earlier.epoch);
        let proven = self.chain.proven_txids(epoch).await?;
        if proven.iter().any(|(found, _)| *found == batch) {
            return Err(check::Broken::AlreadyProven(epoch, batch).into());
        }
        let (mut batons, baton_index) = match previous {
            None => {
                let (txid, vout) = self.chain.first_baton().await?;
                let txid = Txid::from_byte_array(txid.0);
                (vec![OutPoint { txid, vout }], crate::vault::GENESIS_BATON)
            }
            Some(previous) => {
                let signed = self.store.signed(previous, &[0, ROOT_BATCH]).await?;
                let count = paying.as_ref().map_or(0, |earlier| earlier.batches.len());
                let batch = if count > 1 { ROOT_BATCH } else { 0 };
                let known = signed.into_iter().filter(|(found, _)| *found == batch);
                let mut txids: Vec<Txid> = known.map(|(_, txid)| txid).collect();
                txids.extend(of_batch(&self.chain.proven_txids(previous).await?, batch));
                (txids.into_iter().map(|txid| OutPoint { txid, vout: 0 }).collect(), previous)
            }
        };
        batons.dedup();
        let mut roots: Vec<Txid> =
            self.store.signed(epoch, &[ROOT_BATCH]).await?.into_iter().map(|(_, t)| t).collect();
        roots.extend(of_batch(&proven, ROOT_BATCH));
        if let Some(root) = self.store.root(epoch).await?
            && root != commitment.root.hash
        {
            return Err(check::Broken::OtherRoot(epoch, root).into());
        }
        Ok(Facts { commitment, batons, baton_index, roots })
    }

    /// A sign of life: the chain answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.chain.ping().await.map(|_| ()).map_err(|error| rpc("chain id", error))
    }
}

fn of_batch(proven: &[(u16, Txid)], batch: u16) -> Option<Txid> {
    proven.iter().find(|(found, _)| *found == batch).map(|(_, txid)| *txid)
}

/// Signs every input with `key`, deterministically, and returns the signatures that the PSBT then holds.
///
/// # Errors
/// When an input is not one of the key's.
pub fn sign_with(key: &Xpriv, psbt: &mut Psbt) -> Result<Signatures, Error> {
    let secp = Secp256k1::new();
    let words = |why: String| Error::Psbt(psbt::PsbtError::Incomplete(why));
    psbt.sign(key, &secp).map_err(|(_, errors)| words(format!("{errors:?}")))?;
    if psbt.inputs.iter().any(|input| input.partial_sigs.is_empty()) {
        return Err(words("an input is not spendable with this signer's key".into()));
    }
    Ok(psbt::signatures(psbt))
}
