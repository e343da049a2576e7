//! Batches of machines: from a list of serials to what the quorum attests.
//!
//! Leaf = keccak256(vendor ‖ serial), leaves ascending, [`crate::merkle`] root. Units = Σ H/s × 10^18 ÷ H/s per unit,
//! rounded down. `evidence` = keccak256 of the lines `vendor,serial,hashrate\n` in leaf order.

use std::{collections::BTreeSet, path::Path};

use alloy::primitives::{Address, B256, Bytes, Signature, U256, aliases::U96, keccak256};
use domain::SeriesId;
use evm::{
    Deployment, DynProvider,
    bindings::ISeriesRegistry::{self, ISeriesRegistryInstance},
};
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, OperatorConfig, Peer, parse},
    observation::Domain,
    upgrade::UpgradePlan,
};

/// The file of machine batches.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineList {
    /// Batches.
    #[serde(default)]
    pub batches: Vec<MachineBatch>,
    /// New hardware for machines that retire.
    #[serde(default)]
    pub upgrades: Vec<UpgradePlan>,
}

/// Machines registered together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineBatch {
    /// Series.
    pub series: SeriesId,
    /// Place among the series' batches, from 0.
    pub nonce: u32,
    /// Machines.
    pub machines: Vec<Machine>,
}

/// One machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Maker.
    pub vendor: String,
    /// Serial number.
    pub serial: String,
    /// H/s by its nameplate.
    pub hashrate: u64,
}

/// A batch as JSON between operator and signers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchFields {
    /// Series.
    pub series: u16,
    /// Machines.
    pub machines: u32,
    /// Units, 18 decimals.
    #[serde(with = "domain::decimal")]
    pub units: u128,
    /// Merkle root.
    pub machine_root: B256,
    /// Hash of the list.
    pub evidence: B256,
    /// Batch counter.
    pub nonce: u32,
}

/// A signer's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// 65 bytes, hex.
    pub signature: String,
}

impl From<&BatchFields> for ISeriesRegistry::Batch {
    fn from(fields: &BatchFields) -> Self {
        Self {
            series: fields.series,
            machines: fields.machines,
            units: U96::saturating_from(fields.units),
            machineRoot: fields.machine_root,
            evidence: fields.evidence,
            nonce: fields.nonce,
        }
    }
}

impl MachineList {
    /// Reads the file and refuses a serial that appears twice.
    ///
    /// # Errors
    /// When the file is missing or malformed, or a machine is listed twice.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let fail = |why: String| ConfigError(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let list: Self = parse(&text).map_err(|error| fail(error.to_string()))?;
        let mut seen = BTreeSet::new();
        let batches = list.batches.iter().flat_map(|batch| &batch.machines);
        for machine in batches.chain(list.upgrades.iter().flat_map(|plan| &plan.machines)) {
            if !seen.insert(leaf(machine)) {
                return Err(fail(format!("{} {} is listed twice", machine.vendor, machine.serial)));
            }
        }
        Ok(list)
    }

    /// The batch of that series and nonce.
    #[must_use]
    pub fn find(&self, series: u16, nonce: u32) -> Option<&MachineBatch> {
        self.batches.iter().find(|batch| (batch.series.0, batch.nonce) == (series, nonce))
    }
}

impl MachineBatch {
    /// What is attested. `None` when a sum does not fit or `per_unit` is zero.
    #[must_use]
    pub fn fields(&self, per_unit: u64) -> Option<BatchFields> {
        let mut machines: Vec<(B256, &Machine)> =
            self.machines.iter().map(|machine| (leaf(machine), machine)).collect();
        machines.sort_by_key(|(leaf, _)| *leaf);
        let leaves: Vec<B256> = machines.iter().map(|(leaf, _)| *leaf).collect();
        let lines: String = machines
            .iter()
            .map(|(_, m)| format!("{},{},{}\n", m.vendor, m.serial, m.hashrate))
            .collect();
        let total = machines.iter().try_fold(0_u64, |sum, (_, m)| sum.checked_add(m.hashrate))?;
        let units = U256::from(total).checked_mul(U256::from(domain::UNIT))?;
        let units = units.checked_div(U256::from(per_unit))?;
        Some(BatchFields {
            series: self.series.0,
            machines: u32::try_from(machines.len()).ok()?,
            units: u128::try_from(units).ok().filter(|units| *units >> 96 == 0)?,
            machine_root: crate::merkle::root(&leaves),
            evidence: keccak256(lines),
            nonce: self.nonce,
        })
    }
}

