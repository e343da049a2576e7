//! Check 10: each buyback pool has what its books say, and what it holds belongs to somebody.

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, U256},
    sol,
};
use evm::{
    SeriesContracts,
    bindings::{IBuybackPool, IExitQueue, ITwabToken},
};

use super::Checked;
use crate::{Error, Findings, allocate, world::World};

sol! {
    function balanceOf(address account) external view returns (uint256);
}

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    for series in &world.deployment.series {
        books(world, series, &mut findings).await?;
        tokens(world, series, &mut findings).await?;
        look_through(world, series, &mut findings)?;
    }
    if world.deployment.series.is_empty() {
        return Ok(findings.not_checked("the deployment has no series"));
    }
    Ok(findings.passed(format!("{} pools with their queues", world.deployment.series.len())))
}

/// Balances cover the pool's own books: cash, pending deposits, settled withdrawals, claims, the
/// wind-down's cash; inventory and the queue.
async fn books(
    world: &World,
    series: &SeriesContracts,
    findings: &mut Findings,
) -> Result<(), Error> {
    let (chain, id) = (&world.chain, series.id);
    let state = chain.call(series.pool, IBuybackPool::stateCall {}).await?;
    let cash = chain.call(world.deployment.quote, balanceOfCall { account: series.pool }).await?;
    let units = chain.call(series.unit, balanceOfCall { account: series.pool }).await?;
    let queued = chain.call(series.unit, balanceOfCall { account: series.queue }).await?;
    let (settled_quote, settled_units) = settled(world, series).await?;
    let claims = claims(world, series, findings).await?;
    let round = chain.call(series.pool, IBuybackPool::roundCall {}).await?.cash;
    let owed =
        U256::from(state.cash) + U256::from(state.pendingDeposits) + settled_quote + claims + round;
    findings.require(cash >= owed, || {
        format!("series {id}: the pool has {cash} quote units and owes {owed} (cash {}, pending {}, withdrawn {settled_quote}, claims {claims}, wind-down {round})", state.cash, state.pendingDeposits)
    });
    let held = U256::from(state.inventory) + settled_units;
    findings.require(units >= held, || {
        format!("series {id}: the pool has {units} units and its books say {held}")
    });
    let in_queue = chain.call(series.queue, IExitQueue::queuedUnitsCall {}).await?;
    findings.require(queued >= in_queue, || {
        format!("series {id}: the queue has {queued} units and {in_queue} are queued")
    });
    let bought = inventory_by_events(world, series)?;
    findings.require(bought == Some(U256::from(state.inventory)), || {
        format!("series {id}: inventory {} is not what its trades left", state.inventory)
    });
    Ok(())
}

/// Settled LP withdrawals and returned deposits that wait to be taken.
async fn settled(world: &World, series: &SeriesContracts) -> Result<(U256, U256), Error> {
    let mut providers = BTreeSet::new();
    for event in world.history.of::<IBuybackPool::DepositRequested>(series.pool)? {
        providers.insert(event.event.provider);
    }
    for event in world.history.of::<IBuybackPool::WithdrawRequested>(series.pool)? {
        providers.insert(event.event.provider);
    }
    let calls: Vec<_> = providers
        .into_iter()
        .map(|provider| (series.pool, IBuybackPool::settledOfCall { provider }))
        .collect();
    let (mut quote, mut units) = (U256::ZERO, U256::ZERO);
    for answer in world.chain.calls(&calls).await? {
        let doing = "settledOf".to_owned();
        let settled = answer.map_err(|why| Error::Refused { doing, why })?;
        quote += settled.quote;
        units += settled.units;
    }
    Ok((quote, units))
}

/// Credit of settled tickets that was not claimed, by events and by the queue's own books.
async fn claims(
    world: &World,
    series: &SeriesContracts,
    findings: &mut Findings,
) -> Result<U256, Error> {
    let mut owners = BTreeSet::new();
    let (mut credited, mut taken) = (U256::ZERO, U256::ZERO);
    for event in world.history.of::<IExitQueue::Settled>(series.queue)? {
        owners.insert(event.event.owner);
        credited += event.event.quote;
    }
    for event in world.history.of::<IExitQueue::Claimed>(series.queue)? {
        taken += event.event.quote;
    }
    let calls: Vec<_> = owners
        .into_iter()
        .map(|account| (series.queue, IExitQueue::claimableCall { account }))
        .collect();
    let mut claimable = U256::ZERO;
    for answer in world.chain.calls(&calls).await? {
        let doing = "claimable".to_owned();
        claimable += answer.map_err(|why| Error::Refused { doing, why })?;
    }
    findings.require(credited.checked_sub(taken) == Some(claimable), || {
        format!("series {}: {credited} credited, {taken} claimed, {claimable} claimable", series.id)
    });
    Ok(claimable)
}

