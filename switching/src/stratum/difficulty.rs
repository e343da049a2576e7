//! Difficulty: the number a pool sends, read exactly, as a share target and as expected hashes.

use alloy::primitives::{U256, U512};
use rust_decimal::Decimal;

/// Largest power of ten that a difficulty may carry; `10^60` times the difficulty-1 target fits 512 bits.
const MAX_EXPONENT: i64 = 60;

/// A share difficulty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difficulty {
    text: String,
    target: U256,
    hashes: u128,
}

/// Why a number is no difficulty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DifficultyError {
    /// Not a decimal number of at most 28 digits.
    #[error("difficulty {0:?} is not a decimal number of at most 28 digits")]
    NotANumber(String),
    /// Zero or below.
    #[error("difficulty {0:?} is not above zero")]
    NotPositive(String),
    /// The expected hashes do not fit 128 bits, or the power of ten is absurd.
    #[error("difficulty {0:?} is out of range")]
    OutOfRange(String),
}

impl Difficulty {
    /// Reads the text of a JSON number. The target is `floor((0xffff · 2^208) / d)`, at most `2^256 − 1`; the
    /// expected hashes are `floor(2^256 / (target + 1))`.
    ///
    /// # Errors
    /// When the text is no positive number in range.
    pub fn parse(text: &str) -> Result<Self, DifficultyError> {
        let text = text.trim();
        let (mantissa, exponent) = parts(text)?;
        let diff1: U512 = U512::from(0xffff_u64) << 208;
        let range = || DifficultyError::OutOfRange(text.to_owned());
        if exponent.abs() > MAX_EXPONENT {
            return Err(range());
        }
        let power = U512::from(10_u64).pow(U512::from(exponent.unsigned_abs()));
        let mantissa = U512::from(mantissa);
        let wide = if exponent < 0 {
            diff1.saturating_mul(power).checked_div(mantissa)
        } else {
            diff1.checked_div(mantissa.saturating_mul(power))
        };
        let target = U256::saturating_from(wide.ok_or_else(range)?);
        let hashes = expected_hashes(target).ok_or_else(range)?;
        Ok(Self { text: text.to_owned(), target, hashes })
    }

    /// Difficulty 1, which holds until a pool says otherwise: 2^32 hashes and a few.
    #[must_use]
    pub fn one() -> Self {
        Self { text: "1".to_owned(), target: U256::from(0xffff_u64) << 208, hashes: 4_295_032_833 }
    }

    /// The number as the pool wrote it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Highest hash, as a number, that is a share.
    #[must_use]
    pub const fn target(&self) -> U256 {
        self.target
    }

    /// Hashes that a share takes on average, rounded down; at least 1.
    #[must_use]
    pub const fn hashes(&self) -> u128 {
        self.hashes
    }
}

/// `floor(2^256 / (target + 1))`, if it fits.
fn expected_hashes(target: U256) -> Option<u128> {
    let space: U512 = U512::from(1_u64) << 256;
    let hashes = space.checked_div(U512::from(target).saturating_add(U512::from(1_u64)))?;
    u128::try_from(hashes).ok()
}

/// `mantissa · 10^exponent`, exactly.
fn parts(text: &str) -> Result<(u128, i64), DifficultyError> {
    let not_a_number = || DifficultyError::NotANumber(text.to_owned());
    let (base, power) = match text.split_once(['e', 'E']) {
        Some((base, power)) => (base, power.parse::<i64>().map_err(|_| not_a_number())?),
        None => (text, 0),
    };
    let base = Decimal::from_str_exact(base).map_err(|_| not_a_number())?;
    let mantissa = u128::try_from(base.mantissa())
        .ok()
        .filter(|mantissa| *mantissa > 0)
        .ok_or_else(|| DifficultyError::NotPositive(text.to_owned()))?;
    Ok((mantissa, power.saturating_sub(i64::from(base.scale()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn difficulty_one_is_two_to_the_32_hashes() {
        let one = Difficulty::one();
        assert_eq!(Difficulty::parse("1").unwrap(), one);
        assert_eq!(one.target(), U256::from(0xffff_u64) << 208);
        assert_eq!(one.hashes(), 4_295_032_833); // 2^32 · 65536/65535, rounded down
    }

    #[test]
    fn a_small_float_is_read_to_the_last_digit() {
        let small = Difficulty::parse("9.5367431640625e-07").unwrap(); // 2^-20
        assert_eq!(small.target(), U256::from(0xffff_u64) << 228);
        assert_eq!(small.hashes(), 4_096);
        assert_eq!(Difficulty::parse("0.00000095367431640625").unwrap().target(), small.target());
        assert_eq!(small.text(), "9.5367431640625e-07");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["0", "-1", "1e999", "1e-999", "\"1\"", "null", "", "1e40", "NaN", "1e"] {
            assert!(Difficulty::parse(text).is_err(), "{text}");
        }
        assert_eq!(Difficulty::parse("1e-30").unwrap().target(), U256::MAX);
        assert_eq!(Difficulty::parse("1e-30").unwrap().hashes(), 1);
    }

    proptest! {
        #[test]
        fn more_difficulty_is_less_target(a in 1_u64.., b in 1_u64.., e in -12_i32..6) {
            let parse = |n: u64| Difficulty::parse(&format!("{n}e{e}")).unwrap();
            let (low, high) = (parse(a.min(b)), parse(a.max(b)));
            prop_assert!(low.target() >= high.target());
            prop_assert!(low.hashes() <= high.hashes());
        }
    }
}
