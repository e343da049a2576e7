//! The story of a generation change: machines retire while orders, LP shares and a queued claim are open, and nobody who
//! holds anything does anything.

use alloy::{
    consensus::BlockHeader,
    eips::BlockId,
    network::BlockResponse,
    primitives::{
        Address, B256, Bytes, U256,
        aliases::{U40, U96},
        keccak256,
    },
    providers::Provider,
    rpc::types::TransactionReceipt,
};
use domain::{EPOCH_SECONDS, EpochId, UNIT};
use evm::bindings::{
    IBuybackPool, IEpochLedger, IExitQueue, IFairValue, IPositionMarket, ISeriesRegistry,
    ISeriesUpgrader, ITwabToken,
};
use eyre::{Result, ensure, eyre};

use super::{World, checks, orders, outside, people, say, story};
use crate::devnet::{DevKey, dev_key};

mod holdings;

/// Scrap proceeds, in quote units (6 decimals).
const SCRAP: u64 = 1_000_000_000;
/// What the vendor is paid, in quote units.
pub const PRICE: u64 = 990_000_000;
/// Name of the new model.
pub const MODEL: &str = "Simulated miner, second generation";
/// New H/s per old.
pub const TIMES: u64 = 2;
/// Units of the signed order, of the posted order, and in the exit queue.
const SIGNED: u64 = 20;
const POSTED: u64 = 10;
const QUEUED: u64 = 5;
/// Who delivers the new machines.
pub const VENDOR: Address = Address::repeat_byte(0x7e);

/// What is open while the hardware changes.
struct Open {
    signed: (IPositionMarket::Order, Bytes),
    posted: IPositionMarket::Order,
    ticket: U256,
}

/// Plays it to the proof of the first epoch that lies wholly after the change.
///
/// # Errors
/// When a step does not come true; the message says which.
pub async fn play(world: &World) -> Result<()> {
    let first = world.deployment.first_epoch;
    say::act(&format!("First epoch ({first}): machines are registered, their end is announced"));
    story::register_machines(world).await?;
    people::register_addresses(world).await?;
    say::done("anya, boris, lena and the operator register Bitcoin addresses");
    story::deposit(world).await?;
    let upgrade = propose(world).await?;
    story::wait_for_time(world, first.end()).await?;

    say::act("Second epoch: orders, LP shares and a queued claim are opened, and stay open");
    story::wait_for_report(world, first).await?;
    let open = open_positions(world).await?;
    wait_out_the_notice(world).await?;

    say::act("After 72 hours of chain time: the quorum attests, the hardware changes");
    let receipt = execute(world, &upgrade).await?;
    holdings::unchanged(world, &open, &receipt).await?;

    say::act("All that was open still works");
    use_what_was_open(world, &open).await?;
    let changed = EpochId::at(block_time(world, &receipt).await?);
    let paid = changed.next();
    say::act(&format!("Epoch {paid}, the first wholly after the change, is paid and proven"));
    wait_for_epoch(world, paid).await?;
    checks::payout_transaction(world, paid).await?;
    take_lp_withdrawal(world).await?;
    let table = checks::verifier_agrees(world).await?;
    ensure!(table.contains("1 upgrades"), "the verifier saw no upgrade");
    let lies = world.run_to_end("tamper-upgrades").await?;
    ensure!(!lies.contains("not run"), "a lie about the upgrade was not told: {lies}");
    say::done("and notices every lie that it is told about the upgrade:");
    lies.lines().for_each(|line| say::line(&format!("      {line}")));
    Ok(())
}

/* THE PROPOSAL */

