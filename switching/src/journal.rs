//! The production journal: one file, one writer, one hash-chained JSON line per record, synced to disk per batch.
//!
//! A crash leaves at most a torn last line, which no reader was ever shown; it is cut off at the next start. Anything
//! else that does not chain refuses to start: a changed journal is evidence, not something to repair.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use domain::{
    EpochId, Production,
    journal::{ChainError, Head, Line},
};
use tokio::sync::mpsc;

use crate::totals::Totals;

/// A read of lines gives no line that starts further than this from the first.
const MAX_READ: u64 = 8 * 1024 * 1024;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("journal {path}: {why}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: std::io::Error,
    },
    /// Another process writes it.
    #[error("journal {0} is locked by another process: stop that one first")]
    Locked(PathBuf),
    /// It was changed.
    #[error(
        "journal {path} cannot be trusted: {why}; restore it from a copy, or keep it as evidence and start a new one"
    )]
    Chain {
        /// The file.
        path: PathBuf,
        /// Which line, and how.
        why: ChainError,
    },
    /// A record could not be written as JSON.
    #[error("a record cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// What a whole journal says.
#[derive(Debug, Default)]
pub struct Replay {
    /// End of the chain.
    pub head: Head,
    /// Where each line starts, and where the next will.
    offsets: Vec<u64>,
    end: u64,
    /// Bytes after the last complete line: the trace of a crash.
    pub torn: u64,
    /// What the records add up to.
    pub totals: Totals,
}

/// Reads and checks a whole journal without changing it.
///
/// # Errors
/// When a line does not follow from the one before, or is no production record.
pub fn replay(path: &Path) -> Result<Replay, JournalError> {
    let io = |why| JournalError::Io { path: path.to_owned(), why };
    let chain = |why| JournalError::Chain { path: path.to_owned(), why };
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let mut replay = Replay::default();
    let mut text = Vec::new();
    loop {
        text.clear();
        let read = reader.read_until(b'\n', &mut text).map_err(io)?;
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        if text.last() != Some(&b'\n') {
            replay.torn = read;
            return Ok(replay);
        }
        let seq = replay.head.len;
        let line: Line = serde_json::from_slice(&text)
            .map_err(|error| chain(ChainError::Body { seq, why: error.to_string() }))?;
        replay.head.follow(&line).map_err(chain)?;
        replay.totals.apply(&line.record::<Production>().map_err(chain)?);
        replay.offsets.push(replay.end);
        replay.end = replay.end.saturating_add(read);
    }
}

/// What readers may see: lines that are on disk.
#[derive(Clone, Debug)]
pub struct JournalView {
    shared: Arc<Mutex<Shared>>,
    file: Arc<File>,
    path: PathBuf,
}

#[derive(Debug)]
struct Shared {
    head: Head,
    offsets: Vec<u64>,
    end: u64,
    closed: Option<EpochId>,
    totals: Totals,
}

/// The end of the journal as readers see it.
#[derive(Clone, Debug)]
pub struct Durable {
    /// End of the chain.
    pub head: Head,
    /// Every record of this epoch and those before is below the head.
    pub closed_epoch: Option<EpochId>,
    /// What the records add up to.
    pub totals: Totals,
}

/// What the writer is told.
#[derive(Debug)]
pub enum Entry {
    /// Append a record.
    Record(Box<Production>),
    /// No record of this epoch will follow.
    Closed(EpochId),
}

/// The one writer.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Arc<File>,
    shared: Arc<Mutex<Shared>>,
}

impl Journal {
    /// Opens or makes the journal, takes its lock, checks all of it and cuts off a torn last line.
    ///
    /// # Errors
    /// When the file is locked, unreadable or does not chain.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let io = |why| JournalError::Io { path: path.to_owned(), why };
        let file =
            OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        fs4::FileExt::try_lock(&file).map_err(|_| JournalError::Locked(path.to_owned()))?;
        let Replay { head, offsets, end, torn, totals } = replay(path)?;
        if torn > 0 {
            tracing::warn!(path = %path.display(), torn, "the journal ended in a torn line; cutting it off");
            file.set_len(end).map_err(io)?;
        }
        file.sync_all().map_err(io)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(io)?;
        folder.sync_all().map_err(io)?; // the name of a new file, too
        let shared = Shared { head, offsets, end, closed: None, totals };
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            shared: Arc::new(Mutex::new(shared)),
        })
    }

    /// A reader of what is on disk.
    #[must_use]
    pub fn view(&self) -> JournalView {
        JournalView {
            shared: self.shared.clone(),
            file: self.file.clone(),
            path: self.path.clone(),
        }
    }

    /// Appends a batch, syncs it, and only then shows it to readers.
    ///
    /// # Errors
    /// When the disk refuses. Part of the batch may be on disk; the writer must not go on.
    pub fn append(&self, batch: &[Entry]) -> Result<(), JournalError> {
        let io = |why| JournalError::Io { path: self.path.clone(), why };
        let (mut head, mut end) = {
            let shared = self.lock();
            (shared.head, shared.end)
        };
        let (mut text, mut offsets, mut closed) = (String::new(), Vec::new(), None);
        for entry in batch {
            match entry {
                Entry::Closed(epoch) => closed = Some(*epoch),
                Entry::Record(record) => {
                    let line = head.append(record)?;
                    let json = serde_json::to_string(&line)?;
                    offsets.push(end);
                    end = end
                        .saturating_add(u64::try_from(json.len()).unwrap_or(u64::MAX))
                        .saturating_add(1);
                    head = Head { len: head.len.saturating_add(1), hash: line.hash };
                    text.push_str(&json);
                    text.push('\n');
                }
            }
        }
        if !text.is_empty() {
            (&*self.file).write_all(text.as_bytes()).map_err(io)?;
            self.file.sync_data().map_err(io)?;
        }
        let mut shared = self.lock();
        for entry in batch {
            if let Entry::Record(record) = entry {
                shared.totals.apply(record);
            }
        }
        shared.offsets.append(&mut offsets);
        (shared.head, shared.end, shared.closed) = (head, end, closed.or(shared.closed));
        Ok(())
    }

    /// Writes batches on a thread of its own until every sender is gone.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn run(&self, mut entries: mpsc::Receiver<Entry>) -> Result<(), JournalError> {
        let mut batch = Vec::new();
        while entries.blocking_recv_many(&mut batch, 1024) > 0 {
            self.append(&batch)?;
            batch.clear();
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JournalView {
    /// The end of the journal.
    #[must_use]
    pub fn durable(&self) -> Durable {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        Durable { head: shared.head, closed_epoch: shared.closed, totals: shared.totals.clone() }
    }

    /// Up to `limit` lines from number `from` (about 8 MiB of them at most), each byte for byte as on disk and
    /// with its line end.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read(&self, from: u64, limit: usize) -> Result<String, JournalError> {
        let (start, end) = {
            let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            let Some(rest) = shared.offsets.get(from..) else { return Ok(String::new()) };
            let Some(start) = rest.first().copied() else { return Ok(String::new()) };
            let after = |count: usize| rest.get(count).copied().unwrap_or(shared.end);
            let within = rest.partition_point(|offset| offset.saturating_sub(start) <= MAX_READ);
            (start, after(limit.min(within)))
        };
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
        let io = |why| JournalError::Io { path: self.path.clone(), why };
        self.file.read_exact_at(&mut bytes, start).map_err(io)?;
        String::from_utf8(bytes)
            .map_err(|error| io(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
