//! Receipts to pots: which series' holders of which epoch share which sats. Pure.
//!
//! 1. A piece of a receipt is split among series in proportion to the work that pools acknowledged for them *at that
//!    pool in that epoch*; the remainder of the division goes to the largest. With no work on record there, by the
//!    epoch's work at any pool; with none at all, to the lowest series.
//! 2. It lands in the epoch of the work. Work older than 24 epochs lands in the reported epoch. Where a series had no
//!    units yet, it lands in the series' first epoch that had; series without units so far take no part, and a receipt
//!    that no series can take waits for a later report.
//! 3. A series keeps at most four pieces: while there are more, the oldest joins the one after it, never earlier.
//! 4. Deductions come out of the youngest piece first, and never exceed the pot.
//!
//! So Σ receipts = Σ pieces + Σ deductions, to the satoshi.

use std::collections::{BTreeMap, BTreeSet};

use domain::{EpochId, SeriesId};

use crate::attribution::{Piece, Receipt};

/// How far back a piece may lie.
pub const OLDEST: u32 = 24;
/// Most pieces of one series.
pub const MOST_PIECES: usize = 4;

/// Acknowledged hashes by epoch, pool and series.
pub type Work = BTreeMap<(EpochId, String, SeriesId), u128>;

/// What the split depends on beside the receipts.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// The reported epoch.
    pub epoch: EpochId,
    /// Series in the registry, ascending.
    pub series: &'a [SeriesId],
    /// Series and epochs with balance-seconds above zero.
    pub live: &'a BTreeSet<(SeriesId, EpochId)>,
    /// Work.
    pub work: &'a Work,
    /// Sats withheld per series and epoch.
    pub deductions: &'a BTreeMap<SeriesId, u64>,
}

/// The pot of one series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pot {
    /// (work epoch, sats), ascending, none zero.
    pub pieces: Vec<(EpochId, u64)>,
    /// Sats withheld.
    pub deducted: u64,
}

/// Receipts that are distributed, and the pot of every series of the terms.
#[must_use]
pub fn pots(terms: &Terms<'_>, receipts: &[Receipt]) -> (Vec<Receipt>, BTreeMap<SeriesId, Pot>) {
    let mut sums = BTreeMap::<SeriesId, BTreeMap<EpochId, u64>>::new();
    let mut taken = Vec::new();
    for receipt in receipts {
        let parts: Option<Vec<_>> =
            receipt.pieces.iter().map(|piece| split(terms, piece)).collect();
        let Some(parts) = parts else { continue };
        for (series, epoch, sats) in parts.into_iter().flatten() {
            let sum = sums.entry(series).or_default().entry(epoch).or_default();
            *sum = sum.saturating_add(sats);
        }
        taken.push(receipt.clone());
    }
    let pots = terms.series.iter().map(|series| {
        let pieces = sums.remove(series).unwrap_or_default();
        let due = terms.deductions.get(series).copied().unwrap_or_default();
        (*series, finish(pieces, due))
    });
    (taken, pots.collect())
}

/// One piece by series and landing epoch. `None` when no series can take it yet.
fn split(terms: &Terms<'_>, piece: &Piece) -> Option<Vec<(SeriesId, EpochId, u64)>> {
    if piece.epoch > terms.epoch {
        return None;
    }
    let oldest = EpochId(terms.epoch.0.saturating_sub(OLDEST));
    let target = if piece.epoch < oldest { terms.epoch } else { piece.epoch };
    let landing = |series: SeriesId| {
        let from = terms.live.range((series, target)..=(series, terms.epoch)).next();
        from.map(|(_, epoch)| *epoch)
    };
    let takers: Vec<(SeriesId, EpochId)> =
        terms.series.iter().filter_map(|series| Some((*series, landing(*series)?))).collect();
    let at_pool = |series: SeriesId| {
        let key = (piece.epoch, piece.pool.clone(), series);
        terms.work.get(&key).copied().unwrap_or_default()
    };
    let anywhere = |series: SeriesId| {
        let all =
            terms.work.iter().filter(|((epoch, _, of), _)| (*epoch, *of) == (piece.epoch, series));
        all.fold(0_u128, |sum, (_, hashes)| sum.saturating_add(*hashes))
    };
    let mut weights: Vec<u128> = takers.iter().map(|(series, _)| at_pool(*series)).collect();
    if weights.iter().all(|weight| *weight == 0) {
        weights = takers.iter().map(|(series, _)| anywhere(*series)).collect();
    }
    let parts = proportional_floor(piece.sats, &weights)?;
    Some(
        takers
            .into_iter()
            .zip(parts)
            .map(|((series, epoch), sats)| (series, epoch, sats))
            .collect(),
    )
}

/// Floors, and the remainder to the largest weight (the first of equals). `None` of nobody.
fn proportional_floor(sats: u64, weights: &[u128]) -> Option<Vec<u64>> {
    // Weights of 2^64 and more lose their low bits, all alike, so that the product fits.
    let shift =
        weights.iter().map(|weight| 128_u32.saturating_sub(weight.leading_zeros())).max()?;
    let shift = shift.saturating_sub(60);
    let weights: Vec<u128> = weights.iter().map(|weight| weight >> shift).collect();
    let total: u128 = weights.iter().sum();
    let floor = |weight: &u128| {
        let share = u128::from(sats).saturating_mul(*weight).checked_div(total).unwrap_or_default();
        u64::try_from(share).unwrap_or_default()
    };
    let mut parts: Vec<u64> = weights.iter().map(floor).collect();
    let rest = sats.saturating_sub(parts.iter().sum());
    let largest = weights.iter().max()?;
    let place = weights.iter().position(|weight| weight == largest)?;
    if let Some(part) = parts.get_mut(place) {
        *part = part.saturating_add(rest);
    }
    Some(parts)
}

fn finish(mut pieces: BTreeMap<EpochId, u64>, due: u64) -> Pot {
    pieces.retain(|_, sats| *sats > 0);
    while pieces.len() > MOST_PIECES {
        let Some((_, sats)) = pieces.pop_first() else { break };
        if let Some(mut next) = pieces.first_entry() {
            let sum = next.get().saturating_add(sats);
            next.insert(sum);
        }
    }
    let mut deducted = 0_u64;
    for sats in pieces.values_mut().rev() {
        let part = due.saturating_sub(deducted).min(*sats);
        *sats = sats.saturating_sub(part);
        deducted = deducted.saturating_add(part);
    }
    pieces.retain(|_, sats| *sats > 0);
    Pot { pieces: pieces.into_iter().collect(), deducted }
}

#[cfg(test)]
#[path = "pots_tests.rs"]
mod tests;
