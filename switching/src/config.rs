//! The TOML configuration: its shape, its defaults, and the checks that a shape cannot say.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use alloy::primitives::B256;
use clock::ClockConfig;
use domain::{Coin, CoinState, SeriesId};
use serde::Deserialize;

/// Parts per million in one.
pub const MILLION: u64 = 1_000_000;

/// Why a configuration cannot be used. Each message names the key and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {why}; give a readable file")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: std::io::Error,
    },
    /// The file is not of the right shape.
    #[error("{path}: {why}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The parser's words, with line, key and the keys it knows.
        why: Box<toml::de::Error>,
    },
    /// A value cannot work.
    #[error("{key}: {why}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with it, and the fix.
        why: String,
    },
}

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where machines connect, e.g. `127.0.0.1:3333`.
    pub listen: SocketAddr,
    /// Where status, journal and metrics are served.
    pub http: SocketAddr,
    /// The production journal; made if missing.
    pub journal: PathBuf,
    /// Where chain time comes from.
    pub clock: ClockConfig,
    /// The machines.
    pub fleet: Fleet,
    /// How much more another venue must pay before the fleet moves, in millionths.
    pub hysteresis_ppm: u64,
    /// Seconds of chain time to stay on a venue that still pays.
    pub min_dwell_seconds: u64,
    /// Wall milliseconds between decisions, and between readings of each feed.
    pub decide_interval_ms: u64,
    /// Wall seconds after which a reading no longer counts.
    pub max_feed_age_seconds: u64,
    /// Wall milliseconds that a pool has to answer a share before its machine is told that it did not.
    #[serde(default = "ten_seconds")]
    pub submit_timeout_ms: u64,
    /// Price of each coin that is not BTC.
    #[serde(default)]
    pub prices: Vec<PriceFeed>,
    /// Pools, in order of preference when they pay the same.
    pub venues: Vec<Venue>,
    /// The machines' part of the extranonce.
    #[serde(default)]
    pub extranonce: Extranonce,
    /// Proof of hashrate; without it shares carry no tag and prove nothing.
    pub proof: Option<Proof>,
}

/// What binds shares to this fleet and to the running epoch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// EVM node whose blocks date the shares.
    pub evm_url: String,
    /// Wall milliseconds between looks for the first block of an epoch.
    pub poll_ms: u64,
    /// Fleet id, 32 bytes: the registry's address, zeros before it.
    pub fleet: B256,
    /// Shares of a proof: as many of the lowest are kept.
    pub shares: usize,
}

const fn ten_seconds() -> u64 {
    10_000
}

/// The machines of the fleet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Every machine that may work here.
    pub machines: Vec<Machine>,
}

/// One machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Serial number; the machine's stratum user name is this, or `anything.serial`.
    pub serial: String,
    /// The series that it backs.
    pub series: SeriesId,
}

/// An exchange's best bid for a coin in BTC.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceFeed {
    /// The coin priced.
    pub coin: Coin,
    /// `GET` here gives `{"bidPrice":"0.00500000",…}`, BTC per coin.
    pub url: String,
    /// What the exchange keeps of a sale, in millionths.
    #[serde(default)]
    pub taker_fee_ppm: u64,
}

/// One pool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Venue {
    /// Unique name, as in the journal.
    pub name: String,
    /// Coin it pays.
    pub coin: Coin,
    /// Where that coin stands.
    #[serde(default)]
    pub coin_state: CoinState,
    /// Stratum endpoint, `host:port`.
    pub pool: String,
    /// User name at the pool.
    pub account: String,
    /// File that holds the password; without one it is `x`.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Base of the pool's statement API, `http://host:port`.
    pub statement_url: String,
}

/// A pool's password. Never printed.
#[derive(Clone)]
pub struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// The password itself, for the pool only.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Venue {
    /// Reads the password file, without its line end; `x` if there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn password(&self) -> Result<Password, ConfigError> {
        let Some(path) = &self.password_file else { return Ok(Password("x".to_owned())) };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|why| ConfigError::Unreadable { path: path.clone(), why })?;
        Ok(Password(text.trim_end().to_owned()))
    }
}

/// How the machines' part of the extranonce is cut.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Extranonce {
    /// Bytes that tell machines apart: `256^prefix_bytes` machines at once.
    pub prefix_bytes: usize,
    /// Bytes that a machine rolls.
    pub miner_bytes: usize,
}

impl Default for Extranonce {
    fn default() -> Self {
        Self { prefix_bytes: 2, miner_bytes: 2 }
    }
}

