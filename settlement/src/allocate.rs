//! Who is owed what: the world at a finalized block in, the leaves, root and batches of one epoch out. Pure, integers
//! only, nothing rounded but by a floor. Rules: `docs/LEDGER.md`.
//!
//! What holds, each with a property test of the same name in `allocate_tests.rs`:
//!
//! 1. *sums add up*: what is scheduled more than in the epoch before equals the sum of the batches' totals, and
//!    credit grows by at most 2^64 times the pots.
//! 2. *order changes nothing*: the order in which accounts, pieces or wrappers are given changes no bit.
//! 3. *error below one sat for life*: an accumulator never exceeds the exact share and falls short of it by at most
//!    3 * 2^-64 sat for every piece credited: less than one sat in 10^18 pieces.
//! 4. *zero weight, zero credit*: an account that held nothing gains nothing.
//! 5. *paid never exceeds credit*: `paid <= floor(acc)`, but for what the court took back after it was paid.
//! 6. *a leaf stays*: an account with a leaf keeps one, and its accumulators never fall but by a correction.
//! 7. *deferred pays nobody*: a deferred epoch has no batch, and all that is owed stays owed.
//! 8. *splitting gains nothing*: one owner with two accounts is credited no more than with one.
//! 9. *corrections move the base*: of the accounts corrected and of nobody else, by what the court said, not below zero;
//!    the sums stay within what `correctionSums` lets the ledger take.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, U256, keccak256};
use bitcoin::{Amount, ScriptBuf, TxOut};
use domain::{EpochId, Leaf, Root, Sats, SeriesAcc, SeriesId};
use serde::{Deserialize, Serialize};

pub use crate::cut::{Batch, Cut};
use crate::{
    base::{self, Base, Corrections},
    cut::{self, Line},
    encode::{self, EncodeError},
};

/// Epochs after which a small amount is paid whatever the thresholds.
const AGE: u32 = 90;
/// Sats that age can pay.
const AGE_LEAST: u64 = 2_000;

/// Sats that work of one epoch earned for one series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The series.
    pub series: SeriesId,
    /// The epoch whose balance-seconds split it.
    pub work_epoch: EpochId,
    /// The pot, sats.
    pub sats: u64,
}

/// Balance-seconds of one token in one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// Of the whole supply.
    pub total: U256,
    /// Of each account that held any.
    pub of: BTreeMap<Address, U256>,
}

/// A contract whose own output belongs to the holders of its share token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapper {
    /// Series whose units it holds.
    pub series: SeriesId,
    /// The contract.
    pub account: Address,
    /// Its share token.
    pub share: Address,
    /// Earns while nobody holds a share.
    pub first_loss: Address,
}

/// A payout script in force at the start of the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The script.
    pub script: ScriptBuf,
    /// Least sats to be paid at once, the account's own choice.
    pub minimum: u64,
    /// Dust limit of the script's kind, sats.
    pub dust: u64,
}

/// Everything that an allocation depends on.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The epoch.
    pub epoch: u32,
    /// The report's pots; none for a declared gap.
    pub pieces: Vec<Piece>,
    /// Unit weights by series and work epoch.
    pub units: BTreeMap<(SeriesId, EpochId), Weights>,
    /// Wrappers in force.
    pub wrappers: Vec<Wrapper>,
    /// Share token weights by token and work epoch.
    pub shares: BTreeMap<(Address, EpochId), Weights>,
    /// Scripts in force, by account.
    pub entries: BTreeMap<Address, Entry>,
    /// Leaves of the epoch before as they were committed, account ascending.
    pub previous: Vec<Leaf>,
    /// What the court added to the bases that this epoch starts with.
    pub corrections: Corrections,
}

/// What the operator decides for an epoch, recorded in the commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Sats below which a due amount waits.
    pub min_pay: u64,
    /// Pays nobody in this epoch.
    pub defer: bool,
    /// How outputs are batched.
    pub cut: Cut,
}

