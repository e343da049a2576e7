//! What one signer saw, signed. Made once per epoch, written down, and only then shown to others.

use alloy::{
    primitives::{Address, B256, Keccak256, Signature},
    signers::{SignerSync, local::PrivateKeySigner},
};
use domain::{EpochId, SeriesId};
use evm::quorum::OracleDomain;
use serde::{Deserialize, Serialize};

use crate::attribution::Receipt;

/// Which contracts on which chain: what every signature is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// FleetOracle.
    pub oracle: Address,
    /// SeriesRegistry.
    pub registry: Address,
}

/// Acknowledged work in one cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkCell {
    /// Epoch.
    pub epoch: EpochId,
    /// Pool.
    pub pool: String,
    /// Series.
    pub series: SeriesId,
    /// Expected hashes.
    #[serde(with = "domain::decimal")]
    pub hashes: u128,
}

/// A hardware price: quote units per 10^15 H/s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardwarePrice {
    /// Series that it applies to.
    pub series: SeriesId,
    /// Price.
    #[serde(with = "domain::decimal")]
    pub price: u128,
}

/// A piece of evidence by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// `journal`, `pool/<name>` or `exchange`.
    pub label: String,
    /// Hash.
    pub hash: B256,
}

/// One signer's own reading of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// The epoch.
    pub epoch: EpochId,
    /// Unix seconds of chain time.
    pub observed_at: u64,
    /// Quote units (6 decimals) for one BTC: median of this signer's sources.
    #[serde(with = "domain::decimal")]
    pub quote_per_btc: u64,
    /// (highest − lowest) / median of the sources, parts per million.
    pub quote_spread: u32,
    /// Hardware prices, by series.
    pub hardware: Vec<HardwarePrice>,
    /// Work of the epoch and the 24 before it.
    pub work: Vec<WorkCell>,
    /// Attributed receipts that no earlier report distributed.
    pub receipts: Vec<Receipt>,
    /// Evidence, by label.
    pub evidence: Vec<Evidence>,
}

/// An observation as it travels: the exact text that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedObservation {
    /// The [`Observation`] as JSON.
    pub body: String,
    /// 65 bytes, hex.
    pub signature: String,
}

/// Why an observation is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadObservation {
    /// The signature is not one, or of somebody outside the signer set.
    #[error("the observation is not signed by a signer: {0}")]
    Signature(String),
    /// The body is no observation.
    #[error("the observation of {signer} does not parse: {why}")]
    Body {
        /// Who signed it.
        signer: Address,
        /// The parser's words.
        why: String,
    },
    /// It contradicts itself.
    #[error("the observation of {signer} is not consistent: {why}")]
    Inconsistent {
        /// Who signed it.
        signer: Address,
        /// How.
        why: &'static str,
    },
}

impl Domain {
    /// What reports, valuations and gaps are bound to.
    #[must_use]
    pub const fn quorum(&self) -> OracleDomain {
        OracleDomain { chain_id: self.chain_id, oracle: self.oracle }
    }

    /// What is signed for an observation. The prefix keeps it apart from every EIP-712 digest.
    #[must_use]
    pub fn observation_digest(&self, body: &str) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update(b"Liquid Hashrate observation v1");
        hasher.update(self.chain_id.to_be_bytes());
        hasher.update(self.oracle);
        hasher.update(body.as_bytes());
        hasher.finalize()
    }

    /// Signs an observation.
    ///
    /// # Errors
    /// When it cannot be written as JSON or the key refuses.
    pub fn sign(
        &self,
        observation: &Observation,
        key: &PrivateKeySigner,
    ) -> Result<SignedObservation, String> {
        let body = serde_json::to_string(observation).map_err(|error| error.to_string())?;
        let digest = self.observation_digest(&body);
        let signature = key.sign_hash_sync(&digest).map_err(|error| error.to_string())?;
        Ok(SignedObservation { body, signature: hex::encode(signature.as_bytes()) })
    }

    /// Who signed, and what they saw; checked for consistency.
    ///
    /// # Errors
    /// When the signature is no signer's, or the observation contradicts itself.
    pub fn open(
        &self,
        signed: &SignedObservation,
        signers: &[Address],
    ) -> Result<(Address, Observation), BadObservation> {
        let bad = |why: String| BadObservation::Signature(why);
        let bytes = hex::decode(&signed.signature).map_err(|error| bad(error.to_string()))?;
        let signature = Signature::from_raw(&bytes).map_err(|error| bad(error.to_string()))?;
        let digest = self.observation_digest(&signed.body);
        let signer = signature
            .recover_address_from_prehash(&digest)
            .map_err(|error| bad(error.to_string()))?;
        if !signers.contains(&signer) {
            return Err(bad(format!("{signer} is not in the signer set")));
        }
        let observation: Observation = serde_json::from_str(&signed.body)
            .map_err(|error| BadObservation::Body { signer, why: error.to_string() })?;
        observation.consistent().map_err(|why| BadObservation::Inconsistent { signer, why })?;
        Ok((signer, observation))
    }
}

impl Observation {
    fn consistent(&self) -> Result<(), &'static str> {
        let adds_up = |receipt: &Receipt| {
            let sum =
                receipt.pieces.iter().try_fold(0_u64, |sum, piece| sum.checked_add(piece.sats));
            sum == Some(receipt.sats) && receipt.sats > 0
        };
        if !self.receipts.iter().all(adds_up) {
            return Err("the pieces of a receipt do not add up");
        }
        let ascends = |pair: &[Receipt]| match pair {
            [a, b] => (a.txid, a.vout) < (b.txid, b.vout),
            _ => true,
        };
        if !self.receipts.windows(2).all(ascends) {
            return Err("receipts are not strictly ascending");
        }
        if self.observed_at < self.epoch.end() {
            return Err("it was made before the epoch ended");
        }
        if self.quote_per_btc == 0 {
            return Err("it has no price of bitcoin");
        }
        Ok(())
    }
}
