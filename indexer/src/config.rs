//! The configuration file; `config.example.toml` explains each key.

use std::{net::SocketAddr, path::Path, path::PathBuf};

use serde::Deserialize;

use crate::Error;

/// Configuration. Relative paths are relative to the working directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// JSON-RPC endpoint of an EVM node.
    pub rpc_url: String,
    /// Addresses of the contracts, as the deployment wrote them.
    pub deployment: PathBuf,
    /// SQLite file; created if missing.
    pub database: PathBuf,
    /// Address to serve HTTP on; port 0 takes a free one, printed in the ready line.
    pub listen: SocketAddr,
    /// Built web app; without it only the API is served.
    pub web_dir: Option<PathBuf>,
    /// Network that payout addresses must be of: `bitcoin`, `testnet`, `testnet4`, `signet` or `regtest`.
    pub bitcoin_network: bitcoin::Network,
    /// Base URL of the switching service; its `/status` is shown under `/v1/fleet`.
    pub fleet_url: Option<String>,
    /// Base URL of the conversion service; its `/status` is shown under `/v1/conversion`.
    pub conversion_url: Option<String>,
    /// Milliseconds between polls of the node.
    #[serde(default = "default_poll_ms")]
    pub poll_ms: u64,
    /// Blocks that the live stream remembers; a deeper reorg is found by the stored hashes instead.
    #[serde(default = "default_reorg_depth")]
    pub reorg_depth: usize,
}

const fn default_poll_ms() -> u64 {
    200
}

const fn default_reorg_depth() -> usize {
    256
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is missing, malformed or has an unknown key; the message names the key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let fail = |why: String| Error::Config { path: path.display().to_string(), why };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        toml::from_str(&text).map_err(|error| fail(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_configuration_and_an_unknown_key_is_none() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
        let config = Config::read(&example).unwrap();
        assert_eq!(config.bitcoin_network, bitcoin::Network::Regtest);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let text = std::fs::read_to_string(example).unwrap();
        std::fs::write(&path, format!("{text}\npol_ms = 1\n")).unwrap();
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(error.contains("pol_ms") && error.contains("c.toml"), "{error}");
    }
}
