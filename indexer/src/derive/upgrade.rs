//! Generation changes, and serials shown to be registered twice.

use evm::bindings::{
    IRegistrarBond::IRegistrarBondEvents,
    ISeriesUpgrader::{ISeriesUpgraderEvents as Event, UpgradeProposed},
};
use serde_json::Value as Json;

use super::At;
use crate::{
    Error,
    store::{
        table::{Cell, DUPLICATE_SERIALS, SERIES, UPGRADES},
        writer::BlockWriter,
    },
};

pub(super) async fn apply(writer: &mut BlockWriter<'_>, at: At, event: Event) -> Result<(), Error> {
    match event {
        Event::UpgradeProposed(proposed) => self::proposed(writer, at, &proposed).await,
        Event::UpgradeCancelled(cancelled) => {
            let key = [Cell::from(cancelled.series), Cell::from(cancelled.nonce)];
            let row = vec![("state", "cancelled".into())];
            change(writer, key, row).await
        }
        Event::Upgraded(upgraded) => {
            let key = [Cell::from(upgraded.series), Cell::from(upgraded.nonce)];
            let row = writer.get(&UPGRADES, &key).await?;
            let model = row.as_ref().and_then(|row| row.get("model")).and_then(Json::as_str);
            if let Some(model) = model {
                let row = vec![("id", upgraded.series.into()), ("model", model.into())];
                writer.put(&SERIES, row).await?;
            }
            let row = vec![
                ("state", "executed".into()),
                ("hashrate_per_unit_before", Cell::decimal(upgraded.hashratePerUnitBefore)),
                ("hashrate_per_unit_after", Cell::decimal(upgraded.hashratePerUnitAfter)),
                ("remainder", Cell::decimal(upgraded.left)),
            ];
            change(writer, key, row).await
        }
        // Money beside an upgrade: the contract's own books answer for it.
        Event::CashAdded(_) | Event::Refunded(_) => Ok(()),
    }
}

async fn proposed(
    writer: &mut BlockWriter<'_>,
    at: At,
    proposed: &UpgradeProposed,
) -> Result<(), Error> {
    let upgrade = &proposed.upgrade;
    let row = vec![
        ("series", proposed.series.into()),
        ("nonce", proposed.nonce.into()),
        ("state", "open".into()),
        ("funder", Cell::hex(proposed.funder)),
        ("vendor", Cell::hex(upgrade.vendor)),
        ("retired_root", Cell::hex(upgrade.retiredRoot)),
        ("machine_root", Cell::hex(upgrade.machineRoot)),
        ("generation", upgrade.generation.into()),
        ("model", proposed.model.as_str().into()),
        ("machines", upgrade.machines.into()),
        ("hashrate", Cell::decimal(upgrade.hashrate)),
        ("millijoule_per_terahash", upgrade.millijoulePerTerahash.into()),
        ("service_date", Cell::int(upgrade.serviceDate.to())),
        ("opex_per_unit", Cell::decimal(upgrade.opexPerUnit)),
        ("price", Cell::decimal(upgrade.price)),
        ("arrived", Cell::decimal(proposed.arrived)),
        ("carried", Cell::decimal(proposed.carried)),
        ("evidence", Cell::hex(upgrade.evidence)),
        ("ready_at", Cell::int(proposed.readyAt.saturating_to())),
        ("block", Cell::int(at.block)),
        ("txid", Cell::hex(at.txid)),
    ];
    writer.put(&UPGRADES, row).await
}

/// Changes the row of a proposal, if it is there.
async fn change(
    writer: &mut BlockWriter<'_>,
    key: [Cell; 2],
    mut row: Vec<(&str, Cell)>,
) -> Result<(), Error> {
    if writer.get(&UPGRADES, &key).await?.is_none() {
        return Ok(());
    }
    let [series, nonce] = key;
    row.extend([("series", series), ("nonce", nonce)]);
    writer.put(&UPGRADES, row).await
}

pub(super) async fn bond(
    writer: &mut BlockWriter<'_>,
    at: At,
    event: IRegistrarBondEvents,
) -> Result<(), Error> {
    let IRegistrarBondEvents::DuplicateShown(shown) = event else { return Ok(()) };
    let row = vec![
        ("block", Cell::int(at.block)),
        ("log_index", Cell::int(at.index)),
        ("root_a", Cell::hex(shown.rootA)),
        ("root_b", Cell::hex(shown.rootB)),
        ("machine", shown.machine.to_string().into()),
        ("penalty", Cell::decimal(shown.penalty)),
        ("txid", Cell::hex(at.txid)),
    ];
    writer.put(&DUPLICATE_SERIALS, row).await
}
