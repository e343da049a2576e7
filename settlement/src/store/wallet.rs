//! The treasury wallet and what else Bitcoin's blocks brought, in the database.

use std::collections::{BTreeMap, BTreeSet};

use bdk_wallet::{ChangeSet, chain::Merge};
use bitcoin::{BlockHash, OutPoint, Transaction, Txid};
use sqlx::Row;

use super::{
    Store, from_json,
    memory::{Memory, Rivals, Seen},
    number, parse, to_json,
};
use crate::{
    error::Error,
    ledger::{BlockMoves, apply},
    packed,
};

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
    /// What blocks did to our coins, in their order.
    pub moves: Vec<BlockMoves>,
}

impl Store {
    /// Writes what Bitcoin blocks brought, all or nothing.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_news(&self, news: &BitcoinNews) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        if let Some(change) = &news.wallet {
            sqlx::query(
                "INSERT INTO wallet_changes (id, change) SELECT COALESCE(MAX(id), 0) + 1, $1 FROM wallet_changes",
            )
            .bind(to_json(change)?)
            .execute(&mut *tx)
            .await?;
        }
        for moves in &news.moves {
            apply(&mut tx, moves).await?;
        }
        for seen in &news.marked {
            sqlx::query(
                "INSERT INTO marked VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            )
            .bind(seen.txid.to_string())
            .bind(seen.block.to_string())
            .bind(i64::from(seen.height))
            .bind(i64::from(seen.epoch))
            .bind(i64::from(seen.batch))
            .bind(seen.spends.to_string())
            .execute(&mut *tx)
            .await?;
        }
        for genesis in &news.genesis {
            sqlx::query("INSERT INTO genesis (txid, raw) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(genesis.compute_txid().to_string())
                .bind(packed::tx_hex(genesis))
                .execute(&mut *tx)
                .await?;
        }
        let written = tx.commit().await;
        // whatever became of the commit
        if let (Some(mut memory), false) = (self.memory(), news.marked.is_empty()) {
            memory.forget_blocks();
        }
        Ok(written?)
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
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM wallet_changes").execute(&mut *tx).await?;
        sqlx::query("INSERT INTO wallet_changes (id, change) VALUES (1, $1)")
            .bind(to_json(merged)?)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Every payout transaction that was seen in a block, by height.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn marked(&self) -> Result<Vec<Marked>, Error> {
        let rows = sqlx::query(
            "SELECT txid, block_hash, height, epoch, batch, spends FROM marked ORDER BY height",
        );
        let rows = rows.fetch_all(&self.pool).await?;
        let read = |row: sqlx::any::AnyRow| {
            let batch = u16::try_from(row.get::<i64, _>(4));
            Ok(Marked {
                txid: parse(&row.get::<String, _>(0))?,
                block: parse(&row.get::<String, _>(1))?,
                height: number(&row, 2)?,
                epoch: number(&row, 3)?,
                batch: batch.map_err(|error| Error::Damaged(error.to_string()))?,
                spends: parse(&row.get::<String, _>(5))?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// The transactions that pay to the first baton's script.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn genesis_ids(&self) -> Result<BTreeSet<Txid>, Error> {
        let rows = sqlx::query("SELECT txid FROM genesis").fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| parse(&row.get::<String, _>(0))).collect()
    }

    /// What is remembered of a key or, while nothing is, what the database answers; kept until blocks bring payouts.
    async fn remembered<K: Ord, V: Clone>(
        &self,
        part: impl Fn(&mut Memory) -> &mut BTreeMap<K, V>,
        key: K,
        asked: impl Future<Output = Result<V, Error>>,
    ) -> Result<V, Error> {
        let news = match self.memory() {
            None => return asked.await,
            Some(mut memory) => {
                if let Some(known) = part(&mut memory).get(&key) {
                    return Ok(known.clone());
                }
                memory.news()
            }
        };
        let found = asked.await?;
        if let Some(mut memory) = self.memory()
            && memory.takes(news)
        {
            part(&mut memory).insert(key, found.clone());
        }
        Ok(found)
    }

    /// Blocks in which a transaction was seen; the newest height first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn seen(&self, txid: Txid) -> Result<Seen, Error> {
        self.remembered(|memory| &mut memory.seen, txid, self.ask_seen(txid)).await
    }

    async fn ask_seen(&self, txid: Txid) -> Result<Seen, Error> {
        let rows = sqlx::query(
            "SELECT height, block_hash FROM marked WHERE txid = $1 ORDER BY height DESC",
        );
        let rows = rows.bind(txid.to_string()).fetch_all(&self.pool).await?;
        let read =
            |row: sqlx::any::AnyRow| Ok((number(&row, 0)?, parse(&row.get::<String, _>(1))?));
        rows.into_iter().map(read).collect()
    }

    /// Other transactions than `txid` that were seen to spend `outpoint`, with their blocks.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn rivals(&self, outpoint: OutPoint, txid: Txid) -> Result<Rivals, Error> {
        let asked = self.ask_rivals(outpoint, txid);
        self.remembered(|memory| &mut memory.rivals, (outpoint, txid), asked).await
    }

    async fn ask_rivals(&self, outpoint: OutPoint, txid: Txid) -> Result<Rivals, Error> {
        let rows =
            sqlx::query("SELECT txid, block_hash FROM marked WHERE spends = $1 AND txid <> $2")
                .bind(outpoint.to_string())
                .bind(txid.to_string())
                .fetch_all(&self.pool)
                .await?;
        let read = |row: sqlx::any::AnyRow| {
            Ok((parse(&row.get::<String, _>(0))?, parse(&row.get::<String, _>(1))?))
        };
        rows.into_iter().map(read).collect()
    }

    /// A transaction that pays to the first baton's script.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn genesis(&self, txid: Txid) -> Result<Option<Transaction>, Error> {
        let row = sqlx::query("SELECT raw FROM genesis WHERE txid = $1").bind(txid.to_string());
        let row = row.fetch_optional(&self.pool).await?;
        row.map(|row| packed::read_tx(&row.get::<String, _>(0)).map_err(Error::Damaged)).transpose()
    }
}
