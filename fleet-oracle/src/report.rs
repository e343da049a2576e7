//! Observations to report. Pure, and the same for everybody who has the same observations and the same chain.
//!
//! A receipt is in if a quorum saw it with identical attribution. Numbers are medians (the lower middle of an even
//! count), so one liar cannot move them beyond what honest signers saw. A missing work cell counts as zero. A hardware
//! price counts if a quorum has one. Evidence that a quorum does not agree on is a zero leaf.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, aliases::U40, keccak256},
    sol_types::{SolStruct, eip712_domain},
};
use domain::{EPOCH_SECONDS, EpochId, SeriesId};
use evm::bindings::{IFleetOracle, ISeriesRegistry};

use crate::{
    attribution::Receipt,
    merkle,
    numbers::{apart_ppm_ceil, median_low},
    observation::{Domain, Observation},
    pots::{OLDEST, Pot, Terms, Work, pots},
};

/// What the chain says: the same for every signer once the previous epoch is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainView {
    /// The epoch to report: the one after the last settled.
    pub epoch: EpochId,
    /// Hash of the last report.
    pub prev_hash: B256,
    /// Hash of signer set, quorum and contract.
    pub config_digest: B256,
    /// Signers, ascending.
    pub signers: Vec<Address>,
    /// Those of them whose signatures count: with the minimum stake.
    pub counting: BTreeSet<Address>,
    /// Signatures needed, unless the report jumps.
    pub quorum: usize,
    /// Series in the registry, ascending.
    pub series: Vec<SeriesId>,
    /// Series and epochs, up to the reported one, with balance-seconds above zero.
    pub live: BTreeSet<(SeriesId, EpochId)>,
    /// Receipts of earlier reports.
    pub distributed: BTreeSet<(B256, u32)>,
}

/// Why observations make no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// Too few.
    #[error("{found} observations of epoch {epoch}, {needed} are needed")]
    TooFew {
        /// Epoch.
        epoch: EpochId,
        /// Quorum.
        needed: usize,
        /// Distinct observers.
        found: usize,
    },
    /// One of another epoch.
    #[error("an observation is of epoch {found}, not {expected}")]
    OtherEpoch {
        /// Epoch to report.
        expected: EpochId,
        /// Epoch observed.
        found: EpochId,
    },
}

/// A report, and the attributed receipts behind its pots.
#[derive(Clone, Debug)]
pub struct Combined {
    /// What is signed.
    pub report: IFleetOracle::FleetReport,
    /// Its receipts, with the work that earned them.
    pub receipts: Vec<Receipt>,
}

/// The report that these observations determine. They are of distinct signers and consistent.
///
/// # Errors
/// When they are fewer than a quorum or of another epoch.
pub fn combine(
    view: &ChainView,
    observations: &[Observation],
    deductions: &BTreeMap<SeriesId, u64>,
) -> Result<Combined, CombineError> {
    if observations.len() < view.quorum {
        let (needed, found) = (view.quorum, observations.len());
        return Err(CombineError::TooFew { epoch: view.epoch, needed, found });
    }
    if let Some(other) = observations.iter().find(|one| one.epoch != view.epoch) {
        return Err(CombineError::OtherEpoch { expected: view.epoch, found: other.epoch });
    }
    let work = agreed_work(view, observations);
    let receipts = agreed_receipts(view, observations);
    let terms = Terms {
        epoch: view.epoch,
        series: &view.series,
        live: &view.live,
        work: &work,
        deductions,
    };
    let (receipts, pots) = pots(&terms, &receipts);
    let series = pots
        .iter()
        .map(|(series, pot)| {
            series_report(view.epoch, *series, pot, &work, hardware(view, observations, *series))
        })
        .collect();
    let observed_at = median_low(observations.iter().map(|one| one.observed_at).collect());
    let report = IFleetOracle::FleetReport {
        epoch: view.epoch.0,
        round: 0,
        prevHash: view.prev_hash,
        configDigest: view.config_digest,
        quotePerBtc: median_low(observations.iter().map(|one| one.quote_per_btc).collect()),
        quoteSpread: median_low(observations.iter().map(|one| one.quote_spread).collect()),
        observedAt: U40::try_from(observed_at).unwrap_or_default(),
        receipts: receipts
            .iter()
            .map(|one| IFleetOracle::Receipt { txid: one.txid, vout: one.vout, sats: one.sats })
            .collect(),
        series,
        evidenceRoot: agreed_evidence(view, observations),
    };
    Ok(Combined { report, receipts })
}

