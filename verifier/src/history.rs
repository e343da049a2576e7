//! Every event of the deployment, decoded once, in chain order.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    rpc::types::Log,
    sol_types::SolEvent,
};
use evm::{
    Deployment,
    bindings::{
        IEpochLedger, IFairValue, IFleetOracle, ILedgerCourt, IPayoutRegistry, ISeriesRegistry,
        ITwabToken,
    },
};

use crate::{Error, chain::Chain};

/// Where and when an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Block number.
    pub block: u64,
    /// Log index in the block.
    pub index: u64,
    /// Block time, unix seconds.
    pub time: u64,
    /// Transaction.
    pub tx: B256,
}

/// An event with its place.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// Its place.
    pub at: Stamp,
    /// The event.
    pub event: T,
}

/// A transfer of tokens; mints come from zero and burns go to it.
#[derive(Clone, Debug)]
pub struct Move {
    /// Its place.
    pub at: Stamp,
    /// Sender.
    pub from: Address,
    /// Receiver.
    pub to: Address,
    /// Token units.
    pub amount: U256,
}

/// A change of an account's payout script.
#[derive(Clone, Debug)]
pub enum ScriptChange {
    /// Registered, to count from an epoch.
    Set(IPayoutRegistry::ScriptRegistered),
    /// Cancelled before it counted.
    Cancelled(IPayoutRegistry::ScriptCancelled),
}

/// Everything that happened, by kind.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Transfers of each unit, LP share and claim token.
    pub transfers: BTreeMap<Address, Vec<Move>>,
    /// Series created.
    pub series: Vec<At<ISeriesRegistry::SeriesCreated>>,
    /// Batches of machines registered.
    pub batches: Vec<At<ISeriesRegistry::BatchRegistered>>,
    /// Signer sets.
    pub signer_sets: Vec<At<IFleetOracle::SignerSet>>,
    /// Reports.
    pub reports: Vec<At<IFleetOracle::ReportPosted>>,
    /// Prices posted apart from reports.
    pub valuations: Vec<At<IFleetOracle::ValuationPosted>>,
    /// Stakes deposited.
    pub staked: Vec<At<IFleetOracle::Staked>>,
    /// Stakes paid out.
    pub unstaked: Vec<At<IFleetOracle::Unstaked>>,
    /// Stakes taken.
    pub slashed: Vec<At<IFleetOracle::Slashed>>,
    /// Reports and valuations that moved fair value.
    pub applied: Vec<At<IFairValue::Applied>>,
    /// Epochs without a report.
    pub gaps: Vec<At<IFleetOracle::GapDeclared>>,
    /// Payout scripts.
    pub scripts: Vec<At<ScriptChange>>,
    /// Payout roots.
    pub commits: Vec<At<IEpochLedger::Committed>>,
    /// Payouts proven.
    pub proofs: Vec<At<IEpochLedger::PayoutProven>>,
    /// Wrappers added.
    pub wrappers: Vec<At<IEpochLedger::WrapperAdded>>,
    /// First batons; there should be one.
    pub batons: Vec<At<IEpochLedger::BatonSet>>,
    /// Challenges that the court upheld.
    pub upheld: Vec<At<ILedgerCourt::Upheld>>,
    /// What it added to bases.
    pub corrections: Vec<At<ILedgerCourt::Corrected>>,
    /// Demands that were answered.
    pub answered: Vec<At<ILedgerCourt::Answered>>,
    /// Calldata of upheld challenges and of answers: what was shown of the trees.
    pub shown: Vec<Bytes>,
    /// Valuations.
    pub valued: Vec<At<IFairValue::Valued>>,
    /// Valuation schedules.
    pub params: Vec<At<IFairValue::ParamsSet>>,
    /// Every other log of ours: access rights, market, pools.
    pub others: Vec<(Stamp, Log)>,
}

impl History {
    /// Reads the logs of the deployment's contracts and of its access manager.
    ///
    /// # Errors
    /// When the node does not answer, or a log does not decode.
    pub async fn read(chain: &Chain, deployment: &Deployment) -> Result<Self, Error> {
        let mut addresses = deployment.addresses();
        addresses.extend([
            deployment.access_manager,
            deployment.bitcoin_relay,
            deployment.hash_proof,
        ]);
        let logs = chain.logs(&addresses, deployment.block).await?;
        let named = logs.list.iter();
        let named = named.filter_map(|log| Some((log.block_number?, log.block_hash?)));
        let heads = chain.times(&named.collect(), logs.kept).await?;
        let tokens: BTreeSet<Address> =
            deployment.series.iter().flat_map(|s| [s.unit, s.lp_share, s.claim_token]).collect();
        let mut history = Self::default();
        for log in logs.list {
            let block = log.block_number.unwrap_or_default();
            let (time, hash) = heads
                .get(&block)
                .copied()
                .ok_or_else(|| Error::decode(format!("block {block}"), "it is missing"))?;
            if log.block_hash != Some(hash) {
                return Err(Error::decode(
                    format!("log of block {block}"),
                    "its block hash is not that of the block: the node contradicts itself",
                ));
            }
            let at = Stamp {
                block,
                index: log.log_index.unwrap_or_default(),
                time,
                tx: log.transaction_hash.unwrap_or_default(),
            };
            history.take(deployment, &tokens, at, log)?;
        }
        let upheld = history.upheld.iter().map(|at| at.at.tx);
        let answered = history.answered.iter().map(|at| at.at.tx);
        let exhibits: BTreeSet<B256> = upheld.chain(answered).collect();
        let exhibits: Vec<B256> = exhibits.into_iter().collect();
        history.shown = chain.inputs(&exhibits).await?;
        Ok(history)
    }

