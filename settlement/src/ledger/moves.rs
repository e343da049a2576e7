//! What Bitcoin's blocks do to our coins: which came, which left, and to whom. Read from whole blocks, booked with the
//! wallet's changes; a reorg takes back exactly what its blocks had brought.

use std::collections::BTreeMap;

use bitcoin::{Block, BlockHash, OutPoint, Script, Transaction, Txid};
use sqlx::{Any, Row, Transaction as Tx};

use super::{
    Account, Entry, Kind,
    books::{Booked, signed, single, take},
};
use crate::{
    encode,
    error::Error,
    store::Store,
    vault::{Coin, GENESIS_BATON, Keychain, Vault},
};

/// A coin of ours that a transaction made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Born {
    /// The coin.
    pub coin: Coin,
    /// The operator's own: a reserve coin, or the first baton.
    pub reserve: bool,
}

/// What one transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxMoves {
    /// Transaction.
    pub txid: Txid,
    /// Coins of ours that it spent.
    pub spends: Vec<OutPoint>,
    /// Coins of ours that it made.
    pub born: Vec<Born>,
    /// Sats that left us to others' outputs.
    pub paid: u64,
    /// Sats that left us to the miner.
    pub fee: u64,
    /// Sats that others brought into a transaction that spends coins of ours.
    pub brought: u64,
}

/// What one block did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMoves {
    /// Height.
    pub height: u32,
    /// Hash.
    pub block: BlockHash,
    /// It takes the place of blocks from this height on.
    pub rewinds: bool,
    /// Transactions that touch us, in their order.
    pub txs: Vec<TxMoves>,
}

/// What to look for in blocks.
#[derive(Clone, Debug)]
pub struct Watch {
    vault: Vault,
    reserve_index: Option<u32>,
    /// Sats of the coins of ours that blocks may spend.
    mine: BTreeMap<OutPoint, u64>,
}

impl Watch {
    /// Coins at treasury index `reserve_index` are the operator's own; `mine` are the coins that the books hold.
    #[must_use]
    pub fn new(vault: Vault, reserve_index: Option<u32>, mine: Vec<(OutPoint, u64)>) -> Self {
        Self { vault, reserve_index, mine: mine.into_iter().collect() }
    }

    /// Reads a block; `treasury` tells the index of a treasury script.
    ///
    /// # Errors
    /// When a script cannot be derived.
    pub fn read(
        &mut self,
        block: &Block,
        height: u32,
        rewinds: bool,
        treasury: impl Fn(&Script) -> Option<u32>,
    ) -> Result<Option<BlockMoves>, Error> {
        let genesis = self.vault.script(Keychain::Baton, GENESIS_BATON)?;
        let mut txs = Vec::new();
        for tx in &block.txdata {
            let spent: Vec<(OutPoint, u64)> = tx
                .input
                .iter()
                .filter_map(|input| self.mine.get_key_value(&input.previous_output))
                .map(|(place, sats)| (*place, *sats))
                .collect();
            // a marker is anybody's to write: the scripts it names count only in a transaction that spends coins of ours
            let named =
                tx.output.iter().take(2).find_map(|o| encode::read_marker(&o.script_pubkey));
            let epoch = named.map(|(epoch, _)| epoch).filter(|_| !spent.is_empty());
            let baton = match epoch {
                Some(epoch) => Some((epoch, self.vault.script(Keychain::Baton, epoch)?)),
                None => None,
            };
            let mut born = Vec::new();
            for (output, vout) in tx.output.iter().zip(0_u32..) {
                let script = output.script_pubkey.as_script();
                let found = if let Some(index) = treasury(script) {
                    Some((Keychain::Treasury, index, Some(index) == self.reserve_index))
                } else if script == genesis.as_script() {
                    Some((Keychain::Baton, GENESIS_BATON, true))
                } else {
                    let ours = baton.as_ref().filter(|(_, baton)| script == baton.as_script());
                    ours.map(|(epoch, _)| (Keychain::Baton, *epoch, false))
                };
                if let Some((keychain, index, reserve)) = found {
                    let outpoint = OutPoint { txid: tx.compute_txid(), vout };
                    let coin = Coin { outpoint, output: output.clone(), keychain, index };
                    born.push(Born { coin, reserve });
                }
            }
            // at once: a later transaction of the same block may spend it
            for born in &born {
                self.mine.insert(born.coin.outpoint, born.coin.output.value.to_sat());
            }
            if !spent.is_empty() || !born.is_empty() {
                txs.push(moves(tx, &spent, born));
            }
        }
        let block = block.block_hash();
        Ok((rewinds || !txs.is_empty()).then_some(BlockMoves { height, block, rewinds, txs }))
    }
}

