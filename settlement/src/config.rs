//! The configuration of `settlement run`, a TOML file. An unknown key is an error.

use std::path::{Path, PathBuf};

use bitcoin::{BlockHash, Network};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    bump::{Bump, Cap, DUST},
    database::Database,
    error::Error,
    orders::OrdersConfig,
    ownership::OwnershipConfig,
    vault::Vault,
};

/// Everything that settlement is told. Relative paths are relative to the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// SQLite file, created if missing; or `postgres://user@host/name`.
    pub database: Database,
    /// Address of the status server, `127.0.0.1:8470`.
    pub listen: String,
    /// `bitcoin`, `testnet4`, `signet` or `regtest`.
    pub network: Network,
    /// Milliseconds between looks at the chains.
    pub poll_ms: u64,
    /// Where the contracts are.
    pub deployment: PathBuf,
    /// EVM nodes and key.
    pub evm: EvmConfig,
    /// Where Bitcoin is read.
    pub bitcoin: BitcoinConfig,
    /// Descriptors.
    pub vault: VaultConfig,
    /// What the operator decides.
    pub policy: Policy,
    /// Who may pause, and how; without it nobody can.
    pub orders: Option<OrdersConfig>,
    /// From which payment on the holder of a payout script should have shown its key; without it nobody is asked.
    pub ownership: Option<OwnershipConfig>,
    /// Folder with PSBTs that co-signers off the network have signed.
    #[serde(default = "psbt_dir")]
    pub psbt_dir: PathBuf,
    /// Signers, in the order they are asked.
    pub signers: Vec<SignerConfig>,
}

fn psbt_dir() -> PathBuf {
    "psbt".into()
}

/// EVM nodes and key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvmConfig {
    /// Two endpoints, of two operators: nothing is signed before both hold the commit in a finalized block.
    pub rpc: [String; 2],
    /// Hex key of the operator role, mode 0600.
    pub key_file: PathBuf,
}

/// Where Bitcoin is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitcoinConfig {
    /// Node or light server.
    pub backend: BackendConfig,
    /// Height below which the treasury has no history.
    pub birthday_height: u32,
    /// Confirmations before a payout counts as confirmed; at least what the ledger contract asks for.
    pub confirmations: u32,
    /// Confirmations before a treasury coin may be spent.
    pub funding_confirmations: u32,
}

/// A node of one's own, or a light server whose answers are checked (`docs/adr/0020`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum BackendConfig {
    /// bitcoind: every block is read whole.
    Rpc {
        /// `http://127.0.0.1:8332`.
        url: String,
        /// The node's cookie file.
        cookie_file: PathBuf,
    },
    /// An Electrum server.
    Electrum {
        /// `ssl://HOST:50002` or `tcp://HOST:50001`.
        url: String,
        /// Hash of the block at `birthday_height`, from a source that is not the server.
        anchor: Option<BlockHash>,
    },
    /// An Esplora server.
    Esplora {
        /// `https://HOST/api` or `http://HOST:3000`.
        url: String,
        /// Hash of the block at `birthday_height`, from a source that is not the server.
        anchor: Option<BlockHash>,
    },
}

impl BackendConfig {
    /// What a light server must be anchored to; `None` for a node, which needs no anchor.
    #[must_use]
    pub const fn anchor(&self) -> Option<Option<BlockHash>> {
        match self {
            Self::Rpc { .. } => None,
            Self::Electrum { anchor, .. } | Self::Esplora { anchor, .. } => Some(*anchor),
        }
    }
}

/// Descriptors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultConfig {
    /// `wsh(sortedmulti(2,xpubA/0/*,xpubB/0/*,xpubC/0/*))`.
    pub baton: String,
    /// `wsh(sortedmulti(2,xpubA/1/*,xpubB/1/*,xpubC/1/*))`.
    pub treasury: String,
    /// Treasury index whose coins are the operator's fee reserve: they may be spent though no report names them.
    pub reserve_index: Option<u32>,
    /// Scripts watched beyond the last used one.
    pub lookahead: u32,
    /// Signatures that a transaction needs.
    pub threshold: usize,
}

/// What the operator decides.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Sats below which a due amount waits, at most 50,000.
    pub min_pay: u64,
    /// Sats that every baton must keep.
    pub min_baton: u64,
    /// An epoch committed more than this many epochs after its end is deferred.
    pub defer_after_epochs: u32,
    /// Bytes of payee outputs in one transaction.
    pub max_batch_bytes: usize,
    /// Treasury coins in one payout.
    pub max_funding_inputs: usize,
    /// Blocks within which a payout should confirm.
    pub confirm_within_blocks: u16,
    /// Sats per 1,000 vB when the node has no estimate.
    pub fallback_fee_rate: u64,
    /// Least sats per 1,000 vB.
    pub min_fee_rate: u64,
    /// Most sats per 1,000 vB, raised or not.
    pub max_fee_rate: u64,
    /// When fees are raised.
    #[serde(default)]
    pub bump: Bump,
}

impl Policy {
    /// Most that a payout may cost.
    #[must_use]
    pub fn cap(&self) -> Cap {
        let purse = self.min_baton.saturating_sub(DUST);
        Cap { rate: self.max_fee_rate, extra_sats: self.bump.max_extra_sats.unwrap_or(purse) }
    }
}

