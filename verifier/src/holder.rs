//! One account's own view: what each epoch credited it, what is owed, the Bitcoin output that paid it, and what the court
//! added or took back.
//!
//! Sums: `credit` less `taken`, and what corrections `counted`, come to the account's credit in the last root; `due` less
//! `due_taken`, and corrections of what is paid, come to its `paid`.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, I256, U256};
use domain::{Leaf, SeriesId};
use evm::bindings::ILedgerCourt;
use serde::Serialize;

use crate::{
    Error,
    books::{Page, Registry},
    history::{At, History},
    world::{Payment, World},
};

mod print;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// An epoch.
    Epoch(EpochLine),
    /// What the court put right, before the epoch's own credit.
    Correction(CorrectionLine),
}

/// One epoch of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EpochLine {
    /// The epoch.
    pub epoch: u32,
    /// Credited in the epoch, 2^-64 sat.
    #[serde(with = "domain::decimal")]
    pub credit: u128,
    /// Credit that a leaf which broke the rules left out, 2^-64 sat.
    #[serde(with = "domain::decimal")]
    pub taken: u128,
    /// Owed and not scheduled after the epoch, sats; zero if more is paid than credited.
    #[serde(with = "domain::decimal")]
    pub owed: u64,
    /// Paid beyond what is credited, sats: later credit fills it first.
    #[serde(with = "domain::decimal")]
    pub overpaid: u64,
    /// Due in the epoch, sats.
    #[serde(with = "domain::decimal")]
    pub due: u64,
    /// Earlier payments that a leaf which broke the rules left out, sats.
    #[serde(with = "domain::decimal")]
    pub due_taken: u64,
    /// The output that pays it, as txid:vout, once it is on Bitcoin.
    pub output: Option<String>,
    /// Blocks on it.
    pub confirmations: Option<u64>,
    /// Whether the payout is proven on the EVM chain.
    pub proven: bool,
    /// Faults of the account's leaf that the court upheld.
    pub upheld: Vec<Ruling>,
}

/// A fault that the court upheld.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ruling {
    /// Name of the court's function.
    pub fault: String,
    /// The epoch whose commitment broke the rules.
    pub fault_epoch: u32,
    /// Transaction on the EVM chain.
    pub court_tx: B256,
}

/// Which way the court moved something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Up.
    Added,
    /// Down.
    TakenBack,
}

/// One correction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CorrectionLine {
    /// The epoch in whose base it counts.
    pub epoch: u32,
    /// Up or down.
    pub direction: Direction,
    /// The series whose credit it is about, in 2^-64 sat; 0: what counts as paid, in sats.
    pub series: u16,
    /// How much the court said.
    #[serde(with = "domain::decimal")]
    pub change: U256,
    /// How much of it counted: nothing falls below zero.
    #[serde(with = "domain::decimal")]
    pub counted: u128,
    /// Whether its epoch is still to be committed.
    pub pending: bool,
    /// Why.
    #[serde(flatten)]
    pub ruling: Ruling,
}

/// The view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The account.
    pub account: Address,
    /// The script that it is paid to now, hex; empty if none is in force.
    pub script: String,
    /// Its epochs and corrections.
    pub lines: Vec<Line>,
}

/// The view of `account`.
///
/// # Errors
/// When a sum leaves its field.
pub fn statement(world: &World, account: Address) -> Result<Statement, Error> {
    let mut lines = Vec::new();
    let mut sofar = SoFar::default();
    for page in &world.pages {
        let epoch = page.epoch.0;
        let wanted = world.wants(epoch);
        let corrected = sofar.correct(&world.history, account, epoch)?;
        lines.extend(corrected.into_iter().filter(|_| wanted).map(Line::Correction));
        let leaf = page.leaves.iter().find(|leaf| leaf.account == account);
        let upheld = upheld(&world.history, account, epoch);
        if leaf.is_none() && sofar.is_nothing() && upheld.is_empty() {
            continue;
        }
        let mut line = sofar.epoch(epoch, leaf, upheld)?;
        if let Some((payment, vout)) = leaf.and_then(|leaf| payment(world, page, leaf)) {
            line.output = Some(format!("{}:{vout}", payment.txid));
            line.confirmations = Some(world.scan.confirmations(&payment.mined));
        }
        let out = leaf.and_then(|leaf| leaf.out);
        let mut proofs = world.history.proofs.iter().map(|proof| &proof.event);
        line.proven =
            out.is_some_and(|out| proofs.any(|p| p.epoch == epoch && p.batch == out.batch));
        if wanted {
            lines.push(Line::Epoch(line));
        }
    }
    let last = world.pages.last().map(|page| page.epoch.0);
    let pending =
        world.history.corrections.iter().filter(|at| {
            at.event.account == account && last.is_none_or(|last| at.event.epoch > last)
        });
    for at in pending.filter(|at| world.wants(at.event.epoch)) {
        lines.push(Line::Correction(correction(&world.history, at, None)));
    }
    let now = domain::EpochId::at(world.chain.time);
    let script = hex::encode(Registry::of(&world.history).at(account, now).script);
    Ok(Statement { account, script, lines })
}

/// The account after the last line.
#[derive(Debug, Default)]
struct SoFar {
    acc: BTreeMap<SeriesId, u128>,
    paid: u64,
}

