//! Follows the commitments of others: every one is computed again once it is final, and what breaks the rules is brought
//! before the court. An honest commitment is never challenged: ours is equal to it, and the court is asked by a call
//! before anything is sent. Whoever restarts it begins from the chain; the court upholds nothing twice.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use alloy::{
    contract::RawCallBuilder,
    primitives::{Address, Bytes, U256, keccak256},
    providers::Provider,
    signers::local::PrivateKeySigner,
    sol_types::{SolCall, SolValue},
};
use domain::{EpochId, Leaf};
use evm::{BlockRef, Deployment, DynProvider, bindings::ILedgerCourt as court};
use serde::Serialize;

use super::{
    Charge, Published, against, case::compare, journal::Journal, overdue, own, refusal, report,
};
use crate::{
    chain::{Chain, rpc},
    config::Config,
    court::deposit,
    error::Error,
    exhibit,
    snapshot::Snapshots,
};

/// Epochs after its end in which an epoch can be challenged.
const WINDOW: u32 = 21;

/// What the watcher may do.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Folder with trees that somebody published, JSON leaves as `dry-run` prints them; read anew in each round.
    pub trees: Option<PathBuf>,
    /// Demands that may stand open where a tree is withheld; each leaves a deposit until it is answered.
    pub demands: usize,
    /// Says what it would send, and sends nothing.
    pub dry_run: bool,
}

/// Something that was brought before the court, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Filed {
    /// The epoch that it is about.
    pub epoch: u32,
    /// Name of the court's function.
    pub fault: &'static str,
    /// What is wrong.
    pub why: String,
    /// Why it was not upheld in the end, such as that somebody else was first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The watcher.
#[derive(Debug)]
pub struct Watcher {
    chain: Chain,
    snapshots: Snapshots,
    challenger: DynProvider,
    address: Address,
    journal: Journal,
    options: WatchOptions,
    /// First epoch that was not found honest, and the leaves of the one before.
    next: EpochId,
    leaves: Vec<Leaf>,
    /// Calls that a dry run has named.
    named: BTreeSet<Bytes>,
}

/// One charge with its epoch, and wei that go with it.
#[derive(Debug)]
struct Brief {
    epoch: EpochId,
    charge: Charge,
    value: U256,
}

impl Watcher {
    /// Connects, and takes the lock of the folder `state`.
    ///
    /// # Errors
    /// When another watcher uses the folder, or a node is down.
    pub async fn start(
        config: &Config,
        key: PrivateKeySigner,
        state: &Path,
        options: WatchOptions,
    ) -> Result<Self, Error> {
        let chain = Chain::connect(&config.evm.rpc, Deployment::read(&config.deployment)?).await?;
        let [url, _] = &config.evm.rpc;
        let address = key.address();
        Ok(Self {
            snapshots: Snapshots::new(chain.clone()),
            challenger: evm::connect_signing(url, key)?,
            address,
            journal: Journal::open(state)?,
            options,
            next: chain.deployment.first_epoch,
            leaves: Vec::new(),
            named: BTreeSet::new(),
            chain,
        })
    }

    /// Looks once at everything that can be challenged, and sends what the court would uphold.
    ///
    /// # Errors
    /// When a node does not answer, or the journal cannot be written; nothing is lost by trying again.
    pub async fn round(&mut self) -> Result<Vec<Filed>, Error> {
        if self.in_flight().await? {
            return Ok(Vec::new());
        }
        let at = self.chain.finalized().await?;
        let now = EpochId::at(at.timestamp);
        let oldest = now.0.saturating_sub(WINDOW).saturating_sub(1);
        let oldest = EpochId(oldest).max(self.chain.deployment.first_epoch);
        let mut briefs = self.judge(oldest, &at).await?;
        for epoch in (oldest.0..now.0).map(EpochId) {
            let late = overdue(&self.chain, epoch, &at).await?.into_iter();
            briefs.extend(late.map(|charge| Brief { epoch, charge, value: U256::ZERO }));
        }
        let mut filed = Vec::new();
        for brief in briefs {
            filed.extend(self.file(brief).await?);
        }
        Ok(filed)
    }

    /// Whether a transaction of ours, of before a restart perhaps, is still on its way: what it does is waited for.
    async fn in_flight(&self) -> Result<bool, Error> {
        let fail = |error| rpc("nonce", error);
        let sent = self.challenger.get_transaction_count(self.address).pending().await;
        let mined = self.challenger.get_transaction_count(self.address).latest().await;
        Ok(sent.map_err(fail)? > mined.map_err(fail)?)
    }

