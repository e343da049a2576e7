//! Which work a treasury output pays for. Pure.
//!
//! - A **pool payout** to the treasury says which hours it covers.
//! - A **withdrawal** from the exchange is matched first in, first out: the BTC withdrawn, in order of withdrawal, is
//!   the BTC that the trades brought, in order of trade; the coin that a trade sold is the coin that pools paid to the
//!   exchange, in order of payout, each with the hours it covers.
//!
//! All sums run from the very beginning, so what comes later never changes what was attributed before: signers who
//! read at different times agree. What cannot be attributed is left out, with the reason.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use domain::{Coin, EpochId};
use serde::{Deserialize, Serialize};

use crate::numbers::{mul_div_floor, split_exact};

/// A treasury output on the Bitcoin chain. `txid` in internal byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Transaction.
    pub txid: B256,
    /// Output index.
    pub vout: u32,
    /// Sats.
    pub sats: u64,
}

/// A pool's statement of one payout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolPayout {
    /// Transaction on the coin's chain, internal byte order.
    pub txid: B256,
    /// Output index, if the pool says it.
    pub vout: Option<u32>,
    /// Amount, 10^-8 coin.
    pub amount: u64,
    /// Unix seconds.
    pub time: u64,
    /// Hours covered: (unix seconds of the start, 10^-8 coin).
    pub covers: Vec<(u64, u64)>,
}

/// What one pool paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatement {
    /// Name in the configuration, the same at every signer.
    pub name: String,
    /// Coin it pays.
    pub coin: Coin,
    /// Whether it pays to the exchange and not to the treasury.
    pub to_exchange: bool,
    /// Payouts.
    pub payouts: Vec<PoolPayout>,
}

/// A sale at the exchange. Amounts 10^-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The venue's trade id, ascending within a coin.
    pub id: u64,
    /// Unix milliseconds of the venue's clock.
    pub time_ms: u64,
    /// Coin sold.
    pub coin: Coin,
    /// Amount sold.
    pub sold: u64,
    /// BTC received after the fee.
    pub net: u64,
}

/// Where a withdrawal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithdrawalStatus {
    /// Sent.
    Sent,
    /// Under way: nothing after it can be attributed yet.
    Open,
    /// Cancelled: never happened.
    Failed,
}

impl WithdrawalStatus {
    /// Its name in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Open => "open",
            Self::Failed => "failed",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Sent, Self::Open, Self::Failed].into_iter().find(|status| status.name() == name)
    }
}

/// A withdrawal of BTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// The venue's id.
    pub id: String,
    /// The venue's time of the request; orders as text.
    pub applied: String,
    /// Bitcoin transaction, internal byte order.
    pub txid: Option<B256>,
    /// BTC taken from the account, fee included.
    pub gross: u64,
    /// Fee.
    pub fee: u64,
    /// Where it stands.
    pub status: WithdrawalStatus,
}

/// Sats that one epoch's work at one pool earned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Epoch of the work.
    pub epoch: EpochId,
    /// Pool.
    pub pool: String,
    /// Sats.
    #[serde(with = "domain::decimal")]
    pub sats: u64,
}

/// A treasury output whose origin is known. The pieces add up to its sats.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Transaction, internal byte order.
    pub txid: B256,
    /// Output index.
    pub vout: u32,
    /// Sats.
    #[serde(with = "domain::decimal")]
    pub sats: u64,
    /// By epoch and pool, ascending, none zero.
    pub pieces: Vec<Piece>,
}

/// An output that no report may distribute yet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unattributed {
    /// The output.
    pub output: Output,
    /// Why.
    pub why: String,
}

type Origin = BTreeMap<(EpochId, String), u64>;

