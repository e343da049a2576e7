//! The signer's key: made on this machine, kept encrypted in a file that only its owner may read, never printed. A
//! passphrase, from a file that only its owner may read or from standard input, opens it: never an argument, never the
//! environment. What was decrypted is wiped when it is no longer needed.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{BufRead, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use argon2::{Algorithm, Argon2, Params, Version};
use bitcoin::{
    Network,
    bip32::{Xpriv, Xpub},
    secp256k1::{Secp256k1, rand::RngCore, rand::rngs::OsRng},
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;

/// Argon2id: memory in KiB, passes, lanes.
const STRETCH: (u32, u32, u32) = (64 * 1024, 3, 1);
/// Most memory, KiB, that a key file may ask for: a damaged one must not take the machine down.
const MOST: u32 = 1024 * 1024;
/// Shortest passphrase, bytes.
const SHORTEST: usize = 12;

/// An extended private key that is erased from memory when it is dropped.
pub struct Key(Xpriv);

impl Key {
    /// The key, to sign with.
    #[must_use]
    pub const fn get(&self) -> &Xpriv {
        &self.0
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.private_key.non_secure_erase();
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// A key file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    version: u32,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    nonce: String,
    sealed: String,
}

/// Bound into the box, so that it opens as nothing else.
const PURPOSE: &[u8] = b"lhr signer key, version 1";

fn fail(path: &Path, why: impl Into<String>) -> Error {
    Error::File { path: path.display().to_string(), why: why.into() }
}

/// Reads a passphrase: the first line of a file that only its owner may read, or of standard input.
///
/// # Errors
/// When there is none, others may read the file, or it is shorter than 12 bytes.
pub fn passphrase(file: Option<&Path>) -> Result<Zeroizing<String>, Error> {
    let stdin = PathBuf::from("standard input");
    let mut line = Zeroizing::new(String::new());
    let path = file.unwrap_or(&stdin);
    let read = match file {
        Some(file) => {
            private(file)?;
            let opened = File::open(file);
            opened
                .and_then(|opened| std::io::BufReader::new(opened).take(4_096).read_line(&mut line))
        }
        None => std::io::stdin().lock().take(4_096).read_line(&mut line),
    };
    read.map_err(|error| fail(path, error.to_string()))?;
    let text = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
    if text.len() < SHORTEST {
        return Err(fail(path, format!("a passphrase has at least {SHORTEST} bytes")));
    }
    Ok(text)
}

/// Makes a key in `dir/key` (mode 0600, folder 0700), sealed with the passphrase, and returns its extended public key.
///
/// # Errors
/// When there is a key already, or the file cannot be written.
pub fn init(dir: &Path, network: Network, passphrase: &str) -> Result<Xpub, Error> {
    let path = dir.join("key");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| fail(&path, error.to_string()))?;
    if path.exists() {
        return Err(fail(&path, "there is a key already; a new one is never written over it"));
    }
    let mut seed = Zeroizing::new([0_u8; 32]);
    OsRng.fill_bytes(seed.as_mut());
    let key = Xpriv::new_master(network, seed.as_ref());
    let key = Key(key.map_err(|error| fail(&path, error.to_string()))?);
    write(&path, &key, passphrase, false)?;
    Ok(Xpub::from_priv(&Secp256k1::new(), key.get()))
}

/// Reads the key of `dir`.
///
/// # Errors
/// When it is missing, not encrypted, readable by others, of another network, or the passphrase is not its own. Neither
/// key nor passphrase appears in the message.
pub fn read(dir: &Path, network: Network, passphrase: &str) -> Result<Key, Error> {
    let path = dir.join("key");
    let text = contents(&path)?;
    if plain(&text).is_some() {
        let how = "run `signer encrypt --dir DIR --passphrase-file FILE`, then overwrite copies of the old file";
        return Err(fail(&path, format!("this key is not encrypted: {how}")));
    }
    let key = unseal(&path, &text, passphrase)?;
    if key.get().network.is_mainnet() != (network == Network::Bitcoin) {
        return Err(fail(&path, format!("the key is not of network {network}")));
    }
    Ok(key)
}

/// Seals a key that stands in plain text in `dir/key`; returns its extended public key.
///
/// # Errors
/// When there is none, it is sealed already, or the file cannot be written.
pub fn encrypt(dir: &Path, passphrase: &str) -> Result<Xpub, Error> {
    let path = dir.join("key");
    let text = contents(&path)?;
    let key = plain(&text).ok_or_else(|| fail(&path, "this is no plain extended key"))?;
    write(&path, &key, passphrase, true)?;
    Ok(Xpub::from_priv(&Secp256k1::new(), key.get()))
}

/// Seals the key of `dir` with another passphrase.
///
/// # Errors
/// When the old one is not its own, or the file cannot be written; the key file is then as it was.
pub fn rotate(dir: &Path, old: &str, new: &str) -> Result<(), Error> {
    let path = dir.join("key");
    let key = unseal(&path, &contents(&path)?, old)?;
    write(&path, &key, new, true)
}

fn private(path: &Path) -> Result<(), Error> {
    let found = std::fs::metadata(path).map_err(|error| fail(path, error.to_string()))?;
    if found.permissions().mode() & 0o077 != 0 {
        return Err(fail(path, "others may read this: run `chmod 600` on it"));
    }
    Ok(())
}

fn contents(path: &Path) -> Result<Zeroizing<String>, Error> {
    if !path.exists() {
        return Err(fail(path, "there is no key; make one with `signer init`"));
    }
    private(path)?;
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    text.map_err(|error| fail(path, error.to_string()))
}

fn plain(text: &str) -> Option<Key> {
    Xpriv::from_str(text.trim()).ok().map(Key)
}

fn stretched(
    path: &Path,
    passphrase: &str,
    salt: &[u8],
    cost: (u32, u32, u32),
) -> Result<Zeroizing<[u8; 32]>, Error> {
    let (memory, passes, lanes) = cost;
    let params = Params::new(memory.min(MOST), passes, lanes, Some(32));
    let params = params.map_err(|error| fail(path, error.to_string()))?;
    let mut key = Zeroizing::new([0_u8; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, key.as_mut())
        .map_err(|error| fail(path, error.to_string()))?;
    Ok(key)
}

fn unseal(path: &Path, text: &str, passphrase: &str) -> Result<Key, Error> {
    let damaged = |_| fail(path, "this is no key file of this program, or it is damaged");
    let sealed: Sealed = serde_json::from_str(text).map_err(|_| damaged(()))?;
    let bytes = |text: &str| alloy::hex::decode(text).map_err(|_| damaged(()));
    let cost = (sealed.memory_kib, sealed.passes, sealed.lanes);
    let key = stretched(path, passphrase, &bytes(&sealed.salt)?, cost)?;
    let nonce: [u8; 24] = bytes(&sealed.nonce)?.try_into().map_err(|_| damaged(()))?;
    let payload = Payload { msg: &bytes(&sealed.sealed)?, aad: PURPOSE };
    let opened =
        XChaCha20Poly1305::new((&*key).into()).decrypt(XNonce::from_slice(&nonce), payload);
    let opened =
        opened.map_err(|_| fail(path, "the passphrase is wrong, or the file is damaged"))?;
    let opened = Zeroizing::new(opened);
    let text = std::str::from_utf8(&opened).map_err(|_| damaged(()))?;
    plain(text).ok_or_else(|| damaged(()))
}

/// Writes a sealed key: whole or not at all, over an old one only if told to.
fn write(path: &Path, key: &Key, passphrase: &str, over: bool) -> Result<(), Error> {
    let io = |error: std::io::Error| fail(path, error.to_string());
    let (mut salt, mut nonce) = ([0_u8; 16], [0_u8; 24]);
    OsRng.fill_bytes(&mut salt);
    OsRng.fill_bytes(&mut nonce);
    let stretched = stretched(path, passphrase, &salt, STRETCH)?;
    let text = Zeroizing::new(key.get().to_string());
    let payload = Payload { msg: text.as_bytes(), aad: PURPOSE };
    let cipher = XChaCha20Poly1305::new((&*stretched).into());
    let sealed = cipher.encrypt(XNonce::from_slice(&nonce), payload);
    let sealed = sealed.map_err(|_| fail(path, "the key cannot be sealed"))?;
    let (memory_kib, passes, lanes) = STRETCH;
    let file = Sealed {
        version: 1,
        memory_kib,
        passes,
        lanes,
        salt: alloy::hex::encode(salt),
        nonce: alloy::hex::encode(nonce),
        sealed: alloy::hex::encode(sealed),
    };
    let json =
        serde_json::to_string_pretty(&file).map_err(|error| fail(path, error.to_string()))?;
    let target = if over { path.with_extension("new") } else { path.to_owned() };
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if over {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut out = options.open(&target).map_err(io)?;
    out.set_permissions(Permissions::from_mode(0o600)).map_err(io)?;
    out.write_all(json.as_bytes()).and_then(|()| out.sync_all()).map_err(io)?;
    if over {
        std::fs::rename(&target, path).map_err(io)?;
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASS: &str = "correct horse battery";

    #[test]
    fn a_key_is_made_once_kept_sealed_and_read_back_by_its_passphrase_only() {
        let dir = tempfile::tempdir().unwrap();
        let public = init(dir.path(), Network::Regtest, PASS).unwrap();
        let path = dir.path().join("key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("tprv"), "{text}");
        let key = read(dir.path(), Network::Regtest, PASS).unwrap();
        assert_eq!(Xpub::from_priv(&Secp256k1::new(), key.get()), public);
        let error = init(dir.path(), Network::Regtest, PASS).unwrap_err().to_string();
        assert!(error.contains("never written over"), "{error}");
        let error = read(dir.path(), Network::Regtest, "another passphrase").unwrap_err();
        assert!(error.to_string().contains("passphrase is wrong"), "{error}");
        let error = read(dir.path(), Network::Bitcoin, PASS).unwrap_err().to_string();
        assert!(error.contains("not of network"), "{error}");
        rotate(dir.path(), PASS, "a new passphrase").unwrap();
        assert!(read(dir.path(), Network::Regtest, PASS).is_err());
        let key = read(dir.path(), Network::Regtest, "a new passphrase").unwrap();
        assert_eq!(Xpub::from_priv(&Secp256k1::new(), key.get()), public);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = read(dir.path(), Network::Regtest, PASS).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_plain_key_is_refused_and_the_message_says_how_to_encrypt_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = Xpriv::new_master(Network::Regtest, &[7; 32]).unwrap();
        std::fs::write(&path, key.to_string()).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let error = read(dir.path(), Network::Regtest, PASS).unwrap_err().to_string();
        assert!(error.contains("signer encrypt") && !error.contains("tprv"), "{error}");
        encrypt(dir.path(), PASS).unwrap();
        assert_eq!(read(dir.path(), Network::Regtest, PASS).unwrap().get(), &key);
        assert!(encrypt(dir.path(), PASS).is_err(), "once");
        let damaged =
            std::fs::read_to_string(&path).unwrap().replace("\"passes\": 3", "\"passes\": 2");
        std::fs::write(&path, damaged).unwrap();
        assert!(read(dir.path(), Network::Regtest, PASS).is_err());
    }

    #[test]
    fn a_passphrase_comes_from_a_private_file_and_is_not_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passphrase");
        std::fs::write(&path, format!("{PASS}\n")).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(passphrase(Some(&path)).unwrap_err().to_string().contains("chmod 600"));
        std::fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert_eq!(passphrase(Some(&path)).unwrap().as_str(), PASS);
        let short = dir.path().join("short");
        std::fs::write(&short, "short").unwrap();
        std::fs::set_permissions(&short, Permissions::from_mode(0o600)).unwrap();
        assert!(passphrase(Some(&short)).unwrap_err().to_string().contains("at least"));
    }
}
