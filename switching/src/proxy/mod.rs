//! The proxy: one task that owns every table, takes events one at a time, and writes to sockets in its own turn.
//!
//! Nothing here waits for a machine or a pool. Events of pools go before those of machines, so that a flood of shares
//! cannot hold up a switch. What must be journaled is collected while an event is handled and handed to the journal's
//! thread before the next one.

mod miners;
mod prefixes;
mod shares;
mod stales;
mod status;
mod switch;
mod table;
mod tags;
mod venues;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use clock::{Clock, FirstBlock};
use domain::{EpochId, Production, SeriesId};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

pub use tags::ProofStatus;

pub use status::{DecisionNote, LatencyStatus, MachineStatus, RateStatus, Status, VenueStatus};

use self::{
    miners::Miner, prefixes::Prefixes, switch::Current, table::Table, tags::Tags, venues::VenueSlot,
};
use crate::{
    config::Config,
    credit::Credits,
    decision::Policy,
    downstream::FromMiner,
    feeds::Feeds,
    journal::{Entry, JournalView},
    stratum::difficulty::Difficulty,
    upstream::FromVenue,
};

/// Wall time between flushes of credits, and between sweeps of what timed out.
const FLUSH: Duration = Duration::from_millis(500);

/// What the proxy is given.
#[derive(Debug)]
pub struct Inputs {
    /// Chain time.
    pub clock: Clock,
    /// Rates and prices.
    pub feeds: Feeds,
    /// Events of pools.
    pub venues: mpsc::Receiver<FromVenue>,
    /// Events of machines.
    pub miners: mpsc::Receiver<FromMiner>,
    /// First blocks of epochs, if hashrate is to be proven.
    pub first_blocks: Option<watch::Receiver<Option<FirstBlock>>>,
    /// Questions of the HTTP server.
    pub questions: mpsc::Receiver<oneshot::Sender<Status>>,
    /// The journal's thread.
    pub journal: mpsc::Sender<Entry>,
    /// What of the journal is on disk.
    pub view: JournalView,
    /// Malformed lines of machines.
    pub malformed: Arc<AtomicU64>,
}

/// The journal's thread is gone; its own error says why.
#[derive(Debug, thiserror::Error)]
#[error("the journal takes no more records")]
pub struct JournalGone;

/// Counts that the journal does not keep.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    /// Shares under the venue's difficulty, accepted here and not forwarded.
    local: u64,
    /// Shares refused here, by stratum's code 20 to 25.
    refused: [u64; 6],
    /// Shares that a pool did not answer in time, or before its connection ended.
    unanswered: u64,
    /// Switches since the start, their microseconds in all, at most, and the last one's.
    switches: u64,
    latency_sum: u64,
    latency_max: u64,
    latency_last: u64,
    /// Writes during switches that did not fit the kernel's buffer.
    queued: u64,
}

/// All state of the engine.
#[derive(Debug)]
pub struct Proxy {
    config: Arc<Config>,
    policy: Policy,
    clock: Clock,
    feeds: Feeds,
    view: JournalView,
    malformed: Arc<AtomicU64>,
    series: HashMap<String, SeriesId>,
    venues: Vec<VenueSlot>,
    miners: HashMap<u64, Miner>,
    prefixes: Prefixes,
    table: Table,
    current: Option<Current>,
    /// Since when the first decision waits; none once it was taken.
    settling: Option<Instant>,
    /// Easiest difficulty of all venues: what machines are given.
    difficulty: Option<Arc<Difficulty>>,
    credits: Credits,
    tags: Tags,
    notes: VecDeque<DecisionNote>,
    counters: Counters,
    now: u64,
    epoch: EpochId,
    out: Vec<Entry>,
}

