//! The switch: a decision, then one line that was rendered in advance, written to every machine.

use std::time::{Duration, Instant};

use domain::{Production, Rate, SwitchReason};

use super::{Proxy, status::DecisionNote};
use crate::{
    decision::{Action, EngineState, decide},
    market::{MarketView, Unfit, VenueView},
    outbox::Sent,
};

/// How long the first decision waits for venues that cannot be judged yet.
const SETTLE: Duration = Duration::from_secs(2);

/// Where the fleet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Current {
    /// Index of the venue.
    pub(super) venue: usize,
    /// Chain time of entering it.
    pub(super) since: u64,
}

/// What a round of writes did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given {
    pub(super) machines: u32,
    queued: u64,
}

impl Proxy {
    pub(super) fn market(&self) -> MarketView {
        let venues = self.venues.iter().enumerate().map(|(index, slot)| {
            let coin = slot.config.coin;
            let feed = self.config.prices.iter().find(|feed| feed.coin == coin);
            VenueView {
                name: slot.config.name.clone(),
                coin,
                coin_state: slot.config.coin_state,
                pool_up: slot.is_up(),
                terms: self.feeds.terms(index),
                price: self.feeds.price(coin),
                taker_fee_ppm: feed.map_or(0, |feed| feed.taker_fee_ppm),
            }
        });
        MarketView {
            time: self.now,
            venues: venues.collect(),
            max_feed_age_seconds: self.config.max_feed_age_seconds,
        }
    }

    pub(super) fn decide(&mut self) {
        let began = Instant::now();
        let current = self.current.map(|current| (current.venue, current.since));
        let state = EngineState { current, policy: self.policy };
        let decision = decide(&self.market(), &state);
        if !self.settled(&decision.unfit) {
            return;
        }
        self.note(DecisionNote::new(self.now, &decision));
        match decision.action {
            Action::Stay(..) => {}
            Action::Idle => self.idle(),
            Action::Move(to, reason) => self.switch(to, reason, decision.rates, began),
        }
    }

    /// The first decision waits a little until every venue that is minable can be judged: with a long dwell it would
    /// be dear to start on the pool that merely answered first.
    fn settled(&mut self, unfit: &[Option<Unfit>]) -> bool {
        let pending = |unfit: &Option<Unfit>| {
            matches!(unfit, Some(Unfit::PoolDown | Unfit::Terms | Unfit::Price))
        };
        if self.settling.is_some_and(|since| since.elapsed() > SETTLE || !unfit.iter().any(pending))
        {
            self.settling = None;
        }
        self.settling.is_none()
    }

    /// Nothing can be mined: machines get no job. What they still find of the last one is still forwarded.
    fn idle(&mut self) {
        if self.current.take().is_some() {
            self.table.retire();
            tracing::warn!("no venue can be mined: machines idle");
        }
    }

    fn switch(&mut self, to: usize, reason: SwitchReason, rates: Vec<Rate>, began: Instant) {
        let from = self.current.and_then(|current| self.venues.get(current.venue));
        let from = from.map(|slot| slot.config.name.clone());
        let Some(name) = self.venues.get(to).map(|slot| slot.config.name.clone()) else { return };
        self.current = Some(Current { venue: to, since: self.now });
        let given = self.give(to, true);
        let latency_micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let counters = &mut self.counters;
        counters.switches = counters.switches.saturating_add(1);
        counters.latency_last = latency_micros;
        counters.latency_max = counters.latency_max.max(latency_micros);
        counters.latency_sum = counters.latency_sum.saturating_add(latency_micros);
        counters.queued = counters.queued.saturating_add(given.queued);
        tracing::info!(
            ?from,
            to = name,
            ?reason,
            machines = given.machines,
            latency_micros,
            queued = given.queued,
            "switched"
        );
        self.record(Production::Switched {
            time: self.now,
            from,
            to: name,
            reason,
            rates,
            machines: given.machines,
            latency_micros,
        });
    }

    /// Gives a venue's latest work to every machine: one line, one write each.
    pub(super) fn give(&mut self, venue: usize, clean: bool) -> Given {
        let Some(mut issue) = self.take_standby(venue) else { return Given::default() };
        let line = if clean { &issue.clean_line } else { &issue.line };
        let mut given = Given::default();
        for miner in self.miners.values().filter(|miner| miner.works()) {
            match miner.outbox.send(line) {
                Sent::Kernel => {}
                Sent::Queued => given.queued = given.queued.saturating_add(1),
                Sent::Gone => continue,
            }
            given.machines = given.machines.saturating_add(1);
        }
        issue.down_mask = self.down_mask();
        issue.down_target =
            self.difficulty.as_ref().map_or(issue.down_target, |easiest| easiest.target());
        let work = issue.work.clone();
        self.note_terms(&work);
        self.table.enter(issue);
        self.prepare_standby(venue, work);
        given
    }
}
