//! The pool's books, in integers: hourly buckets per account, payouts, worker counters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that the pool persists.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Whether the bootstrap blocks were mined.
    pub(crate) bootstrapped: bool,
    /// Number of the last payout interval that was handled (node time / interval).
    pub(crate) last_interval: u64,
    pub(crate) accounts: BTreeMap<String, Book>,
    pub(crate) payouts: Vec<Payout>,
}

/// The books of one account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Book {
    /// By the start of the hour, node time in seconds.
    pub(crate) buckets: BTreeMap<u64, Bucket>,
    /// Buckets that start before this belong to a recorded payout.
    pub(crate) paid_before: u64,
    pub(crate) workers: BTreeMap<String, Worker>,
}

/// Work of one hour.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) shares: u64,
    pub(crate) hashes: u64,
    /// Earned, in millionths of a satoshi: hashes x (sats per million hashes).
    pub(crate) micro_sats: u128,
}

impl Bucket {
    /// Whole satoshis of the hour, rounded down; the rest of an hour is never paid.
    pub(crate) fn sats_floor(&self) -> u64 {
        u64::try_from(self.micro_sats / 1_000_000).unwrap_or(u64::MAX)
    }
}

/// Counters of one worker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Worker {
    pub(crate) accepted_shares: u64,
    pub(crate) accepted_hashes: u64,
    pub(crate) rejected_shares: u64,
    pub(crate) rejected_hashes: u64,
    pub(crate) stale_shares: u64,
    pub(crate) stale_hashes: u64,
}

/// One payout transaction: recorded, with its signed bytes, before it is broadcast.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Payout {
    pub(crate) txid: String,
    pub(crate) hex: String,
    /// Node time when it was recorded.
    pub(crate) time: u64,
    pub(crate) lines: Vec<Line>,
    pub(crate) confirmed: bool,
}

/// What one account gets by a payout.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) account: String,
    pub(crate) address: String,
    pub(crate) vout: u32,
    pub(crate) sats: u64,
    /// Whole closed hours, oldest first: (start of the hour, satoshis).
    pub(crate) covers: Vec<(u64, u64)>,
}

/// What became of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    Stale,
    Rejected,
}

/// Seconds of a bucket.
pub(crate) const HOUR: u64 = 3600;

impl Ledger {
    /// Books one share of `hashes` at node time `now`; only accepted ones earn.
    pub(crate) fn book(
        &mut self,
        (account, worker): (&str, &str),
        outcome: Outcome,
        now: u64,
        hashes: u64,
        sats_per_mhash: u64,
    ) {
        let book = self.accounts.entry(account.into()).or_default();
        let counters = book.workers.entry(worker.into()).or_default();
        let (shares, sum) = match outcome {
            Outcome::Accepted => (&mut counters.accepted_shares, &mut counters.accepted_hashes),
            Outcome::Stale => (&mut counters.stale_shares, &mut counters.stale_hashes),
            Outcome::Rejected => (&mut counters.rejected_shares, &mut counters.rejected_hashes),
        };
        *shares += 1;
        *sum += hashes;
        if outcome == Outcome::Accepted {
            let bucket = book.buckets.entry(now - now % HOUR).or_default();
            bucket.shares += 1;
            bucket.hashes += hashes;
            bucket.micro_sats += u128::from(hashes) * u128::from(sats_per_mhash);
        }
    }

    /// Closed hours of an account that no payout covers, oldest first, with their sum.
    pub(crate) fn unpaid(&self, account: &str, now: u64) -> (Vec<(u64, u64)>, u64) {
        let Some(book) = self.accounts.get(account) else { return (Vec::new(), 0) };
        let hours: Vec<(u64, u64)> = book
            .buckets
            .range(book.paid_before..)
            .filter(|(start, _)| **start + HOUR <= now)
            .map(|(start, bucket)| (*start, bucket.sats_floor()))
            .collect();
        let sum = hours.iter().map(|(_, sats)| sats).sum();
        (hours, sum)
    }

    /// Records a payout; from now on its hours are never paid again.
    pub(crate) fn record(&mut self, payout: Payout) {
        for line in &payout.lines {
            let book = self.accounts.entry(line.account.clone()).or_default();
            for (start, _) in &line.covers {
                book.paid_before = book.paid_before.max(start + HOUR);
            }
        }
        self.payouts.push(payout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(ledger: &mut Ledger, outcome: Outcome, now: u64) {
        ledger.book(("fleet", "m1"), outcome, now, 4096, 333);
    }

    #[test]
    fn an_hour_is_rounded_once_and_only_accepted_work_earns() {
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            share(&mut ledger, Outcome::Accepted, 7201);
        }
        share(&mut ledger, Outcome::Stale, 7201);
        share(&mut ledger, Outcome::Rejected, 7201);
        // 3 x 4096 x 333 / 1e6 = 4.09; rounding each share would give 3.
        assert_eq!(ledger.unpaid("fleet", 10_800), (vec![(7200, 4)], 4));
        let worker = &ledger.accounts["fleet"].workers["m1"];
        assert_eq!((worker.accepted_hashes, worker.stale_shares), (12_288, 1));
        assert_eq!(worker.rejected_hashes, 4096);
    }

    #[test]
    fn open_hours_wait_and_recorded_hours_are_never_due_again() {
        let mut ledger = Ledger::default();
        for now in [0, 3600, 7200] {
            share(&mut ledger, Outcome::Accepted, now);
        }
        let (covers, sats) = ledger.unpaid("fleet", 7200);
        assert_eq!((covers.clone(), sats), (vec![(0, 1), (3600, 1)], 2));
        let line = Line { account: "fleet".into(), address: "a".into(), vout: 0, sats, covers };
        ledger.record(Payout {
            txid: "t".into(),
            hex: String::new(),
            time: 7200,
            lines: vec![line],
            confirmed: false,
        });
        assert_eq!(ledger.unpaid("fleet", 7200), (vec![], 0));
        assert_eq!(ledger.unpaid("fleet", 10_800), (vec![(7200, 1)], 1));
        let text = serde_json::to_vec(&ledger).unwrap();
        let again: Ledger = serde_json::from_slice(&text).unwrap();
        assert_eq!(again.unpaid("fleet", 10_800), (vec![(7200, 1)], 1));
    }
}
