//! Configuration: one TOML file, in which an unknown key is an error.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clock::ClockConfig;
use domain::Coin;
use serde::Deserialize;

use crate::{
    amount,
    binance::Settings,
    book::{Rules, SaleRule},
};

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the HTTP API; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The fill journal.
    pub journal: PathBuf,
    /// Milliseconds between looks at the account.
    #[serde(default = "a_second")]
    pub poll_ms: u64,
    /// Start of every client id: letters, digits and `-`, at most 10. One per journal and account.
    #[serde(default = "prefix")]
    pub id_prefix: String,
    /// Whose time the journal carries.
    pub clock: ClockConfig,
    /// The exchange.
    pub venue: VenueConfig,
    /// What is sold.
    pub coins: Vec<CoinConfig>,
    /// Where BTC goes, and when.
    pub withdrawal: WithdrawalConfig,
}

/// The exchange account.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum VenueConfig {
    /// Binance's spot API, or one of its shape.
    Binance {
        /// Root of the API.
        url: String,
        /// File with the API key, mode 0600.
        api_key_file: PathBuf,
        /// File with the API secret, mode 0600.
        api_secret_file: PathBuf,
        /// Age at which the venue refuses a request.
        #[serde(default = "five_seconds")]
        recv_window_ms: u64,
        /// How long an answer may take.
        #[serde(default = "five_seconds")]
        timeout_ms: u64,
        /// Bitcoin network name for withdrawals, if the venue wants one.
        network: Option<String>,
    },
}

/// One coin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoinConfig {
    /// Ticker.
    pub coin: Coin,
    /// Least sale, decimal coin.
    pub min_sale: String,
    /// The venue's lot, decimal coin.
    pub lot: String,
}

/// Withdrawals.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalConfig {
    /// The only address that BTC is sent to. Allow-list it at the exchange too.
    pub treasury: String,
    /// Free BTC withdrawn at once, decimal.
    pub minimum: String,
    /// Least BTC that the venue lets out, decimal.
    pub floor: String,
    /// Seconds of chain time after a sale at which anything above the floor goes.
    pub every_seconds: u64,
}

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration: {key}: {why}")]
pub struct ConfigError {
    key: &'static str,
    why: String,
}

impl Config {
    /// Parses and checks the text of the file.
    ///
    /// # Errors
    /// With the key and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)
            .map_err(|error| ConfigError { key: "file", why: error.to_string() })?;
        config.rules()?;
        Ok(config)
    }

    /// The rules in integers.
    ///
    /// # Errors
    /// When an amount does not parse, the prefix has other characters, or nothing is sold.
    pub fn rules(&self) -> Result<Rules, ConfigError> {
        let bad = |key, why: &str| ConfigError { key, why: why.to_owned() };
        let prefix = &self.id_prefix;
        let plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if prefix.is_empty() || prefix.len() > 10 || !plain {
            return Err(bad("id_prefix", "1 to 10 letters, digits or dashes are expected"));
        }
        if self.withdrawal.treasury.is_empty() {
            return Err(bad("withdrawal.treasury", "an address is expected"));
        }
        let mut sales = Vec::new();
        for coin in &self.coins {
            if coin.coin == Coin::Btc {
                return Err(bad("coins", "BTC is not sold for BTC"));
            }
            let (min_sale, lot) =
                (read("coins.min_sale", &coin.min_sale)?, read("coins.lot", &coin.lot)?);
            if lot == 0 {
                return Err(bad("coins.lot", "above zero is expected"));
            }
            sales.push(SaleRule { coin: coin.coin, min_sale, lot });
        }
        Ok(Rules {
            sales,
            min_withdrawal: read("withdrawal.minimum", &self.withdrawal.minimum)?,
            withdrawal_floor: read("withdrawal.floor", &self.withdrawal.floor)?,
            withdraw_every: self.withdrawal.every_seconds,
            treasury: self.withdrawal.treasury.clone(),
            id_prefix: prefix.clone(),
        })
    }
}

impl VenueConfig {
    /// Settings of the client, and the files with its key and secret.
    #[must_use]
    pub fn settings(&self) -> (Settings, &PathBuf, &PathBuf) {
        let Self::Binance {
            url,
            api_key_file,
            api_secret_file,
            recv_window_ms,
            timeout_ms,
            network,
        } = self;
        let settings = Settings {
            url: url.trim_end_matches('/').to_owned(),
            recv_window: Duration::from_millis(*recv_window_ms),
            timeout: Duration::from_millis(*timeout_ms),
            network: network.clone(),
        };
        (settings, api_key_file, api_secret_file)
    }
}

fn read(key: &'static str, text: &str) -> Result<u64, ConfigError> {
    amount::parse(text).map_err(|error| ConfigError { key, why: error.to_string() })
}

fn a_second() -> u64 {
    1_000
}

fn five_seconds() -> u64 {
    5_000
}

fn prefix() -> String {
    "lh".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../conversion.example.toml");

    #[test]
    fn the_example_is_valid_and_an_unknown_key_is_not() {
        let rules = Config::parse(EXAMPLE).unwrap().rules().unwrap();
        assert_eq!(rules.sales[0].min_sale, 10_000_000);
        let error = Config::parse(&EXAMPLE.replace("poll_ms", "pol_ms")).unwrap_err().to_string();
        assert!(error.contains("pol_ms"), "{error}");
        let error =
            Config::parse(&EXAMPLE.replace("\"0.10\"", "\"0,10\"")).unwrap_err().to_string();
        assert!(error.contains("min_sale"), "{error}");
    }
}
