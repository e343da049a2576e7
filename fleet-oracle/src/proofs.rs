//! Proofs of hashrate: opens each epoch on chain, and after it shows the lowest shares that the journal holds.
//!
//! Signers take turns, so that five do not send the same transaction. What is sent stands in the store before, and the
//! contract takes a claim only if it is more than what it has: a signer that is killed at any instant sends the same
//! again, or finds it done.

use alloy::{
    contract::{CallBuilder, CallDecoder},
    primitives::{B256, Bytes, U256},
    providers::Provider,
    rpc::types::TransactionReceipt,
};
use domain::{EpochId, ShareProof};
use evm::bindings::IHashProof::{self, IHashProofInstance};
use serde::{Deserialize, Serialize};

use crate::{
    signer::{Refusal, Signer},
    sources::journal,
};

/// Seconds after an epoch in which the contract takes proofs of it.
const WINDOW: u64 = 7_200;
/// Seconds after an epoch at which the journal surely holds the last shares of its tag.
const SETTLED: u64 = 600;
/// What every coinbase has after its version: one input, which spends nothing. Not sent; the contract writes it.
const OMITTED: std::ops::Range<usize> = 4..41;
/// Where the input script of a coinbase starts.
const SCRIPT_AT: u16 = 42;

/// A proof as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Smallest share target that machines were given under the epoch's tag.
    pub bound: U256,
    /// The highest of the hashes.
    pub highest: U256,
    /// Shares in the contract's form, hashes ascending.
    pub shares: Vec<Bytes>,
}

/// What the journal holds of an epoch's proof.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Shares with their hashes, ascending.
    pub shares: Vec<(U256, ShareProof)>,
    /// Smallest share target of work that carried the tag; none if no work did.
    pub bound: Option<U256>,
    /// Venues that could not carry it.
    pub unprovable: Vec<String>,
}

/// Why an epoch has no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProof {
    /// Too few shares.
    #[error("{found} shares carry the epoch's tag, a proof has {needed}")]
    TooFew {
        /// In the journal.
        found: usize,
        /// The contract's k.
        needed: usize,
    },
    /// Some machine was not told to send hashes as high as that.
    #[error(
        "the highest hash {highest:#x} is above the smallest share target {bound:#x}: shares between the two are missing"
    )]
    AboveBound {
        /// The k-th lowest hash.
        highest: U256,
        /// Smallest share target.
        bound: U256,
    },
}

/// The proof of what was found: the `k` lowest shares that carry `tag`.
///
/// # Errors
/// When there are too few, or the highest is above the smallest share target.
pub fn plan(found: &Found, k: usize, tag: [u8; 4]) -> Result<Plan, NoProof> {
    let carries = |share: &ShareProof| {
        let at = usize::from(share.tag_at);
        share.coinbase.get(at..at.saturating_add(tag.len())) == Some(&tag)
    };
    let tagged = found.shares.iter().filter(|(_, share)| carries(share));
    let packed: Vec<(U256, Bytes)> =
        tagged.filter_map(|(hash, share)| Some((*hash, pack(share)?))).take(k).collect();
    let few = NoProof::TooFew { found: packed.len(), needed: k };
    let highest = packed.last().map(|(hash, _)| *hash).filter(|_| packed.len() == k);
    let (highest, bound) = highest.zip(found.bound).ok_or(few)?;
    if highest > bound {
        return Err(NoProof::AboveBound { highest, bound });
    }
    Ok(Plan { bound, highest, shares: packed.into_iter().map(|(_, share)| share).collect() })
}

/// A share as the contract reads it; none if its coinbase is not one.
fn pack(share: &ShareProof) -> Option<Bytes> {
    let coinbase = &share.coinbase;
    let (count, null) = coinbase.get(OMITTED)?.split_first()?;
    let (outpoint, index) = null.split_at_checked(32)?;
    if *count != 1 || outpoint.iter().any(|byte| *byte != 0) || index != [0xff; 4] {
        return None;
    }
    let mut out = Vec::with_capacity(coinbase.len().saturating_add(512));
    out.extend(share.version.to_le_bytes());
    out.extend(share.previous);
    for field in [share.time, share.bits, share.nonce] {
        out.extend(field.to_le_bytes());
    }
    out.push(u8::try_from(share.tag_at.checked_sub(SCRIPT_AT)?).ok()?);
    out.push(u8::try_from(share.branch.len()).ok()?);
    share.branch.iter().for_each(|sibling| out.extend(sibling));
    out.extend(coinbase.get(..OMITTED.start)?);
    out.extend(coinbase.get(OMITTED.end..)?);
    Some(out.into())
}

