//! Which challenges of an epoch's commitment would succeed, and sending them. Anyone may: nothing here needs the
//! operator's key, and nothing is believed but the chain and the tree that hashes to the committed root.

mod case;
mod journal;
mod watch;

pub use watch::{Filed, WatchOptions, Watcher};

use std::collections::BTreeSet;

use alloy::{
    contract::RawCallBuilder,
    primitives::{Address, Bytes},
    sol_types::{SolCall, SolValue},
};
use domain::{EpochId, Leaf};
use evm::{
    BlockRef, Deployment, DynProvider,
    bindings::{IEpochLedger::Commitment, ILedgerCourt as court},
};
use serde::Serialize;

use case::{Case, compare};

use crate::{
    allocate::{Allocation, Cut, Terms, World, allocate},
    base,
    chain::Chain,
    config::Config,
    court::deposit,
    error::Error,
    evidence::Tree,
    exhibit, retrace,
    snapshot::Snapshots,
};

/// One challenge.
#[derive(Clone, Debug, Serialize)]
pub struct Charge {
    /// Name of the court's function.
    pub fault: &'static str,
    /// What is wrong.
    pub why: String,
    /// Why the court would not uphold it; absent if it would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    #[serde(skip)]
    call: Bytes,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// The epoch.
    pub epoch: u32,
    /// Whether a tree is known that hashes to the committed root: ours, the one given, or what the court has read. If
    /// not, it is withheld: demand an account.
    pub tree_known: bool,
    /// Challenges; those of time only if they would succeed.
    pub charges: Vec<Charge>,
}

/// Trees and outputs that somebody published.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Leaves of each tree, as `settlement dry-run` prints them.
    pub trees: Vec<Vec<Leaf>>,
    /// Serialised outputs of batches.
    pub outputs: Vec<Bytes>,
}

/// Looks for every fault of `epoch` that the court could uphold now.
///
/// # Errors
/// When an earlier epoch cannot be computed again, or a node does not answer.
pub async fn examine(
    config: &Config,
    epoch: EpochId,
    published: Published,
    challenger: &DynProvider,
) -> Result<Verdict, Error> {
    let deployment = Deployment::read(&config.deployment)?;
    let chain = Chain::connect(&config.evm.rpc, deployment).await?;
    let at = chain.finalized().await?;
    let case = open(&chain, epoch, &at, published).await?;
    let mut charges = overdue(&chain, epoch, &at).await?;
    let tree_known = case.is_some();
    if let Some(case) = &case {
        charges.extend(compare(case)?);
    }
    let address = chain.deployment.ledger_court;
    for charge in &mut charges {
        charge.refused = refusal(&charge.call, address, challenger).await;
    }
    charges.retain(|charge| {
        charge.refused.is_none() || !matches!(charge.fault, "unpaid" | "lateCommit" | "silence")
    });
    Ok(Verdict { epoch: epoch.0, tree_known, charges })
}

/// Why the court would not uphold a challenge in the newest block; `None` if it would.
async fn refusal(call: &Bytes, court: Address, challenger: &DynProvider) -> Option<String> {
    let call = RawCallBuilder::new_raw(challenger.clone(), call.clone()).to(court);
    let error = call.call_raw().await.err()?;
    let data = error.as_revert_data();
    Some(data.map_or_else(|| error.to_string(), |data| evm::explain(&data)))
}

