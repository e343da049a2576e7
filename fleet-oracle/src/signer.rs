//! One signer: observes once per epoch, signs once per epoch and round, attests batches that it knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use crate::{
    batch::{self, BatchFields, MachineList},
    chain::Chain,
    config::Config,
    observation::{Domain, Observation, SignedObservation},
    reading::Reader,
    report::{ChainView, Combined, Tolerances, agrees, combine, splits_alike},
    request::{LedRequest, SignRequest, leader},
    store::{Seen, Signed, Store, StoreError},
};
use alloy::{
    primitives::{Address, B256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use clock::Clock;
use domain::{EpochId, SeriesId};
use evm::quorum;

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
    #[error("this signer is bound to report {0} for this epoch and round")]
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
    /// Epoch and round at hand.
    pub round: Option<(u32, u16)>,
    /// Whether this signer's signature counts: in the set, with the minimum stake.
    pub counts: Option<bool>,
    /// Proofs that a peer signed two reports of one epoch and round, posted by this signer.
    pub slashed: Vec<Address>,
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
        let mut combined = combined.map_err(|error| Refusal::Bad(error.to_string()))?;
        combined.report.round = request.round;
        Ok((view, combined))
    }

    /// The round of an epoch that runs by this signer's clock.
    #[must_use]
    pub fn round(&self, epoch: EpochId) -> u16 {
        let passed = self.clock.now().saturating_sub(self.due(epoch));
        let round = passed.checked_div(self.config.timing.attempt_seconds).unwrap_or_default();
        u16::try_from(round).unwrap_or(u16::MAX)
    }

    fn deductions(&self) -> BTreeMap<SeriesId, u64> {
        self.config.deductions.iter().map(|one| (one.series, one.sats_per_epoch)).collect()
    }

    /// Signs the report of these observations, if its round has begun, it follows from them, agrees with this signer's
    /// own reading, and nothing else was signed for the epoch and round or in a later one. The binding is on disk before
    /// the signature exists.
    ///
    /// # Errors
    /// With the reason, when it does not sign.
    pub async fn sign(&self, request: &SignRequest) -> Result<Seen, Refusal> {
        let (epoch, round) = (request.epoch, request.round);
        let running = self.round(epoch);
        if round > running {
            return Err(Refusal::NotNow(format!("round {round} of epoch {epoch}: {running} runs")));
        }
        let (view, combined) = self.combined(request).await?;
        let hash = quorum::report_hash(&combined.report);
        if let Some(bound) = self.store.signed(epoch, round).await?
            && bound.hash != hash
        {
            return Err(Refusal::Bound(bound.hash));
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
        match self.store.bind(epoch, round, &Signed { hash, request }).await? {
            Some(bound) if bound.hash == hash => {}
            Some(bound) => return Err(Refusal::Bound(bound.hash)),
            None => {
                return Err(Refusal::NotNow(format!(
                    "round {round} of epoch {epoch} was left behind: this signer signed a later one"
                )));
            }
        }
        let digest = self.domain.quorum().digest(epoch.0, round, hash);
        let signature = self.sign_digest(digest)?;
        let seen = Seen { epoch: epoch.0, round, hash, signature };
        self.store.see(self.address(), &seen).await?;
        Ok(seen)
    }

    fn sign_digest(&self, digest: B256) -> Result<String, Refusal> {
        let signature = self.key.sign_hash_sync(&digest);
        let signature = signature.map_err(|error| Refusal::Trouble(error.to_string()))?;
        Ok(hex::encode(signature.as_bytes()))
    }

    /// Agrees that the epoch, over for long and unreported, is a gap: signs that under the present signer set.
    ///
    /// # Errors
    /// When the epoch is not the next one, or it is too early.
    pub async fn sign_gap(&self, epoch: EpochId) -> Result<String, Refusal> {
        let (next, now) = (self.chain.next_epoch().await?, self.clock.now());
        let from = epoch.end().saturating_add(self.config.timing.gap_after_seconds);
        if epoch != next || now < from {
            return Err(Refusal::NotNow(format!(
                "epoch {next} is next; {epoch} is a gap to this signer from {from}, it is {now}"
            )));
        }
        let config = self.chain.config_digest().await?;
        self.sign_digest(self.domain.quorum().gap(epoch.0, config))
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
    /// When anybody but the round's leader asks, and as [`Signer::sign`].
    pub async fn sign_led(&self, led: &LedRequest) -> Result<Seen, Refusal> {
        let signers = self.chain.signers().await?;
        let who = self.domain.led_by(led, &signers).map_err(Refusal::Bad)?;
        let (epoch, round) = (led.request.epoch, led.request.round);
        if leader(epoch, round, &signers) != Some(who) {
            return Err(Refusal::Bad(format!(
                "{who} does not lead round {round} of epoch {epoch}"
            )));
        }
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
        self.sign_digest(self.domain.batch_digest(&fields.into()))
    }
}
