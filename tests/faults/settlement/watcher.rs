//! `settlement challenge --watch` as a process of somebody without a role: honest commitments are left alone, a lie is
//! brought before the court once however often it is killed, and a withheld tree is demanded.

use std::path::{Path, PathBuf};

use domain::EPOCH_SECONDS;
use evm::bindings::ILedgerCourt::{self, Fault};
use xtask::{
    devnet::{DevKey, write_key},
    paths,
    process::Process,
};

use super::{
    court::{court, lie, until},
    desk::PATIENCE,
    world::{POT, World},
};

fn journal(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("challenges.jsonl")).unwrap_or_default()
}

async fn watch(world: &World, state: &Path, more: &[&str]) -> Process {
    let key = world.dir.join("lena.key");
    if !key.exists() {
        write_key(DevKey::Lena, &key).unwrap();
    }
    let mut command = std::process::Command::new(paths::ours("settlement").unwrap());
    command.args(["challenge", "--watch", "--config"]).arg(&world.config);
    command.arg("--key-file").arg(&key).arg("--state").arg(state).args(more);
    let mut process = Process::spawn("watcher", &mut command, &world.dir).unwrap();
    process.line("ready challenge", PATIENCE).await.unwrap();
    process
}

async fn upheld(world: &World) -> Vec<ILedgerCourt::Upheld> {
    let filter = court(world).Upheld_filter().from_block(0).query().await.unwrap();
    filter.into_iter().map(|(event, _)| event).collect()
}

/// An honest epoch, then one that the operator lied about; the tree as it was published.
async fn honest_then_lie(world: &mut World) -> (u32, PathBuf) {
    let honest = world.earn(POT).await;
    let mut process = world.settle(None).await;
    world.until_proven(honest, &process).await;
    assert!(process.stop());
    let epoch = world.earn(POT).await;
    let mut process = world.settle(Some("allocated-saved")).await;
    world.until_halted(&mut process).await;
    process.kill().unwrap();
    (epoch, lie(world, epoch).await)
}

#[tokio::test]
async fn a_watcher_leaves_the_honest_alone_and_charges_a_liar_once() {
    let mut world = World::start().await;
    let (state, trees) = (world.dir.join("watch"), world.dir.join("trees"));
    let (epoch, published) = honest_then_lie(&mut world).await;
    let with = ["--trees", trees.to_str().unwrap()];

    // the tree is not public yet: the honest epoch is left alone, and about the other nothing can be shown
    let mut watcher = watch(&world, &state, &with).await;
    until(&world, "a withheld tree", async || watcher.tail().contains("withheld")).await;
    assert_eq!((journal(&state).as_str(), upheld(&world).await.len()), ("", 0));

    // a dry run, of somebody else with a folder of their own, names both faults and sends nothing
    std::fs::create_dir(&trees).unwrap();
    assert!(watcher.stop(), "SIGTERM ends it");
    std::fs::copy(&published, trees.join("liar.json")).unwrap();
    let dry = world.dir.join("dry");
    let mut trial = watch(&world, &dry, &[&with[..], &["--dry-run"]].concat()).await;
    let named = |process: &Process| process.output().unwrap().matches("wrongShare").count();
    until(&world, "two charges", async || named(&trial) == 2).await;
    assert!(trial.stop());
    assert_eq!((journal(&dry).as_str(), upheld(&world).await.len()), ("", 0));

    // killed as soon as something was written down, again and again
    for _ in 0..4 {
        let mut watcher = watch(&world, &state, &with).await;
        let before = journal(&state).len();
        for _ in 0..200 {
            if journal(&state).len() > before + 1 || upheld(&world).await.len() == 2 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        watcher.kill().unwrap();
        world.tick().await;
    }
    let mut watcher = watch(&world, &state, &with).await;
    until(&world, "both upheld", async || upheld(&world).await.len() == 2).await;
    for _ in 0..4 {
        world.tick().await;
    }
    let all = upheld(&world).await;
    assert_eq!(all.len(), 2, "once each");
    assert!(all.iter().all(|event| event.fault == Fault::WrongShare && event.epoch == epoch));
    let lines = journal(&state);
    let landed = lines.matches("\"landed\"").count();
    assert!(lines.matches("\"sending\"").count() >= 2 && landed <= 2, "{lines}");
    // a folder is one watcher's
    let second = std::process::Command::new(paths::ours("settlement").unwrap())
        .args(["challenge", "--watch", "--config"])
        .arg(&world.config)
        .arg("--state")
        .arg(&state)
        .output()
        .unwrap();
    assert!(!second.status.success());
    assert!(watcher.stop());
}

#[tokio::test]
async fn a_watcher_demands_a_withheld_tree_and_charges_silence() {
    let mut world = World::start().await;
    let (epoch, _) = honest_then_lie(&mut world).await;
    let mut watcher = watch(&world, &world.dir.join("watch"), &["--demands", "1"]).await;
    let demanded = async || {
        let found = court(&world).Demanded_filter().from_block(0).query().await.unwrap();
        found.iter().filter(|(event, _)| event.epoch == epoch).count()
    };
    until(&world, "a demand", async || demanded().await == 1).await;
    for _ in 0..4 {
        world.tick().await;
    }
    assert_eq!(demanded().await, 1, "one stands open at a time");
    world.net.evm.advance(3 * EPOCH_SECONDS / 2 + 60).await.unwrap();
    let silent = async || upheld(&world).await.iter().any(|event| event.fault == Fault::Silence);
    until(&world, "silence", silent).await;
    assert!(watcher.stop());
}