impl Proxy {
    /// Runs until `stop`, then flushes what is owed to the journal.
    ///
    /// # Errors
    /// When the journal takes no more records.
    pub async fn run(
        config: Arc<Config>,
        mut inputs: Inputs,
        stop: CancellationToken,
    ) -> Result<(), JournalGone> {
        let mut decide = ticks(Duration::from_millis(config.decide_interval_ms));
        let mut flush = ticks(FLUSH);
        let mut proxy = Self::new(config, &inputs);
        loop {
            proxy.persist(&inputs.journal).await?;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(event) = inputs.venues.recv() => { proxy.tick(); proxy.on_venue(event); }
                Some(block) = next_block(&mut inputs.first_blocks) => { proxy.tick(); proxy.on_first_block(&block); }
                _ = decide.tick() => { proxy.tick(); proxy.decide(); }
                _ = flush.tick() => { proxy.tick(); proxy.sweep(); }
                Some(question) = inputs.questions.recv() => { proxy.tick(); let _ = question.send(proxy.status()); }
                Some(event) = inputs.miners.recv() => { proxy.tick(); proxy.on_miner(event); }
            }
        }
        let _ = tokio::time::timeout(FLUSH, proxy.hear_out(&mut inputs.venues)).await;
        proxy.tick();
        proxy.shut_down();
        proxy.persist(&inputs.journal).await
    }

    /// Waits for pools' answers to shares that are on their way; no new share is taken.
    async fn hear_out(&mut self, venues: &mut mpsc::Receiver<FromVenue>) {
        while self.venues.iter().any(|slot| !slot.pending.is_empty()) {
            let Some(event) = venues.recv().await else { return };
            self.tick();
            self.on_venue(event);
        }
    }

    fn new(config: Arc<Config>, inputs: &Inputs) -> Self {
        let now = inputs.clock.now();
        let epoch = EpochId::at(now);
        let mut out = vec![Entry::Record(Box::new(Production::Started { time: now }))];
        out.extend(epoch.previous().map(Entry::Closed));
        let machines = config.fleet.machines.iter();
        Self {
            policy: Policy {
                hysteresis_ppm: config.hysteresis_ppm,
                min_dwell_seconds: config.min_dwell_seconds,
            },
            clock: inputs.clock.clone(),
            feeds: inputs.feeds.clone(),
            view: inputs.view.clone(),
            malformed: inputs.malformed.clone(),
            series: machines.map(|machine| (machine.serial.clone(), machine.series)).collect(),
            venues: config.venues.iter().cloned().map(VenueSlot::new).collect(),
            miners: HashMap::new(),
            prefixes: Prefixes::new(config.extranonce.prefix_bytes),
            table: Table::default(),
            current: None,
            settling: Some(Instant::now()),
            difficulty: None,
            credits: Credits::default(),
            tags: Tags::new(config.proof.as_ref()),
            notes: VecDeque::new(),
            counters: Counters::default(),
            config,
            now,
            epoch,
            out,
        }
    }

    /// Reads the clock before an event. At an epoch's end everything of that epoch is journaled first.
    fn tick(&mut self) {
        self.now = self.clock.now().max(self.now);
        let epoch = EpochId::at(self.now);
        if epoch != self.epoch {
            self.flush();
            self.out.extend(epoch.previous().map(Entry::Closed));
            self.epoch = epoch;
        }
    }

    fn record(&mut self, record: Production) {
        self.out.push(Entry::Record(Box::new(record)));
    }

    fn flush(&mut self) {
        for record in self.credits.drain() {
            self.record(record);
        }
    }

    fn sweep(&mut self) {
        self.flush();
        self.table.expire(self.venues.iter().map(|venue| venue.work));
        self.time_out_shares();
        self.time_out_strangers();
    }

    fn shut_down(&mut self) {
        self.flush();
        let conns: Vec<u64> = self.miners.keys().copied().collect();
        for conn in conns {
            self.miner_gone(conn);
        }
    }

    async fn persist(&mut self, journal: &mpsc::Sender<Entry>) -> Result<(), JournalGone> {
        for entry in self.out.drain(..) {
            journal.send(entry).await.map_err(|_| JournalGone)?;
        }
        Ok(())
    }
}

/// The next first block of an epoch; never, if none is followed.
async fn next_block(from: &mut Option<watch::Receiver<Option<FirstBlock>>>) -> Option<FirstBlock> {
    let Some(blocks) = from else { return std::future::pending().await };
    if blocks.changed().await.is_err() {
        *from = None;
        return None;
    }
    *blocks.borrow_and_update()
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
