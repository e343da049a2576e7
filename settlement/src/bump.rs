//! When a payout's fee is raised, and to which rate. Pure.
//!
//! Rates are sats per 1,000 virtual bytes. A raise costs at most `max_extra_sats` more than the committed rate does, and
//! that is less than every baton keeps: whichever variant is mined, what the next epoch has committed still pays for it.

use serde::Deserialize;

/// What the least baton must keep, sats: the dust limit of its script.
pub const DUST: u64 = 330;

/// When and by how much fees are raised.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bump {
    /// Blocks without the payout before its fee is raised.
    pub after_blocks: u32,
    /// Blocks from one raise to the next.
    pub every_blocks: u32,
    /// A raise is at least this many percent of the rate before it.
    pub step_percent: u32,
    /// Nodes replace only for this much more, sats per 1,000 vB.
    pub incremental_fee_rate: u64,
    /// Most sats that all raises of an epoch may cost; absent: what `min_baton` has above the dust limit.
    pub max_extra_sats: Option<u64>,
}

impl Default for Bump {
    fn default() -> Self {
        Self {
            after_blocks: 6,
            every_blocks: 2,
            step_percent: 25,
            incremental_fee_rate: 1_000,
            max_extra_sats: None,
        }
    }
}

/// Most that may be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Sats per 1,000 vB.
    pub rate: u64,
    /// Sats beyond what the committed rate costs.
    pub extra_sats: u64,
}

/// How a payout stands that is in no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Blocks that have come without it since the last raise, or since it was fixed.
    pub blocks: u32,
    /// Its fee was raised before.
    pub raised: bool,
    /// The node does not take it at all.
    pub refused: bool,
    /// The dearest rate that was signed so far.
    pub rate: u64,
    /// The rate that the node thinks is needed, if it has an idea.
    pub estimate: Option<u64>,
    /// Virtual bytes of all its transactions.
    pub vsize: u64,
    /// Their number.
    pub txs: u64,
    /// Sats of fee that they pay now.
    pub fee: u64,
    /// Sats of fee that they pay at the committed rate.
    pub committed_fee: u64,
    /// Sats of the baton that they leave now.
    pub baton: u64,
}

impl Bump {
    /// Whether enough blocks have come.
    #[must_use]
    pub const fn is_due(&self, blocks: u32, raised: bool) -> bool {
        let patience = if raised { self.every_blocks } else { self.after_blocks };
        blocks >= patience
    }

    /// The rate to raise to; `None` if it is not time, or there is no room below the cap for what nodes ask for a
    /// replacement.
    #[must_use]
    pub fn next_rate(&self, cap: Cap, now: &Standing) -> Option<u64> {
        if !now.refused && !self.is_due(now.blocks, now.raised) {
            return None;
        }
        let step = u128::from(now.rate).checked_mul(u128::from(self.step_percent))?.div_ceil(100);
        let step = u64::try_from(step).ok()?.max(self.incremental_fee_rate);
        let wanted = now.rate.checked_add(step)?.max(now.estimate.unwrap_or_default());
        let rate = wanted.min(highest_floor(cap, now)?);
        (rate >= now.rate.checked_add(self.incremental_fee_rate)?).then_some(rate)
    }
}

/// The highest rate that cap and baton allow. Every transaction's fee is rounded up by less than one sat.
fn highest_floor(cap: Cap, now: &Standing) -> Option<u64> {
    let by_baton = now.fee.saturating_add(now.baton.saturating_sub(DUST));
    let by_cap = now.committed_fee.saturating_add(cap.extra_sats);
    let sats = by_baton.min(by_cap).saturating_sub(now.txs);
    let rate = u128::from(sats).checked_mul(1_000)?.checked_div(u128::from(now.vsize))?;
    Some(u64::try_from(rate).unwrap_or(u64::MAX).min(cap.rate))
}

