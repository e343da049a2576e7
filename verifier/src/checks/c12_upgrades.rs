//! Check 12: hardware of a series changes only by an upgrade, and what an upgrade brought in went out to the attested
//! vendor. Each one: announced 72 hours before, signed by a quorum over what was announced, 98 % spent, the token's own
//! transfers as the events say, H/s per unit recomputed from every machine root, and the registry as the last one left it.

mod hardware;
mod money;

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, Signature, U256},
    sol_types::{SolCall, SolStruct, eip712_domain},
};
use evm::bindings::{
    ISeriesRegistry::HardwareChanged,
    ISeriesUpgrader::{Upgrade, UpgradeCancelled, UpgradeProposed, Upgraded, executeCall},
};

use super::Checked;
use crate::{Error, Findings, history::At, world::World};

/// Seconds between a proposal and its execution.
const NOTICE: u64 = 72 * 3_600;

/// Everything that the upgrader and the registry said about upgrades.
struct Said {
    proposed: Vec<At<UpgradeProposed>>,
    cancelled: Vec<At<UpgradeCancelled>>,
    upgraded: Vec<At<Upgraded>>,
    changed: Vec<At<HardwareChanged>>,
}

pub(super) async fn check(world: &World) -> Checked {
    let (upgrader, registry) = (world.deployment.series_upgrader, world.deployment.series_registry);
    let said = Said {
        proposed: world.history.of(upgrader)?,
        cancelled: world.history.of(upgrader)?,
        upgraded: world.history.of(upgrader)?,
        changed: world.history.of(registry)?,
    };
    let mut findings = Findings::default();
    hardware::replay(world, &said, &mut findings).await?;
    findings.require(said.changed.len() == said.upgraded.len(), || {
        format!(
            "hardware changed {} times, and {} upgrades were executed",
            said.changed.len(),
            said.upgraded.len()
        )
    });
    for done in &said.upgraded {
        one(world, &said, done, &mut findings).await?;
    }
    money::books(world, &said, &mut findings).await?;
    if said.changed.is_empty() {
        return Ok(findings.not_checked(format!(
            "no upgrade has happened: {} series stand as created, {} proposals",
            world.history.series.len(),
            said.proposed.len()
        )));
    }
    let spent = said.upgraded.iter().fold(U256::ZERO, |sum, it| sum.saturating_add(it.event.paid));
    Ok(findings.passed(format!(
        "{} upgrades: {spent} quote units of scrap became the hardware that a quorum attested",
        said.upgraded.len()
    )))
}

/// One executed upgrade against its proposal.
async fn one(
    world: &World,
    said: &Said,
    done: &At<Upgraded>,
    findings: &mut Findings,
) -> Result<(), Error> {
    let event = &done.event;
    let name = format!("upgrade {} of series {}", event.nonce, event.series);
    let proposed = said.proposed.iter().find(|proposed| {
        let (series, nonce) = (proposed.event.series, proposed.event.nonce);
        (series, nonce) == (event.series, event.nonce) && proposed.at < done.at
    });
    let Some(proposed) = proposed else {
        findings.fault(format!("{name}: was never proposed"));
        return Ok(());
    };
    let waited = done.at.time.saturating_sub(proposed.at.time);
    findings.require(waited >= NOTICE, || {
        format!("{name}: executed {waited} s after it was proposed, {NOTICE} s are the least")
    });
    findings.note(format!(
        "{name}: {} + {} in, {} to vendor {}, {} left; H/s a unit {} before, {} after",
        proposed.event.arrived,
        proposed.event.carried,
        event.paid,
        event.vendor,
        event.left,
        event.hashratePerUnitBefore,
        event.hashratePerUnitAfter
    ));
    quorum(world, &name, done, &proposed.event.upgrade, findings).await?;
    hardware::matches(said, &name, done, &proposed.event.upgrade, findings);
    money::one(world, &name, done, proposed, findings).await
}

/// A quorum of the signers of that time signed what was proposed, and that was executed.
async fn quorum(
    world: &World,
    name: &str,
    done: &At<Upgraded>,
    proposed: &Upgrade,
    findings: &mut Findings,
) -> Result<(), Error> {
    let Some(set) = world.history.signer_sets.iter().rfind(|set| set.at < done.at) else {
        findings.fault(format!("{name}: no signer set was in force"));
        return Ok(());
    };
    let input = world.chain.inputs(&[done.at.tx]).await?.pop().unwrap_or_default();
    let Ok(call) = executeCall::abi_decode(&input) else {
        findings.fault(format!("{name}: its transaction is no call of `execute`"));
        return Ok(());
    };
    findings.require(call.upgrade == *proposed, || {
        format!("{name}: what was executed is not what was proposed")
    });
    let digest = proposed.eip712_signing_hash(&eip712_domain! {
        name: "Liquid Hashrate SeriesUpgrader",
        version: "1",
        chain_id: world.chain.id,
        verifying_contract: world.deployment.series_upgrader,
    });
    let by = |bytes: &alloy::primitives::Bytes| {
        Signature::from_raw(bytes).ok()?.recover_address_from_prehash(&digest).ok()
    };
    let signers: BTreeSet<Address> = call
        .signatures
        .iter()
        .filter_map(by)
        .filter(|signer| set.event.signers.contains(signer))
        .collect();
    findings.require(signers.len() >= usize::from(set.event.quorum), || {
        format!("{name}: {} signers attested, {} are needed", signers.len(), set.event.quorum)
    });
    Ok(())
}
