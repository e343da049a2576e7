//! The demo's clock: mines the EVM blocks and sets both bitcoinds to their time.

use std::{sync::Arc, time::Duration};

use eyre::Result;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::devnet::{Anvil, Bitcoind};

/// Chain seconds per EVM block.
pub const BLOCK_SECONDS: u64 = 480;
/// Wall time per EVM block.
const BLOCK_WALL: Duration = Duration::from_millis(500);

/// Starts time. It stands still again when `stop` is cancelled.
///
/// # Errors
/// When anvil refuses to be clocked.
pub async fn start(
    evm: Arc<Anvil>,
    nodes: Vec<Arc<Bitcoind>>,
    stop: CancellationToken,
) -> Result<JoinHandle<()>> {
    evm.run_by_ticks(BLOCK_SECONDS).await?;
    Ok(tokio::spawn(async move {
        let mut beat = tokio::time::interval(BLOCK_WALL);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = beat.tick() => {}
            }
            if let Err(error) = beat_once(&evm, &nodes).await {
                tracing::warn!(%error, "the clock missed a beat");
            }
        }
    }))
}

async fn beat_once(evm: &Anvil, nodes: &[Arc<Bitcoind>]) -> Result<()> {
    evm.tick().await?;
    let now = evm.now().await?;
    for node in nodes {
        node.set_time(now).await?;
    }
    Ok(())
}
