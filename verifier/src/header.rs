//! Bitcoin headers and Merkle trees, by our own arithmetic: work, links, inclusion.

use alloy::primitives::U256;
use bitcoin::{
    block::Header,
    hashes::{Hash, sha256d},
};

/// The target that a header's compact `bits` state; `None` for a negative, zero or oversized one.
#[must_use]
pub fn target_of(bits: u32) -> Option<U256> {
    let exponent = bits >> 24;
    let mantissa = U256::from(bits & 0x007f_ffff);
    if bits & 0x0080_0000 != 0 || mantissa.is_zero() {
        return None;
    }
    if exponent <= 3 {
        let target = mantissa >> (8 * (3 - exponent));
        return (!target.is_zero()).then_some(target);
    }
    let shift = 8 * (exponent - 3);
    let shifted = if shift < 256 { mantissa << shift } else { U256::ZERO };
    (shift < 256 && shifted >> shift == mantissa).then_some(shifted)
}

/// Whether the header's hash, as a little-endian number, is at or below the target that it states.
#[must_use]
pub fn works(header: &Header) -> bool {
    let hash = U256::from_le_bytes(header.block_hash().to_byte_array());
    target_of(header.bits.to_consensus()).is_some_and(|target| hash <= target)
}

/// Whether `bits` may follow `previous` at `height`: only the first block of a 2,016-block period may change them, and
/// by no more than a factor of 4. (The last third of a percent of that bound is compact rounding.)
#[must_use]
pub fn follows(previous: u32, bits: u32, height: u64) -> bool {
    if previous == bits {
        return true;
    }
    let (Some(before), Some(after)) = (target_of(previous), target_of(bits)) else { return false };
    height.is_multiple_of(2_016) && after >> 2 <= before && before >> 2 <= after + (after >> 8)
}

/// Root of the Merkle tree over transaction ids in internal byte order; `None` without any, or if the list repeats its
/// tail in the way that makes two lists share a root (CVE-2012-2459).
#[must_use]
pub fn merkle_root(mut level: Vec<[u8; 32]>) -> Option<[u8; 32]> {
    while level.len() > 1 {
        if level.chunks(2).any(|pair| matches!(pair, [left, right] if left == right)) {
            return None;
        }
        level = level.chunks(2).map(parent).collect();
    }
    level.pop()
}

fn parent(pair: &[[u8; 32]]) -> [u8; 32] {
    let (left, right) = match pair {
        [left, right, ..] => (*left, *right),
        [only] => (*only, *only),
        [] => ([0; 32], [0; 32]),
    };
    sha256d::Hash::hash(&[left, right].concat()).to_byte_array()
}

#[cfg(test)]
mod tests {
    use bitcoin::{Target, consensus::deserialize, hashes::Hash, merkle_tree};
    use proptest::prelude::*;

    use super::*;

    /// Mainnet block 125,552, the one that the protocol documentation hashes by hand.
    const MAINNET: &str = "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000e320b6c2\
        fffc8d750423db8b1eb942ae710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695";

    fn mainnet() -> Header {
        let hex: String = MAINNET.split_whitespace().collect();
        deserialize(&hex::decode(hex).unwrap()).unwrap()
    }

    #[test]
    fn a_real_header_works_and_a_changed_one_does_not() {
        let mut header = mainnet();
        assert_eq!(
            header.block_hash().to_string(),
            "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d"
        );
        assert!(works(&header));
        header.nonce ^= 1;
        assert!(!works(&header));
    }

    #[test]
    fn difficulty_changes_only_at_a_boundary_and_within_four() {
        assert!(follows(0x1d00_ffff, 0x1d00_ffff, 5));
        assert!(!follows(0x1d00_ffff, 0x1d00_fffe, 2_015));
        assert!(follows(0x1d00_ffff, 0x1d00_d86a, 32_256));
        assert!(!follows(0x1d00_ffff, 0x1c00_ffff, 2_016));
    }

    proptest! {
        #[test]
        fn targets_are_the_bitcoin_crates(bits in any::<u32>()) {
            let compact = bitcoin::CompactTarget::from_consensus(bits);
            if let Some(ours) = target_of(bits) {
                let theirs = Target::from_compact(compact);
                prop_assert_eq!(ours.to_be_bytes::<32>(), theirs.to_be_bytes());
            }
        }

        #[test]
        fn merkle_roots_are_the_bitcoin_crates(count in 1_usize..40, seed in any::<u64>()) {
            let leaves: Vec<[u8; 32]> = (0..count)
                .map(|i| sha256d::Hash::hash(&[seed.to_le_bytes(), u64::try_from(i).unwrap().to_le_bytes()].concat()).to_byte_array())
                .collect();
            let theirs = merkle_tree::calculate_root(leaves.iter().map(|l| sha256d::Hash::from_byte_array(*l)));
            prop_assert_eq!(merkle_root(leaves).unwrap(), theirs.unwrap().to_byte_array());
        }
    }
}
