//! Bitcoin headers and Merkle trees, by our own arithmetic: work, difficulty, inclusion.

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

/// The compact form of a target, rounded down to three bytes as nodes round it.
#[must_use]
pub fn bits_of(target: U256) -> u32 {
    let bytes = u32::try_from(target.bit_len().div_ceil(8)).unwrap_or(32);
    let shifted =
        if bytes <= 3 { target << (8 * (3 - bytes)) } else { target >> (8 * (bytes - 3)) };
    let mantissa = shifted.as_limbs().first().map_or(0, |low| u32::try_from(*low).unwrap_or(0));
    // the top bit of the mantissa is a sign
    if mantissa & 0x0080_0000 == 0 {
        bytes << 24 | mantissa
    } else {
        (bytes + 1) << 24 | mantissa >> 8
    }
}

/// Blocks of one difficulty.
pub const PERIOD: u64 = 2_016;
/// Seconds that a period should take.
const PERIOD_SECONDS: u64 = 14 * 86_400;
/// The easiest target of the main network.
const EASIEST: u32 = 0x1d00_ffff;

/// What the first block of a period must state, from what the period before stated and the times of its first and last
/// header. `None` when `bits` state no target.
#[must_use]
pub fn retarget(bits: u32, first_time: u32, last_time: u32) -> Option<u32> {
    let took = u64::from(last_time.saturating_sub(first_time));
    let took = took.clamp(PERIOD_SECONDS / 4, PERIOD_SECONDS * 4);
    let product = target_of(bits)?.checked_mul(U256::from(took))?;
    let easiest = target_of(EASIEST)?;
    Some(bits_of((product / U256::from(PERIOD_SECONDS)).min(easiest)))
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

    /// The main network's own retargets, and the two that hit a bound (from Bitcoin Core's pow_tests).
    #[test]
    fn difficulty_is_that_of_the_main_network() {
        for (bits, first, last, next) in [
            (0x1d00_ffff, 1_261_130_161, 1_262_152_739, 0x1d00_d86a),
            (0x1d00_ffff, 1_231_006_505, 1_233_061_996, 0x1d00_ffff),
            (0x1c05_a3f4, 1_279_008_237, 1_279_297_671, 0x1c01_68fd),
            (0x1c38_7f6f, 1_263_163_443, 1_269_211_443, 0x1d00_e1fd),
        ] {
            assert_eq!(retarget(bits, first, last), Some(next));
        }
    }

    proptest! {
        #[test]
        fn retargets_are_the_bitcoin_crates(mantissa in 0x8000_u32..0x80_0000, exponent in 4_u32..0x1d, took in 0_u32..10_000_000) {
            let bits = exponent << 24 | mantissa;
            let compact = bitcoin::CompactTarget::from_consensus(bits);
            let theirs = bitcoin::CompactTarget::from_next_work_required(compact, took.into(), bitcoin::Network::Bitcoin);
            prop_assert_eq!(retarget(bits, 1_000, 1_000 + took), Some(theirs.to_consensus()));
        }

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
