//! Payouts over a light server that is not ours: ElectrumX, in front of a real bitcoind. Not a stage of `scripts/test`:
//! `scripts/bench light` installs the server and runs this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    unreachable_pub,
    reason = "a harness may stop loudly, and uses a part of what the tests have"
)]

#[path = "../faults/settlement/desk.rs"]
mod desk;
#[path = "../faults/settlement/world.rs"]
mod world;

use std::{process::Command, time::Duration, time::Instant};

use desk::PATIENCE;
use world::{POT, World};
use xtask::{paths, ports, process::Process};

/// Looks at the chains, a block each, that one step of an epoch may take: the server lags by a second or so.
const LOOKS: u32 = 300;
const PAUSE: Duration = Duration::from_millis(250);

fn start(world: &World, port: u16) -> Process {
    let server = paths::root().join(".tools/electrumx/bin/electrumx_server");
    assert!(server.exists(), "{} is missing: run ./scripts/bench light", server.display());
    let data = world.dir.join("electrumx");
    std::fs::create_dir_all(&data).unwrap();
    let cookie = std::fs::read_to_string(&world.net.bitcoin.cookie).unwrap();
    let node = world.net.bitcoin.url.replace("http://", &format!("http://{}@", cookie.trim()));
    let mut command = Command::new(server);
    command.env("DB_DIRECTORY", data).env("DB_ENGINE", "leveldb").env("DAEMON_URL", node);
    command.env("COIN", "Bitcoin").env("NET", "regtest").env("ALLOW_ROOT", "1");
    command.env("SERVICES", format!("tcp://127.0.0.1:{port}"));
    command.env("PEER_DISCOVERY", "").env("BLACKLIST_URL", "").env("CACHE_MB", "50");
    command.env("COST_SOFT_LIMIT", "0").env("COST_HARD_LIMIT", "0");
    command.env("DAEMON_POLL_INTERVAL_BLOCKS", "100").env("DAEMON_POLL_INTERVAL_MEMPOOL", "100");
    Process::spawn("electrumx", &mut command, &world.dir).unwrap()
}

async fn listening(port: u16, process: &mut Process) {
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(process.ended().unwrap().is_none(), "{}", process.tail());
        assert!(started.elapsed() < PATIENCE, "{}", process.tail());
        tokio::time::sleep(PAUSE).await;
    }
}

async fn until(world: &World, what: &str, process: &Process, done: impl AsyncFn() -> bool) {
    for _ in 0..LOOKS {
        if done().await {
            return;
        }
        world.tick().await;
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{what} does not come:\n{}", process.tail());
}

fn halted(process: &Process) -> bool {
    process.output().unwrap().lines().any(|line| line.starts_with("halted "))
}

/// The database is deleted when the transaction is fixed; then the server is killed, and a reorg takes the payout out.
#[tokio::test]
async fn over_electrumx_each_epoch_is_paid_once_by_the_same_transaction() {
    let mut world = World::start().await;
    let port = ports::any().unwrap();
    let mut server = start(&world, port);
    listening(port, &mut server).await;
    world.read_from("electrum", &format!("tcp://127.0.0.1:{port}"));

    let started = Instant::now();
    let epoch = world.earn(POT).await;
    let mut process = world.settle(Some("planned-saved")).await;
    until(&world, "a plan", &process, async || halted(&process)).await;
    let txid = world.status(epoch)["txids"][0].clone();
    assert!(txid.is_string());
    process.kill().unwrap();
    world.delete_database();
    let process = world.settle(None).await;
    until(&world, "a proof", &process, async || world.is_proven(epoch).await).await;
    assert_eq!(world.status(epoch)["txids"][0], txid, "the same transaction");
    assert_eq!(world.payouts(epoch).await.len(), 1);
    println!("light electrumx: epoch {epoch} proven, same txid: {:?} ok", started.elapsed());

    let started = Instant::now();
    let epoch = world.earn(POT).await;
    server.kill().unwrap();
    let mut server = start(&world, port);
    listening(port, &mut server).await;
    let paid = async || !world.payouts(epoch).await.is_empty();
    until(&world, "a payout", &process, paid).await;
    world.reorg(3).await;
    assert!(world.payouts(epoch).await.is_empty(), "the reorg took it out");
    until(&world, "a proof", &process, async || world.is_proven(epoch).await).await;
    assert_eq!(world.payouts(epoch).await.len(), 1);
    println!(
        "light electrumx: epoch {epoch} proven after SIGKILL of the server and a reorg: {:?} ok",
        started.elapsed()
    );
}
