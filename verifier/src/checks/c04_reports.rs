//! Check 4: reports follow each other, a quorum signed each, and every receipt is on Bitcoin, once, in time.

use std::collections::BTreeMap;

use alloy::primitives::{B256, U256};
use domain::EpochId;
use evm::{bindings::IFleetOracle, quorum};

use super::{Checked, c04_signatures as signatures};
use crate::{
    Error, Findings,
    history::{At, Stamp},
    node::outpoint,
    world::World,
};

/// Epochs whose report hash the oracle keeps.
const RING: u32 = 512;

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    order(world, &mut findings);
    let wanted: Vec<&At<IFleetOracle::ReportPosted>> =
        world.history.reports.iter().filter(|report| world.wants(report.event.epoch)).collect();
    hashes(world, &wanted, &mut findings).await?;
    let signed = signatures::check(world, &wanted, &mut findings).await?;
    let receipts = receipts(world, &mut findings);
    Ok(findings.passed(format!(
        "{} reports with {signed} signatures, {} gaps, {} slashed stakes, {receipts} receipts on Bitcoin",
        wanted.len(),
        world.history.gaps.len(),
        world.history.slashed.len()
    )))
}

/// Epochs are consecutive from the first, each reported once or declared a gap; hashes chain.
fn order(world: &World, findings: &mut Findings) {
    let reports = world.history.reports.iter().map(|r| (r.at, r.event.epoch, Some(&r.event)));
    let gaps = world.history.gaps.iter().map(|gap| (gap.at, gap.event.epoch, None));
    let mut all: Vec<(Stamp, u32, Option<&IFleetOracle::ReportPosted>)> =
        reports.chain(gaps).collect();
    all.sort_by_key(|entry| entry.0);
    let mut next = world.deployment.first_epoch.0;
    let mut last_hash = B256::ZERO;
    for (_, epoch, posted) in all {
        findings.require(epoch == next, || {
            format!("epoch {next} should be reported next, but {epoch} was")
        });
        next = epoch.saturating_add(1);
        let Some(posted) = posted else { continue };
        let report = &posted.report;
        findings.require(report.epoch == epoch, || {
            format!("the report of epoch {epoch} is about epoch {}", report.epoch)
        });
        findings.require(report.round == posted.round, || {
            format!("the report of epoch {epoch} is of another round than it was posted in")
        });
        findings.require(report.prevHash == last_hash, || {
            format!("the report of epoch {epoch} does not follow the one before it")
        });
        last_hash = posted.reportHash;
    }
}

/// The event's hash, the stored hash and our own are one. The oracle keeps hashes of the last 512 epochs.
async fn hashes(
    world: &World,
    wanted: &[&At<IFleetOracle::ReportPosted>],
    findings: &mut Findings,
) -> Result<(), Error> {
    let oracle = world.deployment.fleet_oracle;
    let gaps = world.history.gaps.iter().map(|gap| gap.event.epoch);
    let reports = world.history.reports.iter().map(|report| report.event.epoch);
    let last = gaps.chain(reports).max().unwrap_or_default();
    let kept = |epoch: u32| last.saturating_sub(epoch) < RING;
    let (kept, older): (Vec<&At<_>>, Vec<&At<_>>) =
        wanted.iter().copied().partition(|posted| kept(posted.event.epoch));
    let calls: Vec<_> = kept
        .iter()
        .map(|report| (oracle, IFleetOracle::reportHashCall { epoch: report.event.epoch }))
        .collect();
    for (posted, stored) in kept.iter().zip(world.chain.calls(&calls).await?) {
        let ours = quorum::report_hash(&posted.event.report);
        let same = ours == posted.event.reportHash && stored.as_ref() == Ok(&ours);
        findings.require(same, || {
            format!(
                "the report of epoch {} hashes to {ours}; the oracle stored {}",
                posted.event.epoch,
                stored.map_or_else(|why| why, |hash| hash.to_string())
            )
        });
    }
    // the chain of hashes leads from a stored one to these
    for posted in older {
        let ours = quorum::report_hash(&posted.event.report);
        findings.require(ours == posted.event.reportHash, || {
            format!("the report of epoch {} hashes to {ours}", posted.event.epoch)
        });
    }
    Ok(())
}

/// Each receipt is a Bitcoin output of that value, mined before its epoch ended, and counted once. Returns their number.
fn receipts(world: &World, findings: &mut Findings) -> usize {
    let mut seen: BTreeMap<(B256, u32), u32> = BTreeMap::new();
    let mut count = 0_usize;
    for posted in &world.history.reports {
        let epoch = posted.event.epoch;
        for receipt in &posted.event.report.receipts {
            let point = outpoint(receipt.txid, receipt.vout);
            if let Some(before) = seen.insert((receipt.txid, receipt.vout), epoch) {
                findings
                    .fault(format!("receipt {point} is counted in epochs {before} and {epoch}"));
            }
            if !world.wants(epoch) {
                continue;
            }
            count = count.saturating_add(1);
            let Some(mined) = world.scan.found.get(&point.txid) else {
                findings.fault(format!("epoch {epoch}: receipt {point} is not on Bitcoin"));
                continue;
            };
            findings.require(world.scan.value(&point) == Some(receipt.sats), || {
                format!(
                    "epoch {epoch}: receipt {point} is reported as {} sat and is {}",
                    receipt.sats,
                    world
                        .scan
                        .value(&point)
                        .map_or("no output".into(), |sats| format!("{sats} sat"))
                )
            });
            findings.require(mined.time < EpochId(epoch).end(), || {
                format!("epoch {epoch}: receipt {point} was mined after the epoch's end")
            });
        }
    }
    let sats = world.history.reports.iter().flat_map(|r| &r.event.report.receipts);
    let total = sats.fold(U256::ZERO, |sum, receipt| sum + U256::from(receipt.sats));
    findings.note(format!("receipts of all epochs: {total} sat"));
    count
}
