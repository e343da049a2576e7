//! What the engine tells of itself.

use std::sync::atomic::Ordering;

use alloy::primitives::B256;
use domain::{Coin, CoinState, EpochId, Rate, SeriesId, SwitchReason};
use serde::Serialize;

use super::{ProofStatus, Proxy};
use crate::{
    decision::{Action, Decision, Stay},
    market::Unfit,
    totals::Tally,
};

/// Decisions remembered.
const NOTES: usize = 50;

/// A decision, and how often it was taken again without change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionNote {
    /// Chain time of the first time.
    pub time: u64,
    /// Chain time of the last time.
    pub until: u64,
    /// Times taken.
    pub times: u64,
    /// `stay`, `move` or `idle`.
    pub action: &'static str,
    /// The venue, unless idle.
    pub venue: Option<String>,
    /// Why.
    pub reason: String,
    /// Every venue's rate the last time.
    pub rates: Vec<RateStatus>,
}

/// A venue's rate, and why it is zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RateStatus {
    /// The rate.
    #[serde(flatten)]
    pub rate: Rate,
    /// Why it is zero.
    pub unfit: Option<Unfit>,
}

/// Where the fleet works.
#[derive(Clone, Debug, Serialize)]
pub struct CurrentStatus {
    /// Venue name.
    pub venue: String,
    /// Its coin.
    pub coin: Coin,
    /// Chain time of entering it.
    pub since: u64,
}

/// A venue.
#[derive(Clone, Debug, Serialize)]
pub struct VenueStatus {
    /// Name.
    pub name: String,
    /// Coin it pays.
    pub coin: Coin,
    /// Whether its pool is connected and has given a job.
    pub up: bool,
    /// Why not.
    pub why_down: Option<String>,
    /// Where its coin stands.
    pub state: CoinState,
    /// Whether its latest work carries an epoch's tag: what is hashed without one cannot be proven.
    pub provable: bool,
    /// Jobs received since the start.
    pub jobs: u64,
    /// Shares that wait for the pool's answer.
    pub pending: usize,
    /// What the pool said of shares, over the whole journal.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A machine.
#[derive(Clone, Debug, Serialize)]
pub struct MachineStatus {
    /// Serial number.
    pub serial: String,
    /// The series it backs.
    pub series: SeriesId,
    /// Whether it is connected now.
    pub connected: bool,
    /// Chain time of its connection.
    pub joined_at: Option<u64>,
    /// The venue it works on.
    pub venue: Option<String>,
    /// What pools said of its shares, over the whole journal.
    #[serde(flatten)]
    pub tally: Tally,
    /// Shares refused here, since it connected.
    pub refused: u64,
    /// Shares under the pool's difficulty, since it connected.
    pub local: u64,
    /// Chain time of the last answered share.
    pub last_share_at: Option<u64>,
}

/// Microseconds from decision to the last byte in the kernel, since the start.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LatencyStatus {
    /// The last switch.
    pub last: u64,
    /// The slowest.
    pub max: u64,
    /// All together.
    pub sum: u64,
    /// Switches since the start.
    pub switches: u64,
    /// Writes that did not fit the kernel's buffer.
    pub queued: u64,
}

/// Shares that never reached a pool's verdict, since the start.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LocalStatus {
    /// Under the venue's difficulty, accepted here.
    pub below_venue: u64,
    /// Refused here as malformed or out of range (20).
    pub invalid: u64,
    /// Refused here for an unknown or dead job (21).
    pub stale: u64,
    /// Refused here as duplicates (22).
    pub duplicate: u64,
    /// Refused here for low difficulty (23).
    pub low_difficulty: u64,
    /// Refused here as unauthorised or not subscribed (24, 25).
    pub unauthorized: u64,
    /// Sent to a pool that did not answer.
    pub unanswered: u64,
    /// Called stale by a pool although its chain had not moved on: a verdict, but one that no new block explains.
    pub stale_unexplained: u64,
    /// Lines of machines that were not stratum.
    pub malformed_lines: u64,
}

/// The journal on disk.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct JournalStatus {
    /// Lines.
    pub len: u64,
    /// Hash of the last.
    pub hash: B256,
    /// Every record of this epoch and those before is among those lines.
    pub closed_epoch: Option<EpochId>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Chain time.
    pub time: u64,
    /// Where the fleet works; null while it idles.
    pub current: Option<CurrentStatus>,
    /// Every venue's rate.
    pub rates: Vec<RateStatus>,
    /// The last decisions, newest first.
    pub decisions: Vec<DecisionNote>,
    /// Venues in the order of the configuration.
    pub venues: Vec<VenueStatus>,
    /// Machines in the order of the configuration.
    pub machines: Vec<MachineStatus>,
    /// Moves of the fleet over the whole journal.
    pub switches: u64,
    /// Connections of machines that ended, over the whole journal.
    pub disconnects: u64,
    /// How fast switches are.
    pub switch_latency_micros: LatencyStatus,
    /// Shares without a pool's verdict.
    pub shares_without_verdict: LocalStatus,
    /// Proof of hashrate; null if nothing is to be proven.
    pub proof: Option<ProofStatus>,
    /// The journal.
    pub journal: JournalStatus,
}

