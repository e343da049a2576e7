//! Check 11: every published fair value, computed again from reports, registry and schedule.

use std::collections::BTreeMap;

use alloy::primitives::{B256, U256};
use evm::bindings::{
    IFairValue::{self, Params},
    IFleetOracle::{FleetReport, FleetValuation},
    ISeriesRegistry::HardwareChanged,
};

use super::Checked;
use crate::{
    Error, Findings,
    history::{At, Stamp},
    value::{Inputs, Memory, Value},
    world::World,
};

/// What moved fair value: a report, or prices apart from production.
#[derive(Clone, Copy)]
enum Source<'a> {
    Report(&'a FleetReport),
    Valuation(&'a FleetValuation),
}

/// Prices of BTC that bid and ask are taken at.
#[derive(Clone, Copy, Default)]
struct Prices {
    epoch: u32,
    current: u64,
    previous: u64,
}

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    let mut memories: BTreeMap<u16, Memory> = BTreeMap::new();
    let mut last: BTreeMap<u16, (Value, Prices)> = BTreeMap::new();
    let mut prices = Prices::default();
    let mut count = 0_usize;
    let changes = world.history.of::<HardwareChanged>(world.deployment.series_registry)?;
    let applied = sources(world, &mut findings);
    for (at, until, source) in applied {
        let (epoch, price) = source.terms();
        if epoch > prices.epoch {
            let previous = if prices.current == 0 { price } else { prices.current };
            prices = Prices { epoch, current: price, previous };
        }
        let valued = world.history.valued.iter().filter(|one| at < one.at && one.at < until);
        for valued in valued {
            let series = valued.event.series;
            let place = format!("series {series}, epoch {}", valued.event.epoch);
            let (Some(params), Some(inputs)) = (
                params_at(world, series, valued.at),
                inputs(world, &changes, series, source, prices.current, valued.at),
            ) else {
                findings
                    .fault(format!("{place}: valued without a schedule or a line in the report"));
                continue;
            };
            let memory = memories.entry(series).or_default();
            let ours = memory.value(params, &inputs)?;
            last.insert(series, (ours, prices));
            if world.wants(valued.event.epoch) {
                compare(valued, &ours, memory.epoch(), prices.current, &place, &mut findings);
                count = count.saturating_add(1);
            }
        }
    }
    bases(world, &last, &mut findings).await?;
    if world.history.valued.is_empty() {
        return Ok(findings.not_checked("nothing has been valued yet"));
    }
    Ok(findings.passed(format!("{count} valuations of {} series", last.len())))
}

/// What was applied, from when until when it counts. It must be what was posted, in that order, each once.
fn sources<'a>(world: &'a World, findings: &mut Findings) -> Vec<(Stamp, Stamp, Source<'a>)> {
    let history = &world.history;
    let reports = history.reports.iter();
    let reports = reports.map(|r| (r.at, r.event.reportHash, Source::Report(&r.event.report)));
    let valuations = history.valuations.iter();
    let valuations =
        valuations.map(|v| (v.at, v.event.valuationHash, Source::Valuation(&v.event.valuation)));
    let mut posted: Vec<(Stamp, B256, Source<'a>)> = reports.chain(valuations).collect();
    posted.sort_by_key(|(at, _, _)| *at);
    let mut sources = Vec::new();
    let never = Stamp { block: u64::MAX, index: u64::MAX, time: u64::MAX, tx: B256::ZERO };
    let mut ends = history.applied.iter().skip(1).map(|next| next.at);
    for (applied, (at, hash, source)) in history.applied.iter().zip(&posted) {
        findings.require(applied.event.hash == *hash && *at < applied.at, || {
            format!("{hash} is the next to move fair value, {} did", applied.event.hash)
        });
        sources.push((applied.at, ends.next().unwrap_or(never), *source));
    }
    findings.require(history.applied.len() <= posted.len(), || {
        "fair value was moved more often than anything was posted".to_owned()
    });
    let first = history.applied.first().map_or(never, |applied| applied.at);
    findings.require(history.valued.iter().all(|valued| first < valued.at), || {
        "a series was valued before any report was applied".to_owned()
    });
    sources
}

impl Source<'_> {
    /// Epoch and quote units per BTC.
    const fn terms(&self) -> (u32, u64) {
        match self {
            Self::Report(report) => (report.epoch, report.quotePerBtc),
            Self::Valuation(valuation) => (valuation.epoch, valuation.quotePerBtc),
        }
    }
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
    source: Source<'_>,
    price: u64,
    at: Stamp,
) -> Option<Inputs> {
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
    let (income, hardware_price) = match source {
        Source::Report(report) => {
            let line = report.series.iter().find(|line| line.series == series)?;
            let pots: u128 = line.pots.iter().map(|piece| u128::from(piece.sats)).sum();
            let sats = pots.checked_add(u128::from(line.deductions))?;
            (Some((sats, line.work)), line.hardwarePrice)
        }
        Source::Valuation(valuation) => {
            let quoted = valuation.hardware.iter().find(|quoted| quoted.series == series);
            (None, quoted.map_or(0, |quoted| quoted.price))
        }
    };
    Some(Inputs {
        epoch: source.terms().0,
        quote_per_btc: price,
        income,
        hardware_price,
        hashrate_per_unit,
        service_date: service_date.to(),
        opex,
    })
}

fn compare(
    valued: &At<IFairValue::Valued>,
    ours: &Value,
    epoch: Option<u32>,
    price: u64,
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
    findings.require(valued.event.quotePerBtc == price && Some(theirs.epoch) == epoch, || {
        format!("{place}: valued at {} per BTC, {price} was reported", valued.event.quotePerBtc)
    });
}

/// Bid and ask base follow from each series' last value and the two prices of BTC then.
async fn bases(
    world: &World,
    last: &BTreeMap<u16, (Value, Prices)>,
    findings: &mut Findings,
) -> Result<(), Error> {
    let btc = U256::from(100_000_000_u64) << 32;
    for (series, (value, Prices { current, previous, .. })) in last {
        let low = value.raw.min(value.published).min(value.previous);
        let high = value.raw.max(value.published).max(value.previous);
        let bid_floor = U256::from(low) * U256::from(*current.min(previous)) / btc;
        let ask_ceil = (U256::from(high) * U256::from(*current.max(previous))).div_ceil(btc);
        let at = world.deployment.fair_value;
        let bid = world.chain.call(at, IFairValue::bidBaseCall { series: *series }).await?;
        let ask = world.chain.call(at, IFairValue::askBaseCall { series: *series }).await?;
        findings.require(bid == bid_floor && ask == ask_ceil, || {
            format!("series {series}: bases are {bid} and {ask}, {bid_floor} and {ask_ceil} follow")
        });
    }
    Ok(())
}