/// Units bought less units sold and withdrawn in kind; `None` if more left than came. The units of a boundary's
/// withdrawals leave the inventory together and are handed out one by one, so a backlog is read from the roll.
fn inventory_by_events(world: &World, series: &SeriesContracts) -> Result<Option<U256>, Error> {
    let rolls = world.history.of::<IBuybackPool::EpochRolled>(series.pool)?;
    let (since, mut units) =
        rolls.last().map_or((None, U256::ZERO), |roll| (Some(roll.at), roll.event.inventory));
    let after = |at: crate::history::Stamp| since.is_none_or(|since| at > since);
    for event in world.history.of::<IBuybackPool::Sold>(series.pool)? {
        if after(event.at) {
            units += event.event.units;
        }
    }
    for event in world.history.of::<IExitQueue::Settled>(series.queue)? {
        if after(event.at) {
            units += event.event.units;
        }
    }
    for event in world.history.of::<IBuybackPool::Bought>(series.pool)? {
        if after(event.at) {
            let Some(left) = units.checked_sub(event.event.units) else { return Ok(None) };
            units = left;
        }
    }
    Ok(Some(units))
}

/// LP shares and claims exist as minted, claims one for one with queued units, and no wrapper holds either.
async fn tokens(
    world: &World,
    series: &SeriesContracts,
    findings: &mut Findings,
) -> Result<(), Error> {
    let queued = world.chain.call(series.queue, IExitQueue::queuedUnitsCall {}).await?;
    let wrappers: BTreeSet<Address> =
        world.history.wrappers.iter().map(|added| added.event.wrapper.wrapper).collect();
    for (token, what) in [(series.lp_share, "LP share"), (series.claim_token, "claim")] {
        let supply = world.chain.call(token, ITwabToken::totalSupplyCall {}).await?;
        let replay = world.replay(token);
        findings.require(supply == replay.supply(), || {
            format!("series {}: {what} supply {supply}, minted {}", series.id, replay.supply())
        });
        for holder in replay.holders().filter(|holder| wrappers.contains(holder)) {
            findings.require(replay.balance(holder).is_zero(), || {
                format!("series {}: wrapper {holder} holds {what} tokens", series.id)
            });
        }
    }
    let claims = world.replay(series.claim_token).supply();
    findings.require(claims == queued, || {
        format!("series {}: {queued} units are queued, {claims} claims exist", series.id)
    });
    Ok(())
}

/// Pool and queue are wrappers of their series with their own share tokens, and what they earn is given on whole.
fn look_through(
    world: &World,
    series: &SeriesContracts,
    findings: &mut Findings,
) -> Result<(), Error> {
    for (wrapper, share) in [(series.pool, series.lp_share), (series.queue, series.claim_token)] {
        let mut added = world.history.wrappers.iter().map(|added| &added.event.wrapper);
        let listed =
            added.any(|w| w.series == series.id.0 && w.wrapper == wrapper && w.shareToken == share);
        findings.require(listed, || {
            format!(
                "series {}: {wrapper} holds units for others and is not looked through",
                series.id
            )
        });
        let replay = world.replay(share);
        for page in world.wanted_pages() {
            let total = replay.total_seconds(page.epoch)?;
            let mut given = 0_u128;
            let whole = 1_u128 << 64;
            let shares = replay.all_seconds(page.epoch)?;
            for seconds in shares.values() {
                given = given.saturating_add(allocate::part_floor(whole, *seconds, total)?);
            }
            let lost = whole.saturating_sub(given);
            let floors = u128::try_from(shares.len()).unwrap_or(u128::MAX);
            findings.require(total.is_zero() || lost <= floors, || {
                format!(
                    "series {}, epoch {}: shares of {wrapper} do not sum to the whole",
                    series.id, page.epoch
                )
            });
        }
    }
    Ok(())
}
