//! The buyback pool and its exit queue.

use alloy::primitives::{Address, U256};
use evm::bindings::{
    IBuybackPool::IBuybackPoolEvents as Event, IExitQueue::IExitQueueEvents as QueueEvent,
};

use super::{
    At, Sources,
    market::{Trade, record},
    token::big,
};
use crate::{
    Error,
    store::{
        table::{Cell, POOL_EPOCHS, POOL_EVENTS, QUEUE_CLAIMS, TICKETS},
        writer::BlockWriter,
    },
};

/// Amounts of one pool event; what an event does not say stays null.
#[derive(Default)]
struct Amounts {
    account: Option<Address>,
    units: Option<U256>,
    quote: Option<U256>,
    shares: Option<U256>,
    epoch: Option<u32>,
}

pub(super) async fn apply(
    writer: &mut BlockWriter<'_>,
    at: At,
    sources: &Sources,
    series: u16,
    event: Event,
) -> Result<(), Error> {
    let (kind, amounts) = match &event {
        Event::Sold(e) => ("sold", amounts(e.seller, Some(e.units), Some(e.quote), None)),
        Event::Bought(e) => ("bought", amounts(e.buyer, Some(e.units), Some(e.quote), None)),
        Event::DepositRequested(e) => (
            "deposit_requested",
            Amounts { epoch: Some(e.activeFrom), ..amounts(e.provider, None, Some(e.quote), None) },
        ),
        Event::WithdrawRequested(e) => (
            "withdraw_requested",
            Amounts {
                epoch: Some(e.activeFrom),
                ..amounts(e.provider, None, None, Some(e.shares))
            },
        ),
        Event::DepositReturned(e) => {
            ("deposit_returned", amounts(e.provider, None, Some(e.quote), None))
        }
        Event::LpWithdrawn(e) => {
            ("lp_withdrawn", amounts(e.provider, Some(e.units), Some(e.quote), Some(e.shares)))
        }
        Event::FirstLossAbsorbed(e) => {
            ("first_loss_absorbed", of_pool(None, Some(e.loss), Some(e.shares)))
        }
        Event::FirstLossGivenBack(e) => {
            ("first_loss_given_back", of_pool(None, Some(e.gain), Some(e.shares)))
        }
        Event::RoundOpened(e) => ("round_opened", of_pool(Some(e.units), Some(e.price), None)),
        Event::EpochRolled(e) => {
            let row = vec![
                ("series", series.into()),
                ("epoch", e.epoch.into()),
                ("cash", Cell::decimal(e.cash)),
                ("inventory", Cell::decimal(e.inventory)),
                ("shares", Cell::decimal(e.shares)),
            ];
            writer.put(&POOL_EPOCHS, row).await?;
            let (units, quote, shares) = (Some(e.inventory), Some(e.cash), Some(e.shares));
            ("epoch_rolled", Amounts { account: None, units, quote, shares, epoch: Some(e.epoch) })
        }
    };
    let row = vec![
        ("block", Cell::int(at.block)),
        ("log_index", Cell::int(at.index)),
        ("timestamp", Cell::int(at.timestamp)),
        ("series", series.into()),
        ("kind", kind.into()),
        ("account", amounts.account.map(Cell::hex).into()),
        ("units", amounts.units.map(Cell::decimal).into()),
        ("quote", amounts.quote.map(Cell::decimal).into()),
        ("shares", amounts.shares.map(Cell::decimal).into()),
        ("epoch", amounts.epoch.into()),
        ("txid", Cell::hex(at.txid)),
    ];
    writer.put(&POOL_EVENTS, row).await?;
    trade(writer, at, sources, series, event).await
}

/// A sale or purchase is a trade, too.
async fn trade(
    writer: &mut BlockWriter<'_>,
    at: At,
    sources: &Sources,
    series: u16,
    event: Event,
) -> Result<(), Error> {
    let (side, taker, units, quote) = match event {
        Event::Sold(e) => ("sell", e.seller, e.units, e.quote),
        Event::Bought(e) => ("buy", e.buyer, e.units, e.quote),
        _ => return Ok(()),
    };
    let contracts = sources.deployment.series(domain::SeriesId(series));
    let trade = Trade {
        series: Some(series),
        venue: "pool",
        side,
        maker: contracts.map(|c| c.pool),
        taker,
        base: contracts.map_or(Address::ZERO, |c| c.unit),
        quote: sources.deployment.quote,
        units,
        quote_amount: quote,
        order_hash: None,
    };
    record(writer, at, trade).await
}

/// Of the pool as a whole.
fn of_pool(units: Option<U256>, quote: Option<U256>, shares: Option<U256>) -> Amounts {
    Amounts { account: None, units, quote, shares, epoch: None }
}

fn amounts(
    account: Address,
    units: Option<U256>,
    quote: Option<U256>,
    shares: Option<U256>,
) -> Amounts {
    Amounts { account: Some(account), units, quote, shares, epoch: None }
}

pub(super) async fn queue(
    writer: &mut BlockWriter<'_>,
    at: At,
    series: u16,
    event: QueueEvent,
) -> Result<(), Error> {
    match event {
        QueueEvent::Queued(e) => {
            let row = vec![
                ("series", series.into()),
                ("ticket", Cell::decimal(e.ticket)),
                ("owner", Cell::hex(e.owner)),
                ("units", Cell::decimal(e.units)),
                ("settled_units", "0".into()),
                ("quote", "0".into()),
                ("taken_back", "0".into()),
            ];
            writer.put(&TICKETS, row).await
        }
        QueueEvent::Settled(e) => {
            add(writer, series, e.ticket, &[("settled_units", e.units), ("quote", e.quote)]).await
        }
        QueueEvent::TakenBack(e) => add(writer, series, e.ticket, &[("taken_back", e.units)]).await,
        QueueEvent::Claimed(e) => {
            let row = vec![
                ("block", Cell::int(at.block)),
                ("log_index", Cell::int(at.index)),
                ("series", series.into()),
                ("owner", Cell::hex(e.owner)),
                ("recipient", Cell::hex(e.to)),
                ("quote", Cell::decimal(e.quote)),
                ("txid", Cell::hex(at.txid)),
            ];
            writer.put(&QUEUE_CLAIMS, row).await
        }
    }
}

async fn add(
    writer: &mut BlockWriter<'_>,
    series: u16,
    ticket: U256,
    more: &[(&'static str, U256)],
) -> Result<(), Error> {
    let key = [Cell::from(series), Cell::decimal(ticket)];
    let Some(old) = writer.get(&TICKETS, &key).await? else { return Ok(()) };
    let mut row = vec![("series", Cell::from(series)), ("ticket", Cell::decimal(ticket))];
    for (column, amount) in more {
        row.push((column, Cell::decimal(big(&old, column)?.saturating_add(*amount))));
    }
    writer.put(&TICKETS, row).await
}