/// What this signer need not ask again.
#[derive(Debug, Default)]
pub struct Prover {
    opened: Option<EpochId>,
    /// Proven, or found to have no proof.
    done: Option<EpochId>,
}

impl Prover {
    /// Opens the running epoch and proves the one before, as far as it is this signer's turn.
    ///
    /// # Errors
    /// When a node, the journal or the store does not answer; it is tried again.
    pub async fn step(&mut self, signer: &Signer, http: &reqwest::Client) -> Result<(), Refusal> {
        let now = signer.clock.now();
        let running = EpochId::at(now);
        if self.opened != Some(running) && has_turn(signer, running, now).await? {
            let opened = open(signer, running).await;
            if matches!(opened, Ok(true) | Err(Refusal::Bad(_))) {
                self.opened = Some(running);
            }
            opened?;
        }
        let Some(over) = running.previous().filter(|over| self.done != Some(*over)) else {
            return Ok(());
        };
        let window = over.end().saturating_add(SETTLED)..over.end().saturating_add(WINDOW);
        if window.contains(&now) && has_turn(signer, over, now).await? {
            let proven = prove(signer, http, over).await;
            if !matches!(&proven, Err(Refusal::Trouble(_))) {
                self.done = Some(over);
            }
            proven?;
        }
        Ok(())
    }
}

fn contract(signer: &Signer) -> IHashProofInstance<evm::DynProvider> {
    let at = signer.chain.deployment().hash_proof;
    IHashProof::new(at, signer.chain.provider().clone())
}

fn rpc(doing: &str) -> impl Fn(alloy::contract::Error) -> Refusal + '_ {
    move |error| evm::Error::rpc(doing, error).into()
}

async fn has_turn(signer: &Signer, epoch: EpochId, now: u64) -> Result<bool, Refusal> {
    let signers = signer.chain.signers().await?;
    let slice = now.checked_div(signer.config.timing.attempt_seconds).unwrap_or_default();
    let count = u64::try_from(signers.len()).unwrap_or(1).max(1);
    let place = u64::from(epoch.0).wrapping_add(slice).checked_rem(count).unwrap_or_default();
    Ok(usize::try_from(place).ok().and_then(|at| signers.get(at)) == Some(&signer.address()))
}

/// Stores the epoch's first block in the contract. True once it is there, or never can be.
async fn open(signer: &Signer, epoch: EpochId) -> Result<bool, Refusal> {
    let contract = contract(signer);
    let seed = contract.seedOf(epoch.0).call().await.map_err(rpc("seedOf"))?;
    if !seed.is_zero() {
        return Ok(true);
    }
    let Some(first) = evm::first_block(signer.chain.provider(), epoch).await? else {
        return Ok(false);
    };
    // a block does not know its own hash: another one must have come
    let tip = evm::block_at(signer.chain.provider(), evm::Finality::Latest).await?;
    if tip.number <= first.number {
        return Ok(false);
    }
    let call = contract.openEpoch(first.parent, first.header);
    land(&format!("opening of epoch {epoch}"), call).await?;
    tracing::info!(%epoch, block = first.number, seed = %first.hash, "epoch opened for proofs of hashrate");
    Ok(true)
}

async fn prove(signer: &Signer, http: &reqwest::Client, epoch: EpochId) -> Result<(), Refusal> {
    open(signer, epoch).await?;
    let (contract, fleet) = (contract(signer), signer.chain.deployment().fleet());
    let since = contract.since(fleet).call().await.map_err(rpc("since"))?;
    if since == 0 || epoch.0 < since {
        tracing::info!(%epoch, "no proof of hashrate: the fleet is not registered in it");
        return Ok(());
    }
    let plan = match signer.store.hash_proof(epoch).await? {
        Some(plan) => plan,
        None => make(signer, http, &contract, epoch).await?,
    };
    let estimate = contract.estimate(plan.highest).call().await.map_err(rpc("estimate"))?;
    let claim = contract.claimOf(fleet, epoch.0).call().await.map_err(rpc("claimOf"))?;
    if claim.hashes >= estimate {
        return Ok(());
    }
    let shares = plan.shares.len();
    let call = contract.prove(fleet, epoch.0, plan.bound, plan.shares);
    let receipt = land(&format!("proof of epoch {epoch}"), call).await?;
    let (txid, gas) = (receipt.transaction_hash, receipt.gas_used);
    tracing::info!(%epoch, %txid, gas, shares, hashes = %estimate, "hashrate proven");
    Ok(())
}

