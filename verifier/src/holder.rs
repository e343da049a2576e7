//! One account's own view: what each epoch credited it, what is owed, and the Bitcoin output that paid it.

use std::{collections::BTreeMap, fmt::Write};

use alloy::primitives::Address;
use domain::{Leaf, SeriesId};
use serde::Serialize;

use crate::{
    Error,
    books::{Page, Registry},
    world::{Payment, World},
};

/// Weight of a sat in accumulators.
const ONE: u128 = 1 << 64;

/// One epoch of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The epoch.
    pub epoch: u32,
    /// Credited in the epoch, 2^-64 sat.
    #[serde(with = "domain::decimal")]
    pub credit: u128,
    /// Owed and not scheduled after the epoch, sats.
    #[serde(with = "domain::decimal")]
    pub owed: u64,
    /// Due in the epoch, sats.
    #[serde(with = "domain::decimal")]
    pub due: u64,
    /// The output that pays it, as txid:vout, once it is on Bitcoin.
    pub output: Option<String>,
    /// Blocks on it.
    pub confirmations: Option<u64>,
    /// Whether the payout is proven on the EVM chain.
    pub proven: bool,
}

/// The view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The account.
    pub account: Address,
    /// The script that it is paid to now, hex; empty if none is in force.
    pub script: String,
    /// Its epochs.
    pub lines: Vec<Line>,
}

/// The view of `account`.
///
/// # Errors
/// When a sum leaves its field.
pub fn statement(world: &World, account: Address) -> Result<Statement, Error> {
    let mut lines = Vec::new();
    let (mut earned_before, mut paid_before) = (0_u128, 0_u64);
    for page in &world.pages {
        let Some(leaf) = page.leaves.iter().find(|leaf| leaf.account == account) else { continue };
        let earned = sum(leaf)?;
        let credit = earned.checked_sub(earned_before).ok_or(Error::Overflow("a credit"))?;
        let due = leaf.paid.0.checked_sub(paid_before).ok_or(Error::Overflow("paid"))?;
        let owed = u64::try_from(earned / ONE)
            .ok()
            .and_then(|earned| earned.checked_sub(leaf.paid.0))
            .ok_or(Error::Overflow("owed"))?;
        (earned_before, paid_before) = (earned, leaf.paid.0);
        if world.wants(page.epoch.0) {
            let found = payment(world, page, leaf);
            lines.push(Line {
                epoch: page.epoch.0,
                credit,
                owed,
                due,
                output: found.map(|(payment, vout)| format!("{}:{vout}", payment.txid)),
                confirmations: found.map(|(payment, _)| world.scan.confirmations(&payment.mined)),
                proven: leaf.out.is_some_and(|out| {
                    let proofs = &world.history.proofs;
                    proofs
                        .iter()
                        .any(|p| p.event.epoch == page.epoch.0 && p.event.batch == out.batch)
                }),
            });
        }
    }
    let now = domain::EpochId::at(world.chain.time);
    let script = hex::encode(Registry::of(&world.history).at(account, now).script);
    Ok(Statement { account, script, lines })
}

fn sum(leaf: &Leaf) -> Result<u128, Error> {
    let parts: BTreeMap<SeriesId, u128> = leaf.acc.iter().map(|a| (a.series, a.acc)).collect();
    parts.values().try_fold(0_u128, |sum, acc| sum.checked_add(*acc).ok_or(Error::Overflow("acc")))
}

fn payment<'a>(world: &'a World, page: &Page, leaf: &Leaf) -> Option<(&'a Payment, u32)> {
    let out = leaf.out?;
    let head = if page.commitment.batches.len() == 1 { 2 } else { 1 };
    let found = world.payments.iter().find(|p| p.epoch == page.epoch && p.batch == out.batch)?;
    Some((found, head + u32::from(out.index)))
}

impl Statement {
    /// The view for people.
    #[must_use]
    pub fn text(&self) -> String {
        let script = if self.script.is_empty() { "none" } else { &self.script };
        let mut text = format!("account {}\npaid to script {script}\n", self.account);
        if self.lines.is_empty() {
            text.push_str("no epoch has credited this account\n");
            return text;
        }
        let _ = writeln!(
            text,
            "{:>8} {:>22} {:>12} {:>12}  paid by",
            "epoch", "credit (sat)", "due (sat)", "owed (sat)"
        );
        for line in &self.lines {
            let whole = line.credit / ONE;
            // Rounded down: a remainder below one sat never shows as a whole one.
            let millionths = (line.credit % ONE) * 1_000_000 / ONE;
            let credit = format!("{whole}.{millionths:06}");
            let paid = match (&line.output, line.confirmations) {
                (Some(output), Some(deep)) => {
                    let proven = if line.proven { "proven" } else { "not proven yet" };
                    format!("{output} ({deep} confirmations, {proven})")
                }
                _ if line.due > 0 => "not on Bitcoin yet".into(),
                _ => "-".into(),
            };
            let _ = writeln!(
                text,
                "{:>8} {credit:>22} {:>12} {:>12}  {paid}",
                line.epoch, line.due, line.owed
            );
        }
        text
    }
}
