//! What the court ruled about one account: the faults that it upheld, and what each of them added or took back. Events
//! say it, with their transactions; sums and storage of the court say that a node has kept none of them back.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, I256};
use domain::{EpochId, SeriesId};
use evm::{BlockRef, bindings::ILedgerCourt, decoded, fault_name, logs_between};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::{
    base::{Correction, Corrections},
    chain::Chain,
    corrections,
    error::Error,
};

/// Epochs whose corrections are asked for at once.
const AT_ONCE: usize = 16;

/// A fault that the court upheld.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ruling {
    /// Name of the court's function.
    pub fault: &'static str,
    /// The epoch whose commitment broke the rules.
    pub fault_epoch: u32,
    /// The transaction on the EVM chain.
    pub court_tx: B256,
}

/// What one ruling added to an account's base, or took back where it is below zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The epoch in whose base it counts.
    pub counts_in: u32,
    /// The series whose credit it is about, in 2^-64 sat; `None`: what counts as paid, in sats.
    pub series: Option<SeriesId>,
    /// How much.
    pub change: I256,
    /// Why.
    pub ruling: Ruling,
}

/// Everything about one account, in the order of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rulings {
    /// Faults of its leaves.
    pub upheld: Vec<Ruling>,
    /// What was changed.
    pub changes: Vec<Change>,
}

/// Reads what was ruled about `account` up to a block, and holds the changes of every epoch in `epochs` against the
/// court's storage.
///
/// # Errors
/// When events and storage differ, or the node does not answer.
pub async fn read(
    chain: &Chain,
    account: Address,
    epochs: &[EpochId],
    at: &BlockRef,
) -> Result<Rulings, Error> {
    let (court, from) = (chain.deployment.ledger_court, chain.deployment.block);
    let logs = logs_between(chain.reader(), &[court], None, from, at.number).await?;
    let place = |log: &alloy::rpc::types::Log| {
        let tx = log.transaction_hash.unwrap_or_default();
        (tx, log.log_index.unwrap_or_default())
    };
    let upheld = decoded::<ILedgerCourt::Upheld>(&logs)?.into_iter();
    let upheld: Vec<_> = upheld.map(|(event, log)| (event, place(log))).collect();
    let changes = decoded::<ILedgerCourt::Corrected>(&logs)?.into_iter();
    let changes: Vec<_> = changes.map(|(event, log)| (event, place(log))).collect();
    let rulings = of_events(account, &upheld, &changes)?;
    let stored = stream::iter(epochs.iter().copied())
        .map(|epoch| async move {
            let found = corrections::read(chain, epoch, at).await;
            found.map(|corrections| (epoch, corrections))
        })
        .buffered(AT_ONCE)
        .try_collect::<Vec<(EpochId, Corrections)>>()
        .await?;
    for (epoch, corrections) in stored {
        if rulings.correction(epoch)? != corrections.get(&account).cloned().unwrap_or_default() {
            return Err(differ(epoch));
        }
    }
    Ok(rulings)
}

/// The court writes a correction first and says why after it, in the same transaction.
fn of_events(
    account: Address,
    upheld: &[(ILedgerCourt::Upheld, (B256, u64))],
    changes: &[(ILedgerCourt::Corrected, (B256, u64))],
) -> Result<Rulings, Error> {
    let ruling = |event: &ILedgerCourt::Upheld, tx: B256| Ruling {
        fault: fault_name(event.fault),
        fault_epoch: event.epoch,
        court_tx: tx,
    };
    let own = || upheld.iter().filter(|(event, _)| event.account == account);
    let mut rulings = Rulings {
        upheld: own().map(|(event, (tx, _))| ruling(event, *tx)).collect(),
        ..Rulings::default()
    };
    for (event, (tx, index)) in changes.iter().filter(|(event, _)| event.account == account) {
        let why = own().find(|(_, place)| place.0 == *tx && place.1 > *index);
        let (why, _) = why.ok_or_else(|| differ(EpochId(event.epoch)))?;
        rulings.changes.push(Change {
            counts_in: event.epoch,
            series: (event.series > 0).then_some(SeriesId(event.series)),
            change: event.change,
            ruling: ruling(why, *tx),
        });
    }
    Ok(rulings)
}

fn differ(epoch: EpochId) -> Error {
    Error::mismatch(epoch, "the court's events do not add up to its corrections")
}

impl Rulings {
    /// Faults of the account's leaf in an epoch.
    pub fn of(&self, epoch: u32) -> impl Iterator<Item = &Ruling> + '_ {
        self.upheld.iter().filter(move |ruling| ruling.fault_epoch == epoch)
    }

    /// Changes that count in an epoch.
    pub fn counting_in(&self, epoch: u32) -> impl Iterator<Item = &Change> + '_ {
        self.changes.iter().filter(move |change| change.counts_in == epoch)
    }

    /// Their sums.
    fn correction(&self, epoch: EpochId) -> Result<Correction, Error> {
        let mut paid = I256::ZERO;
        let mut acc: BTreeMap<SeriesId, I256> = BTreeMap::new();
        for change in self.counting_in(epoch.0) {
            let sum = match change.series {
                None => &mut paid,
                Some(series) => acc.entry(series).or_default(),
            };
            *sum = sum.checked_add(change.change).ok_or_else(|| differ(epoch))?;
        }
        Ok(Correction { acc, paid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TX: [B256; 2] = [B256::repeat_byte(1), B256::repeat_byte(2)];

    fn who(n: u8) -> Address {
        Address::repeat_byte(n)
    }

    fn upheld(account: u8, epoch: u32, fault: ILedgerCourt::Fault) -> ILedgerCourt::Upheld {
        ILedgerCourt::Upheld { fault, epoch, account: who(account), challenger: who(9) }
    }

    fn change(account: u8, series: u16, change: i64) -> ILedgerCourt::Corrected {
        let change = I256::try_from(change).unwrap();
        ILedgerCourt::Corrected { epoch: 8, account: who(account), series, change }
    }

    #[test]
    fn a_correction_belongs_to_the_fault_that_follows_it_in_its_transaction() {
        use ILedgerCourt::Fault::{BadOutput, Omitted, WrongShare};
        let faults = [
            (upheld(1, 5, Omitted), (TX[0], 3)),
            (upheld(2, 5, WrongShare), (TX[0], 5)),
            (upheld(1, 6, BadOutput), (TX[1], 9)),
        ];
        let changes = [
            (change(1, 1, 40), (TX[0], 1)),
            (change(1, 0, 7), (TX[0], 2)),
            (change(2, 1, -40), (TX[0], 4)),
            (change(1, 0, -3), (TX[1], 8)),
        ];
        let rulings = of_events(who(1), &faults, &changes).unwrap();
        let told: Vec<_> = rulings
            .changes
            .iter()
            .map(|c| (c.series.map(|s| s.0), c.ruling.fault, c.ruling.fault_epoch))
            .collect();
        assert_eq!(told, [(Some(1), "omitted", 5), (None, "omitted", 5), (None, "badOutput", 6)]);
        let sums = rulings.correction(EpochId(8)).unwrap();
        assert_eq!(sums.paid, I256::try_from(4).unwrap());
        assert_eq!(sums.acc[&SeriesId(1)], I256::try_from(40).unwrap());
        assert_eq!(rulings.of(6).count(), 1);
        // a correction that no fault explains is not shown as one
        let orphan = [(change(1, 1, 40), (TX[1], 10))];
        assert!(of_events(who(1), &faults, &orphan).is_err());
    }
}
