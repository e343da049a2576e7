//! The EVM chain as settlement reads it: reports, scripts, wrappers, commitments, all at blocks that stay.

use std::sync::Arc;

use alloy::{
    eips::BlockId,
    primitives::{Address, B256},
    providers::Provider,
};
use domain::EpochId;
use evm::{
    BlockRef, Deployment, DynProvider, Finality,
    bindings::{IEpochLedger, IFleetOracle},
    block_at, decoded, logs_between,
};

use crate::error::Error;

mod commitments;
mod history;

pub use commitments::Committed;
pub use history::Places;

/// Two endpoints that read, and where our contracts are.
#[derive(Clone, Debug)]
pub struct Chain {
    readers: [DynProvider; 2],
    history: Arc<history::History>,
    /// Our contracts.
    pub deployment: Deployment,
}

/// An epoch's report as far as payouts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Struct hash; zero for a declared gap.
    pub hash: B256,
    /// The report; `None` for a gap.
    pub body: Option<IFleetOracle::FleetReport>,
}

impl Chain {
    /// Connects to both endpoints and checks that they speak for the deployment's chain.
    ///
    /// # Errors
    /// When an endpoint does not answer or is on another chain.
    pub async fn connect(urls: &[String; 2], deployment: Deployment) -> Result<Self, Error> {
        let [first, second] = urls;
        let readers = [evm::connect(first)?, evm::connect(second)?];
        for reader in &readers {
            deployment.check_chain(reader).await?;
        }
        Ok(Self { readers, history: Arc::default(), deployment })
    }

    /// The endpoint that bulk reads go to.
    #[must_use]
    pub const fn reader(&self) -> &DynProvider {
        let [first, _] = &self.readers;
        first
    }

    /// The newest finalized block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn finalized(&self) -> Result<BlockRef, Error> {
        Ok(block_at(self.reader(), Finality::Finalized).await?)
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> IEpochLedger::IEpochLedgerInstance<DynProvider> {
        IEpochLedger::new(self.deployment.epoch_ledger, self.reader().clone())
    }

    /// The oracle.
    #[must_use]
    pub fn oracle(&self) -> IFleetOracle::IFleetOracleInstance<DynProvider> {
        IFleetOracle::new(self.deployment.fleet_oracle, self.reader().clone())
    }

    /// The epoch's report at a finalized block, checked against the hash that the oracle keeps; `None` if the epoch is
    /// not settled there.
    ///
    /// # Errors
    /// When the event does not match the hash, or the node does not answer.
    pub async fn report(&self, epoch: EpochId, at: &BlockRef) -> Result<Option<Report>, Error> {
        let (oracle, block) = (self.oracle(), BlockId::hash(at.hash));
        let settled = oracle.settled(epoch.0).block(block).call().await;
        if !settled.map_err(|error| rpc("settled", error))? {
            return Ok(None);
        }
        let hash = oracle.reportHash(epoch.0).block(block).call().await;
        let hash = hash.map_err(|error| rpc("reportHash", error))?;
        if hash.is_zero() {
            return Ok(Some(Report { hash, body: None }));
        }
        let body = self.posted(epoch, hash).await?.ok_or_else(|| {
            Error::mismatch(epoch, format!("no ReportPosted event hashes to the oracle's {hash}"))
        })?;
        Ok(Some(Report { hash, body: Some(body) }))
    }

    /// Every `E` of a contract up to a block, in order.
    ///
    /// # Errors
    /// When the node does not answer or a log does not decode.
    pub async fn logs<E: alloy::sol_types::SolEvent>(
        &self,
        contract: Address,
        at: &BlockRef,
    ) -> Result<Vec<E>, Error> {
        let topic = Some(E::SIGNATURE_HASH);
        let from = self.deployment.block;
        let logs = logs_between(self.reader(), &[contract], topic, from, at.number).await?;
        Ok(decoded::<E>(&logs)?.into_iter().map(|(event, _)| event).collect())
    }

    /// Whether both endpoints hold `hash` for the epoch's record in a finalized block.
    async fn holds_finally(&self, epoch: EpochId, hash: B256) -> Result<bool, Error> {
        for reader in &self.readers {
            let block = block_at(reader, Finality::Finalized).await?;
            let ledger = IEpochLedger::new(self.deployment.epoch_ledger, reader.clone());
            let found =
                ledger.commitmentHash(epoch.0).block(BlockId::hash(block.hash)).call().await;
            let found = found.map_err(|error| rpc("commitmentHash", error))?;
            if found.is_zero() {
                return Ok(false);
            }
            if found != hash {
                let what = format!("the ledger holds record {found}, the one we know is {hash}");
                return Err(Error::mismatch(epoch, what));
            }
        }
        Ok(true)
    }

    /// Every `E` of a contract in blocks that are final at both endpoints, in order; both must tell the same.
    ///
    /// # Errors
    /// When the endpoints differ, or one does not answer.
    pub async fn agreed_logs<E>(&self, contract: Address) -> Result<Vec<E>, Error>
    where
        E: alloy::sol_types::SolEvent + PartialEq,
    {
        let [first, second] = &self.readers;
        let tips = [
            block_at(first, Finality::Finalized).await?.number,
            block_at(second, Finality::Finalized).await?.number,
        ];
        let to = tips.into_iter().min().unwrap_or_default();
        let (topic, from) = (Some(E::SIGNATURE_HASH), self.deployment.block);
        let mut told = Vec::with_capacity(2);
        for reader in &self.readers {
            let logs = logs_between(reader, &[contract], topic, from, to).await?;
            let events = decoded::<E>(&logs)?.into_iter().map(|(event, _)| event);
            told.push(events.collect::<Vec<E>>());
        }
        let theirs = told.pop();
        let ours = told.pop();
        match ours {
            Some(ours) if Some(&ours) == theirs.as_ref() => Ok(ours),
            _ => Err(rpc(E::SIGNATURE, "the two endpoints tell different events")),
        }
    }

    /// Whether a batch is proven in a finalized block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn proven_finally(&self, epoch: EpochId, batch: u16) -> Result<bool, Error> {
        let block = BlockId::hash(self.finalized().await?.hash);
        let proven = self.ledger().batchProven(epoch.0, batch).block(block).call().await;
        proven.map_err(|error| rpc("batchProven", error))
    }

    /// The first baton as `setBaton` named it: txid (internal byte order) and index.
    ///
    /// # Errors
    /// When it is not set, or the node does not answer.
    pub async fn first_baton(&self) -> Result<(B256, u32), Error> {
        let ledger = self.deployment.epoch_ledger;
        let events = self.agreed_logs::<IEpochLedger::BatonSet>(ledger).await?;
        let first = events.into_iter().next();
        let first = first.ok_or_else(|| {
            Error::Config("the ledger has no baton yet: fund `settlement address baton-genesis` and call setBaton".into())
        })?;
        Ok((first.txid, first.vout))
    }

    /// Unix seconds of the newest block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn now(&self) -> Result<u64, Error> {
        Ok(block_at(self.reader(), Finality::Latest).await?.timestamp)
    }

    /// The chain id, as a sign of life.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn ping(&self) -> Result<u64, Error> {
        self.reader().get_chain_id().await.map_err(|error| rpc("chain id", error))
    }
}

/// A failed read as an error that may be tried again.
pub(crate) fn rpc(doing: &str, why: impl std::fmt::Display) -> Error {
    Error::Evm(evm::Error::rpc(doing, why))
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
