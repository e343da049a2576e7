//! The court with real processes: a commit that lied is shown, corrected and paid; demands are answered after SIGKILL and
//! without a database; silence is a fault.

use std::path::{Path, PathBuf};

use alloy::{
    primitives::{Address, B256, Bytes, keccak256},
    sol_types::SolValue,
};
use domain::{EPOCH_SECONDS, Leaf, Sats};
use evm::bindings::{
    IEpochLedger,
    IEpochLedger::{Commitment, Root},
    ILedgerCourt,
};
use serde_json::Value;
use sqlx::Row;
use xtask::{
    devnet::{DevKey, dev_key, write_key},
    paths,
    process::Process,
};

use super::{
    credited,
    world::{ANYA, BORIS, POT, World},
};

/// Sats of credit that the liar moves from Anya to Boris.
const LIE: u64 = 1_000;

pub fn court(world: &World) -> ILedgerCourt::ILedgerCourtInstance<evm::DynProvider> {
    ILedgerCourt::new(world.net.deployment.ledger_court, world.net.evm.reader().unwrap())
}

fn who(key: DevKey) -> Address {
    dev_key(key).address()
}

/// `settlement challenge` by Lena, who holds no role.
fn challenge(world: &World, epoch: u32, more: &[&str]) -> String {
    let key = world.dir.join("lena.key");
    if !key.exists() {
        write_key(DevKey::Lena, &key).unwrap();
    }
    let (config, epoch) = (world.config.to_str().unwrap(), epoch.to_string());
    let args = ["challenge", "--config", config, "--epoch", &epoch, "--key-file"];
    world.cli(&[&args[..], &[key.to_str().unwrap()], more].concat())
}

fn charges(said: &str) -> Value {
    serde_json::from_str(said).unwrap()
}

/// What the halted service was about to commit, and its leaves.
async fn intent(world: &World, epoch: u32) -> (Commitment, Vec<Leaf>) {
    let path = world.dir.join("settlement.sqlite");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let row = sqlx::query("SELECT data FROM parts WHERE epoch = ? AND part = 'intent'").bind(epoch);
    let intent: String = row.fetch_one(&pool).await.unwrap().get(0);
    let intent: Value = serde_json::from_str(&intent).unwrap();
    let bytes: Bytes = intent["commitment"].as_str().unwrap().parse().unwrap();
    let row = sqlx::query("SELECT leaves FROM packed_leaves WHERE epoch = ?").bind(epoch);
    let packed: String = row.fetch_one(&pool).await.unwrap().get(0);
    let leaves = settlement::encode::read_leaves(&hex::decode(packed).unwrap()).unwrap();
    (Commitment::abi_decode(&bytes).unwrap(), leaves)
}

/// The root by the ledger contract's own views.
async fn root(world: &World, leaves: &[Leaf]) -> B256 {
    let ledger = world.ledger();
    let mut level = Vec::new();
    for leaf in leaves {
        let acc: Vec<u8> = leaf
            .acc
            .iter()
            .flat_map(|entry| {
                [&entry.series.0.to_be_bytes()[..], &entry.acc.to_be_bytes()].concat()
            })
            .collect();
        let out = leaf.out.map_or(u32::MAX, |o| u32::from(o.batch) << 16 | u32::from(o.index));
        let since = leaf.since.map_or(0, |epoch| epoch.0);
        let (account, script) = (leaf.account, leaf.script_hash);
        let hash = ledger.leafHash(account, script, leaf.paid.0, since, out, acc.into());
        let sum = leaf.acc.iter().map(|entry| entry.acc).sum();
        let hash = hash.call().await.unwrap();
        level.push(Root { hash, accSum: sum, paidSum: leaf.paid.0 });
    }
    let zero = Root { hash: B256::ZERO, accSum: 0, paidSum: 0 };
    level.resize(level.len().next_power_of_two(), zero);
    while level.len() > 1 {
        let mut above = Vec::new();
        for pair in level.chunks(2) {
            above.push(ledger.nodeHash(pair[0].clone(), pair[1].clone()).call().await.unwrap());
        }
        level = above;
    }
    level[0].hash
}

