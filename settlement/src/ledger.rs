//! The double-entry ledger, in sats: where every sat came from, whom it is owed to, and where it went.
//!
//! | account | holds |
//! |---|---|
//! | `wallet` | outputs in Bitcoin's active chain that the vault can spend; the only debit account |
//! | `float` | received and not distributed by a report yet |
//! | `reserve` | the operator's own: deductions, reserve coins, the first baton; miner fees come from here only |
//! | `pots` | passes what a report distributes on to `payables`; empty between epochs |
//! | `payables` | owed to accounts, scheduled or not |
//! | `residue` | what the floors left over: below one sat an account, never spent |
//! | `paid` | passes what left to payees: credited by the payouts of our plans, debited by Bitcoin's blocks |
//! | `fees` | passes what went to miners, in the same way |
//!
//! Transfers are immutable and carry ids made from what they are, so that doing something twice books it once. A payout
//! is *pending* when it is signed, *posted* when it is confirmed, *voided* or *reversed* when a reorg or a fee bump
//! takes it back. Every transfer is written in the database transaction of the state or the blocks that it follows from.

mod books;
mod check;
mod follow;
mod moves;
mod print;

use alloy::primitives::{B256, keccak256};
use domain::Leaf;
use serde::Serialize;

pub use books::{Balance, Booked};
pub(crate) use follow::{follow, put_figures};
pub(crate) use moves::apply;
pub use moves::{BlockMoves, Born, TxMoves, Watch};
pub use print::EpochBooks;

use crate::allocate::{Allocation, World};

/// An account of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the table above")]
pub enum Account {
    Wallet,
    Float,
    Reserve,
    Pots,
    Payables,
    Residue,
    Paid,
    Fees,
}

impl Account {
    /// Every account.
    pub const ALL: [Self; 8] = [
        Self::Wallet,
        Self::Float,
        Self::Reserve,
        Self::Pots,
        Self::Payables,
        Self::Residue,
        Self::Paid,
        Self::Fees,
    ];

    /// Name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Float => "float",
            Self::Reserve => "reserve",
            Self::Pots => "pots",
            Self::Payables => "payables",
            Self::Residue => "residue",
            Self::Paid => "paid",
            Self::Fees => "fees",
        }
    }
}

/// What a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A block brought coins of ours.
    Receipt,
    /// A block took coins of ours to others.
    Spend,
    /// A block took coins of ours to its miner.
    Miner,
    /// A report's deductions.
    Deduction,
    /// A report's pots.
    Pot,
    /// What the court added to (or took from) accounts' bases.
    Correction,
    /// Whole sats credited to accounts.
    Credit,
    /// What the floors left over, or gave back.
    Residue,
    /// A batch's payees.
    Payout,
    /// A payout's miner fee.
    Fee,
    /// A person has accounted for a spend that no plan explains.
    Accepted,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Spend => "spend",
            Self::Miner => "miner",
            Self::Deduction => "deduction",
            Self::Pot => "pot",
            Self::Correction => "correction",
            Self::Credit => "credit",
            Self::Residue => "residue",
            Self::Payout => "payout",
            Self::Fee => "fee",
            Self::Accepted => "accepted",
        }
    }
}

/// A transfer to be made. What identifies it: kind, epoch, batch and `place`; `reference` only says more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Epoch, for what follows from a plan.
    pub epoch: Option<u32>,
    /// Batch; 0 where there is none.
    pub batch: u16,
    /// Output or transaction, with the block that holds it, for what follows from a block; else empty.
    pub place: String,
    /// Debited account.
    pub debit: Account,
    /// Credited account.
    pub credit: Account,
    /// Sats, above zero.
    pub sats: u64,
    /// Transaction, if there is one.
    pub reference: String,
    /// Height of the block that it follows from.
    pub height: Option<u32>,
}