impl DecisionNote {
    pub(super) fn new(time: u64, decision: &Decision) -> Self {
        let name = |index: usize| decision.rates.get(index).map(|rate| rate.venue.clone());
        let (action, venue, reason) = match &decision.action {
            Action::Stay(venue, Stay::Best) => ("stay", name(*venue), "best"),
            Action::Stay(venue, Stay::Hysteresis) => ("stay", name(*venue), "hysteresis"),
            Action::Stay(venue, Stay::Dwell) => ("stay", name(*venue), "dwell"),
            Action::Move(venue, SwitchReason::Start) => ("move", name(*venue), "start"),
            Action::Move(venue, SwitchReason::BetterVenue) => {
                ("move", name(*venue), "better_venue")
            }
            Action::Move(venue, SwitchReason::VenueLost) => ("move", name(*venue), "venue_lost"),
            Action::Idle => ("idle", None, "no_venue"),
        };
        let rates = decision.rates.iter().cloned().zip(decision.unfit.iter().cloned());
        let rates = rates.map(|(rate, unfit)| RateStatus { rate, unfit }).collect();
        Self { time, until: time, times: 1, action, venue, reason: reason.to_owned(), rates }
    }
}

impl Proxy {
    /// Remembers a decision; one that only repeats the last is counted with it.
    pub(super) fn note(&mut self, note: DecisionNote) {
        if let Some(last) = self.notes.front_mut()
            && (last.action, &last.venue, &last.reason) == (note.action, &note.venue, &note.reason)
        {
            (last.until, last.rates) = (note.until, note.rates);
            last.times = last.times.saturating_add(1);
            return;
        }
        self.notes.push_front(note);
        self.notes.truncate(NOTES);
    }

    pub(super) fn status(&self) -> Status {
        let durable = self.view.durable();
        let current = self.current.and_then(|current| {
            let config = &self.venues.get(current.venue)?.config;
            Some(CurrentStatus {
                venue: config.name.clone(),
                coin: config.coin,
                since: current.since,
            })
        });
        let counters = &self.counters;
        let [invalid, stale, duplicate, low_difficulty, unauthorized, unsubscribed] =
            counters.refused;
        Status {
            time: self.now,
            rates: self.notes.front().map(|note| note.rates.clone()).unwrap_or_default(),
            decisions: self.notes.iter().cloned().collect(),
            venues: self.venue_statuses(&durable.totals.venues),
            machines: self.machine_statuses(&durable.totals.machines, current.as_ref()),
            current,
            switches: durable.totals.switches,
            disconnects: durable.totals.disconnects,
            switch_latency_micros: LatencyStatus {
                last: counters.latency_last,
                max: counters.latency_max,
                sum: counters.latency_sum,
                switches: counters.switches,
                queued: counters.queued,
            },
            shares_without_verdict: LocalStatus {
                below_venue: counters.local,
                invalid,
                stale,
                duplicate,
                low_difficulty,
                unauthorized: unauthorized.saturating_add(unsubscribed),
                unanswered: counters.unanswered,
                stale_unexplained: self.venues.iter().map(|slot| slot.stales.unexplained()).sum(),
                malformed_lines: self.malformed.load(Ordering::Relaxed),
            },
            proof: self.tags.status(),
            journal: JournalStatus {
                len: durable.head.len,
                hash: durable.head.hash,
                closed_epoch: durable.closed_epoch,
            },
        }
    }

    fn venue_statuses(
        &self,
        totals: &std::collections::BTreeMap<String, Tally>,
    ) -> Vec<VenueStatus> {
        let venues = self.venues.iter().map(|slot| VenueStatus {
            name: slot.config.name.clone(),
            coin: slot.config.coin,
            up: slot.is_up(),
            why_down: slot.why_down(),
            state: slot.config.coin_state,
            provable: slot.standby.as_ref().is_some_and(|issue| issue.work.tag.is_some()),
            jobs: slot.jobs,
            pending: slot.pending.len(),
            tally: totals.get(&slot.config.name).copied().unwrap_or_default(),
        });
        venues.collect()
    }

    fn machine_statuses(
        &self,
        totals: &std::collections::BTreeMap<String, crate::totals::MachineTotals>,
        current: Option<&CurrentStatus>,
    ) -> Vec<MachineStatus> {
        let live: std::collections::HashMap<&str, &super::Miner> = self
            .miners
            .values()
            .filter_map(|miner| miner.machine.as_ref().map(|(serial, _)| (serial.as_str(), miner)))
            .collect();
        let machines = self.config.fleet.machines.iter().map(|machine| {
            let total = totals.get(&machine.serial).cloned().unwrap_or_default();
            let live = live.get(machine.serial.as_str());
            MachineStatus {
                serial: machine.serial.clone(),
                series: machine.series,
                connected: live.is_some(),
                joined_at: total.joined_at.filter(|_| live.is_some()),
                venue: live
                    .filter(|miner| miner.works())
                    .and(current)
                    .map(|current| current.venue.clone()),
                tally: total.tally,
                refused: live.map_or(0, |miner| miner.refused),
                local: live.map_or(0, |miner| miner.local),
                last_share_at: total.last_share_at,
            }
        });
        machines.collect()
    }
}
