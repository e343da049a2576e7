//! Keys of the demo's processes and the descriptors made of them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use eyre::{Result, ensure, eyre};

use crate::paths;

/// The three Bitcoin keys: two online signers and a cold one.
pub const BITCOIN_SIGNERS: [&str; 3] = ["signer-a", "signer-b", "signer-cold"];

/// The wallet's descriptors, as settlement and both signers are configured with them.
#[derive(Clone, Debug)]
pub struct Descriptors {
    /// Baton: branch 0.
    pub baton: String,
    /// Treasury: branch 1.
    pub treasury: String,
}

/// Lets each Bitcoin signer make its key in its own folder, and joins their public keys.
///
/// # Errors
/// When a signer fails.
pub fn make_bitcoin_keys(dir: &Path) -> Result<Descriptors> {
    let mut keys = Vec::new();
    for name in BITCOIN_SIGNERS {
        let home = signer_home(dir, name);
        std::fs::create_dir_all(&home)?;
        let mut command = Command::new(paths::ours("signer")?);
        let passphrase = home.join("passphrase");
        write_passphrase(&passphrase)?;
        command.arg("init").arg("--dir").arg(&home).arg("--passphrase-file").arg(&passphrase);
        let text = output(&mut command)?;
        let key = text.split_whitespace().find(|word| word.contains("pub"));
        keys.push(key.ok_or_else(|| eyre!("{name} printed no public key: {text}"))?.to_owned());
    }
    let branch = |number: u8| {
        let all: Vec<String> = keys.iter().map(|key| format!("{key}/{number}/*")).collect();
        format!("wsh(sortedmulti(2,{}))", all.join(","))
    };
    Ok(Descriptors { baton: branch(0), treasury: branch(1) })
}

/// A demo's passphrase stands beside the key that it opens; an operator's does not.
fn write_passphrase(path: &Path) -> Result<()> {
    if !path.exists() {
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
        std::io::Write::write_all(
            &mut options.open(path)?,
            b"only the demo's keys are behind this\n",
        )?;
    }
    Ok(())
}

/// Where a Bitcoin signer keeps its key and its record of what it signed.
#[must_use]
pub fn signer_home(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// When it fails, with everything it said.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.env("RUST_BACKTRACE", "0").env("RUST_LIB_BACKTRACE", "0").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed ({}):\n{text}{said}", output.status);
    Ok(text)
}
