//! The case against one tree: every leaf held against what the rules give, and the call that shows each difference.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, Bytes, keccak256},
    sol_types::SolCall,
};
use bitcoin::TxOut;
use domain::{EpochId, Leaf};
use evm::bindings::{IEpochLedger::Commitment, ILedgerCourt as court, ILedgerCourt::Opening};

use super::{Charge, own};
use crate::{
    allocate::{Cut, Terms, World, settle},
    base::Base,
    encode,
    error::Error,
    evidence::Tree,
};

/// Everything that a challenge is made of.
pub(super) struct Case {
    pub(super) epoch: EpochId,
    pub(super) world: World,
    pub(super) commitment: Commitment,
    pub(super) books: court::Books,
    pub(super) report: Bytes,
    pub(super) theirs: Tree,
    pub(super) before: Tree,
    pub(super) bases: BTreeMap<Address, Base>,
    pub(super) outputs: Vec<Bytes>,
}

/// Faults of the tree, leaf by leaf.
pub(super) fn compare(case: &Case) -> Result<Vec<Charge>, Error> {
    let own = own(&case.world, &case.commitment)?;
    let ours: BTreeMap<Address, &Leaf> =
        own.leaves.iter().map(|leaf| (leaf.account, leaf)).collect();
    let mut charges = Vec::new();
    let mut seen = BTreeSet::new();
    for (leaf, index) in case.theirs.leaves().iter().zip(0_usize..) {
        let Some(opening) = case.theirs.opening(index) else { continue };
        seen.insert(leaf.account);
        case.shares(leaf, ours.get(&leaf.account).copied(), &opening, &mut charges);
        case.due(leaf, &opening, &mut charges)?;
        case.output(leaf, &opening, &mut charges);
        case.order(leaf, index, &opening, &mut charges);
    }
    for leaf in own.leaves.iter().filter(|leaf| !seen.contains(&leaf.account)) {
        case.missing(leaf, &mut charges);
    }
    Ok(charges)
}

impl Case {
    fn before(&self, account: Address) -> Vec<Opening> {
        self.before.about(account)
    }

    fn shares(
        &self,
        leaf: &Leaf,
        ours: Option<&Leaf>,
        opening: &Opening,
        charges: &mut Vec<Charge>,
    ) {
        let acc = |leaf: &Leaf| -> BTreeMap<u16, u128> {
            leaf.acc.iter().map(|entry| (entry.series.0, entry.acc)).collect()
        };
        let (theirs, ours) = (acc(leaf), ours.map(acc).unwrap_or_default());
        let all: BTreeSet<u16> = theirs.keys().chain(ours.keys()).copied().collect();
        for series in all {
            let of = |list: &BTreeMap<u16, u128>| list.get(&series).copied().unwrap_or_default();
            let (found, right) = (of(&theirs), of(&ours));
            if found == right {
                continue;
            }
            let call = court::wrongShareCall {
                epoch: self.epoch.0,
                books: self.books.clone(),
                series,
                report: self.report.clone(),
                leaf: opening.clone(),
                before: self.before(leaf.account),
            };
            charges.push(Charge {
                fault: "wrongShare",
                why: format!(
                    "{} has {found} in series {series}, {right} is right (2^-64 sat)",
                    leaf.account
                ),
                refused: None,
                call: call.abi_encode().into(),
            });
        }
    }

    /// The Due rule on the credit that the leaf states.
    fn due(&self, leaf: &Leaf, opening: &Opening, charges: &mut Vec<Charge>) -> Result<(), Error> {
        let base = self.bases.get(&leaf.account).cloned().unwrap_or_default();
        let acc = leaf.acc.iter().map(|entry| (entry.series, entry.acc)).collect();
        let terms = Terms {
            min_pay: self.commitment.minPay,
            defer: self.commitment.defer,
            cut: Cut::MaxBytes(usize::MAX),
        };
        let right = settle(&self.world, &terms, leaf.account, Base { acc, ..base })?;
        let kept = leaf.script_hash == right.leaf.script_hash
            && leaf.paid == right.leaf.paid
            && leaf.since == right.leaf.since
            && leaf.out.is_some() == right.pays.is_some();
        if kept {
            return Ok(());
        }
        let call = court::wrongDueCall {
            epoch: self.epoch.0,
            books: self.books.clone(),
            leaf: opening.clone(),
            before: self.before(leaf.account),
        };
        charges.push(Charge {
            fault: "wrongDue",
            why: format!("{} is paid to {}, {} is right", leaf.account, leaf.paid, right.leaf.paid),
            refused: None,
            call: call.abi_encode().into(),
        });
        Ok(())
    }

