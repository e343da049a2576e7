//! Payouts without a node: over Electrum and over Esplora, from servers that are honest, and from one that lies.

use std::process::Command;

use serde_json::json;
use xtask::{paths, process::Process};

use super::{
    check_paid_once,
    desk::PATIENCE,
    world::{POT, World},
};

/// Blocks that a lie is kept up for.
const WHILE: u32 = 12;

/// A light server, and where it listens.
struct Front {
    // ends with the test
    _process: Process,
    electrum: String,
    esplora: String,
}

impl Front {
    async fn start(world: &World) -> Self {
        let mut command = Command::new(paths::ours("sim-light").unwrap());
        command.arg("--rpc").arg(&world.net.bitcoin.url);
        command.arg("--cookie").arg(&world.net.bitcoin.cookie);
        let mut process = Process::spawn("sim-light", &mut command, &world.dir).unwrap();
        let line = process.line("ready sim-light", PATIENCE).await.unwrap();
        let urls: Vec<&str> = line.split_whitespace().skip(2).collect();
        let (electrum, esplora) = (urls[0].to_owned(), urls[1].to_owned());
        Self { _process: process, electrum, esplora }
    }

    fn of(&self, kind: &str) -> &str {
        if kind == "electrum" { &self.electrum } else { &self.esplora }
    }

    async fn misbehave(&self, mode: &str) {
        let url = format!("{}/admin/misbehave", self.esplora);
        let asked = reqwest::Client::new().post(url).json(&json!({ "mode": mode }));
        assert!(asked.send().await.unwrap().status().is_success(), "{mode}");
    }
}

fn doctor(world: &World) -> String {
    let mut command = Command::new(paths::ours("settlement").unwrap());
    let output = command.args(["doctor", "--config"]).arg(&world.config).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// An epoch whose database is deleted when its transaction is fixed, then one whose payout a reorg takes out.
async fn pays(world: &mut World) {
    let epoch = world.earn(POT).await;
    let mut process = world.settle(Some("planned-saved")).await;
    world.until_halted(&mut process).await;
    let txid = world.status(epoch)["txids"][0].clone();
    assert!(txid.is_string());
    process.kill().unwrap();
    world.delete_database();
    let mut process = world.settle(None).await;
    world.until_proven(epoch, &process).await;
    assert_eq!(world.status(epoch)["txids"][0], txid, "the same transaction");
    check_paid_once(world, epoch, 1).await;
    // what was read before a restart is not read again, and not lost
    assert!(process.stop());
    let process = world.settle(None).await;
    let epoch = world.earn(POT).await;
    world.until_mined(epoch).await;
    world.reorg(3).await;
    assert!(world.payouts(epoch).await.is_empty(), "the reorg took it out");
    world.until_proven(epoch, &process).await;
    check_paid_once(world, epoch, 2).await;
    let said = doctor(world);
    for name in ["Bitcoin: a light server", "baton", "books"] {
        assert!(said.contains(&format!("ok      {name}")), "{said}");
    }
}

#[tokio::test]
async fn without_a_node_it_pays_over_electrum_and_over_esplora() {
    for kind in ["electrum", "esplora"] {
        let mut world = World::start().await;
        let front = Front::start(&world).await;
        world.read_from(kind, front.of(kind));
        pays(&mut world).await;
    }
}

/// Each lie keeps an epoch from being paid or leaves it alone; when the server is honest again it is paid once.
#[tokio::test]
async fn a_light_server_that_lies_costs_time_and_no_money() {
    for kind in ["electrum", "esplora"] {
        let mut world = World::start().await;
        let front = Front::start(&world).await;
        world.read_from(kind, front.of(kind));
        let process = world.settle(None).await;
        let lies = ["omit", "forge_branch", "invent", "stale", "fake_block", "swallow"];
        for (lie, paid) in lies.into_iter().zip(1..) {
            front.misbehave(lie).await;
            let epoch = world.earn(POT).await;
            for _ in 0..WHILE {
                world.tick().await;
            }
            assert!(!world.is_proven(epoch).await, "{kind}: {lie}");
            front.misbehave("none").await;
            world.until_proven(epoch, &process).await;
            check_paid_once(&world, epoch, paid).await;
            println!("{kind}: {lie}: paid once");
        }
        let said = process.output().unwrap();
        for words in ["its branch does not show", "lacks its work"] {
            assert!(said.contains(words), "{kind}: {words:?} in {said}");
        }
    }
}
