//! The indexer over a real chain with the real contracts: what it says, and that no reorg, kill or lag changes it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

mod orders;
mod world;

use alloy::primitives::{Address, B256, Bytes, U256};
use evm::bindings::{
    IBuybackPool, IEpochLedger, IExitQueue, IPayoutRegistry, IPrimarySale, ITwabToken,
};
use serde_json::{Value, json};
use tests::report;
use world::{Indexer, assert_same, fresh_dump, give_quote, transfer, units};
use xtask::devnet::{DevKey, Devnet, Options, dev_key};

/// A fleet of 100 units, valued; Anya holds 20 of them. Returns the first epoch.
async fn world(net: &Devnet) -> u32 {
    let first = net.deployment.first_epoch.0;
    report::register_batch(net, 100, 4).await.unwrap();
    report::enter_epoch(net, first + 1).await.unwrap();
    report::post(net, report::blank_report(net, first).await.unwrap()).await.unwrap();
    give_quote(net, DevKey::Anya, net.deployment.primary_sale, 1_000_000_000_000).await;
    let sale =
        IPrimarySale::new(net.deployment.primary_sale, net.evm.as_key(DevKey::Anya).unwrap());
    let (to, most) = (dev_key(DevKey::Anya).address(), U256::MAX);
    evm::land("buy", sale.buy(1, units(20), most, to)).await.unwrap();
    first
}

/// Uses every contract that the index follows: pool, queue, scripts, ledger.
async fn busy(net: &Devnet, first: u32) {
    let series = &net.deployment.series[0];
    give_quote(net, DevKey::Lena, series.pool, 1_000_000_000_000).await;
    let pool = IBuybackPool::new(series.pool, net.evm.as_key(DevKey::Lena).unwrap());
    evm::land("deposit", pool.deposit(U256::from(900_000_000_000_u64))).await.unwrap();
    let registry = net.deployment.payout_registry;
    for (who, byte) in [(DevKey::Anya, 0x11), (DevKey::Boris, 0x22)] {
        let registry = IPayoutRegistry::new(registry, net.evm.as_key(who).unwrap());
        let script = Bytes::from([&[0x00, 0x14][..], &[byte; 20]].concat());
        evm::land("setScript", registry.setScript(script, 0)).await.unwrap();
    }
    report::enter_epoch(net, first + 2).await.unwrap();
    report::post(net, report::blank_report(net, first + 1).await.unwrap()).await.unwrap();
    evm::land("roll", pool.roll()).await.unwrap();
    let anya = net.evm.as_key(DevKey::Anya).unwrap();
    let token = ITwabToken::new(series.unit, anya.clone());
    evm::land("approve", token.approve(series.pool, units(20))).await.unwrap();
    evm::land("approve", token.approve(series.queue, units(20))).await.unwrap();
    let me = dev_key(DevKey::Anya).address();
    let pool = IBuybackPool::new(series.pool, anya.clone());
    evm::land("sell", pool.sell(units(1), U256::ZERO, me)).await.unwrap();
    let queue = IExitQueue::new(series.queue, anya);
    evm::land("enqueue", queue.enqueue(units(2))).await.unwrap();
    evm::land("takeBack", queue.takeBack(U256::ZERO)).await.unwrap();
    let ledger =
        IEpochLedger::new(net.deployment.epoch_ledger, net.evm.as_key(DevKey::Operator).unwrap());
    let commitment = IEpochLedger::Commitment {
        epoch: first,
        root: IEpochLedger::Root { hash: B256::ZERO, accSum: 0, paidSum: 0 },
        accounts: 0,
        minPay: 0,
        feeRate: 1_000,
        anchorHeight: 101,
        anchorHash: B256::repeat_byte(3),
        funding: vec![IEpochLedger::OutPoint { txid: B256::repeat_byte(4), vout: 1 }],
        defer: true,
        batches: vec![],
    };
    evm::land("commit", ledger.commit(commitment)).await.unwrap();
}

/// The index's balance-seconds of a token against the token's own.
async fn check_balance_seconds(net: &Devnet, token: Address, listed: &Value, epoch: u32) {
    let contract = ITwabToken::new(token, net.evm.reader().unwrap());
    for held in listed.as_array().unwrap() {
        let account: Address = held["account"].as_str().unwrap().parse().unwrap();
        let found: U256 = held["balanceSeconds"].as_str().unwrap().parse().unwrap();
        let expected = contract.balanceSeconds(account, epoch).call().await.unwrap();
        assert_eq!(found, expected, "{account} in epoch {epoch}");
    }
    let sum: U256 = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|held| held["balanceSeconds"].as_str().unwrap().parse::<U256>().unwrap())
        .sum();
    assert_eq!(sum, contract.totalBalanceSeconds(epoch).call().await.unwrap(), "epoch {epoch}");
}

#[tokio::test]
async fn it_says_what_the_chain_says() {
    let dir = tempfile::tempdir().unwrap();
    let net = Devnet::start(dir.path(), Options::default()).await.unwrap();
    let first = world(&net).await;
    busy(&net, first).await;
    transfer(&net, DevKey::Anya, DevKey::Boris, units(3)).await;
    net.evm.advance(5_000).await.unwrap();
    transfer(&net, DevKey::Boris, DevKey::Lena, units(1)).await;
    let index = Indexer::start(&net, "index", &net.evm.url).await;
    index.caught_up(&net).await;

    orders::story(&net, &index).await;

    report::enter_epoch(&net, first + 4).await.unwrap();
    index.caught_up(&net).await;
    let series = &net.deployment.series[0];
    for epoch in first..first + 4 {
        let seconds = index.get(&format!("/v1/series/1/balance-seconds/{epoch}")).await;
        assert_eq!(seconds["ended"], true);
        check_balance_seconds(&net, series.unit, &seconds["units"], epoch).await;
        check_balance_seconds(&net, series.lp_share, &seconds["lpShares"], epoch).await;
        check_balance_seconds(&net, series.claim_token, &seconds["claims"], epoch).await;
    }
    says_the_rest(&net, &index, first).await;
    assert!(index.process_stops(), "SIGTERM must end it");
}

