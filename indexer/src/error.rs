//! What can go wrong in the indexer itself; errors of API callers are [`crate::api`]'s problems.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file is missing or wrong.
    #[error("{path}: {why}")]
    Config {
        /// Path.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The database failed.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("database schema: {0}; was the file written by a newer version?")]
    Schema(#[from] sqlx::migrate::MigrateError),
    /// A stored document does not parse.
    #[error("database: stored JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A stored value is not what its column promises.
    #[error(
        "database: {what} holds {found:?}: the file is damaged; delete it and the index is rebuilt"
    )]
    Corrupt {
        /// Column.
        what: &'static str,
        /// Value.
        found: String,
    },
    /// The undo journal names a table that this version does not have.
    #[error(
        "database: the undo journal names table {0:?}, unknown here; was the file written by a newer version?"
    )]
    UnknownTable(String),
    /// The database is an index of other contracts.
    #[error("the database is an index of another deployment: move it away or correct `deployment`")]
    OtherDeployment,
    /// The chain.
    #[error(transparent)]
    Evm(#[from] evm::Error),
    /// A block does not follow the newest applied one. Checking ancestors again resolves it.
    #[error("block {number} does not follow block {tip}")]
    NotNext {
        /// The block offered.
        number: u64,
        /// The newest applied one.
        tip: u64,
    },
    /// More was subtracted from a balance than it held: a log is missing.
    #[error("{account} sends {amount} of {token} and holds {balance}: a log is missing")]
    Overdrawn {
        /// Account.
        account: String,
        /// Token.
        token: String,
        /// Held.
        balance: String,
        /// Sent.
        amount: String,
    },
    /// The port cannot be bound, or the server stopped.
    #[error("HTTP server on {listen}: {why}")]
    Http {
        /// Address.
        listen: String,
        /// The system's words.
        why: std::io::Error,
    },
}
