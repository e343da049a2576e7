//! What settlement costs and how long it takes: fee per payee, speed beside the node's own wallet, a hundred thousand
//! holders, and whether age tells.
//!
//! Real: the engine, SQLite with full sync, the Bitcoin node, the signers' rules, signatures and durable records.
//! In memory: the EVM chain. Not in the times: the socket to the signers, HTTP to an EVM node.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a benchmark may stop loudly, and prints"
)]

mod age;
mod world;

use std::time::{Duration, Instant};

use eyre::{Result, bail, eyre};
use serde_json::{Value, json};

use world::Bench;

/// Virtual bytes of a P2WPKH output.
const FLOOR: u64 = 31;
/// Runs of each kind; the median counts.
const RUNS: usize = 7;

/// Runs all targets and prints a line for each.
///
/// # Errors
/// When one is short.
pub(super) fn run() -> Result<()> {
    std::thread::scope(|scope| scope.spawn(all).join().expect("it ends"))
}

fn all() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut good = runtime.block_on(payees(2_000))?;
    good &= runtime.block_on(holders(100_000))?;
    good &= runtime.block_on(age::bench())?;
    if !good {
        bail!("a target is short");
    }
    Ok(())
}

fn word(good: bool) -> &'static str {
    if good { "ok" } else { "short" }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn micros(time: Duration) -> u128 {
    time.as_micros()
}

/// Milliseconds with one place.
fn millis(time: Duration) -> String {
    format!("{}.{}", time.as_millis(), time.as_micros() / 100 % 10)
}

/// Cost and speed with one transaction, beside the node's own wallet.
async fn payees(count: u32) -> Result<bool> {
    let dir = tempfile::tempdir()?;
    let mut bench = Bench::start(dir.path(), 100).await?;
    let (mut ours, mut rounds) = (Vec::new(), Vec::new());
    let mut weight = 0;
    for _ in 0..RUNS {
        let epoch = bench.earn(count, 20_000).await?;
        bench.round().await?;
        bench.finalise();
        let started = Instant::now();
        bench.round().await?;
        let whole = started.elapsed();
        let txid = in_mempool(&bench).await?.parse()?;
        // once the node has answered the transaction is in its mempool, and the signatures were on disk before it was asked
        let after = bench.engine.since_handed_out(txid).await;
        let after = after.ok_or_else(|| eyre!("{txid} was not handed out"))?;
        ours.push(started.elapsed().saturating_sub(after));
        rounds.push(whole);
        let tx = bench.transaction(&txid).await?;
        let outputs = tx["vout"].as_array().map_or(0, Vec::len);
        if outputs != count as usize + 2 {
            bail!("{outputs} outputs, one transaction with {count} payees was expected");
        }
        weight = tx["weight"].as_u64().unwrap_or(0);
        bench.finish(epoch).await?;
    }
    let (wallet, send) = node_wallet(&bench, count).await?;
    let (ours, wallet, send) = (median(ours), median(wallet), median(send));
    let (left, theirs) = (ours.saturating_sub(send), wallet.saturating_sub(send));
    let ratio = micros(theirs) * 10 / micros(left).max(1);
    // less than nothing left is noise, no speed
    let fast = ratio >= 50 && !left.is_zero();
    println!(
        "settlement speed, {count} payees to mempool: {} x the node's sendmany (5 x) {}",
        if left.is_zero() {
            "unknown: too noisy, ?".into()
        } else {
            format!("{}.{}", ratio / 10, ratio % 10)
        },
        word(fast)
    );
    println!(
        "  raw medians of {RUNS}: ours {} ms ({} ms to the end of the round), sendmany {} ms, sendrawtransaction of an equal transaction {} ms, taken off both",
        millis(ours),
        millis(median(rounds)),
        millis(wallet),
        millis(send)
    );
    let floor = u64::from(count) * FLOOR * 4;
    let cheap = weight * 1_000 <= floor * 1_003;
    println!(
        "settlement cost, {count} payees: {} vB, {} millionths of the floor of {FLOOR} vB a payee (1003000) {}",
        weight.div_ceil(4),
        weight * 1_000_000 / floor,
        word(cheap)
    );
    Ok(fast && cheap)
}

