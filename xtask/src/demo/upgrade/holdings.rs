//! What holders have, read at the block of the change and at the one before it.

use alloy::{
    eips::BlockId,
    primitives::{Address, B256, U256, keccak256},
    rpc::types::TransactionReceipt,
    sol_types::SolValue,
};
use evm::bindings::{IBuybackPool, IExitQueue, IPositionMarket, ITwabToken};
use eyre::{Result, ensure, eyre};
use serde_json::json;

use super::Open;
use crate::{
    demo::{World, say},
    devnet::{DevKey, dev_key},
};

/// Everything in which somebody can own something has the same storage root before and after; and what anya, boris and
/// lena read of it is the same, byte for byte.
///
/// # Errors
/// When anything differs.
pub(super) async fn unchanged(
    world: &World,
    open: &Open,
    receipt: &TransactionReceipt,
) -> Result<()> {
    let after = receipt.block_number.ok_or_else(|| eyre!("the change is not in a block"))?;
    let before = after.saturating_sub(1);
    let series = world.series();
    let places: [(&str, Address); 7] = [
        ("units", series.unit),
        ("orders", world.deployment.position_market),
        ("pool", series.pool),
        ("LP shares", series.lp_share),
        ("queue", series.queue),
        ("claims", series.claim_token),
        ("payout addresses", world.deployment.payout_registry),
    ];
    for (what, address) in places {
        let (was, is) = (root(world, address, before).await?, root(world, address, after).await?);
        ensure!(was == is, "{what}: the storage root of {address} went from {was} to {is}");
    }
    say::done(
        "units, orders, pool, LP shares, queue, claims and addresses: same storage roots before and after",
    );
    let (was, is) = (read(world, open, before).await?, read(world, open, after).await?);
    ensure!(was == is, "what anya, boris and lena hold has changed");
    say::done(&format!(
        "balances, allowances, the fills of both orders, the queued claim and the LP shares read alike: {} bytes, \
         keccak {}",
        is.len(),
        keccak256(&is)
    ));
    Ok(())
}

/// Root of a contract's storage at the end of a block.
async fn root(world: &World, address: Address, block: u64) -> Result<B256> {
    let asked = json!([address, [], format!("{block:#x}")]);
    let proof = world.evm.call("eth_getProof", asked).await?;
    let root = proof["storageHash"].as_str();
    Ok(root.ok_or_else(|| eyre!("no storage root of {address}: {proof}"))?.parse()?)
}

async fn read(world: &World, open: &Open, block: u64) -> Result<Vec<u8>> {
    let (reader, at) = (world.evm.reader()?, BlockId::number(block));
    let series = world.series();
    let mut bytes = Vec::new();
    for token in [series.unit, series.lp_share, series.claim_token] {
        let token = ITwabToken::new(token, reader.clone());
        for who in [DevKey::Anya, DevKey::Boris, DevKey::Lena] {
            let who = dev_key(who).address();
            let held: U256 = token.balanceOf(who).block(at).call().await?;
            bytes.extend(held.abi_encode());
            for spender in [world.deployment.position_market, series.pool, series.queue] {
                let allowed: U256 = token.allowance(who, spender).block(at).call().await?;
                bytes.extend(allowed.abi_encode());
            }
        }
        bytes.extend(token.totalSupply().block(at).call().await?.abi_encode());
    }
    let market = IPositionMarket::new(world.deployment.position_market, reader.clone());
    for order in [&open.signed.0, &open.posted] {
        let state = market.orderState(order.clone()).block(at).call().await?;
        bytes.extend((state.filled, state.cancelled).abi_encode());
    }
    let queue = IExitQueue::new(series.queue, reader.clone());
    bytes.extend(queue.ticket(open.ticket).block(at).call().await?.abi_encode());
    let pool = IBuybackPool::new(series.pool, reader);
    bytes.extend(pool.state().block(at).call().await?.abi_encode());
    Ok(bytes)
}
