//! What a signer does not sign beyond, by its own configuration.

use serde::Deserialize;

use crate::plan::fee_ceil;

/// The signer's own limits.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most sats of miner fee in one transaction.
    pub max_fee_sats: u64,
    /// Most sats per 1,000 vB.
    pub max_fee_rate: u64,
    /// Least sats per 1,000 vB, if the committed rate is lower still: nodes do not relay what pays less.
    #[serde(default = "relay_rate")]
    pub min_fee_rate: u64,
    /// Most sats, payees and fees, that leave within 24 hours of chain time; no limit if absent.
    pub max_day_sats: Option<u64>,
    /// Most sats, payees and fees, that leave for one epoch; no limit if absent.
    pub max_epoch_sats: Option<u64>,
    /// Most sats of miner fee for one epoch, by the dearest variant of each of its transactions; no limit if absent.
    #[serde(default)]
    pub max_epoch_fee_sats: Option<u64>,
}

const fn relay_rate() -> u64 {
    1_000
}

impl Limits {
    /// Whether a fee lies within cap and highest rate, and from the lowest rate up; `rate` is the committed one. The
    /// planner rounds up, so both bounds do.
    pub(super) fn allow(&self, fee: u64, vsize: u64, rate: u64) -> bool {
        let bound = |rate| fee_ceil(vsize, rate);
        let (least, most) = (bound(rate.max(self.min_fee_rate)), bound(self.max_fee_rate));
        fee <= self.max_fee_sats
            && least.is_ok_and(|least| fee >= least)
            && most.is_ok_and(|most| fee <= most)
    }
}
