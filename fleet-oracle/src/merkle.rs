//! The Merkle tree of evidence and of machine lists: pairs are sorted before they are hashed, so a proof needs no
//! directions (OpenZeppelin's `MerkleProof` checks it); an odd node moves up unchanged.

use alloy::primitives::{B256, keccak256};

/// Root over leaves in the given order; zero of none, and a single leaf is its own root.
#[must_use]
pub fn root(leaves: &[B256]) -> B256 {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [a, b] => node(*a, *b),
                [only] => *only,
                _ => B256::ZERO,
            })
            .collect();
    }
    level.first().copied().unwrap_or_default()
}

fn node(a: B256, b: B256) -> B256 {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    keccak256([low.as_slice(), high.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_trees() {
        let leaf = |n: u8| B256::repeat_byte(n);
        assert_eq!(root(&[]), B256::ZERO);
        assert_eq!(root(&[leaf(1)]), leaf(1));
        assert_eq!(root(&[leaf(2), leaf(1)]), root(&[leaf(1), leaf(2)]));
        assert_eq!(root(&[leaf(1), leaf(2), leaf(3)]), node(node(leaf(1), leaf(2)), leaf(3)));
    }
}
