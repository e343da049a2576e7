//! Configuration of a signer: one TOML file, in which an unknown key is an error.

use std::{net::SocketAddr, path::PathBuf};

use alloy::primitives::Address;
use clock::ClockConfig;
use domain::{Coin, SeriesId};
use serde::{Deserialize, de::DeserializeOwned};

/// The signer's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the HTTP API for peers and operators; port 0 takes a free one.
    pub listen: SocketAddr,
    /// This signer's private key, hex, mode 0600.
    pub key_file: PathBuf,
    /// This signer's own SQLite file.
    pub store: PathBuf,
    /// EVM JSON-RPC.
    pub evm_url: String,
    /// Addresses of the contracts.
    pub deployment: PathBuf,
    /// Machine batches that this signer attests; see [`crate::batch`]. Absent: none.
    pub machines: Option<PathBuf>,
    /// Chain time.
    pub clock: ClockConfig,
    /// The other signers.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// The treasury on the Bitcoin chain.
    pub bitcoin: BitcoinConfig,
    /// The switching journal.
    pub journal: JournalConfig,
    /// Pools that the fleet mines at.
    pub pools: Vec<PoolConfig>,
    /// Where coins are sold, if any are.
    pub exchange: Option<ExchangeConfig>,
    /// Sources of the price of bitcoin: three or more.
    pub prices: Vec<PriceSource>,
    /// Sources of hardware prices.
    #[serde(default)]
    pub hardware: Vec<HardwareSource>,
    /// Sats withheld per series and epoch. The same at every signer.
    #[serde(default)]
    pub deductions: Vec<Deduction>,
    /// How far a report may be from this signer's own reading.
    #[serde(default)]
    pub tolerances: ToleranceConfig,
    /// When things happen.
    #[serde(default)]
    pub timing: Timing,
}

/// Another signer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its address in the signer set.
    pub address: Address,
    /// Root of its HTTP API.
    pub url: String,
}

/// Bitcoin node and treasury.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitcoinConfig {
    /// JSON-RPC.
    pub url: String,
    /// The node's cookie file.
    pub cookie_file: PathBuf,
    /// First block that may hold a treasury output.
    pub start_height: u64,
    /// Confirmations that an output needs when it is observed.
    pub confirmations: u64,
    /// Treasury addresses.
    pub treasury: Vec<String>,
}

/// The switching engine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalConfig {
    /// Root of its HTTP API.
    pub url: String,
}

/// A pool's statement API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// Name; the same at every signer.
    pub name: String,
    /// Root of the API.
    pub url: String,
    /// Account.
    pub account: String,
    /// File with a bearer token, mode 0600, if the pool wants one.
    pub token_file: Option<PathBuf>,
    /// Coin paid.
    pub coin: Coin,
    /// Where it pays to.
    pub pays: Pays,
    /// Names of the venues in the switching journal that mine here.
    pub venues: Vec<String>,
}

/// Where a pool pays to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pays {
    /// The treasury.
    Treasury,
    /// The exchange account.
    Exchange,
}

/// Read access to the exchange account, Binance's shape. This signer's own key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeConfig {
    /// Root of the API.
    pub url: String,
    /// API key, mode 0600.
    pub api_key_file: PathBuf,
    /// API secret, mode 0600.
    pub api_secret_file: PathBuf,
    /// Age at which the venue refuses a request.
    #[serde(default = "five_thousand")]
    pub recv_window_ms: u64,
    /// Coins sold for BTC.
    pub coins: Vec<Coin>,
    /// Whether the withdrawal list shows amounts with the fee. Binance shows them without.
    #[serde(default)]
    pub amounts_include_fee: bool,
}

/// A price of bitcoin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceSource {
    /// How the answer looks.
    pub shape: PriceShape,
    /// Full URL.
    pub url: String,
}

/// Shapes of tickers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceShape {
    /// `{"bidPrice","askPrice"}`.
    Binance,
    /// `{"result":{"<pair>":{"a":[..],"b":[..]}}}`.
    Kraken,
    /// `{"bid","ask"}`.
    Coinbase,
}

