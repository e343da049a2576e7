//! Generation changes: what a signer knows of them from its own list, and the operator's tool that has one attested and
//! executes it.
//!
//! A signer attests only what its own machine list says too: the same serials, H/s, model and vendor, at most the price
//! that it was told, for the proposal that is open on chain, after its 72 hours.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    signers::SignerSync,
    sol_types::{SolStruct, SolValue, eip712_domain},
};
use domain::SeriesId;
use evm::{
    Deployment, DynProvider, Finality,
    bindings::ISeriesUpgrader::{self, Upgrade, UpgradeProposed},
};
use serde::{Deserialize, Serialize};

use crate::{
    batch::{BatchError, Machine, TooFew, gather, leaf, rpc},
    config::OperatorConfig,
    signer::{Refusal, Signer},
};

/// New hardware as operator and signers know it, each from its own file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradePlan {
    /// Series.
    pub series: SeriesId,
    /// Place among the series' proposals, from 0.
    pub nonce: u32,
    /// Name of the model.
    pub model: String,
    /// Who delivers, and is paid.
    pub vendor: Address,
    /// Most that is paid, in quote units.
    pub most: u64,
    /// Machines that stand and hash.
    pub machines: Vec<Machine>,
}

/// An upgrade as JSON between operator and signers: ABI encoding, hex.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradeFields {
    /// `abi.encode(Upgrade)`.
    pub upgrade: Bytes,
}

impl UpgradePlan {
    /// Why this plan is not what `upgrade` says; `None` if it is.
    #[must_use]
    pub fn objection(&self, upgrade: &Upgrade) -> Option<String> {
        let root = self.root();
        let hashrate = self.machines.iter().map(|machine| u128::from(machine.hashrate)).sum();
        let checks = [
            (upgrade.machineRoot == root, format!("the machines make root {root}")),
            (
                usize::try_from(upgrade.machines).ok() == Some(self.machines.len()),
                format!("there are {} machines", self.machines.len()),
            ),
            (upgrade.hashrate == hashrate, format!("they do {hashrate} H/s")),
            (
                upgrade.modelHash == keccak256(&self.model),
                format!("they are of model {}", self.model),
            ),
            (upgrade.vendor == self.vendor, format!("the vendor is {}", self.vendor)),
            (upgrade.price <= u128::from(self.most), format!("at most {} is to pay", self.most)),
        ];
        checks.into_iter().find(|(good, _)| !good).map(|(_, why)| why)
    }

    /// Merkle root of the serials.
    #[must_use]
    pub fn root(&self) -> B256 {
        let mut leaves: Vec<B256> = self.machines.iter().map(leaf).collect();
        leaves.sort();
        crate::merkle::root(&leaves)
    }
}

impl Signer {
    /// Signs an upgrade, hex.
    ///
    /// # Errors
    /// When it is not the open proposal, its notice runs, or this signer's list says otherwise.
    pub async fn attest_upgrade(&self, fields: &UpgradeFields) -> Result<String, Refusal> {
        let upgrade =
            Upgrade::abi_decode(&fields.upgrade).map_err(|e| Refusal::Bad(e.to_string()))?;
        let known = self.machines.upgrades.iter();
        let key = (upgrade.series, upgrade.nonce);
        let plan = known.into_iter().find(|plan| (plan.series.0, plan.nonce) == key);
        let plan = plan.ok_or_else(|| {
            Refusal::Disagrees(format!(
                "this signer knows no upgrade {} of series {}",
                key.1, key.0
            ))
        })?;
        if let Some(why) = plan.objection(&upgrade) {
            return Err(Refusal::Disagrees(format!("by this signer's machine list, {why}")));
        }
        let upgrader = self.chain.upgrader();
        let open = upgrader.proposal(upgrade.series).call().await;
        let open = open.map_err(|error| rpc("proposal", error))?;
        if open.structHash != upgrade.eip712_hash_struct() {
            return Err(Refusal::Bad("this is not the series' open proposal".into()));
        }
        let time = evm::block_at(upgrader.provider(), Finality::Latest).await?.timestamp;
        if time < open.readyAt.to::<u64>() {
            return Err(Refusal::NotNow(format!("its notice runs until {}", open.readyAt)));
        }
        let digest = digest(&upgrade, self.domain.chain_id, *upgrader.address());
        let signature = self.key.sign_hash_sync(&digest);
        let signature = signature.map_err(|error| Refusal::Trouble(error.to_string()))?;
        Ok(hex::encode(signature.as_bytes()))
    }
}

