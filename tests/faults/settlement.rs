//! The real `settlement` and `signer` on real chains: killed at every labelled point it pays once; without its database
//! it builds the same transaction; a second payout is refused by Bitcoin.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "tests may panic"
)]

mod audit;
mod court;
mod desk;
mod fees;
mod holders;
mod light;
mod operator;
mod rival;
#[allow(dead_code, reason = "the large sweep, `tests/crash`, uses the rest")]
mod sweep;
mod watcher;
mod world;

use alloy::primitives::U256;
use world::{ANYA, BORIS, POT, UNITS, World};

/// What a holder of `held` units has been credited after `epochs` equal pots, floored to sats: the ledger's rule,
/// written once more.
fn credited(held: u64, epochs: u64) -> u64 {
    let each = (U256::from(POT) << 64_usize) * U256::from(held) / U256::from(UNITS);
    ((each * U256::from(epochs)) >> 64_usize).to::<u64>()
}

async fn check_paid_once(world: &World, epoch: u32, epochs: u64) {
    let payouts = world.payouts(epoch).await;
    assert_eq!(payouts.len(), 1, "epoch {epoch} is paid by one transaction");
    assert_eq!(payouts[0].output.len(), 4, "baton, marker, Anya, Boris");
    for (script, held) in world.scripts.iter().zip([ANYA, BORIS]) {
        assert_eq!(world.received(script).await, credited(held, epochs), "after epoch {epoch}");
    }
}

