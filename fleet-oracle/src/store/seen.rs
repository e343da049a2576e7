//! Signatures of other signers, to notice one who signs two reports of one epoch and round; and pools' payouts.

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::{Store, StoreError, hash, signed64, unsigned};
use crate::attribution::PoolPayout;

/// A signature over a report, as signers show it to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Epoch.
    pub epoch: u32,
    /// Round.
    pub round: u16,
    /// Hash of the report.
    pub hash: B256,
    /// 65 bytes, hex.
    pub signature: String,
}

impl Store {
    /// Keeps the first signature that was seen of a signer for an epoch and round, and returns that one.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn see(&self, signer: Address, seen: &Seen) -> Result<Seen, StoreError> {
        sqlx::query("INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?, ?)")
            .bind(signer.to_string())
            .bind(seen.epoch)
            .bind(seen.round)
            .bind(seen.hash.to_string())
            .bind(&seen.signature)
            .execute(&self.pool)
            .await?;
        let row = sqlx::query(
            "SELECT hash, signature FROM seen WHERE signer = ? AND epoch = ? AND round = ?",
        )
        .bind(signer.to_string())
        .bind(seen.epoch)
        .bind(seen.round)
        .fetch_one(&self.pool)
        .await?;
        let first = Seen {
            hash: hash(row.try_get("hash")?)?,
            signature: row.try_get("signature")?,
            ..seen.clone()
        };
        Ok(first)
    }

    /// Every signature that was seen for an epoch.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn seen(&self, epoch: u32) -> Result<Vec<Seen>, StoreError> {
        let rows = sqlx::query("SELECT round, hash, signature FROM seen WHERE epoch = ?");
        let rows = rows.bind(epoch).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let (round, hash) = (row.try_get("round")?, hash(row.try_get("hash")?)?);
                Ok(Seen { epoch, round, hash, signature: row.try_get("signature")? })
            })
            .collect()
    }

    /// Remembers a pool's payouts; a known one takes on what the pool says of it now.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn put_payouts(&self, pool: &str, payouts: &[PoolPayout]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for one in payouts {
            let covers = serde_json::to_string(&one.covers);
            let covers = covers.map_err(|_| StoreError::Damaged("a payout's hours"))?;
            // SQLite takes two NULLs for different: the old row of an output without an index goes by hand
            sqlx::query("DELETE FROM payout WHERE pool = ? AND txid = ? AND vout IS ?")
                .bind(pool)
                .bind(one.txid.to_string())
                .bind(one.vout)
                .execute(&mut *tx)
                .await?;
            sqlx::query("INSERT INTO payout VALUES (?, ?, ?, ?, ?, ?)")
                .bind(pool)
                .bind(one.txid.to_string())
                .bind(one.vout)
                .bind(signed64(one.amount))
                .bind(signed64(one.time))
                .bind(covers)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Every payout that a pool ever named, oldest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn payouts(&self, pool: &str) -> Result<Vec<PoolPayout>, StoreError> {
        let rows = sqlx::query(
            "SELECT txid, vout, amount, time, covers FROM payout WHERE pool = ? ORDER BY time, txid, vout",
        );
        let rows = rows.bind(pool).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let covers = serde_json::from_str(row.try_get("covers")?);
                Ok(PoolPayout {
                    txid: hash(row.try_get("txid")?)?,
                    vout: row.try_get("vout")?,
                    amount: unsigned(row.try_get("amount")?),
                    time: unsigned(row.try_get("time")?),
                    covers: covers.map_err(|_| StoreError::Damaged("a payout's hours"))?,
                })
            })
            .collect()
    }
}
