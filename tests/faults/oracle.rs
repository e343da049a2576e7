//! Real oracle signers against one of them that lies: it splits the others, and signs two reports.

use std::{collections::BTreeMap, process::Command, time::Duration};

use alloy::{
    primitives::{Address, B256, Keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use axum::{Json, Router, extract::Path, routing::get};
use evm::{
    bindings::IFleetOracle::{self, ReportPosted},
    quorum::OracleDomain,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tests::report;
use xtask::{
    devnet::{DevKey, Devnet, Options, dev_key, write_key},
    paths, ports,
    process::Process,
};

const PATIENCE: Duration = Duration::from_secs(30);
const OBSERVE_AFTER: u64 = 600;
const ROUND: u64 = 1_200;

#[derive(Clone, Serialize, Deserialize)]
struct SignedObservation {
    body: String,
    signature: String,
}

/// As signers send it: the order of fields is what is signed.
#[derive(Clone, Serialize, Deserialize)]
struct SignRequest {
    epoch: u32,
    round: u16,
    observations: Vec<SignedObservation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    epoch: u32,
    round: u16,
    hash: B256,
    signature: String,
}

struct World {
    net: Devnet,
    /// The liar leads round 0 of the first epoch.
    liar: PrivateKeySigner,
    /// The others' API by address.
    honest: BTreeMap<Address, (String, Command, Process)>,
    epoch: u32,
    _scratch: tempfile::TempDir,
}

/// A free address, now and then.
fn address() -> String {
    format!("127.0.0.1:{}", ports::any().unwrap())
}

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

/// An empty journal, and a price that is a little different for every signer.
async fn sources() -> String {
    let price = |Path(cents): Path<u32>| async move {
        let price = format!("60000.{cents:02}");
        Json(json!({ "bidPrice": price, "askPrice": price }))
    };
    let journal = || async { Json(json!([])) };
    serve(Router::new().route("/journal", get(journal)).route("/price/{cents}", get(price))).await
}

impl World {
    async fn start(liars_api: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let net = Devnet::start(dir, Options::default()).await.unwrap();
        let epoch = net.deployment.first_epoch.0;
        report::register_batch(&net, 100, 4).await.unwrap();
        let treasury = net.bitcoin.new_address("faucet", "bech32").await.unwrap();
        let mut set: Vec<(Address, u8)> =
            (0..5).map(|i| (dev_key(DevKey::Signer(i)).address(), i)).collect();
        set.sort();
        let (liar, liars_key) = set[usize::try_from(epoch).unwrap() % 5];
        let at: BTreeMap<Address, String> =
            set.iter().map(|(signer, _)| (*signer, address())).collect();
        let url = |signer: &Address| match *signer == liar {
            true => liars_api.to_owned(),
            false => format!("http://{}", at[signer]),
        };
        let peers: Vec<Value> =
            set.iter().map(|(signer, _)| json!({"address": signer, "url": url(signer)})).collect();
        let sources = sources().await;
        let mut honest = BTreeMap::new();
        for (signer, key) in set.iter().filter(|(signer, _)| *signer != liar) {
            let name = format!("oracle-{key}");
            let key_file = dir.join(format!("{name}.key"));
            write_key(DevKey::Signer(*key), &key_file).unwrap();
            let price = json!({"shape": "binance", "url": format!("{sources}/price/{key}")});
            let config = json!({
                "listen": at[signer], "key_file": key_file, "store": dir.join(format!("{name}.sqlite")),
                "evm_url": net.evm.url, "deployment": net.deployment_path,
                "clock": {"source": "chain", "url": net.evm.url, "poll_ms": 50},
                "peers": peers, "pools": [], "prices": [price, price, price],
                "bitcoin": {
                    "url": net.bitcoin.url, "cookie_file": net.bitcoin.cookie, "start_height": 1,
                    "confirmations": 2, "treasury": [treasury],
                },
                "journal": {"url": sources},
                "timing": {
                    "observe_after_seconds": OBSERVE_AFTER, "attempt_seconds": ROUND, "poll_ms": 100,
                    "answer_ms": 5_000,
                },
            });
            let path = dir.join(format!("{name}.toml"));
            std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
            let mut command = Command::new(paths::ours("fleet-oracle").unwrap());
            command.args(["signer", "--config"]).arg(&path);
            let process = run(&name, &mut command, dir).await;
            honest.insert(*signer, (url(signer), command, process));
        }
        let liar = dev_key(DevKey::Signer(liars_key));
        Self { net, liar, honest, epoch, _scratch: scratch }
    }

    fn domain(&self) -> OracleDomain {
        let (chain_id, oracle) = (self.net.deployment.chain_id, self.net.deployment.fleet_oracle);
        OracleDomain { chain_id, oracle }
    }

    /// The chain's time to just after the beginning of a round.
    async fn enter_round(&self, round: u64) {
        let start = u64::from(self.epoch + 1) * domain::EPOCH_SECONDS + OBSERVE_AFTER;
        let now = self.net.evm.now().await.unwrap();
        self.net.evm.advance(start + round * ROUND + 10 - now).await.unwrap();
        self.net.sync_clocks().await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
    }

    /// Asks, as the leader of round 0, for a signature over the report of these observations.
    async fn ask(&self, url: &str, observations: &[SignedObservation]) -> Result<Seen, String> {
        let mut observations = observations.to_vec();
        observations.sort_by(|a, b| a.signature.cmp(&b.signature));
        let request = SignRequest { epoch: self.epoch, round: 0, observations };
        let mut hasher = Keccak256::new();
        hasher.update(b"Liquid Hashrate sign request v1");
        hasher.update(self.domain().chain_id.to_be_bytes());
        hasher.update(self.domain().oracle);
        hasher.update(serde_json::to_string(&request).unwrap());
        let signature = self.liar.sign_hash_sync(&hasher.finalize()).unwrap();
        let led = json!({"request": request, "signature": hex::encode(signature.as_bytes())});
        let http = reqwest::Client::new();
        let answer = http.post(format!("{url}/sign")).json(&led).send().await.unwrap();
        let ok = answer.status().is_success();
        let text = answer.text().await.unwrap();
        if ok { Ok(serde_json::from_str(&text).unwrap()) } else { Err(text) }
    }

    async fn observation(&self, url: &str) -> SignedObservation {
        let url = format!("{url}/observation?epoch={}", self.epoch);
        for _ in 0..100 {
            let answer = reqwest::get(&url).await.unwrap();
            if answer.status().is_success() {
                return answer.json().await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!(
            "no observation at {url}: {}",
            reqwest::get(&url).await.unwrap().text().await.unwrap()
        );
    }

    fn oracle(&self) -> IFleetOracle::IFleetOracleInstance<evm::DynProvider> {
        IFleetOracle::new(self.net.deployment.fleet_oracle, self.net.evm.reader().unwrap())
    }

    async fn until(&self, what: &str, done: impl AsyncFn() -> bool) {
        for _ in 0..300 {
            if done().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let logs: Vec<String> =
            self.honest.values().map(|(_, _, process)| process.tail()).collect();
        panic!("{what} never came:\n{}", logs.join("\n"));
    }

    /// Rounds of the reports on chain.
    async fn rounds(&self) -> Vec<(u32, u16)> {
        let provider = self.net.evm.reader().unwrap();
        let latest = evm::block_at(&provider, evm::Finality::Latest).await.unwrap().number;
        let addresses = [self.net.deployment.fleet_oracle];
        let logs = evm::logs_between(&provider, &addresses, None, 0, latest).await.unwrap();
        let posted = evm::decoded::<ReportPosted>(&logs).unwrap();
        posted.into_iter().map(|(event, _)| (event.epoch, event.round)).collect()
    }
}

async fn run(name: &str, command: &mut Command, dir: &std::path::Path) -> Process {
    let mut process = Process::spawn(name, command, dir).unwrap();
    process.line("ready fleet-oracle", PATIENCE).await.unwrap();
    process
}

/// The leader of round 0 shows two of its peers one set of observations and two another: nobody has a quorum. One of them
/// is killed right after it signed, and signs nothing else when it is back. The next round reports the epoch.
#[tokio::test]
async fn a_leader_who_splits_the_signers_costs_one_round() {
    let dead = format!("http://{}", address());
    let mut world = World::start(&dead).await;
    world.enter_round(0).await;
    let urls: Vec<String> = world.honest.values().map(|(url, _, _)| url.clone()).collect();
    let mut seen = Vec::new();
    for url in &urls {
        seen.push(world.observation(url).await);
    }
    // by price, so that the two medians differ
    seen.sort_by_key(|seen| {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        body["quote_per_btc"].as_str().unwrap().parse::<u64>().unwrap()
    });
    let (one, other) = (&seen[..3], &seen[1..]);
    let first = world.ask(&urls[0], one).await.unwrap();
    assert_eq!(world.ask(&urls[1], one).await.unwrap().hash, first.hash);
    let second = world.ask(&urls[2], other).await.unwrap();
    assert_eq!(world.ask(&urls[3], other).await.unwrap().hash, second.hash);
    assert_ne!(first.hash, second.hash, "two reports of one round");

    let (_, command, process) = world.honest.values_mut().next().unwrap();
    process.kill().unwrap();
    *process = run("restarted", command, &world.net.dir).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refused = world.ask(&urls[0], other).await.unwrap_err();
    assert!(refused.contains("bound to report"), "{refused}");
    assert_eq!(world.ask(&urls[0], one).await.unwrap(), first, "the same signature again");

    world.enter_round(1).await;
    let (oracle, epoch) = (world.oracle(), world.epoch);
    world.until("the report", async || oracle.lastEpoch().call().await.unwrap() == epoch).await;
    assert_eq!(world.rounds().await, [(epoch, 1)], "one round was lost, and no epoch");
}

/// A signer shows two signatures over two reports of one round; whoever sees both takes its stake.
#[tokio::test]
async fn who_signs_two_reports_of_one_round_is_slashed_by_who_sees_it() {
    let shown = std::sync::Arc::new(std::sync::Mutex::new(Vec::<Seen>::new()));
    let shows = std::sync::Arc::clone(&shown);
    let app =
        Router::new().route("/seen", get(|| async move { Json(shows.lock().unwrap().clone()) }));
    let url = serve(app).await;
    let world = World::start(&url).await;
    let signs = |byte| {
        let hash = B256::repeat_byte(byte);
        let digest = world.domain().digest(world.epoch, 3, hash);
        let signature = hex::encode(world.liar.sign_hash_sync(&digest).unwrap().as_bytes());
        Seen { epoch: world.epoch, round: 3, hash, signature }
    };
    *shown.lock().unwrap() = vec![signs(1), signs(2)];
    world.enter_round(1).await;
    let (oracle, liar) = (world.oracle(), world.liar.address());
    assert!(oracle.isSigner(liar).call().await.unwrap());
    world.until("the slash", async || !oracle.counts(liar).call().await.unwrap()).await;
    assert!(!oracle.forfeited().call().await.unwrap().is_zero());
    // the others report without it
    let epoch = world.epoch;
    world.until("the report", async || oracle.lastEpoch().call().await.unwrap() == epoch).await;
}
