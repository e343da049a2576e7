//! Deterministic prices by server time: base, drift, a sine, and noise, all in integers.

use bitcoin::hashes::{Hash, sha256};
use eyre::{Result, ensure, eyre};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};

/// A price path. Every number but `base` is an integer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Price without any movement, a decimal string.
    pub(crate) base: String,
    /// Height of the sine, 1/10,000 of the base.
    #[serde(default)]
    pub(crate) amplitude_bp: i64,
    /// Length of the sine, seconds of server time; 0: none.
    #[serde(default)]
    pub(crate) period_s: u64,
    /// Shifts the sine, seconds.
    #[serde(default)]
    pub(crate) phase_s: u64,
    /// Largest noise, 1/10,000; new every `noise_step_s`.
    #[serde(default)]
    pub(crate) noise_bp: i64,
    #[serde(default = "minute")]
    pub(crate) noise_step_s: u64,
    /// Linear growth per day since the exchange's first start, 1/10,000 of the base.
    #[serde(default)]
    pub(crate) drift_bp_per_day: i64,
}

const MILLION: i128 = 1_000_000;

impl Scenario {
    /// Refuses what would give no price.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.noise_step_s > 0, "noise_step_s must be positive");
        ensure!((-9000..=90_000).contains(&self.amplitude_bp), "amplitude_bp out of range");
        ensure!((0..=5000).contains(&self.noise_bp), "noise_bp out of range");
        Ok(())
    }

    /// The price at server time `now` in the units of `base` (at least 1).
    pub(crate) fn price(&self, base: u64, name: &str, seed: u64, origin: u64, now: u64) -> u64 {
        let age = i128::from(now) - i128::from(origin);
        let drift = (i128::from(self.drift_bp_per_day) * 100 * age / 86_400).max(-990_000);
        let wave = i128::from(self.amplitude_bp) * 100 * self.sine(now) / MILLION;
        let noise = i128::from(self.noise_bp) * 100 * self.noise(name, seed, now) / MILLION;
        let price = [drift, wave, noise]
            .iter()
            .fold(i128::from(base), |price, ppm| price * (MILLION + ppm) / MILLION);
        u64::try_from(price.max(1)).unwrap_or(u64::MAX)
    }

    /// Sine in millionths (Bhaskara's approximation).
    fn sine(&self, now: u64) -> i128 {
        let half = i128::from(self.period_s / 2);
        if half == 0 {
            return 0;
        }
        let x = (i128::from(now) + i128::from(self.phase_s)) % (2 * half);
        let y = x % half;
        let product = y * (half - y);
        let size = 16 * product * MILLION / (5 * half * half - 4 * product);
        if x < half { size } else { -size }
    }

    /// Between -1 and 1 in millionths.
    fn noise(&self, name: &str, seed: u64, now: u64) -> i128 {
        let step = now / self.noise_step_s.max(1);
        let hash = sha256::Hash::hash(format!("{seed}/{name}/{step}").as_bytes()).to_byte_array();
        let [a, b, c, d, ..] = hash;
        i128::from(u32::from_be_bytes([a, b, c, d]) % 2_000_001) - MILLION
    }
}

/// Parses a decimal with up to 18 places to units of 1e-18.
pub(crate) fn parse_18(text: &str) -> Result<u64> {
    let decimal = Decimal::from_str_exact(text).map_err(|error| eyre!("{text:?}: {error}"))?;
    let scaled = decimal.checked_mul(Decimal::from(1_000_000_000_000_000_000_u64));
    let scaled = scaled.filter(|scaled| scaled.fract().is_zero());
    scaled.and_then(|scaled| scaled.to_u64()).ok_or_else(|| eyre!("{text:?} is out of range"))
}

/// Shows units of 1e-18.
pub(crate) fn show_18(units: u64) -> String {
    let one = 1_000_000_000_000_000_000;
    format!("{}.{:018}", units / one, units % one)
}

fn minute() -> u64 {
    60
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave() -> Scenario {
        toml::from_str("base = \"1\"\namplitude_bp = 1000\nperiod_s = 400\ndrift_bp_per_day = 100")
            .unwrap()
    }

    #[test]
    fn the_sine_peaks_at_its_quarter_and_drift_is_linear() {
        let price = |now| wave().price(1_000_000, "x", 1, 0, now);
        assert_eq!(price(0), 1_000_000);
        assert_eq!(price(100), 1_100_012); // with 11 of drift
        assert_eq!(price(86_400), 1_010_000);
        assert!(price(300) < 901_000);
    }

    #[test]
    fn noise_is_bounded_and_the_same_for_the_same_seed() {
        let noisy = Scenario { noise_bp: 50, amplitude_bp: 0, drift_bp_per_day: 0, ..wave() };
        let price = |seed, now| noisy.price(1_000_000, "x", seed, 0, now);
        assert!((0..5000).all(|i| (995_000..=1_005_000).contains(&price(7, i * 60))));
        assert_eq!(price(7, 61), price(7, 119));
        assert_ne!(price(7, 61), price(8, 61));
        assert_eq!(show_18(parse_18("0.000000000014").unwrap()), "0.000000000014000000");
    }
}