fn moves(tx: &Transaction, spent: &[(OutPoint, u64)], born: Vec<Born>) -> TxMoves {
    let sum = |values: &mut dyn Iterator<Item = u64>| values.fold(0_u64, u64::saturating_add);
    let out = sum(&mut spent.iter().map(|(_, sats)| *sats));
    let back = sum(&mut born.iter().map(|born| born.coin.output.value.to_sat()));
    let all = sum(&mut tx.output.iter().map(|output| output.value.to_sat()));
    let ours_alone = spent.len() == tx.input.len();
    let fee = if ours_alone { out.saturating_sub(all) } else { 0 };
    TxMoves {
        txid: tx.compute_txid(),
        spends: spent.iter().map(|(place, _)| *place).collect(),
        paid: out.saturating_sub(back).saturating_sub(fee),
        brought: if spent.is_empty() { 0 } else { back.saturating_sub(out) },
        fee,
        born,
    }
}

/// Books a block.
pub(crate) async fn apply(tx: &mut Tx<'_, Any>, moves: &BlockMoves) -> Result<(), Error> {
    if moves.rewinds {
        rewind(tx, moves.height).await?;
    }
    for each in &moves.txs {
        for place in &each.spends {
            let spent = sqlx::query("UPDATE coins SET spent = $1 WHERE place = $2");
            let spent = spent.bind(i64::from(moves.height)).bind(place.to_string());
            spent.execute(&mut **tx).await?;
        }
        let entry = |kind, place: String, debit, credit, sats| Entry {
            kind,
            epoch: None,
            batch: 0,
            place: format!("{place}/{}", moves.block),
            debit,
            credit,
            sats,
            reference: each.txid.to_string(),
            height: Some(moves.height),
        };
        use Account::{Fees, Float, Paid, Reserve, Wallet};
        let txid = each.txid.to_string();
        if each.spends.is_empty() {
            for born in &each.born {
                let to = if born.reserve { Reserve } else { Float };
                let (place, sats) = (born.coin.outpoint.to_string(), born.coin.output.value);
                single(tx, &entry(Kind::Receipt, place, Wallet, to, sats.to_sat())).await?;
            }
        } else {
            single(tx, &entry(Kind::Spend, txid.clone(), Paid, Wallet, each.paid)).await?;
            single(tx, &entry(Kind::Miner, txid.clone(), Fees, Wallet, each.fee)).await?;
            single(tx, &entry(Kind::Receipt, txid.clone(), Wallet, Float, each.brought)).await?;
            sqlx::query(
                "INSERT INTO outflows VALUES ($1, $2, $3, $4, 0) ON CONFLICT (txid) DO UPDATE SET \
                 height = excluded.height, paid = excluded.paid, fee = excluded.fee",
            )
            .bind(txid)
            .bind(i64::from(moves.height))
            .bind(signed(each.paid)?)
            .bind(signed(each.fee)?)
            .execute(&mut **tx)
            .await?;
        }
        for born in &each.born {
            put_coin(tx, &born.coin, moves.height).await?;
        }
    }
    Ok(())
}

async fn put_coin(tx: &mut Tx<'_, Any>, coin: &Coin, height: u32) -> Result<(), Error> {
    let keychain = match coin.keychain {
        Keychain::Baton => "baton",
        Keychain::Treasury => "treasury",
    };
    sqlx::query(
        "INSERT INTO coins VALUES ($1, $2, $3, $4, -1) ON CONFLICT (place) DO UPDATE SET \
         born = excluded.born, spent = -1",
    )
    .bind(coin.outpoint.to_string())
    .bind(signed(coin.output.value.to_sat())?)
    .bind(keychain)
    .bind(i64::from(height))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Transfers of blocks from a height on that still stand; heights and targets with the conditions of their indexes.
pub(super) const SINCE: &str = "SELECT id, kind, phase, batch, debit, credit, sats, reference FROM transfers t WHERE \
                     height >= $1 AND height >= 0 AND NOT EXISTS (SELECT 1 FROM transfers r WHERE r.target = t.id \
                     AND r.target <> '')";

/// Takes back what blocks from `height` on had brought.
async fn rewind(tx: &mut Tx<'_, Any>, height: u32) -> Result<(), Error> {
    let height = i64::from(height);
    let rows = sqlx::query(SINCE);
    let rows = rows.bind(height).fetch_all(&mut **tx).await?;
    for row in rows {
        take(tx, Booked::read(&row), "reverse", None, None).await?;
    }
    for sql in [
        "DELETE FROM coins WHERE born >= $1",
        "UPDATE coins SET spent = -1 WHERE spent >= $1 AND spent >= 0",
        "DELETE FROM outflows WHERE height >= $1",
    ] {
        sqlx::query(sql).bind(height).execute(&mut **tx).await?;
    }
    Ok(())
}

impl Store {
    /// Coins of ours in the active chain that are unspent, or were spent at or above height `since`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn coins(&self, since: u32) -> Result<Vec<(OutPoint, u64)>, Error> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query(
            "SELECT place, sats FROM coins WHERE spent = -1 OR (spent >= $1 AND spent >= 0)",
        );
        let rows = rows.bind(i64::from(since)).fetch_all(&mut *tx).await?;
        let read = |row: sqlx::any::AnyRow| {
            let place: String = row.get(0);
            let place = place.parse().map_err(|_| Error::Damaged(format!("coin {place}")))?;
            Ok((place, row.get::<i64, _>(1).unsigned_abs()))
        };
        rows.into_iter().map(read).collect()
    }
}
