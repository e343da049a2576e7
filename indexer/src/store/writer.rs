//! Writes of one block: each records its exact inverse, and a block taken back replays them in reverse.

use alloy::rpc::types::Log;
use evm::BlockRef;
use serde_json::{Map, Value as Json};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, query::Query, sqlite::SqliteArguments};

use super::table::{Cell, Table};
use crate::Error;

/// A row as JSON: integers as numbers, everything else as text.
pub(crate) type JsonRow = Map<String, Json>;

/// Applies one block inside one database transaction.
pub(crate) struct BlockWriter<'t> {
    connection: &'t mut SqliteConnection,
    /// The block being applied.
    pub(crate) block: BlockRef,
    seq: i64,
}

impl<'t> BlockWriter<'t> {
    /// Stores the block itself and its raw logs.
    pub(crate) async fn begin(
        connection: &'t mut SqliteConnection,
        block: BlockRef,
        logs: &[Log],
    ) -> Result<Self, Error> {
        let number = signed(block.number);
        sqlx::query("insert into blocks (number, hash, parent, timestamp) values (?, ?, ?, ?)")
            .bind(number)
            .bind(format!("{:#x}", block.hash))
            .bind(format!("{:#x}", block.parent))
            .bind(signed(block.timestamp))
            .execute(&mut *connection)
            .await?;
        for log in logs {
            let topics: Vec<String> = log.topics().iter().map(|t| format!("{t:#x}")).collect();
            sqlx::query("insert into logs (block, log_index, address, topics, data, txid) values (?, ?, ?, ?, ?, ?)")
                .bind(number)
                .bind(signed(log.log_index.unwrap_or_default()))
                .bind(format!("{:#x}", log.address()))
                .bind(topics.join(","))
                .bind(format!("{:#x}", log.inner.data.data))
                .bind(format!("{:#x}", log.transaction_hash.unwrap_or_default()))
                .execute(&mut *connection)
                .await?;
        }
        Ok(Self { connection, block, seq: 0 })
    }

    /// The row under `key`, if there is one.
    pub(crate) async fn get(
        &mut self,
        table: &Table,
        key: &[Cell],
    ) -> Result<Option<JsonRow>, Error> {
        let sql = format!(
            "select json_object({}) from {} where {}",
            table.as_json(),
            table.name,
            table.key_matches()
        );
        let query = bound(sqlx::query(AssertSqlSafe(sql)), key);
        let row = query.fetch_optional(&mut *self.connection).await?;
        row.map(|row| Ok(serde_json::from_str(&row.try_get::<String, _>(0)?)?)).transpose()
    }

    /// Inserts the row, or changes the named columns of the one that is there. All key columns must be named.
    pub(crate) async fn put(&mut self, table: &Table, row: Vec<(&str, Cell)>) -> Result<(), Error> {
        let key: Vec<Cell> = table
            .key
            .iter()
            .filter_map(|column| row.iter().find(|(name, _)| name == column))
            .map(|(_, cell)| cell.clone())
            .collect();
        let old = self.get(table, &key).await?;
        self.record(table, &key, old.as_ref()).await?;
        let row = match old {
            Some(old) => merged(old, row),
            None => row.into_iter().map(|(name, cell)| (name.to_owned(), cell)).collect(),
        };
        replace(self.connection, table, &row).await
    }

    /// Removes the row, if it is there.
    pub(crate) async fn delete(&mut self, table: &Table, key: &[Cell]) -> Result<(), Error> {
        let Some(old) = self.get(table, key).await? else { return Ok(()) };
        self.record(table, key, Some(&old)).await?;
        remove(self.connection, table, key).await
    }

