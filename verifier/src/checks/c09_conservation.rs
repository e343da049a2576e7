//! Check 9: no satoshi is created or lost, and what is owed is there.

use std::collections::BTreeSet;

use alloy::primitives::U256;
use bitcoin::OutPoint;

use super::Checked;
use crate::{
    Error, Findings,
    node::outpoint,
    world::{ROOT_BATCH, World},
};

pub(super) fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    let pots = receipts_are_pots(world, &mut findings);
    let residue = credits_are_pots(world, &mut findings)?;
    let owed = pots.checked_sub(paid_on_bitcoin(world)).unwrap_or_else(|| {
        findings.fault("more was paid on Bitcoin than all pots ever held".to_owned());
        0
    });
    let reserve = reserve(world);
    findings.require(reserve >= owed, || {
        format!("{owed} sat are owed for all reported epochs, {reserve} sat are in the treasury and baton")
    });
    findings.note(format!(
        "reserve {reserve} sat (reported receipts unspent, and the baton), owed {owed} sat"
    ));
    Ok(findings.passed(format!("{pots} sat of pots; residue {residue} x 2^-64 sat")))
}

/// Receipts = pots + deductions, for each report. Returns the pots of all reports.
fn receipts_are_pots(world: &World, findings: &mut Findings) -> u128 {
    let mut all = 0_u128;
    for posted in &world.history.reports {
        let report = &posted.event.report;
        let sum = |sats: &mut dyn Iterator<Item = u64>| sats.map(u128::from).sum::<u128>();
        let received = sum(&mut report.receipts.iter().map(|receipt| receipt.sats));
        let pots = sum(&mut report.series.iter().flat_map(|s| &s.pots).map(|piece| piece.sats));
        let deducted = sum(&mut report.series.iter().map(|s| s.deductions));
        all = all.saturating_add(pots);
        findings.require(received == pots.saturating_add(deducted), || {
            format!(
                "epoch {}: {received} sat received, {pots} in pots and {deducted} deducted",
                report.epoch
            )
        });
    }
    all
}

/// Per epoch: opening payables + pots = paid + closing payables + residue, in 2^-64 sat, with the committed sums. What the
/// court added or took back, and what a commit that broke the rules had added or taken, stands on its side.
/// Returns the residue of all epochs.
fn credits_are_pots(world: &World, findings: &mut Findings) -> Result<U256, Error> {
    let (mut acc_before, mut paid_before, mut taken_back) = (U256::ZERO, U256::ZERO, U256::ZERO);
    let mut all = U256::ZERO;
    for page in &world.pages {
        let (root, moved) = (&page.commitment.root, &page.moved);
        let (acc, paid) = (U256::from(root.accSum), U256::from(root.paidSum) << 64);
        taken_back += moved.acc_down;
        let overpaid = U256::from(moved.paid_up) << 64;
        findings.require(paid <= acc + taken_back + overpaid, || {
            format!("epoch {}: more is paid than was ever credited", page.epoch)
        });
        // both sides with `paid` added: credit that was taken back may leave less than was paid
        let came = acc_before + (U256::from(page.pots) << 64) + moved.acc_up;
        let went = acc + page.residue + moved.acc_down;
        let unpaid = U256::from(moved.paid_down) << 64;
        findings.require(came == went && paid + unpaid >= paid_before, || {
            format!("epoch {}: opening payables and pots are {came}, paid, payable and residue {went} (2^-64 sat)", page.epoch)
        });
        findings.require(page.residue <= page.residue_max, || {
            format!(
                "epoch {}: flooring explains at most {} x 2^-64 sat of the residue {}",
                page.epoch, page.residue_max, page.residue
            )
        });
        all += page.residue;
        (acc_before, paid_before) = (acc, paid);
    }
    Ok(all)
}

/// Sats that payees received in mined payouts.
fn paid_on_bitcoin(world: &World) -> u128 {
    world
        .payments
        .iter()
        .filter(|payment| payment.batch != ROOT_BATCH)
        .flat_map(|payment| {
            let single = world
                .payments
                .iter()
                .all(|other| other.epoch != payment.epoch || other.batch != ROOT_BATCH);
            payment.mined.tx.output.iter().skip(if single { 2 } else { 1 })
        })
        .map(|output| u128::from(output.value.to_sat()))
        .sum()
}

/// Sats in unspent reported receipts, the baton, and chunks that are not paid out yet.
fn reserve(world: &World) -> u128 {
    let receipts = world.history.reports.iter().flat_map(|report| &report.event.report.receipts);
    let mut points: BTreeSet<OutPoint> =
        receipts.map(|receipt| outpoint(receipt.txid, receipt.vout)).collect();
    points.extend(world.baton);
    for root in world.payments.iter().filter(|payment| payment.batch == ROOT_BATCH) {
        let count = root.mined.tx.output.len();
        points.extend((2_u32..).take(count.saturating_sub(2)).map(|n| OutPoint::new(root.txid, n)));
    }
    points
        .iter()
        .filter(|point| world.scan.unspent.contains(point))
        .filter_map(|point| world.scan.value(point))
        .map(u128::from)
        .sum()
}
