//! The story: a batch of machines is registered, people buy, trade and sell, an epoch closes, and everyone is paid.
//! Every step is done through the same doors that a stranger would use.

use std::time::Duration;

use alloy::primitives::{
    U256,
    aliases::{U40, U96},
};
use domain::{EpochId, UNIT};
use evm::bindings::{
    IBuybackPool, IEpochLedger, IFairValue, IFleetOracle, IPositionMarket, IPrimarySale, ITwabToken,
};
use eyre::{Result, ensure};

use super::{World, checks, orders, people, say};
use crate::devnet::{DevKey, dev_key};

/// Units that Anya buys, sells to Boris in two fills, and sells to the pool.
const BOUGHT: u64 = 40;
const FIRST_FILL: u64 = 12;
const SECOND_FILL: u64 = 8;
const TO_POOL: u64 = 5;
/// Lena's deposit in quote units (6 decimals).
const DEPOSIT: u64 = 20_000_000_000;

/// Plays the story to the end of the first paid epoch.
///
/// # Errors
/// When a step does not come true; the message says which.
pub async fn play(world: &World) -> Result<()> {
    let first = world.deployment.first_epoch;
    say::act(&format!("First epoch ({first}): machines are registered, people prepare"));
    register_machines(world).await?;
    let addresses = people::register_addresses(world).await?;
    for (payee, _) in people::PAYEES {
        let name = payee.name();
        let address = addresses.get(&name).map_or("", String::as_str);
        say::done(&format!("{name} ({}) registers {address}", payee.account(world)));
    }
    checks::bad_input_is_refused(world).await?;
    deposit(world).await?;
    wait_for_time(world, first.end()).await?;

    let paid_epoch = first.next();
    say::act(&format!("Second epoch ({paid_epoch}): units change hands while the machines work"));
    wait_for_report(world, first).await?;
    trade(world).await?;
    wait_for_time(world, paid_epoch.end()).await?;

    say::act(&format!("After it: epoch {paid_epoch} is reported, committed, paid and proven"));
    wait_for_report(world, paid_epoch).await?;
    checks::hashrate_is_proven(world, paid_epoch).await?;
    let rival = wait_for_proof(world, paid_epoch).await?;
    checks::paid_to_the_satoshi(world, paid_epoch, &addresses).await?;
    checks::machines_lost_nothing(world).await?;
    checks::second_payout_is_refused(world, paid_epoch, &rival).await?;
    checks::verifier_agrees(world).await.map(drop)
}

/// Has the quorum attest the machines, and registers them.
///
/// # Errors
/// When that mints nothing.
pub(super) async fn register_machines(world: &World) -> Result<()> {
    let status = world.run_to_end("attest-batch").await?;
    let transaction = status.split_whitespace().last().unwrap_or_default();
    say::done(&format!("the quorum attests a batch of machines: transaction {transaction}"));
    let unit = ITwabToken::new(world.series().unit, world.evm.reader()?);
    let supply = unit.totalSupply().call().await?;
    ensure!(supply > U256::ZERO, "registration minted nothing");
    say::done(&format!("{} units are minted to the primary sale", supply / U256::from(UNIT)));
    Ok(())
}

pub(super) async fn deposit(world: &World) -> Result<()> {
    let pool = world.series().pool;
    people::give_quote(world, DevKey::Lena, pool, DEPOSIT).await?;
    let pool = IBuybackPool::new(pool, world.evm.as_key(DevKey::Lena)?);
    evm::land("deposit", pool.deposit(U256::from(DEPOSIT))).await?;
    say::done("lena deposits 20,000 USDC in the buyback pool; LP shares start with the next epoch");
    Ok(())
}

async fn trade(world: &World) -> Result<()> {
    let relayer = world.evm.as_key(DevKey::Relayer)?;
    let pool = IBuybackPool::new(world.series().pool, relayer);
    evm::land("roll", pool.roll()).await?;
    buy(world).await?;
    sell_by_order(world).await?;
    sell_to_pool(world).await
}

pub(super) async fn buy(world: &World) -> Result<()> {
    let units = U256::from(BOUGHT) * U256::from(UNIT);
    let sale = IPrimarySale::new(world.deployment.primary_sale, world.evm.as_key(DevKey::Anya)?);
    let price = sale.quoteBuy(1, units).call().await?;
    people::give_quote(world, DevKey::Anya, world.deployment.primary_sale, u64::try_from(price)?)
        .await?;
    evm::land("buy", sale.buy(1, units, price, dev_key(DevKey::Anya).address())).await?;
    say::done(&format!("anya buys {BOUGHT} units for {} USDC", say::usdc(price)));
    Ok(())
}