async fn killed_at(points: &[&str]) {
    let mut world = World::start().await;
    for (point, paid) in points.iter().zip(1..) {
        let started = std::time::Instant::now();
        let epoch = world.earn(POT).await;
        let mut process = world.settle(Some(point)).await;
        world.until_halted(&mut process).await;
        process.kill().unwrap();
        let mut process = world.settle(None).await;
        world.until_proven(epoch, &process).await;
        assert!(process.stop(), "SIGTERM ends it");
        check_paid_once(&world, epoch, paid).await;
        println!("{point}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn killed_before_the_commit_is_final_it_pays_once() {
    killed_at(&[
        "snapshot-chosen",
        "snapshot-saved",
        "allocated-unsaved",
        "allocated-saved",
        "commit-landed",
        "committed-saved",
    ])
    .await;
}

#[tokio::test]
async fn killed_while_it_signs_and_sends_it_pays_once() {
    killed_at(&[
        "planned-unsaved",
        "planned-saved",
        "one-signature",
        "signed-unsaved",
        "signed-saved",
        "broadcast-done",
    ])
    .await;
}

#[tokio::test]
async fn killed_while_it_confirms_and_proves_it_pays_once() {
    killed_at(&[
        "sent-saved",
        "confirmed-unsaved",
        "confirmed-saved",
        "proof-landed",
        "proven-saved",
    ])
    .await;
}

/// The small sweep; `./scripts/bench crash` does a thousand.
#[tokio::test]
async fn killed_at_random_instants_every_payee_is_paid_once() {
    let seed = 4;
    let sweep = sweep::random(seed, 25, |_| {}).await;
    let sweep = sweep.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    println!("{:?}", sweep.tally);
}

/// The audit must be able to fail: a payer that broadcasts before it saves is killed in the same way.
#[tokio::test]
async fn the_audit_catches_a_payer_that_broadcasts_before_it_saves() {
    let caught = sweep::broadcast_before_save(4, 40).await.unwrap_err();
    assert!(caught.contains("received"), "{caught}");
}

#[tokio::test]
async fn without_its_database_it_builds_the_same_transaction() {
    let mut world = World::start().await;
    for (point, paid) in ["planned-saved", "broadcast-done"].into_iter().zip(1..) {
        let epoch = world.earn(POT).await;
        let mut process = world.settle(Some(point)).await;
        world.until_halted(&mut process).await;
        let txid = world.status(epoch)["txids"][0].clone();
        assert!(txid.is_string());
        process.kill().unwrap();
        world.delete_database();
        let process = world.settle(None).await;
        world.until_proven(epoch, &process).await;
        assert_eq!(world.status(epoch)["txids"][0], txid, "at {point}");
        assert_eq!(
            world.payouts(epoch).await[0].compute_txid().to_string(),
            txid.as_str().unwrap()
        );
        check_paid_once(&world, epoch, paid).await;
        let (config, number) = (world.config.to_str().unwrap(), epoch.to_string());
        let dry = world.cli(&["dry-run", "--config", config, "--epoch", &number]);
        let dry: serde_json::Value = serde_json::from_str(&dry).unwrap();
        let root = world.root(epoch).await.hash;
        assert_eq!((&dry["committed"], &dry["root"]), (&true.into(), &root.to_string().into()));
    }
}

#[tokio::test]
async fn a_bitcoin_reorg_takes_the_payout_out_and_it_is_paid_once() {
    let mut world = World::start().await;
    let epoch = world.earn(POT).await;
    let process = world.settle(None).await;
    world.until_mined(epoch).await;
    world.reorg(3).await;
    assert!(world.payouts(epoch).await.is_empty(), "the reorg took it out");
    world.until_proven(epoch, &process).await;
    check_paid_once(&world, epoch, 1).await;
}

#[tokio::test]
async fn a_second_payout_is_refused_by_bitcoin_and_a_second_instance_by_the_lock() {
    let mut world = World::start().await;
    let epoch = world.earn(POT).await;
    let process = world.settle(None).await;
    let ready = process.output().unwrap();
    let url = ready.lines().find_map(|line| line.strip_prefix("ready settlement ")).unwrap();
    let error = second_instance(&world);
    assert!(error.contains("another settlement process"), "{error}");
    world.until_proven(epoch, &process).await;
    check_paid_once(&world, epoch, 1).await;
    let health = xtask::rpc::get(&format!("{url}/health")).await.unwrap();
    assert_eq!(health["ok"], true, "{health}");
    let status = xtask::rpc::get(&format!("{url}/status")).await.unwrap();
    let last = status["epochs"].as_array().unwrap().last().unwrap();
    assert_eq!(last["total"], (credited(ANYA, 1) + credited(BORIS, 1)).to_string(), "{status}");
    let paid = world.payouts(epoch).await.remove(0);
    let variant = rival::cheaper_variant(&world, &paid).await;
    assert_eq!(variant.output[2..], paid.output[2..], "it pays the same people");
    let refused = rival::broadcast(&world, &variant).await.unwrap_err().to_string();
    assert!(refused.contains("missingorspent"), "{refused}");
    check_paid_once(&world, epoch, 1).await;
}

#[tokio::test]
async fn with_a_signer_down_and_one_payee_a_batch_the_fan_out_is_proven() {
    let mut world = World::start().await;
    let text = std::fs::read_to_string(&world.config).unwrap();
    let small = text.replace("max_batch_bytes = 75000", "max_batch_bytes = 43");
    std::fs::write(&world.config, small).unwrap();
    world.stop_signer(0);
    for paid in 1..=2 {
        let epoch = world.earn(POT).await;
        let mut process = world.settle(None).await;
        world.until_proven(epoch, &process).await;
        assert!(process.stop());
        assert_eq!(world.payouts(epoch).await.len(), 3, "a root transaction and two chunks");
        for (script, held) in world.scripts.iter().zip([ANYA, BORIS]) {
            assert_eq!(world.received(script).await, credited(held, paid));
        }
    }
}

#[tokio::test]
async fn a_signer_refuses_what_is_not_committed() {
    let mut world = World::start().await;
    let epoch = world.earn(POT).await;
    let mut process = world.settle(Some("planned-saved")).await;
    world.until_halted(&mut process).await;
    let honest = rival::planned_psbt(&world, epoch);
    assert!(rival::ask(&world, epoch, 0, &honest).await.get("signed").is_some());
    assert_eq!(
        rival::ask(&world, epoch, 0, &honest).await,
        rival::ask(&world, epoch, 0, &honest).await,
        "the same request gets the same signature"
    );
    let mut greedy = honest.clone();
    greedy.unsigned_tx.output[2].value += bitcoin::Amount::ONE_SAT;
    let refused = rival::ask(&world, epoch, 0, &greedy).await.to_string();
    assert!(refused.contains("payees are not the committed ones"), "{refused}");
    let refused = rival::ask(&world, epoch + 1, 0, &honest).await.to_string();
    assert!(refused.contains("not committed"), "{refused}");
    let other = rival::other_input(&honest);
    let refused = rival::ask(&world, epoch, 0, &other).await.to_string();
    assert!(refused.contains("not the baton"), "{refused}");
}

fn second_instance(world: &World) -> String {
    let output = std::process::Command::new(xtask::paths::ours("settlement").unwrap())
        .args(["run", "--config"])
        .arg(&world.config)
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
