//! Decimal texts to integers, medians, and distances. No floats.

/// A text is no decimal number, or does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no usable decimal number")]
pub struct BadNumber(pub String);

/// `text` × 10^`places`, rounded down. Takes an exponent (`1.5e-11`); refuses a minus sign.
///
/// # Errors
/// When the text is no decimal number or the product does not fit 128 bits.
pub fn scaled_floor(text: &str, places: i32) -> Result<u128, BadNumber> {
    scale(text, places).map(|(value, _)| value)
}

/// `text` × 10^`places`, which must be an integer.
///
/// # Errors
/// When digits would be lost, the text is no decimal number, or the product does not fit 64 bits.
pub fn scaled_exact(text: &str, places: i32) -> Result<u64, BadNumber> {
    let bad = || BadNumber(text.to_owned());
    match scale(text, places)? {
        (value, true) => u64::try_from(value).map_err(|_| bad()),
        (_, false) => Err(bad()),
    }
}

/// The scaled value rounded down, and whether nothing was lost.
fn scale(text: &str, places: i32) -> Result<(u128, bool), BadNumber> {
    let bad = || BadNumber(text.to_owned());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| bad())?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || mantissa.ends_with('.') {
        return Err(bad());
    }
    let fraction_length = i32::try_from(fraction.len()).map_err(|_| bad())?;
    let shift = places.checked_add(exponent).and_then(|sum| sum.checked_sub(fraction_length));
    let shift = shift.filter(|shift| shift.abs() < 200).ok_or_else(bad)?;
    let mut all = format!("{whole}{fraction}");
    let zeros = usize::try_from(shift.unsigned_abs()).map_err(|_| bad())?;
    if shift >= 0 {
        all.extend(std::iter::repeat_n('0', zeros));
        return all.parse().map(|value| (value, true)).map_err(|_| bad());
    }
    let keep = all.len().saturating_sub(zeros);
    let exact = all.chars().skip(keep).all(|digit| digit == '0');
    let kept: String = all.chars().take(keep).collect();
    let kept = if kept.is_empty() { "0".to_owned() } else { kept };
    kept.parse().map(|value| (value, exact)).map_err(|_| bad())
}

/// The median; of an even number of values, the lower of the middle two. Zero of none.
#[must_use]
pub fn median_low<T: Ord + Copy + Default>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or_default()
}

/// |a − b| in parts per million of the larger, rounded up. Zero if both are zero.
#[must_use]
pub fn apart_ppm_ceil(a: u128, b: u128) -> u128 {
    let (large, difference) = (a.max(b), a.abs_diff(b));
    if large == 0 {
        return 0;
    }
    match difference.checked_mul(1_000_000) {
        Some(scaled) => scaled.div_ceil(large),
        None => difference.div_ceil((large / 1_000_000).max(1)),
    }
}

/// `a` × `b` / `c` rounded down, for 64-bit results. Zero for `c` = 0.
#[must_use]
pub fn mul_div_floor(a: u64, b: u64, c: u64) -> u64 {
    let wide = u128::from(a).saturating_mul(u128::from(b)).checked_div(u128::from(c));
    wide.and_then(|value| u64::try_from(value).ok()).unwrap_or_default()
}

/// Splits `sats` in proportion to `weights` by cumulative floors: the parts add up exactly. All zero weights: nothing.
#[must_use]
pub fn split_exact(sats: u64, weights: &[u64]) -> Vec<u64> {
    let total: u64 = weights.iter().fold(0, |sum: u64, weight| sum.saturating_add(*weight));
    let (mut passed, mut given) = (0_u64, 0_u64);
    weights
        .iter()
        .map(|weight| {
            passed = passed.saturating_add(*weight);
            let upto = mul_div_floor(sats, passed, total);
            let part = upto.saturating_sub(given);
            given = upto;
            part
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_read_without_loss() {
        assert_eq!(scaled_exact("0.00012345", 8), Ok(12_345));
        assert_eq!(scaled_exact("1.10000000000", 8), Ok(110_000_000));
        assert_eq!(scaled_floor("1.5e-11", 21), Ok(15_000_000_000));
        assert_eq!(scaled_floor("97123.4567891", 6), Ok(97_123_456_789));
        for bad in ["", "-1", "1.", ".5", "x", "1e999", "1e"] {
            assert!(scaled_floor(bad, 8).is_err(), "{bad}");
        }
        assert!(scaled_exact("0.000000001", 8).is_err());
    }

    #[test]
    fn distances_are_in_ppm_of_the_larger() {
        assert_eq!(apart_ppm_ceil(99, 100), 10_000);
        assert_eq!(apart_ppm_ceil(0, 0), 0);
        assert_eq!(apart_ppm_ceil(0, u128::MAX), 1_000_001);
    }

    proptest! {
        #[test]
        fn parts_add_up(sats in 0..2_100_000_000_000_000_u64, weights in prop::collection::vec(0..1_u64 << 40, 1..9)) {
            let parts = split_exact(sats, &weights);
            let sum: u64 = parts.iter().sum();
            let expected = if weights.iter().all(|weight| *weight == 0) { 0 } else { sats };
            prop_assert_eq!(sum, expected);
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!(*weight > 0 || *part == 0);
            }
        }

        #[test]
        fn one_liar_cannot_leave_the_honest_range(honest in prop::collection::vec(any::<u64>(), 2..30), lie: u64) {
            let (low, high) = (*honest.iter().min().unwrap(), *honest.iter().max().unwrap());
            let mut all = honest;
            all.push(lie);
            let median = median_low(all);
            prop_assert!((low..=high).contains(&median));
        }
    }
}