async fn propose(world: &World) -> Result<ISeriesUpgrader::Upgrade> {
    let upgrader_at = world.deployment.series_upgrader;
    people::give_quote(world, DevKey::Operator, upgrader_at, SCRAP).await?;
    let registry = ISeriesRegistry::new(world.deployment.series_registry, world.evm.reader()?);
    let series = registry.series(1).call().await?;
    let whole = u64::try_from(U256::from(series.backedUnits) / U256::from(UNIT))?;
    let hashrate = series.hashratePerUnit * TIMES * whole;
    let fair = IFairValue::new(world.deployment.fair_value, world.evm.reader()?);
    let schedule = fair.params(1).call().await?;
    let upgrade = ISeriesUpgrader::Upgrade {
        series: 1,
        nonce: 0,
        retiredRoot: series.lastMachineRoot,
        generation: series.generation + 1,
        modelHash: keccak256(MODEL),
        machineRoot: new_root(),
        machines: series.machines,
        hashrate: u128::from(hashrate),
        millijoulePerTerahash: series.millijoulePerTerahash / 2,
        serviceDate: U40::from(world.evm.now().await? + 8 * EPOCH_SECONDS),
        opexPerUnit: series.opexPerUnit,
        initialValue: schedule.initialValue * u128::from(TIMES),
        scrapPpm: schedule.scrapPpm,
        decayPpm: schedule.decayPpm,
        discountPpm: schedule.discountPpm,
        lifeEpochs: schedule.lifeEpochs,
        vendor: VENDOR,
        price: u128::from(PRICE),
        scrap: u128::from(SCRAP),
        evidence: keccak256("scrap sale, invoice, machine list"),
    };
    let upgrader = ISeriesUpgrader::new(upgrader_at, world.evm.as_key(DevKey::Operator)?);
    evm::land("propose", upgrader.propose(upgrade.clone(), MODEL.into())).await?;
    say::done(&format!(
        "the operator proposes generation {}: {} USDC of scrap in escrow, {} USDC for vendor {VENDOR}",
        upgrade.generation,
        say::usdc(U256::from(SCRAP)),
        say::usdc(U256::from(PRICE)),
    ));
    let early = upgrader.execute(upgrade.clone(), Vec::new());
    let refused = evm::land("execute", early).await.err();
    let why = refused.ok_or_else(|| eyre!("an upgrade was executed without notice"))?.to_string();
    ensure!(why.contains("TooEarly"), "unexpected answer: {why}");
    say::done("executing it now is refused: TooEarly");
    Ok(upgrade)
}

/// Merkle root of the new serials: as many as there are old ones.
fn new_root() -> B256 {
    let leaf = |serial: &String| keccak256(format!("Bitmain{serial}"));
    let mut level: Vec<B256> = outside::next_serials().iter().map(leaf).collect();
    level.sort();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [a, b] => keccak256([a.min(b).as_slice(), a.max(b).as_slice()].concat()),
                rest => rest.first().copied().unwrap_or_default(),
            })
            .collect();
    }
    level.first().copied().unwrap_or_default()
}

/* WHAT IS OPEN MEANWHILE */

async fn open_positions(world: &World) -> Result<Open> {
    let pool = IBuybackPool::new(world.series().pool, world.evm.as_key(DevKey::Relayer)?);
    evm::land("roll", pool.roll()).await?;
    let shares = ITwabToken::new(world.series().lp_share, world.evm.reader()?);
    let held = shares.balanceOf(dev_key(DevKey::Lena).address()).call().await?;
    ensure!(!held.is_zero(), "lena has no LP shares");
    say::done("lena holds LP shares of the buyback pool");
    story::buy(world).await?;
    let anya = world.evm.as_key(DevKey::Anya)?;
    let (market_at, queue_at) = (world.deployment.position_market, world.series().queue);
    let unit = ITwabToken::new(world.series().unit, anya.clone());
    evm::land("approve", unit.approve(market_at, units(SIGNED + POSTED))).await?;
    evm::land("approve", unit.approve(queue_at, units(QUEUED))).await?;
    let order = order(world, SIGNED, 1).await?;
    let signature = orders::sign(world, DevKey::Anya, &order)?;
    orders::publish(world, &order, &signature).await?;
    say::done(&format!("anya signs an order: {SIGNED} units"));
    let posted = self::order(world, POSTED, 2).await?;
    let market = IPositionMarket::new(market_at, anya.clone());
    evm::land("post", market.post(posted.clone())).await?;
    say::done(&format!("anya posts an order on chain: {POSTED} units"));
    let queue = IExitQueue::new(queue_at, anya);
    let ticket = queue.ticketCount().call().await?;
    evm::land("enqueue", queue.enqueue(units(QUEUED))).await?;
    say::done(&format!("anya queues {QUEUED} units for the pool: claim {ticket}"));
    Ok(Open { signed: (order, signature), posted, ticket })
}

