//! Why a verification could not be carried out at all. A claim that is false is no error but a failed check.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A node did not answer, or not in its protocol.
    #[error("{who}: {doing}: {why}")]
    Node {
        /// Which node.
        who: String,
        /// What was asked.
        doing: String,
        /// What came back.
        why: String,
    },
    /// A node refused a call, or a contract reverted.
    #[error("{doing} was refused: {why}")]
    Refused {
        /// What was asked.
        doing: String,
        /// The node's words.
        why: String,
    },
    /// A file or directory is missing or malformed.
    #[error("{path}: {why}")]
    File {
        /// Path.
        path: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// An answer does not decode as what it claims to be.
    #[error("{what} does not decode: {why}")]
    Decode {
        /// What it should have been.
        what: String,
        /// The decoder's words.
        why: String,
    },
    /// A sum or product leaves the range that its field has on chain.
    #[error("{0} does not fit its field")]
    Overflow(&'static str),
    /// The node is on another chain than the deployment.
    #[error("the EVM node is on chain {found}, the deployment on chain {expected}: check --evm")]
    WrongChain {
        /// Chain id of the deployment.
        expected: u64,
        /// Chain id of the node.
        found: u64,
    },
}

impl Error {
    pub(crate) fn decode(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Decode { what: what.into(), why: why.to_string() }
    }

    pub(crate) fn file(path: &std::path::Path, why: impl std::fmt::Display) -> Self {
        Self::File { path: path.display().to_string(), why: why.to_string() }
    }
}
