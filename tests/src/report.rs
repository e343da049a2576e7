//! Fleet reports signed by the dev oracle keys, for tests that need one without five signer processes.

use alloy::{
    primitives::{B256, Bytes, U256},
    signers::SignerSync,
    sol_types::SolValue,
};
use evm::{
    bindings::{IFairValue, IFleetOracle, IFleetOracle::FleetReport, ISeriesRegistry},
    quorum::{self, OracleDomain},
};
use eyre::Result;
use xtask::devnet::{DevKey, Devnet, dev_key};

/// A report with the right chain of hashes and no pots; fill in `receipts` and `series[..].pots`.
///
/// # Errors
/// When the node does not answer.
pub async fn blank_report(net: &Devnet, epoch: u32) -> Result<FleetReport> {
    let oracle = IFleetOracle::new(net.deployment.fleet_oracle, net.evm.reader()?);
    let observed = u64::from(epoch + 1) * domain::EPOCH_SECONDS;
    Ok(FleetReport {
        epoch,
        round: 0,
        prevHash: oracle.lastReportHash().call().await?,
        configDigest: oracle.configDigest().call().await?,
        quotePerBtc: 60_000_000_000,
        quoteSpread: 100,
        observedAt: alloy::primitives::aliases::U40::from(observed),
        receipts: vec![],
        series: vec![IFleetOracle::SeriesReport {
            series: 1,
            pots: vec![],
            work: 2_880_000,
            liveHashrate: 100,
            hardwarePrice: 20_000_000_000_000_000_000_000,
            deductions: 0,
        }],
        evidenceRoot: B256::ZERO,
    })
}

/// Signs with dev signers `who` (indices), packed as the oracle takes it.
#[must_use]
pub fn sign(net: &Devnet, report: &FleetReport, who: &[u8]) -> Bytes {
    let (chain_id, oracle) = (net.deployment.chain_id, net.deployment.fleet_oracle);
    let digest = OracleDomain { chain_id, oracle }.report(report);
    let mut set: Vec<_> = (0..5).map(|i| dev_key(DevKey::Signer(i)).address()).collect();
    set.sort();
    let signatures: Vec<_> = who
        .iter()
        .map(|i| {
            let key = dev_key(DevKey::Signer(*i));
            (key.address(), key.sign_hash_sync(&digest).unwrap())
        })
        .collect();
    quorum::pack(&set, &signatures).unwrap()
}

/// Signs a digest with dev signers, addresses ascending.
#[must_use]
pub fn sign_digest(digest: B256, who: &[u8]) -> Vec<Bytes> {
    let mut keys: Vec<_> = who.iter().map(|i| dev_key(DevKey::Signer(*i))).collect();
    keys.sort_by_key(alloy::signers::local::PrivateKeySigner::address);
    keys.iter().map(|key| Bytes::from(key.sign_hash_sync(&digest).unwrap().as_bytes())).collect()
}

/// Posts the report with all five signatures, so that it may jump, and values the series by it. The epoch must be over.
///
/// # Errors
/// When the contract refuses.
pub async fn post(net: &Devnet, report: FleetReport) -> Result<()> {
    let provider = net.evm.as_key(DevKey::Relayer)?;
    let oracle = IFleetOracle::new(net.deployment.fleet_oracle, provider.clone());
    let signatures = sign(net, &report, &[0, 1, 2, 3, 4]);
    evm::land("post", oracle.post(report.clone(), signatures)).await?;
    let fair = IFairValue::new(net.deployment.fair_value, provider);
    evm::land("update", fair.update(report.abi_encode().into())).await?;
    Ok(())
}

/// Registers a batch of `units` whole units of series 1, attested by three dev signers.
///
/// # Errors
/// When the contract refuses.
pub async fn register_batch(net: &Devnet, units: u64, machines: u32) -> Result<()> {
    let provider = net.evm.as_key(DevKey::Operator)?;
    let registry = ISeriesRegistry::new(net.deployment.series_registry, provider);
    let nonce = registry.batchCount(1).call().await?;
    let wei = U256::from(units) * U256::from(domain::UNIT);
    let batch = ISeriesRegistry::Batch {
        series: 1,
        machines,
        units: alloy::primitives::aliases::U96::from(wei),
        machineRoot: alloy::primitives::keccak256(nonce.to_be_bytes()),
        evidence: B256::ZERO,
        nonce,
    };
    let digest = registry.batchDigest(batch.clone()).call().await?;
    let signatures = sign_digest(digest, &[0, 1, 2]);
    evm::land("registerBatch", registry.registerBatch(batch, signatures)).await?;
    Ok(())
}

/// Moves the EVM chain to one second into `epoch` and makes that final.
///
/// # Errors
/// When the chain is past it.
pub async fn enter_epoch(net: &Devnet, epoch: u32) -> Result<()> {
    let start = u64::from(epoch) * domain::EPOCH_SECONDS;
    let now = net.evm.now().await?;
    net.evm.advance((start + 1).saturating_sub(now).max(1)).await?;
    net.evm.mine(3).await?;
    net.sync_clocks().await?;
    Ok(())
}
