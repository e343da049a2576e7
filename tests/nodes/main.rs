//! Settlement on two kinds of Bitcoin node, for `scripts/bench nodes`: one that limits a transaction's unconfirmed
//! ancestors (Knots, Core up to 30), and one that limits clusters (Core 31). On each it pays epochs, stands still where
//! the node's limit for unconfirmed payouts is reached, and goes on after a block. Prints one line a target.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::print_stdout,
    dead_code,
    unreachable_pub,
    reason = "a harness may stop loudly, and uses a part of what the tests have"
)]

#[path = "../faults/settlement/audit.rs"]
mod audit;
#[path = "../faults/settlement/desk.rs"]
mod desk;
#[path = "../faults/settlement/world.rs"]
mod world;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use serde_json::json;

use audit::Audit;
use world::{POT, World};

/// Pays epochs through a real Bitcoin node of each kind.
#[derive(Debug, Parser)]
struct Options {
    /// Epochs that are paid one after the other.
    #[arg(long, default_value_t = 10)]
    epochs: u32,
    /// Payouts that are left without a block, at most.
    #[arg(long, default_value_t = 80)]
    chain: u32,
    /// Only this kind: `ancestors` or `clusters`.
    #[arg(long)]
    only: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let mut good = true;
    // the baton's chain is one line: its length is what both kinds limit, at 25 and at 64
    for (cluster, kind, limit) in [(false, "ancestors", 25), (true, "clusters", 64)] {
        if options.only.as_ref().is_none_or(|only| only == kind) {
            good &= node(&options, cluster, kind, limit).await;
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn node(options: &Options, cluster: bool, kind: &str, limit: usize) -> bool {
    // its clock jumps by epochs, and a peer that is silent for so long would be left
    let mut world = World::start_on("peertimeout=1000000000\n", cluster).await;
    let network = asked(&world).call("getnetworkinfo", json!([])).await.unwrap();
    println!("nodes, {kind}: {}", network["subversion"].as_str().unwrap_or("?"));
    let mut audit = Audit::open(&world).await;
    let started = Instant::now();
    if let Err(why) = paid(&mut world, &mut audit, options.epochs).await {
        println!("nodes, {kind}: {why} short");
        return false;
    }
    let (epochs, millis) = (options.epochs, started.elapsed().as_millis());
    println!("nodes, {kind}: {epochs} epochs paid exactly once and proven, {millis} ms ok");
    match waiting(&mut world, &mut audit, options.chain).await {
        Ok(depth) => {
            println!(
                "nodes, {kind}: {depth} payouts wait one on the other ({limit}), the next waits outside; after blocks \
                 each is paid exactly once {}",
                if depth == limit { "ok" } else { "short" }
            );
            depth == limit
        }
        Err(why) => {
            println!("nodes, {kind}: {why} short");
            false
        }
    }
}

/// The node that settlement speaks to.
fn asked(world: &World) -> &xtask::devnet::Bitcoind {
    world.peer.as_ref().unwrap_or(&world.net.bitcoin)
}

async fn paid(world: &mut World, audit: &mut Audit, epochs: u32) -> Result<(), String> {
    for _ in 0..epochs {
        let epoch = world.earn(POT).await;
        let mut process = world.settle(None).await;
        world.until_proven(epoch, &process).await;
        process.kill().unwrap();
        audit.epoch(world, epoch, POT).await?;
    }
    Ok(())
}

/// Epochs are earned while no block takes a payout, until the node takes no further one; then blocks come. Returns how
/// many payouts stood in the mempool.
async fn waiting(world: &mut World, audit: &mut Audit, most: u32) -> Result<usize, String> {
    // payouts are to wait, not to be raised
    world.configure("[[signers]]", "[policy.bump]\nafter_blocks = 100000\n[[signers]]");
    let process = world.settle(None).await;
    let first = world.next;
    world.full = true;
    let mut depth = 0;
    for _ in 0..most {
        world.earn(POT).await;
        let stood = depth;
        depth = grown(world, stood).await;
        if depth == stood {
            break;
        }
    }
    world.full = false;
    let last = world.next - 1;
    for _ in 0..200 {
        if world.is_proven(last).await {
            break;
        }
        hand_over(world).await;
        world.tick().await;
    }
    world.until_proven(last, &process).await;
    for epoch in first..world.next - 1 {
        audit.credit(epoch, POT);
    }
    audit.epoch(world, world.next - 1, POT).await?;
    (first..world.next).try_for_each(|epoch| audit.paid_once(epoch))?;
    Ok(depth)
}

/// Shows the miner, which takes no more than 25 in a row, what waits at the other node by now.
async fn hand_over(world: &World) {
    let Some(peer) = &world.peer else { return };
    let waiting = peer.call("getrawmempool", json!([true])).await.unwrap();
    let mut waiting: Vec<_> = waiting.as_object().unwrap().iter().collect();
    waiting.sort_by_key(|(_, entry)| entry["ancestorcount"].as_u64());
    for (txid, _) in waiting {
        let Ok(raw) = peer.call("getrawtransaction", json!([txid])).await else { continue };
        // it has this one, or has no room for it yet
        let _ = world.net.bitcoin.call("sendrawtransaction", json!([raw])).await;
    }
}

/// Lets the EVM chain run until the mempool holds more than `stood` payouts, four seconds at most; what it holds then.
async fn grown(world: &World, stood: usize) -> usize {
    for _ in 0..100 {
        world.net.evm.mine(1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
        let pool = asked(world).call("getrawmempool", json!([])).await.unwrap();
        let depth = pool.as_array().map_or(0, Vec::len);
        if depth > stood {
            return depth;
        }
    }
    stood
}
