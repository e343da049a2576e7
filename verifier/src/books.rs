//! The payout ledger, kept a second time: every committed epoch allocated from transfers, reports and registrations.

use std::collections::{BTreeMap, HashMap};

use alloy::primitives::{Address, U256, keccak256};
use domain::{EpochId, Leaf, OutRef, Root, Sats, SeriesId};
use evm::{Deployment, bindings::IEpochLedger::Commitment};

mod told;

use crate::{
    Error,
    allocate::{self, Account, Lookthrough, Rules, Split, Terms},
    court::{Court, Moved},
    encode,
    history::{History, ScriptChange},
    progress::Progress,
    replay::Replay,
};

/// A due output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payee {
    /// The account.
    pub account: Address,
    /// What it is due.
    pub sats: Sats,
    /// Where to.
    pub script: Vec<u8>,
}

/// One committed epoch as it should be.
#[derive(Clone, Debug)]
pub struct Page {
    /// The epoch.
    pub epoch: EpochId,
    /// What was committed.
    pub commitment: Commitment,
    /// Block time of the commitment, unix seconds.
    pub committed_at: u64,
    /// Our leaves, accounts ascending.
    pub leaves: Vec<Leaf>,
    /// Our root.
    pub root: Root,
    /// Our due list, cut into the committed batches.
    pub batches: Vec<Vec<Payee>>,
    /// Sats of the report's pots.
    pub pots: u64,
    /// What nobody was credited, 2^-64 sat.
    pub residue: U256,
    /// Most that flooring can leave over, 2^-64 sat; pieces without holders count whole.
    pub residue_max: U256,
    /// What does not add up in the commitment itself.
    pub faults: Vec<String>,
    /// By how much the court moved the bases it starts with, and a commit that broke the rules its credit.
    pub moved: Moved,
    /// Leaves that broke the rules and were upheld.
    pub upheld: usize,
    /// Leaves that broke the rules and were not, or were not corrected as they should have been.
    pub unpunished: Vec<String>,
}

/// Every token's transfers, replayed.
pub type Replays = HashMap<Address, Replay>;

/// Allocates every committed epoch, in order.
///
/// # Errors
/// When a sum leaves its field, or the deployment does not know a reported series.
pub fn keep(
    history: &History,
    replays: &Replays,
    deployment: &Deployment,
    progress: &Progress,
) -> Result<Vec<Page>, Error> {
    let all = u64::try_from(history.commits.len()).unwrap_or(u64::MAX);
    let court = Court::of(history)?;
    let mut accounts: BTreeMap<Address, Account> = BTreeMap::new();
    let mut pages = Vec::new();
    let registry = Registry::of(history);
    for commit in &history.commits {
        let epoch = EpochId(commit.event.epoch);
        let moved = court.correct(&mut accounts, epoch)?;
        let shown = court.shown(epoch);
        let bases = shown.map(|_| accounts.clone());
        let (pots, residue, residue_max) =
            credit(&mut accounts, history, replays, deployment, epoch, commit.at)?;
        // a wrapper has no leaf: one that was committed by mistake goes when the court has taken all of it back
        let wraps = |at: &Address| {
            history.wrappers.iter().any(|w| w.at < commit.at && w.event.wrapper.wrapper == *at)
        };
        accounts.retain(|address, account| !account.is_nothing() || !wraps(address));
        let commitment = commit.event.commitment.clone();
        let rules = Rules { epoch, min_pay: commitment.minPay, defer: commitment.defer };
        let mut due = Vec::new();
        for (address, account) in &mut accounts {
            let terms = registry.at(*address, epoch);
            let sats = account.close(&terms, rules)?;
            if sats > 0 {
                due.push(Payee { account: *address, sats: Sats(sats), script: terms.script });
            }
        }
        let mut faults = Vec::new();
        let batches = cut(due, &commitment, &mut faults);
        let leaves = leaves(&accounts, &registry, epoch, &batches);
        let root = encode::root(&leaves)?;
        let committed_at = commit.at.time;
        let (upheld, unpunished) = (0, Vec::new());
        let mut page = Page {
            epoch,
            commitment,
            committed_at,
            leaves,
            root,
            batches,
            pots,
            residue,
            residue_max,
            faults,
            moved,
            upheld,
            unpunished,
        };
        if page.root.hash != page.commitment.root.hash
            && let (Some(shown), Some(bases)) = (shown, bases)
            && let Some(told) = told::page(&page, &bases, &registry, shown, &court, history)?
        {
            accounts = told::accounts(&told.leaves);
            page = told;
        }
        pages.push(page);
        progress.step("epoch", u64::try_from(pages.len()).unwrap_or(u64::MAX), all);
    }
    Ok(pages)
}

