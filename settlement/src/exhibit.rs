//! What was shown to the court of an epoch's tree, and the tree that somebody else committed, put together from it:
//! our own leaves with those in the place of ours that the court has read. Calldata is public, so a commit that broke
//! the rules can be taken over from the chain alone once every fault in it was shown.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    consensus::Transaction,
    primitives::{Address, B256, Bytes},
    providers::Provider,
    sol_types::SolInterface,
};
use bitcoin::{Amount, ScriptBuf, TxOut};
use domain::{EpochId, Leaf};
use evm::{
    BlockRef,
    bindings::{
        IEpochLedger,
        ILedgerCourt::{self, ILedgerCourtCalls as Call, Opening},
    },
    decoded, logs_between,
};

use crate::{
    allocate::{self, Allocation, Payment, Terms, World},
    base,
    chain::{Chain, rpc},
    cut::{self, Batch, Cut, Line},
    encode,
    error::Error,
    evidence,
};

/// What the court has read of one epoch's tree.
#[derive(Clone, Debug, Default)]
pub struct Exhibits {
    /// Leaves by account.
    pub leaves: BTreeMap<Address, Leaf>,
    /// Accounts that were shown to have none.
    pub absent: BTreeSet<Address>,
    /// Serialised outputs of batches.
    pub outputs: Vec<Bytes>,
}

/// Reads the calldata of every upheld challenge and every answer about `epoch` or the one after it, up to a block. What
/// was sent through another contract is passed over.
///
/// # Errors
/// When the node does not answer.
pub async fn read(chain: &Chain, epoch: EpochId, at: &BlockRef) -> Result<Exhibits, Error> {
    let (court, from) = (chain.deployment.ledger_court, chain.deployment.block);
    let logs = logs_between(chain.reader(), &[court], None, from, at.number).await?;
    let near = |found: u32| found == epoch.0 || found == epoch.next().0;
    let mut hashes = BTreeSet::new();
    for (event, log) in decoded::<ILedgerCourt::Upheld>(&logs)? {
        hashes.extend(log.transaction_hash.filter(|_| near(event.epoch)));
    }
    for (event, log) in decoded::<ILedgerCourt::Answered>(&logs)? {
        hashes.extend(log.transaction_hash.filter(|_| near(event.epoch)));
    }
    let mut exhibits = Exhibits::default();
    for hash in hashes {
        if let Some(input) = input_to(chain, court, hash).await?
            && let Ok(call) = Call::abi_decode(&input)
        {
            exhibits.take(epoch, call);
        }
    }
    Ok(exhibits)
}

async fn input_to(chain: &Chain, court: Address, hash: B256) -> Result<Option<Bytes>, Error> {
    let tx = chain.reader().get_transaction_by_hash(hash).await;
    let tx = tx.map_err(|error| rpc("transaction", error))?;
    let tx = tx.ok_or_else(|| rpc("transaction", format!("{hash} has logs and is not there")))?;
    Ok((tx.to() == Some(court)).then(|| tx.input().clone()))
}

impl Exhibits {
    /// Whether nothing was shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty() && self.absent.is_empty()
    }

    fn take(&mut self, epoch: EpochId, call: Call) {
        let (of, here, before, absent) = match call {
            Call::wrongShare(c) => (c.epoch, vec![c.leaf], c.before, None),
            Call::wrongDue(c) => (c.epoch, vec![c.leaf], c.before, None),
            Call::badOutput(c) => {
                if c.epoch == epoch.0 && !c.outputs.is_empty() {
                    self.outputs.push(c.outputs);
                }
                (c.epoch, vec![c.leaf], c.before, None)
            }
            Call::omitted(c) => (c.epoch, c.around, c.before, Some(c.account)),
            Call::disorder(c) => (c.epoch, vec![c.left, c.right], Vec::new(), None),
            Call::answer(c) => {
                let has = c.here.first().is_some_and(|first| first.leaf.account == c.account);
                (c.epoch, c.here, c.before, (!has).then_some(c.account))
            }
            _ => return,
        };
        if of == epoch.0 {
            self.show(&here);
            self.absent.extend(absent);
        } else if of == epoch.next().0 {
            self.show(&before);
        }
    }

    fn show(&mut self, openings: &[Opening]) {
        let leaves = openings.iter().filter_map(|opening| evidence::read(&opening.leaf));
        self.leaves.extend(leaves.map(|leaf| (leaf.account, leaf)));
    }
}