/// Sends what would be upheld; what was upheld meanwhile by somebody else is passed over. Returns how many landed.
///
/// # Errors
/// When the node does not answer.
pub async fn send(
    verdict: &Verdict,
    court: Address,
    challenger: &DynProvider,
) -> Result<usize, Error> {
    let mut landed = 0_usize;
    for charge in verdict.charges.iter().filter(|charge| charge.refused.is_none()) {
        let call = RawCallBuilder::new_raw(challenger.clone(), charge.call.clone()).to(court);
        match evm::land(charge.fault, call).await {
            Ok(_) => landed = landed.saturating_add(1),
            Err(evm::Error::Refused { what, why }) => tracing::warn!("{what}: {why}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(landed)
}

/// Asks the operator to show an account's leaves at `epoch` and before; the deposit comes back.
///
/// # Errors
/// When the court refuses, or a node does not answer.
pub async fn demand(
    config: &Config,
    epoch: EpochId,
    account: Address,
    challenger: &DynProvider,
) -> Result<(), Error> {
    let deployment = Deployment::read(&config.deployment)?;
    let chain = Chain::connect(&config.evm.rpc, deployment).await?;
    let at = chain.finalized().await?;
    let report = report(&chain, epoch, &at).await?;
    let address = chain.deployment.ledger_court;
    let value = deposit(address, challenger).await?;
    let contract = court::new(address, challenger.clone());
    evm::land("demand", contract.demand(account, epoch.0, report).value(value)).await?;
    Ok(())
}

async fn report(chain: &Chain, epoch: EpochId, at: &BlockRef) -> Result<Bytes, Error> {
    let report = chain.report(epoch, at).await?;
    let report = report.ok_or_else(|| Error::waiting(epoch, "it has no final report yet"))?;
    Ok(report.body.map(|body| body.abi_encode().into()).unwrap_or_default())
}

/// The case against a commitment; `None` if there is none, or its tree is not known.
async fn open(
    chain: &Chain,
    epoch: EpochId,
    at: &BlockRef,
    published: Published,
) -> Result<Option<Case>, Error> {
    let Some(commitment) = chain.commitment(epoch).await? else { return Ok(None) };
    let world = retrace::world(chain, &Snapshots::new(chain.clone()), epoch, at).await?;
    against(chain, epoch, at, world, commitment, published).await
}

/// The case against a commitment of an epoch whose world is known; `None` if its tree is not.
async fn against(
    chain: &Chain,
    epoch: EpochId,
    at: &BlockRef,
    world: World,
    commitment: Commitment,
    published: Published,
) -> Result<Option<Case>, Error> {
    let exhibits = exhibit::read(chain, epoch, at).await?;
    let ours = own(&world, &commitment)?;
    let mut candidates = vec![ours.leaves];
    candidates.extend(published.trees);
    if let Some(shown) = exhibit::as_committed(&world, &commitment, &exhibits)? {
        candidates.push(shown.leaves);
    }
    let tree = |leaves: Vec<Leaf>| Tree::over(leaves).map_err(crate::allocate::AllocateError::from);
    let committed = commitment.root.hash;
    let mut theirs = None;
    for leaves in candidates {
        let count = u32::try_from(leaves.len());
        let Ok(found) = tree(leaves) else { continue };
        if found.root().hash == committed && count == Ok(commitment.accounts) {
            theirs = Some(found);
        }
    }
    let Some(theirs) = theirs else { return Ok(None) };
    let before = tree(world.previous.clone())?;
    let bases = base::bases(&world.previous, &world.corrections)?;
    let report = report(chain, epoch, at).await?;
    let mut outputs = published.outputs;
    outputs.extend(exhibits.outputs);
    let books = chain.books(epoch).await?;
    Ok(Some(Case { epoch, world, commitment, books, report, theirs, before, bases, outputs }))
}

/// What should have been committed; cut as the commitment is, if that can be.
fn own(world: &World, commitment: &Commitment) -> Result<Allocation, Error> {
    let (min_pay, defer) = (commitment.minPay, commitment.defer);
    let totals = commitment.batches.iter().map(|batch| batch.total).collect();
    let fitted = allocate(world, &Terms { min_pay, defer, cut: Cut::Totals(totals) });
    let whole = Terms { min_pay, defer, cut: Cut::MaxBytes(usize::MAX) };
    Ok(fitted.or_else(|_| allocate(world, &whole))?)
}

/// Faults of time: not committed, not paid, not answered.
async fn overdue(chain: &Chain, epoch: EpochId, at: &BlockRef) -> Result<Vec<Charge>, Error> {
    let committed = chain.committed(epoch).await?;
    let books = match &committed {
        Some(_) => chain.books(epoch).await?,
        None => court::Books::default(),
    };
    let here = books.here.clone();
    let mut charges = vec![Charge {
        fault: "lateCommit",
        why: "not committed within six epochs of its end".into(),
        refused: None,
        call: court::lateCommitCall { epoch: epoch.0, here }.abi_encode().into(),
    }];
    let batches = committed.map(|found| found.commitment.batches).unwrap_or_default();
    for batch in (0_u16..).take(batches.len()) {
        charges.push(Charge {
            fault: "unpaid",
            why: format!("batch {batch} is not proven a day after its commit"),
            refused: None,
            call: court::unpaidCall { epoch: epoch.0, books: books.clone(), batch }
                .abi_encode()
                .into(),
        });
    }
    let demands = chain.logs::<court::Demanded>(chain.deployment.ledger_court, at).await?;
    let accounts: BTreeSet<Address> =
        demands.into_iter().filter(|d| d.epoch == epoch.0).map(|d| d.account).collect();
    for account in accounts {
        charges.push(Charge {
            fault: "silence",
            why: format!("the demand about {account} was not answered in twelve hours"),
            refused: None,
            call: court::silenceCall { account, epoch: epoch.0 }.abi_encode().into(),
        });
    }
    Ok(charges)
}