impl SoFar {
    fn is_nothing(&self) -> bool {
        self.paid == 0 && self.acc.values().all(|acc| *acc == 0)
    }

    /// Moves the base of an epoch as the court said: the changes add up, and the sum takes nothing below zero.
    fn correct(
        &mut self,
        history: &History,
        account: Address,
        epoch: u32,
    ) -> Result<Vec<CorrectionLine>, Error> {
        let mut sums: BTreeMap<u16, (I256, I256)> = BTreeMap::new();
        let mut lines = Vec::new();
        let list = history.corrections.iter();
        for at in list.filter(|at| at.event.account == account && at.event.epoch == epoch) {
            let series = at.event.series;
            let before = match series {
                0 => u128::from(self.paid),
                _ => self.acc.get(&SeriesId(series)).copied().unwrap_or_default(),
            };
            let overflow = || Error::Overflow("a corrected sum");
            let start = I256::try_from(before).map_err(|_| overflow())?;
            let (start, sum) = sums.entry(series).or_insert((start, I256::ZERO));
            *sum = sum.checked_add(at.event.change).ok_or_else(overflow)?;
            let after = start.checked_add(*sum).ok_or_else(overflow)?.max(I256::ZERO);
            let after = u128::try_from(after.into_raw()).map_err(|_| overflow())?;
            if series == 0 {
                self.paid = u64::try_from(after).map_err(|_| overflow())?;
            } else {
                self.acc.insert(SeriesId(series), after);
            }
            lines.push(correction(history, at, Some(after.abs_diff(before))));
        }
        Ok(lines)
    }

    /// Goes on to the epoch's leaf, or to none. A leaf that takes something away without an upheld fault is shown as it
    /// is: check 6 fails on it.
    fn epoch(
        &mut self,
        epoch: u32,
        leaf: Option<&Leaf>,
        upheld: Vec<Ruling>,
    ) -> Result<EpochLine, Error> {
        let acc: BTreeMap<SeriesId, u128> =
            leaf.iter().flat_map(|leaf| &leaf.acc).map(|a| (a.series, a.acc)).collect();
        let paid = leaf.map_or(0, |leaf| leaf.paid.0);
        let (credit, taken) = (above(&acc, &self.acc)?, above(&self.acc, &acc)?);
        let (due, due_taken) = (paid.saturating_sub(self.paid), self.paid.saturating_sub(paid));
        let earned = u64::try_from(above(&acc, &BTreeMap::new())? >> 64)
            .map_err(|_| Error::Overflow("a credit"))?;
        (self.acc, self.paid) = (acc, paid);
        let (owed, overpaid) = (earned.saturating_sub(paid), paid.saturating_sub(earned));
        let (output, confirmations, proven) = (None, None, false);
        Ok(EpochLine {
            epoch,
            credit,
            taken,
            owed,
            overpaid,
            due,
            due_taken,
            output,
            confirmations,
            proven,
            upheld,
        })
    }
}

/// By how much `to` lies above `from`, over all series.
fn above(to: &BTreeMap<SeriesId, u128>, from: &BTreeMap<SeriesId, u128>) -> Result<u128, Error> {
    to.iter().try_fold(0_u128, |sum, (series, acc)| {
        let rise = acc.saturating_sub(from.get(series).copied().unwrap_or_default());
        sum.checked_add(rise).ok_or(Error::Overflow("acc"))
    })
}

fn upheld(history: &History, account: Address, epoch: u32) -> Vec<Ruling> {
    let own = history.upheld.iter();
    own.filter(|at| at.event.account == account && at.event.epoch == epoch).map(ruling).collect()
}

fn ruling(at: &At<ILedgerCourt::Upheld>) -> Ruling {
    let fault = evm::fault_name(at.event.fault);
    Ruling { fault: fault.into(), fault_epoch: at.event.epoch, court_tx: at.at.tx }
}

/// A correction with its reason: the court says why right after it, in the same transaction. `counted` is `None` while
/// its epoch is not committed.
fn correction(
    history: &History,
    at: &At<ILedgerCourt::Corrected>,
    counted: Option<u128>,
) -> CorrectionLine {
    let why = history.upheld.iter().find(|upheld| {
        upheld.at.tx == at.at.tx
            && upheld.at.index > at.at.index
            && upheld.event.account == at.event.account
    });
    // without a reason the root of its epoch cannot follow either: check 6 fails
    let unknown =
        || Ruling { fault: "unknown".into(), fault_epoch: at.event.epoch, court_tx: at.at.tx };
    let down = at.event.change.is_negative();
    CorrectionLine {
        epoch: at.event.epoch,
        direction: if down { Direction::TakenBack } else { Direction::Added },
        series: at.event.series,
        change: at.event.change.unsigned_abs(),
        counted: counted.unwrap_or_default(),
        pending: counted.is_none(),
        ruling: why.map_or_else(unknown, ruling),
    }
}

fn payment<'a>(world: &'a World, page: &Page, leaf: &Leaf) -> Option<(&'a Payment, u32)> {
    let out = leaf.out?;
    let head = if page.commitment.batches.len() == 1 { 2 } else { 1 };
    let found = world.payments.iter().find(|p| p.epoch == page.epoch && p.batch == out.batch)?;
    Some((found, head + u32::from(out.index)))
}

#[cfg(test)]
#[path = "holder_tests.rs"]
mod tests;
