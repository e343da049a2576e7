//! `settlement challenge`: once about one epoch, or for ever about all.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use alloy::primitives::Address;
use clap::Args;
use domain::EpochId;
use eyre::{OptionExt, Result, WrapErr};
use settlement::{
    challenge::{self, Published, WatchOptions, Watcher},
    config::Config,
};
use tokio::signal::unix::{SignalKind, signal};

use super::{print, say};

/// Least pause between two looks of the watcher.
const PAUSE: Duration = Duration::from_millis(500);

/// What is challenged, and with what.
#[derive(Debug, Args)]
pub(super) struct Request {
    /// Configuration file.
    #[arg(long)]
    config: PathBuf,
    /// The epoch.
    #[arg(long, required_unless_present = "watch")]
    epoch: Option<u32>,
    /// The committed tree as somebody published it: JSON leaves, as `dry-run` prints them.
    #[arg(long, conflicts_with = "watch")]
    tree: Option<PathBuf>,
    /// A batch's outputs in hex, as docs/LEDGER.md serialises them.
    #[arg(long, conflicts_with = "watch")]
    outputs: Option<PathBuf>,
    /// Demands to see the leaves of this account; a deposit is left until they are shown.
    #[arg(long, requires = "send")]
    demand: Option<Address>,
    /// Hex key of the challenger, mode 0600.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Sends what would be upheld.
    #[arg(long, conflicts_with = "watch")]
    send: bool,
    /// Follows all commitments and sends every challenge that applies, one JSON line each, until SIGTERM.
    #[arg(long, conflicts_with = "epoch")]
    watch: bool,
    /// Watching: says what it would send, and sends nothing.
    #[arg(long, requires = "watch")]
    dry_run: bool,
    /// Watching: folder with the journal of what was sent, written before it is sent.
    #[arg(long, requires = "watch", default_value = "challenges")]
    state: PathBuf,
    /// Watching: folder with trees that somebody published, JSON as `dry-run` prints them.
    #[arg(long, requires = "watch")]
    trees: Option<PathBuf>,
    /// Watching: demands that may stand open at once where a tree is withheld; each leaves a deposit until answered.
    #[arg(long, requires = "watch", default_value_t = 0)]
    demands: usize,
}

pub(super) async fn run(request: Request) -> Result<()> {
    if request.watch {
        return watch(request).await;
    }
    let epoch = EpochId(request.epoch.ok_or_eyre("--epoch is missing")?);
    let config = Config::read(&request.config)?;
    let key = evm::read_key(request.key_file.as_ref().unwrap_or(&config.evm.key_file))?;
    let [url, _] = &config.evm.rpc;
    let challenger = evm::connect_signing(url, key)?;
    if let Some(account) = request.demand {
        return Ok(challenge::demand(&config, epoch, account, &challenger).await?);
    }
    let published = published(request.tree.as_deref(), request.outputs.as_deref())?;
    let verdict = challenge::examine(&config, epoch, published, &challenger).await?;
    print(&verdict)?;
    if request.send {
        let court = evm::Deployment::read(&config.deployment)?.ledger_court;
        let landed = challenge::send(&verdict, court, &challenger).await?;
        eprintln!("{landed} upheld");
    }
    Ok(())
}

async fn watch(request: Request) -> Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let config = Config::read(&request.config)?;
    let key = evm::read_key(request.key_file.as_ref().unwrap_or(&config.evm.key_file))?;
    let Request { trees, demands, dry_run, state, .. } = request;
    let options = WatchOptions { trees, demands, dry_run };
    let mut watcher = Watcher::start(&config, key, &state, options).await?;
    say(&format!("ready challenge {}", state.display()));
    let pause = Duration::from_millis(config.poll_ms).max(PAUSE);
    loop {
        tokio::select! {
            outcome = watcher.round() => match outcome {
                Ok(filed) => {
                    for each in filed {
                        say(&serde_json::to_string(&each)?);
                    }
                }
                Err(error) => tracing::warn!(%error, "tried again"),
            },
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
        }
    }
}

fn published(tree: Option<&Path>, outputs: Option<&Path>) -> Result<Published> {
    let read =
        |path: &Path| std::fs::read_to_string(path).wrap_err_with(|| path.display().to_string());
    let mut published = Published::default();
    if let Some(path) = tree {
        let value: serde_json::Value = serde_json::from_str(&read(path)?)?;
        let leaves = value.get("leaves").cloned().unwrap_or(value);
        published.trees.push(serde_json::from_value(leaves).wrap_err("--tree")?);
    }
    if let Some(path) = outputs {
        published.outputs.push(read(path)?.trim().parse().wrap_err("--outputs")?);
    }
    Ok(published)
}
