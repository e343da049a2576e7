//! Services on the side of the machines: switching, conversion, oracle signers.

use std::path::{Path, PathBuf};

use evm::Deployment;
use eyre::{Result, eyre};
use serde_json::{Value, json};

use super::{Plan, chain_clock, launch};
use crate::{
    demo::{
        config::{Party, write_toml},
        outside, upgrade,
    },
    devnet::{DevKey, dev_key, write_key, write_secret},
    process::Process,
};

/// The switching engine.
pub(super) async fn switching(plan: &Plan<'_>) -> Result<Process> {
    let machines: Vec<Value> =
        outside::serials().iter().map(|serial| json!({"serial": serial, "series": 1})).collect();
    let venue = |name: &str, coin: &str, pool: &outside::Pool| {
        json!({
            "name": name, "coin": coin, "pool": pool.stratum, "account": "fleet",
            "statement_url": pool.http,
        })
    };
    let config = json!({
        "listen": plan.ports.stratum,
        "http": plan.ports.switching,
        "journal": plan.dir.join("production.jsonl"),
        "hysteresis_ppm": 10_000,
        "min_dwell_seconds": 3_600,
        "decide_interval_ms": 250,
        "max_feed_age_seconds": 30,
        "clock": chain_clock(plan),
        "prices": [{
            "coin": "BCH", "taker_fee_ppm": 1_000,
            "url": format!("{}/api/v3/ticker/bookTicker?symbol=BCHBTC", plan.exchange.http),
        }],
        "venues": [
            venue("btc-pool", "BTC", plan.btc_pool),
            venue("bch-pool", "BCH", plan.bch_pool),
        ],
        "fleet": {"machines": machines},
        "proof": {
            "evm_url": plan.evm.url, "poll_ms": 100, "shares": 16,
            "fleet": Deployment::read(plan.deployment)?.fleet(),
        },
    });
    launch(plan, "switching", &["run"], "switching", &config).await
}

/// Conversion of mined coins to bitcoin.
pub(super) async fn conversion(plan: &Plan<'_>) -> Result<Process> {
    let (key, secret) = credentials(plan, "trade", &plan.exchange.trade_key)?;
    let config = json!({
        "listen": plan.ports.conversion,
        "journal": plan.dir.join("fills.jsonl"),
        "poll_ms": 250,
        "id_prefix": "lh",
        "clock": chain_clock(plan),
        "venue": {
            "kind": "binance", "url": plan.exchange.http,
            "api_key_file": key, "api_secret_file": secret,
            "recv_window_ms": 5_000, "timeout_ms": 5_000,
        },
        "coins": [{"coin": "BCH", "min_sale": "0.10", "lot": "0.01"}],
        "withdrawal": {
            "treasury": plan.treasury.withdrawals,
            "minimum": "0.005", "floor": "0.0002", "every_seconds": 7_200,
        },
    });
    launch(plan, "conversion", &["run"], "conversion", &config).await
}

/// The five oracle signers, and the file with which the operator asks them to attest. Each has its own key, store, read
/// key at the exchange, and readings of every source.
pub(super) async fn oracle_signers(plan: &Plan<'_>) -> Result<Vec<Process>> {
    let peers: Vec<Value> = (0..5_u8)
        .zip(&plan.ports.oracle)
        .map(|(index, at)| {
            let address = dev_key(DevKey::Signer(index)).address();
            json!({"address": address, "url": format!("http://{at}")})
        })
        .collect();
    let machines = write_toml(plan.dir, "machines", &machine_list())?;
    let operator_key = plan.dir.join("operator.key");
    write_key(DevKey::Operator, &operator_key)?;
    let operator = json!({
        "key_file": operator_key, "evm_url": plan.evm.url, "deployment": plan.deployment,
        "machines": machines, "peers": peers,
    });
    write_toml(plan.dir, "operator", &operator)?;
    let mut up = Vec::new();
    for (index, at) in (0..5_u8).zip(&plan.ports.oracle) {
        let name = format!("oracle-{index}");
        let config = signer_config(plan, index, at, &machines, &peers)?;
        up.push(launch(plan, "fleet-oracle", &["signer"], &name, &config).await?);
    }
    Ok(up)
}

