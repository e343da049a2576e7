//! Series of machines.

use serde::{Deserialize, Serialize};

/// Number of a series in the registry, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeriesId(pub u16);

/// One whole unit in token units (18 decimals).
pub const UNIT: u128 = 1_000_000_000_000_000_000;

impl std::fmt::Display for SeriesId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
