//! The database: SQLite in WAL mode with `synchronous = FULL`, so that what a function here has written is on disk
//! when it returns. One process owns it, by a file lock beside it.

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
};

use bdk_wallet::{ChangeSet, chain::Merge};
use bitcoin::{BlockHash, OutPoint, Transaction, Txid, consensus::encode};
use domain::{EpochId, Leaf};
use sqlx::{
    Row, Sqlite, SqlitePool, Transaction as Tx,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{encode as leaf_encode, error::Error, state::State, vault::Coin};

/// A payout transaction seen in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Transaction.
    pub txid: Txid,
    /// The block.
    pub block: BlockHash,
    /// Its height.
    pub height: u32,
    /// Epoch that the marker names.
    pub epoch: u32,
    /// Batch that the marker names.
    pub batch: u16,
    /// Its first input.
    pub spends: OutPoint,
}

/// What a stretch of Bitcoin blocks brought; written in one transaction.
#[derive(Debug, Default)]
pub struct BitcoinNews {
    /// Treasury wallet.
    pub wallet: Option<ChangeSet>,
    /// Payout transactions.
    pub marked: Vec<Marked>,
    /// Transactions that pay to the first baton's script.
    pub genesis: Vec<Transaction>,
}

/// The open database. Dropping it releases the lock.
#[derive(Debug)]
pub struct Store {
    pool: SqlitePool,
    _lock: Option<File>,
}

/// Takes the lock file `path`.lock; it is released when the file is dropped.
///
/// # Errors
/// When another process holds it.
pub fn lock(path: &Path) -> Result<File, Error> {
    let name = PathBuf::from(format!("{}.lock", path.display()));
    let fail = |why: String| Error::File { path: name.display().to_string(), why };
    let file = File::options().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(|error| fail(error.to_string()))?;
    match fs4::FileExt::try_lock(&file) {
        Ok(()) => Ok(file),
        Err(_) => Err(Error::Locked(path.display().to_string())),
    }
}

/// Opens or creates a SQLite database whose commits are durable.
///
/// # Errors
/// When the file cannot be opened.
pub async fn open_sqlite(path: &Path, read_only: bool) -> Result<SqlitePool, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(!read_only)
        .read_only(read_only)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true);
    Ok(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?)
}

