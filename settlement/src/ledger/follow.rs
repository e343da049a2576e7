//! What an epoch's states mean in the books. Called with every state that is written, in its database transaction.

use domain::EpochId;
use sqlx::{Any, Row, Transaction as Tx};

use super::{
    Account, Entry, Figures, Kind,
    books::{self, Resolve, Stand, pending, resolve, signed, single, stand},
};
use crate::{error::Error, plan::PlannedTx, state::State};

/// Books what follows from a state.
///
/// # Errors
/// When the books contradict it, or those of the database.
pub(crate) async fn follow(
    tx: &mut Tx<'_, Any>,
    epoch: EpochId,
    state: &State,
) -> Result<(), Error> {
    let txs = state.plan().map(|plan| plan.txs.as_slice()).unwrap_or_default();
    match state {
        State::Snapshot(_) | State::Allocated(_) | State::Committed(_) | State::Proven(_) => Ok(()),
        State::Closed(_) => {
            open(tx, epoch).await?;
            posted(tx, epoch, true).await
        }
        State::Planned(planned) => {
            open(tx, epoch).await?;
            // what is pending for another variant stays: that one may be mined
            for each in txs.iter().filter(|_| planned.others.is_empty()) {
                take_back(tx, epoch, each).await?;
            }
            posted(tx, epoch, false).await
        }
        State::Signed(_) | State::Sent(_) => {
            for planned in txs {
                pend(tx, epoch, state, planned, true).await?;
            }
            posted(tx, epoch, false).await
        }
        State::Confirmed(_) => {
            for planned in txs {
                pend(tx, epoch, state, planned, false).await?;
                for entry in entries(epoch, total(state, planned), planned)? {
                    if entry.sats > 0 {
                        resolve(tx, &entry, Resolve::Post).await?;
                    }
                }
                matched(tx, epoch, state, planned).await?;
            }
            posted(tx, epoch, true).await
        }
    }
}

/// Sats of a planned transaction's payees.
fn total(state: &State, planned: &PlannedTx) -> u64 {
    let batches = state.intent().map(|intent| intent.batches.as_slice()).unwrap_or_default();
    batches.get(usize::from(planned.batch)).map_or(0, |batch| batch.total)
}

/// Payout and fee of one transaction.
fn entries(epoch: EpochId, total: u64, planned: &PlannedTx) -> Result<[Entry; 2], Error> {
    let entry = |kind, debit, credit, sats| Entry {
        kind,
        epoch: Some(epoch.0),
        batch: planned.batch,
        place: String::new(),
        debit,
        credit,
        sats,
        reference: planned.tx.txid().to_string(),
        height: None,
    };
    let fee = planned.fee().ok_or_else(|| Error::Damaged("a plan's fee".into()))?;
    Ok([
        entry(Kind::Payout, Account::Payables, Account::Paid, total),
        entry(Kind::Fee, Account::Reserve, Account::Fees, fee),
    ])
}

/// Makes payout and fee pending. Another variant's are taken back first; with `again`, what was posted is too: its block
/// is gone.
async fn pend(
    tx: &mut Tx<'_, Any>,
    epoch: EpochId,
    state: &State,
    planned: &PlannedTx,
    again: bool,
) -> Result<(), Error> {
    for entry in entries(epoch, total(state, planned), planned)? {
        let stale = match stand(tx, &entry).await? {
            Stand::Absent(_) => false,
            Stand::Pending(found) => found.reference != entry.reference,
            Stand::Posted(found) => again || found.reference != entry.reference,
        };
        if stale {
            resolve(tx, &entry, Resolve::TakeBack).await?;
        }
        pending(tx, &entry).await?;
    }
    Ok(())
}

async fn take_back(tx: &mut Tx<'_, Any>, epoch: EpochId, planned: &PlannedTx) -> Result<(), Error> {
    for entry in entries(epoch, 0, planned)? {
        resolve(tx, &entry, Resolve::TakeBack).await?;
    }
    Ok(())
}

/// The block's view of a transaction is the plan's, to the sat.
async fn matched(
    tx: &mut Tx<'_, Any>,
    epoch: EpochId,
    state: &State,
    planned: &PlannedTx,
) -> Result<(), Error> {
    let [payout, fee] = entries(epoch, total(state, planned), planned)?;
    let row = sqlx::query("SELECT paid, fee FROM outflows WHERE txid = $1");
    let row = row.bind(payout.reference.clone()).fetch_optional(&mut **tx).await?;
    let seen = row.map(|row| (row.get::<i64, _>(0), row.get::<i64, _>(1)));
    if seen != Some((signed(payout.sats)?, signed(fee.sats)?)) {
        let what = format!(
            "{} pays {} sat and {} sat of fee by its plan, {seen:?} by its block",
            payout.reference, payout.sats, fee.sats
        );
        return Err(Error::Conservation { epoch: Some(epoch.0), what });
    }
    let done = sqlx::query("UPDATE outflows SET matched = 1 WHERE txid = $1");
    done.bind(payout.reference).execute(&mut **tx).await?;
    Ok(())
}

