//! Reads of the chain at the block that an answer names.

use alloy::eips::{BlockId, BlockNumberOrTag};

/// That block.
pub(super) fn at_block(number: u64) -> BlockId {
    BlockId::Number(BlockNumberOrTag::Number(number))
}