pub(crate) fn leaf(machine: &Machine) -> B256 {
    keccak256([machine.vendor.as_bytes(), machine.serial.as_bytes()].concat())
}

/// Why a batch was not registered.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Too few signers attested; their answers.
    #[error("series {series}, batch {nonce}: {found} of {needed} attestations; {answers}")]
    NoQuorum {
        /// Series.
        series: SeriesId,
        /// Batch.
        nonce: u32,
        /// Quorum.
        needed: usize,
        /// Valid attestations.
        found: usize,
        /// What the others said.
        answers: String,
    },
    /// The batch makes no units.
    #[error("series {0}: the machines of batch {1} make no units")]
    NoUnits(SeriesId, u32),
    /// No upgrade is proposed.
    #[error("series {0}: no upgrade is open; propose one first")]
    NothingOpen(SeriesId),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] evm::Error),
    /// A file.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Collects attestations for every batch that the registry does not have, and registers it. Says what it did, a line
/// per batch.
///
/// # Errors
/// At the first batch that cannot be registered; those before it are.
pub async fn attest_batches(config: &OperatorConfig) -> Result<Vec<String>, BatchError> {
    let deployment = Deployment::read(&config.deployment)?;
    let provider = evm::connect_signing(&config.evm_url, evm::read_key(&config.key_file)?)?;
    deployment.check_chain(&provider).await?;
    let registry = ISeriesRegistry::new(deployment.series_registry, provider.clone());
    let mut batches = MachineList::read(&config.machines)?.batches;
    batches.sort_by_key(|batch| (batch.series, batch.nonce));
    let mut said = Vec::new();
    for batch in &batches {
        let name = format!("series {}, batch {}", batch.series, batch.nonce);
        let count =
            registry.batchCount(batch.series.0).call().await.map_err(|e| rpc("batchCount", e))?;
        if batch.nonce < count {
            said.push(format!("{name}: already registered"));
            continue;
        }
        let series = registry.series(batch.series.0).call().await.map_err(|e| rpc("series", e))?;
        let fields = batch
            .fields(series.hashratePerUnit)
            .filter(|fields| fields.units > 0)
            .ok_or(BatchError::NoUnits(batch.series, batch.nonce))?;
        let signatures = collect(config, &deployment, &provider, batch, &fields).await?;
        let call = registry.registerBatch((&fields).into(), signatures);
        let receipt = evm::land(&name, call).await?;
        said.push(format!(
            "{name}: {} machines, {} units (10^-18), transaction {}",
            fields.machines, fields.units, receipt.transaction_hash
        ));
    }
    Ok(said)
}

async fn collect(
    config: &OperatorConfig,
    deployment: &Deployment,
    provider: &DynProvider,
    batch: &MachineBatch,
    fields: &BatchFields,
) -> Result<Vec<Bytes>, BatchError> {
    let (oracle, registry) = (deployment.fleet_oracle, deployment.series_registry);
    let domain = Domain { chain_id: deployment.chain_id, oracle, registry };
    let digest = domain.batch_digest(&fields.into());
    let found = gather(config, deployment, provider, "attest", fields, digest).await?;
    found.map_err(|TooFew { needed, found, answers }| {
        let (series, nonce) = (batch.series, batch.nonce);
        BatchError::NoQuorum { series, nonce, needed, found, answers }
    })
}

