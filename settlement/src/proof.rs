//! Merkle branches and the proof that a payout was mined. Pure.

use alloy::primitives::Bytes;
use bitcoin::{
    Block, Transaction, Txid,
    consensus::encode::serialize,
    hashes::{Hash, HashEngine, sha256d},
};
use evm::bindings::IEpochLedger;

/// Merkle branch of the transaction at `index` among `txids`: siblings from the leaf upwards, 32 bytes each in internal
/// order. `None` if there is no such transaction.
#[must_use]
pub fn branch(txids: &[Txid], mut index: usize) -> Option<Vec<u8>> {
    txids.get(index)?;
    let mut level: Vec<[u8; 32]> = txids.iter().map(|txid| txid.to_byte_array()).collect();
    let mut bytes = Vec::new();
    while level.len() > 1 {
        // an odd level pairs its last node with itself
        let sibling = level.get(index ^ 1).or_else(|| level.get(index))?;
        bytes.extend_from_slice(sibling);
        let pairs = level.chunks(2).map(|pair| match pair {
            [left, right] => hash_pair(left, right),
            [only] => hash_pair(only, only),
            _ => [0; 32],
        });
        level = pairs.collect();
        index /= 2;
    }
    Some(bytes)
}

fn hash_pair(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut engine = sha256d::Hash::engine();
    engine.input(left);
    engine.input(right);
    sha256d::Hash::from_engine(engine).to_byte_array()
}

/// A transaction's bytes without witness: what its txid is the hash of.
#[must_use]
pub fn stripped(tx: &Transaction) -> Vec<u8> {
    let mut bare = tx.clone();
    for input in &mut bare.input {
        input.witness.clear();
    }
    serialize(&bare)
}

/// The proof for `provePayout`: `headers` are 80 bytes each, the block's own first. `None` if the block does not hold
/// the transaction.
#[must_use]
pub fn build(block: &Block, txid: Txid, headers: Vec<u8>) -> Option<IEpochLedger::Proof> {
    let txids: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
    let index = txids.iter().position(|found| *found == txid)?;
    let (tx, coinbase) = (block.txdata.get(index)?, block.txdata.first()?);
    Some(IEpochLedger::Proof {
        headers: headers.into(),
        transaction: stripped(tx).into(),
        branch: Bytes::from(branch(&txids, index)?),
        index: u32::try_from(index).ok()?,
        coinbase: stripped(coinbase).into(),
        coinbaseBranch: Bytes::from(branch(&txids, 0)?),
    })
}

#[cfg(test)]
mod tests {
    use bitcoin::merkle_tree;
    use proptest::prelude::*;

    use super::*;

    fn climb(txid: Txid, branch: &[u8], mut index: usize) -> [u8; 32] {
        branch.chunks(32).fold(txid.to_byte_array(), |node, sibling| {
            let sibling: [u8; 32] = sibling.try_into().unwrap();
            let parent = if index.is_multiple_of(2) {
                hash_pair(&node, &sibling)
            } else {
                hash_pair(&sibling, &node)
            };
            index /= 2;
            parent
        })
    }

    proptest! {
        #[test]
        fn a_branch_climbs_to_the_root_that_bitcoin_computes(seeds in prop::collection::vec(any::<[u8; 32]>(), 1..40)) {
            let txids: Vec<Txid> = seeds.into_iter().map(Txid::from_byte_array).collect();
            let root = merkle_tree::calculate_root(txids.iter().copied()).unwrap();
            for (index, txid) in txids.iter().enumerate() {
                let branch = branch(&txids, index).unwrap();
                prop_assert_eq!(climb(*txid, &branch, index), root.to_byte_array());
            }
            prop_assert!(branch(&txids, txids.len()).is_none());
        }
    }
}
