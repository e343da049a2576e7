//! The page in a real Chromium, served by a real indexer over a chain that moves: web/e2e against both.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

use std::{process::Command, time::Duration};

use alloy::primitives::U256;
use evm::bindings::IPrimarySale;
use serde_json::json;
use tests::report;
use xtask::{
    devnet::{DevKey, Devnet, Options, dev_key},
    paths,
    process::Process,
};

#[tokio::test]
async fn the_page_is_live_and_refuses_a_mainnet_address() {
    let dir = tempfile::tempdir().unwrap();
    let net = Devnet::start(dir.path(), Options::default()).await.unwrap();
    let first = net.deployment.first_epoch.0;
    report::register_batch(&net, 100, 4).await.unwrap();
    report::enter_epoch(&net, first + 1).await.unwrap();
    report::post(&net, report::blank_report(&net, first).await.unwrap()).await.unwrap();
    buy(&net).await;
    net.evm.call("evm_setIntervalMining", json!([1])).await.unwrap();

    let web = paths::root().join("web");
    assert!(web.join("dist/index.html").exists(), "build the page first: ./scripts/build-web");
    let config = format!(
        "rpc_url = {:?}\ndeployment = {:?}\ndatabase = {:?}\nweb_dir = {:?}\nlisten = \"127.0.0.1:0\"\n\
         bitcoin_network = \"regtest\"\npoll_ms = 100\n",
        net.evm.url,
        net.deployment_path,
        dir.path().join("i.sqlite"),
        web.join("dist"),
    );
    let path = dir.path().join("indexer.toml");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(paths::ours("indexer").unwrap());
    command.args(["run", "--config"]).arg(&path);
    let mut indexer = Process::spawn("indexer", &mut command, dir.path()).unwrap();
    let ready = indexer.line("ready indexer ", Duration::from_secs(30)).await.unwrap();
    let url = ready.trim_start_matches("ready indexer ");

    let status = tokio::process::Command::new("npm")
        .args(["--prefix", &web.display().to_string(), "run", "test:e2e", "--", url, &net.evm.url])
        .status()
        .await
        .unwrap();
    assert!(status.success(), "the browser tests failed; the indexer said:\n{}", indexer.tail());
}

async fn buy(net: &Devnet) {
    let anya = net.evm.as_key(DevKey::Anya).unwrap();
    let quote = evm::bindings::IDemoQuote::new(net.deployment.quote, anya.clone());
    let (me, amount) = (dev_key(DevKey::Anya).address(), U256::from(1_000_000_000_000_u64));
    evm::land("mint", quote.mint(me, amount)).await.unwrap();
    evm::land("approve", quote.approve(net.deployment.primary_sale, amount)).await.unwrap();
    let sale = IPrimarySale::new(net.deployment.primary_sale, anya);
    let units = U256::from(10) * U256::from(domain::UNIT);
    evm::land("buy", sale.buy(1, units, U256::MAX, me)).await.unwrap();
}