fn digest(upgrade: &Upgrade, chain_id: u64, upgrader: Address) -> B256 {
    upgrade.eip712_signing_hash(&eip712_domain! {
        name: "Liquid Hashrate SeriesUpgrader",
        version: "1",
        chain_id: chain_id,
        verifying_contract: upgrader,
    })
}

/// Has the open proposal of a series attested by a quorum, and executes it. Says what it did.
///
/// # Errors
/// When none is open, too few signers attest, or the contract refuses.
pub async fn execute(config: &OperatorConfig, series: SeriesId) -> Result<String, BatchError> {
    let deployment = Deployment::read(&config.deployment)?;
    let provider = evm::connect_signing(&config.evm_url, evm::read_key(&config.key_file)?)?;
    deployment.check_chain(&provider).await?;
    let upgrader = ISeriesUpgrader::new(deployment.series_upgrader, provider.clone());
    let upgrade = open(&deployment, &provider, series).await?;
    let name = format!("series {series}, upgrade {}", upgrade.nonce);
    let digest = digest(&upgrade, deployment.chain_id, deployment.series_upgrader);
    let fields = UpgradeFields { upgrade: upgrade.abi_encode().into() };
    let found = gather(config, &deployment, &provider, "attest-upgrade", &fields, digest).await?;
    let signatures = found.map_err(|TooFew { needed, found, answers }| BatchError::NoQuorum {
        series,
        nonce: upgrade.nonce,
        needed,
        found,
        answers,
    })?;
    let price = U256::from(upgrade.price);
    let (machines, vendor) = (upgrade.machines, upgrade.vendor);
    let receipt = evm::land(&name, upgrader.execute(upgrade, signatures)).await?;
    Ok(format!(
        "{name}: {machines} machines, {price} quote units to {vendor}, transaction {}",
        receipt.transaction_hash
    ))
}

/// The open proposal of a series, from its event.
async fn open(
    deployment: &Deployment,
    provider: &DynProvider,
    series: SeriesId,
) -> Result<Upgrade, BatchError> {
    let tip = evm::block_at(provider, Finality::Latest).await?.number;
    let topic = <UpgradeProposed as alloy::sol_types::SolEvent>::SIGNATURE_HASH;
    let from = deployment.block;
    let upgrader = ISeriesUpgrader::new(deployment.series_upgrader, provider.clone());
    let open = upgrader.proposal(series.0).call().await.map_err(|e| rpc("proposal", e))?;
    let logs =
        evm::logs_between(provider, &[deployment.series_upgrader], Some(topic), from, tip).await?;
    evm::decoded::<UpgradeProposed>(&logs)?
        .into_iter()
        .map(|(event, _)| event.upgrade)
        .find(|upgrade| upgrade.eip712_hash_struct() == open.structHash)
        .ok_or(BatchError::NothingOpen(series))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> UpgradePlan {
        let machine = |serial: &str| Machine {
            vendor: "Bitmain".into(),
            serial: serial.into(),
            hashrate: 200,
        };
        UpgradePlan {
            series: SeriesId(1),
            nonce: 0,
            model: "S23".into(),
            vendor: Address::repeat_byte(7),
            most: 1_000,
            machines: vec![machine("B"), machine("A")],
        }
    }

    fn upgrade(plan: &UpgradePlan) -> Upgrade {
        Upgrade {
            series: 1,
            machineRoot: plan.root(),
            machines: 2,
            hashrate: 400,
            modelHash: keccak256("S23"),
            vendor: plan.vendor,
            price: 1_000,
            ..Default::default()
        }
    }

    #[test]
    fn a_signer_attests_only_what_its_own_list_says() {
        let plan = plan();
        let good = upgrade(&plan);
        assert_eq!(plan.objection(&good), None);
        for (bad, why) in [
            (Upgrade { machineRoot: B256::ZERO, ..good.clone() }, "root"),
            (Upgrade { machines: 3, ..good.clone() }, "2 machines"),
            (Upgrade { hashrate: 401, ..good.clone() }, "400 H/s"),
            (Upgrade { modelHash: B256::ZERO, ..good.clone() }, "S23"),
            (Upgrade { vendor: Address::ZERO, ..good.clone() }, "vendor"),
            (Upgrade { price: 1_001, ..good.clone() }, "at most 1000"),
        ] {
            assert!(plan.objection(&bad).unwrap().contains(why), "{why}");
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let mut swapped = plan();
        swapped.machines.reverse();
        assert_eq!(swapped.root(), plan().root());
    }
}
