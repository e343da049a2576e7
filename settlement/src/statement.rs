//! An account's statement: what every epoch credited and paid it, from the database, each line held against the root and
//! the proofs on the EVM chain; and what the court added or took back, each as a line of its own, held against the court's
//! storage. A database that differs from the chain gives an error, never a statement.
//!
//! Sums: `credit` less `taken`, and what corrections `counted`, come to the account's accumulators in the last root;
//! payments less `paid_taken`, and corrections of what is paid, come to its `paid`.

use alloy::primitives::{Address, U256, keccak256};
use bitcoin::{OutPoint, Txid, hashes::Hash};
use domain::{EpochId, Leaf, SeriesAcc, SeriesId};
use evm::{
    Deployment,
    bindings::IEpochLedger::{self, Commitment, PayoutProven},
};
use serde::Serialize;

use crate::{
    chain::Chain,
    config::Config,
    encode,
    error::Error,
    plan::Plan,
    rulings::{self, Ruling, Rulings},
    state::State,
    store::Store,
};

mod csv;
mod running;

use running::Running;

/// One committed epoch, as the database has it (state, leaves, plan) and as the chain has it (commitment, proofs).
#[derive(Debug)]
pub struct Entry {
    /// From the chain.
    pub commitment: Commitment,
    /// Transactions that the chain has seen proven.
    pub proven: Vec<(u16, Txid)>,
    /// Leaves, account ascending.
    pub leaves: Vec<Leaf>,
    /// Name of the state.
    pub state: &'static str,
    /// The transactions, once they are fixed.
    pub plan: Option<Plan>,
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Paid {
    /// Sats that the leaf schedules.
    #[serde(with = "domain::decimal")]
    pub sats: u64,
    /// Sats that the output gives to the account's script: others only where the court upheld a fault of the leaf.
    #[serde(with = "domain::decimal")]
    pub received: u64,
    /// `txid:vout`, once the transaction is fixed.
    pub output: Option<OutPoint>,
    /// Whether the ledger contract has seen that transaction in a Bitcoin block.
    pub proven: bool,
}

/// Whole sats after a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Credited.
    #[serde(with = "domain::decimal")]
    pub earned: u64,
    /// Scheduled for payment, or counted as paid by the court.
    #[serde(with = "domain::decimal")]
    pub paid: u64,
    /// Credited and not scheduled; zero if more is paid than credited.
    #[serde(with = "domain::decimal")]
    pub owed: u64,
    /// Paid beyond what is credited, after credit was taken back: later credit fills it first.
    #[serde(with = "domain::decimal")]
    pub overpaid: u64,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// What an epoch credited and paid.
    Epoch(EpochLine),
    /// What the court put right, before the epoch's own credit.
    Correction(CorrectionLine),
}

/// One epoch of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EpochLine {
    /// Epoch.
    pub epoch: u32,
    /// What has become of it.
    pub state: &'static str,
    /// Credit of this epoch by series, 2^-64 sat.
    pub credit: Vec<SeriesAcc>,
    /// Credit that a leaf which broke the rules left out, by series, 2^-64 sat. Only with a ruling.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<SeriesAcc>,
    /// Sats of earlier payments that such a leaf left out.
    #[serde(skip_serializing_if = "is_zero", with = "domain::decimal")]
    pub paid_taken: u64,
    /// After it.
    #[serde(flatten)]
    pub balance: Balance,
    /// What this epoch pays.
    pub payment: Option<Paid>,
    /// Faults of the account's leaf in this epoch, upheld by the court.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rulings: Vec<Ruling>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(sats: &u64) -> bool {
    *sats == 0
}

/// Which way the court moved something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Up.
    Added,
    /// Down.
    TakenBack,
}

/// One correction by the court.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CorrectionLine {
    /// The epoch in whose base it counts.
    pub epoch: u32,
    /// `added` or `taken_back`.
    pub direction: Direction,
    /// The series whose credit it is about, in 2^-64 sat; without one: what counts as paid, in sats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesId>,
    /// How much the court said.
    #[serde(with = "domain::decimal")]
    pub change: U256,
    /// How much of it counted: nothing falls below zero, and nothing counts before its epoch is committed.
    #[serde(with = "domain::decimal")]
    pub counted: u128,
    /// Whether that epoch is still to be committed.
    pub pending: bool,
    /// After it.
    #[serde(flatten)]
    pub balance: Balance,
    /// The fault that it puts right, its epoch, and the court's transaction.
    #[serde(flatten)]
    pub ruling: Ruling,
}

/// The statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The account.
    pub account: Address,
    /// Since its first credit; an epoch's corrections stand before it.
    pub lines: Vec<Line>,
}

/// Reads database and chain and makes the statement.
///
/// # Errors
/// When the database lags or differs from the chain, or one of them cannot be read.
pub async fn statement(config: &Config, account: Address) -> Result<Statement, Error> {
    let store = Store::read(&config.database).await?;
    let chain = Chain::connect(&config.evm.rpc, Deployment::read(&config.deployment)?).await?;
    let at = chain.finalized().await?;
    let ledger = chain.deployment.epoch_ledger;
    let proofs = chain.logs::<PayoutProven>(ledger, &at).await?;
    let mut entries = Vec::new();
    for event in chain.logs::<IEpochLedger::Committed>(ledger, &at).await? {
        let (commitment, epoch) = (event.commitment, EpochId(event.epoch));
        let state = store.state(epoch).await?;
        let known = state.filter(|state| state.intent().is_some());
        let state = known.ok_or_else(|| Error::waiting(epoch, "the database lags behind"))?;
        entries.push(entry(&store, commitment, &proofs, &state).await?);
    }
    let epochs: Vec<EpochId> =
        entries.iter().map(|entry| EpochId(entry.commitment.epoch)).collect();
    let rulings = rulings::read(&chain, account, &epochs, &at).await?;
    of_entries(&entries, account, &rulings)
}