/// Too few signers attested.
#[derive(Debug)]
pub(crate) struct TooFew {
    pub(crate) needed: usize,
    pub(crate) found: usize,
    pub(crate) answers: String,
}

/// Asks every signer for its signature over `digest`, and returns a quorum's, signers ascending.
pub(crate) async fn gather<T: Serialize + Sync>(
    config: &OperatorConfig,
    deployment: &Deployment,
    provider: &DynProvider,
    path: &str,
    body: &T,
    digest: B256,
) -> Result<Result<Vec<Bytes>, TooFew>, evm::Error> {
    let oracle = evm::bindings::IFleetOracle::new(deployment.fleet_oracle, provider.clone());
    let needed = oracle.quorum().call().await.map_err(|error| rpc("quorum", error))?;
    let asked = config.peers.iter().map(|peer| ask(config, peer, path, body, digest));
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for answer in futures::future::join_all(asked).await {
        match answer {
            Ok(signed) => good.push(signed),
            Err(why) => bad.push(why),
        }
    }
    good.sort_by_key(|(address, _)| *address);
    good.dedup_by_key(|(address, _)| *address);
    let needed = usize::from(needed);
    if good.len() < needed {
        return Ok(Err(TooFew { needed, found: good.len(), answers: bad.join("; ") }));
    }
    Ok(Ok(good.into_iter().take(needed).map(|(_, signature)| signature).collect()))
}

async fn ask<T: Serialize + Sync>(
    config: &OperatorConfig,
    peer: &Peer,
    path: &str,
    body: &T,
    digest: B256,
) -> Result<(Address, Bytes), String> {
    let fail = |why: String| format!("{}: {why}", peer.url);
    let url = format!("{}/{path}", peer.url.trim_end_matches('/'));
    let wait = std::time::Duration::from_millis(config.answer_ms);
    let http = reqwest::Client::new();
    let answer = http.post(url).json(body).timeout(wait).send().await;
    let answer = answer.map_err(|error| fail(error.to_string()))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| fail(error.to_string()))?;
    if !status.is_success() {
        return Err(fail(text));
    }
    let attestation: Attestation =
        serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
    let bytes = hex::decode(&attestation.signature).map_err(|error| fail(error.to_string()))?;
    let signature = Signature::from_raw(&bytes).map_err(|error| fail(error.to_string()))?;
    match signature.recover_address_from_prehash(&digest) {
        Ok(signer) if signer == peer.address => Ok((signer, bytes.into())),
        _ => Err(fail("the signature is not of this signer over what was asked".into())),
    }
}

pub(crate) fn rpc(doing: &str, error: impl std::fmt::Display) -> evm::Error {
    evm::Error::rpc(doing, error)
}

/// The registry's view of a series, for a signer that checks a batch.
pub(crate) async fn per_unit(
    registry: &ISeriesRegistryInstance<DynProvider>,
    series: u16,
) -> Result<u64, evm::Error> {
    let found = registry.series(series).call().await.map_err(|error| rpc("series", error))?;
    Ok(found.hashratePerUnit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_makes_a_batch_and_a_double_serial_is_refused() {
        let text = include_str!("../machines.example.toml");
        let list: MachineList = parse(text).unwrap();
        let fields = list.find(1, 0).unwrap().fields(100_000).unwrap();
        assert_eq!((fields.machines, fields.units), (2, 4 * domain::UNIT));
        let mut swapped = list.batches[0].clone();
        swapped.machines.reverse();
        assert_eq!(
            swapped.fields(100_000).unwrap(),
            fields,
            "the order of the file does not matter"
        );
        assert_eq!(list.batches[0].fields(0), None);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machines.toml");
        std::fs::write(&path, text.replace("MicroBT", "Bitmain").replace("0002", "0001")).unwrap();
        assert!(MachineList::read(&path).unwrap_err().to_string().contains("listed twice"));
    }
}
