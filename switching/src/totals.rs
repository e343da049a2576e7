//! What the records of a journal add up to: the same fold when it is read back and when it is written.

use std::collections::BTreeMap;

use domain::Production;
use serde::Serialize;

/// Shares and work, as pools acknowledged them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Shares accepted.
    pub accepted: u64,
    /// Shares refused, stale ones apart.
    pub rejected: u64,
    /// Shares called stale.
    pub stale: u64,
    /// Expected hashes of the accepted shares.
    #[serde(with = "domain::decimal")]
    pub hashes: u128,
}

/// One machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineTotals {
    /// Its shares.
    pub tally: Tally,
    /// Whether it is connected, and since when.
    pub joined_at: Option<u64>,
    /// Chain time of its last answered share.
    pub last_share_at: Option<u64>,
}

/// A whole journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Machines by serial.
    pub machines: BTreeMap<String, MachineTotals>,
    /// Shares by venue.
    pub venues: BTreeMap<String, Tally>,
    /// Moves of the fleet, the first included.
    pub switches: u64,
    /// Connections of machines that ended.
    pub disconnects: u64,
}

impl Totals {
    /// Counts one record.
    pub fn apply(&mut self, record: &Production) {
        match record {
            Production::Started { .. } => {
                self.machines.values_mut().for_each(|machine| machine.joined_at = None);
            }
            Production::MachineJoined { time, machine, .. } => {
                self.machines.entry(machine.clone()).or_default().joined_at = Some(*time);
            }
            Production::MachineLeft { machine, .. } => {
                self.machines.entry(machine.clone()).or_default().joined_at = None;
                self.disconnects = self.disconnects.saturating_add(1);
            }
            Production::VenueUp { .. }
            | Production::VenueDown { .. }
            | Production::Tagged { .. }
            | Production::Share { .. } => {}
            Production::Switched { .. } => self.switches = self.switches.saturating_add(1),
            Production::Work { venue, machine, shares, hashes, rejected, stale, to, .. } => {
                let work = Tally {
                    accepted: u64::from(*shares),
                    rejected: u64::from(*rejected),
                    stale: u64::from(*stale),
                    hashes: *hashes,
                };
                self.venues.entry(venue.clone()).or_default().add(work);
                let machine = self.machines.entry(machine.clone()).or_default();
                machine.tally.add(work);
                machine.last_share_at = machine.last_share_at.max(to.checked_sub(1));
            }
        }
    }
}

impl Tally {
    fn add(&mut self, work: Self) {
        self.accepted = self.accepted.saturating_add(work.accepted);
        self.rejected = self.rejected.saturating_add(work.rejected);
        self.stale = self.stale.saturating_add(work.stale);
        self.hashes = self.hashes.saturating_add(work.hashes);
    }
}