/// Commits what the service was about to, with a thousand sats moved from Anya to Boris. Returns the tree as published.
pub async fn lie(world: &World, epoch: u32) -> PathBuf {
    let (mut commitment, mut leaves) = intent(world, epoch).await;
    let mut outputs = Vec::new();
    for leaf in &mut leaves {
        let before = leaf.paid.0;
        let script = if leaf.account == who(DevKey::Anya) {
            leaf.acc[0].acc -= u128::from(LIE) << 64;
            leaf.paid = Sats(before - LIE);
            &world.scripts[0]
        } else if leaf.account == who(DevKey::Boris) {
            leaf.acc[0].acc += u128::from(LIE) << 64;
            leaf.paid = Sats(before + LIE);
            &world.scripts[1]
        } else {
            continue;
        };
        let script = hex::decode(script).unwrap();
        outputs.extend(leaf.paid.0.to_le_bytes());
        outputs.push(u8::try_from(script.len()).unwrap());
        outputs.extend(script);
    }
    commitment.root.hash = root(world, &leaves).await;
    commitment.batches[0].outputsHash = keccak256(&outputs);
    let operator = world.net.evm.as_key(DevKey::Operator).unwrap();
    let ledger = IEpochLedger::new(world.net.deployment.epoch_ledger, operator);
    evm::land("commit", ledger.commit(commitment)).await.unwrap();
    world.net.evm.mine(3).await.unwrap();
    let path = world.dir.join("published.json");
    std::fs::write(&path, serde_json::to_string(&leaves).unwrap()).unwrap();
    path
}

/// The verifier's report.
async fn verify(world: &World) -> Value {
    super::holders::verify(world, &[]).await.1
}

fn outcome(report: &Value, check: u64) -> &Value {
    let verdicts = report["report"]["verdicts"].as_array().unwrap();
    verdicts.iter().find(|verdict| verdict["check"] == check).unwrap()
}

pub async fn until(world: &World, what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if done().await {
            return;
        }
        world.tick().await;
    }
    panic!("never happened: {what}");
}

async fn stuck_on_the_wrong_root(process: &Process) -> bool {
    process.tail().contains("computed from the chain it is")
}

#[tokio::test]
async fn a_commit_that_lied_is_upheld_corrected_and_paid() {
    let mut world = World::start().await;
    let mut process = world.settle(None).await;
    world.until_proven(world.next - 1, &process).await;
    assert!(process.stop());
    let epoch = world.earn(POT).await;
    let mut process = world.settle(Some("allocated-saved")).await;
    world.until_halted(&mut process).await;
    process.kill().unwrap();
    let published = lie(&world, epoch).await;

    // the honest service pays nothing that it cannot explain
    let process = world.settle(None).await;
    until(&world, "a mismatch", async || stuck_on_the_wrong_root(&process).await).await;
    assert!(world.payouts(epoch).await.is_empty());
    assert_eq!(charges(&challenge(&world, epoch, &[]))["tree_known"], false);
    let red = verify(&world).await;
    assert_eq!(outcome(&red, 6)["outcome"], "failed", "{red}");

    // anybody with the tree shows it
    let bond = court(&world).bond().call().await.unwrap();
    let tree = ["--tree", published.to_str().unwrap()];
    let verdict = charges(&challenge(&world, epoch, &tree));
    let list = verdict["charges"].as_array().unwrap();
    assert_eq!(list.len(), 2, "{verdict}");
    assert!(list.iter().all(|c| c["fault"] == "wrongShare" && c["refused"].is_null()), "{verdict}");
    challenge(&world, epoch, &[&tree[..], &["--send"]].concat());
    assert!(court(&world).bond().call().await.unwrap() < bond, "a penalty was taken");
    let anya = court(&world).accCorrection(world.next, who(DevKey::Anya), 1).call().await.unwrap();
    assert_eq!(anya.to_string(), (u128::from(LIE) << 64).to_string());

    // what was committed is paid as committed; the next epoch puts it right
    world.until_proven(epoch, &process).await;
    assert_eq!(world.received(&world.scripts[0]).await, credited(ANYA, 1) - LIE);
    assert_eq!(world.received(&world.scripts[1]).await, credited(BORIS, 1) + LIE);
    let next = world.earn(POT).await;
    world.until_proven(next, &process).await;
    assert_eq!(world.received(&world.scripts[0]).await, credited(ANYA, 2));
    assert_eq!(world.received(&world.scripts[1]).await, credited(BORIS, 2));
    let green = verify(&world).await;
    for check in 5..=9 {
        assert_eq!(outcome(&green, check)["outcome"], "passed", "{green}");
    }
    let moved = [(who(DevKey::Anya), "added"), (who(DevKey::Boris), "taken_back")];
    super::holders::told_alike(&world, epoch, next, &moved).await;
    super::holders::lies_about_the_court_are_noticed(&world).await;
    rebuilt_from_the_chain(&mut world, process, next).await;
}