    /// Computes every final commitment that was not found honest before.
    async fn judge(&mut self, oldest: EpochId, at: &BlockRef) -> Result<Vec<Brief>, Error> {
        let mut briefs = Vec::new();
        let (mut number, mut leaves) = (self.next, self.leaves.clone());
        while let Some(commitment) = self.chain.commitment(number).await? {
            let hash = keccak256(commitment.abi_encode());
            if !self.chain.committed_finally(number, hash).await? {
                break;
            }
            let Some(found) = self.chain.report(number, at).await? else { break };
            let world = self.snapshots.world(number, at, &found, leaves).await?;
            let ours = own(&world, &commitment)?;
            let honest = exhibit::is_committed(&ours, &commitment);
            let known = if honest {
                Some(ours.leaves)
            } else {
                let accounts: Vec<Address> = ours.leaves.iter().map(|leaf| leaf.account).collect();
                let published = Published { trees: self.trees(), outputs: Vec::new() };
                let case = against(&self.chain, number, at, world, commitment, published).await?;
                if let Some(case) = &case {
                    let charges = compare(case)?.into_iter();
                    let brief = |charge| Brief { epoch: number, charge, value: U256::ZERO };
                    briefs.extend(charges.map(brief));
                } else if number >= oldest {
                    tracing::warn!(
                        epoch = number.0,
                        "its root is not ours and its tree is withheld"
                    );
                    briefs.extend(self.demands(number, &accounts, at).await?);
                }
                case.map(|case| case.theirs.leaves().to_vec())
            };
            let Some(known) = known else { break };
            // what may still be challenged is looked at again in every round
            if self.next == number && (honest || number < oldest) {
                (self.next, self.leaves) = (number.next(), known.clone());
            }
            (number, leaves) = (number.next(), known);
        }
        Ok(briefs)
    }

    /// Demands to see leaves of a withheld tree, as many as may stand open.
    async fn demands(
        &self,
        epoch: EpochId,
        accounts: &[Address],
        at: &BlockRef,
    ) -> Result<Vec<Brief>, Error> {
        let address = self.chain.deployment.ledger_court;
        let of_epoch = |account: Address, found: u32| (found == epoch.0).then_some(account);
        let asked = self.chain.logs::<court::Demanded>(address, at).await?.into_iter();
        let asked: BTreeSet<Address> =
            asked.filter_map(|event| of_epoch(event.account, event.epoch)).collect();
        let answered = self.chain.logs::<court::Answered>(address, at).await?.into_iter();
        let answered = answered.filter_map(|event| of_epoch(event.account, event.epoch)).count();
        let open = asked.len().saturating_sub(answered);
        let free = self.options.demands.saturating_sub(open);
        let (value, report) =
            (deposit(address, &self.challenger).await?, report(&self.chain, epoch, at).await?);
        let demand = |account: &Address| Brief {
            epoch,
            charge: Charge {
                fault: "demand",
                why: format!("the leaf of {account} is withheld"),
                refused: None,
                call: court::demandCall {
                    account: *account,
                    epoch: epoch.0,
                    report: report.clone(),
                }
                .abi_encode()
                .into(),
            },
            value,
        };
        Ok(accounts
            .iter()
            .filter(|account| !asked.contains(*account))
            .take(free)
            .map(demand)
            .collect())
    }

    /// Brings one charge before the court, if it would be upheld now.
    async fn file(&mut self, brief: Brief) -> Result<Option<Filed>, Error> {
        let Brief { epoch, charge, value } = brief;
        let court = self.chain.deployment.ledger_court;
        let call = RawCallBuilder::new_raw(self.challenger.clone(), charge.call.clone());
        let call = call.to(court).value(value);
        let refused = match value.is_zero() {
            true => refusal(&charge.call, court, &self.challenger).await.is_some(),
            false => call.call_raw().await.is_err(),
        };
        if refused || (self.options.dry_run && !self.named.insert(charge.call.clone())) {
            return Ok(None);
        }
        let mut filed =
            Filed { epoch: epoch.0, fault: charge.fault, why: charge.why, refused: None };
        if self.options.dry_run {
            return Ok(Some(filed));
        }
        self.journal.sending(epoch.0, charge.fault, &charge.call)?;
        match evm::land(charge.fault, call).await {
            Ok(_) => {}
            Err(evm::Error::Refused { why, .. }) => filed.refused = Some(why),
            Err(error) => return Err(error.into()),
        }
        self.journal.ended(epoch.0, charge.fault, &charge.call, filed.refused.clone())?;
        Ok(Some(filed))
    }

    /// Trees in the folder; a file that is none is passed over.
    fn trees(&self) -> Vec<Vec<Leaf>> {
        let Some(dir) = &self.options.trees else { return Vec::new() };
        let files = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|file| file.path());
        let json = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
        json.filter_map(|path| read_tree(&path)).collect()
    }
}

/// Leaves in a file, as a list or under `leaves`.
fn read_tree(path: &Path) -> Option<Vec<Leaf>> {
    let value: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let leaves = value.get("leaves").cloned().unwrap_or(value);
    serde_json::from_value(leaves).ok()
}
