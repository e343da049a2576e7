//! Configuration files and credentials of the demo.

use std::path::{Path, PathBuf};

use eyre::{Result, WrapErr};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// An API key of the demo exchange. Worthless anywhere else.
#[derive(Clone, Debug)]
pub struct Party {
    /// Public part.
    pub api_key: String,
    /// Secret part.
    pub secret: String,
}

impl Party {
    /// Keys made from a name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let hash = |kind: &str| {
            hex::encode(alloy::primitives::keccak256(format!("liquid hashrate demo {kind} {name}")))
        };
        Self { api_key: hash("api key"), secret: hash("secret") }
    }

    /// HMAC-SHA256 of a query, in hex, as Binance wants it.
    ///
    /// # Panics
    /// Never: HMAC takes a key of any length.
    #[must_use]
    #[allow(clippy::expect_used, reason = "HMAC takes a key of any length")]
    pub fn sign(&self, query: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("any length");
        mac.update(query.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// Writes `dir/<name>.toml`.
///
/// # Errors
/// When the value has no TOML form or the file cannot be written.
pub fn write_toml(dir: &Path, name: &str, value: &Value) -> Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join(format!("{name}.toml"));
    let text = toml::to_string(value).wrap_err_with(|| format!("{name}.toml"))?;
    crate::devnet::write_secret(&path, &text)?;
    Ok(path)
}