impl Entry {
    /// The transfer's id in its `round`: how often it was taken back before.
    #[must_use]
    pub fn id(&self, round: u32) -> B256 {
        let epoch = self.epoch.map_or_else(String::new, |epoch| epoch.to_string());
        let Self { kind, batch, place, .. } = self;
        keccak256(format!("lhr-ledger/{}/{epoch}/{batch}/{place}/{round}", kind.name()))
    }
}

/// What an epoch's allocation comes to, sats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Distributed by the report.
    pub pots: i64,
    /// Kept by the operator, by the report.
    pub deductions: i64,
    /// Credited beyond the pots because the court said so; below zero if it took back.
    pub corrections: i64,
    /// Paid in this epoch.
    pub paid: i64,
    /// Owed to accounts after it.
    pub owed: i64,
    /// Leaves.
    pub accounts: i64,
}

impl Figures {
    /// Of an allocation and the report's deductions; `None` if a sum leaves its range. What credit exceeds the pots by, or
    /// falls short of them by a sat or more, is a correction (or the fault that one will mend), and so is what `paid` grew
    /// by without a batch: the operator's reserve answers for both. Rounded up, so that no residue falls below zero.
    #[must_use]
    pub fn new(world: &World, deductions: u64, outcome: &Allocation) -> Option<Self> {
        let pots = world.pieces.iter().try_fold(0_u64, |sum, piece| sum.checked_add(piece.sats))?;
        let paid =
            outcome.batches.iter().try_fold(0_u64, |sum, batch| sum.checked_add(batch.total))?;
        let acc = |leaves: &[Leaf]| {
            let mut all = leaves.iter().flat_map(|leaf| &leaf.acc);
            all.try_fold(0_u128, |sum, entry| sum.checked_add(entry.acc))
        };
        let settled = |leaves: &[Leaf]| {
            leaves.iter().try_fold(0_u64, |sum, leaf| sum.checked_add(leaf.paid.0))
        };
        let grown = difference(acc(&outcome.leaves)?, acc(&world.previous)?)?;
        let beyond = grown.checked_sub(i128::try_from(u128::from(pots) << 64_u32).ok()?)?;
        let sats_beyond = beyond.checked_neg()?.div_euclid(1 << 64).checked_neg()?;
        let settled =
            difference(settled(&outcome.leaves)?.into(), settled(&world.previous)?.into())?;
        let without_batch = settled.checked_sub(paid.into())?;
        Some(Self {
            pots: i64::try_from(pots).ok()?,
            deductions: i64::try_from(deductions).ok()?,
            corrections: i64::try_from(sats_beyond.checked_sub(without_batch)?).ok()?,
            paid: i64::try_from(paid).ok()?,
            owed: outcome
                .leaves
                .iter()
                .try_fold(0_i64, |sum, leaf| sum.checked_add(owed(leaf)?))?,
            accounts: i64::try_from(outcome.leaves.len()).ok()?,
        })
    }

    /// What the floors left over in this epoch, given what was owed before it.
    #[must_use]
    pub const fn residue(&self, owed_before: i64) -> Option<i64> {
        let Some(given) = self.pots.checked_add(self.corrections) else { return None };
        match self.credited(owed_before) {
            Some(credited) => given.checked_sub(credited),
            None => None,
        }
    }

    /// Whole sats credited in this epoch, given what was owed before it.
    #[must_use]
    pub const fn credited(&self, owed_before: i64) -> Option<i64> {
        match self.owed.checked_add(self.paid) {
            Some(sum) => sum.checked_sub(owed_before),
            None => None,
        }
    }
}

fn difference(now: u128, before: u128) -> Option<i128> {
    i128::try_from(now).ok()?.checked_sub(i128::try_from(before).ok()?)
}

/// Whole sats owed by a leaf: its credit, floored, less what was paid.
fn owed(leaf: &Leaf) -> Option<i64> {
    let acc = leaf.acc.iter().try_fold(0_u128, |sum, entry| sum.checked_add(entry.acc))?;
    i64::try_from(acc >> 64_u32).ok()?.checked_sub(i64::try_from(leaf.paid.0).ok()?)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "ledger_age_tests.rs"]
mod age_tests;
