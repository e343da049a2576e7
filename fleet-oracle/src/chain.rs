//! What the EVM chain says: the epoch to report, the signer set, who held units when, what was distributed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use alloy::{
    primitives::{Address, B256, Bytes},
    sol_types::{SolEvent, SolStruct, SolValue},
};
use domain::{EpochId, SeriesId};
use evm::{
    Deployment, DynProvider, Finality,
    bindings::{
        IFairValue,
        IFleetOracle::{self, FleetReport, IFleetOracleInstance, ReportPosted},
        ISeriesRegistry::{self, ISeriesRegistryInstance},
        ISeriesUpgrader::{self, ISeriesUpgraderInstance},
        ITwabToken,
    },
};

use crate::{pots::OLDEST, report::ChainView};

/// A connection to the contracts.
#[derive(Debug)]
pub struct Chain {
    provider: DynProvider,
    deployment: Deployment,
    /// Whether a series had units in a finished epoch: never changes, so it is asked once.
    live: Mutex<BTreeMap<(SeriesId, EpochId), bool>>,
    /// Reports in finalized blocks, and the first block that was not read for them.
    posted: Mutex<(u64, Vec<FleetReport>)>,
}

impl Chain {
    /// Connects, and checks that the node is on the deployment's chain.
    ///
    /// # Errors
    /// When the node does not answer or is on another chain.
    pub async fn connect(
        provider: DynProvider,
        deployment: Deployment,
    ) -> Result<Self, evm::Error> {
        deployment.check_chain(&provider).await?;
        let posted = Mutex::new((deployment.block, Vec::new()));
        Ok(Self { provider, deployment, live: Mutex::default(), posted })
    }

    /// The connection.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// Addresses.
    #[must_use]
    pub const fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    fn oracle(&self) -> IFleetOracleInstance<DynProvider> {
        IFleetOracle::new(self.deployment.fleet_oracle, self.provider.clone())
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> ISeriesRegistryInstance<DynProvider> {
        ISeriesRegistry::new(self.deployment.series_registry, self.provider.clone())
    }

    /// The upgrader.
    #[must_use]
    pub fn upgrader(&self) -> ISeriesUpgraderInstance<DynProvider> {
        ISeriesUpgrader::new(self.deployment.series_upgrader, self.provider.clone())
    }

    /// The epoch after the last settled one.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn next_epoch(&self) -> Result<EpochId, evm::Error> {
        let last = self.oracle().lastEpoch().call().await.map_err(|e| rpc("lastEpoch", e))?;
        Ok(EpochId(last).next())
    }

