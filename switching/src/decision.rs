//! The decision: where the fleet works. Pure; the same inputs always give the same answer.
//!
//! A venue that is lost is left at once. For more money the fleet moves only when another venue pays more by more than
//! the hysteresis, and not before the dwell is over. When nothing can be mined the machines idle: work that nobody pays
//! for is never sent.

use domain::{Rate, SwitchReason};
use serde::Serialize;

use crate::{
    config::MILLION,
    market::{MarketView, Unfit, rate_floor},
};

/// How reluctant the engine is to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How much more another venue must pay, in millionths.
    pub hysteresis_ppm: u64,
    /// Seconds of chain time to stay.
    pub min_dwell_seconds: u64,
}

/// Where the fleet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineState {
    /// Index of the current venue, and since when (chain time).
    pub current: Option<(usize, u64)>,
    /// How reluctant it is to move.
    pub policy: Policy,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The move, if any.
    pub action: Action,
    /// Every venue's rate, as the journal keeps it.
    pub rates: Vec<Rate>,
    /// Why venues with a zero rate are unfit, in the order of venues.
    pub unfit: Vec<Option<Unfit>>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Remain on the current venue.
    Stay(usize, Stay),
    /// Go to a venue.
    Move(usize, SwitchReason),
    /// No venue can be mined.
    Idle,
}

/// Why the fleet remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stay {
    /// No other venue pays more.
    Best,
    /// Another pays more, by no more than the hysteresis.
    Hysteresis,
    /// Another pays enough more, but the dwell is not over.
    Dwell,
}

/// Decides.
#[must_use]
pub fn decide(view: &MarketView, state: &EngineState) -> Decision {
    let found: Vec<Result<u64, Unfit>> =
        view.venues.iter().map(|venue| rate_floor(venue, view.max_feed_age_seconds)).collect();
    let rate = |index: usize| found.get(index).and_then(|rate| rate.as_ref().ok()).copied();
    // First of the highest: `max_by_key` takes the last, so walk backwards.
    let best = (0..found.len())
        .rev()
        .filter_map(|index| rate(index).map(|rate| (index, rate)))
        .max_by_key(|(_, rate)| *rate);
    let current =
        state.current.and_then(|(index, since)| rate(index).map(|rate| (index, since, rate)));
    let action = match (current, best) {
        (_, None) => Action::Idle,
        (None, Some((to, _))) if state.current.is_some() => {
            Action::Move(to, SwitchReason::VenueLost)
        }
        (None, Some((to, _))) => Action::Move(to, SwitchReason::Start),
        (Some((here, since, paid)), Some((to, offered))) => {
            let stayed = view.time.saturating_sub(since);
            if offered <= paid {
                Action::Stay(here, Stay::Best)
            } else if !clearly_better(offered, paid, state.policy.hysteresis_ppm) {
                Action::Stay(here, Stay::Hysteresis)
            } else if stayed < state.policy.min_dwell_seconds {
                Action::Stay(here, Stay::Dwell)
            } else {
                Action::Move(to, SwitchReason::BetterVenue)
            }
        }
    };
    let rates = view.venues.iter().zip(&found).map(|(venue, rate)| Rate {
        venue: venue.name.clone(),
        millisats_per_mhash: rate.as_ref().copied().unwrap_or(0),
    });
    Decision {
        action,
        rates: rates.collect(),
        unfit: found.iter().map(|rate| rate.clone().err()).collect(),
    }
}

/// `offered > paid · (1 + hysteresis)`, exactly.
fn clearly_better(offered: u64, paid: u64, hysteresis_ppm: u64) -> bool {
    let threshold =
        u128::from(paid).saturating_mul(u128::from(MILLION.saturating_add(hysteresis_ppm)));
    u128::from(offered).saturating_mul(u128::from(MILLION)) > threshold
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