    async fn record(
        &mut self,
        table: &Table,
        key: &[Cell],
        old: Option<&JsonRow>,
    ) -> Result<(), Error> {
        let key = Json::Array(key.iter().map(Cell::to_json).collect());
        sqlx::query("insert into undo (block, seq, tbl, key, old) values (?, ?, ?, ?, ?)")
            .bind(signed(self.block.number))
            .bind(self.seq)
            .bind(table.name)
            .bind(key.to_string())
            .bind(old.map(serde_json::to_string).transpose()?)
            .execute(&mut *self.connection)
            .await?;
        self.seq = self.seq.saturating_add(1);
        Ok(())
    }
}

/// Takes the block of that number back: every derived write undone in reverse, raw logs and block row removed.
pub(crate) async fn unwind(connection: &mut SqliteConnection, number: u64) -> Result<(), Error> {
    let number = signed(number);
    let steps = sqlx::query("select tbl, key, old from undo where block = ? order by seq desc")
        .bind(number)
        .fetch_all(&mut *connection)
        .await?;
    for step in steps {
        let name: String = step.try_get("tbl")?;
        let table = Table::named(&name).ok_or(Error::UnknownTable(name))?;
        let key: Vec<Json> = serde_json::from_str(&step.try_get::<String, _>("key")?)?;
        let key: Vec<Cell> = key.iter().map(Cell::from_json).collect();
        match step.try_get::<Option<String>, _>("old")? {
            None => remove(connection, table, &key).await?,
            Some(old) => {
                let old: JsonRow = serde_json::from_str(&old)?;
                let row: Vec<_> =
                    old.iter().map(|(name, json)| (name.clone(), Cell::from_json(json))).collect();
                replace(connection, table, &row).await?;
            }
        }
    }
    for sql in [
        "delete from undo where block = ?",
        "delete from logs where block = ?",
        "delete from blocks where number = ?",
    ] {
        sqlx::query(sql).bind(number).execute(&mut *connection).await?;
    }
    Ok(())
}

fn merged(old: JsonRow, new: Vec<(&str, Cell)>) -> Vec<(String, Cell)> {
    let mut row: Vec<(String, Cell)> = old
        .iter()
        .filter(|(name, _)| new.iter().all(|(changed, _)| changed != name))
        .map(|(name, json)| (name.clone(), Cell::from_json(json)))
        .collect();
    row.extend(new.into_iter().map(|(name, cell)| (name.to_owned(), cell)));
    row
}

async fn replace(
    connection: &mut SqliteConnection,
    table: &Table,
    row: &[(String, Cell)],
) -> Result<(), Error> {
    let columns: Vec<&str> = row.iter().map(|(name, _)| name.as_str()).collect();
    let marks = vec!["?"; row.len()].join(", ");
    let changes: Vec<String> = table
        .rest
        .iter()
        .filter(|column| columns.contains(*column))
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    let on_conflict = if changes.is_empty() {
        "nothing".to_owned()
    } else {
        format!("update set {}", changes.join(", "))
    };
    let sql = format!(
        "insert into {} ({}) values ({marks}) on conflict ({}) do {on_conflict}",
        table.name,
        columns.join(", "),
        table.key.join(", "),
    );
    let cells: Vec<Cell> = row.iter().map(|(_, cell)| cell.clone()).collect();
    bound(sqlx::query(AssertSqlSafe(sql)), &cells).execute(connection).await?;
    Ok(())
}

async fn remove(
    connection: &mut SqliteConnection,
    table: &Table,
    key: &[Cell],
) -> Result<(), Error> {
    let sql = format!("delete from {} where {}", table.name, table.key_matches());
    bound(sqlx::query(AssertSqlSafe(sql)), key).execute(connection).await?;
    Ok(())
}

type SqliteQuery<'q> = Query<'q, sqlx::Sqlite, SqliteArguments>;

fn bound<'q>(query: SqliteQuery<'q>, cells: &[Cell]) -> SqliteQuery<'q> {
    cells.iter().fold(query, |query, cell| match cell {
        Cell::Int(value) => query.bind(*value),
        Cell::Text(text) => query.bind(text.clone()),
        Cell::Null => query.bind(None::<String>),
    })
}

/// Heights and times as the database has them.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
