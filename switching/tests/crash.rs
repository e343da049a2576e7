//! `kill -9` of the real process, with shares in flight.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::{ANY, Machine, Pool, World};
use domain::Production;

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn start(config: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switching"));
    command.args(["--log", "error", "run", "--config"]).arg(config).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready switching http://"), "{line}");
    child
}

/// Shares and hashes credited in a journal.
fn credited(journal: &Path) -> (u64, u128) {
    let totals = switching::journal::replay(journal).unwrap().totals;
    let tally = totals.venues.get("btc").copied().unwrap_or_default();
    (tally.accepted, tally.hashes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_engine_loses_at_most_half_a_second_and_counts_nothing_twice() {
    let world = World::start("0.5").await;
    let (btc, bch) = (Pool::start("aa", ANY).await, Pool::start("bb", ANY).await);
    let folder = tempfile::tempdir().unwrap();
    let (journal, config) = (folder.path().join("journal"), folder.path().join("switching.toml"));
    let stratum = free_address();
    let text = common::config_text(&world, &btc, &bch, &journal);
    let text = text.replacen("127.0.0.1:0", &stratum.to_string(), 1);
    std::fs::write(&config, text).unwrap();
    let (mut safe, mut told) = (0, 0);
    for round in 0_u32..4 {
        let mut child = start(&config);
        let mut machine = Machine::connect_to(stratum, "S21-1", None).await;
        assert_eq!(machine.authorize().await["result"], true);
        let job = machine.job().await;
        let mut acknowledged = Vec::new();
        for nonce in 0..100 {
            // The pool keeps no book of its own jobs, so a nonce may come again after a restart.
            let reply = machine.submit(&job, &format!("{round:04x}"), nonce, 0).await;
            if reply["result"] == true {
                acknowledged.push(Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let killed = Instant::now();
        child.kill().unwrap();
        child.wait().unwrap();
        // A flush every 500 ms, and time for its write on a busy machine.
        let old = |at: &&Instant| killed.duration_since(**at) > Duration::from_millis(800);
        safe += u64::try_from(acknowledged.iter().filter(old).count()).unwrap();
        told += u64::try_from(acknowledged.len()).unwrap();
        let (shares, hashes) = credited(&journal);
        assert!(safe <= shares && shares <= told, "{safe} <= {shares} <= {told}");
        assert_eq!(hashes, u128::from(shares), "each share of this difficulty is one hash");
        (safe, told) = (shares, shares);
        let mut torn = std::fs::OpenOptions::new().append(true).open(&journal).unwrap();
        torn.write_all(br#"{"seq":99,"prev":"0x"#).unwrap();
    }
    let text = std::fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let record =
        |line: &&str| serde_json::from_str::<domain::journal::Line>(line).ok()?.record().ok();
    let records: Vec<Production> = lines.iter().filter_map(record).collect();
    assert_eq!(records.len(), lines.len() - 1, "all but the torn line");
    let starts = records.iter().filter(|record| matches!(record, Production::Started { .. }));
    assert_eq!(starts.count(), 4);
}
