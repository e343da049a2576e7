//! Check 4: reports follow each other, a quorum signed each, and every receipt is on Bitcoin, once, in time.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, Signature, U256},
    sol_types::{Eip712Domain, SolCall, SolStruct, eip712_domain},
};
use domain::EpochId;
use evm::bindings::IFleetOracle::{self, postCall};

use super::Checked;
use crate::{
    Error, Findings,
    history::{At, Stamp},
    node::outpoint,
    world::World,
};

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    order(world, &mut findings);
    let wanted: Vec<&At<IFleetOracle::ReportPosted>> =
        world.history.reports.iter().filter(|report| world.wants(report.event.epoch)).collect();
    hashes(world, &wanted, &mut findings).await?;
    let signed = signatures(world, &wanted, &mut findings).await?;
    let receipts = receipts(world, &mut findings);
    Ok(findings.passed(format!(
        "{} reports with {signed} signatures, {} gaps, {receipts} receipts on Bitcoin",
        wanted.len(),
        world.history.gaps.len()
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

/// The event's hash, the stored hash and our own EIP-712 struct hash are one.
async fn hashes(
    world: &World,
    wanted: &[&At<IFleetOracle::ReportPosted>],
    findings: &mut Findings,
) -> Result<(), Error> {
    let oracle = world.deployment.fleet_oracle;
    let calls: Vec<_> = wanted
        .iter()
        .map(|report| (oracle, IFleetOracle::reportHashCall { epoch: report.event.epoch }))
        .collect();
    for (posted, stored) in wanted.iter().zip(world.chain.calls(&calls).await?) {
        let ours = posted.event.report.eip712_hash_struct();
        let same = ours == posted.event.reportHash && stored.as_ref() == Ok(&ours);
        findings.require(same, || {
            format!(
                "the report of epoch {} hashes to {ours}; the oracle stored {}",
                posted.event.epoch,
                stored.map_or_else(|why| why, |hash| hash.to_string())
            )
        });
    }
    Ok(())
}

/// Recovers every signature of the posting transactions. Returns their number.
async fn signatures(
    world: &World,
    wanted: &[&At<IFleetOracle::ReportPosted>],
    findings: &mut Findings,
) -> Result<usize, Error> {
    let hashes: Vec<B256> = wanted.iter().map(|report| report.at.tx).collect();
    let inputs = world.chain.inputs(&hashes).await?;
    let domain = eip712_domain! {
        name: "Liquid Hashrate FleetOracle",
        version: "1",
        chain_id: world.chain.id,
        verifying_contract: world.deployment.fleet_oracle,
    };
    let mut count = 0_usize;
    for (posted, input) in wanted.iter().zip(inputs) {
        let epoch = posted.event.epoch;
        let Some(set) = world.history.signer_sets.iter().rfind(|set| set.at < posted.at) else {
            findings.fault(format!("no signer set was in force when epoch {epoch} was reported"));
            continue;
        };
        findings.require(posted.event.report.configDigest == set.event.configDigest, || {
            format!("the report of epoch {epoch} names another signer set than was in force")
        });
        let Ok(call) = postCall::abi_decode(&input) else {
            findings.fault(format!("epoch {epoch}: its transaction is no call of `post`"));
            continue;
        };
        let signers = recover(&posted.event.report, &domain, &call.signatures);
        let valid: BTreeSet<Address> =
            signers.iter().flatten().copied().filter(|s| set.event.signers.contains(s)).collect();
        count = count.saturating_add(valid.len());
        findings.require(valid.len() == signers.len(), || {
            format!(
                "epoch {epoch}: {} of {} signatures are by distinct signers of the set",
                valid.len(),
                signers.len()
            )
        });
        findings.require(valid.len() >= usize::from(set.event.quorum), || {
            format!(
                "epoch {epoch}: {} signers signed, {} are needed",
                valid.len(),
                set.event.quorum
            )
        });
    }
    Ok(count)
}

fn recover(
    report: &IFleetOracle::FleetReport,
    domain: &Eip712Domain,
    signatures: &[alloy::primitives::Bytes],
) -> Vec<Option<Address>> {
    let digest = report.eip712_signing_hash(domain);
    signatures
        .iter()
        .map(|bytes| {
            let signature = Signature::from_raw(bytes).ok()?;
            signature.recover_address_from_prehash(&digest).ok()
        })
        .collect()
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
