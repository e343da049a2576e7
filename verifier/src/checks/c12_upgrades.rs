//! Check 12: hardware of a series changes only by an upgrade. What a series was created with is compared with what the
//! registry says now; as long as nothing changed, no upgrade has happened.

use evm::bindings::ISeriesRegistry::seriesCall;

use super::Checked;
use crate::{Findings, world::World};

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    for created in &world.history.series {
        let id = created.event.series;
        let then = &created.event.params;
        let now = world.chain.call(world.deployment.series_registry, seriesCall { id }).await?;
        let same = now.algorithm == then.algorithm
            && now.generation == then.generation
            && now.hashratePerUnit == then.hashratePerUnit
            && now.millijoulePerTerahash == then.millijoulePerTerahash
            && now.serviceDate == then.serviceDate
            && now.opexPerUnit == then.opexPerUnit;
        findings.require(same, || {
            format!(
                "series {id}: generation {} with {} H/s a unit was registered, the registry says {} with {}; no \
                 upgrade of this deployment explains it",
                then.generation, then.hashratePerUnit, now.generation, now.hashratePerUnit
            )
        });
    }
    Ok(findings.not_checked(format!(
        "no upgrade has happened: {} series stand as created",
        world.history.series.len()
    )))
}
