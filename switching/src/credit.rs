//! Work that pools acknowledged and that the journal does not have yet, per machine, venue and epoch.
//!
//! Credits live here for at most a flush interval. A crash loses those, never more, and counts none twice: a credit is
//! journaled once, by the record that carries it, and is forgotten as that record is handed over.

use std::collections::BTreeMap;

use domain::{EpochId, Production, SeriesId};

/// What a pool said of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted: its expected hashes count.
    Accepted,
    /// Refused.
    Rejected,
    /// Too late.
    Stale,
}

#[derive(Clone, Debug)]
struct Credit {
    series: SeriesId,
    from: u64,
    to: u64,
    shares: u32,
    hashes: u128,
    rejected: u32,
    stale: u32,
}

/// Credits of one epoch.
#[derive(Debug, Default)]
pub struct Credits {
    by_machine_and_venue: BTreeMap<(String, String), Credit>,
}

impl Credits {
    /// Counts a verdict at `time` (chain time). Every credit held must be of the same epoch: drain at each new one.
    pub fn count(
        &mut self,
        time: u64,
        (machine, series): (&str, SeriesId),
        venue: &str,
        verdict: Verdict,
        hashes: u128,
    ) {
        let key = (machine.to_owned(), venue.to_owned());
        let fresh =
            Credit { series, from: time, to: time, shares: 0, hashes: 0, rejected: 0, stale: 0 };
        let credit = self.by_machine_and_venue.entry(key).or_insert(fresh);
        credit.to = credit.to.max(time.saturating_add(1));
        match verdict {
            Verdict::Accepted => {
                credit.shares = credit.shares.saturating_add(1);
                credit.hashes = credit.hashes.saturating_add(hashes);
            }
            Verdict::Rejected => credit.rejected = credit.rejected.saturating_add(1),
            Verdict::Stale => credit.stale = credit.stale.saturating_add(1),
        }
    }

    /// Hands over everything as records, and forgets it.
    pub fn drain(&mut self) -> impl Iterator<Item = Production> + use<> {
        std::mem::take(&mut self.by_machine_and_venue).into_iter().map(
            |((machine, venue), credit)| Production::Work {
                from: credit.from,
                to: credit.to,
                epoch: EpochId::at(credit.from),
                venue,
                machine,
                series: credit.series,
                shares: credit.shares,
                hashes: credit.hashes,
                rejected: credit.rejected,
                stale: credit.stale,
            },
        )
    }
}