async fn says_the_rest(net: &Devnet, index: &Indexer, first: u32) {
    let reports = index.get("/v1/reports").await;
    assert_eq!(reports["reports"][0]["epoch"], json!((first + 1).to_string()));
    let signers = reports["reports"][0]["signers"].as_array().unwrap();
    let known = reports["signers"].as_array().unwrap();
    assert_eq!(signers.len(), 5);
    assert!(signers.iter().all(|signer| known.contains(signer)), "{reports}");

    let account = format!("/v1/accounts/{}", dev_key(DevKey::Anya).address());
    let anya = index.get(&account).await;
    assert_eq!(anya["scripts"][0]["inForce"], true);
    assert_eq!(anya["scripts"][0]["fromEpoch"], json!((first + 2).to_string()));
    assert!(anya["scripts"][0]["address"].as_str().unwrap().starts_with("bcrt1q"));

    let holders = index.get("/v1/series/1/holders").await;
    let token = ITwabToken::new(net.deployment.series[0].unit, net.evm.reader().unwrap());
    for holder in holders["units"].as_array().unwrap() {
        let account: Address = holder["account"].as_str().unwrap().parse().unwrap();
        let balance = token.balanceOf(account).call().await.unwrap();
        assert_eq!(holder["balance"], json!(balance.to_string()), "{account}");
    }
    let epochs = index.get("/v1/epochs").await;
    assert_eq!(epochs["epochs"][0]["state"], "deferred");
    let pool = index.get("/v1/pool/1").await;
    assert_eq!(pool["tickets"][0]["takenBack"], json!(units(2).to_string()));
    let fleet = index.get("/v1/fleet").await;
    assert!(fleet["fleet"].is_null() && fleet["why"].as_str().unwrap().contains("does not answer"));
    for (address, code) in [
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "wrong_network"),
        ("hello", "unknown_address_form"),
    ] {
        let (status, problem) =
            index.post("/v1/addresses/check", &json!({ "address": address })).await;
        assert_eq!((status, &problem["code"]), (422, &json!(code)), "{problem}");
        assert!(!problem["fix"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_reorg_or_a_kill_leaves_what_a_fresh_index_holds() {
    let dir = tempfile::tempdir().unwrap();
    let net = Devnet::start(dir.path(), Options::default()).await.unwrap();
    let first = world(&net).await;
    let index = Indexer::start(&net, "index", &net.evm.url).await;
    index.caught_up(&net).await;

    // Live: ten blocks and everything they did are replaced by other transactions, at other times.
    let before = net.evm.call("evm_snapshot", json!([])).await.unwrap();
    for _ in 0..6 {
        transfer(&net, DevKey::Anya, DevKey::Boris, units(1)).await;
    }
    busy(&net, first).await;
    let old = index.caught_up(&net).await;
    net.evm.call("evm_revert", json!([before])).await.unwrap();
    for _ in 0..30 {
        transfer(&net, DevKey::Anya, DevKey::Lena, units(1) / U256::from(4)).await;
    }
    busy(&net, first).await;
    assert_ne!(index.caught_up(&net).await, old);
    assert_same(&index.dump().await, &fresh_dump(&net, "fresh-live").await);

    // Live, by the node's own reorg: eight blocks become empty ones, then other transactions follow.
    net.evm.call("anvil_reorg", json!([8, []])).await.unwrap();
    transfer(&net, DevKey::Anya, DevKey::Lena, units(1)).await;
    index.caught_up(&net).await;
    assert_same(&index.dump().await, &fresh_dump(&net, "fresh-anvil").await);

    // Down: killed, and the chain changes meanwhile, deeper than the live stream remembers.
    let before = net.evm.call("evm_snapshot", json!([])).await.unwrap();
    for _ in 0..20 {
        transfer(&net, DevKey::Anya, DevKey::Boris, units(1) / U256::from(8)).await;
    }
    index.caught_up(&net).await;
    let mut index = index;
    index.process.kill().unwrap();
    net.evm.call("evm_revert", json!([before])).await.unwrap();
    for _ in 0..5 {
        transfer(&net, DevKey::Anya, DevKey::Lena, units(1) / U256::from(8)).await;
    }
    net.evm.mine(40).await.unwrap();
    let index = Indexer::start(&net, "index", &net.evm.url).await;
    index.caught_up(&net).await;
    assert_same(&index.dump().await, &fresh_dump(&net, "fresh-down").await);

    killed_again_and_again(&net).await;
}

/// SIGKILL at many moments of a backfill; each restart goes on where the last committed block is.
async fn killed_again_and_again(net: &Devnet) {
    for _ in 0..60 {
        transfer(net, DevKey::Anya, DevKey::Boris, U256::from(1_000)).await;
        transfer(net, DevKey::Boris, DevKey::Anya, U256::from(999)).await;
    }
    for round in 0..12_u64 {
        let mut index = Indexer::start(net, "killed", &net.evm.url).await;
        tokio::time::sleep(std::time::Duration::from_millis(round * 17)).await;
        index.process.kill().unwrap();
    }
    let index = Indexer::start(net, "killed", &net.evm.url).await;
    index.caught_up(net).await;
    assert_same(&index.dump().await, &fresh_dump(net, "fresh-killed").await);
}

impl Indexer {
    fn process_stops(mut self) -> bool {
        self.process.stop()
    }
}
