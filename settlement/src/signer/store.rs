//! The signer's own record of what it has signed. SQLite, durable, one process.

use std::{fs::File, path::Path};

use alloy::primitives::B256;
use bitcoin::{OutPoint, Txid};
use sqlx::{Row, SqlitePool};

use crate::{
    error::Error,
    store::{lock, open_sqlite},
};

/// The open store. Dropping it releases the lock.
#[derive(Debug)]
pub struct SignerStore {
    pool: SqlitePool,
    _lock: File,
}

impl SignerStore {
    /// Opens or creates `store.sqlite` in the signer's folder.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be used.
    pub async fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("store.sqlite");
        let lock = lock(&path)?;
        let pool = open_sqlite(&path, false).await?;
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
        sqlx::query("INSERT OR IGNORE INTO roots (epoch, root) VALUES (?, ?)")
            .bind(epoch)
            .bind(root.to_string())
            .execute(&mut *tx)
            .await?;
        let row = sqlx::query("SELECT root FROM roots WHERE epoch = ?").bind(epoch);
        let found: String = row.fetch_one(&mut *tx).await?.get(0);
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
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
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
