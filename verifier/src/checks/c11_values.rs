//! Check 11: every published fair value, computed again from reports, registry and schedule.

use std::collections::BTreeMap;

use alloy::primitives::U256;
use evm::bindings::{
    IFairValue::{self, Params},
    IFleetOracle::FleetReport,
    ISeriesRegistry::HardwareChanged,
};

use super::Checked;
use crate::{
    Error, Findings,
    history::{At, Stamp},
    value::{Inputs, Memory, Value},
    world::World,
};

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    let mut memories: BTreeMap<u16, Memory> = BTreeMap::new();
    let mut last: BTreeMap<u16, Value> = BTreeMap::new();
    let mut count = 0_usize;
    let changes = world.history.of::<HardwareChanged>(world.deployment.series_registry)?;
    for valued in &world.history.valued {
        let IFairValue::Valued { series, epoch, .. } = valued.event;
        let place = format!("series {series}, epoch {epoch}");
        let Some(report) = world.history.report(epoch).filter(|report| report.at < valued.at)
        else {
            findings.fault(format!("{place}: valued without a report"));
            continue;
        };
        let report = &report.event.report;
        let (Some(params), Some(inputs)) = (
            params_at(world, series, valued.at),
            inputs(world, &changes, series, report, valued.at),
        ) else {
            findings.fault(format!("{place}: valued without a schedule or a line in the report"));
            continue;
        };
        let ours = memories.entry(series).or_default().value(params, &inputs)?;
        last.insert(series, ours);
        if world.wants(epoch) {
            compare(valued, &ours, report, &place, &mut findings);
            count = count.saturating_add(1);
        }
    }
    bases(world, &last, &mut findings).await?;
    if world.history.valued.is_empty() {
        return Ok(findings.not_checked("nothing has been valued yet"));
    }
    Ok(findings.passed(format!("{count} valuations of {} series", last.len())))
}

fn params_at(world: &World, series: u16, at: Stamp) -> Option<&Params> {
    let set = world.history.params.iter().rfind(|set| set.event.series == series && set.at < at);
    set.map(|set| &set.event.params)
}

/// With the hardware that was the series' when it was valued.
fn inputs(
    world: &World,
    changes: &[At<HardwareChanged>],
    series: u16,
    report: &FleetReport,
    at: Stamp,
) -> Option<Inputs> {
    let line = report.series.iter().find(|line| line.series == series)?;
    let created = world.history.series.iter().find(|created| created.event.series == series)?;
    let params = &created.event.params;
    let change = changes.iter().rfind(|change| change.event.series == series && change.at < at);
    let (hashrate_per_unit, service_date, opex) = change.map_or_else(
        || (params.hashratePerUnit, params.serviceDate, params.opexPerUnit),
        |change| {
            let (now, per_unit) = (&change.event.hardware, change.event.hashratePerUnitAfter);
            (per_unit, now.serviceDate, now.opexPerUnit)
        },
    );
    let pots: u128 = line.pots.iter().map(|piece| u128::from(piece.sats)).sum();
    Some(Inputs {
        epoch: report.epoch,
        quote_per_btc: report.quotePerBtc,
        sats: pots.checked_add(u128::from(line.deductions))?,
        work: line.work,
        hardware_price: line.hardwarePrice,
        hashrate_per_unit,
        service_date: service_date.to(),
        opex,
    })
}

fn compare(
    valued: &At<IFairValue::Valued>,
    ours: &Value,
    report: &FleetReport,
    place: &str,
    findings: &mut Findings,
) {
    let theirs = &valued.event.valuation;
    let pairs = [
        ("schedule", theirs.schedule, ours.schedule),
        ("hardware", theirs.hardware, ours.hardware),
        ("discounted", theirs.discounted, ours.discounted),
        ("raw", theirs.raw, ours.raw),
        ("published", theirs.published, ours.published),
        ("previous", theirs.previous, ours.previous),
    ];
    for (name, theirs, ours) in pairs {
        findings.require(theirs == ours, || {
            format!("{place}: {name} was published as {theirs}, {ours} follows (sats x 2^32)")
        });
    }
    findings.require(valued.event.quotePerBtc == report.quotePerBtc, || {
        format!(
            "{place}: valued at {} per BTC, reported {}",
            valued.event.quotePerBtc, report.quotePerBtc
        )
    });
}

/// Bid and ask base follow from each series' last values and the two prices of BTC then.
async fn bases(
    world: &World,
    last: &BTreeMap<u16, Value>,
    findings: &mut Findings,
) -> Result<(), Error> {
    let prices: BTreeMap<u32, u64> =
        world.history.valued.iter().map(|v| (v.event.epoch, v.event.quotePerBtc)).collect();
    let btc = U256::from(100_000_000_u64) << 32;
    for (series, value) in last {
        // of the report that last valued this series, and the one before
        let of_series = |v: &&crate::history::At<IFairValue::Valued>| v.event.series == *series;
        let Some(at) = world.history.valued.iter().filter(of_series).map(|v| v.event.epoch).max()
        else {
            continue;
        };
        let mut newest = prices.range(..=at).rev().map(|(_, price)| *price);
        let Some(current) = newest.next() else { continue };
        let previous = newest.next().unwrap_or(current);
        let low = value.raw.min(value.published).min(value.previous);
        let high = value.raw.max(value.published).max(value.previous);
        let bid_floor = U256::from(low) * U256::from(current.min(previous)) / btc;
        let ask_ceil = (U256::from(high) * U256::from(current.max(previous))).div_ceil(btc);
        let at = world.deployment.fair_value;
        let bid = world.chain.call(at, IFairValue::bidBaseCall { series: *series }).await?;
        let ask = world.chain.call(at, IFairValue::askBaseCall { series: *series }).await?;
        findings.require(bid == bid_floor && ask == ask_ceil, || {
            format!("series {series}: bases are {bid} and {ask}, {bid_floor} and {ask_ceil} follow")
        });
    }
    Ok(())
}
