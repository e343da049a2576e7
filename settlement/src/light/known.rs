//! What was read before: each transaction with the block that was proven to hold it. It stays until the chain leaves that
//! block, whatever a server says later.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{BlockHash, Txid};

use crate::{encode::ROOT_BATCH, store::Marked};

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub block: BlockHash,
}

/// Transactions that were read.
#[derive(Clone, Debug, Default)]
pub struct Known {
    places: BTreeMap<Txid, Place>,
    /// Those that pay to the first baton's script, wherever they are.
    genesis: BTreeSet<Txid>,
}

impl Known {
    /// From the database: payouts in blocks that are `in_chain`, payments to the first baton, and the wallet's
    /// transactions. Of the payouts only the chain of batons: a marker is anybody's to write, and no history of ours holds others'.
    #[must_use]
    pub fn stored(
        marked: &[Marked],
        genesis: BTreeSet<Txid>,
        wallet: impl IntoIterator<Item = (Txid, Place)>,
        in_chain: impl Fn(&Place) -> bool,
    ) -> Self {
        let roots: BTreeMap<Txid, bool> =
            marked.iter().map(|m| (m.txid, m.batch == ROOT_BATCH)).collect();
        let ours = |m: &&Marked| {
            let chunk = || roots.get(&m.spends.txid).is_some_and(|root| *root);
            let chained = roots.contains_key(&m.spends.txid) && m.spends.vout == 0;
            genesis.contains(&m.spends.txid) || chained || chunk()
        };
        let mut places: BTreeMap<Txid, Place> = BTreeMap::new();
        for m in marked.iter().filter(ours) {
            let place = Place { height: m.height, block: m.block };
            if in_chain(&place) {
                places.insert(m.txid, place);
            }
        }
        places.extend(wallet);
        Self { places, genesis }
    }

    /// Forgets what is in blocks of which `gone` says that the chain has left them.
    pub(super) fn leave(&mut self, gone: impl Fn(&Place) -> bool) {
        self.places.retain(|_, place| !gone(place));
    }

    /// Whether the transaction was read in this block.
    pub(super) fn has(&self, txid: &Txid, place: &Place) -> bool {
        self.genesis.contains(txid) || self.places.get(txid) == Some(place)
    }

    /// Whether the transaction was read in any block.
    pub(super) fn is_anywhere(&self, txid: &Txid) -> bool {
        self.genesis.contains(txid) || self.places.contains_key(txid)
    }

    /// Those read at heights from `from` to `to`.
    pub(super) fn within(&self, from: u32, to: u32) -> impl Iterator<Item = (&Txid, &Place)> {
        self.places.iter().filter(move |(_, at)| at.height >= from && at.height <= to)
    }

    pub(super) fn put(&mut self, txid: Txid, place: Place) {
        self.places.insert(txid, place);
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::{OutPoint, hashes::Hash};

    use super::*;

    #[test]
    fn of_marked_transactions_only_the_chain_of_batons_is_ours() {
        let id = |n: u8| Txid::from_byte_array([n; 32]);
        let marked = |n: u8, batch, from: u8, vout| Marked {
            txid: id(n),
            block: BlockHash::all_zeros(),
            height: u32::from(n),
            epoch: 1,
            batch,
            spends: OutPoint::new(id(from), vout),
        };
        let rows = [
            marked(1, 0, 100, 0),        // spends the first baton
            marked(2, ROOT_BATCH, 1, 0), // the next, which fans out
            marked(3, 0, 2, 2),          // its chunk
            marked(4, 0, 1, 3),          // a payee of the first wrote a marker
            marked(5, 0, 77, 0),         // a stranger wrote one
        ];
        let known = Known::stored(&rows, [id(100)].into(), [], |_| true);
        let found: Vec<u32> = known.within(0, 9).map(|(_, place)| place.height).collect();
        assert_eq!(found, [1, 2, 3]);
        let elsewhere = Place { height: 8, block: BlockHash::all_zeros() };
        assert!(known.has(&id(100), &elsewhere) && !known.has(&id(1), &elsewhere));
    }
}