/// One Bitcoin output that pays one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The account.
    pub account: Address,
    /// The output.
    pub output: TxOut,
}

/// The outcome of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Leaves, account ascending.
    pub leaves: Vec<Leaf>,
    /// Root over them.
    pub root: Root,
    /// Payments by batch.
    pub batches: Vec<Batch>,
}

/// Why an epoch cannot be allocated.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// Weights of a token and epoch are missing.
    #[error("no balance-seconds of {what} for epoch {epoch}: the snapshot is incomplete")]
    NoWeights {
        /// Series or token.
        what: String,
        /// Work epoch.
        epoch: EpochId,
    },
    /// An integer left its range.
    #[error("{0} does not fit its field; an input is wrong")]
    Overflow(&'static str),
    /// The totals of a commitment do not cut the outputs.
    #[error("the committed batches do not cut the due outputs: {0}")]
    BadCut(&'static str),
    /// Bytes cannot be made.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

type Credits = BTreeMap<Address, Base>;

/// Leaves, root and batches of one epoch.
///
/// # Errors
/// When the snapshot lacks weights, an integer leaves its range, or a committed cut does not fit.
pub fn allocate(world: &World, terms: &Terms) -> Result<Allocation, AllocateError> {
    let (leaves, batches) = cut::cut(decide(world, terms)?, &terms.cut)?;
    let root = encode::root_of(&leaves)?;
    Ok(Allocation { leaves, root, batches })
}

/// Every account's leaf, and the output that it is due, accounts ascending.
///
/// # Errors
/// When the snapshot lacks weights, or an integer leaves its range.
pub fn decide(world: &World, terms: &Terms) -> Result<Vec<Line>, AllocateError> {
    let mut bases = base::bases(&world.previous, &world.corrections)?;
    for piece in &world.pieces {
        credit_piece(world, piece, &mut bases)?;
    }
    // a wrapper has no leaf: one that was committed by mistake goes when the court has taken all of it back
    bases.retain(|account, base| {
        !base.is_nothing() || world.wrappers.iter().all(|wrapper| wrapper.account != *account)
    });
    bases.into_iter().map(|(account, base)| settle(world, terms, account, base)).collect()
}

/// `floor(pot * 2^64 * weight / total)`, in 2^-64 sat.
///
/// # Errors
/// When `total` is zero, or the result does not fit 128 bits.
pub fn credit_floor(pot: u64, weight: U256, total: U256) -> Result<u128, AllocateError> {
    let scaled = U256::from(pot) << 64_usize;
    ratio_floor(scaled, weight, total)
}

/// `floor(credit * shares / total)`, in 2^-64 sat.
///
/// # Errors
/// When `total` is zero, or the result does not fit 128 bits.
pub fn look_through_floor(credit: u128, shares: U256, total: U256) -> Result<u128, AllocateError> {
    ratio_floor(U256::from(credit), shares, total)
}

fn ratio_floor(amount: U256, part: U256, whole: U256) -> Result<u128, AllocateError> {
    let product = amount.checked_mul(part).ok_or(AllocateError::Overflow("a weighted pot"))?;
    let ratio = product.checked_div(whole).ok_or(AllocateError::Overflow("a total of zero"))?;
    u128::try_from(ratio).map_err(|_| AllocateError::Overflow("a credit"))
}

fn credit_piece(world: &World, piece: &Piece, credits: &mut Credits) -> Result<(), AllocateError> {
    let epoch = piece.work_epoch;
    let missing = |what: String| AllocateError::NoWeights { what, epoch };
    let weights = world.units.get(&(piece.series, epoch));
    let weights = weights.ok_or_else(|| missing(format!("series {}", piece.series)))?;
    if weights.total.is_zero() {
        return Ok(());
    }
    let wrappers: BTreeMap<Address, &Wrapper> = world
        .wrappers
        .iter()
        .filter(|wrapper| wrapper.series == piece.series)
        .map(|wrapper| (wrapper.account, wrapper))
        .collect();
    for (account, weight) in &weights.of {
        let credit = credit_floor(piece.sats, *weight, weights.total)?;
        let Some(wrapper) = wrappers.get(account) else {
            add(credits, *account, piece.series, credit)?;
            continue;
        };
        let shares = world.shares.get(&(wrapper.share, epoch));
        let shares = shares.ok_or_else(|| missing(format!("share token {}", wrapper.share)))?;
        if shares.total.is_zero() {
            add(credits, wrapper.first_loss, piece.series, credit)?;
            continue;
        }
        for (holder, held) in &shares.of {
            let part = look_through_floor(credit, *held, shares.total)?;
            add(credits, *holder, piece.series, part)?;
        }
    }
    Ok(())
}

fn add(
    credits: &mut Credits,
    account: Address,
    series: SeriesId,
    credit: u128,
) -> Result<(), AllocateError> {
    if credit == 0 {
        return Ok(());
    }
    let acc = credits.entry(account).or_default().acc.entry(series).or_default();
    *acc = acc.checked_add(credit).ok_or(AllocateError::Overflow("an accumulator"))?;
    Ok(())
}

/// One account's leaf and output by the Due rule, from its base with the epoch's credit.
///
/// # Errors
/// When a sum leaves its field.
pub fn settle(
    world: &World,
    terms: &Terms,
    account: Address,
    base: Base,
) -> Result<Line, AllocateError> {
    let acc = base.acc.into_iter().filter(|(_, acc)| *acc > 0);
    let acc = acc.map(|(series, acc)| SeriesAcc { series, acc }).collect();
    let entry = world.entries.get(&account);
    let script_hash = entry.map_or(B256::ZERO, |e| keccak256(e.script.as_bytes()));
    let paid = Sats(base.paid);
    let mut leaf = Leaf { account, script_hash, paid, since: None, out: None, acc };
    let whole = u64::try_from(encode::acc_sum(&leaf)? >> 64);
    let whole = whole.map_err(|_| AllocateError::Overflow("an account's sats"))?;
    // more may be paid than credited once the court took credit back: then nothing is owed until it is earned again
    let owed = whole.saturating_sub(base.paid);
    if owed == 0 {
        return Ok(Line { leaf, pays: None });
    }
    let since = base.since.unwrap_or(EpochId(world.epoch));
    let age = world.epoch.saturating_sub(since.0);
    let Some(entry) = entry.filter(|entry| is_due(terms, entry, owed, age)) else {
        leaf.since = Some(since);
        return Ok(Line { leaf, pays: None });
    };
    leaf.paid = Sats(whole);
    let output = TxOut { value: Amount::from_sat(owed), script_pubkey: entry.script.clone() };
    Ok(Line { leaf, pays: Some(output) })
}

fn is_due(terms: &Terms, entry: &Entry, owed: u64, age: u32) -> bool {
    let enough = owed >= terms.min_pay.max(entry.minimum);
    let old_enough = age >= AGE && owed >= AGE_LEAST;
    !terms.defer && owed >= entry.dust && (enough || old_enough)
}

/// Accounts that may have a leaf in this world: holders of units and shares, first-loss accounts, those that had one,
/// and those that the court corrected.
#[must_use]
pub fn candidates(world: &World) -> BTreeSet<Address> {
    let holders = world.units.values().chain(world.shares.values());
    let mut all: BTreeSet<Address> = holders.flat_map(|w| w.of.keys().copied()).collect();
    all.extend(world.wrappers.iter().map(|wrapper| wrapper.first_loss));
    all.extend(world.previous.iter().map(|leaf| leaf.account));
    all.extend(world.corrections.keys());
    all
}

#[cfg(test)]
#[path = "allocate_tests.rs"]
mod tests;
