//! Leaves as the court reads them: opened under a root, with the branch that leads there, or shown to be missing by the
//! two neighbours that stand side by side. Pure.

use alloy::primitives::{Address, Bytes};
use domain::{EpochId, Leaf, OutRef, Root, Sats, SeriesAcc, SeriesId};
use evm::bindings::ILedgerCourt::{Leaf as Shown, Opening};

use crate::encode::{EncodeError, leaf_node, parent};

/// The whole tree of one epoch.
#[derive(Clone, Debug)]
pub struct Tree {
    leaves: Vec<Leaf>,
    /// Nodes by level; the leaves' own first, padded to a power of two.
    levels: Vec<Vec<Root>>,
}

impl Tree {
    /// Over leaves in the order they stand in: what somebody else committed may be out of order.
    ///
    /// # Errors
    /// When a leaf cannot be encoded, or a sum does not fit its field.
    pub fn over(leaves: Vec<Leaf>) -> Result<Self, EncodeError> {
        let mut level = leaves.iter().map(leaf_node).collect::<Result<Vec<_>, _>>()?;
        level.resize(level.len().max(1).next_power_of_two(), Root::default());
        let mut levels = vec![level];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let pairs = below.chunks_exact(2).map(|pair| match pair {
                [left, right] => parent(left, right),
                _ => Err(EncodeError::Overflow { what: "tree levels" }),
            });
            let above = pairs.collect::<Result<Vec<_>, _>>()?;
            levels.push(above);
        }
        Ok(Self { leaves, levels })
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Root {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_default()
    }

    /// The leaves in order.
    #[must_use]
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The leaf at `index` with its branch.
    #[must_use]
    pub fn opening(&self, index: usize) -> Option<Opening> {
        let leaf = self.leaves.get(index)?;
        let (mut siblings, mut at) = (Vec::new(), index);
        let below_top = self.levels.len().saturating_sub(1);
        for level in self.levels.iter().take(below_top) {
            let node = level.get(at ^ 1)?;
            siblings.extend_from_slice(node.hash.as_slice());
            siblings.extend_from_slice(&node.acc_sum.to_be_bytes());
            siblings.extend_from_slice(&node.paid_sum.0.to_be_bytes());
            at /= 2;
        }
        let index = u32::try_from(index).ok()?;
        Some(Opening { leaf: shown(leaf), index, siblings: siblings.into() })
    }

    /// What shows the account's leaf, or that it has none: in a tree without leaves that is nothing at all.
    #[must_use]
    pub fn about(&self, account: Address) -> Vec<Opening> {
        let place = self.leaves.partition_point(|leaf| leaf.account < account);
        if self.leaves.get(place).is_some_and(|leaf| leaf.account == account) {
            return self.opening(place).into_iter().collect();
        }
        let left = place.checked_sub(1).and_then(|left| self.opening(left));
        left.into_iter().chain(self.opening(place)).collect()
    }
}

/// A leaf as the court takes it.
#[must_use]
pub fn shown(leaf: &Leaf) -> Shown {
    let mut acc = Vec::with_capacity(leaf.acc.len().saturating_mul(18));
    for entry in &leaf.acc {
        acc.extend_from_slice(&entry.series.0.to_be_bytes());
        acc.extend_from_slice(&entry.acc.to_be_bytes());
    }
    Shown {
        account: leaf.account,
        scriptHash: leaf.script_hash,
        paid: leaf.paid.0,
        since: leaf.since.map_or(0, |epoch| epoch.0),
        out: leaf.out.map_or(u32::MAX, |out| u32::from(out.batch) << 16 | u32::from(out.index)),
        acc: Bytes::from(acc),
    }
}

/// The leaf that was shown to the court; `None` if its series list is none.
#[must_use]
pub fn read(shown: &Shown) -> Option<Leaf> {
    let mut acc = Vec::new();
    let mut rest: &[u8] = &shown.acc;
    while !rest.is_empty() {
        let (series, tail) = rest.split_first_chunk::<2>()?;
        let (value, tail) = tail.split_first_chunk::<16>()?;
        let series = SeriesId(u16::from_be_bytes(*series));
        acc.push(SeriesAcc { series, acc: u128::from_be_bytes(*value) });
        rest = tail;
    }
    let half = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    let out = OutRef { batch: half(shown.out >> 16), index: half(shown.out & 0xffff) };
    Some(Leaf {
        account: shown.account,
        script_hash: shown.scriptHash,
        paid: Sats(shown.paid),
        since: (shown.since != 0).then_some(EpochId(shown.since)),
        out: (shown.out != u32::MAX).then_some(out),
        acc,
    })
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;
    use proptest::prelude::*;

    use super::*;
    use crate::encode::root_of;

    fn leaf(n: u8) -> Leaf {
        Leaf {
            account: Address::repeat_byte(n),
            script_hash: B256::repeat_byte(n),
            paid: Sats(n.into()),
            since: n.is_multiple_of(2).then_some(EpochId(n.into())),
            out: n.is_multiple_of(3).then_some(OutRef { batch: 1, index: n.into() }),
            acc: vec![SeriesAcc { series: SeriesId(1), acc: u128::from(n) << 70 }],
        }
    }

    /// The court's own way up: bit k of the index says on which side the node stands.
    fn climb(opening: &Opening) -> Root {
        let mut node = leaf_node(&read(&opening.leaf).unwrap()).unwrap();
        for (level, sibling) in opening.siblings.chunks(56).enumerate() {
            let other = Root {
                hash: B256::from_slice(&sibling[..32]),
                acc_sum: u128::from_be_bytes(sibling[32..48].try_into().unwrap()),
                paid_sum: Sats(u64::from_be_bytes(sibling[48..].try_into().unwrap())),
            };
            node = if opening.index >> level & 1 == 0 {
                parent(&node, &other).unwrap()
            } else {
                parent(&other, &node).unwrap()
            };
        }
        node
    }

    proptest! {
        #[test]
        fn every_account_is_shown_or_shown_to_be_missing(accounts in prop::collection::btree_set(1_u8..=254, 0..20), asked in 0_u8..=255) {
            let leaves: Vec<Leaf> = accounts.iter().map(|n| leaf(*n)).collect();
            let tree = Tree::over(leaves.clone()).unwrap();
            prop_assert_eq!(tree.root(), root_of(&leaves).unwrap());
            let account = Address::repeat_byte(asked);
            let openings = tree.about(account);
            for opening in &openings {
                prop_assert_eq!(climb(opening), tree.root());
                prop_assert_eq!(&shown(&read(&opening.leaf).unwrap()), &opening.leaf);
            }
            let count = u32::try_from(leaves.len()).unwrap();
            match openings.as_slice() {
                [] => prop_assert!(leaves.is_empty()),
                [one] if one.leaf.account == account => prop_assert!(accounts.contains(&asked)),
                [one] if account < one.leaf.account => prop_assert_eq!(one.index, 0),
                [one] => prop_assert_eq!(one.index + 1, count),
                [left, right] => {
                    prop_assert_eq!(left.index + 1, right.index);
                    prop_assert!(left.leaf.account < account && account < right.leaf.account);
                }
                _ => prop_assert!(false, "never more than two"),
            }
        }
    }
}
