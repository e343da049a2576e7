//! A mining share with all that shows it: what proofs of hashrate are made of.

use alloy::primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};

/// An 80-byte header but for its Merkle root, the coinbase that it commits to, and the way from one to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareProof {
    /// Header version.
    pub version: u32,
    /// Hash of the block before, internal byte order.
    pub previous: B256,
    /// Header time, unix seconds.
    pub time: u32,
    /// Compact target of the block.
    pub bits: u32,
    /// Header nonce.
    pub nonce: u32,
    /// The coinbase without witness, byte for byte.
    pub coinbase: Bytes,
    /// Where the epoch's tag starts in the coinbase.
    pub tag_at: u16,
    /// Siblings from the coinbase up to the Merkle root, internal byte order.
    pub branch: Vec<B256>,
}
