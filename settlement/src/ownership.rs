//! Proof that somebody has the key of a payout script, by BIP-322: asked for where an account is paid much at once, and
//! never a condition of payment, for what is due is decided by the chain alone (docs/adr/0021).
//!
//! A proof is a signature over one fixed sentence that names chain, registry, account and script, so that it counts for
//! nothing else. It is kept as a file and checked again whenever it is asked for; it counts for its script only, so that
//! a new script needs a new proof. Files and not the database: that can be made again from the chains, a proof cannot.

mod bip;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alloy::{
    eips::BlockId,
    primitives::{Address, keccak256},
};
use bitcoin::{Network, Script, ScriptBuf};
use domain::EpochId;
use evm::{Deployment, bindings::IPayoutRegistry};
use serde::{Deserialize, Serialize};

pub use bip::{OwnershipError, Unsigned};

use crate::{
    chain::{Chain, rpc},
    config::Config,
    error::Error,
    offline,
    state::State,
    store::Store,
};

/// Newest epochs whose payments are looked at: a week.
const EPOCHS: i64 = 21;
/// A change of script counts after three epochs.
const CHANGE: u32 = 4;

/// Who is asked for a proof, and where proofs are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnershipConfig {
    /// Sats paid to one account in one epoch from which on a proof is asked for.
    pub above_sat: u64,
    /// Folder with proofs, one JSON file each.
    pub dir: PathBuf,
}

/// A proof as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proof {
    account: Address,
    /// Hex.
    script: String,
    /// As it was given.
    signature: String,
}

/// An account that was paid at least the threshold and has shown no key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unproven {
    /// The account.
    pub account: Address,
    /// The script that it was last paid to, hex.
    pub script: String,
    /// The most that it was paid at once in the newest epochs, sats.
    #[serde(with = "domain::decimal")]
    pub sats: u64,
}

/// Checks proofs for one deployment.
#[derive(Clone, Debug)]
pub struct Owners {
    chain_id: u64,
    registry: Address,
    network: Network,
    asked: Option<OwnershipConfig>,
}

impl Owners {
    /// For the deployment of a configuration.
    #[must_use]
    pub fn new(config: &Config, deployment: &Deployment) -> Self {
        let (chain_id, registry) = (deployment.chain_id, deployment.payout_registry);
        Self { chain_id, registry, network: config.network, asked: config.ownership.clone() }
    }

    /// The sentence that is signed.
    #[must_use]
    pub fn message(&self, account: Address, script: &Script) -> String {
        let (chain, registry) = (self.chain_id, self.registry);
        format!("Liquid Hashrate payout {chain} {registry:#x} {account:#x} {script:x}")
    }

    /// What a wallet that knows no BIP-322 signs as a transaction instead.
    ///
    /// # Errors
    /// When the script has no address.
    pub fn unsigned(&self, account: Address, script: &Script) -> Result<Unsigned, OwnershipError> {
        bip::unsigned(script, self.network, &self.message(account, script))
    }

    /// Whether `signature` is by the key of `script`, for `account`.
    ///
    /// # Errors
    /// When it is not, or is of a form that is not understood; says which.
    pub fn check(
        &self,
        account: Address,
        script: &Script,
        signature: &str,
    ) -> Result<(), OwnershipError> {
        bip::check(script, self.network, &self.message(account, script), signature)
    }

