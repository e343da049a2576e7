//! Satoshis.

use serde::{Deserialize, Serialize};

/// An amount of bitcoin in satoshis. Serialised as a decimal string.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Sats(#[serde(with = "crate::decimal")] pub u64);

/// A sum of sats left the range of 64 bits: more than all bitcoin 8,000 times over, so an input is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sum of sats does not fit 64 bits: {0} and {1}")]
pub struct SatsOverflow(pub u64, pub u64);

impl Sats {
    /// No sats.
    pub const ZERO: Self = Self(0);

    /// Exact sum.
    ///
    /// # Errors
    /// When the sum leaves 64 bits.
    pub fn plus(self, other: Self) -> Result<Self, SatsOverflow> {
        self.0.checked_add(other.0).map(Self).ok_or(SatsOverflow(self.0, other.0))
    }

    /// Exact sum of many.
    ///
    /// # Errors
    /// When the sum leaves 64 bits.
    pub fn sum(all: impl IntoIterator<Item = Self>) -> Result<Self, SatsOverflow> {
        all.into_iter().try_fold(Self::ZERO, Self::plus)
    }
}

impl std::fmt::Display for Sats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} sat", self.0)
    }
}