/// The epoch as `commitment` has it; `None` if the exhibits do not explain every difference from ours.
///
/// # Errors
/// When the snapshot lacks weights, or an integer leaves its range.
pub fn as_committed(
    world: &World,
    commitment: &IEpochLedger::Commitment,
    exhibits: &Exhibits,
) -> Result<Option<Allocation>, Error> {
    let totals: Vec<u64> = commitment.batches.iter().map(|batch| batch.total).collect();
    let (min_pay, defer) = (commitment.minPay, commitment.defer);
    let terms = Terms { min_pay, defer, cut: Cut::Totals(totals) };
    let lines = lines(world, &terms, exhibits)?;
    let fitted = match cut::cut(lines.clone(), &terms.cut) {
        // outputs that do not pay what the leaves say: shown, and in one batch
        Err(_) => cut::cut(lines, &Cut::MaxBytes(usize::MAX)),
        fitted => fitted,
    };
    let Ok((mut leaves, mut batches)) = fitted else { return Ok(None) };
    for leaf in &mut leaves {
        if let Some(shown) = exhibits.leaves.get(&leaf.account) {
            leaf.out = shown.out;
        }
    }
    for (batch, committed) in batches.iter_mut().zip(&commitment.batches) {
        if batch.outputs_hash != committed.outputsHash
            && let Some(shown) = shown_batch(batch, committed.outputsHash, exhibits)?
        {
            *batch = shown;
        }
    }
    let Ok(root) = encode::root_of(&leaves) else { return Ok(None) };
    let outcome = Allocation { leaves, root, batches };
    Ok(is_committed(&outcome, commitment).then_some(outcome))
}

fn lines(world: &World, terms: &Terms, exhibits: &Exhibits) -> Result<Vec<Line>, Error> {
    let bases = base::bases(&world.previous, &world.corrections)?;
    let lines = allocate::decide(world, terms)?;
    let mut lines: BTreeMap<Address, Line> =
        lines.into_iter().map(|line| (line.leaf.account, line)).collect();
    for account in &exhibits.absent {
        lines.remove(account);
    }
    for (account, leaf) in &exhibits.leaves {
        let paid = bases.get(account).map_or(0, |base| base.paid);
        let script = world.entries.get(account).map_or_else(ScriptBuf::new, |e| e.script.clone());
        let sats = Amount::from_sat(leaf.paid.0.saturating_sub(paid));
        let pays = leaf.out.map(|_| TxOut { value: sats, script_pubkey: script });
        lines.insert(*account, Line { leaf: Leaf { out: None, ..leaf.clone() }, pays });
    }
    Ok(lines.into_values().collect())
}

/// The batch with that hash as it was shown; accounts by position, nobody's where ours has none.
fn shown_batch(ours: &Batch, hash: B256, exhibits: &Exhibits) -> Result<Option<Batch>, Error> {
    let shown = exhibits.outputs.iter().find(|bytes| alloy::primitives::keccak256(bytes) == hash);
    let Some(outputs) = shown.and_then(|bytes| encode::read_outputs(bytes)) else {
        return Ok(None);
    };
    let accounts = ours.payments.iter().map(|payment| payment.account);
    let accounts = accounts.chain(std::iter::repeat(Address::ZERO));
    let payments = outputs.into_iter().zip(accounts);
    let payments = payments.map(|(output, account)| Payment { account, output }).collect();
    Ok(Some(Batch::of(payments)?))
}

/// Whether an allocation is what a commitment says.
#[must_use]
pub fn is_committed(outcome: &Allocation, commitment: &IEpochLedger::Commitment) -> bool {
    let root = IEpochLedger::Root {
        hash: outcome.root.hash,
        accSum: outcome.root.acc_sum,
        paidSum: outcome.root.paid_sum.0,
    };
    let batches = outcome.batches.iter().map(|batch| (batch.outputs_hash, batch.total));
    let committed = commitment.batches.iter().map(|batch| (batch.outputsHash, batch.total));
    root == commitment.root && batches.eq(committed)
}

#[cfg(test)]
#[path = "exhibit_tests.rs"]
mod tests;