async fn in_mempool(bench: &Bench) -> Result<String> {
    let pool = bench.node.call("getrawmempool", json!([])).await?;
    match pool[0].as_str() {
        Some(txid) => Ok(txid.to_owned()),
        None => Err(eyre!("nothing is in the mempool: {}", bench.trouble().await)),
    }
}

/// Times of `sendmany`, and of `sendrawtransaction` with a transaction of the same size.
async fn node_wallet(bench: &Bench, count: u32) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let wallet = bench.node.faucet();
    let client = settlement::node::Node::connect(&bench.node.url, &bench.node.cookie)?;
    let mut dues = serde_json::Map::new();
    for script in bench.scripts(count) {
        let address = bitcoin::Address::from_script(&script, bitcoin::Network::Regtest)?;
        dues.insert(address.to_string(), json!("0.00020000"));
    }
    let (mut many, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let started = Instant::now();
        wallet.call("sendmany", json!(["", dues])).await?;
        many.push(started.elapsed());
        bench.node.mine(1).await?;
        let listed: Vec<Value> =
            dues.iter().map(|(address, sats)| json!({ address.as_str(): sats })).collect();
        let psbt = wallet.call("walletcreatefundedpsbt", json!([[], listed])).await?;
        let signed = wallet.call("walletprocesspsbt", json!([psbt["psbt"]])).await?;
        let done = wallet.call("finalizepsbt", json!([signed["psbt"]])).await?;
        let hex = done["hex"].as_str().ok_or_else(|| eyre!("the node did not sign"))?;
        let tx = bitcoin::consensus::encode::deserialize_hex(hex)?;
        // over the connection that settlement uses, and as a stranger's: the node's wallet would enter its own into its
        // books, which is a part of `sendmany` and none of ours
        bench.node.call("unloadwallet", json!(["faucet"])).await?;
        let started = Instant::now();
        client.broadcast(&tx).await?;
        raw.push(started.elapsed());
        bench.node.call("loadwallet", json!(["faucet"])).await?;
        bench.node.mine(1).await?;
    }
    Ok((many, raw))
}

/// From the finalized snapshot to the last signed transaction of a fan-out.
async fn holders(count: u32) -> Result<bool> {
    let dir = tempfile::tempdir()?;
    let mut bench = Bench::start(dir.path(), 100).await?;
    let (mut first, mut whole, mut weight, mut payees) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..3 {
        let epoch = bench.earn(count, 20_000).await?;
        let started = Instant::now();
        bench.round().await?;
        first.push(started.elapsed());
        bench.finalise();
        let started = Instant::now();
        bench.round().await?;
        whole.push(first[first.len() - 1] + started.elapsed());
        let root = in_mempool(&bench).await?;
        bench.finish(epoch).await?;
        (weight, payees) = fan_out(&bench, &root).await?;
    }
    let (first, whole) = (median(first), median(whole));
    let fast = whole <= Duration::from_secs(1);
    println!(
        "settlement, {count} holders, snapshot to last signed transaction: {} ms (1000 ms) {}",
        millis(whole),
        word(fast)
    );
    println!(
        "  of that to the commit {} ms; medians of 3, the root's broadcast is in it",
        millis(first)
    );
    let floor = payees * FLOOR * 4;
    let cheap = weight * 1_000 <= floor * 1_003;
    println!(
        "settlement cost, {payees} payees by fan-out: {} millionths of the floor (1003000) {}",
        weight * 1_000_000 / floor.max(1),
        word(cheap)
    );
    Ok(fast && cheap)
}

/// Weight and payees of a root transaction and its chunks.
async fn fan_out(bench: &Bench, root: &str) -> Result<(u64, u64)> {
    let (mut weight, mut payees) = (0, 0);
    let tip = bench.node.height().await?;
    for height in tip.saturating_sub(90)..=tip {
        let hash = bench.node.call("getblockhash", json!([height])).await?;
        let block = bench.node.call("getblock", json!([hash, 2])).await?;
        for tx in block["tx"].as_array().into_iter().flatten() {
            let outputs = tx["vout"].as_array().map_or(0, Vec::len) as u64;
            if tx["txid"] == root {
                weight += tx["weight"].as_u64().unwrap_or(0);
            } else if tx["vin"][0]["txid"] == root {
                weight += tx["weight"].as_u64().unwrap_or(0);
                payees += outputs - 1;
            }
        }
    }
    Ok((weight, payees))
}