/// What the contract refuses is refused for good; what the node did is tried again.
async fn land<P: Provider, D: CallDecoder>(
    what: &str,
    call: CallBuilder<P, D>,
) -> Result<TransactionReceipt, Refusal> {
    evm::land(what, call).await.map_err(|error| match error.retryable() {
        true => Refusal::Trouble(error.to_string()),
        false => Refusal::Bad(error.to_string()),
    })
}

/// Makes the plan from the journal, and writes it down.
async fn make(
    signer: &Signer,
    http: &reqwest::Client,
    contract: &IHashProofInstance<evm::DynProvider>,
    epoch: EpochId,
) -> Result<Plan, Refusal> {
    {
        let _one_at_a_time = signer.reading.lock().await;
        let wait = std::time::Duration::from_millis(signer.config.timing.answer_ms);
        let synced = journal::sync(http, &signer.config.journal, &signer.store, wait).await;
        synced.map_err(|error| Refusal::Trouble(error.to_string()))?;
    }
    let k = contract.k().call().await.map_err(rpc("k"))?;
    let fleet = signer.chain.deployment().fleet();
    let tag = contract.tagOf(fleet, epoch.0).call().await.map_err(rpc("tagOf"))?;
    let found = signer.store.found(epoch).await?;
    if !found.unprovable.is_empty() {
        let venues = found.unprovable.join(", ");
        tracing::warn!(%epoch, venues, "work at venues that leave no room for the tag is not in the proof");
    }
    let made = plan(&found, k.saturating_to(), tag.0);
    let made = made.map_err(|why| Refusal::NotNow(format!("epoch {epoch} has no proof: {why}")))?;
    signer.store.keep_hash_proof(epoch, &made).await?;
    Ok(made)
}

/// A hash as it stands in the journal.
#[must_use]
pub fn number_of(hash: B256) -> U256 {
    U256::from_be_bytes(hash.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: [u8; 4] = [0xae, 0xe6, 0x42, 0x24];

    fn vector() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/vectors/hashproof.json")).unwrap()
    }

    /// The vector's shares as the journal would hold them: taken apart from its headers and coinbases.
    fn found() -> Found {
        let vector = vector();
        let bytes =
            |list: &str, i: usize| -> Bytes { vector[list][i].as_str().unwrap().parse().unwrap() };
        let shares = (0..4).map(|i| {
            let (header, packed) = (bytes("headers", i), bytes("shares", i));
            let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
            let depth = usize::from(packed[49]);
            let branch = packed[50..50 + 32 * depth].chunks(32).map(B256::from_slice).collect();
            let proof = ShareProof {
                version: word(0),
                previous: B256::from_slice(&header[4..36]),
                time: word(68),
                bits: word(72),
                nonce: word(76),
                coinbase: bytes("coinbases", i),
                tag_at: u16::from(packed[48]) + SCRIPT_AT,
                branch,
            };
            (number_of(bytes("hashesOf", i)[..].try_into().unwrap()), proof)
        });
        Found { shares: shares.collect(), bound: Some(U256::MAX), unprovable: vec![] }
    }

    #[test]
    fn a_plan_is_the_golden_one() {
        let plan = plan(&found(), 4, TAG).unwrap();
        let vector = vector();
        let shares: Vec<Bytes> = serde_json::from_value(vector["shares"].clone()).unwrap();
        assert_eq!(plan.shares, shares);
        let highest: B256 = vector["highest"].as_str().unwrap().parse().unwrap();
        assert_eq!(plan.highest, number_of(highest));
    }

    #[test]
    fn without_enough_shares_of_the_tag_there_is_no_proof() {
        let mut some = found();
        assert_eq!(plan(&some, 5, TAG), Err(NoProof::TooFew { found: 4, needed: 5 }));
        assert_eq!(plan(&some, 3, [9; 4]), Err(NoProof::TooFew { found: 0, needed: 3 }));
        some.bound = Some(some.shares[3].0 - U256::from(1));
        assert!(matches!(plan(&some, 4, TAG), Err(NoProof::AboveBound { .. })));
        assert!(plan(&some, 3, TAG).is_ok(), "the lower three are complete");
        some.bound = None;
        assert!(plan(&some, 3, TAG).is_err(), "nothing is known of targets");
        let mut spending = found();
        let mut coinbase = spending.shares[0].1.coinbase.to_vec();
        coinbase[10] = 1;
        spending.shares[0].1.coinbase = coinbase.into();
        assert_eq!(plan(&spending, 4, TAG), Err(NoProof::TooFew { found: 3, needed: 4 }));
    }
}
