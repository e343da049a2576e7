//! Check 13: the work that reports claim is in the journal, whose chain is whole, and hash proofs say what their shares
//! say.

use std::collections::{BTreeMap, BTreeSet};

use domain::Production;

use super::{Checked, c13_proofs};
use crate::{Findings, world::World};

/// A report may claim this much less than the journal, in percent: work that pools acknowledged in the last seconds of
/// an epoch can reach signers after they signed. It may never claim more.
const BELOW_PERCENT: u128 = 1;

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    let proofs = c13_proofs::check(world, &mut findings).await?;
    let Some(evidence) = &world.evidence else {
        let Some(proofs) = proofs else {
            return Ok(findings.not_checked("no --evidence given, and no hashrate proven yet"));
        };
        findings.note("acknowledged work: not checked (no --evidence given)");
        return Ok(findings.passed(proofs));
    };
    findings.faults(evidence.faults.iter().cloned());
    let mut work: BTreeMap<(u32, u16), u128> = BTreeMap::new();
    let mut venues: BTreeSet<&str> = BTreeSet::new();
    for record in &evidence.records {
        if let Production::Work { epoch, venue, series, hashes, from, to, .. } = record {
            let sum = work.entry((epoch.0, series.0)).or_default();
            *sum = sum.saturating_add(*hashes);
            venues.insert(venue);
            findings.require(*from >= epoch.start() && *to <= epoch.end() && from <= to, || {
                format!("work from {from} to {to} is booked in epoch {epoch}")
            });
        }
    }
    let (mut lines, mut roots, mut wider) = (0_usize, 0_usize, 0_usize);
    for posted in world.history.reports.iter().filter(|report| world.wants(report.event.epoch)) {
        let root = posted.event.report.evidenceRoot;
        if evidence.journal_root(posted.event.epoch, root) {
            roots = roots.saturating_add(1);
        } else if !root.is_zero() {
            wider = wider.saturating_add(1);
        }
        for line in &posted.event.report.series {
            let key = (posted.event.epoch, line.series);
            let journal = work.get(&key).copied().unwrap_or_default();
            let least = journal.saturating_sub(journal / 100 * BELOW_PERCENT);
            findings.require(line.work <= journal && line.work >= least, || {
                format!(
                    "epoch {}, series {}: {} hashes are reported, the journal holds {journal}",
                    key.0, key.1, line.work
                )
            });
            lines = lines.saturating_add(1);
        }
    }
    findings.note(format!("{roots} evidence roots recomputed from the journal"));
    if wider > 0 {
        findings.note(format!(
            "{wider} evidence roots name more than the journal (pools, exchange), which is not published here"
        ));
    }
    let proofs = proofs.unwrap_or_else(|| "no hashrate proven yet".to_owned());
    Ok(findings.passed(format!(
        "{lines} report lines against {} journal lines from {} venues; {proofs}",
        evidence.head.len,
        venues.len()
    )))
}
