//! What settlement keeps: states, leaves, the baton, the wallet. What a function here has written is on disk when it
//! returns, but for states that follow from others (ADR 0022); what belongs together is written together, the
//! double-entry ledger included.

pub mod answers;

use std::{
    collections::BTreeSet,
    fs::File,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy::hex;
use domain::{EpochId, Leaf};
use sqlx::{Acquire, Any, AnyPool, Row, Transaction as Tx, any::AnyRow, pool::PoolConnection};

use crate::{
    database::{Database, Lazily, Opened},
    encode as leaf_encode,
    error::Error,
    known::KnownTx,
    ledger::{Figures, follow, put_figures},
    state::State,
    vault::Coin,
};

mod memory;
pub(crate) mod parts;
mod wallet;

use memory::Memory;
pub use wallet::{BitcoinNews, Marked};

/// The open database. Dropping it releases the lock.
#[derive(Debug)]
pub struct Store {
    pool: AnyPool,
    lazily: Lazily,
    /// How often the database was connected to.
    connects: Arc<AtomicU64>,
    _lock: Option<File>,
    /// `None` where another process writes.
    memory: Option<Mutex<Memory>>,
}

impl Store {
    /// Opens the database for writing and takes its lock.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be used.
    pub async fn open(database: &Database) -> Result<Self, Error> {
        let Opened { pool, lazily, connects, lock } = database.open(false).await?;
        sqlx::migrate!("./migrations").run(&pool).await?;
        Ok(Self { pool, lazily, connects, _lock: lock, memory: Some(Mutex::default()) })
    }

    /// Opens the database for reading beside a running process.
    ///
    /// # Errors
    /// When the file is not there or cannot be read.
    pub async fn read(database: &Database) -> Result<Self, Error> {
        let Opened { pool, lazily, connects, .. } = database.open(true).await?;
        Ok(Self { pool, lazily, connects, _lock: None, memory: None })
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
        if let Some(state) = self.memory().and_then(|memory| memory.states.get(&epoch).cloned()) {
            return Ok(Some(state));
        }
        self.stored(epoch).await
    }

    /// The epoch's state as the database has it, whatever this process remembers.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn stored(&self, epoch: EpochId) -> Result<Option<State>, Error> {
        parts::read(&self.pool, epoch).await
    }

    /// The name of the epoch's state.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn phase(&self, epoch: EpochId) -> Result<Option<String>, Error> {
        let known = self.memory().and_then(|memory| memory.states.get(&epoch).map(State::name));
        if let Some(name) = known {
            return Ok(Some(name.to_owned()));
        }
        let row = sqlx::query("SELECT state FROM epochs WHERE epoch = $1");
        let row = row.bind(i64::from(epoch.0)).fetch_optional(&self.pool).await?;
        Ok(row.map(|row| row.get(0)))
    }

    fn memory(&self) -> Option<MutexGuard<'_, Memory>> {
        let mut memory = self.memory.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        memory.learnt_over(self.connects.load(Ordering::SeqCst));
        Some(memory)
    }

    /// The connection to write a state over: its commit is on disk when it returns, or with one that follows (ADR 0022).
    async fn connection_for(&self, state: &State) -> Result<PoolConnection<Any>, Error> {
        match state.must_last() {
            true => Ok(self.pool.acquire().await?),
            false => self.lazily.connection(&self.pool).await,
        }
    }

    /// Writes a state in a transaction that has written what belongs to it, and commits. What is remembered of the epoch
    /// goes first: whether a commit that failed is on disk, only the database knows.
    async fn commit(
        &self,
        mut tx: Tx<'_, Any>,
        epoch: EpochId,
        state: &State,
    ) -> Result<(), Error> {
        let before = self.memory().and_then(|mut memory| memory.states.remove(&epoch));
        parts::write(&mut tx, epoch, state, before.as_ref()).await?;
        // the books follow every state in the transaction that writes it
        follow(&mut tx, epoch, state).await?;
        tx.commit().await?;
        if let (Some(mut memory), false) = (self.memory(), state.is_last()) {
            memory.states.insert(epoch, state.clone());
        }
        Ok(())
    }

    /// Every epoch and its state, ascending.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn states(&self) -> Result<Vec<(EpochId, State)>, Error> {
        parts::read_all(&self.pool).await
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

    /// Epochs from `first` up to `next`, itself not among them, that have no state; ascending.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn missing(&self, first: EpochId, next: EpochId) -> Result<Vec<EpochId>, Error> {
        let count = "SELECT COUNT(*) FROM epochs WHERE epoch >= $1 AND epoch < $2";
        let count = sqlx::query(count).bind(i64::from(first.0)).bind(i64::from(next.0));
        let count: i64 = count.fetch_one(&self.pool).await?.get(0);
        if count == i64::from(next.0.saturating_sub(first.0)) {
            return Ok(Vec::new());
        }
        let rows = sqlx::query("SELECT epoch FROM epochs ORDER BY epoch");
        let rows = rows.fetch_all(&self.pool).await?;
        let have = rows.iter().map(|row| number(row, 0)).collect::<Result<BTreeSet<u32>, _>>()?;
        Ok((first.0..next.0).filter(|epoch| !have.contains(epoch)).map(EpochId).collect())
    }

    /// The newest epochs, the newest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn newest(&self, count: i64) -> Result<Vec<EpochId>, Error> {
        let rows = sqlx::query("SELECT epoch FROM epochs ORDER BY epoch DESC LIMIT $1");
        let rows = rows.bind(count).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(EpochId(number(row, 0)?))).collect()
    }

    /// Writes a state.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_state(&self, epoch: EpochId, state: &State) -> Result<(), Error> {
        let mut connection = self.connection_for(state).await?;
        self.commit(connection.begin().await?, epoch, state).await
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
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO packed_leaves (epoch, leaves) VALUES ($1, $2) ON CONFLICT (epoch) DO UPDATE SET \
             leaves = excluded.leaves",
        )
        .bind(i64::from(epoch.0))
        .bind(pack(leaves)?)
        .execute(&mut *tx)
        .await?;
        put_figures(&mut tx, epoch, figures).await?;
        self.commit(tx, epoch, state).await
    }

    /// Leaves of an epoch, account ascending.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn leaves(&self, epoch: EpochId) -> Result<Vec<Leaf>, Error> {
        let row = sqlx::query("SELECT leaves FROM packed_leaves WHERE epoch = $1");
        let row = row.bind(i64::from(epoch.0)).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(Vec::new()) };
        let damaged = || Error::Damaged(format!("leaves of epoch {epoch}"));
        let bytes = hex::decode(row.get::<String, _>(0)).map_err(|_| damaged())?;
        leaf_encode::read_leaves(&bytes).ok_or_else(damaged)
    }

    /// Writes a planned state with the baton that its plan leaves behind. If a later epoch has left a baton already, the
    /// newest stays that one.
    ///
    /// # Errors
    /// When the state has no plan; those of the database.
    pub async fn put_plan(&self, epoch: EpochId, state: &State) -> Result<(), Error> {
        let plan = state.plan().ok_or_else(|| Error::mismatch(epoch, "it has no plan"))?;
        if plan.first_txid() != Some(plan.baton.outpoint.txid) {
            return Err(Error::mismatch(epoch, "its plan does not make its baton"));
        }
        let mut connection = self.connection_for(state).await?;
        let mut tx = connection.begin().await?;
        if let Some(mut memory) = self.memory() {
            memory.baton = None;
        }
        let newest = sqlx::query(
            "INSERT INTO baton (id, epoch, coin) VALUES (1, $1, $2) ON CONFLICT (id) DO UPDATE SET \
             epoch = excluded.epoch, coin = excluded.coin WHERE baton.epoch <= excluded.epoch",
        )
        .bind(i64::from(epoch.0))
        .bind(to_json(&plan.baton)?)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        self.commit(tx, epoch, state).await?;
        if newest == 1
            && let (Some(mut memory), Some(first)) = (self.memory(), plan.txs.first())
        {
            memory.baton = Some((epoch, plan.baton.clone(), first.tx.clone()));
        }
        Ok(())
    }

    /// The newest planned baton and the epoch whose plan leaves it; `None` before the first payout.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn newest_baton(&self) -> Result<Option<(EpochId, Coin)>, Error> {
        let row = sqlx::query("SELECT epoch, coin FROM baton");
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        Ok(Some((EpochId(number(&row, 0)?), from_json(&row.get::<String, _>(1))?)))
    }

    /// The newest planned baton and the transaction that creates it; `None` before the first payout.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn baton(&self) -> Result<Option<(EpochId, Coin, KnownTx)>, Error> {
        if let Some(baton) = self.memory().and_then(|memory| memory.baton.clone()) {
            return Ok(Some(baton));
        }
        self.stored_baton().await
    }

    /// The same as the database has it, whatever this process remembers.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn stored_baton(&self) -> Result<Option<(EpochId, Coin, KnownTx)>, Error> {
        let Some((epoch, baton)) = self.newest_baton().await? else { return Ok(None) };
        let creator = parts::first_planned(&self.pool, epoch).await?;
        if creator.txid() != baton.outpoint.txid {
            return Err(Error::Damaged(format!("epoch {epoch} does not leave the newest baton")));
        }
        Ok(Some((epoch, baton, creator)))
    }
}

/// A number that fits 32 bits.
fn number(row: &AnyRow, column: usize) -> Result<u32, Error> {
    let found: i64 = row.get(column);
    u32::try_from(found).map_err(|_| Error::Damaged(format!("number {found}")))
}

/// Leaves as hex of the bytes that are hashed, one after the other.
fn pack(leaves: &[Leaf]) -> Result<String, Error> {
    let mut packed = Vec::with_capacity(leaves.len().saturating_mul(88));
    for leaf in leaves {
        let bytes = leaf_encode::leaf_bytes(leaf);
        packed.extend(bytes.map_err(|error| Error::Damaged(error.to_string()))?);
    }
    Ok(hex::encode(packed))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Damaged(error.to_string()))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Damaged(error.to_string()))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: T::Err| Error::Damaged(error.to_string()))
}