async fn order(world: &World, base: u64, salt: u64) -> Result<IPositionMarket::Order> {
    let fair = IFairValue::new(world.deployment.fair_value, world.evm.reader()?);
    let price = u128::try_from(fair.askBase(1).call().await?)?;
    Ok(IPositionMarket::Order {
        maker: dev_key(DevKey::Anya).address(),
        taker: Address::ZERO,
        base: world.series().unit,
        quote: world.deployment.quote,
        side: 0,
        baseAmount: U96::from(units(base)),
        quoteAmount: price * u128::from(base),
        expiry: U40::from(world.evm.now().await? + 30 * EPOCH_SECONDS),
        group: 1,
        salt,
    })
}

fn units(whole: u64) -> U256 {
    U256::from(whole) * U256::from(UNIT)
}

/// 72 hours are nine epochs: the contract has no shortcut, so the demo takes none.
async fn wait_out_the_notice(world: &World) -> Result<()> {
    let upgrader = ISeriesUpgrader::new(world.deployment.series_upgrader, world.evm.reader()?);
    let ready_at: u64 = upgrader.proposal(1).call().await?.readyAt.to();
    let left = ready_at.saturating_sub(world.evm.now().await?);
    say::note(&format!(
        "72 hours of notice must pass: {} h of chain time are left, about {} min of yours",
        left / 3_600,
        (left / super::SPEED).div_ceil(60)
    ));
    let mut told = left / 3_600 / 16;
    while world.evm.now().await? < ready_at {
        let hours = ready_at.saturating_sub(world.evm.now().await?) / 3_600;
        if hours / 16 < told {
            told = hours / 16;
            say::note(&format!("{hours} h left; epochs are reported and paid as ever"));
        }
        say::waiting(&format!("notice of the upgrade: {hours} h of chain time left"));
        world.pause().await?;
    }
    Ok(())
}

/* THE CHANGE */

async fn execute(world: &World, upgrade: &ISeriesUpgrader::Upgrade) -> Result<TransactionReceipt> {
    let relayer = world.evm.as_key(DevKey::Relayer)?;
    let upgrader = ISeriesUpgrader::new(world.deployment.series_upgrader, relayer);
    let thief =
        ISeriesUpgrader::Upgrade { vendor: dev_key(DevKey::Operator).address(), ..upgrade.clone() };
    let refused = evm::land("execute", upgrader.execute(thief, Vec::new())).await.err();
    let why = refused.ok_or_else(|| eyre!("the operator paid itself"))?.to_string();
    ensure!(why.contains("WrongProposal"), "unexpected answer: {why}");
    say::done("the operator in the vendor's place is refused: WrongProposal");
    let said = world.run_to_end("attest-upgrade").await?;
    let hash: B256 = said.split_whitespace().last().unwrap_or_default().parse()?;
    let receipt = world.evm.reader()?.get_transaction_receipt(hash).await?;
    let receipt = receipt.ok_or_else(|| eyre!("transaction {hash} is not in a block"))?;
    say::done(&format!(
        "three of five signers attest the machines on their own lists: transaction {hash}"
    ));
    let changed = receipt.decoded_log::<ISeriesUpgrader::Upgraded>();
    let changed = changed.ok_or_else(|| eyre!("no Upgraded event"))?.data;
    let token = ITwabToken::new(world.deployment.quote, world.evm.reader()?);
    let paid = token.balanceOf(VENDOR).call().await?;
    ensure!(paid == U256::from(PRICE), "the vendor has {paid}");
    say::done(&format!(
        "generation {} stands: {} H/s a unit before, {} after; the vendor has {} USDC, {} USDC stay for the next \
         upgrade; {} gas",
        upgrade.generation,
        changed.hashratePerUnitBefore,
        changed.hashratePerUnitAfter,
        say::usdc(paid),
        say::usdc(changed.left),
        receipt.gas_used
    ));
    Ok(receipt)
}