/// Every account's leaf, with the output that pays it.
fn leaves(
    accounts: &BTreeMap<Address, Account>,
    registry: &Registry,
    epoch: EpochId,
    batches: &[Vec<Payee>],
) -> Vec<Leaf> {
    let places = places(batches);
    let leaf = |(address, account): (&Address, &Account)| {
        let terms = registry.at(*address, epoch);
        account.leaf(*address, &terms, places.get(address).copied())
    };
    accounts.iter().map(leaf).collect()
}

/// Credits an epoch's pots. Returns the pots in sats, what nobody was credited, and the most that flooring explains.
fn credit(
    accounts: &mut BTreeMap<Address, Account>,
    history: &History,
    replays: &Replays,
    deployment: &Deployment,
    epoch: EpochId,
    committed: crate::history::Stamp,
) -> Result<(u64, U256, U256), Error> {
    let (mut pots, mut residue, mut residue_max) = (0_u64, U256::ZERO, U256::ZERO);
    let Some(report) = history.report(epoch.0) else { return Ok((0, residue, residue_max)) };
    for line in &report.event.report.series {
        let series = SeriesId(line.series);
        for piece in &line.pots {
            let work_epoch = EpochId(piece.workEpoch);
            let split = split(history, replays, deployment, series, work_epoch, committed)?;
            let credits = allocate::credits(piece.sats, &split)?;
            let whole: U256 = U256::from(piece.sats) << 64_usize;
            let mut left = whole;
            for (account, credit) in credits {
                left = left.checked_sub(U256::from(credit)).ok_or(Error::Overflow("credits"))?;
                accounts.entry(account).or_default().earn(series, credit)?;
            }
            pots = pots.checked_add(piece.sats).ok_or(Error::Overflow("pots"))?;
            residue += left;
            let floors = split.holders.len()
                + split.wrappers.iter().map(|wrapper| wrapper.shares.len()).sum::<usize>();
            residue_max += if split.total.is_zero() { whole } else { U256::from(floors) };
        }
    }
    Ok((pots, residue, residue_max))
}

/// How a series' pot of a work epoch is split, with the wrappers that were in force at a commitment.
fn split(
    history: &History,
    replays: &Replays,
    deployment: &Deployment,
    series: SeriesId,
    work_epoch: EpochId,
    committed: crate::history::Stamp,
) -> Result<Split, Error> {
    let contracts = deployment.series(series).ok_or_else(|| {
        Error::decode("a report", format!("series {series} is not in the deployment"))
    })?;
    let empty = Replay::default();
    let unit = replays.get(&contracts.unit).unwrap_or(&empty);
    let mut wrappers = Vec::new();
    let added = history.wrappers.iter().filter(|w| w.at < committed);
    for wrapper in added.map(|w| &w.event.wrapper).filter(|w| w.series == series.0) {
        let share = replays.get(&wrapper.shareToken).unwrap_or(&empty);
        wrappers.push(Lookthrough {
            wrapper: wrapper.wrapper,
            shares: share.all_seconds(work_epoch)?,
            total: share.total_seconds(work_epoch)?,
            first_loss: wrapper.firstLoss,
        });
    }
    Ok(Split {
        holders: unit.all_seconds(work_epoch)?,
        total: unit.total_seconds(work_epoch)?,
        wrappers,
    })
}

