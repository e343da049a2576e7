//! Which headers the relay needs: across the start of a difficulty period, and under a payout. Pure but for the call
//! that brings the relay up to date.

use alloy::primitives::{B256, U256};
use bitcoin::{block::Header, consensus::encode::serialize, hashes::Hash};
use evm::{DynProvider, bindings::IBitcoinRelay};
use tracing::info;

use crate::{chain::rpc, error::Error};

/// Blocks of one difficulty.
pub const PERIOD: u64 = 2_016;
/// Headers after a boundary that are shown at most when a false start must be outweighed.
const MOST: u64 = 500;

/// Headers by height, from a node's best chain.
#[allow(
    async_fn_in_trait,
    reason = "the relay is followed by one task; its futures need not be Send"
)]
pub trait Headers {
    /// The header at a height.
    async fn header(&self, height: u64) -> Result<Header, Error>;
    /// Height of the newest one.
    async fn tip(&self) -> Result<u64, Error>;
}

/// Headers across the start of `period`: the first height, how many stand before the boundary, and how many after it.
/// `None` until the chain is long enough.
#[must_use]
pub fn across(period: u64, side: u64, after: u64, tip: u64) -> Option<(u64, u64, u64)> {
    let boundary = period.checked_mul(PERIOD)?;
    let have = tip.checked_add(1)?.checked_sub(boundary)?;
    let from = boundary.checked_sub(side)?;
    (after >= side && have >= after).then_some((from, side, after))
}

/// The fewest headers from the first on whose work makes `confirmations` blocks of `unit` work each, as the relay
/// counts; `None` if there are not enough yet. When the difficulty rose that is more than `confirmations`.
#[must_use]
pub fn enough(headers: &[Header], unit: U256, confirmations: u64) -> Option<usize> {
    let least = usize::try_from(confirmations).ok()?;
    let needed = unit.checked_mul(U256::from(confirmations))?;
    let mut work = U256::ZERO;
    for (header, count) in headers.iter().zip(1_usize..) {
        work = work.checked_add(work_of(header))?;
        if count >= least && work >= needed {
            return Some(count);
        }
    }
    None
}

/// Expected hashes of a block with this header, as Bitcoin counts them.
#[must_use]
pub fn work_of(header: &Header) -> U256 {
    U256::from_be_bytes(header.work().to_be_bytes())
}

/// Work of a block at a target in compact form.
#[must_use]
pub fn work_at(bits: u32) -> U256 {
    let target = bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits));
    U256::from_be_bytes(target.to_work().to_be_bytes())
}

/// Shows the relay every period that it does not know and the chain has entered, and replaces the start of the newest
/// one if it is not the chain's. Returns the work of one confirmation. A relay that never retargets is left alone.
///
/// # Errors
/// When a node does not answer, or the relay refuses.
pub async fn follow(
    relay: &IBitcoinRelay::IBitcoinRelayInstance<DynProvider>,
    headers: &impl Headers,
) -> Result<U256, Error> {
    let fixed = relay.noRetarget().call().await.map_err(|error| rpc("noRetarget", error))?;
    let newest = number(relay.newestPeriod().call().await, "newestPeriod")?;
    let bits = period(relay, newest).await?.bits;
    if fixed {
        return Ok(work_at(bits));
    }
    let anchor = number(relay.anchorPeriod().call().await, "anchorPeriod")?;
    let side = number(relay.sideHeaders().call().await, "sideHeaders")?;
    let tip = headers.tip().await?;
    let mut known = newest;
    if known > anchor {
        replace_false_start(relay, headers, known, side, tip).await?;
    }
    while let Some((from, before, after)) = across(known.saturating_add(1), side, side, tip) {
        known = known.saturating_add(1);
        show(relay, headers, known, (from, before, after)).await?;
        info!(period = known, "the relay knows the new difficulty");
    }
    let unit = work_at(period(relay, known).await?.bits);
    if known == anchor {
        return Ok(unit);
    }
    let before = work_at(period(relay, known.saturating_sub(1)).await?.bits);
    Ok(unit.max(before))
}

async fn replace_false_start(
    relay: &IBitcoinRelay::IBitcoinRelayInstance<DynProvider>,
    headers: &impl Headers,
    newest: u64,
    side: u64,
    tip: u64,
) -> Result<(), Error> {
    let boundary = newest.saturating_mul(PERIOD);
    if tip < boundary {
        return Ok(());
    }
    let stands = period(relay, newest).await?;
    let start = headers.header(boundary).await?;
    if stands.startHash == B256::from(start.block_hash().to_byte_array()) {
        return Ok(());
    }
    let one = work_of(&start);
    let after = U256::from(stands.work).checked_div(one).unwrap_or_default();
    let after = u64::try_from(after).unwrap_or(u64::MAX).saturating_add(1).max(side);
    match across(newest, side, after, tip).filter(|_| after <= MOST) {
        Some(range) => show(relay, headers, newest, range).await,
        None => Err(Error::Config(format!(
            "the relay has a false start of difficulty period {newest}; {after} headers after it replace it"
        ))),
    }
}

async fn show(
    relay: &IBitcoinRelay::IBitcoinRelayInstance<DynProvider>,
    headers: &impl Headers,
    period: u64,
    (from, before, after): (u64, u64, u64),
) -> Result<(), Error> {
    let mut bytes = Vec::new();
    for height in from..from.saturating_add(before).saturating_add(after) {
        bytes.extend(serialize(&headers.header(height).await?));
    }
    let call = relay.retarget(U256::from(period), bytes.into(), U256::from(before));
    evm::land("retarget", call).await?;
    Ok(())
}

async fn period(
    relay: &IBitcoinRelay::IBitcoinRelayInstance<DynProvider>,
    number: u64,
) -> Result<IBitcoinRelay::Period, Error> {
    let found = relay.periodAt(U256::from(number)).call().await;
    found.map_err(|error| rpc("periodAt", error))
}

fn number(answer: Result<U256, impl std::fmt::Display>, what: &str) -> Result<u64, Error> {
    let value = answer.map_err(|error| rpc(what, error))?;
    u64::try_from(value).map_err(|_| rpc(what, "it leaves 64 bits"))
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
