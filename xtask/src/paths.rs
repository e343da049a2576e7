//! Where tools and our own binaries are.

use std::path::{Path, PathBuf};

use eyre::{Result, eyre};

/// The checkout that this binary was built from.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// A Foundry tool from npm: `forge`, `anvil` or `cast`.
///
/// # Errors
/// When the package is not installed; the message says how.
pub fn foundry(tool: &str) -> Result<PathBuf> {
    let path = root().join(format!("node_modules/@foundry-rs/{tool}-linux-amd64/bin/{tool}"));
    present(path, tool)
}

/// bitcoind, or a sibling such as bitcoin-cli: what `--bitcoind` named, or the one in `.tools`, or the one on PATH.
///
/// # Errors
/// When there is none; the message says how to get one.
pub fn bitcoin(tool: &str) -> Result<PathBuf> {
    let own = root().join(".tools/bitcoind/bin").join(tool);
    if own.exists() {
        return Ok(own);
    }
    on_path(tool).ok_or_else(|| {
        eyre!("{tool} is missing: run ./scripts/setup, which unpacks it into .tools/")
    })
}

/// The bitcoind with the mempool of clusters.
///
/// # Errors
/// When it was not built; the message says how.
pub fn cluster_bitcoind() -> Result<PathBuf> {
    let path = root().join(".tools/bitcoind-cluster/bin/bitcoind");
    if path.exists() {
        return Ok(path);
    }
    Err(eyre!("bitcoind with a cluster mempool is missing: run ./scripts/setup --cluster-node"))
}

/// A binary of this workspace, next to the one that runs.
///
/// # Errors
/// When it was not built; the message says how.
pub fn ours(name: &str) -> Result<PathBuf> {
    let me = std::env::current_exe()?;
    let mut dir = me.parent().map_or_else(PathBuf::new, Path::to_owned);
    if dir.ends_with("deps") {
        dir.pop();
    }
    let path = dir.join(name);
    if path.exists() {
        return Ok(path);
    }
    Err(eyre!("{} is not built: run `cargo build --workspace`", path.display()))
}

/// A program on PATH.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "PATH is how a shell finds programs")]
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").ok()?;
    path.split(':').map(|dir| Path::new(dir).join(name)).find(|candidate| candidate.is_file())
}

fn present(path: PathBuf, tool: &str) -> Result<PathBuf> {
    if path.exists() {
        Ok(path)
    } else {
        Err(eyre!("{tool} is missing at {}: run ./scripts/setup", path.display()))
    }
}
