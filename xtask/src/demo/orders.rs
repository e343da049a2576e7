//! Orders through the public API, as a bot would place and take them.

use alloy::{
    primitives::Bytes,
    signers::SignerSync,
    sol_types::{SolStruct, eip712_domain},
};
use evm::bindings::IPositionMarket::Order;
use eyre::{Result, ensure, eyre};
use serde_json::{Value, json};

use super::World;
use crate::{
    devnet::{DevKey, dev_key},
    rpc,
};

/// Signs an order as `who`.
///
/// # Errors
/// Never in practice: local keys sign.
pub fn sign(world: &World, who: DevKey, order: &Order) -> Result<Bytes> {
    let domain = eip712_domain! {
        name: "Liquid Hashrate PositionMarket",
        version: "1",
        chain_id: world.deployment.chain_id,
        verifying_contract: world.deployment.position_market,
    };
    let signature = dev_key(who).sign_hash_sync(&order.eip712_signing_hash(&domain))?;
    Ok(Bytes::from(signature.as_bytes()))
}

/// Publishes a signed order.
///
/// # Errors
/// With the API's words when it refuses.
pub async fn publish(world: &World, order: &Order, signature: &Bytes) -> Result<()> {
    let (status, reply) = post(world, order, signature).await?;
    ensure!((200..300).contains(&status), "the order was refused ({status}): {reply}");
    Ok(())
}

/// Shows that an order by another's signature and an expired one are refused with a reason.
///
/// # Errors
/// When one of them is taken.
pub async fn refused_when_wrong(world: &World, order: &Order, signature: &Bytes) -> Result<()> {
    let forged = sign(world, DevKey::Boris, order)?;
    let expired = Order { expiry: alloy::primitives::aliases::U40::from(1), ..order.clone() };
    let expired_signature = sign(world, DevKey::Anya, &expired)?;
    let changed = Order { quoteAmount: order.quoteAmount / 2, ..order.clone() };
    for (what, order, signature) in [
        ("another's signature", order, &forged),
        ("an expired order", &expired, &expired_signature),
        ("a changed price", &changed, signature),
    ] {
        let (status, reply) = post(world, order, signature).await?;
        ensure!((400..500).contains(&status), "{what} was taken ({status}): {reply}");
        let code = reply["code"].as_str().ok_or_else(|| eyre!("{what}: no code in {reply}"))?;
        super::say::done(&format!("{what} is refused: {code}"));
    }
    Ok(())
}

/// The best sell order on the book.
///
/// # Errors
/// When the book is empty or its order does not parse.
pub async fn best(world: &World) -> Result<(Order, Bytes)> {
    for _ in 0..40 {
        let book = rpc::get(&format!("{}/v1/book/1", world.api)).await?;
        if let Some(entry) = book.pointer("/asks/0").filter(|it| it["signature"].is_string()) {
            return parse(entry);
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    Err(eyre!("the order book shows no sell order"))
}

async fn post(world: &World, order: &Order, signature: &Bytes) -> Result<(u16, Value)> {
    let body = json!({
        "order": {
            "maker": order.maker, "taker": order.taker, "base": order.base, "quote": order.quote,
            "side": order.side,
            "baseAmount": order.baseAmount.to_string(),
            "quoteAmount": order.quoteAmount.to_string(),
            "expiry": order.expiry.to_string(),
            "group": order.group.to_string(),
            "salt": order.salt.to_string(),
        },
        "signature": signature,
    });
    rpc::post(&format!("{}/v1/orders", world.api), &body).await
}

fn parse(entry: &Value) -> Result<(Order, Bytes)> {
    let order = &entry["order"];
    let text = |key: &str| -> Result<&str> {
        order[key].as_str().ok_or_else(|| eyre!("the book's order has no {key}: {entry}"))
    };
    let side = order["side"].as_u64().or_else(|| order["side"].as_str()?.parse().ok());
    let parsed = Order {
        maker: text("maker")?.parse()?,
        taker: text("taker")?.parse()?,
        base: text("base")?.parse()?,
        quote: text("quote")?.parse()?,
        side: u8::try_from(side.ok_or_else(|| eyre!("no side"))?)?,
        baseAmount: text("baseAmount")?.parse()?,
        quoteAmount: text("quoteAmount")?.parse()?,
        expiry: text("expiry")?.parse()?,
        group: text("group")?.parse()?,
        salt: text("salt")?.parse()?,
    };
    let signature = entry["signature"].as_str().ok_or_else(|| eyre!("no signature"))?;
    Ok((parsed, signature.parse()?))
}