impl Store {
    /// Opens the database for writing and takes its lock.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be used.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let lock = Some(lock(path)?);
        let pool = open_sqlite(path, false).await?;
        sqlx::migrate!("./migrations").run(&pool).await?;
        Ok(Self { pool, _lock: lock })
    }

    /// Opens the database for reading beside a running process.
    ///
    /// # Errors
    /// When the file is not there or cannot be read.
    pub async fn read(path: &Path) -> Result<Self, Error> {
        let pool = open_sqlite(path, true).await?;
        Ok(Self { pool, _lock: None })
    }

    /// The epoch's state.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn state(&self, epoch: EpochId) -> Result<Option<State>, Error> {
        let row = sqlx::query("SELECT data FROM epochs WHERE epoch = ?")
            .bind(epoch.0)
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
        let read = |row: sqlx::sqlite::SqliteRow| {
            Ok((EpochId(row.get::<u32, _>(0)), from_json(&row.get::<String, _>(1))?))
        };
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
        Ok(rows.into_iter().map(|row| EpochId(row.get::<u32, _>(0))).collect())
    }

    /// Epochs from `first` up to `next`, itself not among them, that have no state; ascending.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn missing(&self, first: EpochId, next: EpochId) -> Result<Vec<EpochId>, Error> {
        let count = "SELECT COUNT(*) FROM epochs WHERE epoch >= ? AND epoch < ?";
        let row = sqlx::query(count).bind(first.0).bind(next.0).fetch_one(&self.pool).await?;
        if row.get::<u32, _>(0) == next.0.saturating_sub(first.0) {
            return Ok(Vec::new());
        }
        let rows = sqlx::query("SELECT epoch FROM epochs ORDER BY epoch");
        let rows = rows.fetch_all(&self.pool).await?;
        let have: BTreeSet<u32> = rows.into_iter().map(|row| row.get::<u32, _>(0)).collect();
        Ok((first.0..next.0).filter(|epoch| !have.contains(epoch)).map(EpochId).collect())
    }

    /// Writes a state.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_state(&self, epoch: EpochId, state: &State) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        write_state(&mut tx, epoch, state).await?;
        Ok(tx.commit().await?)
    }

    /// Writes a state with the epoch's leaves.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_leaves(
        &self,
        epoch: EpochId,
        state: &State,
        leaves: &[Leaf],
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        let packed = encode_leaves(leaves)?;
        sqlx::query("INSERT OR REPLACE INTO packed_leaves (epoch, leaves) VALUES (?, ?)")
            .bind(epoch.0)
            .bind(packed)
            .execute(&mut *tx)
            .await?;
        write_state(&mut tx, epoch, state).await?;
        Ok(tx.commit().await?)
    }

    /// Leaves of an epoch, account ascending.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn leaves(&self, epoch: EpochId) -> Result<Vec<Leaf>, Error> {
        let row = sqlx::query("SELECT leaves FROM packed_leaves WHERE epoch = ?").bind(epoch.0);
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(Vec::new()) };
        let damaged = || Error::Damaged(format!("leaves of epoch {epoch}"));
        leaf_encode::read_leaves(&row.get::<Vec<u8>, _>(0)).ok_or_else(damaged)
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
        let mut tx = self.pool.begin().await?;
        sqlx::query("INSERT OR REPLACE INTO baton (id, epoch, coin, creator) VALUES (1, ?, ?, ?)")
            .bind(epoch.0)
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
        Ok(Some((EpochId(row.get::<u32, _>(0)), from_json(&row.get::<String, _>(1))?, creator)))
    }

    /// Writes what Bitcoin blocks brought, all or nothing.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_news(&self, news: &BitcoinNews) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        if let Some(change) = &news.wallet {
            sqlx::query("INSERT INTO wallet_changes (change) VALUES (?)")
                .bind(to_json(change)?)
                .execute(&mut *tx)
                .await?;
        }
        for seen in &news.marked {
            sqlx::query("INSERT OR REPLACE INTO marked VALUES (?, ?, ?, ?, ?, ?)")
                .bind(seen.txid.to_string())
                .bind(seen.block.to_string())
                .bind(seen.height)
                .bind(seen.epoch)
                .bind(seen.batch)
                .bind(seen.spends.to_string())
                .execute(&mut *tx)
                .await?;
        }
        for genesis in &news.genesis {
            sqlx::query("INSERT OR REPLACE INTO genesis (txid, raw) VALUES (?, ?)")
                .bind(genesis.compute_txid().to_string())
                .bind(encode::serialize_hex(genesis))
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// The treasury wallet's changes, merged into one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn wallet(&self) -> Result<ChangeSet, Error> {
        let rows = sqlx::query("SELECT change FROM wallet_changes ORDER BY id");
        let rows = rows.fetch_all(&self.pool).await?;
        let mut merged = ChangeSet::default();
        for row in rows {
            merged.merge(from_json(&row.get::<String, _>(0))?);
        }
        Ok(merged)
    }

    /// Replaces the wallet's changes by what they merged into, so that the next start reads one row.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn compact_wallet(&self, merged: &ChangeSet) -> Result<(), Error> {
        if merged.is_empty() {
            return Ok(());
        }
        let mut tx = self.pool.begin().await?;
        sqlx::query("DELETE FROM wallet_changes").execute(&mut *tx).await?;
        sqlx::query("INSERT INTO wallet_changes (change) VALUES (?)")
            .bind(to_json(merged)?)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Blocks in which a transaction was seen; the newest height first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn seen(&self, txid: Txid) -> Result<Vec<(u32, BlockHash)>, Error> {
        let rows = sqlx::query(
            "SELECT height, block_hash FROM marked WHERE txid = ? ORDER BY height DESC",
        );
        let rows = rows.bind(txid.to_string()).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| Ok((row.get::<u32, _>(0), parse(&row.get::<String, _>(1))?)))
            .collect()
    }

    /// Other transactions than `txid` that were seen to spend `outpoint`, with their blocks.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn rivals(
        &self,
        outpoint: OutPoint,
        txid: Txid,
    ) -> Result<Vec<(Txid, BlockHash)>, Error> {
        let rows =
            sqlx::query("SELECT txid, block_hash FROM marked WHERE spends = ? AND txid <> ?")
                .bind(outpoint.to_string())
                .bind(txid.to_string())
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter()
            .map(|row| Ok((parse(&row.get::<String, _>(0))?, parse(&row.get::<String, _>(1))?)))
            .collect()
    }

    /// A transaction that pays to the first baton's script.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn genesis(&self, txid: Txid) -> Result<Option<Transaction>, Error> {
        let row = sqlx::query("SELECT raw FROM genesis WHERE txid = ?").bind(txid.to_string());
        let row = row.fetch_optional(&self.pool).await?;
        row.map(|row| from_hex(&row.get::<String, _>(0))).transpose()
    }
}

async fn write_state(tx: &mut Tx<'_, Sqlite>, epoch: EpochId, state: &State) -> Result<(), Error> {
    sqlx::query("INSERT OR REPLACE INTO epochs (epoch, state, data) VALUES (?, ?, ?)")
        .bind(epoch.0)
        .bind(state.name())
        .bind(to_json(state)?)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn encode_leaves(leaves: &[Leaf]) -> Result<Vec<u8>, Error> {
    let mut packed = Vec::with_capacity(leaves.len().saturating_mul(88));
    for leaf in leaves {
        let bytes = leaf_encode::leaf_bytes(leaf);
        packed.extend(bytes.map_err(|error| Error::Damaged(error.to_string()))?);
    }
    Ok(packed)
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
