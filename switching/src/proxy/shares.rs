//! Shares: judged against the job they answer, forwarded to the pool that gave it, credited when that pool says so.

use std::time::{Duration, Instant};

use domain::SeriesId;

use super::{Proxy, table::Work, tags::Candidate, venues::VenueSlot};
use crate::{
    credit::Verdict,
    outbox::Sent,
    stratum::{
        codec::{self, Outcome, RequestId},
        share::{Proven, Submit},
    },
};

/// Seconds that a machine may roll a job's time forward.
const MAX_ROLL: u32 = 7_200;

/// Refusals in a row after which a pool is shunned, and for how long (wall): its rate is a promise it does not keep.
const MAX_REFUSALS: u32 = 50;
const SHUN: Duration = Duration::from_secs(60);

/// A share that waits for its pool.
#[derive(Debug)]
pub(super) struct Pending {
    /// Who waits for the reply; none once it was told that the pool did not answer.
    waiting: Option<(u64, Option<RequestId>)>,
    machine: String,
    series: SeriesId,
    hashes: u128,
    /// The block that the share builds on.
    prev_hash: [u8; 32],
    /// Whether it carries an epoch's tag, and what shows it if it is one of the lowest.
    tagged: bool,
    candidate: Option<Box<Candidate>>,
    sent: Instant,
}

/// Why a share is refused here: stratum's code and words.
#[derive(Debug)]
struct Refusal(i64, String);

/// A share that is for the pool, or for nobody.
enum Judged {
    /// Meets the pool's difficulty.
    Forward(Proven),
    /// Meets ours only.
    Local,
}

