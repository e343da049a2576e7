//! The books as a person reads them.

use domain::EpochId;
use serde::Serialize;
use sqlx::Row;

use super::{
    Account, Figures,
    books::{Balance, Booked, balances},
    follow::{figures, owed_before},
};
use crate::{error::Error, store::Store};

/// An epoch in the books, and every account as it stands now.
#[derive(Clone, Debug, Serialize)]
pub struct EpochBooks {
    /// Epoch.
    pub epoch: u32,
    /// Owed before it, sats.
    pub opening_payables: i64,
    /// What it comes to; closing payables are `owed`.
    pub figures: Figures,
    /// What its floors left over.
    pub residue: i64,
    /// Whether its commit is final, so that its transfers are made.
    pub opened: bool,
    /// Its transfers, in the order they were made by kind and batch.
    pub transfers: Vec<Booked>,
    /// Every account now: all epochs together.
    pub accounts: Vec<(Account, Balance)>,
}

impl Store {
    /// The books of an epoch.
    ///
    /// # Errors
    /// When the epoch is not allocated, or those of the database.
    pub async fn books(&self, epoch: EpochId) -> Result<EpochBooks, Error> {
        let mut tx = self.begin().await?;
        let found = figures(&mut tx, epoch).await?;
        let (figures, opened) =
            found.ok_or_else(|| Error::waiting(epoch, "it is not allocated"))?;
        let opening_payables = owed_before(&mut tx, epoch).await?;
        let residue = figures.residue(opening_payables);
        let rows = sqlx::query(
            "SELECT id, kind, phase, batch, debit, credit, sats, reference FROM transfers WHERE epoch = $1 \
             AND epoch >= 0 ORDER BY kind, batch, phase, id",
        );
        let rows = rows.bind(i64::from(epoch.0)).fetch_all(&mut *tx).await?;
        Ok(EpochBooks {
            epoch: epoch.0,
            opening_payables,
            figures,
            residue: residue.ok_or_else(|| Error::Damaged(format!("figures of {epoch}")))?,
            opened,
            transfers: rows.iter().map(Booked::read).collect(),
            accounts: balances(&mut tx).await?.into_iter().collect(),
        })
    }

    /// Adds every transfer up again and holds the sums against the accounts, the wallet and the newest leaves.
    ///
    /// # Errors
    /// `Conservation` with the first difference, or those of the database.
    pub async fn audit_books(&self) -> Result<String, Error> {
        let broken = |what: String| Error::Conservation { epoch: None, what };
        let mut tx = self.begin().await?;
        let mut seen = 0_i64;
        for (account, balance) in balances(&mut tx).await? {
            let row = sqlx::query(
                "SELECT CAST(COALESCE(SUM(CASE WHEN debit = $1 THEN sats ELSE 0 END), 0) AS BIGINT), \
                 CAST(COALESCE(SUM(CASE WHEN credit = $1 THEN sats ELSE 0 END), 0) AS BIGINT), COUNT(*) \
                 FROM transfers WHERE phase IN ('single', 'post', 'reverse')",
            );
            let row = row.bind(account.name()).fetch_one(&mut *tx).await?;
            let (debits, credits): (i64, i64) = (row.get(0), row.get(1));
            seen = row.get(2);
            if (debits, credits) != (balance.debits, balance.credits) {
                return Err(broken(format!(
                    "{} holds {} and {} sat, its transfers are {debits} and {credits} sat",
                    account.name(),
                    balance.debits,
                    balance.credits
                )));
            }
        }
        let books = balances(&mut tx).await?;
        let of = |account| books.get(&account).map_or(0, Balance::credit);
        let coins: i64 = sqlx::query(
            "SELECT CAST(COALESCE(SUM(sats), 0) AS BIGINT) FROM coins WHERE spent = -1",
        )
        .fetch_one(&mut *tx)
        .await?
        .get(0);
        let wallet = of(Account::Wallet).saturating_neg();
        if wallet != coins {
            return Err(broken(format!(
                "the wallet is booked at {wallet} sat, coins are {coins} sat"
            )));
        }
        let [payables, residue, reserve, float] =
            [Account::Payables, Account::Residue, Account::Reserve, Account::Float].map(of);
        Ok(format!(
            "{seen} transfers; wallet {wallet} sat, payables {payables}, residue {residue}, reserve {reserve}, float {float}, \
             under way {}",
            wallet
                .saturating_sub(payables)
                .saturating_sub(residue)
                .saturating_sub(reserve)
                .saturating_sub(float)
        ))
    }
}
