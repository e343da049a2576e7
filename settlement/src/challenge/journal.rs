//! What the watcher was about to send, written before it is sent. The court decides whether something is upheld, so nothing
//! here is believed: it says what may still be on its way, and what was done.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use alloy::primitives::{B256, Bytes, keccak256};
use serde::Serialize;

use crate::{database::lock, error::Error};

/// The journal of one watcher.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    _lock: File,
}

/// One line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    state: &'static str,
    epoch: u32,
    fault: &'a str,
    call: B256,
    #[serde(skip_serializing_if = "Option::is_none")]
    calldata: Option<&'a Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Journal {
    /// Opens or makes `dir/challenges.jsonl` and takes its lock: two watchers with one key would pay twice for one thing.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("challenges.jsonl");
        let fail = |error: std::io::Error| Error::File {
            path: path.display().to_string(),
            why: error.to_string(),
        };
        std::fs::create_dir_all(dir).map_err(fail)?;
        let held = lock(&path)?;
        let mut file = File::options().create(true).append(true).open(&path).map_err(fail)?;
        // a line that was cut off stays, on its own
        if file.metadata().map_err(fail)?.len() > 0 {
            file.write_all(b"\n").map_err(fail)?;
        }
        Ok(Self { file, _lock: held, path })
    }

    /// On disk when it returns: what is about to be sent.
    pub(super) fn sending(&mut self, epoch: u32, fault: &str, call: &Bytes) -> Result<(), Error> {
        let hash = keccak256(call);
        let line =
            Line { state: "sending", epoch, fault, call: hash, calldata: Some(call), why: None };
        self.write(&line)
    }

    /// What became of it.
    pub(super) fn ended(
        &mut self,
        epoch: u32,
        fault: &str,
        call: &Bytes,
        refused: Option<String>,
    ) -> Result<(), Error> {
        let state = if refused.is_none() { "landed" } else { "refused" };
        let call = keccak256(call);
        self.write(&Line { state, epoch, fault, call, calldata: None, why: refused })
    }

    fn write(&mut self, line: &Line<'_>) -> Result<(), Error> {
        let text =
            serde_json::to_string(line).map_err(|error| Error::Damaged(error.to_string()))?;
        let written = self.file.write_all(format!("{text}\n").as_bytes());
        written.and_then(|()| self.file.sync_all()).map_err(|error| Error::File {
            path: self.path.display().to_string(),
            why: error.to_string(),
        })
    }
}