/// Without its database the service takes the wrong epoch over from the court's records, and goes on.
async fn rebuilt_from_the_chain(world: &mut World, mut process: Process, last: u32) {
    assert!(process.stop());
    let root = world.status(last)["root"].clone();
    world.delete_database();
    let process = world.settle(None).await;
    world.until_proven(last, &process).await;
    let epoch = world.earn(POT).await;
    world.until_proven(epoch, &process).await;
    assert_eq!(world.status(last)["root"], root);
    assert_eq!(world.received(&world.scripts[0]).await, credited(ANYA, 3));
    assert_eq!(charges(&challenge(world, epoch, &[]))["charges"], Value::Array(Vec::new()));
}

async fn answered(world: &World, account: Address, epoch: u32) -> bool {
    let filter = court(world).Answered_filter().from_block(0).query().await.unwrap();
    filter.iter().any(|(event, _)| event.account == account && event.epoch == epoch)
}

#[tokio::test]
async fn a_demand_is_answered_after_sigkill_and_without_the_database() {
    let mut world = World::start().await;
    let mut epoch = 0;
    for _ in 0..2 {
        epoch = world.earn(POT).await;
    }
    let mut process = world.settle(None).await;
    world.until_proven(epoch, &process).await;
    assert!(process.stop());
    let halts = [("answer-saved", DevKey::Anya), ("answer-landed", DevKey::Boris)];
    for (point, account) in halts {
        let account = who(account);
        challenge(&world, epoch, &["--demand", &account.to_string(), "--send"]);
        let mut process = world.settle(Some(point)).await;
        world.until_halted(&mut process).await;
        process.kill().unwrap();
        assert_eq!(answered(&world, account, epoch).await, point == "answer-landed", "{point}");
        let mut process = world.settle(None).await;
        until(&world, "an answer", async || answered(&world, account, epoch).await).await;
        assert!(process.stop());
    }
    // somebody without a leaf, asked about at an earlier epoch, of a service that has lost everything
    world.delete_database();
    let nobody = who(DevKey::Lena);
    challenge(&world, epoch - 1, &["--demand", &nobody.to_string(), "--send"]);
    let process = world.settle(None).await;
    until(&world, "an answer", async || answered(&world, nobody, epoch - 1).await).await;
    metrics_count(&world, &process, 3).await;
}

async fn metrics_count(world: &World, process: &Process, answers: u64) {
    let ready = process.output().unwrap();
    let url = ready.lines().find_map(|line| line.strip_prefix("ready settlement ")).unwrap();
    let expected = format!("settlement_demands_answered_total {answers}\n");
    until(world, "the metric", async || {
        let text = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
        assert!(text.contains("settlement_bonded 1\n"), "{text}");
        text.contains(&expected)
    })
    .await;
}

#[tokio::test]
async fn a_withheld_tree_is_demanded_and_silence_is_a_fault() {
    let mut world = World::start().await;
    let epoch = world.earn(POT).await;
    let mut process = world.settle(None).await;
    world.until_proven(epoch, &process).await;
    assert!(process.stop());
    let anya = who(DevKey::Anya).to_string();
    challenge(&world, epoch, &["--demand", &anya, "--send"]);
    world.net.evm.mine(3).await.unwrap();
    let early = charges(&challenge(&world, epoch, &[]));
    assert_eq!(early["charges"], Value::Array(Vec::new()), "there is time to answer");
    world.net.evm.advance(3 * EPOCH_SECONDS / 2 + 60).await.unwrap();
    world.net.evm.mine(3).await.unwrap();
    let bond = court(&world).bond().call().await.unwrap();
    let late = charges(&challenge(&world, epoch, &["--send"]));
    assert_eq!(late["charges"][0]["fault"], "silence", "{late}");
    let left = court(&world).bond().call().await.unwrap();
    // a tenth of the pot at 60,000 quote units a bitcoin
    assert_eq!(bond - left, alloy::primitives::U256::from(POT * 60_000 / 100 / 10));
    let reward = court(&world).rewardOf(who(DevKey::Lena)).call().await.unwrap();
    assert_eq!(reward, (bond - left) / alloy::primitives::U256::from(20));
    says_underbonded(&world).await;
}

/// The doctor names a bond that does not suffice.
async fn says_underbonded(world: &World) {
    let operator = world.net.evm.as_key(DevKey::Operator).unwrap();
    let court = ILedgerCourt::new(world.net.deployment.ledger_court, operator);
    let all = court.bond().call().await.unwrap();
    evm::land("announceWithdrawal", court.announceWithdrawal(all)).await.unwrap();
    let said = doctor(&world.config);
    let line = said.lines().find(|line| line.contains(" bond: ")).unwrap_or_default();
    assert!(line.starts_with("problem") && line.contains("`post` more"), "{said}");
}

pub fn doctor(config: &Path) -> String {
    let output = std::process::Command::new(paths::ours("settlement").unwrap())
        .args(["doctor", "--config"])
        .arg(config)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}
