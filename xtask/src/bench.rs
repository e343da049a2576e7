//! Benchmarks by area. An area has targets only once its issue set them: asking for another is an error that says so.

use std::path::Path;

use eyre::{Result, bail};

/// Areas that will have targets.
const AREAS: &[&str] =
    &["contracts", "settlement", "crash", "indexer", "switching", "oracle", "web"];

/// Runs the benchmarks of `area`.
///
/// # Errors
/// When a target is short, the area is unknown, or it has no targets yet.
pub fn run(area: &str, _market: Option<&Path>, _kit: Option<&Path>) -> Result<()> {
    if !AREAS.contains(&area) {
        bail!("no area {area:?}; there are {}", AREAS.join(", "));
    }
    bail!("area {area} has no targets yet, so there is nothing to measure against")
}