/// A price of hardware.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardwareSource {
    /// Series that it applies to.
    pub series: SeriesId,
    /// Full URL of a JSON answer.
    pub url: String,
    /// JSON pointer to the price, e.g. `/price`.
    pub field: String,
    /// The price is for this many H/s.
    #[serde(default = "one")]
    pub per_hashes_per_second: u64,
}

/// Power and hosting.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deduction {
    /// Series.
    pub series: SeriesId,
    /// Sats per epoch.
    pub sats_per_epoch: u64,
}

/// Parts per million.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToleranceConfig {
    /// Price of bitcoin.
    pub price_ppm: u64,
    /// Price of hardware.
    pub hardware_ppm: u64,
    /// Work of each series.
    pub work_ppm: u64,
}

impl Default for ToleranceConfig {
    fn default() -> Self {
        Self { price_ppm: 20_000, hardware_ppm: 50_000, work_ppm: 20_000 }
    }
}

/// Seconds are chain time, milliseconds are wall time.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// How long after the end of an epoch it is observed.
    pub observe_after_seconds: u64,
    /// How long a round lasts, and with it its leader. The same at every signer.
    pub attempt_seconds: u64,
    /// How long after the end of an epoch without a report this signer agrees to declare a gap. Nobody needs a quorum
    /// after a day.
    pub gap_after_seconds: u64,
    /// Between looks at the chain.
    pub poll_ms: u64,
    /// How long an answer of a peer or a source may take.
    pub answer_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            observe_after_seconds: 600,
            attempt_seconds: 300,
            gap_after_seconds: 43_200,
            poll_ms: 5_000,
            answer_ms: 10_000,
        }
    }
}

/// The operator's file for `attest-batch`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorConfig {
    /// Key that pays for the transaction, mode 0600.
    pub key_file: PathBuf,
    /// EVM JSON-RPC.
    pub evm_url: String,
    /// Addresses of the contracts.
    pub deployment: PathBuf,
    /// Machine batches.
    pub machines: PathBuf,
    /// Every signer.
    pub peers: Vec<Peer>,
    /// How long a signer may take.
    #[serde(default = "five_thousand")]
    pub answer_ms: u64,
}

/// A file is missing, malformed, or cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(pub String);

/// Parses a TOML text.
///
/// # Errors
/// With the parser's words, which name an unknown key.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError(error.to_string()))
}

impl Config {
    /// Parses and checks the text of the file.
    ///
    /// # Errors
    /// When it does not parse, has fewer than three price sources, or no treasury.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = parse(text)?;
        let fail = |why: &str| Err(ConfigError(why.to_owned()));
        if config.prices.len() < 3 {
            return fail("prices: three or more sources are needed");
        }
        if config.bitcoin.treasury.is_empty() {
            return fail("bitcoin.treasury: an address is needed");
        }
        if config.timing.attempt_seconds == 0 {
            return fail("timing.attempt_seconds: above zero is needed");
        }
        if config.exchange.is_none() && config.pools.iter().any(|pool| pool.pays == Pays::Exchange)
        {
            return fail("a pool pays to the exchange, and no exchange is configured");
        }
        if config.hardware.iter().any(|source| source.per_hashes_per_second == 0) {
            return fail("hardware.per_hashes_per_second: above zero is needed");
        }
        Ok(config)
    }
}

fn five_thousand() -> u64 {
    5_000
}

fn one() -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../signer.example.toml");

    #[test]
    fn the_examples_are_valid_and_an_unknown_key_is_not() {
        assert_eq!(Config::parse(EXAMPLE).unwrap().prices.len(), 3);
        let error =
            Config::parse(&EXAMPLE.replace("cookie_file", "cooky")).unwrap_err().to_string();
        assert!(error.contains("cooky"), "{error}");
        let operator: OperatorConfig = parse(include_str!("../operator.example.toml")).unwrap();
        assert_eq!(operator.peers.len(), 2);
    }
}
