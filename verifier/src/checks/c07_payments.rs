//! Check 7: every due leaf is paid exactly once, and nothing else is.

use std::collections::BTreeMap;

use bitcoin::Transaction;

use super::Checked;
use crate::{
    Findings,
    books::{Page, Payee},
    encode,
    world::{Payment, ROOT_BATCH, World},
};

/// A committed payout may take this long, seconds.
const PATIENCE: u64 = 86_400;

pub(super) fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    let mut proven: BTreeMap<(u32, u16), u32> = BTreeMap::new();
    for proof in &world.history.proofs {
        *proven.entry((proof.event.epoch, proof.event.batch)).or_default() += 1;
    }
    for ((epoch, batch), times) in &proven {
        findings.require(*times == 1, || {
            format!("batch {batch} of epoch {epoch} is proven {times} times")
        });
    }
    let (mut payees, mut pending) = (0_usize, 0_usize);
    let mut paid_before = 0_u64;
    for page in &world.pages {
        let paid = page.commitment.root.paidSum;
        if world.wants(page.epoch.0) {
            findings
                .faults(page.faults.iter().map(|fault| format!("epoch {}: {fault}", page.epoch)));
            let totals =
                page.commitment.batches.iter().map(|b| b.total).fold(0, u64::saturating_add);
            // what the court said was paid differently than the leaves had it
            let (up, down) = (page.moved.paid_up, page.moved.paid_down);
            let sum = |a: u64, b: u64, c: u64| u128::from(a) + u128::from(b) + u128::from(c);
            findings.require(sum(paid, down, 0) == sum(paid_before, totals, up), || {
                format!(
                    "epoch {}: paidSum rises from {paid_before} to {paid}, batches pay {totals}",
                    page.epoch
                )
            });
            let (count, waiting) = compare(world, page, &mut findings);
            payees = payees.saturating_add(count);
            pending = pending.saturating_add(waiting);
        }
        paid_before = paid;
    }
    if pending > 0 {
        findings.note(format!("{pending} committed batches are not on Bitcoin yet"));
    }
    if world.pages.is_empty() {
        return Ok(findings.not_checked("no epoch is committed yet"));
    }
    Ok(findings.passed(format!("{payees} outputs, each to the account and sat that is due")))
}

/// Compares an epoch's transactions with its due list. Returns payees found and batches still to come.
fn compare(world: &World, page: &Page, findings: &mut Findings) -> (usize, usize) {
    let payments: Vec<&Payment> = world.payments.iter().filter(|p| p.epoch == page.epoch).collect();
    let (mut count, mut waiting) = (0_usize, 0_usize);
    for (batch, payees) in (0_u16..).zip(&page.batches) {
        let Some(payment) = payments.iter().find(|payment| payment.batch == batch) else {
            waiting = waiting.saturating_add(1);
            continue;
        };
        count = count.saturating_add(payees.len());
        let head = if page.commitment.batches.len() == 1 { 2 } else { 1 };
        outputs(page, payment, payees, head, findings);
    }
    if let Some(root) = payments.iter().find(|payment| payment.batch == ROOT_BATCH) {
        let expected = page.commitment.batches.len().saturating_add(2);
        findings.require(root.mined.tx.output.len() == expected, || {
            format!(
                "epoch {}: root transaction {} has outputs beside its chunks",
                page.epoch, root.txid
            )
        });
        marker(page, root, 1, findings);
    }
    let late = world.chain.time > page.committed_at.saturating_add(PATIENCE);
    findings.require(waiting == 0 || !late, || {
        format!(
            "epoch {}: {waiting} batches are unpaid a day after they were committed",
            page.epoch
        )
    });
    (count, waiting)
}

/// After `head` outputs (baton and marker, or marker alone) come the payees, all of them, in order, and nothing.
fn outputs(page: &Page, payment: &Payment, payees: &[Payee], head: usize, findings: &mut Findings) {
    let (epoch, txid) = (page.epoch, payment.txid);
    marker(page, payment, head.saturating_sub(1), findings);
    let found = payees_of(&payment.mined.tx, head);
    for (index, payee) in payees.iter().enumerate() {
        let Some((sats, script)) = found.get(index) else {
            findings.fault(format!(
                "epoch {epoch}: {} is due {} and has no output",
                payee.account, payee.sats
            ));
            continue;
        };
        findings.require(*sats == payee.sats.0, || {
            format!(
                "epoch {epoch}: output {} of {txid} pays {sats} sat; {} is due {}",
                index + head,
                payee.account,
                payee.sats
            )
        });
        findings.require(*script == payee.script.as_slice(), || {
            format!(
                "epoch {epoch}: output {} of {txid} is not to {}'s script",
                index + head,
                payee.account
            )
        });
    }
    findings.require(found.len() <= payees.len(), || {
        let beside = found.len().saturating_sub(payees.len());
        format!("epoch {epoch}: {beside} outputs of {txid} pay nobody who is due")
    });
}

fn payees_of(tx: &Transaction, head: usize) -> Vec<(u64, &[u8])> {
    tx.output.iter().skip(head).map(|o| (o.value.to_sat(), o.script_pubkey.as_bytes())).collect()
}

fn marker(page: &Page, payment: &Payment, position: usize, findings: &mut Findings) {
    let expected = encode::marker(page.epoch.0, payment.batch, page.commitment.root.hash);
    let right = payment.mined.tx.output.get(position).is_some_and(|output| {
        output.value.to_sat() == 0 && output.script_pubkey.as_bytes() == expected
    });
    findings.require(right, || {
        format!("epoch {}: output {position} of {} is not its marker", page.epoch, payment.txid)
    });
}
