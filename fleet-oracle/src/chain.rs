//! What the EVM chain says: the epoch to report, the signer set, who held units when, what was distributed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use alloy::primitives::{Address, B256, Bytes};
use domain::{EpochId, SeriesId};
use evm::{
    Deployment, DynProvider, Finality,
    bindings::{
        IFleetOracle::{self, FleetReport, IFleetOracleInstance},
        ISeriesRegistry::{self, ISeriesRegistryInstance},
        ISeriesUpgrader::{self, ISeriesUpgraderInstance},
        ITwabToken,
    },
};

mod posted;

pub use posted::Posted;

use crate::{pots::OLDEST, report::ChainView, store::Seen};

/// A connection to the contracts.
#[derive(Debug)]
pub struct Chain {
    provider: DynProvider,
    deployment: Deployment,
    /// Whether a series had units in a finished epoch: never changes, so it is asked once.
    live: Mutex<BTreeMap<(SeriesId, EpochId), bool>>,
    /// What was posted in finalized blocks, and the first block that was not read for it.
    posted: Mutex<(u64, Vec<Posted>)>,
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

    /// Whether a signer's signature counts.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn counts(&self, signer: Address) -> Result<bool, evm::Error> {
        self.oracle().counts(signer).call().await.map_err(|e| rpc("counts", e))
    }

    /// Hash of signer set, quorum and contract.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn config_digest(&self) -> Result<B256, evm::Error> {
        self.oracle().configDigest().call().await.map_err(|e| rpc("configDigest", e))
    }

    /// Signatures that a report needs now: more than the quorum if it jumps.
    ///
    /// # Errors
    /// With the contract's own words when it refuses the report.
    pub async fn signatures_needed(&self, report: &FleetReport) -> Result<usize, evm::Error> {
        let needed = self.oracle().signaturesNeeded(report.clone()).call().await;
        Ok(needed.map_err(|e| rpc("signaturesNeeded", e))?.saturating_to())
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
        let digest = self.config_digest().await?;
        let mut counting = BTreeSet::new();
        for signer in &signers {
            if self.counts(*signer).await? {
                counting.insert(*signer);
            }
        }
        let prev = oracle.lastReportHash().call().await.map_err(|e| rpc("lastReportHash", e))?;
        let count =
            self.registry().seriesCount().call().await.map_err(|e| rpc("seriesCount", e))?;
        let series: Vec<SeriesId> = (1..=count).map(SeriesId).collect();
        Ok(ChainView {
            epoch,
            prev_hash: prev,
            config_digest: digest,
            signers,
            counting,
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
        if !posted::is_whole(&reports, last) {
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

    /// Lands a report.
    ///
    /// # Errors
    /// With the contract's own words when it refuses.
    pub async fn post(&self, report: &FleetReport, signatures: Bytes) -> Result<B256, evm::Error> {
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

    /// Declares a gap with a quorum's packed signatures.
    ///
    /// # Errors
    /// With the contract's own words when it refuses.
    pub async fn declare_gap_by_quorum(
        &self,
        epoch: EpochId,
        signatures: Bytes,
    ) -> Result<B256, evm::Error> {
        let oracle = self.oracle();
        let call = oracle.declareGapByQuorum(epoch.0, signatures);
        Ok(evm::land(&format!("gap of epoch {epoch}"), call).await?.transaction_hash)
    }

    /// Shows the contract two signatures by one signer over reports of one epoch and round.
    ///
    /// # Errors
    /// With the contract's own words when it refuses.
    pub async fn slash(&self, one: &Seen, other: &Seen) -> Result<B256, evm::Error> {
        let bytes = |seen: &Seen| {
            hex::decode(&seen.signature).map(Bytes::from).map_err(|e| rpc("a signature", e))
        };
        let (oracle, epoch, round) = (self.oracle(), one.epoch, one.round);
        let (a, b) = (bytes(one)?, bytes(other)?);
        let call = oracle.equivocation(false, epoch, round, one.hash, a, other.hash, b);
        let what = format!("equivocation in epoch {epoch}, round {round}");
        Ok(evm::land(&what, call).await?.transaction_hash)
    }
}

fn rpc(doing: &str, error: impl std::fmt::Display) -> evm::Error {
    evm::Error::rpc(doing, error)
}