    /// The output that the leaf names, if its batch's outputs are known.
    fn output(&self, leaf: &Leaf, opening: &Opening, charges: &mut Vec<Charge>) {
        let Some(out) = leaf.out else { return };
        let batch = self.commitment.batches.get(usize::from(out.batch));
        let outputs = match batch {
            None => Some(Bytes::new()),
            Some(batch) => {
                self.outputs.iter().find(|bytes| keccak256(bytes) == batch.outputsHash).cloned()
            }
        };
        let Some(outputs) = outputs else { return };
        let paid = self.bases.get(&leaf.account).map_or(0, |base| base.paid);
        let list: Vec<TxOut> = encode::read_outputs(&outputs).unwrap_or_default();
        let entry = self.world.entries.get(&leaf.account);
        let found = list
            .get(usize::from(out.index))
            .filter(|output| entry.is_some_and(|entry| entry.script == output.script_pubkey));
        let sats = found.map_or(0, |output| output.value.to_sat());
        if paid.checked_add(sats) == Some(leaf.paid.0) {
            return;
        }
        let call = court::badOutputCall {
            epoch: self.epoch.0,
            books: self.books.clone(),
            leaf: opening.clone(),
            before: self.before(leaf.account),
            outputs,
        };
        charges.push(Charge {
            fault: "badOutput",
            why: format!("the output of {} pays its script {sats} sat", leaf.account),
            refused: None,
            call: call.abi_encode().into(),
        });
    }

    /// Accounts and outputs ascend, and no wrapper has a leaf.
    fn order(&self, leaf: &Leaf, index: usize, opening: &Opening, charges: &mut Vec<Charge>) {
        let wrapper = self.world.wrappers.iter().any(|wrapper| wrapper.account == leaf.account);
        let next = index.saturating_add(1);
        let right = self.theirs.leaves().get(next);
        let unsorted = right.is_some_and(|right| right.account <= leaf.account);
        // outputs ascend over all who are paid, whoever stands between them
        let later = self.theirs.leaves().iter().zip(0_usize..).skip(next);
        let crossed = later
            .filter(|(right, _)| right.out.is_some_and(|out| leaf.out.is_some_and(|o| o >= out)))
            .map(|(_, place)| place)
            .next();
        let other = match (wrapper, unsorted) {
            (true, _) => Some(index),
            (false, true) => Some(next),
            (false, false) => crossed,
        };
        let Some(right) = other.and_then(|place| self.theirs.opening(place)) else { return };
        let call = court::disorderCall {
            epoch: self.epoch.0,
            here: self.books.here.clone(),
            left: opening.clone(),
            right,
        };
        charges.push(Charge {
            fault: "disorder",
            why: format!("the leaf of {} may not stand where it does", leaf.account),
            refused: None,
            call: call.abi_encode().into(),
        });
    }

    fn missing(&self, ours: &Leaf, charges: &mut Vec<Charge>) {
        for entry in &ours.acc {
            let call = court::omittedCall {
                epoch: self.epoch.0,
                books: self.books.clone(),
                account: ours.account,
                series: entry.series.0,
                report: self.report.clone(),
                around: self.theirs.about(ours.account),
                before: self.before(ours.account),
            };
            charges.push(Charge {
                fault: "omitted",
                why: format!(
                    "{} has no leaf and {} in series {}",
                    ours.account, entry.acc, entry.series
                ),
                refused: None,
                call: call.abi_encode().into(),
            });
        }
    }
}
