//! Series and the machines that back them.

use alloy::primitives::U256;
use evm::bindings::ISeriesRegistry::{HardwareChanged, ISeriesRegistryEvents as Event};
use serde_json::Value as Json;

use super::{At, token::big};
use crate::{
    Error,
    store::{
        table::{Cell, MACHINE_BATCHES, SERIES},
        writer::BlockWriter,
    },
};

pub(super) async fn apply(writer: &mut BlockWriter<'_>, at: At, event: Event) -> Result<(), Error> {
    match event {
        Event::SeriesCreated(created) => {
            let params = created.params;
            let row = vec![
                ("id", created.series.into()),
                ("unit", Cell::hex(created.unit)),
                ("algorithm", params.algorithm.into()),
                ("generation", params.generation.into()),
                ("hashrate_per_unit", Cell::decimal(params.hashratePerUnit)),
                ("millijoule_per_terahash", params.millijoulePerTerahash.into()),
                ("service_date", Cell::int(params.serviceDate.to())),
                ("opex_per_unit", Cell::decimal(params.opexPerUnit)),
                ("policy", Cell::hex(params.policy)),
                ("model", params.model.into()),
                ("name", params.name.into()),
                ("symbol", params.symbol.into()),
                ("backed_units", "0".into()),
                ("machines", Cell::Int(0)),
                ("unbacked", Cell::Int(0)),
            ];
            writer.put(&SERIES, row).await
        }
        Event::BatchRegistered(registered) => {
            let batch = registered.batch;
            let row = vec![
                ("series", batch.series.into()),
                ("nonce", registered.nonce.into()),
                ("machines", batch.machines.into()),
                ("units", Cell::decimal(batch.units)),
                ("machine_root", Cell::hex(batch.machineRoot)),
                ("evidence", Cell::hex(batch.evidence)),
                ("block", Cell::int(at.block)),
                ("txid", Cell::hex(at.txid)),
            ];
            writer.put(&MACHINE_BATCHES, row).await?;
            let id = Cell::from(batch.series);
            let Some(series) = writer.get(&SERIES, std::slice::from_ref(&id)).await? else {
                return Ok(());
            };
            let machines = series.get("machines").and_then(Json::as_u64).unwrap_or_default();
            let backed = big(&series, "backed_units")?.saturating_add(U256::from(batch.units));
            let row = vec![
                ("id", id),
                ("backed_units", Cell::decimal(backed)),
                ("machines", Cell::int(machines.saturating_add(u64::from(batch.machines)))),
                ("last_machine_root", Cell::hex(batch.machineRoot)),
            ];
            writer.put(&SERIES, row).await
        }
        Event::HardwareChanged(changed) => hardware(writer, at, &changed).await,
        // A place where a policy lets units go; nothing to derive from it.
        Event::VenueAdded(_) => Ok(()),
    }
}

/// The series' values from an upgrade on. Its machines are listed as a batch that mints nothing.
async fn hardware(
    writer: &mut BlockWriter<'_>,
    at: At,
    changed: &HardwareChanged,
) -> Result<(), Error> {
    let (id, hardware) = (Cell::from(changed.series), &changed.hardware);
    let row = vec![
        ("series", id.clone()),
        ("nonce", changed.nonce.into()),
        ("machines", hardware.machines.into()),
        ("units", "0".into()),
        ("machine_root", Cell::hex(hardware.machineRoot)),
        ("evidence", Cell::hex(hardware.modelHash)),
        ("block", Cell::int(at.block)),
        ("txid", Cell::hex(at.txid)),
    ];
    writer.put(&MACHINE_BATCHES, row).await?;
    if writer.get(&SERIES, std::slice::from_ref(&id)).await?.is_none() {
        return Ok(());
    }
    let row = vec![
        ("id", id),
        ("generation", hardware.generation.into()),
        ("hashrate_per_unit", Cell::decimal(changed.hashratePerUnitAfter)),
        ("millijoule_per_terahash", hardware.millijoulePerTerahash.into()),
        ("service_date", Cell::int(hardware.serviceDate.to())),
        ("opex_per_unit", Cell::decimal(hardware.opexPerUnit)),
        ("machines", changed.seriesMachines.into()),
        ("last_machine_root", Cell::hex(hardware.machineRoot)),
    ];
    writer.put(&SERIES, row).await
}
