//! Merkle branches and the proof that a payout was mined. Pure.

use alloy::primitives::Bytes;
use bitcoin::{
    Block, Transaction, TxMerkleNode, Txid,
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

/// A transaction in its block, with what shows that it is there: its Merkle branch, and the coinbase's, whose length is
/// the depth of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mined {
    /// The transaction.
    pub tx: Transaction,
    /// Its place in the block.
    pub index: u32,
    /// Siblings from the leaf upwards, 32 bytes each in internal order.
    pub branch: Vec<u8>,
    /// The block's first transaction.
    pub coinbase: Transaction,
    /// Its branch.
    pub coinbase_branch: Vec<u8>,
}

impl Mined {
    /// From a whole block. `None` if the block does not hold the transaction.
    #[must_use]
    pub fn of(block: &Block, txid: Txid) -> Option<Self> {
        let txids: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
        let index = txids.iter().position(|found| *found == txid)?;
        Some(Self {
            tx: block.txdata.get(index)?.clone(),
            index: u32::try_from(index).ok()?,
            branch: branch(&txids, index)?,
            coinbase: block.txdata.first()?.clone(),
            coinbase_branch: branch(&txids, 0)?,
        })
    }

    /// Whether it is in the block with this Merkle root, by the rules of the ledger contract: both branches climb to the
    /// root, they are equally long, and neither transaction has the 64 bytes of an inner node.
    #[must_use]
    pub fn is_under(&self, root: TxMerkleNode) -> bool {
        let climbs = |tx: &Transaction, branch: &[u8], index| {
            stripped(tx).len() != 64 && climb(tx.compute_txid(), branch, index) == Some(root)
        };
        self.coinbase.is_coinbase()
            && self.branch.len() == self.coinbase_branch.len()
            && climbs(&self.coinbase, &self.coinbase_branch, 0)
            && climbs(&self.tx, &self.branch, self.index)
    }

    /// The proof for `provePayout`: `headers` are 80 bytes each, the block's own first.
    #[must_use]
    pub fn proof(&self, headers: Vec<u8>) -> IEpochLedger::Proof {
        IEpochLedger::Proof {
            headers: headers.into(),
            transaction: stripped(&self.tx).into(),
            branch: Bytes::from(self.branch.clone()),
            index: self.index,
            coinbase: stripped(&self.coinbase).into(),
            coinbaseBranch: Bytes::from(self.coinbase_branch.clone()),
        }
    }
}

/// The root that a branch leads to from `txid` at `index`; `None` if its length or the index makes no sense.
#[must_use]
pub fn climb(txid: Txid, branch: &[u8], index: u32) -> Option<TxMerkleNode> {
    let (siblings, rest) = branch.as_chunks::<32>();
    // a block of 4 MB holds fewer than 2^17 transactions
    if !rest.is_empty() || siblings.len() > 20 {
        return None;
    }
    let (mut node, mut index) = (txid.to_byte_array(), index);
    for sibling in siblings {
        node = if index.is_multiple_of(2) {
            hash_pair(&node, sibling)
        } else {
            hash_pair(sibling, &node)
        };
        index /= 2;
    }
    (index == 0).then(|| TxMerkleNode::from_byte_array(node))
}

#[cfg(test)]
mod tests {
    use bitcoin::merkle_tree;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_branch_climbs_to_the_root_that_bitcoin_computes(seeds in prop::collection::vec(any::<[u8; 32]>(), 1..40)) {
            let txids: Vec<Txid> = seeds.into_iter().map(Txid::from_byte_array).collect();
            let root = merkle_tree::calculate_root(txids.iter().copied()).unwrap();
            for (index, txid) in txids.iter().enumerate() {
                let branch = branch(&txids, index).unwrap();
                let place = u32::try_from(index).unwrap();
                prop_assert_eq!(climb(*txid, &branch, place), Some(TxMerkleNode::from_byte_array(root.to_byte_array())));
                // an index beyond the tree, another place or a damaged branch lead elsewhere
                prop_assert_eq!(climb(*txid, &branch, place + (1 << (branch.len() / 32))), None);
                if !branch.is_empty() {
                    let mut bad = branch.clone();
                    bad[0] ^= 1;
                    prop_assert_ne!(climb(*txid, &bad, place).unwrap().to_byte_array(), root.to_byte_array());
                }
            }
            prop_assert!(branch(&txids, txids.len()).is_none());
        }
    }
}