async fn posted(tx: &mut Tx<'_, Any>, epoch: EpochId, posted: bool) -> Result<(), Error> {
    let done = sqlx::query("UPDATE figures SET posted = $1 WHERE epoch = $2");
    done.bind(i64::from(posted)).bind(i64::from(epoch.0)).execute(&mut **tx).await?;
    Ok(())
}

/// Books pots, deductions, credit and residue of an epoch whose commit is final.
async fn open(tx: &mut Tx<'_, Any>, epoch: EpochId) -> Result<(), Error> {
    let Some((figures, opened)) = figures(tx, epoch).await? else {
        return Err(Error::Damaged(format!("no figures of epoch {epoch}")));
    };
    if opened {
        return Ok(());
    }
    let before = owed_before(tx, epoch).await?;
    let range = || Error::Damaged(format!("figures of epoch {epoch}"));
    let credited = figures.credited(before).ok_or_else(range)?;
    let residue = figures.residue(before).ok_or_else(range)?;
    use Account::{Float, Payables, Pots, Reserve, Residue};
    for (kind, debit, credit, sats) in [
        (Kind::Deduction, Float, Reserve, figures.deductions),
        (Kind::Pot, Float, Pots, figures.pots),
        (Kind::Correction, Reserve, Pots, figures.corrections),
        (Kind::Credit, Pots, Payables, credited),
        (Kind::Residue, Pots, Residue, residue),
    ] {
        let (debit, credit) = if sats < 0 { (credit, debit) } else { (debit, credit) };
        let entry = Entry {
            kind,
            epoch: Some(epoch.0),
            batch: 0,
            place: String::new(),
            debit,
            credit,
            sats: sats.unsigned_abs(),
            reference: String::new(),
            height: None,
        };
        single(tx, &entry).await?;
    }
    let done = sqlx::query("UPDATE figures SET opened = 1 WHERE epoch = $1");
    done.bind(i64::from(epoch.0)).execute(&mut **tx).await?;
    Ok(())
}

/// The figures of an epoch, and whether they are booked.
pub(super) async fn figures(
    tx: &mut Tx<'_, Any>,
    epoch: EpochId,
) -> Result<Option<(Figures, bool)>, Error> {
    let row = sqlx::query(
        "SELECT pots, deductions, corrections, paid, owed, accounts, opened FROM figures WHERE epoch = $1",
    );
    let row = row.bind(i64::from(epoch.0)).fetch_optional(&mut **tx).await?;
    Ok(row.map(|row| {
        let figures = Figures {
            pots: row.get(0),
            deductions: row.get(1),
            corrections: row.get(2),
            paid: row.get(3),
            owed: row.get(4),
            accounts: row.get(5),
        };
        (figures, row.get::<i64, _>(6) == 1)
    }))
}

/// What was owed after the epoch before.
pub(super) async fn owed_before(tx: &mut Tx<'_, Any>, epoch: EpochId) -> Result<i64, Error> {
    let Some(previous) = epoch.previous() else { return Ok(0) };
    Ok(figures(tx, previous).await?.map_or(0, |(figures, _)| figures.owed))
}

/// Stores the figures of an allocation, unless they are booked already.
pub(crate) async fn put_figures(
    tx: &mut Tx<'_, Any>,
    epoch: EpochId,
    figures: &Figures,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO figures VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0) ON CONFLICT (epoch) DO UPDATE SET \
         pots = excluded.pots, deductions = excluded.deductions, corrections = excluded.corrections, \
         paid = excluded.paid, owed = excluded.owed, accounts = excluded.accounts WHERE figures.opened = 0",
    )
    .bind(i64::from(epoch.0))
    .bind(figures.pots)
    .bind(figures.deductions)
    .bind(figures.corrections)
    .bind(figures.paid)
    .bind(figures.owed)
    .bind(figures.accounts)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Miner fees that the books hold as pending for these transactions.
pub(super) async fn pending_fees(
    tx: &mut Tx<'_, Any>,
    epoch: EpochId,
    txs: &[PlannedTx],
) -> Result<i64, Error> {
    let mut sum = 0_i64;
    for planned in txs {
        let [_, fee] = entries(epoch, 0, planned)?;
        if let books::Stand::Pending(found) = stand(tx, &fee).await? {
            sum = sum.saturating_add(found.sats);
        }
    }
    Ok(sum)
}
