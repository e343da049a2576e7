//! Jobs that machines may still answer: our job id → the pool's job and the terms on which it was given.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::primitives::U256;

use super::tags::Tag;
use crate::stratum::{
    difficulty::Difficulty,
    job::{Layout, PoolJob},
};

/// How long a job may be answered after another took its place.
const KEEP: Duration = Duration::from_secs(120);
/// Jobs kept at most; past that the oldest retired ones go.
const MAX_ISSUES: usize = 4096;

/// A pool's job as it arrived, with everything that its shares must be judged by.
#[derive(Debug)]
pub(super) struct Work {
    /// Number of the work; issues of the same work share their seen hashes.
    pub(super) number: u64,
    pub(super) venue: usize,
    /// The pool connection it came on.
    pub(super) session: u64,
    pub(super) job: PoolJob,
    pub(super) layout: Layout,
    pub(super) difficulty: Arc<Difficulty>,
    /// The pool's mask.
    pub(super) mask: u32,
    /// The tag in its coinbase, and where it stands there; none if it carries none.
    pub(super) tag: Option<(Tag, u16)>,
}

/// Work under one of our job ids, rendered before it is needed.
#[derive(Debug)]
pub(super) struct Issue {
    pub(super) id: u64,
    pub(super) work: Arc<Work>,
    /// Header time given out: later than the pool's by one second for each time the same work is given again, so that
    /// machines that come back to it search new headers.
    pub(super) ntime: u32,
    /// The line that adds this job.
    pub(super) line: String,
    /// The line that replaces all jobs by this one.
    pub(super) clean_line: String,
    /// Version mask of machines when it was given out.
    pub(super) down_mask: u32,
    /// Highest hash that machines were told to send.
    pub(super) down_target: U256,
    retired: Option<Instant>,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Table {
    issues: HashMap<u64, Issue>,
    seen: HashMap<u64, HashSet<[u8; 32]>>,
    last_id: u64,
    last_work: u64,
    given: Option<u64>,
}

impl Table {
    /// A number for new work.
    pub(super) fn number_work(&mut self) -> u64 {
        self.last_work = self.last_work.saturating_add(1);
        self.last_work
    }

    /// Renders work for the `again`-th time.
    pub(super) fn prepare(&mut self, work: Arc<Work>, again: u32) -> Issue {
        self.last_id = self.last_id.saturating_add(1);
        let id = self.last_id;
        let ntime = work.job.ntime.saturating_add(again);
        let line = work.job.render(id, &work.layout, ntime, false);
        let clean_line = work.job.render(id, &work.layout, ntime, true);
        Issue {
            id,
            work,
            ntime,
            line,
            clean_line,
            down_mask: 0,
            down_target: U256::ZERO,
            retired: None,
        }
    }

    /// Enters a job that machines were given; the one before it is retired.
    pub(super) fn enter(&mut self, issue: Issue) {
        self.retire();
        self.given = Some(issue.id);
        self.issues.insert(issue.id, issue);
    }

    /// No job is current any more; the last one can still be answered for a while.
    pub(super) fn retire(&mut self) {
        let before = self.given.take().and_then(|id| self.issues.get_mut(&id));
        if let Some(issue) = before {
            issue.retired = Some(Instant::now());
        }
    }

    /// The job that machines have now.
    pub(super) fn given(&self) -> Option<&Issue> {
        self.given.and_then(|id| self.issues.get(&id))
    }

    pub(super) fn get(&self, id: u64) -> Option<&Issue> {
        self.issues.get(&id)
    }

    /// Remembers a header hash; false if it was there.
    pub(super) fn first_time(&mut self, work: u64, hash: [u8; 32]) -> bool {
        self.seen.entry(work).or_default().insert(hash)
    }

    /// Drops what was retired long ago. `latest` are the works that venues may give again: their hashes stay.
    pub(super) fn expire(&mut self, latest: impl Iterator<Item = Option<u64>>) {
        let expired = |issue: &Issue| issue.retired.is_some_and(|at| at.elapsed() > KEEP);
        self.issues.retain(|_, issue| !expired(issue));
        if let Some(excess) = self.issues.len().checked_sub(MAX_ISSUES) {
            let mut old: Vec<(Instant, u64)> = self
                .issues
                .values()
                .filter_map(|issue| issue.retired.map(|at| (at, issue.id)))
                .collect();
            old.sort_unstable();
            for (_, id) in old.iter().take(excess) {
                self.issues.remove(id);
            }
        }
        let mut live: HashSet<u64> = self.issues.values().map(|issue| issue.work.number).collect();
        live.extend(latest.flatten());
        self.seen.retain(|work, _| live.contains(work));
    }
}
