//! Keys of the dev chain's people. Worthless anywhere else: anyone can compute them.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use alloy::{primitives::keccak256, signers::local::PrivateKeySigner};
use eyre::Result;

/// Who holds a dev key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevKey {
    /// Commits epochs and runs the series.
    Operator,
    /// Stops mint, sale and LP deposit.
    Guardian,
    /// Oracle signer 0 to 4.
    Signer(u8),
    /// Sends proofs.
    Relayer,
    /// Anya buys units, sells half of them to Boris and some to the pool.
    Anya,
    /// Boris buys from Anya.
    Boris,
    /// A liquidity provider.
    Lena,
    /// The pool's first-loss account.
    FirstLoss,
}

impl DevKey {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Operator,
        Self::Guardian,
        Self::Signer(0),
        Self::Signer(1),
        Self::Signer(2),
        Self::Signer(3),
        Self::Signer(4),
        Self::Relayer,
        Self::Anya,
        Self::Boris,
        Self::Lena,
        Self::FirstLoss,
    ];
}

/// The key: keccak256 of its name.
///
/// # Panics
/// Never: a hash of these few names is a valid secp256k1 key.
#[must_use]
#[allow(clippy::expect_used, reason = "twelve fixed inputs, each seen to work")]
pub fn dev_key(who: DevKey) -> PrivateKeySigner {
    let name = format!("liquid hashrate dev key {who:?}");
    PrivateKeySigner::from_bytes(&keccak256(name)).expect("a hash is a key")
}

/// Writes a dev key to a file that only its owner may read, as services want it.
///
/// # Errors
/// When the file cannot be written.
pub fn write_key(who: DevKey, path: &Path) -> Result<()> {
    write_secret(path, &hex::encode(dev_key(who).to_bytes()))
}

/// Writes a secret with mode 0600.
///
/// # Errors
/// When the file cannot be written.
pub fn write_secret(path: &Path, text: &str) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
