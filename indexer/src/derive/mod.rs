//! From logs to derived rows: one module per contract, each a translation of its events and nothing more.

mod court;
mod ledger;
mod market;
mod oracle;
mod payout;
mod pool;
mod registry;
mod token;
mod upgrade;
mod value;

use std::collections::HashMap;

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::Log,
    sol_types::SolEventInterface,
};
use evm::{Deployment, bindings, quorum::OracleDomain};

use crate::{Error, store::writer::BlockWriter};

/// Calldata of the transactions whose events do not say everything.
pub(crate) type Inputs = HashMap<B256, Bytes>;

/// Which of our contracts an address is.
#[derive(Clone, Copy, Debug)]
enum Source {
    Registry,
    Sale,
    Market,
    FairValue,
    Oracle,
    PayoutRegistry,
    Ledger,
    Upgrader,
    RegistrarBond,
    Court,
    Token,
    Pool(u16),
    Queue(u16),
}

/// Our contracts by address.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    by_address: HashMap<Address, Source>,
    units: HashMap<Address, u16>,
    deployment: Deployment,
}

/// Where a log stands.
#[derive(Clone, Copy, Debug)]
struct At {
    block: u64,
    index: u64,
    timestamp: u64,
    txid: B256,
}

impl Sources {
    pub(crate) fn new(deployment: &Deployment) -> Self {
        let mut by_address = HashMap::from([
            (deployment.series_registry, Source::Registry),
            (deployment.primary_sale, Source::Sale),
            (deployment.position_market, Source::Market),
            (deployment.fair_value, Source::FairValue),
            (deployment.fleet_oracle, Source::Oracle),
            (deployment.payout_registry, Source::PayoutRegistry),
            (deployment.epoch_ledger, Source::Ledger),
            (deployment.series_upgrader, Source::Upgrader),
            (deployment.registrar_bond, Source::RegistrarBond),
            (deployment.ledger_court, Source::Court),
        ]);
        for series in &deployment.series {
            by_address.extend([
                (series.unit, Source::Token),
                (series.lp_share, Source::Token),
                (series.claim_token, Source::Token),
                (series.pool, Source::Pool(series.id.0)),
                (series.queue, Source::Queue(series.id.0)),
            ]);
        }
        let units = deployment.series.iter().map(|s| (s.unit, s.id.0)).collect();
        Self { by_address, units, deployment: deployment.clone() }
    }

    /// Transactions whose calldata is needed before these logs can be applied.
    pub(crate) fn wanted_inputs(logs: &[Log]) -> Vec<B256> {
        use alloy::sol_types::SolEvent;
        let wanted = [
            bindings::IFleetOracle::ReportPosted::SIGNATURE_HASH,
            bindings::IEpochLedger::PayoutProven::SIGNATURE_HASH,
        ];
        logs.iter()
            .filter(|log| log.topic0().is_some_and(|topic| wanted.contains(topic)))
            .filter_map(|log| log.transaction_hash)
            .collect()
    }

    const fn oracle_domain(&self) -> OracleDomain {
        OracleDomain { chain_id: self.deployment.chain_id, oracle: self.deployment.fleet_oracle }
    }
}

