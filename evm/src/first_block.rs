//! The first block of an epoch, and the two headers that show a contract that it is the first.

use alloy::{
    eips::BlockNumberOrTag,
    network::primitives::BlockResponse,
    primitives::{B256, Bytes, keccak256},
    providers::Provider,
};
use domain::EpochId;

use crate::{BlockRef, Error, Finality, block_at, block_numbered};

/// The first block of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstBlock {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// RLP of the header of the block before it.
    pub parent: Bytes,
    /// RLP of its own header.
    pub header: Bytes,
}

/// The first block of `epoch`; none if the chain has no block of that epoch, or none before it.
///
/// # Errors
/// When the node does not answer, or a header does not hash to what the node says.
pub async fn first_block(
    provider: &impl Provider,
    epoch: EpochId,
) -> Result<Option<FirstBlock>, Error> {
    let tip = block_at(provider, Finality::Latest).await?;
    if tip.timestamp < epoch.start() {
        return Ok(None);
    }
    // `after` is at or past the start of the epoch; everything below `before` is before it.
    let (mut before, mut after) = (0_u64, tip);
    while before < after.number {
        let middle = before.midpoint(after.number);
        let block = numbered(provider, middle).await?;
        if block.timestamp >= epoch.start() {
            after = block;
        } else {
            before = middle.saturating_add(1);
        }
    }
    let Some(above) = after.number.checked_sub(1) else { return Ok(None) };
    if after.timestamp >= epoch.end() {
        return Ok(None);
    }
    let header = raw_header(provider, after.number, after.hash).await?;
    let parent = raw_header(provider, above, after.parent).await?;
    Ok(Some(FirstBlock { number: after.number, hash: after.hash, parent, header }))
}

async fn numbered(provider: &impl Provider, number: u64) -> Result<BlockRef, Error> {
    let block = block_numbered(provider, number).await?;
    block.ok_or_else(|| Error::rpc(format!("block {number}"), "no such block"))
}

/// The RLP of a header, which must hash to `expected`: a node may give fields that this encoder does not know.
async fn raw_header(provider: &impl Provider, number: u64, expected: B256) -> Result<Bytes, Error> {
    let doing = || format!("header of block {number}");
    let block = provider.get_block_by_number(BlockNumberOrTag::Number(number)).await;
    let block = block.map_err(|error| Error::rpc(doing(), error))?;
    let block = block.ok_or_else(|| Error::rpc(doing(), "no such block"))?;
    let raw = alloy::rlp::encode(&block.header().inner);
    let found = keccak256(&raw);
    if found != expected {
        return Err(Error::rpc(doing(), format!("it hashes to {found}, not to {expected}")));
    }
    Ok(raw.into())
}
