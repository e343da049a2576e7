//! Every committed epoch up to one, computed again from the chain alone: the world that an epoch starts from.

use domain::EpochId;
use evm::BlockRef;

use crate::{
    allocate::{Allocation, World},
    chain::Chain,
    engine::recompute,
    error::Error,
    exhibit,
    snapshot::Snapshots,
};
use evm::bindings::IEpochLedger::Commitment;

/// The epoch as it was committed: ours, or else ours with the leaves that were shown to the court.
///
/// # Errors
/// When a committed root differs and the court's exhibits do not explain it, or a node does not answer.
pub async fn committed(
    chain: &Chain,
    world: &World,
    found: &Commitment,
    at: &BlockRef,
) -> Result<Allocation, Error> {
    let epoch = EpochId(world.epoch);
    let wrong = match recompute(epoch, world, found) {
        Err(error @ (Error::Mismatch { .. } | Error::Allocate(_))) => error,
        outcome => return outcome,
    };
    let exhibits = exhibit::read(chain, epoch, at).await?;
    let Some(outcome) = exhibit::as_committed(world, found, &exhibits)? else {
        return Err(match wrong {
            Error::Allocate(_) => Error::mismatch(epoch, wrong.to_string()),
            wrong => wrong,
        });
    };
    tracing::warn!(
        epoch = epoch.0,
        leaves = exhibits.leaves.len(),
        "the committed root broke the rules; taken over as the court has read it"
    );
    Ok(outcome)
}

/// The world of `epoch` at the block `at`, with the leaves of the epoch before as they were committed.
///
/// # Errors
/// When the epoch or one before it has no final report, one before it no commitment, or [`committed`] fails.
pub async fn world(
    chain: &Chain,
    snapshots: &Snapshots,
    epoch: EpochId,
    at: &BlockRef,
) -> Result<World, Error> {
    let first = chain.deployment.first_epoch;
    if epoch < first {
        return Err(Error::Config(format!("epoch {epoch} is before the first one, {first}")));
    }
    let mut leaves = Vec::new();
    let mut number = first;
    loop {
        let report = chain.report(number, at).await?;
        let report = report.ok_or_else(|| Error::waiting(number, "it has no final report yet"))?;
        let world = snapshots.world(number, at, &report, std::mem::take(&mut leaves)).await?;
        if number >= epoch {
            return Ok(world);
        }
        let found = chain.commitment(number).await?;
        let found = found.ok_or_else(|| Error::waiting(number, "it is not committed yet"))?;
        leaves = committed(chain, &world, &found, at).await?.leaves;
        number = number.next();
    }
}
