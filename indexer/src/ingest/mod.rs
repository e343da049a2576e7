//! Follows the chain into the database, for ever: find where we and the chain agree, unwind to there, follow on.

mod apply;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use evm::{
    BlockRef, CanonicalBlock, Deployment, DynProvider, Finality, block_at, block_numbered, follow,
};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::{Error, derive::Sources, progress::Progress, store::Store};

/// Longest pause between two attempts after a failure.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The ingesting task.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(crate) store: Store,
    pub(crate) provider: DynProvider,
    pub(crate) deployment: Deployment,
    pub(crate) progress: Arc<Progress>,
    pub(crate) poll: Duration,
    pub(crate) reorg_depth: usize,
}

impl Ingest {
    /// Runs until told to stop. Whatever fails is logged and tried again from the last applied block.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let sources = Sources::new(&self.deployment);
        let mut pause = self.poll;
        loop {
            let before = self.progress.indexed();
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.follow_once(&sources) => outcome,
            };
            match outcome {
                Ok(()) => tracing::info!("the chain changed under the stream; checking ancestors"),
                Err(error) => {
                    self.progress.failed();
                    tracing::warn!(%error, "indexing stopped; trying again from the last applied block");
                }
            }
            pause = if self.progress.indexed() == before {
                MAX_PAUSE.min(pause * 2)
            } else {
                self.poll
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One life of the stream. `Ok` means: the chain is not what was applied, look again.
    async fn follow_once(&self, sources: &Sources) -> Result<(), Error> {
        self.look_at_head().await?;
        let mut tip = self.unwind_to_ancestor().await?;
        self.progress.set_indexed(tip);
        let start = tip.map_or(self.deployment.block, |tip| tip.number.saturating_add(1));
        let addresses = self.deployment.addresses();
        let mut blocks = follow(&self.provider, start, addresses, self.reorg_depth, self.poll);
        let mut check = tokio::time::interval(self.poll.max(Duration::from_millis(100)));
        loop {
            tokio::select! {
                block = blocks.next() => match block {
                    Some(Ok(CanonicalBlock::Added(block, logs))) => {
                        self.add(sources, tip, block, &logs).await?;
                        tip = Some(block);
                        self.progress.applied(block);
                    }
                    Some(Ok(CanonicalBlock::Removed(block))) => {
                        if tip.is_none_or(|tip| tip.hash != block.hash) {
                            return Ok(());
                        }
                        tip = self.remove(block).await?;
                    }
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(()),
                },
                _ = check.tick() => if !self.look_at_head().await? { return Ok(()) },
            }
        }
    }

    async fn add(
        &self,
        sources: &Sources,
        tip: Option<BlockRef>,
        block: BlockRef,
        logs: &[alloy::rpc::types::Log],
    ) -> Result<(), Error> {
        if let Some(tip) = tip.filter(|tip| tip.hash != block.parent) {
            return Err(Error::NotNext { number: block.number, tip: tip.number });
        }
        let inputs = apply::fetch_inputs(&self.provider, logs).await?;
        apply::apply(&self.store, sources, block, logs, &inputs).await?;
        tracing::debug!(block = block.number, logs = logs.len(), "applied");
        Ok(())
    }

    async fn remove(&self, block: BlockRef) -> Result<Option<BlockRef>, Error> {
        self.store.unwind_tip(block.number).await?;
        let tip = self.store.tip().await?;
        self.progress.removed(tip);
        tracing::info!(block = block.number, hash = %block.hash, "taken back");
        Ok(tip)
    }

    /// Notes the node's head. False when it contradicts what was applied: another hash at a height that we have. A head
    /// that is merely lower is a node that lags, and takes nothing back.
    async fn look_at_head(&self) -> Result<bool, Error> {
        let head = block_at(&self.provider, Finality::Latest).await?;
        let finalized = block_at(&self.provider, Finality::Finalized).await.ok();
        self.progress.set_head(head, finalized);
        let stored = self.store.block(head.number).await?;
        Ok(stored.is_none_or(|stored| stored.hash == head.hash))
    }

    /// Compares stored hashes with the chain from the newest down and takes back what the chain no longer has. A height
    /// that the node does not have yet is no contradiction.
    async fn unwind_to_ancestor(&self) -> Result<Option<BlockRef>, Error> {
        loop {
            let Some(tip) = self.store.tip().await? else { return Ok(None) };
            let on_chain = match block_numbered(&self.provider, tip.number).await? {
                Some(block) => Some(block),
                None => {
                    let head = block_at(&self.provider, Finality::Latest).await?;
                    let stored = self.store.block(head.number).await?;
                    if stored.is_some_and(|stored| stored.hash == head.hash) {
                        return Ok(Some(tip));
                    }
                    None
                }
            };
            if on_chain.is_some_and(|block| block.hash == tip.hash) {
                return Ok(Some(tip));
            }
            self.remove(tip).await?;
        }
    }
}