impl Proxy {
    pub(super) fn on_submit(&mut self, conn: u64, id: Option<RequestId>, submit: &Submit) {
        let outcome = match self.judge(conn, submit) {
            Ok(Judged::Forward(proven)) => match self.forward(conn, id.clone(), submit, &proven) {
                Ok(()) => return,
                Err(refusal) => Err(refusal),
            },
            Ok(Judged::Local) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        let Some(miner) = self.miners.get_mut(&conn) else { return };
        match outcome {
            Ok(()) => {
                self.counters.local = self.counters.local.saturating_add(1);
                miner.local = miner.local.saturating_add(1);
                miner.outbox.send(&codec::reply(id.as_ref(), "true"));
            }
            Err(Refusal(code, words)) => {
                tracing::debug!(user = miner.user, code, words, "share refused");
                let slot = usize::try_from(code.saturating_sub(20)).unwrap_or(0);
                if let Some(count) = self.counters.refused.get_mut(slot) {
                    *count = count.saturating_add(1);
                }
                miner.refused = miner.refused.saturating_add(1);
                miner.outbox.send(&codec::refuse(id.as_ref(), code, &words));
            }
        }
    }

    fn judge(&mut self, conn: u64, submit: &Submit) -> Result<Judged, Refusal> {
        let refuse = |code: i64, words: &str| Refusal(code, words.to_owned());
        let miner = self.miners.get(&conn).ok_or_else(|| refuse(25, "not subscribed"))?;
        let prefix = miner.prefix.as_deref().ok_or_else(|| refuse(25, "not subscribed"))?;
        if miner.machine.is_none() || submit.worker != miner.user {
            return Err(refuse(24, "unauthorized worker"));
        }
        let issue = self.table.get(submit.job).ok_or_else(|| refuse(21, "job not found"))?;
        if !(issue.ntime..=issue.ntime.saturating_add(MAX_ROLL)).contains(&submit.ntime) {
            return Err(refuse(20, "ntime out of range"));
        }
        let work = &issue.work;
        let size = self.config.extranonce.miner_bytes;
        let mask = miner.mask(issue.down_mask);
        let proven = submit
            .prove(&work.job, &work.layout, prefix, size, mask)
            .map_err(|error| Refusal(20, error.to_string()))?;
        // Firmware may apply a new difficulty at once or with the next job: either is fair.
        let eased = self
            .difficulty
            .as_ref()
            .map_or(issue.down_target, |now| now.target().max(issue.down_target));
        if !proven.meets(eased) {
            return Err(refuse(23, "low difficulty share"));
        }
        let (number, forward) = (work.number, proven.meets(work.difficulty.target()));
        if !self.table.first_time(number, proven.hash) {
            return Err(refuse(22, "duplicate share"));
        }
        Ok(if forward { Judged::Forward(proven) } else { Judged::Local })
    }

    fn forward(
        &mut self,
        conn: u64,
        id: Option<RequestId>,
        submit: &Submit,
        proven: &Proven,
    ) -> Result<(), Refusal> {
        let gone = || Refusal(21, "the pool connection of this job is gone".to_owned());
        let issue = self.table.get(submit.job).ok_or_else(gone)?;
        let work = &issue.work;
        let candidate = self.candidate(work, submit, proven);
        let machine = self.miners.get(&conn).and_then(|miner| miner.machine.clone());
        let (machine, series) = machine.ok_or_else(gone)?;
        let slot = self.venues.get_mut(work.venue).ok_or_else(gone)?;
        let outbox =
            slot.outbox.clone().filter(|_| slot.session == work.session).ok_or_else(gone)?;
        let call = slot.submit_id();
        let line = upstream_submit(call, &slot.config.account, work, submit, proven);
        if outbox.send(&line) == Sent::Gone {
            return Err(gone());
        }
        let pending = Pending {
            waiting: Some((conn, id)),
            machine,
            series,
            hashes: work.difficulty.hashes(),
            prev_hash: work.job.prev_hash,
            tagged: work.tag.is_some(),
            candidate,
            sent: Instant::now(),
        };
        slot.pending.insert(call, pending);
        Ok(())
    }

    /// The pool's answer: the machine is told what the pool said, and the journal will be.
    pub(super) fn on_answer(&mut self, venue: usize, id: u64, outcome: &Outcome) {
        let Some(slot) = self.venues.get_mut(venue) else { return };
        let Some(share) = slot.pending.remove(&id) else {
            tracing::debug!(venue = slot.config.name, id, "an answer to nothing that was asked");
            return;
        };
        slot.answered = Instant::now();
        let (verdict, refusal) = match outcome {
            Outcome::Result(result) if result.get() == "true" => (Verdict::Accepted, None),
            Outcome::Result(result) => (Verdict::Rejected, Some((20, result.get()))),
            Outcome::Error(21, words) => (Verdict::Stale, Some((21, words.as_str()))),
            Outcome::Error(code, words) => (Verdict::Rejected, Some((*code, words.as_str()))),
        };
        if let Some((code, words)) = refusal {
            tracing::info!(
                venue = slot.config.name,
                machine = share.machine,
                code,
                words,
                "pool refused a share"
            );
        }
        if verdict == Verdict::Stale {
            slot.stales.stale(share.prev_hash);
        }
        let who = (share.machine.as_str(), share.series);
        self.credits.count(self.now, who, &slot.config.name, verdict, share.hashes);
        let shunned = slot.judge_pool(verdict);
        if verdict == Verdict::Accepted {
            let candidate = share.candidate.as_deref();
            self.count_evidence(candidate, &share.machine, share.hashes, share.tagged);
        }
        if let Some((conn, id)) = share.waiting {
            let line = refusal.map_or_else(
                || codec::reply(id.as_ref(), "true"),
                |(code, words)| codec::refuse(id.as_ref(), code, words),
            );
            self.send(conn, &line);
        }
        if shunned {
            self.decide();
        }
    }

    /// Machines whose pool takes too long are told so. If the pool still accepts the share later, it counts. A pool that
    /// has answered nothing at all since is not there: its connection is given up.
    pub(super) fn time_out_shares(&mut self) {
        let limit = Duration::from_millis(self.config.submit_timeout_ms);
        let mut late = Vec::new();
        for slot in &mut self.venues {
            let answered = slot.answered;
            let silent = |share: &Pending| share.sent.elapsed() > limit && share.sent > answered;
            if let Some(outbox) = slot.outbox.as_ref().filter(|_| slot.pending.values().any(silent))
            {
                tracing::warn!(
                    venue = slot.config.name,
                    "the pool answers no share: connecting again"
                );
                outbox.close();
            }
            for share in slot.pending.values_mut().filter(|share| share.sent.elapsed() > limit) {
                late.extend(share.waiting.take());
            }
        }
        self.unanswered(late, "the pool did not answer in time");
    }

    /// The pool's connection is gone, and with it every answer.
    pub(super) fn abandon_shares(&mut self, venue: usize) {
        let Some(slot) = self.venues.get_mut(venue) else { return };
        let lost = slot.pending.drain().filter_map(|(_, share)| share.waiting).collect();
        self.unanswered(lost, "the pool connection was lost");
    }

    fn unanswered(&mut self, waiting: Vec<(u64, Option<RequestId>)>, words: &str) {
        for (conn, id) in waiting {
            self.counters.unanswered = self.counters.unanswered.saturating_add(1);
            self.send(conn, &codec::refuse(id.as_ref(), 20, words));
        }
    }
}

impl VenueSlot {
    /// Counts refusals in a row; true when there are so many that the pool is now shunned.
    fn judge_pool(&mut self, verdict: Verdict) -> bool {
        self.refusals = match verdict {
            Verdict::Accepted => 0,
            Verdict::Rejected | Verdict::Stale => self.refusals.saturating_add(1),
        };
        let shunned = self.refusals >= MAX_REFUSALS;
        if shunned {
            self.refusals = 0;
            self.shunned_until = Some(Instant::now() + SHUN);
            tracing::error!(
                venue = self.config.name,
                "the pool refused {MAX_REFUSALS} shares in a row: shunned for {SHUN:?}"
            );
        }
        shunned
    }
}

/// The `mining.submit` for the pool. Version bits are the header's own, cut to the pool's mask: with a narrower mask
/// downstream they differ from what the machine sent.
fn upstream_submit(
    call: u64,
    account: &str,
    work: &Work,
    submit: &Submit,
    proven: &Proven,
) -> String {
    let mut params = vec![
        account.to_owned(),
        work.job.id.clone(),
        hex::encode(&proven.extranonce2),
        format!("{:08x}", submit.ntime),
        format!("{:08x}", submit.nonce),
    ];
    if work.mask != 0 {
        params.push(format!("{:08x}", proven.version & work.mask));
    }
    codec::call(Some(call), "mining.submit", &serde_json::Value::from(params).to_string())
}
