//! The signer's own SQLite store, fsynced at every commit.

use std::{path::Path, str::FromStr, time::Duration};

use alloy::primitives::B256;
use domain::EpochId;
use sqlx::{
    Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::observation::SignedObservation;

mod readings;
mod seen;
mod shares;

pub use seen::Seen;

/// The store refuses, or holds what it should not.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite.
    #[error("store: {0}")]
    Sql(#[from] sqlx::Error),
    /// A stored value does not parse.
    #[error("store: {0} is damaged; restore the file from a copy")]
    Damaged(&'static str),
    /// The switching journal changed behind what was read from it.
    #[error("switching journal: {0}")]
    Journal(#[from] domain::journal::ChainError),
}

/// A block that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Height.
    pub height: u64,
    /// Hash, as bitcoind shows it.
    pub hash: String,
    /// Header time.
    pub time: u64,
}

/// What was signed for an epoch and round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Hash of the report.
    pub hash: B256,
    /// The observations it follows from, as they were sent.
    pub request: String,
}

/// The store. One process at a time; SQLite's own lock keeps a second writer out.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS observation (epoch INTEGER PRIMARY KEY, body TEXT NOT NULL, signature TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS signed (
  epoch INTEGER NOT NULL, round INTEGER NOT NULL, hash TEXT NOT NULL, request TEXT NOT NULL,
  PRIMARY KEY (epoch, round));
CREATE TABLE IF NOT EXISTS seen (
  signer TEXT NOT NULL, epoch INTEGER NOT NULL, round INTEGER NOT NULL, hash TEXT NOT NULL, signature TEXT NOT NULL,
  PRIMARY KEY (signer, epoch, round));
CREATE TABLE IF NOT EXISTS payout (
  pool TEXT NOT NULL, txid TEXT NOT NULL, vout INTEGER, amount INTEGER NOT NULL, time INTEGER NOT NULL,
  covers TEXT NOT NULL, PRIMARY KEY (pool, txid, vout));
CREATE TABLE IF NOT EXISTS block (height INTEGER PRIMARY KEY, hash TEXT NOT NULL, time INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS output (
  txid TEXT NOT NULL, vout INTEGER NOT NULL, sats INTEGER NOT NULL, height INTEGER NOT NULL,
  PRIMARY KEY (txid, vout));
CREATE TABLE IF NOT EXISTS journal (one INTEGER PRIMARY KEY CHECK (one = 1), len INTEGER NOT NULL, hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS journal_head (epoch INTEGER PRIMARY KEY, hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS work (
  epoch INTEGER NOT NULL, venue TEXT NOT NULL, series INTEGER NOT NULL, hashes TEXT NOT NULL,
  PRIMARY KEY (epoch, venue, series));
CREATE TABLE IF NOT EXISTS share (
  epoch INTEGER NOT NULL, hash TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (epoch, hash));
CREATE TABLE IF NOT EXISTS terms (
  epoch INTEGER NOT NULL, venue TEXT NOT NULL, tagged INTEGER NOT NULL, target TEXT NOT NULL,
  PRIMARY KEY (epoch, venue, tagged, target));
CREATE TABLE IF NOT EXISTS hash_proof (epoch INTEGER PRIMARY KEY, plan TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS trade (
  coin TEXT NOT NULL, id INTEGER NOT NULL, time_ms INTEGER NOT NULL, sold INTEGER NOT NULL, net INTEGER NOT NULL,
  PRIMARY KEY (coin, id));
CREATE TABLE IF NOT EXISTS withdrawal (
  id TEXT PRIMARY KEY, applied TEXT NOT NULL, txid TEXT, gross INTEGER NOT NULL, fee INTEGER NOT NULL,
  status TEXT NOT NULL);
";

impl Store {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        Ok(Self { pool })
    }

    /// Keeps the first observation of an epoch and returns the one that is kept.
    ///
    /// # Errors
    /// When SQLite refuses: then nothing may be released.
    pub async fn keep_observation(
        &self,
        epoch: EpochId,
        made: &SignedObservation,
    ) -> Result<SignedObservation, StoreError> {
        sqlx::query("INSERT OR IGNORE INTO observation (epoch, body, signature) VALUES (?, ?, ?)")
            .bind(epoch.0)
            .bind(&made.body)
            .bind(&made.signature)
            .execute(&self.pool)
            .await?;
        self.observation(epoch).await?.ok_or(StoreError::Damaged("observation"))
    }

    /// The observation of an epoch, if one was made.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn observation(
        &self,
        epoch: EpochId,
    ) -> Result<Option<SignedObservation>, StoreError> {
        let row = sqlx::query("SELECT body, signature FROM observation WHERE epoch = ?")
            .bind(epoch.0)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| {
            Ok(SignedObservation {
                body: row.try_get("body")?,
                signature: row.try_get("signature")?,
            })
        })
        .transpose()
    }

    /// Binds this signer to a report for an epoch and round, for ever, and returns what it is bound to: the caller
    /// signs only if that is what it asked for. `None` when it is bound in a later round of the epoch: rounds that were
    /// left behind are never signed.
    ///
    /// # Errors
    /// When SQLite refuses: then nothing may be signed.
    pub async fn bind(
        &self,
        epoch: EpochId,
        round: u16,
        wanted: &Signed,
    ) -> Result<Option<Signed>, StoreError> {
        sqlx::query(
            "INSERT OR IGNORE INTO signed (epoch, round, hash, request) SELECT ?1, ?2, ?3, ?4
             WHERE NOT EXISTS (SELECT 1 FROM signed WHERE epoch = ?1 AND round > ?2)",
        )
        .bind(epoch.0)
        .bind(round)
        .bind(wanted.hash.to_string())
        .bind(&wanted.request)
        .execute(&self.pool)
        .await?;
        self.signed(epoch, round).await
    }

    /// What this signer is bound to.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn signed(&self, epoch: EpochId, round: u16) -> Result<Option<Signed>, StoreError> {
        let row = sqlx::query("SELECT hash, request FROM signed WHERE epoch = ? AND round = ?")
            .bind(epoch.0)
            .bind(round)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| {
            Ok(Signed { hash: hash(row.try_get("hash")?)?, request: row.try_get("request")? })
        })
        .transpose()
    }

    /// The last epoch signed, and its last round.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn last_signed(&self) -> Result<Option<(u32, u16)>, StoreError> {
        let row =
            sqlx::query("SELECT epoch, round FROM signed ORDER BY epoch DESC, round DESC LIMIT 1");
        let row = row.fetch_optional(&self.pool).await?;
        row.map(|row| Ok((row.try_get("epoch")?, row.try_get("round")?))).transpose()
    }
}

fn hash(text: &str) -> Result<B256, StoreError> {
    B256::from_str(text).map_err(|_| StoreError::Damaged("a hash"))
}

fn number(text: &str) -> Result<u128, StoreError> {
    text.parse().map_err(|_| StoreError::Damaged("a number"))
}

/// SQLite integers are signed; amounts, heights and times of this world fit.
fn signed64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
