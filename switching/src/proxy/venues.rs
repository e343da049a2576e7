//! Venues as the proxy sees them: whether the pool is up, its latest work, and a job rendered in advance.

use std::{collections::HashMap, sync::Arc, time::Instant};

use domain::Production;

use super::{
    Proxy,
    shares::Pending,
    stales::Stales,
    table::{Issue, Work},
};
use crate::{
    config::Venue,
    outbox::Outbox,
    stratum::{
        difficulty::Difficulty,
        job::{Layout, PoolJob},
    },
    upstream::{BIP320_MASK, FIRST_SUBMIT, FromVenue, VenueEvent},
};

/// One venue.
#[derive(Debug)]
pub(super) struct VenueSlot {
    pub(super) config: Venue,
    /// Where shares go; none while the pool is down.
    pub(super) outbox: Option<Outbox>,
    /// Number of the pool connection.
    pub(super) session: u64,
    /// Why it is down, in words.
    pub(super) why_down: Option<String>,
    /// Number of the latest work.
    pub(super) work: Option<u64>,
    /// The latest work, rendered and not given to anybody yet.
    pub(super) standby: Option<Issue>,
    /// How often the latest work was given out.
    again: u32,
    /// Difficulty and mask of the latest work, kept while the pool is down.
    pub(super) difficulty: Option<Arc<Difficulty>>,
    mask: Option<u32>,
    /// The layout of the latest work: when it changes, earlier jobs are worthless.
    layout: Option<(u64, Layout)>,
    /// Shares that wait for the pool's answer, by our id.
    pub(super) pending: HashMap<u64, Pending>,
    next_submit: u64,
    /// When the pool last answered a share.
    pub(super) answered: Instant,
    /// Shares refused since it last accepted one.
    pub(super) refusals: u32,
    /// Not used again before this, because it refused everything.
    pub(super) shunned_until: Option<Instant>,
    /// Jobs received.
    pub(super) jobs: u64,
    /// Whether shares called stale were overtaken by a block.
    pub(super) stales: Stales,
}

impl VenueSlot {
    pub(super) fn new(config: Venue) -> Self {
        Self {
            config,
            outbox: None,
            session: 0,
            why_down: Some("not connected yet".to_owned()),
            work: None,
            standby: None,
            again: 0,
            difficulty: None,
            mask: None,
            layout: None,
            pending: HashMap::new(),
            next_submit: FIRST_SUBMIT,
            answered: Instant::now(),
            refusals: 0,
            shunned_until: None,
            jobs: 0,
            stales: Stales::default(),
        }
    }

    /// Whether machines can be sent here.
    pub(super) fn is_up(&self) -> bool {
        let shunned = self.shunned_until.is_some_and(|until| Instant::now() < until);
        self.outbox.is_some() && self.standby.is_some() && !shunned
    }

    /// Why machines cannot be sent here.
    pub(super) fn why_down(&self) -> Option<String> {
        let unused = || match self.outbox {
            Some(_) if self.standby.is_none() => Some("it has given no job yet".to_owned()),
            _ => Some("it refused everything and is shunned for a minute".to_owned()),
        };
        self.why_down.clone().or_else(|| if self.is_up() { None } else { unused() })
    }

    /// The layout of the latest work as the pool gave it, without a tag.
    pub(super) fn base_layout(&self) -> Option<Layout> {
        self.layout.as_ref().map(|(_, layout)| layout.clone())
    }

    /// Puts the latest work, rendered anew under another number, in the place of what waits.
    pub(super) fn renumber(&mut self, number: u64, issue: Issue) {
        (self.work, self.again, self.standby) = (Some(number), 0, Some(issue));
    }

    pub(super) fn submit_id(&mut self) -> u64 {
        let id = self.next_submit;
        self.next_submit = id.saturating_add(1);
        id
    }
}

impl Proxy {
    pub(super) fn on_venue(&mut self, FromVenue { venue, what }: FromVenue) {
        match what {
            VenueEvent::Up(outbox) => self.venue_up(venue, outbox),
            VenueEvent::Job { job, layout, difficulty, mask } => {
                self.venue_job(venue, *job, layout, Arc::new(difficulty), mask);
            }
            VenueEvent::Answer { id, outcome } => self.on_answer(venue, id, &outcome),
            VenueEvent::Down { why } => self.venue_down(venue, why),
        }
    }

    fn venue_up(&mut self, venue: usize, outbox: Outbox) {
        let Some(slot) = self.venues.get_mut(venue) else { return };
        slot.session = slot.session.saturating_add(1);
        (slot.outbox, slot.why_down) = (Some(outbox), None);
        let (name, coin) = (slot.config.name.clone(), slot.config.coin);
        tracing::info!(venue = name, %coin, "pool connected");
        self.record(Production::VenueUp { time: self.now, venue: name, coin });
    }

    fn venue_down(&mut self, venue: usize, why: String) {
        let Some(slot) = self.venues.get_mut(venue) else { return };
        slot.standby = None;
        slot.why_down = Some(why.clone());
        let name = slot.config.name.clone();
        if slot.outbox.take().is_some() {
            self.abandon_shares(venue);
            self.record(Production::VenueDown { time: self.now, venue: name, why });
            self.decide();
        }
    }

    fn venue_job(
        &mut self,
        venue: usize,
        job: PoolJob,
        layout: Layout,
        difficulty: Arc<Difficulty>,
        mask: u32,
    ) {
        let number = self.table.number_work();
        let Some(slot) = self.venues.get_mut(venue) else { return };
        let origin = (slot.session, layout.clone());
        let clean = job.clean || slot.layout.as_ref() != Some(&origin);
        slot.layout = Some(origin);
        slot.jobs = slot.jobs.saturating_add(1);
        slot.stales.tip(job.prev_hash);
        (slot.work, slot.again) = (Some(number), 0);
        (slot.difficulty, slot.mask) = (Some(difficulty.clone()), Some(mask));
        let session = slot.session;
        let work = Work { number, venue, session, job, layout, difficulty, mask, tag: None };
        let work = work.tagged(self.tags.tag);
        let first = slot.standby.is_none();
        slot.standby = Some(self.table.prepare(Arc::new(work), 0));
        self.set_terms();
        if self.current.is_some_and(|current| current.venue == venue) {
            self.give(venue, clean);
        } else if first {
            self.decide();
        }
    }

    /// Takes the job that was rendered in advance and renders the next one of the same work.
    pub(super) fn take_standby(&mut self, venue: usize) -> Option<Issue> {
        self.venues.get_mut(venue).and_then(|slot| slot.standby.take())
    }

    /// Renders the latest work once more, for the next time it is given.
    pub(super) fn prepare_standby(&mut self, venue: usize, work: Arc<Work>) {
        if let Some(slot) = self.venues.get_mut(venue) {
            slot.again = slot.again.saturating_add(1);
            slot.standby = Some(self.table.prepare(work, slot.again));
        }
    }

    /// The version bits that every venue accepts.
    pub(super) fn down_mask(&self) -> u32 {
        self.venues.iter().filter_map(|venue| venue.mask).fold(BIP320_MASK, |all, mask| all & mask)
    }

    /// Tells machines of a new difficulty or mask, before any job that needs it. Outside a switch, by design.
    fn set_terms(&mut self) {
        let easiest = self.venues.iter().filter_map(|venue| venue.difficulty.clone());
        let easiest = easiest.max_by_key(|difficulty| difficulty.target());
        if easiest != self.difficulty {
            self.difficulty = easiest;
            self.send_difficulty();
        }
        self.send_mask();
    }
}
