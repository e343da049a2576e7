//! Shares for proofs of hashrate, as the journal gave them, and proofs made of them.

use alloy::primitives::U256;
use domain::{EpochId, Production};
use sqlx::{Row, SqliteConnection};

use super::{Store, StoreError, hash};
use crate::proofs::{Found, Plan, number_of};

/// Epochs whose shares are kept: what is older can be proven no more.
const EPOCHS: u32 = 3;

/// Takes a record of the journal, if it is of this matter.
pub(super) async fn take(tx: &mut SqliteConnection, record: &Production) -> Result<(), StoreError> {
    match record {
        Production::Share { epoch, hash, proof, .. } => {
            let body = serde_json::to_string(proof).map_err(|_| StoreError::Damaged("a share"))?;
            sqlx::query("INSERT OR IGNORE INTO share (epoch, hash, body) VALUES (?, ?, ?)")
                .bind(epoch.0)
                .bind(hash.to_string())
                .bind(body)
                .execute(&mut *tx)
                .await?;
        }
        Production::Tagged { epoch, venue, tag, target, .. } => {
            sqlx::query(
                "INSERT OR IGNORE INTO terms (epoch, venue, tagged, target) VALUES (?, ?, ?, ?)",
            )
            .bind(epoch.0)
            .bind(venue)
            .bind(tag.is_some())
            .bind(target.to_string())
            .execute(&mut *tx)
            .await?;
            for old in
                ["DELETE FROM share WHERE epoch + ? < ?", "DELETE FROM terms WHERE epoch + ? < ?"]
            {
                sqlx::query(old).bind(EPOCHS).bind(epoch.0).execute(&mut *tx).await?;
            }
        }
        _ => {}
    }
    Ok(())
}

impl Store {
    /// What the journal holds of an epoch's proof.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn found(&self, epoch: EpochId) -> Result<Found, StoreError> {
        // hashes are hex of one length: their order as text is that of the numbers
        let rows = sqlx::query("SELECT hash, body FROM share WHERE epoch = ? ORDER BY hash")
            .bind(epoch.0)
            .fetch_all(&self.pool)
            .await?;
        let mut found = Found::default();
        for row in rows {
            let body: String = row.try_get("body")?;
            let proof = serde_json::from_str(&body).map_err(|_| StoreError::Damaged("a share"))?;
            found.shares.push((number_of(hash(row.try_get("hash")?)?), proof));
        }
        let rows = sqlx::query("SELECT venue, tagged, target FROM terms WHERE epoch = ?")
            .bind(epoch.0)
            .fetch_all(&self.pool)
            .await?;
        for row in rows {
            let target: U256 = number_of(hash(row.try_get("target")?)?);
            if row.try_get("tagged")? {
                found.bound = Some(found.bound.map_or(target, |bound| bound.min(target)));
            } else {
                found.unprovable.push(row.try_get("venue")?);
            }
        }
        Ok(found)
    }

    /// The proof that was made of an epoch.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn hash_proof(&self, epoch: EpochId) -> Result<Option<Plan>, StoreError> {
        let row = sqlx::query("SELECT plan FROM hash_proof WHERE epoch = ?")
            .bind(epoch.0)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let plan: String = row.try_get("plan")?;
        serde_json::from_str(&plan).map(Some).map_err(|_| StoreError::Damaged("a proof"))
    }

    /// Keeps a proof before it is sent.
    ///
    /// # Errors
    /// When SQLite refuses: then nothing may be sent.
    pub async fn keep_hash_proof(&self, epoch: EpochId, plan: &Plan) -> Result<(), StoreError> {
        let plan = serde_json::to_string(plan).map_err(|_| StoreError::Damaged("a proof"))?;
        sqlx::query("INSERT OR IGNORE INTO hash_proof (epoch, plan) VALUES (?, ?)")
            .bind(epoch.0)
            .bind(plan)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