async fn sell_by_order(world: &World) -> Result<()> {
    let market = world.deployment.position_market;
    let half = FIRST_FILL + SECOND_FILL;
    let unit = ITwabToken::new(world.series().unit, world.evm.as_key(DevKey::Anya)?);
    evm::land("approve", unit.approve(market, U256::from(half) * U256::from(UNIT))).await?;
    let ask = IFairValue::new(world.deployment.fair_value, world.evm.reader()?);
    let price = u128::try_from(ask.askBase(1).call().await?)?;
    let order = IPositionMarket::Order {
        maker: dev_key(DevKey::Anya).address(),
        taker: alloy::primitives::Address::ZERO,
        base: world.series().unit,
        quote: world.deployment.quote,
        side: 0,
        baseAmount: U96::from(U256::from(half) * U256::from(UNIT)),
        quoteAmount: price * u128::from(half),
        expiry: U40::from(world.evm.now().await? + 2 * domain::EPOCH_SECONDS),
        group: 1,
        salt: 1,
    };
    let signature = orders::sign(world, DevKey::Anya, &order)?;
    orders::refused_when_wrong(world, &order, &signature).await?;
    orders::publish(world, &order, &signature).await?;
    say::done(&format!(
        "anya signs an order: {half} units at {} USDC each",
        say::usdc(U256::from(price))
    ));
    let quote = price * u128::from(half);
    people::give_quote(world, DevKey::Boris, market, u64::try_from(quote)?).await?;
    for fill in [FIRST_FILL, SECOND_FILL] {
        let (order, signature) = orders::best(world).await?;
        let market = IPositionMarket::new(market, world.evm.as_key(DevKey::Boris)?);
        let base = U256::from(fill) * U256::from(UNIT);
        evm::land("fill", market.fill(order, signature, base)).await?;
        say::done(&format!("boris takes {fill} of them from the order book"));
    }
    Ok(())
}

async fn sell_to_pool(world: &World) -> Result<()> {
    let anya = world.evm.as_key(DevKey::Anya)?;
    let units = U256::from(TO_POOL) * U256::from(UNIT);
    let pool = IBuybackPool::new(world.series().pool, anya.clone());
    let unit = ITwabToken::new(world.series().unit, anya);
    evm::land("approve", unit.approve(world.series().pool, units)).await?;
    let bid = pool.quoteSell(units).call().await?;
    evm::land("sell", pool.sell(units, bid, dev_key(DevKey::Anya).address())).await?;
    say::done(&format!("anya sells {TO_POOL} units to the pool for {} USDC", say::usdc(bid)));
    Ok(())
}

/// Waits until chain time passes `time`.
pub(super) async fn wait_for_time(world: &World, time: u64) -> Result<()> {
    while world.evm.now().await? <= time {
        let left = time.saturating_sub(world.evm.now().await?);
        say::waiting(&format!("epoch ends in {left} s of chain time"));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

/// Waits until the oracle has a report of `epoch` and the series is valued by it.
pub(super) async fn wait_for_report(world: &World, epoch: EpochId) -> Result<()> {
    let oracle = IFleetOracle::new(world.deployment.fleet_oracle, world.evm.reader()?);
    let fair = IFairValue::new(world.deployment.fair_value, world.evm.reader()?);
    world
        .wait_until("the quorum's report", async || {
            if oracle.lastEpoch().call().await? < epoch.0 {
                return Ok(false);
            }
            Ok(fair.valuation(1).call().await.is_ok_and(|value| value.epoch >= epoch.0))
        })
        .await?;
    let pot = oracle.potOf(epoch.0).call().await?;
    ensure!(oracle.reportHash(epoch.0).call().await? != alloy::primitives::B256::ZERO, "gap");
    say::done(&format!("three of five signers report epoch {epoch}: {pot} sat earned"));
    Ok(())
}

/// Waits until every batch of `epoch` is proven on the EVM chain. Returns a second payout of the epoch, raw, which the
/// signers signed while they still could: a fee bump, as far as they knew.
async fn wait_for_proof(world: &World, epoch: EpochId) -> Result<String> {
    let ledger = IEpochLedger::new(world.deployment.epoch_ledger, world.evm.reader()?);
    world.wait_until("the commit", async || Ok(ledger.nextEpoch().call().await? > epoch.0)).await?;
    let committed = checks::commitment(world, epoch).await?;
    let root = committed.root.hash;
    say::done(&format!("settlement commits root {root} before anything is signed"));
    ensure!(!committed.batches.is_empty(), "nothing is due in epoch {epoch}");
    let rival = tokio::sync::OnceCell::new();
    world
        .wait_until("the plan", async || {
            let signed = world.second_payout(epoch).await;
            Ok(signed.is_ok_and(|raw| rival.set(raw).is_ok()))
        })
        .await?;
    let rival = rival.into_inner().unwrap_or_default();
    say::done("a second payout of the epoch, with a higher fee, is signed too and kept back");
    world
        .wait_until("six confirmations and the proof", async || {
            // As of the finalized block: the verifier looks no further.
            let finalized = alloy::eips::BlockId::finalized();
            Ok(ledger.isProven(epoch.0).block(finalized).call().await?)
        })
        .await?;
    let transaction = checks::payout_transaction(world, epoch).await?;
    let txid = transaction["txid"].as_str().unwrap_or_default();
    say::done(&format!("paid in bitcoin transaction {txid}, proven on chain"));
    Ok(rival)
}
