//! An account's statement: what every epoch credited and paid it, from the database, each line held against the root and
//! the proofs on the EVM chain. A database that differs from the chain gives an error, never a statement.

use std::{collections::BTreeSet, fmt::Write};

use alloy::primitives::{Address, keccak256};
use bitcoin::{OutPoint, Txid, hashes::Hash};
use domain::{EpochId, Leaf, SeriesAcc, SeriesId};
use evm::{
    Deployment,
    bindings::IEpochLedger::{self, Commitment, PayoutProven},
};
use serde::Serialize;

use crate::{
    chain::Chain, config::Config, encode, error::Error, plan::Plan, state::State, store::Store,
};

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
    /// Sats.
    #[serde(with = "domain::decimal")]
    pub sats: u64,
    /// `txid:vout`, once the transaction is fixed.
    pub output: Option<OutPoint>,
    /// Whether the ledger contract has seen that transaction in a Bitcoin block.
    pub proven: bool,
}

/// One epoch of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Epoch.
    pub epoch: u32,
    /// What has become of it.
    pub state: &'static str,
    /// Credit of this epoch by series, 2^-64 sat.
    pub credit: Vec<SeriesAcc>,
    /// Whole sats credited through this epoch.
    #[serde(with = "domain::decimal")]
    pub earned: u64,
    /// Sats scheduled for payment through this epoch.
    #[serde(with = "domain::decimal")]
    pub paid: u64,
    /// Whole sats credited and not scheduled.
    #[serde(with = "domain::decimal")]
    pub owed: u64,
    /// What this epoch pays.
    pub payment: Option<Paid>,
}

/// The statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The account.
    pub account: Address,
    /// Epochs since its first credit, ascending.
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
    of_entries(&entries, account)
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
/// When leaves do not hash to the committed root, or a line contradicts the epoch before, the plan or a proof.
pub fn of_entries(entries: &[Entry], account: Address) -> Result<Statement, Error> {
    let (mut lines, mut before): (Vec<Line>, Option<&Leaf>) = (Vec::new(), None);
    let mut last: Option<EpochId> = None;
    for entry in entries {
        let epoch = EpochId(entry.commitment.epoch);
        // epochs are committed one after the other
        if last.is_some_and(|last| last.next() != epoch) {
            return Err(Error::mismatch(epoch, "the chain's events skip the epoch before it"));
        }
        last = Some(epoch);
        let root =
            encode::root_of(&entry.leaves).map_err(|e| Error::mismatch(epoch, e.to_string()))?;
        let committed = &entry.commitment.root;
        let same = root.hash == committed.hash
            && root.acc_sum == committed.accSum
            && root.paid_sum.0 == committed.paidSum;
        if !same {
            return Err(Error::mismatch(epoch, "the database's leaves are not under the root"));
        }
        let leaf = entry.leaves.iter().find(|leaf| leaf.account == account);
        match (leaf, before) {
            (Some(leaf), before) => lines.push(line(entry, leaf, before)?),
            (None, Some(_)) => return Err(Error::mismatch(epoch, "the account's leaf is gone")),
            (None, None) => {}
        }
        before = leaf;
    }
    Ok(Statement { account, lines })
}

fn line(entry: &Entry, leaf: &Leaf, before: Option<&Leaf>) -> Result<Line, Error> {
    let epoch = EpochId(entry.commitment.epoch);
    let bad = |what: &str| Error::mismatch(epoch, format!("{}: {what}", leaf.account));
    let mut credit = Vec::new();
    for now in &leaf.acc {
        let old = before.and_then(|leaf| leaf.acc.iter().find(|old| old.series == now.series));
        let acc = now.acc.checked_sub(old.map_or(0, |old| old.acc));
        let acc = acc.ok_or_else(|| bad("credit was taken back"))?;
        credit.push(SeriesAcc { series: now.series, acc });
    }
    credit.retain(|entry| entry.acc > 0);
    let sum = encode::acc_sum(leaf).map_err(|error| bad(&error.to_string()))?;
    let earned = u64::try_from(sum >> 64).map_err(|error| bad(&error.to_string()))?;
    let paid = leaf.paid.0;
    let owed = earned.checked_sub(paid).ok_or_else(|| bad("more is paid than earned"))?;
    let sats = paid.checked_sub(before.map_or(0, |leaf| leaf.paid.0));
    let sats = sats.ok_or_else(|| bad("a payment was taken back"))?;
    let payment = payment(entry, leaf, sats).map_err(bad)?;
    Ok(Line { epoch: epoch.0, state: entry.state, credit, earned, paid, owed, payment })
}

/// The output that the leaf names, which must pay those sats to the leaf's script.
fn payment(entry: &Entry, leaf: &Leaf, sats: u64) -> Result<Option<Paid>, &'static str> {
    let Some(out) = leaf.out else {
        return if sats == 0 { Ok(None) } else { Err("sats are scheduled without an output") };
    };
    let Some(plan) = &entry.plan else {
        return Ok(Some(Paid { sats, output: None, proven: false }));
    };
    let planned = plan.txs.iter().find(|tx| tx.batch == out.batch).ok_or("its batch is missing")?;
    let fan_out = entry.commitment.batches.len() > 1;
    let vout = u32::from(out.index).saturating_add(if fan_out { 1 } else { 2 });
    let place = usize::try_from(vout).map_err(|_| "an index is too large")?;
    let output = planned.tx.output.get(place).ok_or("its output is missing")?;
    if output.value.to_sat() != sats || keccak256(&output.script_pubkey) != leaf.script_hash {
        return Err("its output pays something else, or somebody else");
    }
    let txid = planned.tx.compute_txid();
    let proof = entry.proven.iter().find(|(batch, _)| *batch == out.batch);
    if proof.is_some_and(|(_, proven)| *proven != txid) {
        return Err("the ledger saw another transaction proven");
    }
    let output = Some(OutPoint { txid, vout });
    Ok(Some(Paid { sats, output, proven: proof.is_some() }))
}

impl Statement {
    /// Comma-separated, one line per epoch; one column of credit (2^-64 sat) for every series that occurs.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let all = self.lines.iter().flat_map(|line| &line.credit).map(|credit| credit.series);
        let series: BTreeSet<SeriesId> = all.collect();
        let mut text = String::from("epoch,state");
        for id in &series {
            let _ = write!(text, ",credit_series_{}", id.0);
        }
        text.push_str(",earned_sats,paid_total_sats,owed_sats,payment_sats,output,proven\n");
        for line in &self.lines {
            let _ = write!(text, "{},{}", line.epoch, line.state);
            for id in &series {
                let credit = line.credit.iter().find(|credit| credit.series == *id);
                let _ = write!(text, ",{}", credit.map_or(0, |credit| credit.acc));
            }
            let _ = write!(text, ",{},{},{}", line.earned, line.paid, line.owed);
            let payment = line.payment.as_ref();
            let sats = payment.map_or(0, |paid| paid.sats);
            let output = payment.and_then(|paid| paid.output);
            let output = output.map(|output| output.to_string()).unwrap_or_default();
            let proven = payment.is_some_and(|paid| paid.proven);
            let _ = writeln!(text, ",{sats},{output},{proven}");
        }
        text
    }
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
