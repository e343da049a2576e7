//! Signed orders through the API: taken, shown, partly filled, cancelled; and refused with nothing stored.

use alloy::{
    primitives::{Address, Bytes, aliases::U40, aliases::U96},
    signers::SignerSync,
    sol_types::{SolStruct, eip712_domain},
};
use evm::bindings::{IPositionMarket, IPositionMarket::Order, ITwabToken};
use serde_json::{Value, json};
use xtask::devnet::{DevKey, Devnet, dev_key};

use super::world::{Indexer, give_quote, units};

fn sign(net: &Devnet, who: DevKey, order: &Order, chain_id: u64) -> Bytes {
    let domain = eip712_domain! {
        name: "Liquid Hashrate PositionMarket",
        version: "1",
        chain_id: chain_id,
        verifying_contract: net.deployment.position_market,
    };
    let digest = order.eip712_signing_hash(&domain);
    Bytes::from(dev_key(who).sign_hash_sync(&digest).unwrap().as_bytes())
}

fn body(order: &Order, signature: &Bytes) -> Value {
    json!({
        "order": {
            "maker": order.maker, "taker": order.taker, "base": order.base, "quote": order.quote,
            "side": order.side.to_string(), "baseAmount": order.baseAmount.to_string(),
            "quoteAmount": order.quoteAmount.to_string(), "expiry": order.expiry.to_string(),
            "group": order.group.to_string(), "salt": order.salt.to_string(),
        },
        "signature": signature,
    })
}

async fn ask_of(net: &Devnet) -> Order {
    Order {
        maker: dev_key(DevKey::Anya).address(),
        taker: Address::ZERO,
        base: net.deployment.series[0].unit,
        quote: net.deployment.quote,
        side: 0,
        baseAmount: U96::from(units(4)),
        quoteAmount: 100_000_000,
        expiry: U40::from(net.evm.now().await.unwrap() + 500_000),
        group: 7,
        salt: 1,
    }
}

/// The whole life of an order.
pub(crate) async fn story(net: &Devnet, index: &Indexer) {
    let order = ask_of(net).await;
    refused(net, index, &order).await;
    let signature = sign(net, DevKey::Anya, &order, net.deployment.chain_id);
    for _ in 0..2 {
        let (status, reply) = index.post("/v1/orders", &body(&order, &signature)).await;
        assert_eq!(status, 201, "{reply}");
    }
    let market_address = net.deployment.position_market;
    let market = IPositionMarket::new(market_address, net.evm.as_key(DevKey::Boris).unwrap());
    let book = index.get("/v1/book/1").await;
    assert_eq!(book["asks"].as_array().unwrap().len(), 1, "the same order is one order: {book}");
    let hash = market.orderHash(order.clone()).call().await.unwrap();
    assert_eq!(book["asks"][0]["hash"], json!(hash));
    assert_eq!(book["asks"][0]["price"], "25000000");
    assert_eq!(book["asks"][0]["fillable"], "0");
    assert_eq!(book["asks"][0]["reason"], "maker_allowance");

    let token = ITwabToken::new(order.base, net.evm.as_key(DevKey::Anya).unwrap());
    evm::land("approve", token.approve(market_address, units(3))).await.unwrap();
    index.caught_up(net).await;
    let book = index.get("/v1/orders?series=1").await;
    assert_eq!(book["asks"][0]["fillable"], json!(units(3).to_string()));
    assert_eq!(book["asks"][0]["reason"], "maker_allowance");

    give_quote(net, DevKey::Boris, market_address, 1_000_000_000).await;
    let fill = market.fill(order.clone(), signature.clone(), units(1));
    evm::land("fill", fill).await.unwrap();
    index.caught_up(net).await;
    let book = index.get("/v1/book/1").await;
    assert_eq!(book["asks"][0]["remaining"], json!(units(3).to_string()));
    assert_eq!(book["asks"][0]["fillable"], json!(units(2).to_string()));
    let trades = index.get("/v1/trades?series=1").await;
    assert_eq!(trades["trades"][0]["venue"], "market");
    assert_eq!(trades["trades"][0]["orderHash"], json!(hash));
    assert_eq!(trades["trades"][0]["quoteAmount"], "25000000");

    let anya = IPositionMarket::new(market_address, net.evm.as_key(DevKey::Anya).unwrap());
    evm::land("cancelGroup", anya.cancelGroup(7)).await.unwrap();
    index.caught_up(net).await;
    let book = index.get("/v1/book/1").await;
    assert!(book["asks"].as_array().unwrap().is_empty(), "{book}");
    let (status, problem) = index.post("/v1/orders", &body(&order, &signature)).await;
    assert_eq!((status, &problem["code"]), (422, &json!("order_cancelled")));

    let other = Order { group: 8, ..order.clone() };
    let signature = sign(net, DevKey::Anya, &other, net.deployment.chain_id);
    let (status, reply) = index.post("/v1/orders", &body(&other, &signature)).await;
    assert_eq!(status, 201, "{reply}");
    evm::land("cancelAll", anya.cancelAll()).await.unwrap();
    index.caught_up(net).await;
    let book = index.get("/v1/book/1").await;
    assert!(
        book["asks"].as_array().unwrap().is_empty(),
        "an earlier epoch's order is dead: {book}"
    );
    let (status, problem) = index.post("/v1/orders", &body(&other, &signature)).await;
    assert_eq!((status, &problem["code"]), (422, &json!("wrong_maker_epoch")));
    let next = Order { group: (1 << 32) | 8, ..order.clone() };
    let signature = sign(net, DevKey::Anya, &next, net.deployment.chain_id);
    let (status, reply) = index.post("/v1/orders", &body(&next, &signature)).await;
    assert_eq!(status, 201, "{reply}");
}

async fn refused(net: &Devnet, index: &Indexer, order: &Order) {
    let chain = net.deployment.chain_id;
    let good = sign(net, DevKey::Anya, order, chain);
    let expired = Order { expiry: U40::from(1), ..order.clone() };
    let dearer = Order { quoteAmount: order.quoteAmount * 2, ..order.clone() };
    let unlisted = Order { base: Address::repeat_byte(9), ..order.clone() };
    let quoted = Order { quote: Address::repeat_byte(9), ..order.clone() };
    let contract = Order { maker: net.deployment.primary_sale, ..order.clone() };
    let of = |who, order: &Order| sign(net, who, order, chain);
    let cases = [
        ("wrong_signature", body(order, &of(DevKey::Boris, order))),
        ("wrong_signature", body(order, &sign(net, DevKey::Anya, order, 1))),
        ("wrong_signature", body(&dearer, &good)),
        ("wrong_signature", body(order, &Bytes::from_static(&[1, 2, 3]))),
        ("wrong_signature", body(&contract, &of(DevKey::Anya, &contract))),
        ("order_expired", body(&expired, &of(DevKey::Anya, &expired))),
        ("unknown_token", body(&unlisted, &of(DevKey::Anya, &unlisted))),
        ("unknown_token", body(&quoted, &of(DevKey::Anya, &quoted))),
        ("malformed_order", json!({ "order": {} })),
    ];
    for (code, body) in cases {
        let (status, problem) = index.post("/v1/orders", &body).await;
        assert_eq!((status, &problem["code"]), (422, &json!(code)), "{problem}");
        assert!(!problem["fix"].as_str().unwrap().is_empty(), "{problem}");
    }
    let book = index.get("/v1/book/1").await;
    assert_eq!(book["asks"], json!([]), "a refused order must not be stored");
}