/// Applies one log. Logs of other addresses, and events that our interfaces do not name, stay raw.
pub(crate) async fn apply(
    writer: &mut BlockWriter<'_>,
    sources: &Sources,
    log: &Log,
    inputs: &Inputs,
) -> Result<(), Error> {
    let Some(source) = sources.by_address.get(&log.address()).copied() else { return Ok(()) };
    let at = At {
        block: writer.block.number,
        index: log.log_index.unwrap_or_default(),
        timestamp: writer.block.timestamp,
        txid: log.transaction_hash.unwrap_or_default(),
    };
    let input = inputs.get(&at.txid);
    macro_rules! event {
        ($events:ty, $event:ident => $apply:expr) => {
            match decode::<$events>(log)? {
                Some($event) => $apply.await,
                None => Ok(()),
            }
        };
    }
    use bindings as b;
    match source {
        Source::Registry => {
            event!(b::ISeriesRegistry::ISeriesRegistryEvents, e => registry::apply(writer, at, e))
        }
        Source::Sale => {
            event!(b::IPrimarySale::IPrimarySaleEvents, e => market::sale(writer, at, sources, e))
        }
        Source::Market => {
            event!(b::IPositionMarket::IPositionMarketEvents, e => market::apply(writer, at, sources, e))
        }
        Source::FairValue => {
            event!(b::IFairValue::IFairValueEvents, e => value::apply(writer, at, e))
        }
        Source::Oracle => {
            event!(b::IFleetOracle::IFleetOracleEvents, e => oracle::apply(writer, at, sources, input, e))
        }
        Source::PayoutRegistry => {
            event!(b::IPayoutRegistry::IPayoutRegistryEvents, e => payout::apply(writer, at, e))
        }
        Source::Ledger => {
            event!(b::IEpochLedger::IEpochLedgerEvents, e => ledger::apply(writer, at, input, e))
        }
        Source::Upgrader => {
            event!(b::ISeriesUpgrader::ISeriesUpgraderEvents, e => upgrade::apply(writer, at, e))
        }
        Source::RegistrarBond => {
            event!(b::IRegistrarBond::IRegistrarBondEvents, e => upgrade::bond(writer, at, e))
        }
        Source::Court => {
            event!(b::ILedgerCourt::ILedgerCourtEvents, e => court::apply(writer, at, e))
        }
        Source::Token => {
            event!(b::ITwabToken::ITwabTokenEvents, e => token::apply(writer, log.address(), e))
        }
        Source::Pool(series) => {
            event!(b::IBuybackPool::IBuybackPoolEvents, e => pool::apply(writer, at, sources, series, e))
        }
        Source::Queue(series) => {
            event!(b::IExitQueue::IExitQueueEvents, e => pool::queue(writer, at, series, e))
        }
    }
}

/// The event, or `None` when the interface does not name it.
fn decode<E: SolEventInterface + KnownTopics>(log: &Log) -> Result<Option<E>, evm::Error> {
    if !log.topic0().is_some_and(|topic| E::knows(topic)) {
        return Ok(None);
    }
    match E::decode_log(&log.inner) {
        Ok(event) => Ok(Some(event.data)),
        Err(error) => Err(evm::Error::Log {
            block: log.block_number.unwrap_or_default(),
            index: log.log_index.unwrap_or_default(),
            why: error.to_string(),
        }),
    }
}

/// Whether an interface names an event.
trait KnownTopics {
    fn knows(topic: &B256) -> bool;
}

macro_rules! known_topics {
    ($($events:ty),+ $(,)?) => { $(impl KnownTopics for $events {
        fn knows(topic: &B256) -> bool {
            Self::SELECTORS.iter().any(|known| known == topic.as_slice())
        }
    })+ };
}
known_topics!(
    bindings::ISeriesRegistry::ISeriesRegistryEvents,
    bindings::IPrimarySale::IPrimarySaleEvents,
    bindings::IPositionMarket::IPositionMarketEvents,
    bindings::IFairValue::IFairValueEvents,
    bindings::IFleetOracle::IFleetOracleEvents,
    bindings::IPayoutRegistry::IPayoutRegistryEvents,
    bindings::IEpochLedger::IEpochLedgerEvents,
    bindings::ISeriesUpgrader::ISeriesUpgraderEvents,
    bindings::IRegistrarBond::IRegistrarBondEvents,
    bindings::ILedgerCourt::ILedgerCourtEvents,
    bindings::ITwabToken::ITwabTokenEvents,
    bindings::IBuybackPool::IBuybackPoolEvents,
    bindings::IExitQueue::IExitQueueEvents,
);

/// A Bitcoin hash as people write it: contracts keep internal byte order, the reverse.
fn bitcoin_hash(internal: B256) -> String {
    let mut bytes = internal.0;
    bytes.reverse();
    hex::encode(bytes)
}
