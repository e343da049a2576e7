//! Transfers and accounts in the database. Everything here runs inside a transaction that its caller commits.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{Any, Row, Transaction as Tx, any::AnyRow};

use super::{Account, Entry, Kind};
use crate::{error::Error, store::Store};

/// Sums of an account, sats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Posted debits.
    pub debits: i64,
    /// Posted credits.
    pub credits: i64,
    /// Pending debits.
    pub debits_pending: i64,
    /// Pending credits.
    pub credits_pending: i64,
}

impl Balance {
    /// Posted credits less posted debits.
    #[must_use]
    pub const fn credit(&self) -> i64 {
        self.credits.saturating_sub(self.debits)
    }
}

/// A transfer as it stands in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Booked {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: String,
    /// single, pending, post, void or reverse.
    pub phase: String,
    /// Batch.
    pub batch: i64,
    /// Debited account.
    pub debit: String,
    /// Credited account.
    pub credit: String,
    /// Sats.
    pub sats: i64,
    /// Transaction, if there is one.
    pub reference: String,
}

impl Booked {
    pub(super) fn read(row: &AnyRow) -> Self {
        Self {
            id: row.get(0),
            kind: row.get(1),
            phase: row.get(2),
            batch: row.get(3),
            debit: row.get(4),
            credit: row.get(5),
            sats: row.get(6),
            reference: row.get(7),
        }
    }
}

/// How a transfer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It was never made, or was taken back; the round to make it in.
    Absent(u32),
    /// It is pending.
    Pending(Booked),
    /// It is posted. `id` is the one to reverse.
    Posted(Booked),
}

async fn by(tx: &mut Tx<'_, Any>, sql: &'static str, id: &str) -> Result<Option<Booked>, Error> {
    let row = sqlx::query(sql).bind(id.to_owned()).fetch_optional(&mut **tx).await?;
    Ok(row.as_ref().map(Booked::read))
}

/// Transfer that resolves another. The second condition is the index's own: without it SQL reads every transfer there is.
pub(super) const RESOLUTION: &str = "SELECT id, kind, phase, batch, debit, credit, sats, reference FROM transfers WHERE target = $1 \
                          AND target <> ''";

async fn resolution(tx: &mut Tx<'_, Any>, id: &str) -> Result<Option<Booked>, Error> {
    by(tx, RESOLUTION, id).await
}

/// How the transfer of an entry stands, whatever its sats and reference.
pub(super) async fn stand(tx: &mut Tx<'_, Any>, entry: &Entry) -> Result<Stand, Error> {
    for round in 0_u32.. {
        let id = entry.id(round).to_string();
        let found = by(
            tx,
            "SELECT id, kind, phase, batch, debit, credit, sats, reference FROM transfers WHERE id = $1",
            &id,
        );
        let Some(first) = found.await? else { return Ok(Stand::Absent(round)) };
        let Some(second) = resolution(tx, &first.id).await? else {
            let pending = first.phase == "pending";
            return Ok(if pending { Stand::Pending(first) } else { Stand::Posted(first) });
        };
        if second.phase == "post" && resolution(tx, &second.id).await?.is_none() {
            return Ok(Stand::Posted(second));
        }
    }
    Ok(Stand::Absent(0))
}

/// Books an entry at once. Nothing to book is nothing booked; the same entry again is the same transfer.
pub(super) async fn single(tx: &mut Tx<'_, Any>, entry: &Entry) -> Result<(), Error> {
    enter(tx, entry, "single").await
}

/// Books an entry as pending. The same entry again is the same transfer, posted or not.
pub(super) async fn pending(tx: &mut Tx<'_, Any>, entry: &Entry) -> Result<(), Error> {
    enter(tx, entry, "pending").await
}

async fn enter(tx: &mut Tx<'_, Any>, entry: &Entry, phase: &'static str) -> Result<(), Error> {
    if entry.sats == 0 {
        return Ok(());
    }
    let sats = signed(entry.sats)?;
    match stand(tx, entry).await? {
        Stand::Absent(round) => {
            let booked = Booked {
                id: entry.id(round).to_string(),
                kind: entry.kind.name().into(),
                phase: phase.into(),
                batch: i64::from(entry.batch),
                debit: entry.debit.name().into(),
                credit: entry.credit.name().into(),
                sats,
                reference: entry.reference.clone(),
            };
            insert(tx, &booked, "", entry.epoch, entry.height).await
        }
        Stand::Pending(found) | Stand::Posted(found) => {
            let same = found.sats == sats
                && (found.debit.as_str(), found.credit.as_str())
                    == (entry.debit.name(), entry.credit.name());
            let what = || format!("transfer {} is booked with other values", found.id);
            if same {
                Ok(())
            } else {
                Err(Error::Conservation { epoch: entry.epoch, what: what() })
            }
        }
    }
}