    /// Checks a proof and keeps it; it is on disk when this returns. Adding it again changes nothing.
    ///
    /// # Errors
    /// When it does not hold, no folder is configured, or the file cannot be written.
    pub fn add(
        &self,
        account: Address,
        script: &Script,
        signature: &str,
    ) -> Result<PathBuf, Error> {
        let asked = self.asked.as_ref().ok_or_else(|| {
            Error::Config(
                "[ownership] is missing: name above_sat and dir in the configuration".into(),
            )
        })?;
        let signature = signature.trim().to_owned();
        self.check(account, script, &signature)
            .map_err(|error| Error::Config(format!("not kept: {error}")))?;
        let proof = Proof { account, script: format!("{script:x}"), signature };
        let text = serde_json::to_string_pretty(&proof);
        let text = text.map_err(|error| Error::Damaged(error.to_string()))?;
        let path = path(&asked.dir, account, script);
        let dir = &asked.dir;
        let fail = |error: std::io::Error| Error::File {
            path: dir.display().to_string(),
            why: error.to_string(),
        };
        std::fs::create_dir_all(dir).map_err(fail)?;
        offline::whole(&path, &text)?;
        // the name too
        std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail)?;
        Ok(path)
    }

    /// Whether a proof of this account and script is kept and holds.
    #[must_use]
    pub fn is_proven(&self, account: Address, script: &Script) -> bool {
        let Some(asked) = &self.asked else { return false };
        let path = path(&asked.dir, account, script);
        let Ok(text) = std::fs::read_to_string(&path) else { return false };
        let proof = serde_json::from_str::<Proof>(&text).ok();
        let held = proof.is_some_and(|proof| self.check(account, script, &proof.signature).is_ok());
        if !held {
            tracing::warn!(path = %path.display(), "this proof of ownership does not hold: ask for it again");
        }
        held
    }

    /// Accounts that were paid at least the threshold at once in the newest epochs and have shown no key for the script
    /// that they were last paid to. Nobody if nobody is asked.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn unproven(&self, store: &Store) -> Result<Vec<Unproven>, Error> {
        let Some(asked) = &self.asked else { return Ok(Vec::new()) };
        let states = newest(store).await?;
        Ok(large(&states, asked.above_sat)
            .into_iter()
            .filter(|(account, (script, _))| !self.is_proven(*account, script))
            .map(|(account, (script, sats))| Unproven {
                account,
                script: format!("{script:x}"),
                sats,
            })
            .collect())
    }

    /// The script that an account is paid to, or will be once its change counts; `None` if it has none.
    ///
    /// # Errors
    /// When no event carries the script, or the node does not answer.
    pub async fn registered(
        &self,
        chain: &Chain,
        account: Address,
    ) -> Result<Option<ScriptBuf>, Error> {
        let at = chain.finalized().await?;
        let epoch = EpochId(EpochId::at(at.timestamp).0.saturating_add(CHANGE));
        let registry = IPayoutRegistry::new(self.registry, chain.reader());
        let entry = registry.entryAt(account, epoch.0).block(BlockId::hash(at.hash)).call().await;
        let hash = entry.map_err(|error| rpc("entryAt", error))?.scriptHash;
        if hash.is_zero() {
            return Ok(None);
        }
        let script = chain.scripts().await?.get(&hash).cloned();
        let missing = || Error::mismatch(epoch, format!("no event carries the script {hash}"));
        script.map(Some).ok_or_else(missing)
    }
}

/// Of each account that was paid `above` sats or more at once: the script of its newest payment, and the most it was paid.
fn large(newest_first: &[State], above: u64) -> BTreeMap<Address, (ScriptBuf, u64)> {
    let mut all: BTreeMap<Address, (ScriptBuf, u64)> = BTreeMap::new();
    let intents = newest_first.iter().filter_map(State::intent);
    for payment in
        intents.flat_map(|intent| &intent.batches).flat_map(|batch| batch.payments.iter())
    {
        let sats = payment.output.value.to_sat();
        let script = || (payment.output.script_pubkey.clone(), 0);
        let most = &mut all.entry(payment.account).or_insert_with(script).1;
        *most = sats.max(*most);
    }
    all.retain(|_, (_, most)| *most >= above);
    all
}

/// States of the newest epochs, the newest first.
async fn newest(store: &Store) -> Result<Vec<State>, Error> {
    let mut states = Vec::new();
    for epoch in store.newest(EPOCHS).await? {
        states.extend(store.stored(epoch).await?);
    }
    Ok(states)
}

fn path(dir: &Path, account: Address, script: &Script) -> PathBuf {
    let hash = keccak256(script).to_string();
    dir.join(format!("{account:#x}-{}.json", hash.get(2..18).unwrap_or_default()))
}

#[cfg(test)]
#[path = "ownership_tests.rs"]
mod tests;
