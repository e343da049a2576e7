//! What an epoch's commitment would be, computed from the chain alone and written nowhere.

use domain::{EpochId, Leaf};
use evm::Deployment;
use serde::Serialize;

use crate::{
    allocate::{Cut, Terms, allocate},
    chain::Chain,
    config::Config,
    error::Error,
    retrace,
    snapshot::Snapshots,
};

/// The outcome, ready to be printed.
#[derive(Debug, Serialize)]
pub struct DryRun {
    /// The epoch.
    pub epoch: u32,
    /// Whether the ledger holds a commitment, which this outcome then equals.
    pub committed: bool,
    /// Root hash.
    pub root: String,
    /// Sum of accumulators, 2^-64 sat.
    pub acc_sum: String,
    /// Sats scheduled through this epoch.
    pub paid_sum: String,
    /// Totals of the batches, sats.
    pub batches: Vec<String>,
    /// Leaves, account ascending.
    pub leaves: Vec<Leaf>,
}

/// Computes every epoch from the first through `epoch` again.
///
/// # Errors
/// When a committed root differs, the epoch has no final report, or a node does not answer.
pub async fn dry_run(config: &Config, epoch: EpochId) -> Result<DryRun, Error> {
    let deployment = Deployment::read(&config.deployment)?;
    let chain = Chain::connect(&config.evm.rpc, deployment).await?;
    let snapshots = Snapshots::new(chain.clone());
    let at = chain.finalized().await?;
    let world = retrace::world(&chain, &snapshots, epoch, &at).await?;
    let (outcome, committed) = match chain.commitment(epoch).await? {
        Some(commitment) => (retrace::committed(&chain, &world, &commitment, &at).await?, true),
        None => {
            let cut = Cut::MaxBytes(config.policy.max_batch_bytes);
            let terms = Terms { min_pay: config.policy.min_pay, defer: false, cut };
            (allocate(&world, &terms)?, false)
        }
    };
    Ok(DryRun {
        epoch: epoch.0,
        committed,
        root: outcome.root.hash.to_string(),
        acc_sum: outcome.root.acc_sum.to_string(),
        paid_sum: outcome.root.paid_sum.0.to_string(),
        batches: outcome.batches.iter().map(|batch| batch.total.to_string()).collect(),
        leaves: outcome.leaves,
    })
}