fn signer_config(
    plan: &Plan<'_>,
    index: u8,
    listen: &str,
    machines: &Path,
    peers: &[Value],
) -> Result<Value> {
    let name = format!("oracle-{index}");
    let key_file = plan.dir.join(format!("{name}.key"));
    write_key(DevKey::Signer(index), &key_file)?;
    let read_key = plan.exchange.read_keys.get(usize::from(index));
    let read_key = read_key.ok_or_else(|| eyre!("no read key for {name}"))?;
    let (api_key, api_secret) = credentials(plan, &name, read_key)?;
    let exchange = &plan.exchange.http;
    let pool = |name: &str, coin: &str, pays: &str, pool: &outside::Pool| {
        json!({
            "name": name, "url": pool.http, "account": "fleet", "coin": coin, "pays": pays,
            "venues": [name],
        })
    };
    Ok(json!({
        "listen": listen,
        "key_file": key_file,
        "store": plan.dir.join(format!("{name}.sqlite")),
        "evm_url": plan.evm.url,
        "deployment": plan.deployment,
        "machines": machines,
        "clock": chain_clock(plan),
        "peers": peers,
        "bitcoin": {
            "url": plan.bitcoin.url, "cookie_file": plan.bitcoin.cookie, "start_height": 1,
            "confirmations": 2,
            "treasury": [plan.treasury.pool, plan.treasury.withdrawals],
        },
        "journal": {"url": format!("http://{}", plan.ports.switching)},
        "pools": [
            pool("btc-pool", "BTC", "treasury", plan.btc_pool),
            pool("bch-pool", "BCH", "exchange", plan.bch_pool),
        ],
        "exchange": {
            "url": exchange, "api_key_file": api_key, "api_secret_file": api_secret,
            "coins": ["BCH"],
        },
        "prices": [
            {"shape": "binance", "url": format!("{exchange}/api/v3/ticker/bookTicker?symbol=BTCUSDC")},
            {"shape": "kraken", "url": format!("{exchange}/kraken/0/public/Ticker?pair=XBTUSDC")},
            {"shape": "coinbase", "url": format!("{exchange}/coinbase/products/BTC-USDC/ticker")},
        ],
        "hardware": [{
            "series": 1, "url": format!("{exchange}/hardware/v1/prices?algorithm=sha256"),
            "field": "/price",
        }],
        "timing": {"observe_after_seconds": 2_400, "attempt_seconds": 4_800, "poll_ms": 200},
    }))
}

/// The demo's machines by nameplate: 24,000 hashes per wall second are 25 per second of chain time.
fn machine_list() -> Value {
    let hashrate = outside::MACHINE_HASHRATE / crate::demo::SPEED;
    let machines: Vec<Value> = outside::serials()
        .iter()
        .map(|serial| json!({"vendor": "Bitmain", "serial": serial, "hashrate": hashrate}))
        .collect();
    let hashrate = hashrate * upgrade::TIMES;
    let next: Vec<Value> = outside::next_serials()
        .iter()
        .map(|serial| json!({"vendor": "Bitmain", "serial": serial, "hashrate": hashrate}))
        .collect();
    json!({
        "batches": [{"series": 1, "nonce": 0, "machines": machines}],
        "upgrades": [{
            "series": 1, "nonce": 0, "model": upgrade::MODEL, "vendor": upgrade::VENDOR,
            "most": upgrade::PRICE, "machines": next,
        }],
    })
}

/// Writes an API key and its secret to files of mode 0600.
fn credentials(plan: &Plan<'_>, name: &str, party: &Party) -> Result<(PathBuf, PathBuf)> {
    let key = plan.dir.join(format!("{name}.api-key"));
    let secret = plan.dir.join(format!("{name}.api-secret"));
    write_secret(&key, &party.api_key)?;
    write_secret(&secret, &party.secret)?;
    Ok((key, secret))
}
