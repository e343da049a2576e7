//! The database: one writer connection, a pool of readers, and what is asked of both.

pub(crate) mod table;
pub(crate) mod writer;

use std::path::Path;

use evm::BlockRef;
use sqlx::{
    Row, Sqlite, SqliteConnection, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::Error;
use writer::signed;

/// Handles of one open database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Store {
    /// Opens or creates the file and brings its schema up to date.
    pub(crate) async fn open(path: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(std::time::Duration::from_secs(10));
        let writer =
            SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        sqlx::migrate!("./migrations").run(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(8)
            .connect_with(options.create_if_missing(false).read_only(true))
            .await?;
        Ok(Self { writer, readers })
    }

    /// Notes what this database is an index of, or refuses when it is an index of something else.
    pub(crate) async fn belongs_to(&self, identity: &str) -> Result<(), Error> {
        sqlx::query(
            "insert into meta (name, value) values ('deployment', ?) on conflict do nothing",
        )
        .bind(identity)
        .execute(&self.writer)
        .await?;
        let row = sqlx::query("select value from meta where name = 'deployment'");
        let found: String = row.fetch_one(&self.writer).await?.try_get(0)?;
        if found == identity { Ok(()) } else { Err(Error::OtherDeployment) }
    }

    /// A read transaction: everything read in it is of one block.
    pub(crate) async fn read(&self) -> Result<Transaction<'_, Sqlite>, Error> {
        Ok(self.readers.begin().await?)
    }

    /// The write transaction; there is one at a time.
    pub(crate) async fn write(&self) -> Result<Transaction<'_, Sqlite>, Error> {
        Ok(self.writer.begin().await?)
    }

    /// The newest applied block.
    pub(crate) async fn tip(&self) -> Result<Option<BlockRef>, Error> {
        let mut reader = self.read().await?;
        tip(&mut reader).await
    }

    /// The applied block of that height.
    pub(crate) async fn block(&self, number: u64) -> Result<Option<BlockRef>, Error> {
        let row = sqlx::query("select * from blocks where number = ?").bind(signed(number));
        row.fetch_optional(&self.readers).await?.as_ref().map(block_ref).transpose()
    }

    /// Takes the newest block back.
    pub(crate) async fn unwind_tip(&self, number: u64) -> Result<(), Error> {
        let mut transaction = self.write().await?;
        writer::unwind(&mut transaction, number).await?;
        Ok(transaction.commit().await?)
    }

    /// Waits for readers and writer and closes the files.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// The newest applied block as this transaction sees it.
pub(crate) async fn tip(connection: &mut SqliteConnection) -> Result<Option<BlockRef>, Error> {
    let row = sqlx::query("select * from blocks order by number desc limit 1");
    row.fetch_optional(connection).await?.as_ref().map(block_ref).transpose()
}

fn block_ref(row: &sqlx::sqlite::SqliteRow) -> Result<BlockRef, Error> {
    let unsigned = |name: &str| -> Result<u64, Error> {
        Ok(u64::try_from(row.try_get::<i64, _>(name)?).unwrap_or_default())
    };
    let hash = |name: &'static str| -> Result<_, Error> {
        let text: String = row.try_get(name)?;
        text.parse().map_err(|_| Error::Corrupt { what: name, found: text })
    };
    Ok(BlockRef {
        number: unsigned("number")?,
        hash: hash("hash")?,
        parent: hash("parent")?,
        timestamp: unsigned("timestamp")?,
    })
}
