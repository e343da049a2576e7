//! The signer's own record of what it has signed. SQLite, durable, one process.

use std::{fs::File, path::Path};

use alloy::primitives::B256;
use bitcoin::{OutPoint, Txid};
use sqlx::{Row, Sqlite, SqlitePool, Transaction as Tx};

use crate::{
    database::{lock, open_sqlite},
    error::Error,
    signer::limits::Limits,
};

/// The open store. Dropping it releases the lock.
#[derive(Debug)]
pub struct SignerStore {
    pool: SqlitePool,
    _lock: File,
}

/// Seconds of chain time.
const DAY: u64 = 86_400;
const EPOCH_SPENT: &str = "SELECT COALESCE(SUM(most), 0) FROM (SELECT MAX(sats) AS most FROM spent WHERE epoch = ? GROUP BY epoch, batch)";
const EPOCH_FEES: &str = "SELECT COALESCE(SUM(most), 0) FROM (SELECT MAX(fee) AS most FROM spent WHERE epoch = ? GROUP BY epoch, batch)";
const DAY_SPENT: &str = "SELECT COALESCE(SUM(most), 0) FROM (SELECT MAX(sats) AS most FROM spent WHERE signed_at > ? GROUP BY epoch, batch)";

impl SignerStore {
    /// Opens or creates `store.sqlite` in the signer's folder.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be used.
    pub async fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("store.sqlite");
        let lock = lock(&path)?;
        let pool = open_sqlite(&path).await?;
        sqlx::migrate!("./signer-migrations").run(&pool).await?;
        Ok(Self { pool, _lock: lock })
    }

    /// Writes that a transaction is about to be signed. A second root for an epoch is refused by the database itself.
    ///
    /// # Errors
    /// When another root was signed for the epoch, or the database cannot be written.
    pub async fn record(
        &self,
        epoch: u32,
        batch: u16,
        txid: Txid,
        root: B256,
        spends: OutPoint,
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        self.write(&mut tx, epoch, batch, txid, root, spends).await?;
        Ok(tx.commit().await?)
    }

    /// Writes that a transaction is about to be signed which takes `sats` out of the vault at chain time `now`, `fee` of
    /// them to the miner, if it stays within the limits. Variants of one batch count once, the dearest: only one of them can be mined. What was
    /// signed before is within them.
    ///
    /// # Errors
    /// When a limit would be passed, and as `record`; nothing is written then.
    #[allow(clippy::too_many_arguments, reason = "one row")]
    pub async fn record_spend(
        &self,
        limits: &Limits,
        epoch: u32,
        batch: u16,
        txid: Txid,
        root: B256,
        spends: OutPoint,
        sats: u64,
        fee: u64,
        now: u64,
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        self.write(&mut tx, epoch, batch, txid, root, spends).await?;
        let number = |value: u64| i64::try_from(value).map_err(|_| Error::Damaged("sats".into()));
        let new = sqlx::query("INSERT OR IGNORE INTO spent VALUES (?, ?, ?, ?, ?, ?)")
            .bind(epoch)
            .bind(batch)
            .bind(txid.to_string())
            .bind(number(sats)?)
            .bind(number(now)?)
            .bind(number(fee)?)
            .execute(&mut *tx)
            .await?;
        if new.rows_affected() > 0 {
            let since = number(now.saturating_sub(DAY))?;
            for (limit, which, sql, at) in [
                (limits.max_epoch_sats, "one epoch", EPOCH_SPENT, i64::from(epoch)),
                (limits.max_epoch_fee_sats, "the fees of one epoch", EPOCH_FEES, i64::from(epoch)),
                (limits.max_day_sats, "24 hours", DAY_SPENT, since),
            ] {
                let Some(limit) = limit else { continue };
                let sum: i64 = sqlx::query(sql).bind(at).fetch_one(&mut *tx).await?.get(0);
                if sum > number(limit)? {
                    let what = format!(
                        "{sum} sat would leave in {which}, this signer's limit is {limit}: raise it in its \
                         configuration if that is right"
                    );
                    return Err(Error::Mismatch { epoch: domain::EpochId(epoch), what });
                }
            }
        }
        Ok(tx.commit().await?)
    }

    async fn write(
        &self,
        tx: &mut Tx<'_, Sqlite>,
        epoch: u32,
        batch: u16,
        txid: Txid,
        root: B256,
        spends: OutPoint,
    ) -> Result<(), Error> {
        sqlx::query("INSERT OR IGNORE INTO roots (epoch, root) VALUES (?, ?)")
            .bind(epoch)
            .bind(root.to_string())
            .execute(&mut **tx)
            .await?;
        let row = sqlx::query("SELECT root FROM roots WHERE epoch = ?").bind(epoch);
        let found: String = row.fetch_one(&mut **tx).await?.get(0);
        if found != root.to_string() {
            let what = format!("this signer has signed root {found} and signs no other");
            return Err(Error::Mismatch { epoch: domain::EpochId(epoch), what });
        }
        sqlx::query("INSERT OR IGNORE INTO signed (epoch, batch, txid, root, spends) VALUES (?, ?, ?, ?, ?)")
            .bind(epoch)
            .bind(batch)
            .bind(txid.to_string())
            .bind(root.to_string())
            .bind(spends.to_string())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Batches and transactions signed for an epoch, of the given batches.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn signed(&self, epoch: u32, batches: &[u16]) -> Result<Vec<(u16, Txid)>, Error> {
        let rows = sqlx::query("SELECT batch, txid FROM signed WHERE epoch = ? ORDER BY txid");
        let rows = rows.bind(epoch).fetch_all(&self.pool).await?;
        let mut found = Vec::new();
        for row in rows {
            let txid = row.get::<String, _>(1).parse();
            let txid = txid.map_err(|_| Error::Damaged("a txid".into()))?;
            let batch = row.get::<u16, _>(0);
            if batches.contains(&batch) {
                found.push((batch, txid));
            }
        }
        Ok(found)
    }

    /// The root signed for an epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn root(&self, epoch: u32) -> Result<Option<B256>, Error> {
        let row = sqlx::query("SELECT root FROM roots WHERE epoch = ?").bind(epoch);
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        let root = row.get::<String, _>(0).parse();
        root.map(Some).map_err(|_| Error::Damaged("a root".into()))
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    #[tokio::test]
    async fn spending_limits_hold_across_a_restart_and_variants_count_once() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits {
            max_fee_sats: 0,
            max_fee_rate: 0,
            min_fee_rate: 0,
            max_day_sats: Some(1_000),
            max_epoch_sats: Some(600),
            max_epoch_fee_sats: Some(50),
        };
        let txid = |n: u8| Txid::from_byte_array([n; 32]);
        let spend = async |store: &SignerStore, epoch: u32, n: u8, sats: u64, now: u64| {
            let root = B256::repeat_byte(u8::try_from(epoch).unwrap());
            let fee = if n > 100 { u64::from(n) - 100 } else { 0 };
            let place = OutPoint::null();
            store.record_spend(&limits, epoch, 0, txid(n), root, place, sats, fee, now).await
        };
        let store = SignerStore::open(dir.path()).await.unwrap();
        let error = spend(&store, 1, 1, 601, 100).await.unwrap_err().to_string();
        assert!(error.contains("one epoch") && error.contains("600"), "{error}");
        assert_eq!(store.root(1).await.unwrap(), None, "nothing is written of what is refused");
        spend(&store, 1, 1, 590, 100).await.unwrap();
        spend(&store, 1, 2, 600, 200).await.unwrap();
        drop(store);
        let store = SignerStore::open(dir.path()).await.unwrap();
        let error = spend(&store, 2, 3, 401, 300).await.unwrap_err().to_string();
        assert!(error.contains("24 hours") && error.contains("1000"), "{error}");
        spend(&store, 2, 4, 400, 300).await.unwrap();
        assert!(spend(&store, 3, 5, 1, 400).await.is_err());
        spend(&store, 1, 1, 590, 400).await.unwrap();
        spend(&store, 3, 5, 500, 86_600).await.unwrap();
        // variants of 30, 40 and 50 sat of fee: the dearest counts, not their sum; one of 51 is too dear
        for fee in [30, 40, 50] {
            spend(&store, 4, 100 + fee, 10, 200_000).await.unwrap();
        }
        let error = spend(&store, 4, 151, 10, 200_000).await.unwrap_err().to_string();
        assert!(error.contains("fees of one epoch") && error.contains("51"), "{error}");
        assert_eq!(store.signed(4, &[0]).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_second_root_and_a_second_process_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = SignerStore::open(dir.path()).await.unwrap();
        let (txid, other) = (Txid::from_byte_array([1; 32]), Txid::from_byte_array([2; 32]));
        let (root, wrong) = (B256::repeat_byte(1), B256::repeat_byte(2));
        store.record(5, 0, txid, root, OutPoint::null()).await.unwrap();
        store.record(5, 0, txid, root, OutPoint::null()).await.unwrap();
        store.record(5, 0, other, root, OutPoint::null()).await.unwrap();
        let error = store.record(5, 0, txid, wrong, OutPoint::null()).await.unwrap_err();
        assert!(error.to_string().contains("signs no other"), "{error}");
        assert_eq!(store.signed(5, &[0]).await.unwrap().len(), 2);
        assert_eq!(store.root(5).await.unwrap(), Some(root));
        let second = SignerStore::open(dir.path()).await.unwrap_err();
        assert!(matches!(second, Error::Locked(_)), "{second}");
    }
}