/// Attributes every output it can. Receipts ascend by (txid, vout).
#[must_use]
pub fn attribute(
    outputs: &[Output],
    pools: &[PoolStatement],
    trades: &[Trade],
    withdrawals: &[Withdrawal],
) -> (Vec<Receipt>, Vec<Unattributed>) {
    let exchange = withdrawal_origins(outputs, pools, trades, withdrawals);
    let (mut receipts, mut rest) = (Vec::new(), Vec::new());
    for output in outputs {
        let from_exchange = || exchange.get(&(output.txid, output.vout)).cloned();
        let origin = payout_origin(output, pools).or_else(from_exchange);
        match origin.unwrap_or_else(|| Err("no pool payout and no withdrawal sent it".into())) {
            Ok(origin) => receipts.push(receipt(output, &origin)),
            Err(why) => rest.push(Unattributed { output: output.clone(), why }),
        }
    }
    receipts.sort();
    (receipts, rest)
}

/// Splits the output in proportion to its origin.
fn receipt(output: &Output, origin: &Origin) -> Receipt {
    let weights: Vec<u64> = origin.values().copied().collect();
    let parts = split_exact(output.sats, &weights);
    let pieces = origin
        .keys()
        .zip(parts)
        .filter(|(_, sats)| *sats > 0)
        .map(|((epoch, pool), sats)| Piece { epoch: *epoch, pool: pool.clone(), sats })
        .collect();
    Receipt { txid: output.txid, vout: output.vout, sats: output.sats, pieces }
}

fn payout_origin(output: &Output, pools: &[PoolStatement]) -> Option<Result<Origin, String>> {
    let (pool, payout) = pools
        .iter()
        .filter(|pool| !pool.to_exchange)
        .flat_map(|pool| pool.payouts.iter().map(move |payout| (pool, payout)))
        .find(|(_, payout)| {
            payout.txid == output.txid
                && payout.vout.map_or(payout.amount == output.sats, |vout| vout == output.vout)
        })?;
    let covered = payout.covers.iter().fold(0_u64, |sum, (_, sats)| sum.saturating_add(*sats));
    if payout.amount != output.sats || covered != payout.amount {
        return Some(Err(format!(
            "pool {} states {} sat covering {covered}, the output has {}",
            pool.name, payout.amount, output.sats
        )));
    }
    let mut origin = Origin::new();
    for (hour, sats) in &payout.covers {
        let sum = origin.entry((EpochId::at(*hour), pool.name.clone())).or_default();
        *sum = sum.saturating_add(*sats);
    }
    Some(Ok(origin))
}

/// One sale placed on the two lines: BTC brought in, and coin taken out of what pools paid.
struct Sale {
    coin: Coin,
    btc_start: u64,
    btc: u64,
    coin_start: u64,
    sold: u64,
}

fn withdrawal_origins(
    outputs: &[Output],
    pools: &[PoolStatement],
    trades: &[Trade],
    withdrawals: &[Withdrawal],
) -> BTreeMap<(B256, u32), Result<Origin, String>> {
    let sales = line_up(trades);
    let queues = coin_queues(pools);
    let mut ordered: Vec<&Withdrawal> = withdrawals.iter().collect();
    ordered.sort_by(|a, b| (&a.applied, &a.id).cmp(&(&b.applied, &b.id)));
    let mut origins = BTreeMap::<(B256, u32), Result<Origin, String>>::new();
    let (mut position, mut open) = (0_u64, false);
    for withdrawal in ordered.iter().filter(|w| w.status != WithdrawalStatus::Failed) {
        open |= withdrawal.status == WithdrawalStatus::Open;
        // two alike in one transaction: the first output is the first withdrawal's
        let output = outputs.iter().find(|output| {
            arrived(output, withdrawal) && !origins.contains_key(&(output.txid, output.vout))
        });
        let end = position.saturating_add(withdrawal.gross);
        if let Some(output) = output {
            let origin = if open {
                Err(format!("an earlier withdrawal than {} is still open", withdrawal.id))
            } else {
                origin_of(position, end, &sales, &queues)
            };
            origins.insert((output.txid, output.vout), origin);
        }
        position = end;
    }
    origins
}

