//! Benchmarks that are measured in Rust, by area. `scripts/bench` knows all areas.

mod crash;
mod settlement;
mod verifier;

use eyre::{Result, bail};

/// Runs the benchmarks of `area`; `seed`, `from` and `epochs` are for the simulation of area `crash`.
///
/// # Errors
/// When a target is short, or the area is not measured here.
pub fn run(area: &str, seed: u64, from: u64, epochs: u64) -> Result<()> {
    match area {
        "settlement" => settlement::run(),
        "crash" => crash::run(seed, from, epochs),
        "verifier" => verifier::run(),
        _ => bail!("area {area:?} is not measured here: see ./scripts/bench --help"),
    }
}
