//! What the quorum posted, and in which order it moves fair value.

use alloy::{primitives::B256, rpc::types::Log, sol_types::SolValue};
use evm::{
    Finality,
    bindings::{
        IFairValue,
        IFleetOracle::{FleetReport, FleetValuation, ReportPosted, ValuationPosted},
    },
    quorum,
};

use super::{Chain, rpc};

/// What a quorum posted.
#[derive(Clone, Debug)]
pub enum Posted {
    /// A report of production.
    Report(Box<FleetReport>),
    /// Prices apart from production.
    Valuation(Box<FleetValuation>),
}

impl Posted {
    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> B256 {
        match self {
            Self::Report(report) => quorum::report_hash(report),
            Self::Valuation(valuation) => quorum::valuation_hash(valuation),
        }
    }

    /// Its epoch.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        match self {
            Self::Report(report) => report.epoch,
            Self::Valuation(valuation) => valuation.epoch,
        }
    }
}

impl Chain {
    /// Every posted report, oldest first. Finalized ones are remembered.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn reports(&self) -> Result<Vec<FleetReport>, evm::Error> {
        let reports = self.posted().await?.into_iter().filter_map(|posted| match posted {
            Posted::Report(report) => Some(*report),
            Posted::Valuation(_) => None,
        });
        Ok(reports.collect())
    }

    /// Everything posted, in order.
    async fn posted(&self) -> Result<Vec<Posted>, evm::Error> {
        let (from, mut all) = self.posted.lock().map(|posted| posted.clone()).unwrap_or_default();
        let latest = evm::block_at(&self.provider, Finality::Latest).await?.number;
        let finalized = evm::block_at(&self.provider, Finality::Finalized).await?.number;
        let addresses = [self.deployment.fleet_oracle];
        if finalized >= from {
            let logs = evm::logs_between(&self.provider, &addresses, None, from, finalized).await?;
            all.extend(posted_in(&logs)?);
            if let Ok(mut posted) = self.posted.lock() {
                *posted = (finalized.saturating_add(1), all.clone());
            }
        }
        let tail = from.max(finalized.saturating_add(1));
        let logs = evm::logs_between(&self.provider, &addresses, None, tail, latest).await?;
        all.extend(posted_in(&logs)?);
        Ok(all)
    }

    /// What is posted and not applied to fair value, in the order in which it has to be.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn pending(&self) -> Result<Vec<Posted>, evm::Error> {
        let fair = IFairValue::new(self.deployment.fair_value, self.provider.clone());
        let report = fair.lastReport().call().await.map_err(|e| rpc("lastReport", e))?;
        let valuation = fair.lastValuation().call().await.map_err(|e| rpc("lastValuation", e))?;
        Ok(after(self.posted().await?, report, valuation))
    }

    /// Applies what was posted to fair value.
    ///
    /// # Errors
    /// With the contract's own words when it refuses.
    pub async fn apply(&self, posted: &Posted) -> Result<(), evm::Error> {
        let fair = IFairValue::new(self.deployment.fair_value, self.provider.clone());
        let what = format!("valuation of epoch {}", posted.epoch());
        match posted {
            Posted::Report(report) => {
                evm::land(&what, fair.update(report.abi_encode().into())).await?
            }
            Posted::Valuation(valuation) => {
                evm::land(&what, fair.updateByValuation(valuation.abi_encode().into())).await?
            }
        };
        Ok(())
    }
}

fn posted_in(logs: &[Log]) -> Result<Vec<Posted>, evm::Error> {
    let mut all = Vec::new();
    for log in logs {
        let one = std::slice::from_ref(log);
        let reports = evm::decoded::<ReportPosted>(one)?;
        all.extend(reports.into_iter().map(|(event, _)| Posted::Report(Box::new(event.report))));
        let valuations = evm::decoded::<ValuationPosted>(one)?.into_iter();
        all.extend(valuations.map(|(event, _)| Posted::Valuation(Box::new(event.valuation))));
    }
    Ok(all)
}

/// What follows the last applied report and valuation. Nothing when the node does not show all of it.
fn after(posted: Vec<Posted>, mut report: B256, mut valuation: B256) -> Vec<Posted> {
    let mut pending = Vec::new();
    for one in posted {
        match &one {
            Posted::Report(next) if next.prevHash == report => report = one.hash(),
            Posted::Valuation(next)
                if next.afterReport == report && next.prevValuation == valuation =>
            {
                valuation = one.hash();
            }
            _ => continue,
        }
        pending.push(one);
    }
    pending
}

/// Whether these are all reports there are: each names the hash of the one before, and the last one hashes to `last`.
/// With one missing, its receipts would be distributed once more.
pub(super) fn is_whole(reports: &[FleetReport], last: B256) -> bool {
    let mut hash = B256::ZERO;
    for report in reports {
        if report.prevHash != hash {
            return false;
        }
        hash = quorum::report_hash(report);
    }
    hash == last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_the_node_keeps_back_is_noticed() {
        let first = FleetReport { epoch: 5, quotePerBtc: 1, ..Default::default() };
        let prev = quorum::report_hash(&first);
        let second = FleetReport { epoch: 6, prevHash: prev, quotePerBtc: 1, ..Default::default() };
        let last = quorum::report_hash(&second);
        assert!(is_whole(&[], B256::ZERO));
        assert!(is_whole(&[first.clone(), second.clone()], last));
        assert!(!is_whole(std::slice::from_ref(&first), last), "the last is missing");
        assert!(!is_whole(std::slice::from_ref(&second), last), "the first is missing");
        assert!(!is_whole(&[first.clone(), first, second], last), "one twice");
        assert!(!is_whole(&[], last));
    }

    #[test]
    fn reports_and_valuations_are_applied_in_order_and_none_is_skipped() {
        let report = |epoch, prev| FleetReport { epoch, prevHash: prev, ..Default::default() };
        let priced = |epoch, after, prev| FleetValuation {
            epoch,
            afterReport: after,
            prevValuation: prev,
            ..Default::default()
        };
        let r1 = Posted::Report(Box::new(report(5, B256::ZERO)));
        let v1 = Posted::Valuation(Box::new(priced(6, r1.hash(), B256::ZERO)));
        let v2 = Posted::Valuation(Box::new(priced(7, r1.hash(), v1.hash())));
        let r2 = Posted::Report(Box::new(report(6, r1.hash())));
        let all = vec![r1.clone(), v1.clone(), v2.clone(), r2.clone()];
        let pending = |posted: &[Posted], report, valuation| -> Vec<B256> {
            after(posted.to_vec(), report, valuation).iter().map(Posted::hash).collect()
        };
        let hashes: Vec<B256> = all.iter().map(Posted::hash).collect();
        assert_eq!(pending(&all, B256::ZERO, B256::ZERO), hashes);
        assert_eq!(pending(&all, r1.hash(), B256::ZERO), hashes[1..]);
        assert_eq!(pending(&all, r1.hash(), v1.hash()), hashes[2..]);
        assert!(pending(&all, r2.hash(), v2.hash()).is_empty());
        assert!(pending(&all[1..], B256::ZERO, B256::ZERO).is_empty(), "the first is missing");
    }
}