    fn take(
        &mut self,
        deployment: &Deployment,
        tokens: &BTreeSet<Address>,
        at: Stamp,
        log: Log,
    ) -> Result<(), Error> {
        let (source, topic) = (log.address(), log.topic0().copied().unwrap_or_default());
        macro_rules! kinds {
            ($($from:expr => $event:path, $list:ident;)+) => {
                $(if source == $from && topic == <$event>::SIGNATURE_HASH {
                    self.$list.push(At { at, event: decode::<$event>(&log)? });
                    return Ok(());
                })+
            };
        }
        kinds! {
            deployment.series_registry => ISeriesRegistry::SeriesCreated, series;
            deployment.series_registry => ISeriesRegistry::BatchRegistered, batches;
            deployment.fleet_oracle => IFleetOracle::SignerSet, signer_sets;
            deployment.fleet_oracle => IFleetOracle::ReportPosted, reports;
            deployment.fleet_oracle => IFleetOracle::GapDeclared, gaps;
            deployment.fleet_oracle => IFleetOracle::ValuationPosted, valuations;
            deployment.fleet_oracle => IFleetOracle::Staked, staked;
            deployment.fleet_oracle => IFleetOracle::Unstaked, unstaked;
            deployment.fleet_oracle => IFleetOracle::Slashed, slashed;
            deployment.fair_value => IFairValue::Applied, applied;
            deployment.epoch_ledger => IEpochLedger::Committed, commits;
            deployment.epoch_ledger => IEpochLedger::PayoutProven, proofs;
            deployment.epoch_ledger => IEpochLedger::WrapperAdded, wrappers;
            deployment.epoch_ledger => IEpochLedger::BatonSet, batons;
            deployment.ledger_court => ILedgerCourt::Upheld, upheld;
            deployment.ledger_court => ILedgerCourt::Corrected, corrections;
            deployment.ledger_court => ILedgerCourt::Answered, answered;
            deployment.fair_value => IFairValue::Valued, valued;
            deployment.fair_value => IFairValue::ParamsSet, params;
        }
        if source == deployment.payout_registry {
            if topic == IPayoutRegistry::ScriptRegistered::SIGNATURE_HASH {
                let event = ScriptChange::Set(decode(&log)?);
                self.scripts.push(At { at, event });
            } else if topic == IPayoutRegistry::ScriptCancelled::SIGNATURE_HASH {
                let event = ScriptChange::Cancelled(decode(&log)?);
                self.scripts.push(At { at, event });
            }
        } else if tokens.contains(&source) && topic == ITwabToken::Transfer::SIGNATURE_HASH {
            let ITwabToken::Transfer { from, to, amount } = decode(&log)?;
            self.transfers.entry(source).or_default().push(Move { at, from, to, amount });
        } else {
            self.others.push((at, log));
        }
        Ok(())
    }

    /// The other logs of one contract that are event `E`.
    ///
    /// # Errors
    /// When one has the event's topic and does not decode.
    pub fn of<E: SolEvent>(&self, contract: Address) -> Result<Vec<At<E>>, Error> {
        self.others
            .iter()
            .filter(|(_, log)| {
                log.address() == contract && log.topic0() == Some(&E::SIGNATURE_HASH)
            })
            .map(|(at, log)| Ok(At { at: *at, event: decode(log)? }))
            .collect()
    }

    /// The report of an epoch.
    #[must_use]
    pub fn report(&self, epoch: u32) -> Option<&At<IFleetOracle::ReportPosted>> {
        self.reports.iter().find(|report| report.event.epoch == epoch)
    }

    /// The commitment of an epoch.
    #[must_use]
    pub fn commit(&self, epoch: u32) -> Option<&At<IEpochLedger::Committed>> {
        self.commits.iter().find(|commit| commit.event.epoch == epoch)
    }
}

fn decode<E: SolEvent>(log: &Log) -> Result<E, Error> {
    E::decode_log(&log.inner).map(|event| event.data).map_err(|error| {
        let place = (log.block_number.unwrap_or_default(), log.log_index.unwrap_or_default());
        Error::decode(format!("{} in log {} of block {}", E::SIGNATURE, place.1, place.0), error)
    })
}
