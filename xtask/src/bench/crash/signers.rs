//! The signers' rules and signatures over the simulated chain, and what each has on its disk.

use alloy::primitives::B256;
use bitcoin::{OutPoint, Psbt, Txid, bip32::Xpriv};
use settlement::{
    encode::ROOT_BATCH,
    protocol::Request,
    psbt::{self, Signatures},
    rim::Signers,
    signer::{
        check::{Facts, check},
        limits::Limits,
        sign_with,
    },
    vault::{GENESIS_BATON, Vault},
};

use super::rim::Shared;

pub(in crate::bench) const LIMITS: Limits = Limits {
    max_fee_sats: 100_000,
    max_fee_rate: 20_000,
    min_fee_rate: 1_000,
    max_day_sats: None,
    max_epoch_sats: None,
    max_epoch_fee_sats: None,
};

impl Signers for Shared {
    async fn ask(&self, signer: usize, request: &Request) -> Result<Signatures, String> {
        self.step("signer").await.map_err(|error| error.to_string())?;
        if self.0.borrow().no_signers {
            return Err("refused: this signer is kept back".into());
        }
        let facts = self.facts(signer, request)?;
        let vault = self.0.borrow().vault.clone();
        let mut own = approved(&vault, &facts, request)?;
        // on the signer's disk before the signature leaves
        self.keep(signer, request, facts.commitment.root.hash, own.unsigned_tx.compute_txid());
        let key = self.key(signer);
        let signatures = sign_with(&key, &mut own).map_err(|error| error.to_string())?;
        // it may die now, or its answer may be lost
        self.step("signer's answer").await.map_err(|error| error.to_string())?;
        Ok(signatures)
    }
}

/// The transaction that the signer's rules let through.
pub(in crate::bench) fn approved(
    vault: &Vault,
    facts: &Facts,
    request: &Request,
) -> Result<Psbt, String> {
    let asked = psbt::from_hex(&request.psbt).map_err(|error| error.to_string())?;
    let chunks = request.chunk_outputs().map_err(|chunk| format!("bad chunk {chunk}"))?;
    let approved = check(vault, &LIMITS, facts, request.batch, &chunks, asked);
    Ok(approved.map_err(|broken| format!("refused: {broken}"))?.psbt)
}

impl Shared {
    pub(in crate::bench) fn key(&self, signer: usize) -> Xpriv {
        self.0.borrow().signers[signer].key
    }

    /// Puts what is about to be signed on the signer's disk.
    pub(in crate::bench) fn keep(&self, signer: usize, request: &Request, root: B256, txid: Txid) {
        let mut sim = self.0.borrow_mut();
        let store = &mut sim.signers[signer];
        store.roots.insert(request.epoch, root);
        let signed = store.signed.entry((request.epoch, request.batch)).or_default();
        if !signed.contains(&txid) {
            signed.push(txid);
        }
    }

    /// What the signer finds on chain and in its own store.
    pub(in crate::bench) fn facts(
        &self,
        signer: usize,
        request: &Request,
    ) -> Result<Facts, String> {
        let sim = self.0.borrow();
        let (ledger, store) = (&sim.ledger, &sim.signers[signer]);
        let (epoch, at) = (request.epoch, ledger.finalized().number);
        let commitment = ledger.commitment(epoch, at).ok_or("refused: not committed")?.clone();
        if ledger.is_shown(epoch, request.batch, at) {
            return Err("refused: already proven".into());
        }
        let of = |epoch: u32, batch: u16| {
            let signed = store.signed.get(&(epoch, batch)).cloned().unwrap_or_default();
            let shown = ledger.is_shown(epoch, batch, at).then(|| ledger.txid(epoch, batch));
            signed.into_iter().chain(shown.flatten()).collect::<Vec<_>>()
        };
        let (batons, baton_index) = match ledger.paying_before(epoch) {
            None => (vec![ledger.first_baton], GENESIS_BATON),
            Some(paying) => {
                let batch = if paying.batches.len() > 1 { ROOT_BATCH } else { 0 };
                let txids = of(paying.epoch, batch).into_iter();
                (txids.map(|txid| OutPoint { txid, vout: 0 }).collect(), paying.epoch)
            }
        };
        if store.roots.get(&epoch).is_some_and(|root| *root != commitment.root.hash) {
            return Err("refused: another root was signed".into());
        }
        Ok(Facts { commitment, batons, baton_index, roots: of(epoch, ROOT_BATCH) })
    }
}
