//! Where settlement keeps what it knows: a SQLite file, or PostgreSQL by its DSN. One schema and one text of every query
//! serve both; what has been committed is on disk, and one process writes, whichever it is.

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error as _};
use sqlx::{
    AnyConnection, AnyPool, Connection, Executor, Row, SqlitePool,
    any::AnyPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::error::Error;

/// Which database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// `postgres://user@host/name`; a password stands in `~/.pgpass`, never here.
    Postgres(String),
}

impl Database {
    /// From the text in a configuration file: a DSN, or else a path.
    ///
    /// # Errors
    /// When a DSN carries a password or cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Ok(Self::Sqlite(PathBuf::from(text)));
        }
        let (_, rest) = text.split_once("://").unwrap_or_default();
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user).unwrap_or_default();
        if user.contains(':') || rest.contains("password=") {
            return Err("the DSN holds a password: put it in ~/.pgpass (mode 0600) instead".into());
        }
        Ok(Self::Postgres(text.to_owned()))
    }

    /// The same, with a relative path taken from `base`.
    #[must_use]
    pub fn below(self, base: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(base.join(path)),
            postgres @ Self::Postgres(_) => postgres,
        }
    }

    /// `false` only for a SQLite file that is not there.
    #[must_use]
    pub fn exists(&self) -> bool {
        match self {
            Self::Sqlite(path) => path.exists(),
            Self::Postgres(_) => true,
        }
    }

    /// Opens it, to write (the lock comes with it) or to read beside the writer.
    ///
    /// # Errors
    /// When another process writes, or it cannot be opened.
    pub(crate) async fn open(&self, read_only: bool) -> Result<(AnyPool, Option<File>), Error> {
        sqlx::any::install_default_drivers();
        match self {
            Self::Sqlite(path) => {
                let lock = if read_only { None } else { Some(lock(path)?) };
                // the driver takes text only, and a path may hold what a URL may not
                let path = path.to_string_lossy();
                let quoted = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
                let mode = if read_only { "ro" } else { "rwc" };
                let hook = if read_only { SQLITE_READ } else { SQLITE_WRITE };
                Ok((pool(&format!("sqlite://{quoted}?mode={mode}"), hook).await?, lock))
            }
            Self::Postgres(dsn) if read_only => Ok((pool(dsn, POSTGRES_READ).await?, None)),
            Self::Postgres(dsn) => {
                let mut asked = AnyConnection::connect(dsn).await?;
                let fsync: String =
                    sqlx::query("SHOW fsync").fetch_one(&mut asked).await?.try_get(0)?;
                if fsync != "on" {
                    let why = "PostgreSQL runs with fsync off: what it commits may be lost";
                    return Err(Error::Config(why.into()));
                }
                let free = sqlx::query("SELECT pg_try_advisory_lock(5279157)");
                let free: bool = free.fetch_one(&mut asked).await?.try_get(0)?;
                if !free {
                    return Err(Error::Locked(self.to_string()));
                }
                asked.close().await?;
                Ok((pool(dsn, POSTGRES_WRITE).await?, None))
            }
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(dsn) => f.write_str(dsn),
        }
    }
}

impl<'de> Deserialize<'de> for Database {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// What every connection is told before it is used: a commit is durable when it returns, and the writer's connection is
/// the one that holds the lock, so that a connection that comes back after a failure writes only if nobody else does.
/// A payout of 100,000 is a row of 30 MB: it stays in the cache until its commit (64 MiB), and is copied out of the log
/// once the log is as long (16,384 pages), not in the midst of each write.
const SQLITE_WRITE: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
     PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 16384;";
const SQLITE_READ: &str = "PRAGMA query_only = ON;";
/// 5279157 is the key of the advisory lock that the one writer holds.
const POSTGRES_WRITE: &str = "SET synchronous_commit = on; DO $$ BEGIN \
    IF NOT pg_try_advisory_lock(5279157) THEN RAISE EXCEPTION 'another settlement process writes'; END IF; END $$;";
const POSTGRES_READ: &str = "SET default_transaction_read_only = on;";

async fn pool(url: &str, hook: &'static str) -> Result<AnyPool, Error> {
    let options = AnyPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(10))
        .after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(sqlx::raw_sql(hook)).await.map(|_| ()) })
        });
    Ok(options.connect(url).await?)
}

/// Takes the lock file `path`.lock; it is released when the file is dropped.
///
/// # Errors
/// When another process holds it.
pub fn lock(path: &Path) -> Result<File, Error> {
    let name = PathBuf::from(format!("{}.lock", path.display()));
    let fail = |why: String| Error::File { path: name.display().to_string(), why };
    let file = File::options().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(|error| fail(error.to_string()))?;
    match fs4::FileExt::try_lock(&file) {
        Ok(()) => Ok(file),
        Err(_) => Err(Error::Locked(path.display().to_string())),
    }
}

/// Opens or creates a SQLite database whose commits are durable.
///
/// # Errors
/// When the file cannot be opened.
pub async fn open_sqlite(path: &Path) -> Result<SqlitePool, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true);
    Ok(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?)
}

#[cfg(test)]
#[path = "database_tests.rs"]
pub(crate) mod tests;
