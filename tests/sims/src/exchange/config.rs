//! Configuration of the simulated exchange.

use std::{collections::BTreeMap, path::PathBuf};

use eyre::{Result, ensure};
use serde::{Deserialize, Deserializer, de};

use super::scenario::Scenario;
use crate::amount;

/// The TOML file; unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExchangeConfig {
    pub(crate) listen: String,
    /// JSON file with the exchange's books; written by the exchange only.
    pub(crate) state_file: PathBuf,
    /// The network whose node gives the server time.
    #[serde(default = "btc")]
    pub(crate) clock_coin: String,
    /// How many times faster than the wall the node time runs: `recvWindow` is stretched by it.
    #[serde(default = "one")]
    pub(crate) time_scale: u64,
    #[serde(default)]
    pub(crate) seed: u64,
    /// Commission of takers, 1/10,000 of what they receive, rounded up.
    #[serde(default = "ten")]
    pub(crate) taker_fee_bp: u64,
    pub(crate) networks: Vec<Network>,
    /// By name, e.g. `BCHBTC`.
    pub(crate) symbols: BTreeMap<String, Symbol>,
    /// Kraken's price of BTC/USDC over ours, 1/10,000.
    #[serde(default)]
    pub(crate) kraken_offset_bp: i64,
    /// Coinbase's price of BTC/USDC over ours, 1/10,000.
    #[serde(default)]
    pub(crate) coinbase_offset_bp: i64,
    /// Price of one hash per second in USDC, by algorithm; `base` has up to 18 places.
    #[serde(default)]
    pub(crate) hardware: BTreeMap<String, Scenario>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) keys: Vec<Key>,
}

/// A chain that the exchange takes deposits on and pays withdrawals on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    pub(crate) coin: String,
    pub(crate) rpc_url: String,
    pub(crate) cookie_file: PathBuf,
    /// The exchange's wallet on that node; created when missing.
    pub(crate) wallet: String,
    /// Confirmations after which a deposit is credited.
    #[serde(default = "two")]
    pub(crate) confirmations: u64,
    /// Deducted from what a withdrawal pays out.
    #[serde(deserialize_with = "units")]
    pub(crate) withdraw_fee: u64,
    #[serde(deserialize_with = "units")]
    pub(crate) withdraw_min: u64,
    /// Fee rate of withdrawal transactions, sat/vB.
    #[serde(default = "two")]
    pub(crate) fee_rate: u64,
}

/// A market.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Symbol {
    pub(crate) base_asset: String,
    pub(crate) quote_asset: String,
    pub(crate) price: Scenario,
    /// Distance of the best level from the middle, 1/10,000.
    pub(crate) half_spread_bp: u64,
    /// Distance between levels, 1/10,000.
    pub(crate) level_step_bp: u64,
    /// Base quantity of the best level; level n has n times this.
    #[serde(deserialize_with = "units")]
    pub(crate) level_size: u64,
    pub(crate) levels: u64,
    #[serde(deserialize_with = "units")]
    pub(crate) tick: u64,
    #[serde(deserialize_with = "units")]
    pub(crate) lot: u64,
    #[serde(deserialize_with = "units")]
    pub(crate) min_notional: u64,
}

/// A customer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    pub(crate) name: String,
    /// Balances at the first start, by asset.
    #[serde(default)]
    pub(crate) balances: BTreeMap<String, String>,
    /// Withdrawals go only here; absent: anywhere.
    #[serde(default)]
    pub(crate) withdraw_allow: Option<Vec<String>>,
}

/// An API key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) api_key: String,
    pub(crate) secret: String,
    pub(crate) account: String,
    pub(crate) scopes: Vec<Scope>,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    Read,
    Trade,
    Withdraw,
}

impl ExchangeConfig {
    /// Refuses what could not work.
    pub(crate) fn check(&self) -> Result<()> {
        let known = |coin: &str| self.networks.iter().any(|network| network.coin == coin);
        ensure!(known(&self.clock_coin), "clock_coin {:?} has no network", self.clock_coin);
        for key in &self.keys {
            let found = self.accounts.iter().any(|account| account.name == key.account);
            ensure!(found, "key {:?} names no account", key.api_key);
        }
        for (name, symbol) in &self.symbols {
            ensure!(symbol.tick > 0 && symbol.lot > 0 && symbol.levels > 0, "{name}: zero size");
            let exact = u128::from(symbol.tick) * u128::from(symbol.lot) % u128::from(amount::ONE);
            ensure!(exact == 0, "{name}: tick x lot must be a multiple of 1e-8");
            amount::parse(&symbol.price.base)?;
            symbol.price.check()?;
        }
        for scenario in self.hardware.values() {
            super::scenario::parse_18(&scenario.base)?;
            scenario.check()?;
        }
        Ok(())
    }

    /// The network of a coin.
    pub(crate) fn network(&self, coin: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.coin == coin)
    }
}

fn units<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    let text = String::deserialize(input)?;
    amount::parse(&text).map_err(de::Error::custom)
}

fn btc() -> String {
    "BTC".into()
}
fn one() -> u64 {
    1
}
fn two() -> u64 {
    2
}
fn ten() -> u64 {
    10
}
