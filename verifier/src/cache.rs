//! What was read of the two chains, kept in a folder, so that a second run or a killed one goes on where it stopped.
//!
//! Nothing is believed because it is kept. Headers are kept in runs that hang together by their hashes and end in a
//! block that the node names now; Bitcoin transactions are kept with the Merkle proof under a header of that chain, those of
//! the EVM chain as the bytes that their hash is of; logs are kept
//! in runs of blocks of which the last has the hash that the node gives now, each run naming the end of the one before.
//! What contracts say, which outputs are unspent and what the tips are is asked anew each time. Every record has a digest:
//! one that was damaged is noticed, counted, and read again. The digest has no key: who can write into this folder can
//! replace the verifier too, so it is made for its owner alone (mode 0700), and what is altered with care fails the same
//! checks as a node that lies.
//!
//! One file of records, appended; the newest of a key counts. A record that was cut off by SIGKILL ends the file.

use std::{
    collections::HashMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy::primitives::keccak256;
use evm::Deployment;

use crate::Error;

/// Starts the file; another number makes another file.
const MAGIC: &[u8; 16] = b"LHR verify 0001\n";
/// Bytes of key, length, digest and the check of these three.
const HEAD: usize = 16 + 4 + 16 + 4;

type Key = [u8; 16];

/// The folder's records.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    /// What sets this deployment apart in keys.
    scope: Key,
    open: Mutex<Open>,
    used: AtomicU64,
    damaged: AtomicU64,
}

#[derive(Debug)]
struct Open {
    file: File,
    end: u64,
    /// Where each record's payload starts, its length and digest.
    places: HashMap<Key, (u64, u32, Key)>,
}

impl Cache {
    /// Opens or makes the folder's file; `scope` sets one deployment apart from others in it. What is cut off or damaged
    /// at its end is dropped.
    ///
    /// # Errors
    /// When the folder cannot be written, or another process uses it.
    pub fn open(folder: &Path, scope: &[u8]) -> Result<Self, Error> {
        let fail = |error: std::io::Error| Error::file(folder, error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
        let path = folder.join("chains.cache");
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(fail)?;
        if file.try_lock().is_err() {
            return Err(Error::file(&path, "another verify uses it: wait, or name another folder"));
        }
        let mut open = Open { file, end: 0, places: HashMap::new() };
        let damaged = open.scan().map_err(fail)?;
        let cache = Self {
            path,
            scope: short(&[scope]),
            open: Mutex::new(open),
            used: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
        };
        if damaged {
            cache.distrust("its end is cut off or damaged");
        }
        Ok(cache)
    }

    /// The payload kept under a kind and name; `None` if there is none, or it was damaged.
    #[must_use]
    pub fn get(&self, kind: &str, name: &[u8]) -> Option<Vec<u8>> {
        let key = self.key(kind, name);
        let mut open = self.lock();
        let (start, length, digest) = open.places.get(&key).copied()?;
        let mut payload = vec![0; usize::try_from(length).ok()?];
        let read = open.file.read_exact_at(&mut payload, start);
        if read.is_ok() && short(&[&key, &payload]) == digest {
            self.used.fetch_add(1, Ordering::Relaxed);
            return Some(payload);
        }
        open.places.remove(&key);
        drop(open);
        self.distrust(kind);
        None
    }

    /// Keeps a payload. It is in the file when this returns, so that a killed run has it; a full disk only costs the time
    /// to read it again.
    pub fn put(&self, kind: &str, name: &[u8], payload: &[u8]) {
        let key = self.key(kind, name);
        if let Err(error) = self.lock().append(key, payload) {
            tracing::warn!(path = %self.path.display(), %error, "cannot be kept");
        }
    }

    /// Notes that something kept does not hold, and is read again.
    pub fn distrust(&self, what: &str) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(path = %self.path.display(), what, "kept data are damaged or altered: read again");
    }

    /// How many records were used, and how many were not because they were damaged or altered.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.used.load(Ordering::Relaxed), self.damaged.load(Ordering::Relaxed))
    }

    fn key(&self, kind: &str, name: &[u8]) -> Key {
        short(&[&self.scope, kind.as_bytes(), &[0], name])
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Finds all records. Returns whether something at the end was dropped.
    fn scan(&mut self) -> std::io::Result<bool> {
        let size = self.file.metadata()?.len();
        let mut magic = [0; MAGIC.len()];
        let known = self.file.read_exact_at(&mut magic, 0).is_ok() && magic == *MAGIC;
        if !known {
            self.file.set_len(0)?;
            self.file.write_all_at(MAGIC, 0)?;
            self.end = length(MAGIC.len());
            return Ok(size > 0);
        }
        self.end = length(MAGIC.len());
        while let Some((key, payload, digest)) = self.head(size) {
            let start = self.end.saturating_add(length(HEAD));
            self.places.insert(key, (start, payload, digest));
            self.end = start.saturating_add(u64::from(payload));
        }
        if self.end < size {
            self.file.set_len(self.end)?;
        }
        Ok(self.end < size)
    }

    /// The record head at the end of what was read, if it and its payload are whole.
    fn head(&self, size: u64) -> Option<(Key, u32, Key)> {
        let mut head = [0; HEAD];
        self.file.read_exact_at(&mut head, self.end).ok()?;
        let (fields, check) = head.split_last_chunk::<4>()?;
        if short(&[fields]).first_chunk::<4>() != Some(check) {
            return None;
        }
        let (key, rest) = fields.split_first_chunk::<16>()?;
        let (payload, digest) = rest.split_first_chunk::<4>()?;
        let payload = u32::from_be_bytes(*payload);
        let end = self.end.saturating_add(length(HEAD)).saturating_add(u64::from(payload));
        (end <= size).then_some((*key, payload, *digest.first_chunk::<16>()?))
    }

    fn append(&mut self, key: Key, payload: &[u8]) -> std::io::Result<()> {
        let Ok(size) = u32::try_from(payload.len()) else { return Ok(()) };
        let digest = short(&[&key, payload]);
        let mut record = [&key[..], &size.to_be_bytes(), &digest].concat();
        let check = short(&[&record]);
        record.extend(check.iter().take(4));
        record.extend(payload);
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&record)?;
        self.places.insert(key, (self.end.saturating_add(length(HEAD)), size, digest));
        self.end = self.end.saturating_add(length(record.len()));
        Ok(())
    }
}

/// What sets a deployment apart: its chain, its first block and every address.
#[must_use]
pub fn scope_of(deployment: &Deployment) -> Vec<u8> {
    let mut scope = deployment.chain_id.to_be_bytes().to_vec();
    scope.extend(deployment.block.to_be_bytes());
    scope.extend(deployment.addresses().iter().flat_map(|address| address.to_vec()));
    scope
}

fn short(parts: &[&[u8]]) -> Key {
    let mut key = [0; 16];
    let hash = keccak256(parts.concat());
    key.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    key
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
