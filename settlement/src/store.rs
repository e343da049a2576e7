//! What settlement keeps: states, leaves, the baton, the wallet. What a function here has written is on disk when it
//! returns; what belongs together is written together, the double-entry ledger included.

pub mod answers;

use std::fs::File;

use bitcoin::{Transaction, consensus::encode};
use domain::{EpochId, Leaf};
use sqlx::{Any, AnyPool, AssertSqlSafe, Row, Transaction as Tx, any::AnyRow};

use crate::{
    database::Database,
    error::Error,
    ledger::{Figures, follow, put_figures},
    state::State,
    vault::Coin,
};

mod wallet;

pub use wallet::{BitcoinNews, Marked};

/// Leaves in one INSERT: a database on another host is asked once for so many.
const AT_ONCE: usize = 200;

/// The open database. Dropping it releases the lock.
#[derive(Debug)]
pub struct Store {
    pool: AnyPool,
    _lock: Option<File>,
}

impl Store {
    /// Opens the database for writing and takes its lock.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be used.
    pub async fn open(database: &Database) -> Result<Self, Error> {
        let (pool, lock) = database.open(false).await?;
        sqlx::migrate!("./migrations").run(&pool).await?;
        Ok(Self { pool, _lock: lock })
    }

    /// Opens the database for reading beside a running process.
    ///
    /// # Errors
    /// When the file is not there or cannot be read.
    pub async fn read(database: &Database) -> Result<Self, Error> {
        let (pool, _) = database.open(true).await?;
        Ok(Self { pool, _lock: None })
    }

    /// A database transaction.
    pub(crate) async fn begin(&self) -> Result<Tx<'static, Any>, Error> {
        Ok(self.pool.begin().await?)
    }

    /// The epoch's state.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn state(&self, epoch: EpochId) -> Result<Option<State>, Error> {
        let row = sqlx::query("SELECT data FROM epochs WHERE epoch = $1")
            .bind(i64::from(epoch.0))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| from_json(&row.get::<String, _>(0))).transpose()
    }

    /// Every epoch and its state, ascending.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn states(&self) -> Result<Vec<(EpochId, State)>, Error> {
        let rows = sqlx::query("SELECT epoch, data FROM epochs ORDER BY epoch");
        let rows = rows.fetch_all(&self.pool).await?;
        let read =
            |row: AnyRow| Ok((EpochId(number(&row, 0)?), from_json(&row.get::<String, _>(1))?));
        rows.into_iter().map(read).collect()
    }

    /// Epochs that still need something done, ascending.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn unfinished(&self) -> Result<Vec<EpochId>, Error> {
        let rows = sqlx::query(
            "SELECT epoch FROM epochs WHERE state NOT IN ('proven', 'closed') ORDER BY epoch",
        );
        let rows = rows.fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(EpochId(number(row, 0)?))).collect()
    }

    /// Every epoch that has a state, ascending.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn known(&self) -> Result<Vec<EpochId>, Error> {
        let rows = sqlx::query("SELECT epoch FROM epochs ORDER BY epoch");
        let rows = rows.fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(EpochId(number(row, 0)?))).collect()
    }

    /// Writes a state.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_state(&self, epoch: EpochId, state: &State) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        write_state(&mut tx, epoch, state).await?;
        Ok(tx.commit().await?)
    }

    /// Writes a state with the epoch's leaves and what they come to.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_leaves(
        &self,
        epoch: EpochId,
        state: &State,
        leaves: &[Leaf],
        figures: &Figures,
    ) -> Result<(), Error> {
        let (mut tx, number) = (self.begin().await?, i64::from(epoch.0));
        sqlx::query("DELETE FROM leaves WHERE epoch = $1").bind(number).execute(&mut *tx).await?;
        let mut position = 0_i64;
        for some in leaves.chunks(AT_ONCE) {
            let row = |at: usize| format!("(${}, ${}, ${})", 3 * at + 1, 3 * at + 2, 3 * at + 3);
            let rows: Vec<String> = (0..some.len()).map(row).collect();
            let sql =
                format!("INSERT INTO leaves (epoch, position, leaf) VALUES {}", rows.join(","));
            // no value is in the text, only the places for them
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for leaf in some {
                query = query.bind(number).bind(position).bind(to_json(leaf)?);
                position = position.saturating_add(1);
            }
            query.execute(&mut *tx).await?;
        }
        put_figures(&mut tx, epoch, figures).await?;
        write_state(&mut tx, epoch, state).await?;
        Ok(tx.commit().await?)
    }

    /// Leaves of an epoch, account ascending.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn leaves(&self, epoch: EpochId) -> Result<Vec<Leaf>, Error> {
        let rows = sqlx::query("SELECT leaf FROM leaves WHERE epoch = $1 ORDER BY position");
        let rows = rows.bind(i64::from(epoch.0)).fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| from_json(&row.get::<String, _>(0))).collect()
    }

    /// Writes a planned state with the baton that it leaves behind and the transaction that creates it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_plan(
        &self,
        epoch: EpochId,
        state: &State,
        baton: &Coin,
        creator: &Transaction,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO baton (id, epoch, coin, creator) VALUES (1, $1, $2, $3) ON CONFLICT (id) DO UPDATE SET \
             epoch = excluded.epoch, coin = excluded.coin, creator = excluded.creator",
        )
            .bind(i64::from(epoch.0))
            .bind(to_json(baton)?)
            .bind(encode::serialize_hex(creator))
            .execute(&mut *tx)
            .await?;
        write_state(&mut tx, epoch, state).await?;
        Ok(tx.commit().await?)
    }

    /// The newest planned baton and the transaction that creates it; `None` before the first payout.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn baton(&self) -> Result<Option<(EpochId, Coin, Transaction)>, Error> {
        let row = sqlx::query("SELECT epoch, coin, creator FROM baton");
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        let creator = from_hex(&row.get::<String, _>(2))?;
        Ok(Some((EpochId(number(&row, 0)?), from_json(&row.get::<String, _>(1))?, creator)))
    }
}

async fn write_state(tx: &mut Tx<'_, Any>, epoch: EpochId, state: &State) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO epochs (epoch, state, data) VALUES ($1, $2, $3) ON CONFLICT (epoch) DO UPDATE SET \
         state = excluded.state, data = excluded.data",
    )
        .bind(i64::from(epoch.0))
        .bind(state.name())
        .bind(to_json(state)?)
        .execute(&mut **tx)
        .await?;
    // the books follow every state in the transaction that writes it
    follow(tx, epoch, state).await
}

/// A number that fits 32 bits.
fn number(row: &AnyRow, column: usize) -> Result<u32, Error> {
    let found: i64 = row.get(column);
    u32::try_from(found).map_err(|_| Error::Damaged(format!("number {found}")))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Damaged(error.to_string()))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Damaged(error.to_string()))
}

fn from_hex(text: &str) -> Result<Transaction, Error> {
    encode::deserialize_hex(text).map_err(|error| Error::Damaged(error.to_string()))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: T::Err| Error::Damaged(error.to_string()))
}
