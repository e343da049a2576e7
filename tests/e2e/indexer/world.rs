//! An indexer process over a devnet, and the tools to compare what two of them hold.

use std::{path::PathBuf, process::Command, time::Duration};

use alloy::primitives::{B256, U256};
use evm::{Finality, bindings::IDemoQuote, bindings::ITwabToken};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row, SqlitePool, sqlite::SqliteConnectOptions};
use xtask::{
    devnet::{DevKey, Devnet, dev_key},
    paths,
    process::Process,
    rpc,
};

/// Whole units in token units.
pub(crate) fn units(whole: u64) -> U256 {
    U256::from(whole) * U256::from(domain::UNIT)
}

/// A running indexer.
pub(crate) struct Indexer {
    pub(crate) process: Process,
    pub(crate) api: String,
    pub(crate) database: PathBuf,
}

impl Indexer {
    /// Starts one called `name` on a database of that name, new or not.
    pub(crate) async fn start(net: &Devnet, name: &str, rpc_url: &str) -> Self {
        let database = net.dir.join(format!("{name}.sqlite"));
        let config = toml::toml! {
            listen = "127.0.0.1:0"
            bitcoin_network = "regtest"
            fleet_url = "http://127.0.0.1:9"
            poll_ms = 50
            reorg_depth = 16
        };
        let mut config = config;
        for (key, value) in [
            ("rpc_url", rpc_url.to_owned()),
            ("deployment", net.deployment_path.display().to_string()),
            ("database", database.display().to_string()),
        ] {
            config.insert(key.into(), value.into());
        }
        let path = net.dir.join(format!("{name}.toml"));
        std::fs::write(&path, config.to_string()).unwrap();
        let mut command = Command::new(paths::ours("indexer").unwrap());
        command.args(["run", "--log", "info", "--config"]).arg(&path);
        let mut process = Process::spawn(name, &mut command, &net.dir).unwrap();
        let ready = process.line("ready indexer ", Duration::from_secs(30)).await.unwrap();
        let api = ready.trim_start_matches("ready indexer ").to_owned();
        Self { process, api, database }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        rpc::get(&format!("{}{path}", self.api)).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        rpc::post(&format!("{}{path}", self.api), body).await.unwrap()
    }

    /// Waits until the indexed block is the chain's newest.
    pub(crate) async fn caught_up(&self, net: &Devnet) -> B256 {
        let provider = net.evm.reader().unwrap();
        for _ in 0..600 {
            let head = evm::block_at(&provider, Finality::Latest).await.unwrap();
            let status = rpc::get(&format!("{}/v1/status", self.api)).await.unwrap_or_default();
            if status["block"]["hash"] == json!(format!("{:#x}", head.hash))
                && status["ready"] == true
            {
                return head.hash;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the index did not catch up:\n{}", self.process.tail());
    }

    /// Every row of every table that comes from the chain, as text, in order.
    pub(crate) async fn dump(&self) -> Vec<String> {
        let options = SqliteConnectOptions::new().filename(&self.database).read_only(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "select name from sqlite_master where type = 'table'
             and name not in ('meta', 'orders', '_sqlx_migrations') order by name",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        assert!(tables.len() > 20, "{tables:?}");
        let mut rows = Vec::new();
        for table in tables {
            let info = sqlx::query(AssertSqlSafe(format!("pragma table_info({table})")));
            let columns = info.fetch_all(&pool).await.unwrap();
            let columns: Vec<String> =
                columns.iter().map(|row| row.get::<String, _>("name")).collect();
            let sql = format!("select json_array({}) from {table} order by 1", columns.join(", "));
            let found: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap();
            rows.extend(found.into_iter().map(|row| format!("{table} {row}")));
        }
        pool.close().await;
        rows
    }
}

/// What an index made from nothing holds of the chain as it is now.
pub(crate) async fn fresh_dump(net: &Devnet, name: &str) -> Vec<String> {
    let fresh = Indexer::start(net, name, &net.evm.url).await;
    fresh.caught_up(net).await;
    fresh.dump().await
}

/// Compares row by row, so that a failure names the row.
pub(crate) fn assert_same(found: &[String], fresh: &[String]) {
    for (ours, theirs) in found.iter().zip(fresh) {
        assert_eq!(ours, theirs, "the index differs from a fresh one");
    }
    assert_eq!(found.len(), fresh.len(), "the index has more or fewer rows than a fresh one");
}

/// Moves units from one to another.
pub(crate) async fn transfer(net: &Devnet, from: DevKey, to: DevKey, amount: U256) {
    let unit = net.deployment.series[0].unit;
    let token = ITwabToken::new(unit, net.evm.as_key(from).unwrap());
    evm::land("transfer", token.transfer(dev_key(to).address(), amount)).await.unwrap();
}

/// Gives quote tokens and lets `spender` take them.
pub(crate) async fn give_quote(
    net: &Devnet,
    who: DevKey,
    spender: alloy::primitives::Address,
    amount: u64,
) {
    let quote = IDemoQuote::new(net.deployment.quote, net.evm.as_key(who).unwrap());
    let amount = U256::from(amount);
    evm::land("mint", quote.mint(dev_key(who).address(), amount)).await.unwrap();
    evm::land("approve", quote.approve(spender, amount)).await.unwrap();
}
