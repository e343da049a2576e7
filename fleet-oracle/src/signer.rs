//! One signer: observes once per epoch, signs once per epoch and round, attests batches that it knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use alloy::{
    primitives::{Address, B256, Keccak256, Signature},
    signers::{SignerSync, local::PrivateKeySigner},
};
use clock::Clock;
use domain::{EpochId, SeriesId};
use serde::{Deserialize, Serialize};

use crate::{
    batch::{self, BatchFields, MachineList},
    chain::Chain,
    config::Config,
    observation::{Domain, Observation, SignedObservation},
    reading::Reader,
    report::{ChainView, Combined, Tolerances, agrees, combine, splits_alike},
    store::{Signed, Store, StoreError},
};

/// The round of a report of production.
pub const ROUND: u16 = 0;

/// A request to sign: the observations that the report follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignRequest {
    /// Epoch.
    pub epoch: EpochId,
    /// Signed observations of distinct signers, any order.
    pub observations: Vec<SignedObservation>,
}

/// A request to sign, by the signer who leads. What a signer signs first binds it for the epoch, so nobody else may
/// choose the observations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedRequest {
    /// What is to be signed.
    pub request: SignRequest,
    /// The leader's signature over it: 65 bytes, hex.
    pub signature: String,
}

/// A signature over the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignAnswer {
    /// What was signed.
    pub digest: B256,
    /// 65 bytes, hex.
    pub signature: String,
}

/// Why a signer refuses.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request is of no use, now or ever.
    #[error("{0}")]
    Bad(String),
    /// Not now: the epoch is not over, or not the next one.
    #[error("{0}")]
    NotNow(String),
    /// This signer has signed another report of this epoch and round.
    #[error("this signer is bound to digest {0} for this epoch and round")]
    Bound(B256),
    /// It sees something else itself.
    #[error("{0}")]
    Disagrees(String),
    /// Its own sources or its store fail.
    #[error("{0}")]
    Trouble(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Trouble(error.to_string())
    }
}

impl From<evm::Error> for Refusal {
    fn from(error: evm::Error) -> Self {
        Self::Trouble(error.to_string())
    }
}

/// What `/status` shows beside the store.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Last epoch whose report this signer saw on chain.
    pub last_posted: Option<u32>,
    /// Epoch and attempt at hand.
    pub attempt: Option<(u32, u64)>,
    /// Last trouble.
    pub trouble: Option<String>,
    /// Peers by their last answer.
    pub peers: BTreeMap<Address, String>,
}

/// One signer process.
#[derive(Debug)]
pub struct Signer {
    /// Configuration.
    pub config: Config,
    /// The contracts.
    pub chain: Chain,
    /// Chain time.
    pub clock: Clock,
    /// Own store.
    pub store: Store,
    /// What signatures are bound to.
    pub domain: Domain,
    /// Status.
    pub notes: Mutex<Notes>,
    pub(crate) key: PrivateKeySigner,
    reader: Reader,
    pub(crate) machines: MachineList,
    /// One reading at a time.
    pub(crate) reading: tokio::sync::Mutex<()>,
}

impl Signer {
    /// Puts a signer together.
    #[must_use]
    pub fn new(
        config: Config,
        chain: Chain,
        clock: Clock,
        store: Store,
        key: PrivateKeySigner,
        machines: MachineList,
    ) -> Self {
        let deployment = chain.deployment();
        let domain = Domain {
            chain_id: deployment.chain_id,
            oracle: deployment.fleet_oracle,
            registry: deployment.series_registry,
        };
        let reader = Reader::new(config.clone());
        let (notes, reading) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { config, chain, clock, store, domain, notes, key, reader, machines, reading }
    }

