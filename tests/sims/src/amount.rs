//! Decimals with 8 places on the wire, integers (1e-8 units) inside.

use eyre::{Result, eyre};
use rust_decimal::{Decimal, prelude::ToPrimitive};

/// Units of 1e-8 in one.
pub(crate) const ONE: u64 = 100_000_000;

/// Parses `"0.1"` to 10_000_000. Refuses a sign, an overflow, and more than 8 places.
pub(crate) fn parse(text: &str) -> Result<u64> {
    let decimal = Decimal::from_str_exact(text)
        .or_else(|_| Decimal::from_scientific(text))
        .map_err(|error| eyre!("{text:?} is not a decimal: {error}"))?;
    let scaled = decimal.checked_mul(Decimal::from(ONE)).ok_or_else(|| eyre!("{text} too big"))?;
    if !scaled.fract().is_zero() {
        return Err(eyre!("{text} has more than 8 places"));
    }
    scaled.to_u64().ok_or_else(|| eyre!("{text} is negative or too big"))
}

/// Shows 1e-8 units with exactly 8 places: 10_000_000 is `0.10000000`.
pub(crate) fn show(units: u64) -> String {
    format!("{}.{:08}", units / ONE, units % ONE)
}

/// `a * b / c` rounded down, through 128 bits; saturates.
pub(crate) fn mul_div_floor(a: u64, b: u64, c: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b) / u128::from(c.max(1));
    u64::try_from(wide).unwrap_or(u64::MAX)
}

/// `a * b / c` rounded up, through 128 bits; saturates.
pub(crate) fn mul_div_ceil(a: u64, b: u64, c: u64) -> u64 {
    let wide = (u128::from(a) * u128::from(b)).div_ceil(u128::from(c.max(1)));
    u64::try_from(wide).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_trip_and_bad_ones_are_refused() {
        assert_eq!(parse("0.1").unwrap(), 10_000_000);
        assert_eq!(parse("5e-8").unwrap(), 5);
        assert_eq!(show(parse("21000000.00000001").unwrap()), "21000000.00000001");
        for bad in ["-1", "0.000000001", "x", "", "1e30"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!((mul_div_floor(7, 1, 2), mul_div_ceil(7, 1, 2)), (3, 4));
    }
}
