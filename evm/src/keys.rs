//! Keys from files.

use std::{os::unix::fs::PermissionsExt, path::Path};

use alloy::signers::local::PrivateKeySigner;

use crate::Error;

/// Reads a hex private key from a file that only its owner may read.
///
/// # Errors
/// When the file is missing, readable by others, or no key. The key never appears in the message.
pub fn read_key(path: &Path) -> Result<PrivateKeySigner, Error> {
    let fail = |why: String| Error::File { path: path.display().to_string(), why };
    let mode = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?;
    if mode.permissions().mode() & 0o077 != 0 {
        return Err(fail("others may read this key: run `chmod 600` on it".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    text.trim().parse().map_err(|_| fail("not a private key: 64 hex digits are expected".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "11".repeat(32)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(read_key(&path).unwrap_err().to_string().contains("chmod 600"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(read_key(&path).is_ok());
        std::fs::write(&path, "secret").unwrap();
        let error = read_key(&path).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