    /// This signer's address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.key.address()
    }

    /// Changes the notes for `/status`.
    pub fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Chain time at which an epoch is observed.
    #[must_use]
    pub fn due(&self, epoch: EpochId) -> u64 {
        epoch.end().saturating_add(self.config.timing.observe_after_seconds)
    }

    /// This signer's observation of an epoch: made once, written down, then the same for ever.
    ///
    /// # Errors
    /// When the epoch is not the next to report or not over, or a source fails.
    pub async fn observe(&self, epoch: EpochId) -> Result<SignedObservation, Refusal> {
        let _one_at_a_time = self.reading.lock().await;
        if let Some(made) = self.store.observation(epoch).await? {
            return Ok(made);
        }
        let now = self.clock.now();
        let next = self.chain.next_epoch().await?;
        if epoch != next || now < self.due(epoch) {
            let due = self.due(next);
            return Err(Refusal::NotNow(format!(
                "epoch {next} is next, observed from {due}; it is {now}"
            )));
        }
        let view = self.chain.view().await?;
        let observation = self.read(&view, now).await?;
        let made = self.domain.sign(&observation, &self.key).map_err(Refusal::Trouble)?;
        Ok(self.store.keep_observation(epoch, &made).await?)
    }

    async fn read(&self, view: &ChainView, now: u64) -> Result<Observation, Refusal> {
        let read = self.reader.read(&self.store, view, now).await;
        read.map_err(|error| Refusal::Trouble(error.to_string()))
    }

    /// Checks the observations and computes their report.
    ///
    /// # Errors
    /// When they are not a quorum of distinct signers' over the next epoch.
    pub async fn combined(&self, request: &SignRequest) -> Result<(ChainView, Combined), Refusal> {
        let next = self.chain.next_epoch().await?;
        if request.epoch != next || self.clock.now() < request.epoch.end() {
            let asked = request.epoch;
            return Err(Refusal::NotNow(format!(
                "epoch {next} is next, not {asked}, or it is not over"
            )));
        }
        let view = self.chain.view().await?;
        let (mut seen, mut observations) = (BTreeSet::new(), BTreeMap::new());
        for signed in &request.observations {
            let opened = self.domain.open(signed, &view.signers);
            let (signer, observation) = opened.map_err(|error| Refusal::Bad(error.to_string()))?;
            if !seen.insert(signer) {
                return Err(Refusal::Bad(format!("two observations of {signer}")));
            }
            observations.insert(signer, observation);
        }
        let observations: Vec<Observation> = observations.into_values().collect();
        let combined = combine(&view, &observations, &self.deductions());
        let combined = combined.map_err(|error| Refusal::Bad(error.to_string()))?;
        Ok((view, combined))
    }

    fn deductions(&self) -> BTreeMap<SeriesId, u64> {
        self.config.deductions.iter().map(|one| (one.series, one.sats_per_epoch)).collect()
    }

    /// Signs the report of these observations, if it follows from them, agrees with this signer's own reading, and
    /// nothing else was signed for the epoch and round. The binding is on disk before the signature exists.
    ///
    /// # Errors
    /// With the reason, when it does not sign.
    pub async fn sign(&self, request: &SignRequest) -> Result<SignAnswer, Refusal> {
        let (view, combined) = self.combined(request).await?;
        let digest = self.domain.report_digest(&combined.report);
        if let Some(bound) = self.store.signed(request.epoch, ROUND).await?
            && bound.digest != digest
        {
            return Err(Refusal::Bound(bound.digest));
        }
        let made = self.observe(request.epoch).await?;
        let (_, own) = self
            .domain
            .open(&made, &[self.address()])
            .map_err(|e| Refusal::Trouble(e.to_string()))?;
        if let Err(why) = self.check(&view, &combined, &own) {
            // What was observed may have grown since: a receipt confirmed a moment later counts too.
            let _one_at_a_time = self.reading.lock().await;
            let fresh = self.read(&view, self.clock.now()).await?;
            tracing::info!(epoch = %request.epoch, "reading again: {why}");
            self.check(&view, &combined, &fresh).map_err(Refusal::Disagrees)?;
        }
        let request =
            serde_json::to_string(request).map_err(|e| Refusal::Trouble(e.to_string()))?;
        let bound = self.store.bind(view.epoch, ROUND, &Signed { digest, request }).await?;
        if bound.digest != digest {
            return Err(Refusal::Bound(bound.digest));
        }
        let signature =
            self.key.sign_hash_sync(&digest).map_err(|e| Refusal::Trouble(e.to_string()))?;
        Ok(SignAnswer { digest, signature: hex::encode(signature.as_bytes()) })
    }

    /// This signer's request to the others.
    ///
    /// # Errors
    /// When the key refuses.
    pub fn lead(&self, request: &SignRequest) -> Result<LedRequest, Refusal> {
        self.domain.lead(request, &self.key).map_err(Refusal::Trouble)
    }

    /// Signs what another signer asks for.
    ///
    /// # Errors
    /// When nobody of the signer set asks, and as [`Signer::sign`].
    pub async fn sign_led(&self, led: &LedRequest) -> Result<SignAnswer, Refusal> {
        let signers = self.chain.signers().await?;
        self.domain.led_by(led, &signers).map_err(Refusal::Bad)?;
        self.sign(&led.request).await
    }

    fn check(
        &self,
        view: &ChainView,
        combined: &Combined,
        own: &Observation,
    ) -> Result<(), String> {
        let alone = ChainView { quorum: 1, ..view.clone() };
        let own_report = combine(&alone, std::slice::from_ref(own), &self.deductions());
        let own_report = own_report.map_err(|error| error.to_string())?;
        let tolerances = Tolerances {
            price: self.config.tolerances.price_ppm,
            hardware: self.config.tolerances.hardware_ppm,
            work: self.config.tolerances.work_ppm,
        };
        agrees(combined, own, &own_report.report, tolerances)?;
        let same_receipts = Observation { receipts: combined.receipts.clone(), ..own.clone() };
        let own_split = combine(&alone, &[same_receipts], &self.deductions());
        let own_split = own_split.map_err(|error| error.to_string())?;
        splits_alike(combined, &own_split.report, tolerances.work)
    }

    /// Attests a batch that equals the one in this signer's own machine list.
    ///
    /// # Errors
    /// With what differs.
    pub async fn attest(&self, fields: &BatchFields) -> Result<String, Refusal> {
        let known = self.machines.find(fields.series, fields.nonce).ok_or_else(|| {
            Refusal::Disagrees(format!(
                "this signer knows no batch {} of series {}",
                fields.nonce, fields.series
            ))
        })?;
        let per_unit = batch::per_unit(&self.chain.registry(), fields.series).await?;
        let own = known
            .fields(per_unit)
            .ok_or_else(|| Refusal::Bad("the batch makes no units".into()))?;
        if own != *fields {
            return Err(Refusal::Disagrees(format!(
                "this signer's machine list makes {own:?}, not {fields:?}"
            )));
        }
        let digest = self.domain.batch_digest(&fields.into());
        let signature =
            self.key.sign_hash_sync(&digest).map_err(|e| Refusal::Trouble(e.to_string()))?;
        Ok(hex::encode(signature.as_bytes()))
    }
}

