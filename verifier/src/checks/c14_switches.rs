//! Check 14: each switch went to the venue that paid most by the inputs recorded with it.

use domain::{Production, Rate, SwitchReason};

use super::Checked;
use crate::{Findings, world::World};

pub(super) fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    let Some(evidence) = &world.evidence else {
        return Ok(findings.not_checked("no --evidence given"));
    };
    let (mut better, mut forced) = (0_usize, 0_usize);
    for record in &evidence.records {
        let Production::Switched { time, from, to, reason, rates, .. } = record else { continue };
        let epoch = domain::EpochId::at(*time);
        if !world.wants(epoch.0) {
            continue;
        }
        let rate = |venue: &str| rates.iter().find(|rate| rate.venue == venue).map(value);
        let Some(entered) = rate(to) else {
            findings.fault(format!("at {time}: the switch to {to} does not record its rate"));
            continue;
        };
        match reason {
            SwitchReason::Start | SwitchReason::VenueLost => forced = forced.saturating_add(1),
            SwitchReason::BetterVenue => better = better.saturating_add(1),
        }
        findings
            .require(entered > 0, || format!("at {time}: switched to {to}, which paid nothing"));
        let best = rates.iter().max_by_key(|rate| value(rate));
        let is_best = best.is_some_and(|best| value(best) == entered);
        findings.require(is_best || *reason != SwitchReason::BetterVenue, || {
            let best = best.map_or("none", |best| best.venue.as_str());
            format!(
                "at {time}: switched from {} to {to}; {best} paid more",
                from.as_deref().unwrap_or("none")
            )
        });
    }
    if better + forced == 0 {
        return Ok(findings.not_checked("the journal records no switch in these epochs"));
    }
    Ok(findings
        .passed(format!("{better} switches to the best rate, {forced} at start or after a loss")))
}

const fn value(rate: &Rate) -> u64 {
    rate.millisats_per_mhash
}
