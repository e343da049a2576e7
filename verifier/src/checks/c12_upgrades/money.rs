//! Scrap proceeds in, hardware out, by the quote token's own transfers.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, U256},
    rpc::types::Log,
    sol_types::SolEvent,
};
use evm::bindings::{
    ISeriesUpgrader::{CashAdded, Refunded, UpgradeProposed, Upgraded, hardwareCashCall},
    ITwabToken::{Transfer, balanceOfCall},
};

use super::Said;
use crate::{
    Error, Findings,
    history::{At, Stamp},
    world::World,
};

/// What one upgrade cost, against the transfers of its two transactions.
pub(super) async fn one(
    world: &World,
    name: &str,
    done: &At<Upgraded>,
    proposed: &At<UpgradeProposed>,
    findings: &mut Findings,
) -> Result<(), Error> {
    let (event, told) = (&done.event, &proposed.event);
    let escrow = told.arrived.saturating_add(told.carried);
    let price = U256::from(told.upgrade.price);
    findings.require(event.paid == price && event.vendor == told.upgrade.vendor, || {
        format!(
            "{name}: {} to {} was attested, {} to {} was paid",
            price, told.upgrade.vendor, event.paid, event.vendor
        )
    });
    let hundred = U256::from(100);
    let enough = event.paid.saturating_mul(hundred) >= escrow.saturating_mul(U256::from(98));
    findings.require(enough, || format!("{name}: {} of {escrow} was spent", event.paid));
    findings.require(event.paid.saturating_add(event.left) == escrow, || {
        format!("{name}: {escrow} in, {} out and {} left", event.paid, event.left)
    });
    let receipts = world.chain.receipts(&[proposed.at.tx, done.at.tx]).await?;
    let [incoming, outgoing] = receipts.as_slice() else { return Ok(()) };
    let (quote, upgrader) = (world.deployment.quote, world.deployment.series_upgrader);
    let moves = |logs: &[Log]| -> Vec<Transfer> {
        let ours = logs.iter().filter(|log| log.address() == quote);
        ours.filter_map(|log| Transfer::decode_log(&log.inner).ok()).map(|log| log.data).collect()
    };
    let into: U256 = sum(moves(incoming).iter().filter(|it| it.to == upgrader));
    findings.require(into == told.arrived, || {
        format!("{name}: {} are said to have come in, the token moved {into}", told.arrived)
    });
    let out = moves(outgoing);
    let all = sum(out.iter().filter(|it| it.from == upgrader));
    let vendor = sum(out.iter().filter(|it| it.from == upgrader && it.to == told.upgrade.vendor));
    findings.require(all == price && vendor == price, || {
        format!(
            "{name}: {price} were due to the vendor; the token moved {vendor} there, {all} in all"
        )
    });
    Ok(())
}

fn sum<'a>(moves: impl Iterator<Item = &'a Transfer>) -> U256 {
    moves.fold(U256::ZERO, |sum, it| sum.saturating_add(it.amount))
}

enum Step<'a> {
    Proposed(&'a UpgradeProposed),
    Cancelled(u16),
    Upgraded(&'a Upgraded),
    Added(&'a CashAdded),
}

/// Cash of each series over all that happened; what is open, left or owed is there.
pub(super) async fn books(
    world: &World,
    said: &Said,
    findings: &mut Findings,
) -> Result<(), Error> {
    let upgrader = world.deployment.series_upgrader;
    let added: Vec<At<CashAdded>> = world.history.of(upgrader)?;
    let refunds: Vec<At<Refunded>> = world.history.of(upgrader)?;
    let mut steps: Vec<(Stamp, Step<'_>)> = Vec::new();
    steps.extend(said.proposed.iter().map(|it| (it.at, Step::Proposed(&it.event))));
    steps.extend(said.cancelled.iter().map(|it| (it.at, Step::Cancelled(it.event.series))));
    steps.extend(said.upgraded.iter().map(|it| (it.at, Step::Upgraded(&it.event))));
    steps.extend(added.iter().map(|it| (it.at, Step::Added(&it.event))));
    steps.sort_by_key(|step| step.0);
    let mut cash: BTreeMap<u16, U256> = BTreeMap::new();
    let mut open: BTreeMap<u16, (U256, U256)> = BTreeMap::new();
    for (_, step) in steps {
        match step {
            Step::Proposed(event) => {
                let had = cash.insert(event.series, U256::ZERO).unwrap_or_default();
                findings.require(had == event.carried, || {
                    format!(
                        "series {}: {had} was left, {} was carried",
                        event.series, event.carried
                    )
                });
                open.insert(event.series, (event.arrived, event.carried));
            }
            Step::Cancelled(series) => {
                let (_, carried) = open.remove(&series).unwrap_or_default();
                add(&mut cash, series, carried);
            }
            Step::Upgraded(event) => {
                open.remove(&event.series);
                add(&mut cash, event.series, event.left);
            }
            Step::Added(event) => add(&mut cash, event.series, event.amount),
        }
    }
    let mut here =
        open.values().fold(U256::ZERO, |sum, (a, b)| sum.saturating_add(*a).saturating_add(*b));
    for (series, ours) in &cash {
        let theirs = world.chain.call(upgrader, hardwareCashCall { series: *series }).await?;
        findings.require(theirs == *ours, || {
            format!("series {series}: {ours} is left for hardware, the contract says {theirs}")
        });
        here = here.saturating_add(*ours);
    }
    let owed =
        said.cancelled.iter().fold(U256::ZERO, |sum, it| sum.saturating_add(it.event.refund));
    let taken = refunds.iter().fold(U256::ZERO, |sum, it| sum.saturating_add(it.event.amount));
    here = here.saturating_add(owed.saturating_sub(taken));
    if here.is_zero() {
        return Ok(());
    }
    let account: Address = upgrader;
    let held = world.chain.call(world.deployment.quote, balanceOfCall { account }).await?;
    findings.require(held >= here, || {
        format!("the upgrader should hold {here} quote units and holds {held}")
    });
    Ok(())
}

fn add(cash: &mut BTreeMap<u16, U256>, series: u16, amount: U256) {
    let entry = cash.entry(series).or_default();
    *entry = entry.saturating_add(amount);
}
