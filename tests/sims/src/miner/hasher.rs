//! The hashing of one machine: a job, a counter, and shares that meet the target.

use crate::work::{Bytes32, Work, meets, sha256d};

/// A job with what the connection adds to it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) job_id: String,
    pub(crate) work: Work,
    pub(crate) extranonce1: Vec<u8>,
    pub(crate) extranonce2_size: usize,
    pub(crate) target: Bytes32,
    /// Version bits that may be rolled; 0 for firmware that cannot.
    pub(crate) mask: u32,
    /// Grows with each clean job: older shares are dropped before they are sent.
    pub(crate) epoch: u64,
}

/// A share found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) job_id: String,
    pub(crate) extranonce2: String,
    pub(crate) ntime: u32,
    pub(crate) nonce: u32,
    pub(crate) version_bits: u32,
    pub(crate) epoch: u64,
}

/// What a machine works on.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    task: Option<Task>,
    header: Vec<u8>,
    extranonce2: Vec<u8>,
    counter: u64,
    nonce: u32,
    version_bits: u32,
    pub(crate) hashes: u64,
    /// Lowest hash seen, display order.
    pub(crate) best: Option<Bytes32>,
}

impl Slot {
    /// Starts on a task at a place of the search space that this machine has not used.
    pub(crate) fn start(&mut self, task: Task) {
        self.task = Some(task);
        self.roll();
    }

    /// Stops hashing.
    pub(crate) fn stop(&mut self) {
        self.task = None;
    }

    fn roll(&mut self) {
        let Some(task) = &self.task else { return };
        self.counter = self.counter.wrapping_add(1);
        let bytes = self.counter.to_le_bytes();
        self.extranonce2 = bytes.into_iter().chain([0; 8]).take(task.extranonce2_size).collect();
        self.extranonce2.resize(task.extranonce2_size, 0);
        let spread = u32::try_from(self.counter & 0xffff).unwrap_or_default() << 13;
        self.version_bits = spread & task.mask;
        self.nonce = 0;
        let coinbase = task.work.coinbase(&task.extranonce1, &self.extranonce2);
        let root = task.work.merkle_root(&coinbase);
        let version = (task.work.version & !task.mask) | self.version_bits;
        self.header = task.work.header(&root, version, task.work.ntime, 0).to_vec();
    }

    /// Does `count` hashes; returns the shares among them.
    pub(crate) fn hash(&mut self, count: u64) -> Vec<Share> {
        let mut found = Vec::new();
        if self.task.is_none() {
            return found;
        }
        for _ in 0..count {
            let Some(task) = &self.task else { break };
            if let Some(tail) = self.header.last_chunk_mut::<4>() {
                *tail = self.nonce.to_le_bytes();
            }
            let hash = sha256d(&self.header);
            if meets(&hash, &task.target) {
                found.push(Share {
                    job_id: task.job_id.clone(),
                    extranonce2: hex::encode(&self.extranonce2),
                    ntime: task.work.ntime,
                    nonce: self.nonce,
                    version_bits: self.version_bits,
                    epoch: task.epoch,
                });
                let shown = crate::work::reversed(&hash);
                self.best = Some(self.best.map_or(shown, |best| best.min(shown)));
            }
            match self.nonce.checked_add(1) {
                Some(next) => self.nonce = next,
                None => self.roll(),
            }
        }
        self.hashes += count;
        found
    }
}