    /// The signer set, in the contract's order.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn signers(&self) -> Result<Vec<Address>, evm::Error> {
        self.oracle().signers().call().await.map_err(|e| rpc("signers", e))
    }

    /// The view that observations of the next epoch are combined under. The epoch must be over.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn view(&self) -> Result<ChainView, evm::Error> {
        let oracle = self.oracle();
        let epoch = self.next_epoch().await?;
        self.over(epoch).await?;
        let signers = self.signers().await?;
        let quorum = oracle.quorum().call().await.map_err(|e| rpc("quorum", e))?;
        let digest = oracle.configDigest().call().await.map_err(|e| rpc("configDigest", e))?;
        let prev = oracle.lastReportHash().call().await.map_err(|e| rpc("lastReportHash", e))?;
        let count =
            self.registry().seriesCount().call().await.map_err(|e| rpc("seriesCount", e))?;
        let series: Vec<SeriesId> = (1..=count).map(SeriesId).collect();
        Ok(ChainView {
            epoch,
            prev_hash: prev,
            config_digest: digest,
            signers,
            quorum: usize::from(quorum),
            live: self.live(&series, epoch).await?,
            series,
            distributed: self.distributed(prev).await?,
        })
    }

    /// A node that lags may know the last report and yet take the epoch to be running.
    async fn over(&self, epoch: EpochId) -> Result<(), evm::Error> {
        let time = evm::block_at(&self.provider, Finality::Latest).await?.timestamp;
        if time >= epoch.end() {
            return Ok(());
        }
        let end = epoch.end();
        Err(rpc("balance-seconds", format!("the node is at {time}, epoch {epoch} ends at {end}")))
    }

    async fn live(
        &self,
        series: &[SeriesId],
        epoch: EpochId,
    ) -> Result<BTreeSet<(SeriesId, EpochId)>, evm::Error> {
        let mut found = BTreeSet::new();
        for id in series {
            let unit =
                self.registry().series(id.0).call().await.map_err(|e| rpc("series", e))?.unit;
            let token = ITwabToken::new(unit, self.provider.clone());
            for number in epoch.0.saturating_sub(OLDEST)..=epoch.0 {
                let key = (*id, EpochId(number));
                let known = self.live.lock().ok().and_then(|live| live.get(&key).copied());
                let held = match known {
                    Some(held) => held,
                    None => {
                        let held = match token.totalBalanceSeconds(number).call().await {
                            Ok(seconds) => !seconds.is_zero(),
                            // Outside the token's ring: before its first entry.
                            Err(error) if error.as_revert_data().is_some() => false,
                            Err(error) => return Err(rpc("totalBalanceSeconds", error)),
                        };
                        if let Ok(mut live) = self.live.lock() {
                            live.insert(key, held);
                        }
                        held
                    }
                };
                if held {
                    found.insert(key);
                }
            }
        }
        Ok(found)
    }

    /// Receipts of all reports up to the one that hashes to `last`.
    async fn distributed(&self, last: B256) -> Result<BTreeSet<(B256, u32)>, evm::Error> {
        let reports = self.reports().await?;
        if !is_whole(&reports, last) {
            // what was remembered may be what is wrong
            if let Ok(mut posted) = self.posted.lock() {
                *posted = (self.deployment.block, Vec::new());
            }
            let why = format!("the node's reports do not lead to {last}: one is missing");
            return Err(rpc("ReportPosted events", why));
        }
        let receipts = reports.iter().flat_map(|report| &report.receipts);
        Ok(receipts.map(|receipt| (receipt.txid, receipt.vout)).collect())
    }

    /// Every posted report, oldest first. Finalized ones are remembered.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn reports(&self) -> Result<Vec<FleetReport>, evm::Error> {
        let (from, mut all) = self.posted.lock().map(|posted| posted.clone()).unwrap_or_default();
        let latest = evm::block_at(&self.provider, Finality::Latest).await?.number;
        let finalized = evm::block_at(&self.provider, Finality::Finalized).await?.number;
        let addresses = [self.deployment.fleet_oracle];
        let topic = Some(ReportPosted::SIGNATURE_HASH);
        if finalized >= from {
            let logs =
                evm::logs_between(&self.provider, &addresses, topic, from, finalized).await?;
            all.extend(
                evm::decoded::<ReportPosted>(&logs)?.into_iter().map(|(event, _)| event.report),
            );
            if let Ok(mut posted) = self.posted.lock() {
                *posted = (finalized.saturating_add(1), all.clone());
            }
        }
        let tail = from.max(finalized.saturating_add(1));
        let logs = evm::logs_between(&self.provider, &addresses, topic, tail, latest).await?;
        all.extend(evm::decoded::<ReportPosted>(&logs)?.into_iter().map(|(event, _)| event.report));
        Ok(all)
    }

    /// Lands a report.
    ///
    /// # Errors
    /// With the contract's own words when it refuses.
    pub async fn post(
        &self,
        report: &FleetReport,
        signatures: Vec<Bytes>,
    ) -> Result<B256, evm::Error> {
        let oracle = self.oracle();
        let call = oracle.post(report.clone(), signatures);
        let receipt = evm::land(&format!("report of epoch {}", report.epoch), call).await?;
        Ok(receipt.transaction_hash)
    }

    /// Declares a gap.
    ///
    /// # Errors
    /// With the contract's own words when it refuses.
    pub async fn declare_gap(&self, epoch: EpochId) -> Result<B256, evm::Error> {
        let oracle = self.oracle();
        let call = oracle.declareGap(epoch.0);
        Ok(evm::land(&format!("gap of epoch {epoch}"), call).await?.transaction_hash)
    }

    /// Values the last posted report, unless every series of it is valued. True if it did.
    ///
    /// # Errors
    /// With the contract's own words when it refuses.
    pub async fn value(&self, report: &FleetReport) -> Result<bool, evm::Error> {
        let fair = IFairValue::new(self.deployment.fair_value, self.provider.clone());
        let mut due = false;
        for series in &report.series {
            let valued = match fair.valuation(series.series).call().await {
                Ok(valuation) => valuation.epoch >= report.epoch,
                Err(error) if error.as_revert_data().is_some() => false,
                Err(error) => return Err(rpc("valuation", error)),
            };
            due |= !valued;
        }
        if due {
            let call = fair.update(report.abi_encode().into());
            evm::land(&format!("valuation of epoch {}", report.epoch), call).await?;
        }
        Ok(due)
    }
}

/// Whether these are all reports there are: each names the hash of the one before, and the last one hashes to `last`.
/// With one missing, its receipts would be distributed once more.
fn is_whole(reports: &[FleetReport], last: B256) -> bool {
    let mut hash = B256::ZERO;
    for report in reports {
        if report.prevHash != hash {
            return false;
        }
        hash = report.eip712_hash_struct();
    }
    hash == last
}

fn rpc(doing: &str, error: impl std::fmt::Display) -> evm::Error {
    evm::Error::rpc(doing, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_the_node_keeps_back_is_noticed() {
        let first = FleetReport { epoch: 5, quotePerBtc: 1, ..Default::default() };
        let prev = first.eip712_hash_struct();
        let second = FleetReport { epoch: 6, prevHash: prev, quotePerBtc: 1, ..Default::default() };
        let last = second.eip712_hash_struct();
        assert!(is_whole(&[], B256::ZERO));
        assert!(is_whole(&[first.clone(), second.clone()], last));
        assert!(!is_whole(std::slice::from_ref(&first), last), "the last is missing");
        assert!(!is_whole(std::slice::from_ref(&second), last), "the first is missing");
        assert!(!is_whole(&[first.clone(), first, second], last), "one twice");
        assert!(!is_whole(&[], last));
    }
}
