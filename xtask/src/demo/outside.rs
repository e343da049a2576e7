//! The world around the product: pools, the exchange, machines. Simulators, each a process of its own that speaks the
//! real protocol; what they are told stands in a configuration file that one can read.

use std::{path::Path, process::Command, time::Duration};

use eyre::{Context, Result, eyre};
use serde_json::{Value, json};

use super::config::{Party, write_toml};
use crate::{devnet::Bitcoind, paths, ports, process::Process};

/// Machines of the demo, and what each hashes per wall second. Chain time runs 960 times as fast, so the four together
/// are 100 H/s of chain time: 100 units of 1 H/s.
pub const MACHINES: u32 = 4;
/// Hashes per wall second of each machine.
pub const MACHINE_HASHRATE: u64 = 24_000;
/// Expected hashes per share at both pools.
const SHARE_HASHES: u64 = 4_096;
/// Sats that the BTC pool pays per 10^6 hashes: about 5 million sats per epoch for 100 H/s.
const BTC_PPS: u64 = 1_736_111;
/// The same for the BCH pool in 10^-8 BCH, at 0.005 BTC per BCH.
const BCH_PPS: u64 = 347_222_222;
const READY: Duration = Duration::from_secs(60);

/// A pool: where machines and readers reach it.
#[derive(Debug)]
pub struct Pool {
    /// The process.
    pub process: Process,
    /// Stratum `host:port`.
    pub stratum: String,
    /// Statement API.
    pub http: String,
}

/// Starts a pool on `node`, which pays `account` at `payout_address`. `bootstrap` blocks are mined first, the `others`
/// before them.
///
/// # Errors
/// When it does not come up.
pub async fn start_pool(
    dir: &Path,
    coin: &str,
    node: &Bitcoind,
    payout_address: &str,
    bootstrap: u32,
    others: &[(String, u32)],
) -> Result<Pool> {
    let stratum = format!("127.0.0.1:{}", ports::free_from(23_331)?);
    let http = format!("127.0.0.1:{}", ports::free_from(23_431)?);
    let name = format!("{}-pool", coin.to_lowercase());
    let config = json!({
        "coin": coin,
        "rpc_url": node.url,
        "cookie_file": node.cookie,
        "wallet": "pool",
        "stratum_listen": stratum,
        "http_listen": http,
        "state_file": dir.join(format!("{name}.state.json")),
        "share_hashes": SHARE_HASHES,
        "pps_sats_per_mhash": if coin == "BTC" { BTC_PPS } else { BCH_PPS },
        "payout_interval_s": 3_600,
        "seed": if coin == "BTC" { 1 } else { 2 },
        "accounts": [{"name": "fleet", "payout_address": payout_address}],
    });
    let path = write_toml(dir, &name, &config)?;
    let mut command = Command::new(paths::ours("sim-pool")?);
    command.arg("--config").arg(path).arg("--bootstrap").arg(bootstrap.to_string());
    for (address, blocks) in others {
        command.arg("--bootstrap-to").arg(format!("{address}:{blocks}"));
    }
    let mut process = Process::spawn(&name, &mut command, dir)?;
    process.line("ready", READY).await?;
    Ok(Pool { process, stratum, http: format!("http://{http}") })
}

/// The exchange and the API keys of our account there.
#[derive(Debug)]
pub struct Exchange {
    /// The process.
    pub process: Process,
    /// Base URL.
    pub http: String,
    /// Trades and withdraws.
    pub trade_key: Party,
    /// Only reads; one for each oracle signer.
    pub read_keys: Vec<Party>,
}

/// Starts the exchange. It withdraws only to `treasury`.
///
/// # Errors
/// When it does not come up.
pub async fn start_exchange(
    dir: &Path,
    btc: &Bitcoind,
    bch: &Bitcoind,
    treasury: &str,
) -> Result<Exchange> {
    let listen = format!("127.0.0.1:{}", ports::free_from(23_531)?);
    let trade_key = Party::new("trade");
    let read_keys: Vec<Party> = (0..5).map(|index| Party::new(&format!("read-{index}"))).collect();
    let mut keys = vec![key_entry(&trade_key, &["read", "trade", "withdraw"])];
    keys.extend(read_keys.iter().map(|key| key_entry(key, &["read"])));
    let config = json!({
        "listen": listen,
        "state_file": dir.join("exchange.state.json"),
        "time_scale": super::SPEED,
        "seed": 7,
        "kraken_offset_bp": 2,
        "coinbase_offset_bp": -3,
        "networks": [
            network("BTC", btc, "0.00001000", "0.00010000"),
            network("BCH", bch, "0.00010000", "0.00100000"),
        ],
        "symbols": {"BCHBTC": bchbtc(), "BTCUSDC": btcusdc()},
        "hardware": {"sha256": {"base": "16.0", "noise_bp": 20, "noise_step_s": 3_600}},
        "accounts": [{"name": "fleet", "withdraw_allow": [treasury]}],
        "keys": keys,
    });
    let path = write_toml(dir, "exchange", &config)?;
    let mut command = Command::new(paths::ours("sim-exchange")?);
    command.arg("--config").arg(path);
    let mut process = Process::spawn("exchange", &mut command, dir)?;
    process.line("ready", READY).await?;
    Ok(Exchange { process, http: format!("http://{listen}"), trade_key, read_keys })
}

