//! The dev chains themselves: they start, agree on time, and carry a signed report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic")]

use evm::bindings::IFleetOracle;
use tests::report;
use xtask::devnet::{Devnet, Options};

#[tokio::test]
async fn a_report_by_three_signers_is_taken_and_by_two_refused() {
    let dir = tempfile::tempdir().unwrap();
    let net = Devnet::start(dir.path(), Options::default()).await.unwrap();
    let first = net.deployment.first_epoch.0;
    report::register_batch(&net, 100, 4).await.unwrap();
    report::enter_epoch(&net, first + 1).await.unwrap();
    let blank = report::blank_report(&net, first).await.unwrap();
    let oracle = IFleetOracle::new(
        net.deployment.fleet_oracle,
        net.evm.as_key(xtask::devnet::DevKey::Relayer).unwrap(),
    );
    let two = report::sign(&net, &blank, &[0, 1]);
    let refused = evm::land("post", oracle.post(blank.clone(), two)).await.unwrap_err();
    assert!(refused.to_string().contains("NotEnoughSignatures"), "{refused}");
    let three = report::sign(&net, &blank, &[0, 2, 4]);
    evm::land("post", oracle.post(blank, three)).await.unwrap();
    assert_eq!(oracle.lastEpoch().call().await.unwrap(), first);
    assert!(net.bitcoin.height().await.unwrap() >= 101);
}