/// Every account's payout terms by the epoch that they count from, replayed from the registry's events.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    entries: HashMap<Address, BTreeMap<u32, Terms>>,
    /// Cancellations of what was never registered.
    pub faults: Vec<String>,
}

impl Registry {
    /// Replays the registry's events.
    #[must_use]
    pub fn of(history: &History) -> Self {
        let mut all: HashMap<Address, BTreeMap<u32, Terms>> = HashMap::new();
        let mut faults = Vec::new();
        for change in &history.scripts {
            match &change.event {
                ScriptChange::Set(set) => {
                    let terms = Terms { script: set.script.to_vec(), minimum: set.minimum };
                    all.entry(set.account).or_default().insert(set.fromEpoch, terms);
                }
                ScriptChange::Cancelled(cancelled) => {
                    let entries = all.entry(cancelled.account).or_default();
                    if entries.remove(&cancelled.fromEpoch).is_none() {
                        faults.push(format!(
                            "{} cancelled a script from epoch {} that it never registered",
                            cancelled.account, cancelled.fromEpoch
                        ));
                    }
                }
            }
        }
        Self { entries: all, faults }
    }

    /// An account's terms at the start of an epoch.
    #[must_use]
    pub fn at(&self, account: Address, epoch: EpochId) -> Terms {
        self.entry(account, epoch).1
    }

    /// The epoch that they count from (0 if there are none), and an account's terms at the start of an epoch.
    #[must_use]
    pub fn entry(&self, account: Address, epoch: EpochId) -> (u32, Terms) {
        let entries = self.entries.get(&account);
        let entry = entries.and_then(|entries| entries.range(..=epoch.0).next_back());
        entry.map(|(from, terms)| (*from, terms.clone())).unwrap_or_default()
    }
}

/// Cuts the due list where the committed totals say; each sum is above zero, so there is one way at most.
#[must_use]
pub fn cut(due: Vec<Payee>, commitment: &Commitment, faults: &mut Vec<String>) -> Vec<Vec<Payee>> {
    let mut rest = due.into_iter().peekable();
    let mut batches = Vec::new();
    for (number, batch) in commitment.batches.iter().enumerate() {
        let (mut payees, mut total) = (Vec::new(), 0_u64);
        while let Some(payee) =
            rest.next_if(|payee| total.saturating_add(payee.sats.0) <= batch.total)
        {
            total = total.saturating_add(payee.sats.0);
            payees.push(payee);
        }
        if total != batch.total {
            faults.push(format!(
                "batch {number} commits {} sat; the due list fills {total} of them",
                batch.total
            ));
        }
        let outputs = encode::outputs_bytes(payees.iter().map(|p| (p.sats, p.script.as_slice())));
        if keccak256(outputs) != batch.outputsHash {
            faults.push(format!("batch {number} commits other outputs than are due"));
        }
        batches.push(payees);
    }
    let left: Vec<Payee> = rest.collect();
    if !left.is_empty() {
        let sats: u64 = left.iter().map(|payee| payee.sats.0).fold(0, u64::saturating_add);
        faults.push(format!("{} accounts are due {sats} sat and in no batch", left.len()));
        batches.push(left);
    }
    batches
}

/// Which output pays each account of a cut due list.
#[must_use]
pub fn places(batches: &[Vec<Payee>]) -> HashMap<Address, OutRef> {
    let mut places = HashMap::new();
    for (batch, payees) in (0_u16..).zip(batches) {
        for (index, payee) in (0_u16..).zip(payees) {
            places.insert(payee.account, OutRef { batch, index });
        }
    }
    places
}
