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
//! 5. *paid never exceeds credit*: `paid <= floor(acc)` always.
//! 6. *a leaf stays*: an account with a leaf keeps one, and its accumulators never fall.
//! 7. *deferred pays nobody*: a deferred epoch has no batch, and all that is owed stays owed.
//! 8. *splitting gains nothing*: one owner with two accounts is credited no more than with one.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, U256, keccak256};
use bitcoin::{Amount, ScriptBuf, TxOut};
use domain::{EpochId, Leaf, OutRef, Root, Sats, SeriesAcc, SeriesId};
use serde::{Deserialize, Serialize};

use crate::{
    encode::{self, EncodeError},
    packed,
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
    /// Leaves of the epoch before, account ascending.
    pub previous: Vec<Leaf>,
}

/// How due outputs are cut into batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// As many outputs as fit into this many bytes.
    MaxBytes(usize),
    /// As a commitment on chain has cut them: the totals of its batches, sats.
    Totals(Vec<u64>),
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

/// One batch: the outputs of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// keccak of the serialised outputs.
    pub outputs_hash: B256,
    /// Their sum, sats.
    pub total: u64,
    /// Payees in account order.
    #[serde(with = "packed")]
    pub payments: Vec<Payment>,
}

impl Batch {
    /// The payees' outputs in order.
    #[must_use]
    pub fn outputs(&self) -> Vec<TxOut> {
        self.payments.iter().map(|payment| payment.output.clone()).collect()
    }
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

type Credits = BTreeMap<Address, BTreeMap<SeriesId, u128>>;

/// Leaves, root and batches of one epoch.
///
/// # Errors
/// When the snapshot lacks weights, an integer leaves its range, or a committed cut does not fit.
pub fn allocate(world: &World, terms: &Terms) -> Result<Allocation, AllocateError> {
    let mut credits = Credits::new();
    for leaf in &world.previous {
        let series = leaf.acc.iter().map(|entry| (entry.series, entry.acc)).collect();
        credits.insert(leaf.account, series);
    }
    for piece in &world.pieces {
        credit_piece(world, piece, &mut credits)?;
    }
    let before: BTreeMap<Address, &Leaf> =
        world.previous.iter().map(|leaf| (leaf.account, leaf)).collect();
    let (mut leaves, mut due) = (Vec::with_capacity(credits.len()), Vec::new());
    for (account, series) in credits {
        let (leaf, pay) = settle(world, terms, account, series, before.get(&account).copied())?;
        if let Some(output) = pay {
            due.push((leaves.len(), Payment { account, output }));
        }
        leaves.push(leaf);
    }
    let batches = cut(&mut leaves, due, &terms.cut)?;
    let root = encode::root_of(&leaves)?;
    Ok(Allocation { leaves, root, batches })
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
    let acc = credits.entry(account).or_default().entry(series).or_default();
    *acc = acc.checked_add(credit).ok_or(AllocateError::Overflow("an accumulator"))?;
    Ok(())
}

fn settle(
    world: &World,
    terms: &Terms,
    account: Address,
    series: BTreeMap<SeriesId, u128>,
    before: Option<&Leaf>,
) -> Result<(Leaf, Option<TxOut>), AllocateError> {
    let acc = series.into_iter().map(|(series, acc)| SeriesAcc { series, acc }).collect();
    let entry = world.entries.get(&account);
    let script_hash = entry.map_or(B256::ZERO, |e| keccak256(e.script.as_bytes()));
    let paid = before.map_or(Sats::ZERO, |leaf| leaf.paid);
    let mut leaf = Leaf { account, script_hash, paid, since: None, out: None, acc };
    let whole = u64::try_from(encode::acc_sum(&leaf)? >> 64);
    let whole = whole.map_err(|_| AllocateError::Overflow("an account's sats"))?;
    let owed = whole.checked_sub(paid.0).ok_or(AllocateError::Overflow("paid above credit"))?;
    if owed == 0 {
        return Ok((leaf, None));
    }
    let since = before.and_then(|leaf| leaf.since).unwrap_or(EpochId(world.epoch));
    let age = world.epoch.saturating_sub(since.0);
    match entry.filter(|entry| is_due(terms, entry, owed, age)) {
        Some(entry) => {
            leaf.paid = Sats(whole);
            let output =
                TxOut { value: Amount::from_sat(owed), script_pubkey: entry.script.clone() };
            Ok((leaf, Some(output)))
        }
        None => {
            leaf.since = Some(since);
            Ok((leaf, None))
        }
    }
}

fn is_due(terms: &Terms, entry: &Entry, owed: u64, age: u32) -> bool {
    let enough = owed >= terms.min_pay.max(entry.minimum);
    let old_enough = age >= AGE && owed >= AGE_LEAST;
    !terms.defer && owed >= entry.dust && (enough || old_enough)
}

/// Cuts due outputs into batches and writes `out` into their leaves.
fn cut(
    leaves: &mut [Leaf],
    due: Vec<(usize, Payment)>,
    cut: &Cut,
) -> Result<Vec<Batch>, AllocateError> {
    let mut groups: Vec<Vec<Payment>> = Vec::new();
    let (mut bytes, mut total) = (0_usize, 0_u64);
    for (position, payment) in due {
        let size = payment.output.size();
        let sats = payment.output.value.to_sat();
        let open = match (cut, groups.len().checked_sub(1)) {
            (_, None) => false,
            (Cut::MaxBytes(most), _) => bytes.saturating_add(size) <= *most,
            (Cut::Totals(totals), Some(last)) => totals.get(last).is_some_and(|t| total < *t),
        };
        if !open {
            groups.push(Vec::new());
            (bytes, total) = (0, 0);
        }
        bytes = bytes.saturating_add(size);
        total = total.checked_add(sats).ok_or(AllocateError::Overflow("a batch's total"))?;
        let last = groups.len().saturating_sub(1);
        let group = groups.last_mut().ok_or(AllocateError::BadCut("no batch"))?;
        let out = OutRef {
            batch: u16::try_from(last).map_err(|_| AllocateError::Overflow("batches"))?,
            index: u16::try_from(group.len()).map_err(|_| AllocateError::Overflow("payees"))?,
        };
        let leaf = leaves.get_mut(position).ok_or(AllocateError::BadCut("no leaf"))?;
        leaf.out = Some(out);
        group.push(payment);
    }
    let batches = groups.into_iter().map(batch).collect::<Result<Vec<_>, _>>()?;
    if let Cut::Totals(totals) = cut {
        let found: Vec<u64> = batches.iter().map(|batch| batch.total).collect();
        if found != *totals {
            return Err(AllocateError::BadCut("totals differ"));
        }
    }
    Ok(batches)
}

fn batch(payments: Vec<Payment>) -> Result<Batch, AllocateError> {
    let outputs: Vec<TxOut> = payments.iter().map(|p| p.output.clone()).collect();
    let total = encode::outputs_total(&outputs).ok_or(AllocateError::Overflow("a total"))?;
    Ok(Batch { outputs_hash: encode::outputs_hash(&outputs), total, payments })
}

/// Accounts that may be credited in this world: holders of units and shares, and first-loss accounts.
#[must_use]
pub fn candidates(world: &World) -> BTreeSet<Address> {
    let holders = world.units.values().chain(world.shares.values());
    let mut all: BTreeSet<Address> = holders.flat_map(|w| w.of.keys().copied()).collect();
    all.extend(world.wrappers.iter().map(|wrapper| wrapper.first_loss));
    all.extend(world.previous.iter().map(|leaf| leaf.account));
    all
}

#[cfg(test)]
#[path = "allocate_tests.rs"]
mod tests;
