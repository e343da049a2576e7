//! What the court added to an epoch's bases, read at one finalized block. Events say to whom; every one of them is held
//! against the court's own storage, and their sums against its sums, so that a node can keep none of them back.

use alloy::{
    eips::BlockId,
    primitives::{Address, I256},
};
use domain::{EpochId, SeriesId};
use evm::{BlockRef, DynProvider, bindings::ILedgerCourt};

use crate::{
    base::{Correction, Corrections},
    chain::{Chain, rpc},
    error::Error,
};

/// Corrections that count in `epoch`, which is over at the block `at`: they cannot change any more.
///
/// # Errors
/// When events and storage differ, or the node does not answer.
pub async fn read(chain: &Chain, epoch: EpochId, at: &BlockRef) -> Result<Corrections, Error> {
    let address = chain.deployment.ledger_court;
    let court = ILedgerCourt::new(address, chain.reader().clone());
    let block = BlockId::hash(at.hash);
    let sums = court.correctionSums(epoch.0).block(block).call().await;
    let sums = sums.map_err(|error| rpc("correctionSums", error))?;
    let untouched = ILedgerCourt::Sums { accUp: 0, accDown: 0, paidUp: 0, paidDown: 0 };
    if sums == untouched {
        return Ok(Corrections::new());
    }
    let events = chain.logs::<ILedgerCourt::Corrected>(address, at).await?;
    let events: Vec<_> = events.into_iter().filter(|event| event.epoch == epoch.0).collect();
    let differ = || Error::mismatch(epoch, "the court's events do not add up to its corrections");
    if add_up(&events) != Some(sums) {
        return Err(differ());
    }
    let corrections = fold(&events).ok_or_else(differ)?;
    for (account, correction) in &corrections {
        if !stands(&court, epoch, *account, correction, block).await? {
            return Err(differ());
        }
    }
    Ok(corrections)
}

/// Ups and downs of these events, as the court books them; `None` if one leaves its field.
fn add_up(events: &[ILedgerCourt::Corrected]) -> Option<ILedgerCourt::Sums> {
    let mut sums = ILedgerCourt::Sums { accUp: 0, accDown: 0, paidUp: 0, paidDown: 0 };
    for event in events {
        let size = event.change.unsigned_abs();
        let field = |sum: u128| sum.checked_add(u128::try_from(size).ok()?);
        let small = |sum: u64| sum.checked_add(u64::try_from(size).ok()?);
        match (event.series, event.change.is_negative()) {
            (0, false) => sums.paidUp = small(sums.paidUp)?,
            (0, true) => sums.paidDown = small(sums.paidDown)?,
            (_, false) => sums.accUp = field(sums.accUp)?,
            (_, true) => sums.accDown = field(sums.accDown)?,
        }
    }
    Some(sums)
}

fn fold(events: &[ILedgerCourt::Corrected]) -> Option<Corrections> {
    let mut all = Corrections::new();
    for event in events {
        let of = all.entry(event.account).or_default();
        let sum = match event.series {
            0 => &mut of.paid,
            series => of.acc.entry(SeriesId(series)).or_insert(I256::ZERO),
        };
        *sum = sum.checked_add(event.change)?;
    }
    Some(all)
}

async fn stands(
    court: &ILedgerCourt::ILedgerCourtInstance<DynProvider>,
    epoch: EpochId,
    account: Address,
    correction: &Correction,
    block: BlockId,
) -> Result<bool, Error> {
    let paid = court.paidCorrection(epoch.0, account).block(block).call().await;
    let mut same = paid.map_err(|error| rpc("paidCorrection", error))? == correction.paid;
    for (series, change) in &correction.acc {
        let acc = court.accCorrection(epoch.0, account, series.0).block(block).call().await;
        same &= acc.map_err(|error| rpc("accCorrection", error))? == *change;
    }
    Ok(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(account: u8, series: u16, change: i64) -> ILedgerCourt::Corrected {
        let account = Address::repeat_byte(account);
        ILedgerCourt::Corrected {
            epoch: 7,
            account,
            series,
            change: I256::try_from(change).unwrap(),
        }
    }

    #[test]
    fn events_add_up_by_sign_and_kind() {
        let events =
            [event(1, 1, 5), event(2, 1, -3), event(1, 0, -4), event(1, 1, 2), event(3, 0, 9)];
        let sums = add_up(&events).unwrap();
        assert_eq!((sums.accUp, sums.accDown, sums.paidUp, sums.paidDown), (7, 3, 9, 4));
        let all = fold(&events).unwrap();
        let first = &all[&Address::repeat_byte(1)];
        assert_eq!(first.acc[&SeriesId(1)], I256::try_from(7).unwrap());
        assert_eq!(first.paid, I256::try_from(-4).unwrap());
    }
}