impl Domain {
    fn request_digest(&self, request: &SignRequest) -> Result<B256, String> {
        let text = serde_json::to_string(request).map_err(|error| error.to_string())?;
        let mut hasher = Keccak256::new();
        hasher.update(b"Liquid Hashrate sign request v1");
        hasher.update(self.chain_id.to_be_bytes());
        hasher.update(self.oracle);
        hasher.update(text.as_bytes());
        Ok(hasher.finalize())
    }

    fn lead(&self, request: &SignRequest, key: &PrivateKeySigner) -> Result<LedRequest, String> {
        let digest = self.request_digest(request)?;
        let signature = key.sign_hash_sync(&digest).map_err(|error| error.to_string())?;
        let signature = hex::encode(signature.as_bytes());
        Ok(LedRequest { request: request.clone(), signature })
    }

    fn led_by(&self, led: &LedRequest, signers: &[Address]) -> Result<Address, String> {
        let digest = self.request_digest(&led.request)?;
        let bytes = hex::decode(&led.signature).map_err(|error| error.to_string())?;
        let signature = Signature::from_raw(&bytes).map_err(|error| error.to_string())?;
        let who = signature.recover_address_from_prehash(&digest);
        let who = who.map_err(|error| error.to_string())?;
        let known = signers.contains(&who).then_some(who);
        known.ok_or_else(|| format!("the request is of {who}, who is not in the signer set"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_signer_can_ask_for_a_signature() {
        let (oracle, registry) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let domain = Domain { chain_id: 1, oracle, registry };
        let (key, stranger) = (PrivateKeySigner::random(), PrivateKeySigner::random());
        let observation = SignedObservation { body: "{}".into(), signature: "00".into() };
        let request = SignRequest { epoch: EpochId(7), observations: vec![observation] };
        let signers = [key.address()];
        let led = domain.lead(&request, &key).unwrap();
        let travelled = serde_json::to_string(&led).unwrap();
        let led: LedRequest = serde_json::from_str(&travelled).unwrap();
        assert_eq!(domain.led_by(&led, &signers), Ok(key.address()));
        let foreign = domain.lead(&request, &stranger).unwrap();
        assert!(domain.led_by(&foreign, &signers).unwrap_err().contains("not in the signer set"));
        let mut changed = led;
        changed.request.observations.clear();
        assert!(domain.led_by(&changed, &signers).is_err());
    }
}