/// One signer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// Name in logs.
    pub name: String,
    /// Its Unix socket.
    pub socket: PathBuf,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// When it is missing, malformed, has an unknown key, or a value makes no sense.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut config: Self = read_toml(path)?;
        let base = path.parent().unwrap_or(Path::new("."));
        for file in [&mut config.psbt_dir, &mut config.deployment, &mut config.evm.key_file] {
            *file = base.join(&*file);
        }
        if let BackendConfig::Rpc { cookie_file, .. } = &mut config.bitcoin.backend {
            *cookie_file = base.join(&*cookie_file);
        }
        for signer in &mut config.signers {
            signer.socket = base.join(&signer.socket);
        }
        if let Some(orders) = &mut config.orders {
            orders.dir = base.join(&orders.dir);
        }
        if let Some(ownership) = &mut config.ownership {
            ownership.dir = base.join(&ownership.dir);
        }
        config.database = config.database.below(base);
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        let policy = &self.policy;
        let rules = [
            (self.poll_ms > 0, "poll_ms must be above 0"),
            (policy.min_pay <= 50_000, "policy.min_pay must be at most 50000 sat"),
            (policy.min_baton >= 330, "policy.min_baton must be at least 330 sat, the dust limit"),
            (
                policy.defer_after_epochs <= 5,
                "policy.defer_after_epochs must be at most 5: later the ledger takes deferred epochs only",
            ),
            (policy.max_batch_bytes >= 43, "policy.max_batch_bytes must hold one output: 43"),
            (policy.max_batch_bytes <= 90_000, "policy.max_batch_bytes must be at most 90000"),
            (policy.max_funding_inputs <= 300, "policy.max_funding_inputs must be at most 300"),
            (policy.min_fee_rate > 0, "policy.min_fee_rate must be above 0"),
            (
                policy.min_fee_rate <= policy.max_fee_rate,
                "policy.min_fee_rate is above max_fee_rate",
            ),
            (policy.bump.every_blocks > 0, "policy.bump.every_blocks must be above 0"),
            (
                policy.bump.incremental_fee_rate > 0,
                "policy.bump.incremental_fee_rate must be above 0",
            ),
            (
                policy.cap().extra_sats <= policy.min_baton.saturating_sub(DUST),
                "policy.bump.max_extra_sats must be at most min_baton - 330: raises are paid from the baton",
            ),
            (self.bitcoin.confirmations > 0, "bitcoin.confirmations must be above 0"),
            (
                self.bitcoin.funding_confirmations > 0,
                "bitcoin.funding_confirmations must be above 0",
            ),
            (
                self.network != Network::Bitcoin
                    || self.bitcoin.birthday_height == 0
                    || self.bitcoin.backend.anchor() != Some(None),
                "bitcoin.backend.anchor is missing: the hash of block birthday_height, from a source that is not the server",
            ),
            (self.vault.threshold > 0, "vault.threshold must be above 0"),
            (
                self.signers.len() >= self.vault.threshold,
                "there must be at least vault.threshold signers",
            ),
        ];
        for (holds, why) in rules {
            if !holds {
                return Err(Error::Config(why.into()));
            }
        }
        self.vault().map(|_| ())
    }

    /// The descriptors, parsed.
    ///
    /// # Errors
    /// When one cannot be used.
    pub fn vault(&self) -> Result<Vault, Error> {
        Ok(Vault::parse(&self.vault.baton, &self.vault.treasury, self.network)?)
    }
}

/// Reads a TOML file; an unknown key is an error that names it.
///
/// # Errors
/// When it is missing or malformed.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let fail = |why: String| Error::File { path: path.display().to_string(), why };
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    toml::from_str(&text).map_err(|error| fail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");
        std::fs::read_to_string(path).unwrap()
    }

    fn read(text: &str) -> Result<Config, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    #[test]
    fn the_example_is_valid() {
        let config = read(&example()).unwrap();
        assert_eq!(config.signers.len(), 3);
    }

    #[test]
    fn an_unknown_key_and_a_senseless_value_are_refused() {
        let error = read(&example().replace("poll_ms", "pol_ms")).unwrap_err().to_string();
        assert!(error.contains("pol_ms"), "{error}");
        let error = read(&example().replace("min_pay = 10000", "min_pay = 50001")).unwrap_err();
        assert!(error.to_string().contains("50000"), "{error}");
        let dear = example().replace("max_extra_sats = 900000", "max_extra_sats = 999671");
        let error = read(&dear).unwrap_err().to_string();
        assert!(error.contains("min_baton - 330"), "{error}");
        let late = example().replace("defer_after_epochs = 3", "defer_after_epochs = 6");
        let error = read(&late).unwrap_err().to_string();
        assert!(error.contains("at most 5"), "{error}");
        let light = example().replace("kind = \"rpc\"", "kind = \"electrum\"");
        let error = read(&light).unwrap_err().to_string();
        assert!(error.contains("cookie_file"), "{error}");
        let light = light.replace("cookie_file = \"bitcoin/regtest/.cookie\"", "");
        assert!(read(&light).is_ok());
        let main = light
            .replace("regtest", "bitcoin")
            .replace("birthday_height = 0", "birthday_height = 9");
        let error = read(&main).unwrap_err().to_string();
        assert!(error.contains("anchor is missing"), "{error}");
        let error = read(&example().replace("kind = \"rpc\"", "kind = \"spv\"")).unwrap_err();
        assert!(error.to_string().contains("`rpc`, `electrum`, `esplora`"), "{error}");
        let error = read(&example().replace("regtest", "bitcoin")).unwrap_err().to_string();
        assert!(error.contains("not of network bitcoin"), "{error}");
    }
}
