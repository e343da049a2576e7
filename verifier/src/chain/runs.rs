//! Logs in runs of blocks, kept from run to run of the verifier. A run names the hash of its last block and that of the run
//! before: if the node still has the last one's, no block of any of them has changed.

use alloy::{
    primitives::{Address, B256, keccak256},
    rpc::types::Log,
};
use serde::{Deserialize, Serialize};

use super::Chain;
use crate::Error;

/// A run of blocks.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Run {
    /// Last block.
    end: u64,
    /// Its hash.
    hash: B256,
    /// Hash of the last block of the run before; zero if this is the first.
    before: B256,
    logs: Vec<Log>,
}

/// Logs from a block on without a hole.
#[derive(Debug)]
pub(super) struct Runs {
    /// Whose logs.
    name: B256,
    /// First block that was not read.
    pub(super) next: u64,
    /// Hash of the block before it; zero if none was read.
    last: B256,
    pub(super) list: Vec<Log>,
}

impl Runs {
    /// Takes what is kept of these contracts from `from` on, as far as it is still in the chain.
    pub(super) async fn load(
        chain: &Chain,
        addresses: &[Address],
        from: u64,
    ) -> Result<Self, Error> {
        let name = keccak256(addresses.iter().flat_map(|at| at.to_vec()).collect::<Vec<u8>>());
        let mut runs = Self { name, next: from, last: B256::ZERO, list: Vec::new() };
        let Some(kept) = chain.rpc.kept() else { return Ok(runs) };
        let (mut list, mut next, mut before) = (Vec::new(), from, B256::ZERO);
        while let Some(bytes) = kept.get("logs", &runs.key(next)) {
            let run = serde_json::from_slice::<Run>(&bytes).ok();
            let Some(run) = run.filter(|run| run.hangs_together(next, before)) else {
                kept.distrust("logs");
                break;
            };
            if run.end > chain.block {
                break;
            }
            (next, before) = (run.end.saturating_add(1), run.hash);
            list.push(run);
        }
        // the longest part of it that ends in a block of the chain
        let (mut good, mut open) = (0, list.len());
        while good < open {
            let middle = good.saturating_add(open).div_ceil(2);
            let Some(run) = middle.checked_sub(1).and_then(|at| list.get(at)) else { break };
            if chain.hash(run.end).await? == run.hash {
                good = middle;
            } else {
                tracing::warn!(block = run.end, "this block has changed: it is read again");
                open = middle.saturating_sub(1);
            }
        }
        for run in list.into_iter().take(good) {
            (runs.next, runs.last) = (run.end.saturating_add(1), run.hash);
            runs.list.extend(run.logs);
        }
        Ok(runs)
    }

    /// Goes on with the logs up to block `end`, and keeps them if its hash was asked for.
    pub(super) fn add(&mut self, chain: &Chain, end: u64, hash: Option<B256>, logs: Vec<Log>) {
        if let (Some(kept), Some(hash)) = (chain.rpc.kept(), hash) {
            let run = Run { end, hash, before: self.last, logs };
            if let Ok(bytes) = serde_json::to_vec(&run)
                && run.hangs_together(self.next, self.last)
            {
                kept.put("logs", &self.key(self.next), &bytes);
            }
            self.last = hash;
            self.list.extend(run.logs);
        } else {
            self.list.extend(logs);
        }
        self.next = end.saturating_add(1);
    }

    fn key(&self, start: u64) -> Vec<u8> {
        [self.name.as_slice(), &start.to_be_bytes()].concat()
    }
}

impl Run {
    /// Whether it follows the run before, and its logs are of its blocks.
    fn hangs_together(&self, start: u64, before: B256) -> bool {
        let within =
            |log: &Log| log.block_number.is_some_and(|number| (start..=self.end).contains(&number));
        self.end >= start && self.before == before && self.logs.iter().all(within)
    }
}
