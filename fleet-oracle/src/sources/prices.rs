//! The price of bitcoin from three shapes of tickers, and prices of hardware.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{SourceError, get_json, get_text};
use crate::{
    config::{HardwareSource, PriceShape, PriceSource},
    numbers::{BadNumber, median_low, scaled_floor},
    observation::HardwarePrice,
};

/// Decimals of the quote currency.
const QUOTE_PLACES: i32 = 6;
/// Hardware is quoted per 10^15 H/s.
const PETA_PLACES: i32 = 15;
/// Sources that must answer.
const LEAST: usize = 3;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BinanceTicker {
    bid_price: String,
    ask_price: String,
}

#[derive(Deserialize)]
struct KrakenTicker {
    error: Vec<String>,
    #[serde(default)]
    result: BTreeMap<String, KrakenPair>,
}

#[derive(Deserialize)]
struct KrakenPair {
    a: Vec<String>,
    b: Vec<String>,
}

#[derive(Deserialize)]
struct CoinbaseTicker {
    bid: String,
    ask: String,
}

/// Quote units (6 decimals) for one BTC in the middle between bid and ask.
fn middle(shape: PriceShape, text: &str) -> Result<u64, String> {
    let parse = |error: serde_json::Error| error.to_string();
    let (bid, ask) = match shape {
        PriceShape::Binance => {
            let ticker: BinanceTicker = serde_json::from_str(text).map_err(parse)?;
            (ticker.bid_price, ticker.ask_price)
        }
        PriceShape::Kraken => {
            let ticker: KrakenTicker = serde_json::from_str(text).map_err(parse)?;
            if !ticker.error.is_empty() {
                return Err(ticker.error.join(", "));
            }
            let pair = ticker.result.into_values().next().ok_or("no pair in the answer")?;
            let first = |side: Vec<String>| side.into_iter().next().ok_or("an empty side");
            (first(pair.b)?, first(pair.a)?)
        }
        PriceShape::Coinbase => {
            let ticker: CoinbaseTicker = serde_json::from_str(text).map_err(parse)?;
            (ticker.bid, ticker.ask)
        }
    };
    let read =
        |text: &str| scaled_floor(text, QUOTE_PLACES).map_err(|error: BadNumber| error.to_string());
    let (bid, ask) = (read(&bid)?, read(&ask)?);
    let price = bid.saturating_add(ask) / 2;
    let price = u64::try_from(price).map_err(|_| format!("{price} is no price"))?;
    if price == 0 || bid > ask { Err(format!("bid {bid}, ask {ask}")) } else { Ok(price) }
}

/// Median price and spread in parts per million of it.
///
/// # Errors
/// When fewer than three sources answer; their failures are in the message.
pub async fn bitcoin(
    http: &reqwest::Client,
    sources: &[PriceSource],
    wait: Duration,
) -> Result<(u64, u32), SourceError> {
    let asked = sources.iter().map(async |source| {
        let text = get_text(http, &source.url, http.get(&source.url), wait).await?;
        middle(source.shape, &text).map_err(|why| SourceError::new(&source.url, why))
    });
    let (mut prices, mut failures) = (Vec::new(), Vec::new());
    for answer in futures::future::join_all(asked).await {
        match answer {
            Ok(price) => prices.push(price),
            Err(error) => failures.push(error.to_string()),
        }
    }
    if prices.len() < LEAST {
        let why = format!("{} of {LEAST} sources answered; {}", prices.len(), failures.join("; "));
        return Err(SourceError::new("price of bitcoin", why));
    }
    for failure in failures {
        tracing::warn!("a price source failed: {failure}");
    }
    Ok(median_and_spread(&prices))
}

fn median_and_spread(prices: &[u64]) -> (u64, u32) {
    let median = median_low(prices.to_vec());
    let high = prices.iter().max().copied().unwrap_or_default();
    let low = prices.iter().min().copied().unwrap_or_default();
    let spread = u128::from(high.saturating_sub(low)).saturating_mul(1_000_000);
    let spread = spread.checked_div(u128::from(median)).unwrap_or_default();
    (median, u32::try_from(spread).unwrap_or(u32::MAX))
}

/// Hardware prices; a source that fails is left out, with a line in the log.
pub async fn hardware(
    http: &reqwest::Client,
    sources: &[HardwareSource],
    wait: Duration,
) -> Vec<HardwarePrice> {
    let asked = sources.iter().map(async |source| one_hardware(http, source, wait).await);
    let answers = futures::future::join_all(asked).await;
    let mut by_series = BTreeMap::<_, Vec<u128>>::new();
    for (source, answer) in sources.iter().zip(answers) {
        match answer {
            Ok(price) => by_series.entry(source.series).or_default().push(price),
            Err(error) => tracing::warn!(series = %source.series, "no hardware price: {error}"),
        }
    }
    by_series
        .into_iter()
        .map(|(series, prices)| HardwarePrice { series, price: median_low(prices) })
        .collect()
}

async fn one_hardware(
    http: &reqwest::Client,
    source: &HardwareSource,
    wait: Duration,
) -> Result<u128, SourceError> {
    let fail = |why: String| SourceError::new(&source.url, why);
    let answer: serde_json::Value =
        get_json(http, &source.url, http.get(&source.url), wait).await?;
    let text = match answer.pointer(&source.field) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Number(number)) => number.to_string(),
        _ => return Err(fail(format!("no number at {}", source.field))),
    };
    let price =
        scaled_floor(&text, QUOTE_PLACES + PETA_PLACES).map_err(|error| fail(error.to_string()))?;
    Ok(price / u128::from(source.per_hashes_per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_real_shapes_are_read() {
        let binance = r#"{"symbol":"BTCUSDC","bidPrice":"97000.00000000","bidQty":"1","askPrice":"97001.00000000","askQty":"1"}"#;
        let kraken = r#"{"error":[],"result":{"XBTUSDC":{"a":["97002.00000","1","1.000"],"b":["97000.00000","1","1.000"],"c":["97001.0","0.1"]}}}"#;
        let coinbase = r#"{"ask":"97003.01","bid":"97003","volume":"1","trade_id":1,"price":"97003.01","size":"1","time":"t"}"#;
        assert_eq!(middle(PriceShape::Binance, binance), Ok(97_000_500_000));
        assert_eq!(middle(PriceShape::Kraken, kraken), Ok(97_001_000_000));
        assert_eq!(middle(PriceShape::Coinbase, coinbase), Ok(97_003_005_000));
        let down = r#"{"error":["EService:Unavailable"]}"#;
        assert_eq!(middle(PriceShape::Kraken, down), Err("EService:Unavailable".into()));
        assert!(middle(PriceShape::Coinbase, r#"{"bid":"2","ask":"1"}"#).is_err());
        assert!(middle(PriceShape::Binance, kraken).is_err());
    }

    #[test]
    fn spread_is_of_the_median() {
        assert_eq!(median_and_spread(&[100, 102, 101]), (101, 19_801));
    }
}
