//! The configuration of `signer run`, a TOML file. An unknown key is an error.

use std::path::{Path, PathBuf};

use bdk_wallet::miniscript::ForEachKey;
use bitcoin::{Network, bip32::Xpriv, secp256k1::Secp256k1};
use evm::Deployment;
use serde::Deserialize;

use super::{Signer, keys, limits::Limits, store::SignerStore};
use crate::{
    chain::Chain,
    config::read_toml,
    error::Error,
    vault::{Keychain, Vault},
};

/// Everything that a signer is told. Relative paths are relative to the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// Folder with key and store, made by `signer init`.
    pub dir: PathBuf,
    /// File with the key's passphrase, readable by its owner only (a systemd credential will do); without it the
    /// passphrase is the first line of standard input.
    pub passphrase_file: Option<PathBuf>,
    /// Unix socket to listen on.
    pub socket: PathBuf,
    /// Network of the key.
    pub network: Network,
    /// Where the contracts are.
    pub deployment: PathBuf,
    /// The signer's own view of the EVM chain: two endpoints, best not settlement's.
    pub evm: SignerEvm,
    /// Descriptors, as agreed when the keys were made.
    pub vault: SignerVault,
    /// Most that it signs away as miner fee.
    pub limits: Limits,
}

/// Endpoints.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerEvm {
    /// Both must hold the commitment in a final block.
    pub rpc: [String; 2],
}

/// Descriptors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerVault {
    /// As in settlement's configuration.
    pub baton: String,
    /// As in settlement's configuration.
    pub treasury: String,
}

impl SignerConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is missing, malformed, or has an unknown key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut config: Self = read_toml(path)?;
        let base = path.parent().unwrap_or(Path::new("."));
        for file in [&mut config.dir, &mut config.socket, &mut config.deployment] {
            *file = base.join(&*file);
        }
        config.passphrase_file = config.passphrase_file.map(|file| base.join(file));
        Ok(config)
    }

    /// Opens key and store and connects.
    ///
    /// # Errors
    /// When the key is not among the descriptors' keys, a file is missing, or a node is down.
    pub async fn start(&self) -> Result<Signer, Error> {
        let vault = Vault::parse(&self.vault.baton, &self.vault.treasury, self.network)?;
        let passphrase = keys::passphrase(self.passphrase_file.as_deref())?;
        let key = keys::read(&self.dir, self.network, &passphrase)?;
        check_ours(&vault, key.get())?;
        let store = SignerStore::open(&self.dir).await?;
        let chain = Chain::connect(&self.evm.rpc, Deployment::read(&self.deployment)?).await?;
        Ok(Signer::new(key, vault, self.limits, chain, store))
    }
}

fn check_ours(vault: &Vault, key: &Xpriv) -> Result<(), Error> {
    let print = key.fingerprint(&Secp256k1::new());
    for keychain in [Keychain::Baton, Keychain::Treasury] {
        if !vault.descriptor(keychain).for_any_key(|found| found.master_fingerprint() == print) {
            let why = format!("this signer's key {print} is not in the {keychain:?} descriptor");
            return Err(Error::Config(why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_valid_and_an_unknown_key_is_refused() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/signer.example.toml");
        let config = SignerConfig::read(Path::new(path)).unwrap();
        Vault::parse(&config.vault.baton, &config.vault.treasury, config.network).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("signer.toml");
        let text = std::fs::read_to_string(path).unwrap().replace("max_fee_sats", "max_fe_sats");
        std::fs::write(&other, text).unwrap();
        let error = SignerConfig::read(&other).unwrap_err().to_string();
        assert!(error.contains("max_fe_sats"), "{error}");
    }
}
