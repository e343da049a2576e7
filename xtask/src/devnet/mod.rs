//! Both dev chains with the contracts deployed: what every end-to-end test and the demo stand on.
//!
//! ```no_run
//! # async fn demo() -> eyre::Result<()> {
//! use xtask::devnet::{Devnet, Options};
//! let dir = tempfile::tempdir()?;
//! let net = Devnet::start(dir.path(), Options::default()).await?;
//! net.evm.advance(3_600).await?; // one hour of chain time, in one block
//! let height = net.bitcoin.mine(6).await?;
//! # let _ = height; Ok(()) }
//! ```

mod anvil;
mod bitcoind;
mod deploy;
mod keys;

use std::path::{Path, PathBuf};

use evm::Deployment;
use eyre::Result;

pub use anvil::Anvil;
pub use bitcoind::Bitcoind;
pub use deploy::deploy;
pub use keys::{DevKey, dev_key, write_key, write_secret};

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// First timestamp of the EVM chain; it should lie on an epoch boundary in the future.
    pub genesis: u64,
    /// Preferred first port; the next free ones are taken.
    pub first_port: u16,
    /// Confirmations that the ledger asks for (before its value rule).
    pub confirmations: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            genesis: next_epoch_start(),
            first_port: crate::ports::base_of_this_process(),
            confirmations: 6,
        }
    }
}

/// The dev chains. Dropping it stops them.
#[derive(Debug)]
pub struct Devnet {
    /// Folder of everything below.
    pub dir: PathBuf,
    /// The EVM chain, mining a block per transaction until told otherwise.
    pub evm: Anvil,
    /// The Bitcoin chain, 101 blocks high, its coins in the node's wallet `faucet`.
    pub bitcoin: Bitcoind,
    /// Our contracts.
    pub deployment: Deployment,
    /// The file they were read from.
    pub deployment_path: PathBuf,
}

impl Devnet {
    /// Starts anvil and bitcoind under `dir`, deploys the contracts and funds the [`dev_key`]s.
    ///
    /// # Errors
    /// When a tool is missing or a step fails; the message names it.
    pub async fn start(dir: &Path, options: Options) -> Result<Self> {
        let evm = Anvil::start(dir, options.first_port, options.genesis).await?;
        evm.fund(&DevKey::ALL).await?;
        let bitcoin = Bitcoind::start(dir, "bitcoin", options.first_port, options.genesis).await?;
        bitcoin.open_faucet().await?;
        let path = deploy(dir, &evm, options.confirmations).await?;
        let deployment = Deployment::read(&path)?;
        Ok(Self { dir: dir.to_owned(), evm, bitcoin, deployment, deployment_path: path })
    }

    /// Chain time of the EVM, given to bitcoind too, so that their clocks agree.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn sync_clocks(&self) -> Result<u64> {
        let now = self.evm.now().await?;
        self.bitcoin.set_time(now).await?;
        Ok(now)
    }
}

/// First second of the next epoch by the wall clock: bitcoind must never be set back before it.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the demo anchors its chains to today")]
pub fn next_epoch_start() -> u64 {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    domain::EpochId::at(wall.map_or(0, |since| since.as_secs())).end()
}