fn series_report(
    epoch: EpochId,
    series: SeriesId,
    pot: &Pot,
    work: &Work,
    hardware: u128,
) -> IFleetOracle::SeriesReport {
    let cells = work.iter().filter(|((of, _, by), _)| (*of, *by) == (epoch, series));
    let hashes = cells.fold(0_u128, |sum, (_, hashes)| sum.saturating_add(*hashes));
    let pieces = pot.pieces.iter();
    IFleetOracle::SeriesReport {
        series: series.0,
        pots: pieces
            .map(|(epoch, sats)| IFleetOracle::Piece { workEpoch: epoch.0, sats: *sats })
            .collect(),
        work: hashes,
        liveHashrate: hashes / u128::from(EPOCH_SECONDS),
        hardwarePrice: hardware,
        deductions: pot.deducted,
    }
}

fn agreed_work(view: &ChainView, observations: &[Observation]) -> Work {
    let mut seen = BTreeMap::<(EpochId, String, SeriesId), Vec<u128>>::new();
    let oldest = EpochId(view.epoch.0.saturating_sub(OLDEST));
    for observation in observations {
        let mut own = Work::new();
        for cell in
            observation.work.iter().filter(|cell| (oldest..=view.epoch).contains(&cell.epoch))
        {
            own.insert((cell.epoch, cell.pool.clone(), cell.series), cell.hashes);
        }
        for (key, hashes) in own {
            seen.entry(key).or_default().push(hashes);
        }
    }
    seen.into_iter()
        .map(|(key, mut hashes)| {
            hashes.resize(observations.len().max(hashes.len()), 0);
            (key, median_low(hashes))
        })
        .filter(|(_, hashes)| *hashes > 0)
        .collect()
}

fn agreed_receipts(view: &ChainView, observations: &[Observation]) -> Vec<Receipt> {
    let mut votes = BTreeMap::<&Receipt, usize>::new();
    for receipt in observations.iter().flat_map(|one| &one.receipts) {
        let count = votes.entry(receipt).or_default();
        *count = count.saturating_add(1);
    }
    let fresh = |receipt: &Receipt| !view.distributed.contains(&(receipt.txid, receipt.vout));
    let agreed =
        votes.into_iter().filter(|(receipt, count)| *count >= view.quorum && fresh(receipt));
    agreed.map(|(receipt, _)| receipt.clone()).collect()
}

fn hardware(view: &ChainView, observations: &[Observation], series: SeriesId) -> u128 {
    let price = |one: &Observation| {
        one.hardware.iter().find(|price| price.series == series && price.price > 0).map(|p| p.price)
    };
    let prices: Vec<u128> = observations.iter().filter_map(price).collect();
    if prices.len() >= view.quorum { median_low(prices) } else { 0 }
}

/// Leaf = keccak(label ‖ 0x00 ‖ hash), labels ascending.
fn agreed_evidence(view: &ChainView, observations: &[Observation]) -> B256 {
    let mut votes = BTreeMap::<&str, BTreeMap<B256, BTreeSet<usize>>>::new();
    for (observer, observation) in observations.iter().enumerate() {
        for evidence in &observation.evidence {
            let by_hash = votes.entry(&evidence.label).or_default();
            by_hash.entry(evidence.hash).or_default().insert(observer);
        }
    }
    let leaves: Vec<B256> = votes
        .into_iter()
        .map(|(label, by_hash)| {
            let agreed = by_hash.into_iter().find(|(_, observers)| observers.len() >= view.quorum);
            let hash = agreed.map(|(hash, _)| hash).unwrap_or_default();
            keccak256([label.as_bytes(), &[0], hash.as_slice()].concat())
        })
        .collect();
    merkle::root(&leaves)
}

