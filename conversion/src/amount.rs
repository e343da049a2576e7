//! Amounts: decimal strings on the wire, integers of 10^-8 inside, and nothing lost between.

/// A text is no amount of at most 8 decimals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount: digits with at most 8 decimals are expected")]
pub struct BadAmount(pub String);

const PLACES: usize = 8;

/// Reads `"0.12"` as 12,000,000. Zeros past the eighth decimal are harmless; anything else there is an error.
///
/// # Errors
/// For a sign, an exponent, a ninth significant decimal, no digit, or a value past 64 bits.
pub fn parse(text: &str) -> Result<u64, BadAmount> {
    let bad = || BadAmount(text.to_owned());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
        return Err(bad());
    }
    let kept: String = fraction.chars().take(PLACES).collect();
    if fraction.chars().skip(PLACES).any(|digit| digit != '0') {
        return Err(bad());
    }
    format!("{whole}{kept:0<PLACES$}").parse().map_err(|_| bad())
}

/// Writes 12,000,000 as `"0.12000000"`.
#[must_use]
pub fn show(amount: u64) -> String {
    format!("{}.{:08}", amount / 100_000_000, amount % 100_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_amount_is_refused() {
        for bad in ["", ".", ".5", "5.", "-1", "+1", "1e8", "0.000000001", "1,0", "184467440737.1"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("0.123456780"), Ok(12_345_678));
        assert_eq!(parse("21000000"), Ok(2_100_000_000_000_000));
    }

    proptest! {
        #[test]
        fn every_amount_survives_the_wire(amount: u64) {
            prop_assert_eq!(parse(&show(amount)), Ok(amount));
        }
    }
}