/// Posts a pending transfer, takes one back that is pending (void) or posted (reverse); what is done already stays.
pub(super) async fn resolve(
    tx: &mut Tx<'_, Any>,
    entry: &Entry,
    how: Resolve,
) -> Result<(), Error> {
    let (found, phase) = match (stand(tx, entry).await?, how) {
        (Stand::Pending(found), Resolve::Post) => (found, "post"),
        (Stand::Pending(found), Resolve::TakeBack) => (found, "void"),
        (Stand::Posted(found), Resolve::TakeBack) => (found, "reverse"),
        (Stand::Posted(_), Resolve::Post) | (Stand::Absent(_), Resolve::TakeBack) => return Ok(()),
        (Stand::Absent(_), Resolve::Post) => {
            let what = format!("a {} is to be posted that was never pending", entry.kind.name());
            return Err(Error::Conservation { epoch: entry.epoch, what });
        }
    };
    take(tx, found, phase, entry.epoch, None).await
}

/// What becomes of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolve {
    /// It happened.
    Post,
    /// It did not, or not any more.
    TakeBack,
}

/// Inserts the transfer that resolves `found`.
pub(super) async fn take(
    tx: &mut Tx<'_, Any>,
    found: Booked,
    phase: &'static str,
    epoch: Option<u32>,
    height: Option<u32>,
) -> Result<(), Error> {
    let target = found.id.clone();
    let id = alloy::primitives::keccak256(format!("lhr-ledger/{phase}/{target}"));
    let (debit, credit) = match phase {
        "reverse" => (found.credit, found.debit),
        _ => (found.debit, found.credit),
    };
    let booked = Booked { id: id.to_string(), phase: phase.into(), debit, credit, ..found };
    insert(tx, &booked, &target, epoch, height).await
}

async fn insert(
    tx: &mut Tx<'_, Any>,
    booked: &Booked,
    target: &str,
    epoch: Option<u32>,
    height: Option<u32>,
) -> Result<(), Error> {
    let Booked { id, kind, phase, batch, debit, credit, sats, reference } = booked;
    sqlx::query("INSERT INTO transfers VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
        .bind(id.clone())
        .bind(kind.clone())
        .bind(phase.clone())
        .bind(target.to_owned())
        .bind(epoch.map_or(-1, i64::from))
        .bind(batch)
        .bind(debit.clone())
        .bind(credit.clone())
        .bind(sats)
        .bind(reference.clone())
        .bind(height.map_or(-1, i64::from))
        .execute(&mut **tx)
        .await?;
    let (posted, pending) = match phase.as_str() {
        "pending" => (0, *sats),
        "post" => (*sats, sats.saturating_neg()),
        "void" => (0, sats.saturating_neg()),
        _ => (*sats, 0),
    };
    for (sql, account) in [
        (
            "UPDATE accounts SET debits = debits + $1, debits_pending = debits_pending + $2 WHERE name = $3",
            debit,
        ),
        (
            "UPDATE accounts SET credits = credits + $1, credits_pending = credits_pending + $2 WHERE name = $3",
            credit,
        ),
    ] {
        let query = sqlx::query(sql).bind(posted).bind(pending).bind(account.clone());
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

/// Every account's sums.
pub(super) async fn balances(tx: &mut Tx<'_, Any>) -> Result<BTreeMap<Account, Balance>, Error> {
    let rows =
        sqlx::query("SELECT name, debits, credits, debits_pending, credits_pending FROM accounts");
    let rows = rows.fetch_all(&mut **tx).await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let name: String = row.get(0);
        let account = Account::ALL.into_iter().find(|account| account.name() == name);
        let account = account.ok_or_else(|| Error::Damaged(format!("account {name}")))?;
        let balance = Balance {
            debits: row.get(1),
            credits: row.get(2),
            debits_pending: row.get(3),
            credits_pending: row.get(4),
        };
        found.insert(account, balance);
    }
    Ok(found)
}

/// Sats as the database has them.
pub(super) fn signed(sats: u64) -> Result<i64, Error> {
    i64::try_from(sats).map_err(|_| Error::Damaged(format!("{sats} sat")))
}

impl Store {
    /// Books that a person has accounted for a spend that no plan explains: it comes out of the reserve. Returns the sats.
    ///
    /// # Errors
    /// When there is no such open spend, or those of the database.
    pub async fn accept_spend(&self, txid: bitcoin::Txid) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        let row = sqlx::query("SELECT paid, fee FROM outflows WHERE txid = $1 AND matched = 0");
        let row = row.bind(txid.to_string()).fetch_optional(&mut *tx).await?;
        let none = || Error::Config(format!("{txid} is no spend that waits for an explanation"));
        let row = row.ok_or_else(none)?;
        let (paid, fee): (i64, i64) = (row.get(0), row.get(1));
        for (sats, credit) in [(paid, Account::Paid), (fee, Account::Fees)] {
            let entry = Entry {
                kind: Kind::Accepted,
                epoch: None,
                batch: 0,
                place: format!("{txid}/{}", credit.name()),
                debit: Account::Reserve,
                credit,
                sats: sats.unsigned_abs(),
                reference: txid.to_string(),
                height: None,
            };
            single(&mut tx, &entry).await?;
        }
        sqlx::query("UPDATE outflows SET matched = 1 WHERE txid = $1")
            .bind(txid.to_string())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(paid.saturating_add(fee).unsigned_abs())
    }

    /// Every account's sums.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn balances(&self) -> Result<BTreeMap<Account, Balance>, Error> {
        let mut tx = self.begin().await?;
        balances(&mut tx).await
    }
}
