//! What was read from the world so far: blocks, the switching journal, trades.

use alloy::primitives::B256;
use domain::{
    Coin, EpochId, Production, SeriesId,
    journal::{Head, Line},
};
use sqlx::{Row, SqliteExecutor};

use super::{Store, StoreError, StoredBlock, hash, number, signed64, unsigned};
use crate::{
    attribution::{Output, Trade, Withdrawal, WithdrawalStatus},
    pots::Work,
};

impl Store {
    /// The highest block read at or below `height`.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn block_at_most(&self, height: u64) -> Result<Option<StoredBlock>, StoreError> {
        let row = sqlx::query(
            "SELECT height, hash, time FROM block WHERE height <= ? ORDER BY height DESC LIMIT 1",
        )
        .bind(signed64(height))
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let (height, time) = (unsigned(row.try_get("height")?), unsigned(row.try_get("time")?));
            Ok(StoredBlock { height, hash: row.try_get("hash")?, time })
        })
        .transpose()
    }

    /// Forgets blocks above `height`, and what was in them.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn rewind(&self, height: Option<u64>) -> Result<(), StoreError> {
        let height = height.map_or(-1, signed64);
        let mut tx = self.pool.begin().await?;
        sqlx::query("DELETE FROM output WHERE height > ?").bind(height).execute(&mut *tx).await?;
        sqlx::query("DELETE FROM block WHERE height > ?").bind(height).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Adds blocks with their treasury outputs.
    ///
    /// # Errors
    /// When SQLite refuses; nothing was added then.
    pub async fn add_blocks(
        &self,
        blocks: &[(StoredBlock, Vec<Output>)],
    ) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for (block, outputs) in blocks {
            sqlx::query("INSERT INTO block (height, hash, time) VALUES (?, ?, ?)")
                .bind(signed64(block.height))
                .bind(&block.hash)
                .bind(signed64(block.time))
                .execute(&mut *tx)
                .await?;
            for output in outputs {
                sqlx::query("INSERT INTO output (txid, vout, sats, height) VALUES (?, ?, ?, ?)")
                    .bind(output.txid.to_string())
                    .bind(output.vout)
                    .bind(signed64(output.sats))
                    .bind(signed64(block.height))
                    .execute(&mut *tx)
                    .await?;
            }
        }
        Ok(tx.commit().await?)
    }

    /// Treasury outputs in blocks up to `height` whose header time is before `before`.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn outputs(&self, height: u64, before: u64) -> Result<Vec<Output>, StoreError> {
        let rows = sqlx::query(
            "SELECT txid, vout, sats FROM output JOIN block USING (height) WHERE height <= ? AND time < ?",
        )
        .bind(signed64(height))
        .bind(signed64(before))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let (txid, sats) = (hash(row.try_get("txid")?)?, unsigned(row.try_get("sats")?));
                Ok(Output { txid, vout: row.try_get("vout")?, sats })
            })
            .collect()
    }

    /// The end of the switching journal as far as it was read.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn journal_head(&self) -> Result<Head, StoreError> {
        head_of(&self.pool).await
    }

    /// Takes the next lines of the switching journal, after checking that they follow from those before.
    ///
    /// # Errors
    /// When a line does not follow or SQLite refuses; nothing was taken then.
    pub async fn take_lines(&self, lines: &[Line]) -> Result<(), StoreError> {
        // read in the same transaction: of two readers with the same lines, the second finds them taken
        let mut tx = self.pool.begin().await?;
        let mut head = head_of(&mut *tx).await?;
        let row = sqlx::query("SELECT COALESCE(MAX(epoch), 0) AS epoch FROM journal_head");
        let mut newest: u32 = row.fetch_one(&mut *tx).await?.try_get("epoch")?;
        for line in lines {
            head.follow(line)?;
            let record: Production = line.record()?;
            newest = newest.max(epoch_of(&record).0);
            sqlx::query("INSERT OR REPLACE INTO journal_head (epoch, hash) VALUES (?, ?)")
                .bind(newest)
                .bind(line.hash.to_string())
                .execute(&mut *tx)
                .await?;
            super::shares::take(&mut tx, &record).await?;
            if let Production::Work { epoch, venue, series, hashes, .. } = record {
                let old = sqlx::query(
                    "SELECT hashes FROM work WHERE epoch = ? AND venue = ? AND series = ?",
                )
                .bind(epoch.0)
                .bind(&venue)
                .bind(series.0)
                .fetch_optional(&mut *tx)
                .await?;
                let old = old.map_or(Ok(0), |row| number(row.try_get("hashes")?))?;
                sqlx::query("INSERT OR REPLACE INTO work (epoch, venue, series, hashes) VALUES (?, ?, ?, ?)")
                    .bind(epoch.0)
                    .bind(venue)
                    .bind(series.0)
                    .bind(old.saturating_add(hashes).to_string())
                    .execute(&mut *tx)
                    .await?;
            }
        }
        sqlx::query("INSERT OR REPLACE INTO journal (one, len, hash) VALUES (1, ?, ?)")
            .bind(signed64(head.len))
            .bind(head.hash.to_string())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Hash of the last journal line of that epoch or an earlier one; zero if none.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn journal_hash(&self, epoch: EpochId) -> Result<B256, StoreError> {
        let row = sqlx::query(
            "SELECT hash FROM journal_head WHERE epoch <= ? ORDER BY epoch DESC LIMIT 1",
        )
        .bind(epoch.0)
        .fetch_optional(&self.pool)
        .await?;
        row.map_or(Ok(B256::ZERO), |row| hash(row.try_get("hash")?))
    }

    /// Work by epoch, *venue* and series.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn work(&self, from: EpochId, to: EpochId) -> Result<Work, StoreError> {
        let rows = sqlx::query(
            "SELECT epoch, venue, series, hashes FROM work WHERE epoch BETWEEN ? AND ?",
        )
        .bind(from.0)
        .bind(to.0)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let key = (
                    EpochId(row.try_get("epoch")?),
                    row.try_get("venue")?,
                    SeriesId(row.try_get("series")?),
                );
                Ok((key, number(row.try_get("hashes")?)?))
            })
            .collect()
    }

    /// Adds trades; known ones are left as they are.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn add_trades(&self, trades: &[Trade]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for trade in trades {
            sqlx::query(
                "INSERT OR IGNORE INTO trade (coin, id, time_ms, sold, net) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(trade.coin.ticker())
            .bind(signed64(trade.id))
            .bind(signed64(trade.time_ms))
            .bind(signed64(trade.sold))
            .bind(signed64(trade.net))
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Adds withdrawals; known ones take on their new state.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn put_withdrawals(&self, withdrawals: &[Withdrawal]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for one in withdrawals {
            sqlx::query("INSERT OR REPLACE INTO withdrawal VALUES (?, ?, ?, ?, ?, ?)")
                .bind(&one.id)
                .bind(&one.applied)
                .bind(one.txid.map(|txid| txid.to_string()))
                .bind(signed64(one.gross))
                .bind(signed64(one.fee))
                .bind(one.status.name())
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Every withdrawal that was ever seen.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn withdrawals(&self) -> Result<Vec<Withdrawal>, StoreError> {
        let rows = sqlx::query("SELECT id, applied, txid, gross, fee, status FROM withdrawal");
        let rows = rows.fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let txid: Option<&str> = row.try_get("txid")?;
                let status = WithdrawalStatus::named(row.try_get("status")?);
                Ok(Withdrawal {
                    id: row.try_get("id")?,
                    applied: row.try_get("applied")?,
                    txid: txid.map(hash).transpose()?,
                    gross: unsigned(row.try_get("gross")?),
                    fee: unsigned(row.try_get("fee")?),
                    status: status.ok_or(StoreError::Damaged("a withdrawal's status"))?,
                })
            })
            .collect()
    }

    /// Every trade of a coin, by id.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn trades(&self, coin: Coin) -> Result<Vec<Trade>, StoreError> {
        let rows =
            sqlx::query("SELECT id, time_ms, sold, net FROM trade WHERE coin = ? ORDER BY id")
                .bind(coin.ticker())
                .fetch_all(&self.pool)
                .await?;
        rows.iter()
            .map(|row| {
                Ok(Trade {
                    id: unsigned(row.try_get("id")?),
                    time_ms: unsigned(row.try_get("time_ms")?),
                    coin,
                    sold: unsigned(row.try_get("sold")?),
                    net: unsigned(row.try_get("net")?),
                })
            })
            .collect()
    }
}

async fn head_of(from: impl SqliteExecutor<'_>) -> Result<Head, StoreError> {
    let row = sqlx::query("SELECT len, hash FROM journal").fetch_optional(from).await?;
    row.map_or(Ok(Head::default()), |row| {
        Ok(Head { len: unsigned(row.try_get("len")?), hash: hash(row.try_get("hash")?)? })
    })
}

fn epoch_of(record: &Production) -> EpochId {
    match record {
        Production::Work { epoch, .. } => *epoch,
        Production::Started { time }
        | Production::MachineJoined { time, .. }
        | Production::MachineLeft { time, .. }
        | Production::VenueUp { time, .. }
        | Production::VenueDown { time, .. }
        | Production::Switched { time, .. }
        | Production::Tagged { time, .. }
        | Production::Share { time, .. } => EpochId::at(*time),
    }
}
