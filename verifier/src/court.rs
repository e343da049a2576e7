//! What the court did to the payout ledger, read from its events and from the calldata that it was shown: corrections of
//! bases, and leaves of commits that broke the rules. Our own reading of docs/LEDGER.md, "Challenges".

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, Bytes, I256, U256, keccak256},
    sol_types::SolInterface,
};
use domain::{EpochId, Leaf, OutRef, Sats, SeriesAcc, SeriesId};
use evm::bindings::ILedgerCourt::{self, ILedgerCourtCalls as Call, Opening};

use crate::{Error, allocate::Account, history::History};

/// By how much corrections moved an epoch's bases: what they really added and took, in 2^-64 sat and in sats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Credit added.
    pub acc_up: U256,
    /// Credit taken back.
    pub acc_down: U256,
    /// Sats added to what counts as paid.
    pub paid_up: u64,
    /// Sats taken off it.
    pub paid_down: u64,
}

/// Everything that the court has said, by epoch.
#[derive(Clone, Debug, Default)]
pub struct Court {
    corrections: BTreeMap<u32, BTreeMap<(Address, u16), I256>>,
    shown: BTreeMap<u32, Shown>,
    upheld: BTreeSet<(u32, Address)>,
}

/// What was shown of one epoch's tree.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Leaves by account; `None`: it was shown to have none.
    pub leaves: BTreeMap<Address, Option<Leaf>>,
    /// Outputs of batches, serialised.
    outputs: Vec<Bytes>,
}

impl Court {
    /// Reads the history.
    ///
    /// # Errors
    /// When corrections overflow.
    pub fn of(history: &History) -> Result<Self, Error> {
        let mut court = Self::default();
        for correction in &history.corrections {
            let ILedgerCourt::Corrected { epoch, account, series, change } = correction.event;
            let of = court.corrections.entry(epoch).or_default();
            let sum = of.entry((account, series)).or_default();
            *sum = sum.checked_add(change).ok_or(Error::Overflow("a correction"))?;
        }
        court.upheld = history.upheld.iter().map(|at| (at.event.epoch, at.event.account)).collect();
        for input in &history.shown {
            if let Ok(call) = Call::abi_decode(input) {
                court.show(call);
            }
        }
        Ok(court)
    }

    /// What was shown of an epoch's tree.
    #[must_use]
    pub fn shown(&self, epoch: EpochId) -> Option<&Shown> {
        self.shown.get(&epoch.0)
    }

    /// Whether a fault about the account was upheld.
    #[must_use]
    pub fn upheld(&self, epoch: EpochId, account: Address) -> bool {
        self.upheld.contains(&(epoch.0, account))
    }

    /// Moves the bases that an epoch starts with. Nothing falls below zero; an account that never had a leaf gets one
    /// only with something in it.
    ///
    /// # Errors
    /// When a sum leaves its field.
    pub fn correct(
        &self,
        accounts: &mut BTreeMap<Address, Account>,
        epoch: EpochId,
    ) -> Result<Moved, Error> {
        let mut moved = Moved::default();
        let Some(corrections) = self.corrections.get(&epoch.0) else { return Ok(moved) };
        let had_leaf: BTreeSet<Address> = accounts.keys().copied().collect();
        for ((address, series), change) in corrections {
            let account = accounts.entry(*address).or_default();
            if *series == 0 {
                let before = account.paid;
                let after = add(u128::from(before), *change)?;
                account.paid = u64::try_from(after).map_err(|_| Error::Overflow("paid"))?;
                moved.paid_up = moved.paid_up.saturating_add(account.paid.saturating_sub(before));
                moved.paid_down =
                    moved.paid_down.saturating_add(before.saturating_sub(account.paid));
                continue;
            }
            let series = SeriesId(*series);
            let before = account.acc.get(&series).copied().unwrap_or_default();
            let after = add(before, *change)?;
            moved.acc_up += U256::from(after.saturating_sub(before));
            moved.acc_down += U256::from(before.saturating_sub(after));
            if after == 0 {
                account.acc.remove(&series);
            } else {
                account.acc.insert(series, after);
            }
        }
        accounts.retain(|address, account| had_leaf.contains(address) || !account.is_nothing());
        Ok(moved)
    }

