//! The switching journal over HTTP: every line checked against the hash of the one before, and remembered.

use std::time::Duration;

use domain::journal::Line;

use super::{SourceError, get_json};
use crate::{
    config::JournalConfig,
    store::{Store, StoreError},
};

const NAME: &str = "switching journal";
/// Lines of one page.
const PAGE: usize = 1000;

/// Why the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalReadError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] SourceError),
    /// The store, or a broken chain.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads every new line into the store.
///
/// # Errors
/// When the engine does not answer, or a line does not follow from those that this signer remembers: then the journal
/// was changed, and this signer observes nothing more until a human has looked.
pub async fn sync(
    http: &reqwest::Client,
    config: &JournalConfig,
    store: &Store,
    wait: Duration,
) -> Result<(), JournalReadError> {
    loop {
        let head = store.journal_head().await?;
        let root = config.url.trim_end_matches('/');
        // The last known line is asked for again, so that a shortened or rewritten journal is noticed.
        let from = head.len.saturating_sub(1);
        let url = format!("{root}/journal?from={from}&limit={PAGE}");
        let mut lines: Vec<Line> = get_json(http, NAME, http.get(url), wait).await?;
        if head.len > 0 {
            if lines.first().is_none_or(|line| line.seq != from || line.hash != head.hash) {
                let why = format!("line {from} is not the one that was read before");
                return Err(SourceError::new(NAME, why).into());
            }
            lines.remove(0);
        }
        if lines.is_empty() {
            return Ok(());
        }
        store.take_lines(&lines).await?;
    }
}
