//! The order book: every live order, what of it could be filled now, and why if not all.

use std::collections::{HashMap, HashSet};

use alloy::primitives::{Address, U256};
use axum::extract::{Path, Query, State};
use evm::bindings::ITwabToken::ITwabTokenInstance;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, SqliteConnection};

use super::{Answer, App, Dec, Problem, Shared};
use crate::api::{chain::at_block, series};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Which {
    series: u16,
}

#[derive(Debug, FromRow)]
struct Row {
    hash: String,
    maker: String,
    taker: String,
    base: String,
    quote: String,
    side: Dec,
    base_amount: String,
    quote_amount: String,
    expiry: Dec,
    group_id: String,
    salt: String,
    signature: String,
    filled: Option<String>,
    cancelled: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderView {
    maker: String,
    taker: String,
    base: String,
    quote: String,
    side: Dec,
    base_amount: String,
    quote_amount: String,
    expiry: Dec,
    group: String,
    salt: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    hash: String,
    /// Quote units per whole unit, rounded down.
    price: String,
    /// Units not filled yet.
    remaining: String,
    /// Units that could be filled now.
    fillable: String,
    /// Why not all of the rest could be filled: `maker_balance` or `maker_allowance`.
    reason: Option<&'static str>,
    order: OrderView,
    /// `0x` for an order that its maker posted on chain.
    signature: String,
}

#[derive(Debug, Serialize)]
pub(in crate::api) struct Book {
    series: Dec,
    /// Best first: makers who sell, lowest price on top.
    asks: Vec<Entry>,
    /// Best first: makers who buy, highest price on top.
    bids: Vec<Entry>,
}

pub(in crate::api) async fn by_query(app: Shared, Query(which): Query<Which>) -> Answer<Book> {
    by_path(app, Path(which.series)).await
}

pub(in crate::api) async fn by_path(State(app): Shared, Path(id): Path<u16>) -> Answer<Book> {
    series::contracts(&app, id)?;
    let mut snapshot = app.snapshot().await?;
    let rows = live(&mut snapshot.db, id, snapshot.tip.timestamp).await?;
    let purses = purses(&app, snapshot.tip.number, &rows).await?;
    let (mut asks, mut bids) = (Vec::new(), Vec::new());
    for row in rows {
        let side = row.side.0;
        if let Some(entry) = entry(row, &purses)? {
            if side == 0 { asks.push(entry) } else { bids.push(entry) }
        }
    }
    asks.sort_by_key(|(price, _)| *price);
    bids.sort_by_key(|(price, _)| std::cmp::Reverse(*price));
    let plain = |side: Vec<(U256, Entry)>| side.into_iter().map(|(_, entry)| entry).collect();
    snapshot.reply(Book { series: Dec(i64::from(id)), asks: plain(asks), bids: plain(bids) })
}

/// Orders that are neither expired nor cancelled, oldest first; those wholly filled fall out later.
async fn live(db: &mut SqliteConnection, series: u16, now: u64) -> Result<Vec<Row>, Problem> {
    Ok(sqlx::query_as(
        "select o.*, s.filled, coalesce(s.cancelled, 0) as cancelled
         from (select * from orders
               union all select * from posted_orders p where not exists (select 1 from orders q where q.hash = p.hash)) o
         left join order_states s on s.hash = o.hash
         where o.series = ? and o.expiry > ? and coalesce(s.cancelled, 0) = 0
           and not exists (select 1 from cancelled_groups g where g.maker = o.maker and g.group_id = o.group_id)
           and not exists (select 1 from maker_epochs e
                           where e.maker = o.maker and (cast(o.group_id as bigint) >> 32) <> e.epoch)
         order by o.received_at, o.hash",
    )
    .bind(series)
    .bind(crate::store::writer::signed(now))
    .fetch_all(db)
    .await?)
}

/// What a maker has and has allowed the market to take, of one token.
#[derive(Clone, Copy, Debug)]
struct Purse {
    balance: U256,
    allowance: U256,
}

type Purses = HashMap<(String, String), Purse>;

/// Asks the chain, at the block that the answer names, once per maker and token.
async fn purses(app: &App, block: u64, rows: &[Row]) -> Result<Purses, Problem> {
    let wanted: HashSet<_> = rows.iter().map(Row::pays_with).collect();
    let asked = wanted.into_iter().map(async |(maker, token)| {
        let contract = ITwabTokenInstance::new(address(&token)?, &app.provider);
        let owner = address(&maker)?;
        let at = at_block(block);
        let balance = contract.balanceOf(owner).block(at).call().await.map_err(Problem::node)?;
        let market = app.deployment.position_market;
        let allowance = contract.allowance(owner, market).block(at).call().await;
        let allowance = allowance.map_err(Problem::node)?;
        Ok::<_, Problem>(((maker, token), Purse { balance, allowance }))
    });
    futures::future::try_join_all(asked).await.map(|all| all.into_iter().collect())
}

impl Row {
    /// The maker, and the token the maker gives.
    fn pays_with(&self) -> (String, String) {
        let token = if self.side.0 == 0 { &self.base } else { &self.quote };
        (self.maker.clone(), token.clone())
    }
}

/// The entry with its exact price for sorting; `None` when nothing remains.
fn entry(row: Row, purses: &Purses) -> Result<Option<(U256, Entry)>, Problem> {
    let base: U256 = number(&row.base_amount)?;
    let quote: U256 = number(&row.quote_amount)?;
    let filled: U256 = row.filled.as_deref().map_or(Ok(U256::ZERO), number)?;
    let remaining = base.saturating_sub(filled);
    if row.cancelled || remaining.is_zero() {
        return Ok(None);
    }
    let purse = purses.get(&row.pays_with()).copied();
    let purse = purse.unwrap_or(Purse { balance: U256::ZERO, allowance: U256::ZERO });
    let (fillable, reason) = fillable(row.side.0 == 0, base, quote, remaining, purse);
    // 96 and 128 bits times 10^18 or 2^64: far below 256 bits.
    let price_floor = quote.saturating_mul(U256::from(domain::UNIT)) / base;
    let exact = (quote << 64) / base;
    let view = Entry {
        hash: row.hash,
        price: price_floor.to_string(),
        remaining: remaining.to_string(),
        fillable: fillable.to_string(),
        reason,
        order: OrderView {
            maker: row.maker,
            taker: row.taker,
            base: row.base,
            quote: row.quote,
            side: row.side,
            base_amount: row.base_amount,
            quote_amount: row.quote_amount,
            expiry: row.expiry,
            group: row.group_id,
            salt: row.salt,
        },
        signature: row.signature,
    };
    Ok(Some((exact, view)))
}

/// Units that the maker's purse covers now, and what limits them. A buyer's cash buys `floor(cash × base / quote)`.
fn fillable(
    sells: bool,
    base: U256,
    quote: U256,
    remaining: U256,
    purse: Purse,
) -> (U256, Option<&'static str>) {
    let units = |amount: U256| if sells { amount } else { amount.saturating_mul(base) / quote };
    let (held, allowed) = (units(purse.balance), units(purse.allowance));
    if held < remaining && held <= allowed {
        (held, Some("maker_balance"))
    } else if allowed < remaining {
        (allowed, Some("maker_allowance"))
    } else {
        (remaining, None)
    }
}

fn address(text: &str) -> Result<Address, Problem> {
    text.parse().map_err(|_| corrupt("address", text))
}

fn number(text: &str) -> Result<U256, Problem> {
    text.parse().map_err(|_| corrupt("amount", text))
}

fn corrupt(what: &'static str, text: &str) -> Problem {
    crate::Error::Corrupt { what, found: text.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sells: bool, balance: u64, allowance: u64) -> (u64, Option<&'static str>) {
        let purse = Purse { balance: U256::from(balance), allowance: U256::from(allowance) };
        // 100 units for 300 of quote, 80 units left.
        let (units, reason) =
            fillable(sells, U256::from(100), U256::from(300), U256::from(80), purse);
        (units.to(), reason)
    }

    #[test]
    fn the_tighter_of_balance_and_allowance_limits_and_is_named() {
        assert_eq!(of(true, 80, 80), (80, None));
        assert_eq!(of(true, 79, 80), (79, Some("maker_balance")));
        assert_eq!(of(true, 80, 0), (0, Some("maker_allowance")));
        assert_eq!(of(true, 10, 5), (5, Some("maker_allowance")));
        assert_eq!(of(false, 240, u64::MAX), (80, None));
        assert_eq!(of(false, 239, u64::MAX), (79, Some("maker_balance")));
        assert_eq!(of(false, u64::MAX, 2), (0, Some("maker_allowance")));
    }
}