/// The rate at which a transaction of `vsize` brings itself and its unconfirmed ancestors, each `(fee, vsize)`, to
/// `target`. An ancestor that pays more than the target pays for nobody else.
#[must_use]
pub fn package_rate_ceil(target: u64, vsize: u64, ancestors: &[(u64, u64)]) -> u64 {
    let missing = ancestors.iter().fold(0_u128, |sum, (fee, vsize)| {
        let needed = u128::from(*vsize).saturating_mul(u128::from(target));
        sum.saturating_add(needed.saturating_sub(u128::from(*fee).saturating_mul(1_000)))
    });
    let more = missing.div_ceil(u128::from(vsize.max(1)));
    target.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fee_ceil(vsize: u64, rate: u64) -> u64 {
        (vsize * rate).div_ceil(1_000)
    }

    prop_compose! {
        fn standings()(
            blocks in 0..40_u32, raised: bool, refused: bool, committed in 1_000..20_000_u64, more in 0..50_000_u64,
            estimate in prop::option::of(500..300_000_u64), vsize in 150..100_000_u64, txs in 1..40_u64,
            baton in 330..5_000_000_u64,
        ) -> Standing {
            let rate = committed + more;
            let (fee, committed_fee) = (fee_ceil(vsize, rate), fee_ceil(vsize, committed));
            Standing { blocks, raised, refused, rate, estimate, vsize, txs, fee, committed_fee, baton }
        }
    }

    proptest! {
        /// What is raised is replaceable, within both caps, and payable from the baton.
        #[test]
        fn a_raise_stays_within_its_caps_and_nodes_take_it(
            now in standings(), rate in 1_000..200_000_u64, extra_sats in 0..10_000_000_u64,
        ) {
            let (bump, cap) = (Bump::default(), Cap { rate, extra_sats });
            let due = now.refused || now.blocks >= if now.raised { 2 } else { 6 };
            match bump.next_rate(cap, &now) {
                Some(raised) => {
                    prop_assert!(due);
                    // each transaction rounds up on its own
                    let fee = fee_ceil(now.vsize, raised) + now.txs - 1;
                    prop_assert!(raised <= cap.rate);
                    prop_assert!(raised >= now.rate + bump.incremental_fee_rate);
                    prop_assert!(fee <= now.committed_fee + cap.extra_sats);
                    prop_assert!(fee + DUST <= now.fee + now.baton);
                }
                None if due => {
                    let least = now.rate + bump.incremental_fee_rate;
                    let fee = fee_ceil(now.vsize, least) + now.txs;
                    prop_assert!(
                        least > cap.rate || fee > now.committed_fee + cap.extra_sats
                            || fee + DUST > now.fee + now.baton
                    );
                }
                None => {}
            }
        }

        /// However long it takes, raises come to an end, and the sum stays within the cap.
        #[test]
        fn raises_come_to_an_end(now in standings(), extra_sats in 0..3_000_000_u64) {
            let (bump, cap) = (Bump::default(), Cap { rate: 100_000, extra_sats });
            let mut now = Standing { blocks: 40, fee: now.committed_fee, ..now };
            for raises in 0.. {
                prop_assert!(raises < 80);
                let Some(rate) = bump.next_rate(cap, &now) else { break };
                let fee = fee_ceil(now.vsize, rate);
                let baton = (now.baton + now.fee).checked_sub(fee);
                prop_assert!(baton.is_some_and(|baton| baton >= DUST));
                now = Standing { rate, fee, baton: baton.unwrap(), raised: true, ..now };
            }
        }

        /// The package reaches the target, by less than a sat too much for each thousand bytes.
        #[test]
        fn a_child_brings_its_ancestors_to_the_target(
            target in 1_000..100_000_u64, vsize in 150..100_000_u64,
            ancestors in prop::collection::vec((100..1_000_000_u64, 150..100_000_u64), 0..5),
        ) {
            let rate = package_rate_ceil(target, vsize, &ancestors);
            prop_assert!(rate >= target);
            let cheap = ancestors.iter().filter(|(fee, size)| fee * 1_000 < size * target);
            let (fees, sizes) = cheap.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            let all = (fees * 1_000 + vsize * rate, sizes + vsize);
            prop_assert!(all.0 >= target * all.1);
            prop_assert!(all.0 < target * all.1 + vsize);
        }
    }
}
