//! The canonical block stream: blocks with our logs, and word of every block that was taken back.

use std::time::Duration;

use alloy::{
    network::primitives::HeaderResponse,
    primitives::Address,
    providers::{CanonicalEvent, DynProvider, Provider},
    rpc::types::{Filter, Log},
};
use futures::{Stream, StreamExt};

use crate::{BlockRef, Error};

/// A block that joined or left the canonical chain, with the logs of the followed addresses in order.
#[derive(Clone, Debug)]
pub enum CanonicalBlock {
    /// The block is now the tip.
    Added(BlockRef, Vec<Log>),
    /// The block, the tip until now, was taken back. Apply the inverse.
    Removed(BlockRef),
}

/// Follows the chain from block `start`: history first, then live. Every block is emitted, empty ones too.
///
/// `reorg_depth` blocks are remembered *in this run*: a consumer that restarts compares its stored hashes with the
/// chain before it follows on. A deeper reorg ends the stream with an error; so does a node that stops answering.
pub fn follow(
    provider: &DynProvider,
    start: u64,
    addresses: Vec<Address>,
    reorg_depth: usize,
    poll: Duration,
) -> impl Stream<Item = Result<CanonicalBlock, Error>> + Unpin + Send + use<> {
    provider
        .watch_canonical_logs_from(start, &Filter::new().address(addresses))
        .hashes()
        .poll_interval(poll)
        .rpc_concurrency(4)
        .max_reorg_depth(reorg_depth)
        .into_stream()
        .map(|event| match event {
            Ok(CanonicalEvent::Added(block)) => {
                Ok(CanonicalBlock::Added(block_ref(block.header()), block.logs))
            }
            Ok(CanonicalEvent::Removed(block)) => {
                Ok(CanonicalBlock::Removed(block_ref(block.header())))
            }
            Err(error) => Err(Error::rpc("following the chain", error)),
        })
        .boxed()
}

fn block_ref(header: &impl HeaderResponse) -> BlockRef {
    BlockRef {
        number: header.number(),
        hash: header.hash(),
        parent: header.parent_hash(),
        timestamp: header.timestamp(),
    }
}