/// How far a report may be from a signer's own reading, parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerances {
    /// Price of bitcoin.
    pub price: u64,
    /// Price of hardware.
    pub hardware: u64,
    /// Work of each series.
    pub work: u64,
}

/// Compares a report with a signer's own reading.
///
/// # Errors
/// With the reason for which this signer does not sign.
pub fn agrees(
    combined: &Combined,
    own: &Observation,
    own_report: &IFleetOracle::FleetReport,
    tolerances: Tolerances,
) -> Result<(), String> {
    if let Some(receipt) = combined.receipts.iter().find(|receipt| !own.receipts.contains(receipt))
    {
        let (txid, vout) = (receipt.txid, receipt.vout);
        return Err(format!(
            "this signer does not see receipt {txid}:{vout} with this attribution"
        ));
    }
    let report = &combined.report;
    let near = |what: &str, a: u128, b: u128, limit: u64| match apart_ppm_ceil(a, b) {
        apart if apart <= u128::from(limit) => Ok(()),
        apart => Err(format!(
            "{what} is {apart} ppm from this signer's own reading, {limit} are tolerated"
        )),
    };
    let (price, own_price) = (report.quotePerBtc.into(), own.quote_per_btc.into());
    near("the price of bitcoin", price, own_price, tolerances.price)?;
    for (series, own) in report.series.iter().zip(&own_report.series) {
        near(
            &format!("the work of series {}", series.series),
            series.work,
            own.work,
            tolerances.work,
        )?;
        if series.hardwarePrice > 0 && own.hardwarePrice > 0 {
            let what = format!("the hardware price of series {}", series.series);
            near(&what, series.hardwarePrice, own.hardwarePrice, tolerances.hardware)?;
        }
    }
    Ok(())
}

/// Compares how a report splits its receipts among series and epochs with how this signer's own work splits the same
/// receipts (`own`). Each part may be off by as much as the work, and by a sat of rounding per piece of a receipt.
///
/// # Errors
/// With the part that differs.
pub fn splits_alike(
    combined: &Combined,
    own: &IFleetOracle::FleetReport,
    limit: u64,
) -> Result<(), String> {
    let rounding = combined.receipts.iter().map(|receipt| receipt.pieces.len()).sum::<usize>();
    let rounding = u64::try_from(rounding).unwrap_or(u64::MAX);
    let parts = |report: &IFleetOracle::FleetReport| -> BTreeMap<(u16, u32), u64> {
        let pots = report.series.iter().flat_map(|s| s.pots.iter().map(|pot| (s.series, pot)));
        pots.map(|(series, pot)| ((series, pot.workEpoch), pot.sats)).collect()
    };
    let (theirs, ours) = (parts(&combined.report), parts(own));
    for place in theirs.keys().chain(ours.keys()) {
        let of = |parts: &BTreeMap<_, u64>| parts.get(place).copied().unwrap_or_default();
        let (sats, own) = (of(&theirs), of(&ours));
        let near = apart_ppm_ceil(sats.into(), own.into()) <= u128::from(limit);
        if !near && sats.abs_diff(own) > rounding {
            let (series, epoch) = place;
            return Err(format!(
                "series {series} gets {sats} sats of epoch {epoch}, {own} by this signer's own reading"
            ));
        }
    }
    Ok(())
}

impl Domain {
    /// EIP-712 digest of a batch: equals the registry's `batchDigest`.
    #[must_use]
    pub fn batch_digest(&self, batch: &ISeriesRegistry::Batch) -> B256 {
        batch.eip712_signing_hash(&eip712_domain! {
            name: "Liquid Hashrate SeriesRegistry",
            version: "1",
            chain_id: self.chain_id,
            verifying_contract: self.registry,
        })
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