    fn show(&mut self, call: Call) {
        match call {
            Call::wrongShare(c) => self.openings(c.epoch, &[c.leaf], &c.before),
            Call::wrongDue(c) => self.openings(c.epoch, &[c.leaf], &c.before),
            Call::badOutput(c) => {
                self.openings(c.epoch, &[c.leaf], &c.before);
                self.shown.entry(c.epoch).or_default().outputs.push(c.outputs);
            }
            Call::disorder(c) => self.openings(c.epoch, &[c.left, c.right], &[]),
            Call::omitted(c) => {
                self.openings(c.epoch, &c.around, &c.before);
                self.shown.entry(c.epoch).or_default().leaves.insert(c.account, None);
            }
            Call::answer(c) => {
                self.openings(c.epoch, &c.here, &c.before);
                let here = self.shown.entry(c.epoch).or_default();
                here.leaves.entry(c.account).or_insert(None);
                if let Some(before) = c.epoch.checked_sub(1) {
                    let before = self.shown.entry(before).or_default();
                    before.leaves.entry(c.account).or_insert(None);
                }
            }
            _ => {}
        }
    }

    fn openings(&mut self, epoch: u32, here: &[Opening], before: &[Opening]) {
        let mut put = |epoch: u32, list: &[Opening]| {
            let leaves = list.iter().filter_map(|opening| leaf(&opening.leaf));
            let shown = &mut self.shown.entry(epoch).or_default().leaves;
            shown.extend(leaves.map(|leaf| (leaf.account, Some(leaf))));
        };
        put(epoch, here);
        if let Some(previous) = epoch.checked_sub(1) {
            put(previous, before);
        }
    }
}

impl Shown {
    /// The shown outputs that hash to a batch's: sats and script of each.
    #[must_use]
    pub fn batch(&self, hash: alloy::primitives::B256) -> Option<Vec<(u64, Vec<u8>)>> {
        let bytes = self.outputs.iter().find(|bytes| keccak256(bytes) == hash)?;
        let (mut rest, mut list): (&[u8], _) = (bytes, Vec::new());
        while !rest.is_empty() {
            let (sats, tail) = rest.split_first_chunk::<8>()?;
            let (length, tail) = tail.split_first()?;
            let (script, tail) = tail.split_at_checked(usize::from(*length))?;
            list.push((u64::from_le_bytes(*sats), script.to_vec()));
            rest = tail;
        }
        Some(list)
    }
}

fn add(value: u128, change: I256) -> Result<u128, Error> {
    let overflow = || Error::Overflow("a corrected sum");
    let sum = I256::try_from(value).map_err(|_| overflow())?;
    let sum = sum.checked_add(change).ok_or_else(overflow)?;
    if sum.is_negative() { Ok(0) } else { u128::try_from(sum.into_raw()).map_err(|_| overflow()) }
}

fn leaf(shown: &ILedgerCourt::Leaf) -> Option<Leaf> {
    if !shown.acc.len().is_multiple_of(18) {
        return None;
    }
    let mut acc = Vec::new();
    for entry in shown.acc.chunks_exact(18) {
        let (series, value) = entry.split_first_chunk::<2>()?;
        let value = u128::from_be_bytes(value.try_into().ok()?);
        acc.push(SeriesAcc { series: SeriesId(u16::from_be_bytes(*series)), acc: value });
    }
    let [b0, b1, i0, i1] = shown.out.to_be_bytes();
    let out = OutRef { batch: u16::from_be_bytes([b0, b1]), index: u16::from_be_bytes([i0, i1]) };
    Some(Leaf {
        account: shown.account,
        script_hash: shown.scriptHash,
        paid: Sats(shown.paid),
        since: (shown.since > 0).then_some(EpochId(shown.since)),
        out: (shown.out < u32::MAX).then_some(out),
        acc,
    })
}

#[cfg(test)]
#[path = "court_tests.rs"]
mod tests;
