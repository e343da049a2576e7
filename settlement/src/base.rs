//! What an account starts an epoch with: its leaf of the epoch before, as the court corrected it. Pure.

use std::collections::BTreeMap;

use alloy::primitives::{Address, I256};
use domain::{EpochId, Leaf, SeriesId};

use crate::allocate::AllocateError;

/// What the court added to one account's base for one epoch; below zero where it took something back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Correction {
    /// By series, 2^-64 sat.
    pub acc: BTreeMap<SeriesId, I256>,
    /// To `paid`, sats.
    pub paid: I256,
}

/// Corrections of one epoch, by account.
pub type Corrections = BTreeMap<Address, Correction>;

/// An account before an epoch's credit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// By series, 2^-64 sat; zeros only where a correction left nothing.
    pub acc: BTreeMap<SeriesId, u128>,
    /// Sats scheduled so far.
    pub paid: u64,
    /// Since when something is owed.
    pub since: Option<EpochId>,
}

impl Base {
    /// Whether nothing was ever credited or scheduled.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.paid == 0 && self.acc.values().all(|acc| *acc == 0)
    }
}

/// Every account that starts the epoch with something: those with a leaf, which they keep for ever, and those to whom a
/// correction gives a base above zero.
///
/// # Errors
/// When a corrected sum leaves its field.
pub fn bases(
    previous: &[Leaf],
    corrections: &Corrections,
) -> Result<BTreeMap<Address, Base>, AllocateError> {
    let mut all = BTreeMap::new();
    for leaf in previous {
        let acc = leaf.acc.iter().map(|entry| (entry.series, entry.acc)).collect();
        all.insert(leaf.account, Base { acc, paid: leaf.paid.0, since: leaf.since });
    }
    for (account, correction) in corrections {
        let had_leaf = all.contains_key(account);
        let base = all.entry(*account).or_default();
        for (series, change) in &correction.acc {
            let acc = base.acc.entry(*series).or_default();
            *acc = changed(*acc, *change)?;
        }
        let paid = changed(u128::from(base.paid), correction.paid)?;
        base.paid = u64::try_from(paid).map_err(|_| AllocateError::Overflow("corrected paid"))?;
        if !had_leaf && base.is_nothing() {
            all.remove(account);
        }
    }
    Ok(all)
}

/// `max(0, value + change)`.
fn changed(value: u128, change: I256) -> Result<u128, AllocateError> {
    let overflow = || AllocateError::Overflow("a corrected sum");
    let sum = I256::try_from(value).ok().and_then(|value| value.checked_add(change));
    let sum = sum.ok_or_else(overflow)?;
    if sum.is_negative() {
        return Ok(0);
    }
    u128::try_from(sum.into_raw()).map_err(|_| overflow())
}

#[cfg(test)]
mod tests {
    use domain::{Sats, SeriesAcc};

    use super::*;

    #[test]
    fn a_correction_adds_takes_back_and_never_goes_below_zero() {
        let leaf = |n: u8, acc: u128, paid: u64| Leaf {
            account: Address::repeat_byte(n),
            script_hash: alloy::primitives::B256::ZERO,
            paid: Sats(paid),
            since: Some(EpochId(3)),
            out: None,
            acc: vec![SeriesAcc { series: SeriesId(1), acc }],
        };
        let change = |acc: i64, paid: i64| Correction {
            acc: [(SeriesId(1), I256::try_from(acc).unwrap())].into(),
            paid: I256::try_from(paid).unwrap(),
        };
        let corrections = [
            (Address::repeat_byte(1), change(5, -3)),
            (Address::repeat_byte(2), change(-500, -500)),
            (Address::repeat_byte(3), change(7, 0)),
            (Address::repeat_byte(4), change(-7, -1)),
            (Address::repeat_byte(5), change(0, 9)),
        ];
        let all = bases(&[leaf(1, 100, 10), leaf(2, 100, 10)], &corrections.into()).unwrap();
        let found: Vec<_> = all.values().map(|b| (b.acc[&SeriesId(1)], b.paid)).collect();
        // the second keeps its leaf, with nothing; the fourth never had one and gets none
        assert_eq!(found, [(105, 7), (0, 0), (7, 0), (0, 9)]);
        assert_eq!(all[&Address::repeat_byte(2)].since, Some(EpochId(3)));
        assert!(!all.contains_key(&Address::repeat_byte(4)));
    }
}