impl Extranonce {
    /// Bytes that a pool must leave us.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.prefix_bytes.saturating_add(self.miner_bytes)
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, has an unknown or missing key, or a value that cannot work.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|why| ConfigError::Unreadable { path: path.to_owned(), why })?;
        let config: Self = toml::from_str(&text)
            .map_err(|why| ConfigError::Shape { path: path.to_owned(), why: Box::new(why) })?;
        config.check()?;
        Ok(config)
    }

    /// The checks that the shape of the file does not say.
    ///
    /// # Errors
    /// The first value that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_fleet()?;
        self.check_venues()?;
        let bad = |key: &str, why: &str| Err(value(key, why));
        if !(1..=4).contains(&self.extranonce.prefix_bytes) {
            return bad("extranonce.prefix_bytes", "must be 1 to 4: 256^prefix_bytes machines");
        }
        if !(2..=8).contains(&self.extranonce.miner_bytes) {
            return bad("extranonce.miner_bytes", "must be 2 to 8: firmware fails outside that");
        }
        if self.hysteresis_ppm > 10 * MILLION {
            return bad("hysteresis_ppm", "is above 1,000 %: give millionths, 10000 is 1 %");
        }
        if self.decide_interval_ms == 0 {
            return bad("decide_interval_ms", "must be above zero; 250 is usual");
        }
        if self.max_feed_age_seconds == 0 {
            return bad("max_feed_age_seconds", "must be above zero; 30 is usual");
        }
        if let Some(proof) = &self.proof {
            check_url("proof.evm_url", &proof.evm_url)?;
            if !(3..=255).contains(&proof.shares) {
                return bad("proof.shares", "must be 3 to 255, the k of the HashProof contract");
            }
        }
        if self.submit_timeout_ms == 0 {
            return bad("submit_timeout_ms", "must be above zero; 10000 is usual");
        }
        Ok(())
    }

    fn check_fleet(&self) -> Result<(), ConfigError> {
        let mut serials = HashSet::new();
        for machine in &self.fleet.machines {
            let serial = &machine.serial;
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            if serial.is_empty() || !serial.chars().all(plain) {
                let why = format!("serial {serial:?} must be letters, digits, - and _ only");
                return Err(value("fleet.machines", &why));
            }
            if !serials.insert(serial) {
                let why = format!("serial {serial:?} stands twice: remove one");
                return Err(value("fleet.machines", &why));
            }
        }
        if serials.is_empty() {
            return Err(value("fleet.machines", "is empty: list at least one machine"));
        }
        Ok(())
    }

    fn check_venues(&self) -> Result<(), ConfigError> {
        if self.venues.is_empty() {
            return Err(value("venues", "is empty: list at least one pool"));
        }
        let mut names = HashSet::new();
        for venue in &self.venues {
            let key = |field: &str| format!("venues.{}.{field}", venue.name);
            if venue.name.is_empty() || !names.insert(&venue.name) {
                return Err(value(
                    "venues.name",
                    &format!("{:?} is empty or stands twice", venue.name),
                ));
            }
            if venue.coin.algorithm() != domain::Algorithm::Sha256 {
                let why = format!("{} is not mined with SHA-256; use BTC or BCH", venue.coin);
                return Err(value(&key("coin"), &why));
            }
            let port = venue.pool.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none() {
                return Err(value(&key("pool"), &format!("{:?} is not host:port", venue.pool)));
            }
            if venue.account.is_empty() {
                return Err(value(&key("account"), "is empty: give the pool's user name"));
            }
            check_url(&key("statement_url"), &venue.statement_url)?;
            if venue.coin != Coin::Btc && !self.prices.iter().any(|feed| feed.coin == venue.coin) {
                let why = format!("venue {} pays {}: add a price for it", venue.name, venue.coin);
                return Err(value("prices", &why));
            }
        }
        let mut coins = BTreeMap::new();
        for feed in &self.prices {
            check_url(&format!("prices.{}.url", feed.coin), &feed.url)?;
            if feed.taker_fee_ppm > MILLION {
                let key = format!("prices.{}.taker_fee_ppm", feed.coin);
                return Err(value(&key, "is above 1000000, which is all of the sale"));
            }
            if feed.coin == Coin::Btc || coins.insert(feed.coin, ()).is_some() {
                return Err(value("prices", &format!("{} is BTC or stands twice", feed.coin)));
            }
        }
        Ok(())
    }
}

fn check_url(key: &str, url: &str) -> Result<(), ConfigError> {
    if url.starts_with("http://") && reqwest::Url::parse(url).is_ok() {
        return Ok(());
    }
    Err(value(key, &format!("{url:?} is no http:// address (TLS ends at a local proxy)")))
}

fn value(key: &str, why: &str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../config.example.toml");

    fn broken(from: &str, to: &str) -> String {
        assert!(EXAMPLE.contains(from), "{from}");
        let text = EXAMPLE.replacen(from, to, 1);
        match toml::from_str::<Config>(&text) {
            Err(error) => error.to_string(),
            Ok(config) => config.check().unwrap_err().to_string(),
        }
    }

    #[test]
    fn the_example_is_valid() {
        toml::from_str::<Config>(EXAMPLE).unwrap().check().unwrap();
    }

    #[test]
    fn mistakes_are_named() {
        assert!(broken("hysteresis_ppm", "hysteresis").contains("hysteresis"));
        assert!(broken("coin = \"BCH\"\nurl", "coin = \"LTC\"\nurl").contains("add a price"));
        assert!(broken("name = \"bch-pool\"", "name = \"btc-pool\"").contains("stands twice"));
        assert!(broken("serial = \"S21-0002\"", "serial = \"S21-0001\"").contains("S21-0001"));
        assert!(broken("coin = \"BTC\"", "coin = \"LTC\"").contains("SHA-256"));
        assert!(broken("miner_bytes = 2", "miner_bytes = 1").contains("miner_bytes"));
        assert!(
            broken("decide_interval_ms = 250", "decide_interval_ms = 0")
                .contains("decide_interval_ms")
        );
    }
}
