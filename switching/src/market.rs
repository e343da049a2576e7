//! What each venue pays: integer millisats per 10^6 expected hashes, at the price at which the coin can be sold now.

use domain::{Coin, CoinState};
use serde::Serialize;

use crate::config::MILLION;

/// Sats in a bitcoin; also 10^-8 coins in a coin.
const SATS: u128 = 100_000_000;

/// A reading of a feed and how old it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Coin sats per 10^6 hashes, or BTC sats per coin.
    pub value: u64,
    /// Wall seconds since it was read.
    pub age_seconds: u64,
}

/// Everything a decision may know of a venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueView {
    /// Name as configured.
    pub name: String,
    /// Coin it pays.
    pub coin: Coin,
    /// Where the coin stands.
    pub coin_state: CoinState,
    /// Whether the pool is connected, has authorised us and has given a job.
    pub pool_up: bool,
    /// What the pool says it pays, net of its own fee: coin sats (10^-8) per 10^6 expected hashes.
    pub terms: Option<Reading>,
    /// Best bid, BTC sats per coin; not needed for BTC.
    pub price: Option<Reading>,
    /// What the exchange keeps of a sale, in millionths; zero for BTC.
    pub taker_fee_ppm: u64,
}

/// The market at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketView {
    /// Unix seconds of chain time.
    pub time: u64,
    /// Venues, in order of preference when they pay the same.
    pub venues: Vec<VenueView>,
    /// Wall seconds after which a reading no longer counts.
    pub max_feed_age_seconds: u64,
}

/// Why a venue is worth nothing now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfit {
    /// Its coin is no longer mined.
    #[error("its coin is not minable")]
    CoinState,
    /// Its pool gives no work.
    #[error("its pool is not connected, has given no job, or refuses everything")]
    PoolDown,
    /// The pool's rate is unknown or too old.
    #[error("the pool's rate is unknown or too old")]
    Terms,
    /// The coin's price is unknown or too old.
    #[error("the coin's price is unknown or too old")]
    Price,
    /// It pays less than a thousandth of a sat per 10^6 hashes, or more than 64 bits hold.
    #[error("it pays nothing that can be counted")]
    Worthless,
}

/// Millisats per 10^6 expected hashes on a venue, rounded down, never zero.
///
/// # Errors
/// Why the venue is not to be mined.
pub fn rate_floor(venue: &VenueView, max_age: u64) -> Result<u64, Unfit> {
    let fresh = |reading: Option<Reading>| reading.filter(|reading| reading.age_seconds <= max_age);
    if !venue.coin_state.minable() {
        return Err(Unfit::CoinState);
    }
    if !venue.pool_up {
        return Err(Unfit::PoolDown);
    }
    let terms = fresh(venue.terms).ok_or(Unfit::Terms)?.value;
    let (price, fee) = match venue.coin {
        Coin::Btc => (SATS, 0),
        _ => (u128::from(fresh(venue.price).ok_or(Unfit::Price)?.value), venue.taker_fee_ppm),
    };
    let kept = u128::from(MILLION.saturating_sub(fee));
    // coin sats × BTC sats per coin × millionths kept × 1,000 millisats ÷ (10^8 × 10^6), in one division.
    u128::from(terms)
        .checked_mul(price)
        .and_then(|product| product.checked_mul(kept))
        .map(|product| product / (SATS * 1_000))
        .and_then(|rate| u64::try_from(rate).ok())
        .filter(|rate| *rate > 0)
        .ok_or(Unfit::Worthless)
}

/// BTC sats per coin of a decimal price in BTC, rounded down.
///
/// # Errors
/// When the text is no positive decimal, in words.
pub fn price_sats_floor(text: &str) -> Result<u64, String> {
    let price = rust_decimal::Decimal::from_str_exact(text)
        .map_err(|error| format!("{text:?} is no decimal price: {error}"))?;
    let mantissa =
        u128::try_from(price.mantissa()).map_err(|_| format!("price {text} is below zero"))?;
    let divisor = 10_u128.checked_pow(price.scale()).unwrap_or(u128::MAX);
    mantissa
        .checked_mul(SATS)
        .map(|scaled| scaled / divisor)
        .and_then(|sats| u64::try_from(sats).ok())
        .filter(|sats| *sats > 0)
        .ok_or_else(|| format!("price {text} is zero or out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bch(price: u64, fee: u64) -> VenueView {
        let reading = |value| Some(Reading { value, age_seconds: 0 });
        VenueView {
            name: "bch".into(),
            coin: Coin::Bch,
            coin_state: CoinState::Active,
            pool_up: true,
            terms: reading(123),
            price: reading(price),
            taker_fee_ppm: fee,
        }
    }

    #[test]
    fn the_rate_is_what_a_sale_would_leave() {
        // 123 · 10^-8 BCH/Mhash at 0.005 BTC/BCH = 0.615 sat = 615 millisat; 0.1 % less is 614.385.
        assert_eq!(rate_floor(&bch(500_000, 0), 30), Ok(615));
        assert_eq!(rate_floor(&bch(500_000, 1_000), 30), Ok(614));
        let btc = VenueView { coin: Coin::Btc, price: None, ..bch(1, 0) };
        assert_eq!(rate_floor(&btc, 30), Ok(123_000));
    }

    #[test]
    fn unfit_venues_say_why() {
        let good = bch(500_000, 0);
        let stale = Some(Reading { value: 1, age_seconds: 31 });
        for (venue, why) in [
            (VenueView { coin_state: CoinState::Halted, ..good.clone() }, Unfit::CoinState),
            (VenueView { pool_up: false, ..good.clone() }, Unfit::PoolDown),
            (VenueView { terms: stale, ..good.clone() }, Unfit::Terms),
            (VenueView { price: stale, ..good.clone() }, Unfit::Price),
            (VenueView { taker_fee_ppm: 1_000_000, ..good.clone() }, Unfit::Worthless),
        ] {
            assert_eq!(rate_floor(&venue, 30), Err(why));
        }
    }

    #[test]
    fn prices_are_read_exactly() {
        assert_eq!(price_sats_floor("0.00500000"), Ok(500_000));
        assert_eq!(price_sats_floor("0.005000019"), Ok(500_001));
        assert_eq!(price_sats_floor("12"), Ok(1_200_000_000));
        for bad in ["0", "-1", "", "x", "0.000000001", "1e-3"] {
            assert!(price_sats_floor(bad).is_err(), "{bad}");
        }
    }
}
