//! An account's balance from line to line: the last leaf, then what the court made of it, then the next leaf.

use std::collections::BTreeMap;

use alloy::primitives::{Address, I256};
use domain::{EpochId, Leaf, SeriesAcc, SeriesId};

use super::{Balance, CorrectionLine, Direction, Entry, EpochLine, Line, payment};
use crate::{
    error::Error,
    rulings::{Change, Ruling},
};

/// The account so far.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// Whether the last epoch had a leaf of it.
    pub(super) leaf: bool,
    acc: BTreeMap<SeriesId, u128>,
    paid: u64,
}

impl Running {
    fn balance(&self) -> Option<Balance> {
        let sum = self.acc.values().try_fold(0_u128, |sum, acc| sum.checked_add(*acc))?;
        let earned = u64::try_from(sum >> 64).ok()?;
        let (owed, overpaid) = (earned.saturating_sub(self.paid), self.paid.saturating_sub(earned));
        Some(Balance { earned, paid: self.paid, owed, overpaid })
    }

    /// Takes the changes of one epoch's base: they add up, and the sum takes nothing below zero.
    pub(super) fn corrected<'a>(
        &mut self,
        changes: impl Iterator<Item = &'a Change>,
    ) -> Result<Vec<Line>, Error> {
        let mut sums: BTreeMap<Option<SeriesId>, (u128, I256)> = BTreeMap::new();
        let mut lines = Vec::new();
        for change in changes {
            let what =
                || Error::mismatch(EpochId(change.counts_in), "a corrected sum leaves its field");
            let now = match change.series {
                None => u128::from(self.paid),
                Some(series) => self.acc.get(&series).copied().unwrap_or_default(),
            };
            let (start, sum) = sums.entry(change.series).or_insert((now, I256::ZERO));
            *sum = sum.checked_add(change.change).ok_or_else(what)?;
            let after = I256::try_from(*start).ok().and_then(|start| start.checked_add(*sum));
            let after = after.ok_or_else(what)?.max(I256::ZERO).into_raw();
            let after = u128::try_from(after).map_err(|_| what())?;
            match change.series {
                None => self.paid = u64::try_from(after).map_err(|_| what())?,
                Some(series) => drop(self.acc.insert(series, after)),
            }
            let line = CorrectionLine {
                counted: after.abs_diff(now),
                pending: false,
                balance: self.balance().ok_or_else(what)?,
                ..self.pending(change)
            };
            lines.push(Line::Correction(line));
        }
        Ok(lines)
    }

    /// A change that counts in no committed epoch yet.
    pub(super) fn pending(&self, change: &Change) -> CorrectionLine {
        let down = change.change.is_negative();
        CorrectionLine {
            epoch: change.counts_in,
            direction: if down { Direction::TakenBack } else { Direction::Added },
            series: change.series,
            change: change.change.unsigned_abs(),
            counted: 0,
            pending: true,
            balance: self.balance().unwrap_or_default(),
            ruling: change.ruling.clone(),
        }
    }

    /// Goes on to an epoch's leaf, or to none. Only a leaf whose faults were upheld may take something away.
    pub(super) fn epoch(
        &mut self,
        entry: &Entry,
        account: Address,
        leaf: Option<&Leaf>,
        rulings: Vec<Ruling>,
    ) -> Result<EpochLine, Error> {
        let epoch = EpochId(entry.commitment.epoch);
        let bad = |what: &str| Error::mismatch(epoch, format!("{account}: {what}"));
        let excused = !rulings.is_empty();
        let acc = leaf.iter().flat_map(|leaf| &leaf.acc).map(|entry| (entry.series, entry.acc));
        let acc: BTreeMap<SeriesId, u128> = acc.collect();
        let (credit, taken) = (rises(&acc, &self.acc), rises(&self.acc, &acc));
        if !taken.is_empty() && !excused {
            return Err(bad("credit was taken back"));
        }
        let paid = leaf.map_or(0, |leaf| leaf.paid.0);
        let paid_taken = self.paid.saturating_sub(paid);
        if paid_taken > 0 && !excused {
            return Err(bad("a payment was taken back"));
        }
        let sats = paid.saturating_sub(self.paid);
        let payment = match leaf {
            Some(leaf) => payment(entry, leaf, sats, excused).map_err(bad)?,
            None => None,
        };
        (self.acc, self.paid) = (acc, paid);
        let balance = self.balance().ok_or_else(|| bad("a sum leaves its field"))?;
        if sats > 0 && balance.overpaid > 0 && !excused {
            return Err(bad("more is paid than earned"));
        }
        let state = entry.state;
        Ok(EpochLine {
            epoch: epoch.0,
            state,
            credit,
            taken,
            paid_taken,
            balance,
            payment,
            rulings,
        })
    }
}

/// By how much `to` lies above `from`, by series.
fn rises(to: &BTreeMap<SeriesId, u128>, from: &BTreeMap<SeriesId, u128>) -> Vec<SeriesAcc> {
    let rise = |(series, now): (&SeriesId, &u128)| {
        let acc = now.saturating_sub(from.get(series).copied().unwrap_or_default());
        SeriesAcc { series: *series, acc }
    };
    to.iter().map(rise).filter(|rise| rise.acc > 0).collect()
}
