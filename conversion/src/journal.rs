//! The fill journal on disk: appended, fsynced, hash-chained, with one writer.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use domain::{
    Fill,
    journal::{ChainError, Head, Line},
};

/// Why the journal cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process writes it.
    #[error("{0} is in use by another process: one converter per journal")]
    Locked(PathBuf),
    /// The disk refused.
    #[error("{path}: {why}")]
    Io {
        /// File.
        path: PathBuf,
        /// The system's words.
        why: std::io::Error,
    },
    /// A complete line is not what was written.
    #[error("{path}: {why}; restore the file from a copy, nothing may be edited")]
    Chain {
        /// File.
        path: PathBuf,
        /// What is wrong.
        why: ChainError,
    },
    /// A complete line is no journal line.
    #[error("{path}: line {line} is no journal line: {why}")]
    Line {
        /// File.
        path: PathBuf,
        /// From 0.
        line: u64,
        /// The parser's words.
        why: serde_json::Error,
    },
}

/// An open journal. The lock is held until it is dropped.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    head: Head,
    lines: Vec<Line>,
}

impl Journal {
    /// Opens or creates the journal, checks its chain and cuts off a last line that a crash left half written.
    ///
    /// # Errors
    /// When it is locked, unreadable, or a complete line was changed.
    pub fn open(path: &Path) -> Result<(Self, Vec<Fill>), JournalError> {
        let io = |why| JournalError::Io { path: path.to_owned(), why };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file =
            file.as_mut().map_err(|why| io(std::io::Error::new(why.kind(), why.to_string())))?;
        let mut file = file.try_clone().map_err(io)?;
        if file.try_lock().is_err() {
            return Err(JournalError::Locked(path.to_owned()));
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole =
            bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        if whole < bytes.len() {
            tracing::warn!(path = %path.display(), "a half-written last line is cut off");
            file.set_len(u64::try_from(whole).unwrap_or(0)).map_err(io)?;
            bytes.truncate(whole);
        }
        file.sync_all().map_err(io)?;
        sync_folder(path).map_err(io)?;
        let mut journal =
            Self { path: path.to_owned(), file, head: Head::default(), lines: Vec::new() };
        let fills = journal.load(&bytes)?;
        Ok((journal, fills))
    }

    fn load(&mut self, bytes: &[u8]) -> Result<Vec<Fill>, JournalError> {
        let mut fills = Vec::new();
        for text in bytes.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
            let chain = |why| JournalError::Chain { path: self.path.clone(), why };
            let line: Line = serde_json::from_slice(text).map_err(|why| JournalError::Line {
                path: self.path.clone(),
                line: self.head.len,
                why,
            })?;
            self.head.follow(&line).map_err(chain)?;
            fills.push(line.record().map_err(chain)?);
            self.lines.push(line);
        }
        Ok(fills)
    }

    /// Writes one record and returns when it is on the disk.
    ///
    /// # Errors
    /// When the disk refuses; the caller must stop, for what is in the file is not known.
    pub fn append(&mut self, fill: &Fill) -> Result<(), JournalError> {
        let io = |why| JournalError::Io { path: self.path.clone(), why };
        let line = self.head.append(fill).map_err(|why| io(why.into()))?;
        let mut text = serde_json::to_vec(&line).map_err(|why| io(why.into()))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(io)?;
        self.file.sync_data().map_err(io)?;
        let chain = |why| JournalError::Chain { path: self.path.clone(), why };
        self.head.follow(&line).map_err(chain)?;
        self.lines.push(line);
        Ok(())
    }

    /// The end of the chain.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Lines from position `from`, at most `limit`.
    #[must_use]
    pub fn page(&self, from: usize, limit: usize) -> Vec<Line> {
        self.lines.iter().skip(from).take(limit).cloned().collect()
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Coin;

    fn deposit(n: u64) -> Fill {
        Fill::Deposited { time: n, coin: Coin::Bch, txid: n.to_string(), amount: n }
    }

    #[test]
    fn a_torn_line_is_cut_and_a_changed_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fills.jsonl");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&deposit(1)).unwrap();
        journal.append(&deposit(2)).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, fills) = Journal::open(&path).unwrap();
            assert_eq!(fills.len(), whole[..cut].iter().filter(|byte| **byte == b'\n').count());
            journal.append(&deposit(3)).unwrap();
            drop(journal);
            assert!(matches!(
                Journal::open(&path).unwrap().1.last(),
                Some(Fill::Deposited { time: 3, .. })
            ));
        }
        let text =
            String::from_utf8(whole).unwrap().replacen("\"amount\":\"1\"", "\"amount\":\"9\"", 1);
        std::fs::write(&path, text).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Chain { .. })));
    }

    #[test]
    fn there_is_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fills.jsonl");
        let held = Journal::open(&path).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Locked(_))));
        drop(held);
        assert!(Journal::open(&path).is_ok());
    }
}
