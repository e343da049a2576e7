//! Pool statements: hourly earnings, and payouts with the hours they cover.

use std::time::Duration;

use alloy::primitives::{B256, keccak256};
use domain::EpochId;
use serde::{Deserialize, Deserializer, de::Error};

use super::{SourceError, get_json, internal_txid, read_secret};
use crate::{
    attribution::{PoolPayout, PoolStatement},
    config::{Pays, PoolConfig},
};

#[derive(Deserialize)]
struct PayoutRow {
    txid: String,
    vout: Option<u32>,
    #[serde(deserialize_with = "number")]
    sats: u64,
    #[serde(deserialize_with = "number")]
    time: u64,
    covers: Vec<Cover>,
}

#[derive(Deserialize)]
struct Cover {
    #[serde(deserialize_with = "number")]
    hour_start: u64,
    #[serde(deserialize_with = "number")]
    sats: u64,
}

#[derive(Deserialize)]
struct Hour {
    #[serde(deserialize_with = "number")]
    hour_start: u64,
    #[serde(deserialize_with = "number")]
    shares: u64,
    #[serde(deserialize_with = "number")]
    hashes: u128,
    #[serde(deserialize_with = "number")]
    sats: u64,
}

/// An integer, as a number or as a decimal string.
fn number<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<u128>,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    let wide = match Either::deserialize(deserializer)? {
        Either::Number(number) => u128::from(number),
        Either::Text(text) => {
            text.parse().map_err(|_| D::Error::custom(format!("{text:?} is no integer")))?
        }
    };
    T::try_from(wide).map_err(|_| D::Error::custom(format!("{wide} is too large")))
}

/// What a pool says.
#[derive(Debug)]
pub struct PoolReading {
    /// Its payouts.
    pub statement: PoolStatement,
    /// Hash of its earnings in the epoch: keccak of the lines `hour_start,shares,hashes,sats\n`.
    pub hash: B256,
    /// Expected hashes that it credited in the epoch.
    pub hashes: u128,
}

/// Reads one pool for an epoch.
///
/// # Errors
/// When the pool does not answer, or not in the documented form.
pub async fn read(
    http: &reqwest::Client,
    config: &PoolConfig,
    epoch: EpochId,
    wait: Duration,
) -> Result<PoolReading, SourceError> {
    let name = format!("pool {}", config.name);
    let token = config.token_file.as_deref().map(read_secret).transpose()?;
    let root = format!("{}/api/v1/accounts/{}", config.url.trim_end_matches('/'), config.account);
    let get = |url: String| match &token {
        Some(token) => http.get(url).bearer_auth(token.as_str()),
        None => http.get(url),
    };
    let payouts: Vec<PayoutRow> =
        get_json(http, &name, get(format!("{root}/payouts")), wait).await?;
    let url = format!("{root}/earnings?from={}&to={}", epoch.start(), epoch.end());
    let mut hours: Vec<Hour> = get_json(http, &name, get(url), wait).await?;
    hours.retain(|hour| EpochId::at(hour.hour_start) == epoch);
    hours.sort_by_key(|hour| hour.hour_start);
    let lines: String = hours
        .iter()
        .map(|hour| format!("{},{},{},{}\n", hour.hour_start, hour.shares, hour.hashes, hour.sats))
        .collect();
    let payouts: Result<Vec<PoolPayout>, SourceError> =
        payouts.into_iter().map(|row| payout(&name, row)).collect();
    let statement = PoolStatement {
        name: config.name.clone(),
        coin: config.coin,
        to_exchange: config.pays == Pays::Exchange,
        payouts: payouts?,
    };
    let hashes = hours.iter().fold(0_u128, |sum, hour| sum.saturating_add(hour.hashes));
    Ok(PoolReading { statement, hash: keccak256(lines), hashes })
}

fn payout(name: &str, row: PayoutRow) -> Result<PoolPayout, SourceError> {
    Ok(PoolPayout {
        txid: internal_txid(name, &row.txid)?,
        vout: row.vout,
        amount: row.sats,
        time: row.time,
        covers: row.covers.iter().map(|cover| (cover.hour_start, cover.sats)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_texts_and_nonsense_is_refused() {
        let row = r#"{"txid":"00","sats":"12","time":5,"covers":[{"hour_start":"3600","sats":12}],"new":1}"#;
        let row: PayoutRow = serde_json::from_str(row).unwrap();
        assert_eq!((row.sats, row.time, row.covers[0].hour_start), (12, 5, 3600));
        for bad in
            [r#"{"hour_start":1,"shares":1,"hashes":"1.5","sats":1}"#, r#"{"hour_start":-1}"#]
        {
            assert!(serde_json::from_str::<Hour>(bad).is_err(), "{bad}");
        }
    }
}
