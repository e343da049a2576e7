//! Check 6: the root of every committed epoch, recomputed bit for bit.

use domain::Leaf;
use evm::{
    bindings::{IEpochLedger, IPayoutRegistry::entryAtCall},
    record::record_hash,
};

use super::Checked;
use crate::{
    Error, Findings,
    books::{Page, Registry},
    encode,
    world::World,
};

/// The ledger takes no larger minimum payment.
const MIN_PAY_MAX: u64 = 50_000;

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    let mut next = world.deployment.first_epoch;
    for page in &world.pages {
        findings.require(page.epoch == next, || {
            format!("epoch {next} should be committed next, but {} was", page.epoch)
        });
        next = page.epoch.next();
    }
    let pages: Vec<&Page> = world.wanted_pages().collect();
    for page in &pages {
        compare(page, &mut findings);
        findings.faults(page.unpunished.iter().map(|what| format!("epoch {}: {what}", page.epoch)));
        if page.upheld > 0 {
            findings.note(format!(
                "epoch {}: {} leaves broke the rules; the court upheld and corrected them",
                page.epoch, page.upheld
            ));
        }
    }
    stored(world, &pages, &mut findings).await?;
    if let Some(last) = pages.last() {
        scripts(world, last, &mut findings).await?;
    }
    if pages.is_empty() {
        return Ok(findings.not_checked("no epoch is committed yet"));
    }
    let leaves = pages.last().map_or(0, |page| page.leaves.len());
    Ok(findings.passed(format!("{} roots; the last has {leaves} leaves", pages.len())))
}

fn compare(page: &Page, findings: &mut Findings) {
    let (epoch, committed) = (page.epoch, &page.commitment.root);
    let ours = &page.root;
    findings.require(ours.hash == committed.hash, || {
        format!(
            "epoch {epoch}: root {} is committed, {} follows from the chain",
            committed.hash, ours.hash
        )
    });
    findings.require(ours.acc_sum == committed.accSum, || {
        format!("epoch {epoch}: accSum {} is committed, {} follows", committed.accSum, ours.acc_sum)
    });
    findings.require(ours.paid_sum.0 == committed.paidSum, || {
        format!(
            "epoch {epoch}: paidSum {} is committed, {} follows",
            committed.paidSum, ours.paid_sum.0
        )
    });
    let accounts = usize::try_from(page.commitment.accounts).unwrap_or(usize::MAX);
    findings.require(page.leaves.len() == accounts, || {
        format!("epoch {epoch}: {accounts} accounts are committed, {} follow", page.leaves.len())
    });
    findings.require(page.commitment.minPay <= MIN_PAY_MAX, || {
        format!("epoch {epoch}: a minimum payment of {} sat", page.commitment.minPay)
    });
}

/// What the ledger stores is the hash of what it announced.
async fn stored(world: &World, pages: &[&Page], findings: &mut Findings) -> Result<(), Error> {
    let ledger = world.deployment.epoch_ledger;
    let hashes: Vec<_> = pages
        .iter()
        .map(|page| (ledger, IEpochLedger::commitmentHashCall { epoch: page.epoch.0 }))
        .collect();
    for (page, hash) in pages.iter().zip(world.chain.calls(&hashes).await?) {
        let told = world.history.commit(page.epoch.0);
        let same = told.is_some_and(|told| hash.as_ref() == Ok(&record_hash(&told.event)));
        findings.require(same, || {
            format!("epoch {}: the ledger stores another commitment than it announced", page.epoch)
        });
    }
    Ok(())
}

/// The scripts that we replayed are those that the registry says were in force.
async fn scripts(world: &World, page: &Page, findings: &mut Findings) -> Result<(), Error> {
    let calls: Vec<_> = page
        .leaves
        .iter()
        .map(|leaf| {
            let call = entryAtCall { account: leaf.account, epoch: page.epoch.0 };
            (world.deployment.payout_registry, call)
        })
        .collect();
    let registry = Registry::of(&world.history);
    findings.faults(registry.faults.iter().cloned());
    for (Leaf { account, script_hash, .. }, entry) in
        page.leaves.iter().zip(world.chain.calls(&calls).await?)
    {
        let (from, terms) = registry.entry(*account, page.epoch);
        let dust = encode::dust(&terms.script).unwrap_or_default();
        let same = entry.is_ok_and(|entry| {
            entry.scriptHash == *script_hash
                && entry.minimum == terms.minimum
                && entry.fromEpoch == from
                && u64::from(entry.dust) == dust
        });
        findings.require(same, || {
            format!("epoch {}: {account}'s script by its events is not the registry's", page.epoch)
        });
    }
    Ok(())
}
