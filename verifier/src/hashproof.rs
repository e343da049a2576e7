//! Proofs of hashrate, recomputed from calldata with the `bitcoin` crate: nothing of the prover's code.

use alloy::primitives::{B256, Keccak256, U256, U512};
use bitcoin::{
    BlockHash, CompactTarget, Transaction, TxMerkleNode,
    block::{Header, Version},
    consensus::deserialize,
    hashes::{Hash, HashEngine, sha256d},
};

/// Bytes of a share before its branch.
const HEAD: usize = 50;
/// A share as calldata shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Header hash as a number.
    pub hash: U256,
    /// The four bytes at the place in the input script that is said to hold the tag.
    pub tag: [u8; 4],
}

/// First four bytes of keccak(chain id, fleet, epoch, seed), each a word of 32 bytes.
#[must_use]
pub fn tag(chain_id: u64, fleet: B256, epoch: u32, seed: B256) -> [u8; 4] {
    let mut hasher = Keccak256::new();
    hasher.update(U256::from(chain_id).to_be_bytes::<32>());
    hasher.update(fleet);
    hasher.update(U256::from(epoch).to_be_bytes::<32>());
    hasher.update(seed);
    let [a, b, c, d, ..] = hasher.finalize().0;
    [a, b, c, d]
}

/// Reads a share in the form of the contract `HashProof`.
///
/// # Errors
/// When it is too short, its coinbase is no coinbase, or the tag would lie outside the input script. In words.
pub fn share(bytes: &[u8]) -> Result<Share, String> {
    let (head, rest) = bytes.split_at_checked(HEAD).ok_or("it is shorter than a header")?;
    let mut head = Cursor(head);
    let version = i32::from_le_bytes(head.take()?);
    let previous: [u8; 32] = head.take()?;
    let (time, bits, nonce) = (head.word()?, head.word()?, head.word()?);
    let [tag_at, depth] = head.take()?;
    let length = usize::from(depth).saturating_mul(32);
    let (branch, body) = rest.split_at_checked(length).ok_or("its branch is cut off")?;
    let (number, body) = body.split_at_checked(4).ok_or("its coinbase is cut off")?;
    // the part of every coinbase that is not sent: one input, which spends nothing
    let coinbase = [number, &[1], &[0; 32], &[0xff; 4], body].concat();
    let tx: Transaction =
        deserialize(&coinbase).map_err(|error| format!("its coinbase does not parse: {error}"))?;
    if !tx.is_coinbase() || coinbase.len() == 64 {
        return Err("its transaction is no coinbase".into());
    }
    let script = tx.input.first().map(|input| input.script_sig.as_bytes()).unwrap_or_default();
    let at = usize::from(tag_at);
    let tag = script.get(at..at.saturating_add(4)).and_then(|tag| tag.try_into().ok());
    let tag = tag.ok_or("its tag is outside the coinbase's input script")?;
    let mut node = tx.compute_txid().to_raw_hash();
    for sibling in branch.chunks(32) {
        let mut engine = sha256d::Hash::engine();
        engine.input(node.as_byte_array());
        engine.input(sibling);
        node = sha256d::Hash::from_engine(engine);
    }
    let header = Header {
        version: Version::from_consensus(version),
        prev_blockhash: BlockHash::from_byte_array(previous),
        merkle_root: TxMerkleNode::from_raw_hash(node),
        time,
        bits: CompactTarget::from_consensus(bits),
        nonce,
    };
    Ok(Share { hash: U256::from_le_bytes(header.block_hash().to_byte_array()), tag })
}

/// Hashes that the `k`-th lowest hash speaks for: floor((k - 1) * 2^256 / highest), at most 2^96 - 1.
#[must_use]
pub fn estimate(k: u64, highest: U256) -> U256 {
    let most = (U256::from(1) << 96) - U256::from(1);
    let space: U512 = U512::from(k.saturating_sub(1)) << 256;
    let hashes = space.checked_div(U512::from(highest));
    hashes.map_or(most, |hashes| U256::saturating_from(hashes).min(most))
}

/// Relative standard error of `claims` proofs of `k` shares together, in millionths, rounded down.
#[must_use]
pub fn error_ppm(k: u64, claims: u64) -> u64 {
    let squared = 1_000_000_000_000_u64.checked_div(k.saturating_sub(2).saturating_mul(claims));
    squared.unwrap_or_default().isqrt()
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or("it ends early")?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn word(&mut self) -> Result<u32, String> {
        self.take().map(u32::from_le_bytes)
    }
}

#[cfg(test)]
#[path = "hashproof_tests.rs"]
mod tests;
