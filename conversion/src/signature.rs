//! Request signatures: HMAC-SHA256 over the query, in hex.

use std::{os::unix::fs::PermissionsExt, path::Path};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// An API key and its secret. The secret is wiped when dropped and never shown.
#[derive(Clone)]
pub struct Credentials {
    key: String,
    secret: Zeroizing<String>,
}

/// Why credentials cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct BadCredentials {
    path: String,
    why: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

impl Credentials {
    /// From a key and its secret.
    #[must_use]
    pub const fn new(key: String, secret: Zeroizing<String>) -> Self {
        Self { key, secret }
    }

    /// Reads both from files that only their owner may read.
    ///
    /// # Errors
    /// When a file is missing, empty, or open to others. The secret is never in the message.
    pub fn read(key: &Path, secret: &Path) -> Result<Self, BadCredentials> {
        Ok(Self { key: read_private(key)?.to_string(), secret: read_private(secret)? })
    }

    /// Value of the API key header.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Signature of `query`, as the venue expects it: lower-case hex.
    #[must_use]
    pub fn sign(&self, query: &str) -> String {
        // HMAC takes a key of any length, so the error branch cannot happen; an empty signature would be refused.
        Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).map_or_else(
            |_| String::new(),
            |mut mac| {
                mac.update(query.as_bytes());
                hex::encode(mac.finalize().into_bytes())
            },
        )
    }
}

fn read_private(path: &Path) -> Result<Zeroizing<String>, BadCredentials> {
    let fail = |why: String| BadCredentials { path: path.display().to_string(), why };
    let mode = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?;
    if mode.permissions().mode() & 0o077 != 0 {
        return Err(fail("others may read this secret: run `chmod 600` on it".into()));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?);
    let trimmed = Zeroizing::new(text.trim().to_owned());
    if trimmed.is_empty() { Err(fail("the file is empty".into())) } else { Ok(trimmed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Binance's own documentation, "Endpoint security: signed".
    #[test]
    fn the_published_example_signature_is_reproduced() {
        let secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
        let credentials = Credentials::new("k".into(), Zeroizing::new(secret.into()));
        let query = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000\
                     &timestamp=1499827319559";
        let expected = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
        assert_eq!(credentials.sign(query), expected);
        assert!(!format!("{credentials:?}").contains("Nhqp"));
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "hush\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let error = Credentials::read(&path, &path).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && !error.contains("hush"), "{error}");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(Credentials::read(&path, &path).unwrap().key(), "hush");
    }
}
