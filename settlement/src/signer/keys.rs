//! The signer's key: made on this machine, kept in a file that only its owner may read, never printed.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    str::FromStr,
};

use bitcoin::{
    Network,
    bip32::{Xpriv, Xpub},
    secp256k1::{Secp256k1, rand::RngCore, rand::rngs::OsRng},
};
use zeroize::Zeroizing;

use crate::error::Error;

/// Makes a key in `dir/key` (mode 0600, folder 0700) and returns its extended public key.
///
/// # Errors
/// When there is a key already, or the file cannot be written.
pub fn init(dir: &Path, network: Network) -> Result<Xpub, Error> {
    let path = dir.join("key");
    let fail = |why: String| Error::File { path: path.display().to_string(), why };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| fail(error.to_string()))?;
    let mut seed = Zeroizing::new([0_u8; 32]);
    OsRng.fill_bytes(seed.as_mut());
    let key = Xpriv::new_master(network, seed.as_ref()).map_err(|error| fail(error.to_string()))?;
    let text = Zeroizing::new(key.to_string());
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            fail("there is a key already; a new one is never written over it".into())
        }
        _ => fail(error.to_string()),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| fail(error.to_string()))?;
    Ok(Xpub::from_priv(&Secp256k1::new(), &key))
}

/// Reads the key of `dir`.
///
/// # Errors
/// When it is missing, readable by others, or of another network. The key never appears in the message.
pub fn read(dir: &Path, network: Network) -> Result<Xpriv, Error> {
    let path = dir.join("key");
    let fail = |why: String| Error::File { path: path.display().to_string(), why };
    let mode = std::fs::metadata(&path)
        .map_err(|error| fail(format!("{error}; make one with `signer init`")))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(fail("others may read this key: run `chmod 600` on it".into()));
    }
    let text = std::fs::read_to_string(&path).map(Zeroizing::new);
    let text = text.map_err(|error| fail(error.to_string()))?;
    let key = Xpriv::from_str(text.trim()).map_err(|_| fail("not an extended key".into()))?;
    if key.network.is_mainnet() != (network == Network::Bitcoin) {
        return Err(fail(format!("the key is not of network {network}")));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_kept_private_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let public = init(dir.path(), Network::Regtest).unwrap();
        let path = dir.path().join("key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let key = read(dir.path(), Network::Regtest).unwrap();
        assert_eq!(Xpub::from_priv(&Secp256k1::new(), &key), public);
        let error = init(dir.path(), Network::Regtest).unwrap_err().to_string();
        assert!(error.contains("never written over"), "{error}");
        let error = read(dir.path(), Network::Bitcoin).unwrap_err().to_string();
        assert!(error.contains("network bitcoin") && !error.contains("tprv"), "{error}");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(read(dir.path(), Network::Regtest).unwrap_err().to_string().contains("chmod"));
    }
}