/// BCH in BTC: a wave of 6 % and four hours, so that the better venue changes several times an epoch.
fn bchbtc() -> Value {
    json!({
        "base_asset": "BCH", "quote_asset": "BTC",
        "price": {"base": "0.00500000", "amplitude_bp": 600, "period_s": 14_400, "noise_bp": 10},
        "half_spread_bp": 10, "level_step_bp": 5, "level_size": "5.00000000", "levels": 20,
        "tick": "0.00000100", "lot": "0.01000000", "min_notional": "0.00010000",
    })
}

fn btcusdc() -> Value {
    json!({
        "base_asset": "BTC", "quote_asset": "USDC",
        "price": {"base": "60000.00000000", "noise_bp": 5, "noise_step_s": 1_800},
        "half_spread_bp": 1, "level_step_bp": 1, "level_size": "1.00000000", "levels": 20,
        "tick": "0.01000000", "lot": "0.00001000", "min_notional": "5.00000000",
    })
}

fn network(coin: &str, node: &Bitcoind, fee: &str, least: &str) -> Value {
    json!({
        "coin": coin, "rpc_url": node.url, "cookie_file": node.cookie, "wallet": "exchange",
        "withdraw_fee": fee, "withdraw_min": least,
    })
}

fn key_entry(key: &Party, scopes: &[&str]) -> Value {
    json!({"api_key": key.api_key, "secret": key.secret, "account": "fleet", "scopes": scopes})
}

/// The machines, all in one process, one TCP connection each.
#[derive(Debug)]
pub struct Machines {
    /// The process.
    pub process: Process,
    /// Statistics.
    pub http: String,
}

/// Starts the machines against the proxy.
///
/// # Errors
/// When they do not come up.
pub async fn start_machines(dir: &Path, proxy: &str) -> Result<Machines> {
    let http = format!("127.0.0.1:{}", ports::free_from(23_631)?);
    let mut command = Command::new(paths::ours("sim-miner")?);
    command.args(["--proxy", proxy, "--account", "fleet", "--serial-prefix", "S21-"]);
    command.args(["--machines", &MACHINES.to_string()]);
    command.args(["--hashrate-per-machine", &MACHINE_HASHRATE.to_string()]);
    command.args(["--http-listen", &http]);
    let mut process = Process::spawn("machines", &mut command, dir)?;
    process.line("ready", READY).await?;
    Ok(Machines { process, http: format!("http://{http}") })
}

/// Serial numbers as the machines announce them.
#[must_use]
pub fn serials() -> Vec<String> {
    (1..=MACHINES).map(|number| format!("S21-{number:04}")).collect()
}

/// Serial numbers of the machines that replace them in the story of the upgrade.
#[must_use]
pub fn next_serials() -> Vec<String> {
    (1..=MACHINES).map(|number| format!("S23-{number:04}")).collect()
}

/// A deposit address of our account, as the operator reads it off the exchange's own signed API.
///
/// # Errors
/// When the exchange refuses.
pub async fn deposit_address(exchange: &Exchange, coin: &str) -> Result<String> {
    let time = crate::rpc::get(&format!("{}/api/v3/time", exchange.http)).await?;
    let stamp = time["serverTime"].as_u64().ok_or_else(|| eyre!("no server time"))?;
    let query = format!("coin={coin}&timestamp={stamp}");
    let signature = exchange.trade_key.sign(&query);
    let url =
        format!("{}/sapi/v1/capital/deposit/address?{query}&signature={signature}", exchange.http);
    let reply = reqwest::Client::new().get(url).header("X-MBX-APIKEY", &exchange.trade_key.api_key);
    let reply: Value = reply.send().await?.json().await.wrap_err("deposit address")?;
    let address = reply["address"].as_str();
    Ok(address.ok_or_else(|| eyre!("no deposit address: {reply}"))?.to_owned())
}
