//! The court as settlement watches it: the bond and what it should be, and the demands that wait for an answer.

use alloy::{
    eips::BlockId,
    primitives::{Address, U256},
    sol,
};
use domain::EpochId;
use evm::{DynProvider, bindings::ILedgerCourt};
use serde::Serialize;

use crate::{chain::rpc, error::Error};

/// Seconds in which a demand must be answered.
pub const ANSWER_TIME: u64 = 12 * 3_600;

sol! {
    /// Getters of the court that its interface does not name.
    #[sol(rpc)]
    interface ICourtState {
        /// The demand to see an account's leaves.
        function demands(address account, uint32 epoch) external view returns (address by, uint40 since, bool answered, uint256 deposit);
        /// Wei that a demand leaves as deposit.
        function demandDeposit() external view returns (uint256 wei_);
    }
}

/// The bond, in quote units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bond {
    /// What is there.
    #[serde(serialize_with = "decimal")]
    pub held: U256,
    /// What should be.
    #[serde(serialize_with = "decimal")]
    pub required: U256,
    /// Whether it suffices, less what is announced to be withdrawn. Without it nothing is minted or sold.
    pub sufficient: bool,
}

fn decimal<S: serde::Serializer>(value: &U256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Who asked; zero if nobody did, or silence was punished.
    pub by: Address,
    /// When, Unix seconds.
    pub since: u64,
    /// Whether it is answered.
    pub answered: bool,
}

impl Demand {
    /// Last second in which an answer is taken.
    #[must_use]
    pub const fn until(&self) -> u64 {
        self.since.saturating_add(ANSWER_TIME)
    }
}

/// The bond in the newest block of a node.
///
/// # Errors
/// When the node does not answer.
pub async fn bond(court: Address, reader: &DynProvider) -> Result<Bond, Error> {
    let court = ILedgerCourt::new(court, reader.clone());
    let held = court.bond().call().await.map_err(|error| rpc("bond", error))?;
    let required = court.requiredBond().call().await.map_err(|error| rpc("requiredBond", error))?;
    let sufficient = court.bonded().call().await.map_err(|error| rpc("bonded", error))?;
    Ok(Bond { held, required, sufficient })
}

/// The demand about an account and epoch, in one block.
///
/// # Errors
/// When the node does not answer.
pub async fn demand(
    court: Address,
    reader: &DynProvider,
    account: Address,
    epoch: EpochId,
    block: BlockId,
) -> Result<Demand, Error> {
    let court = ICourtState::new(court, reader.clone());
    let found = court.demands(account, epoch.0).block(block).call().await;
    let found = found.map_err(|error| rpc("demands", error))?;
    Ok(Demand { by: found.by, since: found.since.to::<u64>(), answered: found.answered })
}

/// Wei that a demand costs, most of which comes back.
///
/// # Errors
/// When the node does not answer.
pub async fn deposit(court: Address, reader: &DynProvider) -> Result<U256, Error> {
    let court = ICourtState::new(court, reader.clone());
    court.demandDeposit().call().await.map_err(|error| rpc("demandDeposit", error))
}
