//! A committed epoch that is not what follows from the chain, put together from what the court was shown of it. It is
//! the base of the epochs after it; whether its faults were upheld and corrected is said beside it.

use std::collections::BTreeMap;

use alloy::primitives::{Address, I256, U256, keccak256};
use domain::{EpochId, Leaf, Sats, SeriesId};

use super::{Page, Payee, Registry, cut, places};
use crate::{
    Error,
    allocate::Account,
    court::{Court, Shown},
    encode,
    history::History,
};

/// Accounts as these leaves have them.
pub(super) fn accounts(leaves: &[Leaf]) -> BTreeMap<Address, Account> {
    let account = |leaf: &Leaf| {
        let acc = leaf.acc.iter().map(|entry| (entry.series, entry.acc)).collect();
        (leaf.account, Account { acc, paid: leaf.paid.0, since: leaf.since })
    };
    leaves.iter().map(account).collect()
}

/// The page as it was committed, from ours and the shown leaves; `None` if that does not give the committed root.
pub(super) fn page(
    ours: &Page,
    bases: &BTreeMap<Address, Account>,
    registry: &Registry,
    shown: &Shown,
    court: &Court,
    history: &History,
) -> Result<Option<Page>, Error> {
    let mut due: BTreeMap<Address, Payee> =
        ours.batches.iter().flatten().map(|payee| (payee.account, payee.clone())).collect();
    let mut told: BTreeMap<Address, Leaf> =
        ours.leaves.iter().map(|leaf| (leaf.account, leaf.clone())).collect();
    for (address, leaf) in &shown.leaves {
        due.remove(address);
        let Some(leaf) = leaf else {
            told.remove(address);
            continue;
        };
        if leaf.out.is_some() {
            let before = bases.get(address).map_or(0, |account| account.paid);
            let sats = Sats(leaf.paid.0.saturating_sub(before));
            let script = registry.at(*address, ours.epoch).script;
            due.insert(*address, Payee { account: *address, sats, script });
        }
        told.insert(*address, leaf.clone());
    }
    let Some(batches) = batches(ours, due, shown) else { return Ok(None) };
    let places = places(&batches);
    for (address, leaf) in &mut told {
        if !shown.leaves.contains_key(address) {
            leaf.out = places.get(address).copied();
        }
    }
    let leaves: Vec<Leaf> = told.into_values().collect();
    let root = encode::root(&leaves)?;
    if root.hash != ours.commitment.root.hash {
        return Ok(None);
    }
    let mut page = Page { leaves, root, batches, faults: Vec::new(), ..ours.clone() };
    judge(&mut page, ours, court, history);
    Ok(Some(page))
}

/// The committed batches, each hashing to what was committed.
fn batches(ours: &Page, due: BTreeMap<Address, Payee>, shown: &Shown) -> Option<Vec<Vec<Payee>>> {
    let mut faults = Vec::new();
    let mut batches = cut(due.into_values().collect(), &ours.commitment, &mut faults);
    if batches.len() != ours.commitment.batches.len() {
        return None;
    }
    for (payees, committed) in batches.iter_mut().zip(&ours.commitment.batches) {
        let bytes = encode::outputs_bytes(payees.iter().map(|p| (p.sats, p.script.as_slice())));
        if keccak256(bytes) == committed.outputsHash {
            continue;
        }
        // outputs that do not pay what the leaves say; whose they are is told by position
        let outputs = shown.batch(committed.outputsHash)?;
        let who: Vec<Address> = payees.iter().map(|payee| payee.account).collect();
        let payee = |(place, (sats, script)): (usize, (u64, Vec<u8>))| Payee {
            account: who.get(place).copied().unwrap_or_default(),
            sats: Sats(sats),
            script,
        };
        *payees = outputs.into_iter().enumerate().map(payee).collect();
    }
    Some(batches)
}

/// Holds every leaf against ours: each that differs must have been upheld, and its credit corrected by the difference.
fn judge(page: &mut Page, ours: &Page, court: &Court, history: &History) {
    let (theirs, right) = (by_account(&page.leaves), by_account(&ours.leaves));
    let mut all: Vec<Address> = theirs.keys().chain(right.keys()).copied().collect();
    all.sort_unstable();
    all.dedup();
    let (mut upheld, mut unpunished) = (0, Vec::new());
    for address in all {
        let (told, should) = (theirs.get(&address), right.get(&address));
        if same(told.copied(), should.copied()) {
            continue;
        }
        if !court.upheld(page.epoch, address) {
            unpunished.push(format!("the leaf of {address} broke the rules and nobody showed it"));
            continue;
        }
        upheld += 1;
        let (told, should) = (earned(told.copied()), earned(should.copied()));
        let series: std::collections::BTreeSet<SeriesId> =
            told.keys().chain(should.keys()).copied().collect();
        for id in series {
            let of = |map: &BTreeMap<SeriesId, u128>| map.get(&id).copied().unwrap_or_default();
            let (found, due) = (of(&told), of(&should));
            let (up, down) = (found.saturating_sub(due), due.saturating_sub(found));
            page.moved.acc_up += U256::from(up);
            page.moved.acc_down += U256::from(down);
            if found != due && !corrected(history, page.epoch, address, id, found, due) {
                unpunished.push(format!("{address}'s credit in series {id} was not put right"));
            }
        }
    }
    (page.upheld, page.unpunished) = (upheld, unpunished);
}

fn by_account(leaves: &[Leaf]) -> BTreeMap<Address, &Leaf> {
    leaves.iter().map(|leaf| (leaf.account, leaf)).collect()
}

fn earned(leaf: Option<&Leaf>) -> BTreeMap<SeriesId, u128> {
    leaf.iter().flat_map(|leaf| &leaf.acc).map(|entry| (entry.series, entry.acc)).collect()
}

/// But for which output pays it: that moves with the others.
fn same(told: Option<&Leaf>, should: Option<&Leaf>) -> bool {
    let bare = |leaf: &Leaf| {
        let paid = leaf.out.is_some();
        (leaf.script_hash, leaf.paid, leaf.since, paid, leaf.acc.clone())
    };
    told.map(bare) == should.map(bare)
}

/// Whether the court, in a transaction that upheld a fault of this leaf, added what was missing.
fn corrected(
    history: &History,
    epoch: EpochId,
    account: Address,
    series: SeriesId,
    found: u128,
    due: u128,
) -> bool {
    let (Ok(found), Ok(due)) = (I256::try_from(found), I256::try_from(due)) else { return false };
    history.corrections.iter().any(|at| {
        let upheld = history.upheld.iter().any(|upheld| {
            upheld.at.tx == at.at.tx
                && upheld.event.epoch == epoch.0
                && upheld.event.account == account
        });
        upheld
            && at.event.account == account
            && at.event.series == series.0
            && Some(at.event.change) == due.checked_sub(found)
    })
}
