//! What can go wrong in settlement, in words that say what to do.

use domain::EpochId;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The EVM chain.
    #[error(transparent)]
    Evm(#[from] evm::Error),
    /// The database. Nothing was done that depends on the lost write.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The database's schema.
    #[error(
        "database migration: {0}; a database of an older version is moved away: settlement makes it anew from the chains"
    )]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A stored value is damaged.
    #[error(
        "the database holds a damaged value ({0}): stop, move the database away and start again; it is rebuilt from the chains"
    )]
    Damaged(String),
    /// The Bitcoin node.
    #[error("bitcoin node: {doing}: {why}")]
    Node {
        /// What was asked.
        doing: String,
        /// What came back.
        why: String,
    },
    /// The treasury wallet.
    #[error("treasury wallet: {0}")]
    Wallet(String),
    /// Allocation.
    #[error(transparent)]
    Allocate(#[from] crate::allocate::AllocateError),
    /// Planning.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// PSBT.
    #[error(transparent)]
    Psbt(#[from] crate::psbt::PsbtError),
    /// Descriptor.
    #[error(transparent)]
    Vault(#[from] crate::vault::VaultError),
    /// The chain's own numbers contradict each other or ours.
    #[error("epoch {epoch}: {what}; nothing is signed or sent for it until a person has looked")]
    Mismatch {
        /// The epoch.
        epoch: EpochId,
        /// What differs.
        what: String,
    },
    /// The books do not add up. The service stops.
    #[error(
        "the books do not add up{}: {what}; settlement stops before it signs: see docs/runbooks/conservation.md",
        epoch.map_or_else(String::new, |epoch| format!(" at epoch {epoch}"))
    )]
    Conservation {
        /// The epoch, if it is one's.
        epoch: Option<u32>,
        /// Which sats are missing or too many.
        what: String,
    },
    /// The operator's reserve does not cover the miner fees.
    #[error("epoch {epoch} is not signed: {what}")]
    Reserve {
        /// The epoch.
        epoch: EpochId,
        /// What is missing.
        what: String,
    },
    /// Something must happen first.
    #[error("epoch {epoch} waits: {what}")]
    Waiting {
        /// The epoch.
        epoch: EpochId,
        /// For what.
        what: String,
    },
    /// A signer did not sign.
    #[error("epoch {epoch} needs {needed} signatures and has {found}: {why}")]
    Signers {
        /// The epoch.
        epoch: EpochId,
        /// Signatures needed.
        needed: usize,
        /// Signatures given.
        found: usize,
        /// What the others said.
        why: String,
    },
    /// Another instance runs.
    #[error(
        "{0} is in use by another settlement process: stop it first; two of them never run on one database"
    )]
    Locked(String),
    /// A file cannot be used.
    #[error("{path}: {why}")]
    File {
        /// Path.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A setting makes no sense.
    #[error("config: {0}")]
    Config(String),
}

impl Error {
    /// Whether going on could lose what must not be lost: the service stops.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Database(_) | Self::Damaged(_) | Self::Conservation { .. })
    }

    pub(crate) fn node(doing: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Node { doing: doing.into(), why: why.to_string() }
    }

    pub(crate) fn mismatch(epoch: EpochId, what: impl Into<String>) -> Self {
        Self::Mismatch { epoch, what: what.into() }
    }

    pub(crate) fn waiting(epoch: EpochId, what: impl Into<String>) -> Self {
        Self::Waiting { epoch, what: what.into() }
    }
}
