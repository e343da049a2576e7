//! Configuration of the simulated pool.

use std::path::PathBuf;

use eyre::{Result, ensure};
use serde::Deserialize;

/// The TOML file; unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolConfig {
    /// Name of the coin, e.g. `BTC`.
    pub(crate) coin: String,
    /// bitcoind's JSON-RPC, e.g. `http://127.0.0.1:18443`.
    pub(crate) rpc_url: String,
    pub(crate) cookie_file: PathBuf,
    /// Name of the pool's wallet on that node; created when missing.
    pub(crate) wallet: String,
    pub(crate) stratum_listen: String,
    pub(crate) http_listen: String,
    /// JSON file with the pool's books; written by the pool only.
    pub(crate) state_file: PathBuf,
    /// Expected hashes per share: the share target is 2^256 / this.
    pub(crate) share_hashes: u64,
    /// Satoshis of this coin per 1,000,000 hashes, net of the fee.
    pub(crate) pps_sats_per_mhash: u64,
    /// The fee that the pool says it takes, in 1/10,000. Only told, already in the rate.
    #[serde(default)]
    pub(crate) fee_bp: u64,
    #[serde(default = "two_hours")]
    pub(crate) payout_interval_s: u64,
    #[serde(default = "thousand")]
    pub(crate) min_payout_sats: u64,
    /// Fee rate of payouts, sat/vB.
    #[serde(default = "two")]
    pub(crate) payout_fee_rate: u64,
    /// Node-time seconds between blocks, at least.
    #[serde(default = "six_hundred")]
    pub(crate) block_interval_s: u64,
    /// When a block is due and no share came for so long (wall), the other miners find it.
    #[serde(default = "thousand")]
    pub(crate) other_miners_after_ms: u64,
    #[serde(default = "four_thousand")]
    pub(crate) job_refresh_ms: u64,
    #[serde(default = "two_hundred")]
    pub(crate) poll_ms: u64,
    #[serde(default = "bip320")]
    pub(crate) version_mask: String,
    /// Makes extranonces and coinbases of several pools differ.
    #[serde(default)]
    pub(crate) seed: u64,
    pub(crate) accounts: Vec<Account>,
}

/// A customer of the pool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) payout_address: String,
    /// Bearer token of the statement API for this account; none: open.
    #[serde(default)]
    pub(crate) token: Option<String>,
}

impl PoolConfig {
    /// Refuses what could not work.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.share_hashes > 0, "share_hashes must be positive");
        ensure!(self.payout_interval_s > 0, "payout_interval_s must be positive");
        for account in &self.accounts {
            ensure!(
                !account.name.is_empty() && !account.name.contains('.'),
                "account name {:?} is empty or has a dot",
                account.name
            );
            crate::node::script_of(&account.payout_address)?;
        }
        Ok(())
    }

    /// The account of that name.
    pub(crate) fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }
}

fn two() -> u64 {
    2
}
fn two_hundred() -> u64 {
    200
}
fn six_hundred() -> u64 {
    600
}
fn thousand() -> u64 {
    1000
}
fn four_thousand() -> u64 {
    4000
}
fn two_hours() -> u64 {
    7200
}
fn bip320() -> String {
    "1fffe000".into()
}
