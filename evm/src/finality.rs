//! How settled a block is.

use alloy::{
    consensus::BlockHeader,
    eips::BlockNumberOrTag,
    network::primitives::{BlockResponse, HeaderResponse},
    primitives::B256,
    providers::Provider,
};

use crate::Error;

/// How settled a block must be for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// The newest block: may be taken back.
    Latest,
    /// Unlikely to be taken back.
    Safe,
    /// Never taken back.
    Finalized,
}

/// A block by number, hash and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Hash of the block before.
    pub parent: B256,
    /// Unix seconds.
    pub timestamp: u64,
}

/// The newest block of that finality.
///
/// # Errors
/// When the node does not answer or has no such block.
pub async fn block_at(provider: &impl Provider, finality: Finality) -> Result<BlockRef, Error> {
    let tag = match finality {
        Finality::Latest => BlockNumberOrTag::Latest,
        Finality::Safe => BlockNumberOrTag::Safe,
        Finality::Finalized => BlockNumberOrTag::Finalized,
    };
    fetch(provider, tag).await?.ok_or_else(|| Error::rpc(format!("{tag} block"), "no such block"))
}

/// The canonical block of a height, if the chain is that long.
///
/// # Errors
/// When the node does not answer.
pub async fn block_numbered(
    provider: &impl Provider,
    number: u64,
) -> Result<Option<BlockRef>, Error> {
    fetch(provider, BlockNumberOrTag::Number(number)).await
}

async fn fetch(provider: &impl Provider, tag: BlockNumberOrTag) -> Result<Option<BlockRef>, Error> {
    let block = provider.get_block_by_number(tag).await;
    let block = block.map_err(|error| Error::rpc(format!("block {tag}"), error))?;
    Ok(block.map(|block| {
        let header = block.header();
        BlockRef {
            number: header.number(),
            hash: header.hash(),
            parent: header.parent_hash(),
            timestamp: header.timestamp(),
        }
    }))
}
