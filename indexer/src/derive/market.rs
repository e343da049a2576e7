//! Fills of signed orders, cancels, and purchases from the primary sale.

use alloy::primitives::{Address, B256, U256};
use evm::bindings::{
    IPositionMarket::{IPositionMarketEvents as Event, Order},
    IPrimarySale::IPrimarySaleEvents as SaleEvent,
};

use super::{At, Sources, token::big};
use crate::{
    Error,
    store::{
        table::{CANCELLED_GROUPS, Cell, MAKER_EPOCHS, ORDER_STATES, POSTED_ORDERS, TRADES},
        writer::BlockWriter,
    },
};

/// Something changed hands.
pub(super) struct Trade {
    pub(super) series: Option<u16>,
    pub(super) venue: &'static str,
    pub(super) side: &'static str,
    pub(super) maker: Option<Address>,
    pub(super) taker: Address,
    pub(super) base: Address,
    pub(super) quote: Address,
    pub(super) units: U256,
    pub(super) quote_amount: U256,
    pub(super) order_hash: Option<B256>,
}

pub(super) async fn record(
    writer: &mut BlockWriter<'_>,
    at: At,
    trade: Trade,
) -> Result<(), Error> {
    let row = vec![
        ("block", Cell::int(at.block)),
        ("log_index", Cell::int(at.index)),
        ("timestamp", Cell::int(at.timestamp)),
        ("series", trade.series.into()),
        ("venue", trade.venue.into()),
        ("side", trade.side.into()),
        ("maker", trade.maker.map(Cell::hex).into()),
        ("taker", Cell::hex(trade.taker)),
        ("base", Cell::hex(trade.base)),
        ("quote", Cell::hex(trade.quote)),
        ("units", Cell::decimal(trade.units)),
        ("quote_amount", Cell::decimal(trade.quote_amount)),
        ("order_hash", trade.order_hash.map(Cell::hex).into()),
        ("txid", Cell::hex(at.txid)),
    ];
    writer.put(&TRADES, row).await
}

pub(super) async fn apply(
    writer: &mut BlockWriter<'_>,
    at: At,
    sources: &Sources,
    event: Event,
) -> Result<(), Error> {
    match event {
        Event::OrderFilled(fill) => {
            let filled = match writer.get(&ORDER_STATES, &[Cell::hex(fill.orderHash)]).await? {
                Some(state) => big(&state, "filled")?,
                None => U256::ZERO,
            };
            let row = vec![
                ("hash", Cell::hex(fill.orderHash)),
                ("maker", Cell::hex(fill.maker)),
                ("filled", Cell::decimal(filled.saturating_add(fill.baseFilled))),
                ("cancelled", Cell::Int(0)),
            ];
            writer.put(&ORDER_STATES, row).await?;
            let trade = Trade {
                series: sources.units.get(&fill.base).copied(),
                venue: "market",
                side: if fill.side == 0 { "buy" } else { "sell" },
                maker: Some(fill.maker),
                taker: fill.taker,
                base: fill.base,
                quote: fill.quote,
                units: fill.baseFilled,
                quote_amount: fill.quoteFilled,
                order_hash: Some(fill.orderHash),
            };
            record(writer, at, trade).await
        }
        Event::OrderCancelled(cancel) => {
            let old = writer.get(&ORDER_STATES, &[Cell::hex(cancel.orderHash)]).await?;
            let filled = old.map_or(Ok(U256::ZERO), |state| big(&state, "filled"))?;
            let row = vec![
                ("hash", Cell::hex(cancel.orderHash)),
                ("maker", Cell::hex(cancel.maker)),
                ("filled", Cell::decimal(filled)),
                ("cancelled", Cell::Int(1)),
            ];
            writer.put(&ORDER_STATES, row).await
        }
        Event::GroupCancelled(cancel) => {
            let row = vec![
                ("maker", Cell::hex(cancel.maker)),
                ("group_id", Cell::decimal(cancel.group)),
                ("block", Cell::int(at.block)),
            ];
            writer.put(&CANCELLED_GROUPS, row).await
        }
        Event::MakerEpochBumped(bump) => {
            let row = vec![
                ("maker", Cell::hex(bump.maker)),
                ("epoch", bump.makerEpoch.into()),
                ("block", Cell::int(at.block)),
            ];
            writer.put(&MAKER_EPOCHS, row).await
        }
        Event::OrderPosted(event) => {
            posted(writer, at, sources, event.orderHash, &event.order).await
        }
        // A fill says its fee: the raw log is all there is to keep.
        Event::FeePaid(_) => Ok(()),
    }
}

/// An order that stands on the chain itself: it is filled with an empty signature. One for other tokens is not of our book.
async fn posted(
    writer: &mut BlockWriter<'_>,
    at: At,
    sources: &Sources,
    hash: B256,
    order: &Order,
) -> Result<(), Error> {
    let Some(series) = sources.units.get(&order.base) else { return Ok(()) };
    if order.quote != sources.deployment.quote {
        return Ok(());
    }
    let row = vec![
        ("hash", Cell::hex(hash)),
        ("series", (*series).into()),
        ("maker", Cell::hex(order.maker)),
        ("taker", Cell::hex(order.taker)),
        ("base", Cell::hex(order.base)),
        ("quote", Cell::hex(order.quote)),
        ("side", order.side.into()),
        ("base_amount", Cell::decimal(order.baseAmount)),
        ("quote_amount", Cell::decimal(order.quoteAmount)),
        ("expiry", Cell::int(order.expiry.to())),
        ("group_id", Cell::decimal(order.group)),
        ("salt", Cell::decimal(order.salt)),
        ("signature", "0x".into()),
        ("received_at", Cell::int(at.timestamp)),
    ];
    writer.put(&POSTED_ORDERS, row).await
}

pub(super) async fn sale(
    writer: &mut BlockWriter<'_>,
    at: At,
    sources: &Sources,
    event: SaleEvent,
) -> Result<(), Error> {
    // Withdrawals of proceeds move no units: the raw log is all there is to keep.
    let SaleEvent::Bought(bought) = event else { return Ok(()) };
    let unit = sources.units.iter().find(|(_, series)| **series == bought.series);
    let trade = Trade {
        series: Some(bought.series),
        venue: "primary",
        side: "buy",
        maker: Some(sources.deployment.primary_sale),
        taker: bought.buyer,
        base: unit.map_or(Address::ZERO, |(unit, _)| *unit),
        quote: sources.deployment.quote,
        units: bought.units,
        quote_amount: bought.quote,
        order_hash: None,
    };
    record(writer, at, trade).await
}
