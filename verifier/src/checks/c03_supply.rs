//! Check 3: units exist only against registered machines, and weights sum to the whole.

use std::collections::BTreeMap;

use alloy::primitives::{B256, U256};
use domain::EPOCH_SECONDS;
use evm::bindings::{
    IRegistrarBond,
    ISeriesRegistry::{HardwareChanged, seriesCall},
    ITwabToken::totalSupplyCall,
};

use super::Checked;
use crate::{Error, Findings, world::World};

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    let mut roots: BTreeMap<B256, (u16, u32)> = BTreeMap::new();
    for batch in &world.history.batches {
        let place = (batch.event.series, batch.event.nonce);
        if let Some((series, nonce)) = roots.insert(batch.event.batch.machineRoot, place) {
            findings.fault(format!(
                "batch {} of series {} lists the machines of batch {nonce} of series {series} again",
                place.1, place.0
            ));
        }
    }
    for changed in world.history.of::<HardwareChanged>(world.deployment.series_registry)? {
        let place = (changed.event.series, changed.event.nonce);
        if let Some((series, nonce)) = roots.insert(changed.event.hardware.machineRoot, place) {
            findings.fault(format!(
                "the upgrade of series {} lists the machines of batch {nonce} of series {series} again",
                place.0
            ));
        }
    }
    let bond = world.deployment.registrar_bond;
    for shown in world.history.of::<IRegistrarBond::DuplicateShown>(bond)? {
        findings.note(format!(
            "somebody showed a serial under two roots, {} and {}: mint is stopped in their series",
            shown.event.rootA, shown.event.rootB
        ));
    }
    let epochs = world.window();
    let mut sums = 0_usize;
    for series in &world.deployment.series {
        backing(world, series.id.0, series.unit, &mut findings).await?;
        let totals = world.total_seconds(series.unit, &epochs).await?;
        let parts = world.seconds(series.unit, &epochs).await?;
        for (epoch, total) in epochs.iter().zip(totals) {
            let mut sum = U256::ZERO;
            for ((_, at), seconds) in &parts {
                if at == epoch {
                    sum = sum.checked_add(*seconds).ok_or(Error::Overflow("balance-seconds"))?;
                }
            }
            findings.require(sum == total, || {
                format!(
                    "epoch {epoch}, series {}: accounts hold {sum} unit-seconds, the supply {total}",
                    series.id
                )
            });
            sums += 1;
        }
    }
    findings
        .note("serials are compared by the Merkle root of each batch; the lists are not on chain");
    Ok(findings.passed(format!(
        "{} batches back {} series; unit-seconds add up in {sums} sums",
        world.history.batches.len(),
        world.deployment.series.len()
    )))
}

/// Supply = what batches registered = what the registry says is backed = what was minted.
async fn backing(
    world: &World,
    id: u16,
    unit: alloy::primitives::Address,
    findings: &mut Findings,
) -> Result<(), Error> {
    let supply = world.chain.call(unit, totalSupplyCall {}).await?;
    let series = world.chain.call(world.deployment.series_registry, seriesCall { id }).await?;
    let registered = world
        .history
        .batches
        .iter()
        .filter(|batch| batch.event.series == id)
        .fold(U256::ZERO, |sum, batch| sum + U256::from(batch.event.batch.units));
    let minted = world.replay(unit).supply();
    let backed = U256::from(series.backedUnits);
    findings.require(supply == registered && supply == backed && supply == minted, || {
        format!(
            "series {id}: supply {supply}, minted {minted}, registered by batches {registered}, backed {backed}"
        )
    });
    findings.require(series.unit == unit, || {
        format!("series {id}: the registry's unit is {}, the deployment's {unit}", series.unit)
    });
    let now = domain::EpochId::at(world.chain.time);
    let quiet = now
        .previous()
        .filter(|last| world.history.batches.iter().all(|batch| batch.at.time <= last.start()));
    if let Some(last) = quiet {
        let seconds = world.replay(unit).total_seconds(last)?;
        findings.require(seconds == supply * U256::from(EPOCH_SECONDS), || {
            format!("series {id}: unit-seconds of epoch {last} are not supply x {EPOCH_SECONDS}")
        });
    }
    Ok(())
}
