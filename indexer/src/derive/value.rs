//! Valuations and the schedules behind them.

use evm::bindings::IFairValue::IFairValueEvents as Event;

use super::At;
use crate::{
    Error,
    store::{
        table::{Cell, SERIES, VALUATIONS, VALUE_PARAMS},
        writer::BlockWriter,
    },
};

pub(super) async fn apply(writer: &mut BlockWriter<'_>, at: At, event: Event) -> Result<(), Error> {
    match event {
        Event::Valued(valued) => {
            let v = valued.valuation;
            let row = vec![
                ("series", valued.series.into()),
                ("epoch", valued.epoch.into()),
                ("schedule", Cell::decimal(v.schedule)),
                ("hardware", Cell::decimal(v.hardware)),
                ("discounted", Cell::decimal(v.discounted)),
                ("raw", Cell::decimal(v.raw)),
                ("published", Cell::decimal(v.published)),
                ("previous", Cell::decimal(v.previous)),
                ("quote_per_btc", Cell::decimal(valued.quotePerBtc)),
                ("block", Cell::int(at.block)),
            ];
            writer.put(&VALUATIONS, row).await
        }
        Event::BackingChanged(changed) => {
            let id = Cell::from(changed.series);
            if writer.get(&SERIES, std::slice::from_ref(&id)).await?.is_none() {
                return Ok(());
            }
            writer.put(&SERIES, vec![("id", id), ("unbacked", changed.unbacked.into())]).await
        }
        // the rows that it caused follow
        Event::Applied(_) => Ok(()),
        Event::ParamsSet(set) => {
            let row = vec![
                ("series", set.series.into()),
                ("initial_value", Cell::decimal(set.params.initialValue)),
                ("scrap_ppm", set.params.scrapPpm.into()),
                ("decay_ppm", set.params.decayPpm.into()),
                ("discount_ppm", set.params.discountPpm.into()),
                ("life_epochs", set.params.lifeEpochs.into()),
            ];
            writer.put(&VALUE_PARAMS, row).await
        }
    }
}