async fn entry(
    store: &Store,
    commitment: Commitment,
    proofs: &[PayoutProven],
    state: &State,
) -> Result<Entry, Error> {
    let ours = proofs.iter().filter(|proof| proof.epoch == commitment.epoch);
    Ok(Entry {
        proven: ours.map(|proof| (proof.batch, Txid::from_byte_array(proof.txid.0))).collect(),
        leaves: store.leaves(EpochId(commitment.epoch)).await?,
        state: state.name(),
        plan: state.plan().cloned(),
        commitment,
    })
}

/// The statement of one account over all committed epochs, ascending. Pure.
///
/// # Errors
/// When leaves do not hash to the committed root, or a line contradicts the epoch before, the plan or a proof, and the
/// court has upheld no fault of that leaf.
pub fn of_entries(
    entries: &[Entry],
    account: Address,
    rulings: &Rulings,
) -> Result<Statement, Error> {
    let mut running = Running::default();
    let mut lines = Vec::new();
    let mut last: Option<EpochId> = None;
    for entry in entries {
        let epoch = EpochId(entry.commitment.epoch);
        // epochs are committed one after the other
        if last.is_some_and(|last| last.next() != epoch) {
            return Err(Error::mismatch(epoch, "the chain's events skip the epoch before it"));
        }
        last = Some(epoch);
        under_the_root(entry)?;
        lines.extend(running.corrected(rulings.counting_in(epoch.0))?);
        let leaf = entry.leaves.iter().find(|leaf| leaf.account == account);
        let faults: Vec<Ruling> = rulings.of(epoch.0).cloned().collect();
        if leaf.is_none() && running.leaf && faults.is_empty() {
            return Err(Error::mismatch(epoch, "the account's leaf is gone"));
        }
        if leaf.is_some() || running.leaf || !faults.is_empty() {
            lines.push(Line::Epoch(running.epoch(entry, account, leaf, faults)?));
        }
        running.leaf = leaf.is_some();
    }
    let later = |epoch: u32| last.is_none_or(|last| epoch > last.0);
    let pending = rulings.changes.iter().filter(|change| later(change.counts_in));
    lines.extend(pending.map(|change| Line::Correction(running.pending(change))));
    Ok(Statement { account, lines })
}

fn under_the_root(entry: &Entry) -> Result<(), Error> {
    let epoch = EpochId(entry.commitment.epoch);
    let root = encode::root_of(&entry.leaves).map_err(|e| Error::mismatch(epoch, e.to_string()))?;
    let committed = &entry.commitment.root;
    let same = root.hash == committed.hash
        && root.acc_sum == committed.accSum
        && root.paid_sum.0 == committed.paidSum;
    if !same {
        return Err(Error::mismatch(epoch, "the database's leaves are not under the root"));
    }
    Ok(())
}

/// The output that the leaf names, which must pay those sats to the leaf's script; if it does not and `excused`, what
/// it does pay to it.
fn payment(
    entry: &Entry,
    leaf: &Leaf,
    sats: u64,
    excused: bool,
) -> Result<Option<Paid>, &'static str> {
    let Some(out) = leaf.out else {
        return match sats {
            0 => Ok(None),
            _ if excused => Ok(Some(Paid { sats, received: 0, output: None, proven: false })),
            _ => Err("sats are scheduled without an output"),
        };
    };
    let Some(plan) = &entry.plan else {
        return Ok(Some(Paid { sats, received: sats, output: None, proven: false }));
    };
    let planned = plan.txs.iter().find(|tx| tx.batch == out.batch).ok_or("its batch is missing");
    let planned = match planned {
        Err(_) if excused => {
            return Ok(Some(Paid { sats, received: 0, output: None, proven: false }));
        }
        planned => planned?,
    };
    let fan_out = entry.commitment.batches.len() > 1;
    let vout = u32::from(out.index).saturating_add(if fan_out { 1 } else { 2 });
    let place = usize::try_from(vout).map_err(|_| "an index is too large")?;
    let found = planned.tx.output.get(place);
    if found.is_none() && !excused {
        return Err("its output is missing");
    }
    let own = found.filter(|output| keccak256(&output.script_pubkey) == leaf.script_hash);
    let received = own.map_or(0, |output| output.value.to_sat());
    if (received != sats || own.is_none()) && !excused {
        return Err("its output pays something else, or somebody else");
    }
    let txid = planned.tx.txid();
    let proof = entry.proven.iter().find(|(batch, _)| *batch == out.batch);
    if proof.is_some_and(|(_, proven)| *proven != txid) {
        return Err("the ledger saw another transaction proven");
    }
    let output = found.map(|_| OutPoint { txid, vout });
    Ok(Some(Paid { sats, received, output, proven: proof.is_some() }))
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
