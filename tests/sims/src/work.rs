//! Stratum V1 work: header and coinbase bytes, targets, difficulty. Shared by the simulated pool
//! and the simulated machines; independent of the product's codec.

use bitcoin::hashes::{Hash, sha256d};
use eyre::{Result, ensure, eyre};
use rust_decimal::Decimal;

/// The 32 bytes of a hash in the order of computation (not of display).
pub(crate) type Bytes32 = [u8; 32];

/// One job as a stratum client sees it.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) prev: Bytes32,
    pub(crate) coinb1: Vec<u8>,
    pub(crate) coinb2: Vec<u8>,
    pub(crate) branches: Vec<Bytes32>,
    pub(crate) version: u32,
    pub(crate) bits: u32,
    pub(crate) ntime: u32,
}

/// Double SHA-256.
pub(crate) fn sha256d(bytes: &[u8]) -> Bytes32 {
    sha256d::Hash::hash(bytes).to_byte_array()
}

/// Reverses each 4-byte word: stratum's form of the previous hash, and back.
pub(crate) fn swap_words(bytes: &Bytes32) -> Bytes32 {
    let mut out = [0; 32];
    for (to, from) in out.chunks_exact_mut(4).zip(bytes.chunks_exact(4)) {
        for (a, b) in to.iter_mut().zip(from.iter().rev()) {
            *a = *b;
        }
    }
    out
}

/// The same bytes backwards: display order to computation order and back.
pub(crate) fn reversed(bytes: &Bytes32) -> Bytes32 {
    let mut out = *bytes;
    out.reverse();
    out
}

/// 32 bytes from hex.
pub(crate) fn bytes32(text: &str) -> Result<Bytes32> {
    let bytes = hex::decode(text)?;
    Bytes32::try_from(bytes).map_err(|bytes| eyre!("{} bytes where 32 are needed", bytes.len()))
}

/// A `u32` from exactly 8 hex digits.
pub(crate) fn u32_hex(text: &str) -> Result<u32> {
    ensure!(text.len() == 8, "{text:?} is not 8 hex digits");
    Ok(u32::from_str_radix(text, 16)?)
}

fn pair(a: &Bytes32, b: &Bytes32) -> Bytes32 {
    sha256d(&[a.as_slice(), b.as_slice()].concat())
}

/// Merkle branch of the first leaf (the coinbase), given the ids of the other transactions.
pub(crate) fn merkle_branches(txids: &[Bytes32]) -> Vec<Bytes32> {
    let mut level: Vec<Bytes32> = txids.to_vec();
    let mut branches = Vec::new();
    while let Some((first, rest)) = level.split_first() {
        branches.push(*first);
        level = rest
            .chunks(2)
            .filter_map(|two| two.first().map(|a| pair(a, two.get(1).unwrap_or(a))))
            .collect();
    }
    branches
}

impl Work {
    /// The coinbase transaction, without witness.
    pub(crate) fn coinbase(&self, extranonce1: &[u8], extranonce2: &[u8]) -> Vec<u8> {
        [&self.coinb1, extranonce1, extranonce2, &self.coinb2].concat()
    }

    /// The 80-byte header with the given merkle root.
    pub(crate) fn header(&self, root: &Bytes32, version: u32, ntime: u32, nonce: u32) -> [u8; 80] {
        let mut out = [0; 80];
        let bytes = version.to_le_bytes().into_iter().chain(self.prev).chain(*root);
        let tail = [ntime, self.bits, nonce].into_iter().flat_map(u32::to_le_bytes);
        for (to, from) in out.iter_mut().zip(bytes.chain(tail)) {
            *to = from;
        }
        out
    }

    /// Merkle root over this coinbase.
    pub(crate) fn merkle_root(&self, coinbase: &[u8]) -> Bytes32 {
        self.branches.iter().fold(sha256d(coinbase), |node, branch| pair(&node, branch))
    }
}

/// Whether a hash (computation order) is at most a target (big-endian).
pub(crate) fn meets(hash: &Bytes32, target: &Bytes32) -> bool {
    hash.iter().rev().le(target.iter())
}

/// `floor(2^256 / hashes) - 1`: each hash meets it with probability `1 / hashes`.
pub(crate) fn target_of_hashes(hashes: u64) -> Bytes32 {
    let mut out = [0xff; 32];
    if hashes <= 1 {
        return out;
    }
    let mut rest: u128 = 1;
    for byte in &mut out {
        rest <<= 8;
        *byte = u8::try_from(rest / u128::from(hashes)).unwrap_or(u8::MAX);
        rest %= u128::from(hashes);
    }
    for byte in out.iter_mut().rev() {
        let (less, borrow) = byte.overflowing_sub(1);
        *byte = less;
        if !borrow {
            break;
        }
    }
    out
}

/// Stratum difficulty of a share that takes `hashes` on average: `hashes / 2^32`.
pub(crate) fn difficulty_of_hashes(hashes: u64) -> Decimal {
    Decimal::from(hashes) / Decimal::from(1_u64 << 32)
}

/// Share target of a stratum difficulty: `floor((0xffff << 208) / difficulty)`.
pub(crate) fn target_of_difficulty(difficulty: Decimal) -> Result<Bytes32> {
    ensure!(difficulty > Decimal::ZERO, "difficulty {difficulty} is not positive");
    let mut mantissa = difficulty.normalize().mantissa();
    let mut scale = difficulty.normalize().scale();
    while mantissa > i128::from(u64::MAX) && scale > 0 {
        mantissa /= 10;
        scale -= 1;
    }
    let divisor = u128::from(u64::try_from(mantissa)?);
    // 48 bytes: the difficulty-1 target with 16 bytes of room above for the power of ten.
    let mut wide = [0_u8; 48];
    for byte in wide.iter_mut().skip(20).take(2) {
        *byte = 0xff;
    }
    for _ in 0..scale {
        let mut carry = 0_u16;
        for byte in wide.iter_mut().rev() {
            let product = u16::from(*byte) * 10 + carry;
            let [high, low] = product.to_be_bytes();
            (*byte, carry) = (low, u16::from(high));
        }
    }
    let mut rest = 0_u128;
    for byte in &mut wide {
        rest = (rest << 8) | u128::from(*byte);
        *byte = u8::try_from(rest / divisor).unwrap_or(u8::MAX);
        rest %= divisor;
    }
    if wide.iter().take(16).any(|byte| *byte != 0) {
        return Ok([0xff; 32]);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(wide.iter().skip(16)) {
        *to = *from;
    }
    Ok(out)
}

#[cfg(test)]
pub(crate) mod tests;
