//! Where the index stands, shared between the ingesting task and the API.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use evm::BlockRef;

/// Blocks that the index may trail the node and still be ready.
const READY_LAG: u64 = 3;
/// Age of the node's last answer past which the index is not ready.
const READY_AGE: Duration = Duration::from_secs(10);

/// Counters and marks. Blocks are those of the chain, times the process's own.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    marks: Mutex<Marks>,
    applied: AtomicU64,
    removed: AtomicU64,
    failures: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    indexed: Option<BlockRef>,
    head: Option<(BlockRef, Instant)>,
    finalized: Option<BlockRef>,
}

/// A snapshot for a reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) indexed: Option<BlockRef>,
    pub(crate) head: Option<BlockRef>,
    pub(crate) finalized: Option<BlockRef>,
    pub(crate) ready: bool,
    pub(crate) applied: u64,
    pub(crate) removed: u64,
    pub(crate) failures: u64,
}

impl Progress {
    fn change(&self, change: impl FnOnce(&mut Marks)) {
        change(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn marks(&self) -> Marks {
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn indexed(&self) -> Option<BlockRef> {
        self.marks().indexed
    }

    /// A block was applied and is the tip.
    pub(crate) fn applied(&self, tip: BlockRef) {
        self.applied.fetch_add(1, Ordering::Relaxed);
        self.set_indexed(Some(tip));
    }

    pub(crate) fn set_indexed(&self, tip: Option<BlockRef>) {
        self.change(|marks| marks.indexed = tip);
    }

    pub(crate) fn removed(&self, tip: Option<BlockRef>) {
        self.removed.fetch_add(1, Ordering::Relaxed);
        self.change(|marks| marks.indexed = tip);
    }

    pub(crate) fn set_head(&self, head: BlockRef, finalized: Option<BlockRef>) {
        self.change(|marks| {
            marks.head = Some((head, Instant::now()));
            marks.finalized = finalized.or(marks.finalized);
        });
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn standing(&self) -> Standing {
        let Marks { indexed, head, finalized } = self.marks();
        let ready = match (indexed, head) {
            (Some(indexed), Some((head, seen))) => {
                seen.elapsed() < READY_AGE
                    && head.number.saturating_sub(indexed.number) <= READY_LAG
            }
            _ => false,
        };
        Standing {
            indexed,
            head: head.map(|(head, _)| head),
            finalized,
            ready,
            applied: self.applied.load(Ordering::Relaxed),
            removed: self.removed.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}
