//! Benchmarks that are measured in Rust, by area. `scripts/bench` knows all areas.

mod verifier;

use eyre::{Result, bail};

/// Runs the benchmarks of `area`.
///
/// # Errors
/// When a target is short, or the area is not measured here.
pub fn run(area: &str) -> Result<()> {
    match area {
        "verifier" => verifier::run(),
        _ => bail!("area {area:?} is not measured here: see ./scripts/bench --help"),
    }
}