/* AFTERWARDS */

async fn use_what_was_open(world: &World, open: &Open) -> Result<()> {
    let market_at = world.deployment.position_market;
    let (order, signature) = &open.signed;
    let quote = u64::try_from(order.quoteAmount + open.posted.quoteAmount)?;
    people::give_quote(world, DevKey::Boris, market_at, quote).await?;
    let boris = IPositionMarket::new(market_at, world.evm.as_key(DevKey::Boris)?);
    evm::land("fill", boris.fill(order.clone(), signature.clone(), units(SIGNED))).await?;
    say::done("boris fills the signed order, by the signature from before the change");
    let empty = Bytes::new();
    evm::land("fill", boris.fill(open.posted.clone(), empty, units(POSTED))).await?;
    say::done("boris fills the posted order");
    // nobody trades with the pool at the old machines' value, and its queue waits for the new ones' like everybody
    let values = IFairValue::new(world.deployment.fair_value, world.evm.reader()?);
    let fresh = async || Ok(values.fresh(world.series().id.0).call().await?);
    world.wait_until("a report that values the new machines", fresh).await?;
    say::done("a report values the new machines: the pool trades again");
    let queue = IExitQueue::new(world.series().queue, world.evm.as_key(DevKey::Anya)?);
    evm::land("settle", queue.settle(U256::from(5))).await?;
    let me = dev_key(DevKey::Anya).address();
    let credit = queue.claimable(me).call().await?;
    ensure!(!credit.is_zero(), "nothing was settled of claim {}", open.ticket);
    evm::land("claim", queue.claim(me)).await?;
    say::done(&format!("anya's queued claim is settled: {} USDC", say::usdc(credit)));
    let shares = ITwabToken::new(world.series().lp_share, world.evm.reader()?);
    let half = shares.balanceOf(dev_key(DevKey::Lena).address()).call().await? / U256::from(2);
    let pool = IBuybackPool::new(world.series().pool, world.evm.as_key(DevKey::Lena)?);
    evm::land("requestWithdraw", pool.requestWithdraw(half)).await?;
    say::done("lena asks for half of her LP shares' part; it is hers with the next epoch");
    Ok(())
}

async fn take_lp_withdrawal(world: &World) -> Result<()> {
    let lena = dev_key(DevKey::Lena).address();
    let pool = IBuybackPool::new(world.series().pool, world.evm.as_key(DevKey::Lena)?);
    evm::land("roll", pool.roll()).await?;
    let settled = pool.settledOf(lena).call().await?;
    ensure!(!settled.quote.is_zero(), "nothing was settled for lena");
    evm::land("withdrawSettled", pool.withdrawSettled(lena)).await?;
    say::done(&format!("lena takes {} USDC and her part of the units", say::usdc(settled.quote)));
    Ok(())
}

async fn wait_for_epoch(world: &World, epoch: EpochId) -> Result<()> {
    story::wait_for_time(world, epoch.end()).await?;
    story::wait_for_report(world, epoch).await?;
    let ledger = IEpochLedger::new(world.deployment.epoch_ledger, world.evm.reader()?);
    world
        .wait_until("six confirmations and the proof", async || {
            let finalized = BlockId::finalized();
            Ok(ledger.isProven(epoch.0).block(finalized).call().await.unwrap_or_default())
        })
        .await?;
    let batches = checks::commitment(world, epoch).await?.batches;
    ensure!(!batches.is_empty(), "nothing was due in epoch {epoch}");
    let total: u64 = batches.iter().map(|batch| batch.total).sum();
    say::done(&format!("epoch {epoch} is committed, paid ({total} sat) and proven"));
    Ok(())
}

async fn block_time(world: &World, receipt: &TransactionReceipt) -> Result<u64> {
    let number = receipt.block_number.unwrap_or_default();
    let block = world.evm.reader()?.get_block(BlockId::number(number)).await?;
    Ok(block.ok_or_else(|| eyre!("block {number} is gone"))?.header().timestamp())
}