fn arrived(output: &Output, withdrawal: &Withdrawal) -> bool {
    Some(output.txid) == withdrawal.txid
        && Some(output.sats) == withdrawal.gross.checked_sub(withdrawal.fee)
}

fn line_up(trades: &[Trade]) -> Vec<Sale> {
    let mut ordered: Vec<&Trade> = trades.iter().collect();
    ordered.sort_by_key(|trade| (trade.time_ms, trade.coin, trade.id));
    let (mut btc, mut coins) = (0_u64, BTreeMap::<Coin, u64>::new());
    ordered
        .iter()
        .map(|trade| {
            let coin_start = coins.entry(trade.coin).or_default();
            let sale = Sale {
                coin: trade.coin,
                btc_start: btc,
                btc: trade.net,
                coin_start: *coin_start,
                sold: trade.sold,
            };
            btc = btc.saturating_add(trade.net);
            *coin_start = coin_start.saturating_add(trade.sold);
            sale
        })
        .collect()
}

type Queue = Vec<(EpochId, String, u64)>;

fn coin_queues(pools: &[PoolStatement]) -> BTreeMap<Coin, Queue> {
    let mut payouts: Vec<(&PoolStatement, &PoolPayout)> = pools
        .iter()
        .filter(|pool| pool.to_exchange)
        .flat_map(|pool| pool.payouts.iter().map(move |payout| (pool, payout)))
        .collect();
    payouts.sort_by_key(|(pool, payout)| (payout.time, payout.txid, pool.name.clone()));
    let mut queues = BTreeMap::<Coin, Queue>::new();
    for (pool, payout) in payouts {
        let queue = queues.entry(pool.coin).or_default();
        for (hour, amount) in &payout.covers {
            queue.push((EpochId::at(*hour), pool.name.clone(), *amount));
        }
    }
    queues
}

/// The work behind the BTC between two positions of the withdrawal line.
fn origin_of(
    from: u64,
    to: u64,
    sales: &[Sale],
    queues: &BTreeMap<Coin, Queue>,
) -> Result<Origin, String> {
    let (mut origin, mut found) = (Origin::new(), 0_u64);
    for sale in sales {
        let start = from.max(sale.btc_start).saturating_sub(sale.btc_start);
        let end = to.min(sale.btc_start.saturating_add(sale.btc)).saturating_sub(sale.btc_start);
        if start >= end || to <= sale.btc_start {
            continue;
        }
        let at = |btc: u64| sale.coin_start.saturating_add(mul_div_floor(sale.sold, btc, sale.btc));
        let queue = queues.get(&sale.coin).map(Vec::as_slice).unwrap_or_default();
        let btc = end.saturating_sub(start);
        take_coins(&mut origin, queue, at(start), at(end), btc)
            .ok_or_else(|| format!("more {} was sold than pools state to have paid", sale.coin))?;
        found = found.saturating_add(btc);
    }
    if found < to.saturating_sub(from) {
        return Err("more BTC was withdrawn than the trades brought".into());
    }
    Ok(origin)
}

/// Spreads `btc` over the coins between two positions of a queue. `None` when the queue is too short.
fn take_coins(
    origin: &mut Origin,
    queue: &[(EpochId, String, u64)],
    from: u64,
    to: u64,
    btc: u64,
) -> Option<()> {
    let to = to.max(from.saturating_add(1));
    let (mut position, mut parts, mut weights) = (0_u64, Vec::new(), Vec::new());
    for (epoch, pool, amount) in queue {
        let end = position.saturating_add(*amount);
        let overlap = to.min(end).saturating_sub(from.max(position));
        if overlap > 0 && to.min(end) > from.max(position) {
            parts.push((*epoch, pool.clone()));
            weights.push(overlap);
        }
        position = end;
    }
    if position < to {
        return None;
    }
    for (key, sats) in parts.into_iter().zip(split_exact(btc, &weights)) {
        let sum = origin.entry(key).or_default();
        *sum = sum.saturating_add(sats);
    }
    Some(())
}

#[cfg(test)]
#[path = "attribution_tests.rs"]
mod tests;
