//! What can go wrong between us and an EVM node.

use alloy::primitives::B256;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL does not parse.
    #[error("{url:?} is no URL of an EVM node: {why}")]
    Url {
        /// As configured.
        url: String,
        /// The parser's words.
        why: String,
    },
    /// The node did not answer, or answered nonsense. Trying again may help.
    #[error("EVM node: {doing}: {why}")]
    Rpc {
        /// What was asked.
        doing: String,
        /// What came back.
        why: String,
    },
    /// The contract refuses the call; sending it would change nothing.
    #[error("{what} is refused by the contract: {why}")]
    Refused {
        /// The call.
        what: String,
        /// Decoded error, or its raw data.
        why: String,
    },
    /// The transaction was mined and failed.
    #[error("{what}: transaction {hash} was mined and failed")]
    Failed {
        /// The call.
        what: String,
        /// Transaction.
        hash: B256,
    },
    /// The transaction was not mined in time; it may still be.
    #[error("{what}: transaction {hash} is not mined after {seconds} s; it may still be")]
    NotMined {
        /// The call.
        what: String,
        /// Transaction.
        hash: B256,
        /// How long we waited.
        seconds: u64,
    },
    /// A file is missing or malformed.
    #[error("{path}: {why}")]
    File {
        /// Path.
        path: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The node is on another chain than the deployment.
    #[error(
        "the node is on chain {found}, the deployment on chain {expected}: check the RPC endpoint"
    )]
    WrongChain {
        /// Chain id of the deployment.
        expected: u64,
        /// Chain id of the node.
        found: u64,
    },
    /// A log is not what its address and topic promise.
    #[error("log {index} of block {block} does not decode: {why}")]
    Log {
        /// Block number.
        block: u64,
        /// Log index in the block.
        index: u64,
        /// The decoder's words.
        why: String,
    },
}

impl Error {
    /// Whether the same call may succeed later with nothing changed on our side.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Rpc { .. } | Self::NotMined { .. })
    }

    pub(crate) fn rpc(doing: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Rpc { doing: doing.into(), why: why.to_string() }
    }
}
