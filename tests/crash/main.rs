//! The large crash sweep, for `scripts/bench crash`: real processes, real chains, SIGKILL a thousand times. Prints one
//! line a target; a failing seed is printed, and repeats the run.
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
#[path = "../faults/settlement/sweep.rs"]
mod sweep;
#[path = "../faults/settlement/world.rs"]
mod world;

use std::{process::ExitCode, time::Instant};

use clap::Parser;

/// Kills the real settlement and signers at random instants and at every labelled point.
#[derive(Debug, Parser)]
struct Options {
    /// Repeats a run.
    #[arg(long, default_value_t = 4)]
    seed: u64,
    /// Kills at random instants.
    #[arg(long, default_value_t = 1_000)]
    kills: u32,
    /// Epochs that the wrong order may take to be caught.
    #[arg(long, default_value_t = 60)]
    control: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let good = [random(&options).await, control(&options).await];
    if good.iter().all(|good| *good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn random(options: &Options) -> bool {
    let (seed, started) = (options.seed, Instant::now());
    let say = |tally: &sweep::Tally| {
        eprint!(
            "\r  {} kills, {} epochs, {} s ",
            tally.kills(),
            tally.epochs,
            started.elapsed().as_secs()
        );
    };
    let mut sweep = match sweep::random(seed, options.kills, say).await {
        Ok(sweep) => sweep,
        Err(why) => {
            println!("\ncrash random kills: seed {seed}: {why} (0 wrong) short");
            return false;
        }
    };
    let tally = &sweep.tally;
    println!(
        "\ncrash random kills: {} ({} settlement, {} signer, {} all four), {} epochs ({} with a raised fee) paid exactly once, 0 sat missing, {} s ({}) {}",
        tally.kills(),
        tally.settlement,
        tally.signers,
        tally.hosts,
        tally.epochs,
        tally.raised,
        started.elapsed().as_secs(),
        options.kills,
        if tally.kills() >= options.kills { "ok" } else { "short" }
    );
    println!("crash states when killed: {:?}", tally.states);
    let before = tally.epochs;
    let labelled = sweep::labelled(&mut sweep, |point| eprint!("\r  {point:<20}")).await;
    match labelled {
        Ok(()) => {
            let epochs = sweep.tally.epochs - before;
            println!(
                "\ncrash labelled points: {} x settlement, signers, both: {epochs} epochs paid exactly once (69) ok",
                sweep::POINTS.len() + sweep::BUMP_POINTS.len()
            );
            true
        }
        Err(why) => {
            println!("\ncrash labelled points: seed {seed}: {why} (0 wrong) short");
            false
        }
    }
}

async fn control(options: &Options) -> bool {
    match sweep::broadcast_before_save(options.seed, options.control).await {
        Err(why) => {
            println!(
                "crash control, broadcast before save, real processes: caught: {why} (caught) ok"
            );
            true
        }
        Ok(()) => {
            println!(
                "crash control, broadcast before save, real processes: not caught (caught) short"
            );
            false
        }
    }
}
