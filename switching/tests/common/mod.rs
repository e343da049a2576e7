//! A pool, a market and a machine for tests of the whole engine over real sockets; their hashing is their own.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests; each test file uses a part"
)]

mod machine;
mod pool;
mod world;

use std::time::Duration;

use bitcoin::hashes::{Hash, sha256d};
use serde_json::Value;
use switching::{Addresses, RunError, config::Config};
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{machine::Machine, pool::Pool, world::World};

/// Every header is a share but one in 65,536: 2^-32.
pub(crate) const ANY: &str = "2.3283064365386963e-10";
/// One header in 16: 2^-28.
pub(crate) const SIXTEENTH: &str = "3.725290298461914e-09";
/// A coinbase around 12 bytes of extranonce: 4 bytes of script before it, 8 after it, one output.
pub(crate) const COINB1: &str = "0200000001000000000000000000000000000000000000000000000000\
    0000000000000000ffffffff1803a1bb0c";
pub(crate) const COINB2: &str = "eeeeeeeeeeeeeeeeffffffff0100f2052a01000000015100000000";
pub(crate) const PREV: &str = "221a7d5aeda279d8b8455fe56c8dc7d05582575d00038fbf0000000000000000";

pub(crate) fn config_text(
    world: &World,
    btc: &Pool,
    bch: &Pool,
    journal: &std::path::Path,
) -> String {
    format!(
        r#"
            listen = "127.0.0.1:0"
            http = "127.0.0.1:0"
            journal = "{journal}"
            hysteresis_ppm = 10000
            min_dwell_seconds = 0
            decide_interval_ms = 20
            max_feed_age_seconds = 5
            submit_timeout_ms = 700
            clock = {{ source = "chain", url = "{url}/evm", poll_ms = 10 }}
            fleet = {{ machines = [{{ serial = "S21-1", series = 1 }}, {{ serial = "S21-2", series = 2 }}] }}
            prices = [{{ coin = "BCH", url = "{url}/ticker" }}]
            [[venues]]
            name = "btc"
            coin = "BTC"
            pool = "{}"
            account = "fleet"
            statement_url = "{url}/btc"
            [[venues]]
            name = "bch"
            coin = "BCH"
            pool = "{}"
            account = "fleet.proxy"
            statement_url = "{url}/bch/"
            "#,
        btc.address,
        bch.address,
        journal = journal.display(),
        url = world.url,
    )
}

pub(crate) struct Engine {
    pub(crate) addresses: Addresses,
    pub(crate) folder: tempfile::TempDir,
    stop: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
}

impl Engine {
    pub(crate) async fn start(world: &World, btc: &Pool, bch: &Pool) -> Self {
        Self::start_with(world, btc, bch, "").await
    }

    /// With more tables in its configuration.
    pub(crate) async fn start_with(world: &World, btc: &Pool, bch: &Pool, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = config_text(world, btc, bch, &folder.path().join("journal")) + more;
        let config: Config = toml::from_str(&text).unwrap();
        config.check().unwrap();
        let (stop, (ready, listening)) = (CancellationToken::new(), oneshot::channel());
        let running = tokio::spawn(switching::run(config, stop.clone(), |addresses| {
            let _ = ready.send(addresses);
        }));
        Self { addresses: listening.await.unwrap(), folder, stop, running }
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.addresses.http);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status").await).unwrap()
    }

    /// Waits until the status satisfies a test.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..400 {
            let status = self.status().await;
            if holds(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never: {what}: {:#}", self.status().await);
    }

    pub(crate) async fn on(&self, venue: &str) -> Value {
        self.until(venue, |status| status["current"]["venue"] == venue).await
    }

    /// Stops it and gives its journal's records.
    pub(crate) async fn stop(self) -> Vec<domain::Production> {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        let path = self.folder.path().join("journal");
        switching::journal::replay(&path).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let line = |line: &str| serde_json::from_str::<domain::journal::Line>(line).unwrap();
        text.lines().map(|text| line(text).record().unwrap()).collect()
    }
}

pub(crate) fn word(text: &str) -> u32 {
    u32::from_str_radix(text, 16).unwrap()
}

fn header_hash(coinbase: &[u8], version: u32, ntime: u32, nonce: u32) -> [u8; 32] {
    let double = |bytes: &[u8]| sha256d::Hash::hash(bytes).to_byte_array();
    let branch = hex::decode(PREV).unwrap();
    let root = double(&[double(coinbase).as_slice(), &branch].concat());
    let mut header = version.to_le_bytes().to_vec();
    for four in hex::decode(PREV).unwrap().chunks(4) {
        header.extend(four.iter().rev());
    }
    header.extend(root);
    for number in [ntime, 0x207f_ffff, nonce] {
        header.extend(number.to_le_bytes());
    }
    double(&header)
}
