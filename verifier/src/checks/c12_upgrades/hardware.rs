//! Machine roots and H/s per unit, replayed over batches and upgrades.

use std::collections::BTreeMap;

use alloy::primitives::{B256, U256, keccak256};
use domain::UNIT;
use evm::bindings::{
    ISeriesRegistry::{BatchRegistered, HardwareChanged, SeriesCreated, seriesCall},
    ISeriesUpgrader::{Upgrade, Upgraded},
};

use super::Said;
use crate::{
    Error, Findings,
    history::{At, Stamp},
    world::World,
};

/// One series as its events leave it. H/s are times 10^18.
#[derive(Clone, Debug, Default)]
struct Line {
    generation: u16,
    per_unit: u64,
    millijoule: u32,
    service_date: u64,
    opex: u64,
    hashrate: U256,
    units: U256,
    roots: BTreeMap<B256, U256>,
}

enum Step<'a> {
    Created(&'a SeriesCreated),
    Batch(&'a BatchRegistered),
    Changed(&'a HardwareChanged),
}

/// Replays all of them and compares the registry with where that ends.
pub(super) async fn replay(
    world: &World,
    said: &Said,
    findings: &mut Findings,
) -> Result<(), Error> {
    let history = &world.history;
    let created = history.series.iter().map(|it| (it.at, Step::Created(&it.event)));
    let batches = history.batches.iter().map(|it| (it.at, Step::Batch(&it.event)));
    let changes = said.changed.iter().map(|it| (it.at, Step::Changed(&it.event)));
    let mut steps: Vec<(Stamp, Step<'_>)> = created.chain(batches).chain(changes).collect();
    steps.sort_by_key(|step| step.0);
    let mut lines: BTreeMap<u16, Line> = BTreeMap::new();
    for (_, step) in &steps {
        match step {
            Step::Created(event) => {
                let _ = lines.insert(event.series, Line::created(event));
            }
            Step::Batch(event) => lines.entry(event.series).or_default().batch(event),
            Step::Changed(event) => {
                lines.entry(event.series).or_default().change(event, findings);
            }
        }
    }
    for (id, line) in &lines {
        let now =
            world.chain.call(world.deployment.series_registry, seriesCall { id: *id }).await?;
        let same = now.generation == line.generation
            && now.hashratePerUnit == line.per_unit
            && now.millijoulePerTerahash == line.millijoule
            && now.serviceDate.to::<u64>() == line.service_date
            && now.opexPerUnit == line.opex;
        findings.require(same, || {
            format!(
                "series {id}: generation {} with {} H/s a unit follows from its upgrades, the registry says {} with {}",
                line.generation, line.per_unit, now.generation, now.hashratePerUnit
            )
        });
    }
    Ok(())
}

impl Line {
    fn created(event: &SeriesCreated) -> Self {
        let params = &event.params;
        Self {
            generation: params.generation,
            per_unit: params.hashratePerUnit,
            millijoule: params.millijoulePerTerahash,
            service_date: params.serviceDate.to(),
            opex: params.opexPerUnit,
            ..Self::default()
        }
    }

    fn batch(&mut self, event: &BatchRegistered) {
        let units = U256::from(event.batch.units);
        let hashrate = units.saturating_mul(U256::from(self.per_unit));
        self.units = self.units.saturating_add(units);
        self.hashrate = self.hashrate.saturating_add(hashrate);
        self.roots.insert(event.batch.machineRoot, hashrate);
    }

    fn change(&mut self, event: &HardwareChanged, findings: &mut Findings) {
        let (id, hardware) = (event.series, &event.hardware);
        let Some(retired) = self.roots.remove(&event.retiredRoot) else {
            findings.fault(format!("series {id}: {} was no live root", event.retiredRoot));
            return;
        };
        let fresh = U256::from(hardware.hashrate).saturating_mul(U256::from(UNIT));
        self.roots.insert(hardware.machineRoot, fresh);
        self.hashrate = self.hashrate.saturating_sub(retired).saturating_add(fresh);
        let per_unit_floor = self.hashrate.checked_div(self.units).unwrap_or_default();
        let same = event.hashratePerUnitBefore == self.per_unit
            && U256::from(event.hashratePerUnitAfter) == per_unit_floor;
        findings.require(same, || {
            format!(
                "series {id}: H/s a unit are said to go from {} to {}; from {} to {per_unit_floor} follows",
                event.hashratePerUnitBefore, event.hashratePerUnitAfter, self.per_unit
            )
        });
        self.per_unit = event.hashratePerUnitAfter;
        self.generation = hardware.generation;
        self.millijoule = hardware.millijoulePerTerahash;
        self.service_date = hardware.serviceDate.to();
        self.opex = hardware.opexPerUnit;
    }
}

/// The registry took over what was proposed, in the same transaction.
pub(super) fn matches(
    said: &Said,
    name: &str,
    done: &At<Upgraded>,
    proposed: &Upgrade,
    findings: &mut Findings,
) {
    let changed = said
        .changed
        .iter()
        .find(|changed| changed.at.tx == done.at.tx && changed.event.series == done.event.series);
    let Some(HardwareChanged { retiredRoot, hardware, .. }) = changed.map(|it| &it.event) else {
        findings.fault(format!("{name}: the registry did not change with it"));
        return;
    };
    let same = *retiredRoot == proposed.retiredRoot
        && hardware.machineRoot == proposed.machineRoot
        && hardware.generation == proposed.generation
        && hardware.modelHash == proposed.modelHash
        && hardware.machines == proposed.machines
        && hardware.hashrate == proposed.hashrate
        && hardware.millijoulePerTerahash == proposed.millijoulePerTerahash
        && hardware.serviceDate == proposed.serviceDate
        && hardware.opexPerUnit == proposed.opexPerUnit;
    findings.require(same, || format!("{name}: the registry has other hardware than was attested"));
    let model = said.proposed.iter().find(|it| it.event.upgrade == *proposed);
    let model = model.map(|it| keccak256(it.event.model.as_bytes()));
    findings.require(model == Some(proposed.modelHash), || {
        format!("{name}: the model's name is not the one that was attested")
    });
}
