//! Epochs: eight hours of chain time, half-open, on UTC boundaries.

use serde::{Deserialize, Serialize};

/// Seconds in an epoch.
pub const EPOCH_SECONDS: u64 = 28_800;

/// Number of an epoch: `floor(timestamp / 28,800)`. There are three a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpochId(pub u32);

impl EpochId {
    /// The epoch that holds `timestamp` (unix seconds). Timestamps past epoch 2^32 saturate.
    #[must_use]
    pub fn at(timestamp: u64) -> Self {
        Self(u32::try_from(timestamp / EPOCH_SECONDS).unwrap_or(u32::MAX))
    }

    /// First second of the epoch.
    #[must_use]
    pub fn start(self) -> u64 {
        u64::from(self.0).saturating_mul(EPOCH_SECONDS)
    }

    /// First second after the epoch.
    #[must_use]
    pub fn end(self) -> u64 {
        self.start().saturating_add(EPOCH_SECONDS)
    }

    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The epoch before this one; epoch 0 has none.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl std::fmt::Display for EpochId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_half_open() {
        let epoch = EpochId(10);
        assert_eq!(EpochId::at(epoch.start()), epoch);
        assert_eq!(EpochId::at(epoch.end() - 1), epoch);
        assert_eq!(EpochId::at(epoch.end()), epoch.next());
    }
}
