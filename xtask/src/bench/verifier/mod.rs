//! Benchmarks of the verifier: a made-up year in time, mutated answers refused, agreement with settlement, rounding.
//! Nothing here is linked into a service, and the allocation of the made-up worlds is written a third time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a benchmark may stop loudly, and prints"
)]

mod blocks;
mod bytes;
mod contracts;
mod differential;
mod kept;
mod mutate;
mod rounding;
mod story;
mod wire;

use std::time::Instant;

use ::verifier::{checks, world::World};
use eyre::{Result, bail};

use story::Size;

/// Seconds in which a year is to be verified.
const YEAR_SECONDS: u128 = 60;

const YEAR: Size = Size { epochs: 1_095, payees: 2_000, ..SMALL };
const SMALL: Size =
    Size { epochs: 12, payees: 12, seed: 4, index: true, unproven: false, forked: u64::MAX };

/// Runs all targets and prints a line for each.
///
/// # Errors
/// When one is short.
pub(super) fn run() -> Result<()> {
    // the caller may be inside a runtime, which must not be blocked
    std::thread::scope(|scope| scope.spawn(all).join().unwrap())
}

fn all() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let lines = [
        runtime.block_on(year())?,
        runtime.block_on(kept::bench(YEAR))?,
        runtime.block_on(mutate::bench(1_200))?,
        differential::bench(100_000),
        rounding::bench(100_000, 10_950),
    ];
    if lines.contains(&false) {
        bail!("a target is short");
    }
    Ok(())
}

fn word(good: bool) -> &'static str {
    if good { "ok" } else { "short" }
}

async fn year() -> Result<bool> {
    let started = Instant::now();
    let sources = story::make(YEAR);
    eprintln!("a year made up in {} s", started.elapsed().as_secs());
    let started = Instant::now();
    let world = World::read(&sources).await?;
    eprintln!("read and allocated after {} ms", started.elapsed().as_millis());
    let report = checks::run(&world).await;
    let millis = started.elapsed().as_millis();
    if !report.good() {
        eprint!("{}", report.text());
        bail!("an honest year does not verify");
    }
    let good = millis <= YEAR_SECONDS * 1_000;
    let (whole, part) = (millis / 1_000, millis % 1_000 / 100);
    println!("verifier year: {whole}.{part} s ({YEAR_SECONDS} s) {}", word(good));
    Ok(good)
}

#[cfg(test)]
mod tests;
