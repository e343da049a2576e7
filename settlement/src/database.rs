//! Where settlement keeps what it knows: a SQLite file, or PostgreSQL by its DSN. One schema and one text of every query
//! serve both; what has been committed is on disk, and one process writes, whichever it is.

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error as _};
use sqlx::{
    Any, AnyConnection, AnyPool, Connection, Executor, Row, SqlitePool,
    any::AnyPoolOptions,
    pool::PoolConnection,
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
    pub(crate) async fn open(&self, read_only: bool) -> Result<Opened, Error> {
        sqlx::any::install_default_drivers();
        match self {
            Self::Sqlite(path) => {
                let lock = if read_only { None } else { Some(lock(path)?) };
                // the driver takes text only, and a path may hold what a URL may not
                let path = path.to_string_lossy();
                let quoted = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
                let mode = if read_only { "ro" } else { "rwc" };
                let url = format!("sqlite://{quoted}?mode={mode}");
                let hook = if read_only { SQLITE_READ } else { SQLITE_WRITE };
                connect(&url, hook, SQLITE_SYNC, lock).await
            }
            Self::Postgres(dsn) if read_only => {
                connect(dsn, POSTGRES_READ, POSTGRES_SYNC, None).await
            }
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
                connect(dsn, POSTGRES_WRITE, POSTGRES_SYNC, None).await
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

/// What tells a connection when its commits reach the disk: before they return, or with a later one. `None` where none
/// waits.
type Sync = Option<[&'static str; 2]>;
const SQLITE_SYNC: Sync = Some(["PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"]);
/// A server may die beside a settlement that lives on and remembers.
const POSTGRES_SYNC: Sync = None;

/// An open database.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The one connection. Whoever takes it finds it so that what they commit is on disk when it returns.
    pub(crate) pool: AnyPool,
    /// Tells it otherwise, for a while.
    pub(crate) lazily: Lazily,
    /// How often the database was connected to.
    pub(crate) connects: Arc<AtomicU64>,
    /// Held by a writer to a file.
    pub(crate) lock: Option<File>,
}

/// Commits that may reach the disk later.
#[derive(Clone, Debug)]
pub(crate) struct Lazily {
    sync: Sync,
    /// Whether the connection has been told so.
    told: Arc<AtomicBool>,
}

impl Lazily {
    /// The connection, for one transaction whose commit may reach the disk with the next one that does before it
    /// returns: all of those before it in their order, or the first of them. A process that dies loses none.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn connection(&self, pool: &AnyPool) -> Result<PoolConnection<Any>, Error> {
        let mut connection = pool.acquire().await?;
        if let Some([_, later]) = self.sync {
            self.told.store(true, Ordering::SeqCst);
            connection.execute(sqlx::raw_sql(later)).await?;
        }
        Ok(connection)
    }
}

async fn connect(
    url: &str,
    hook: &'static str,
    sync: Sync,
    lock: Option<File>,
) -> Result<Opened, Error> {
    let lazily = Lazily { sync, told: Arc::default() };
    let told = Arc::clone(&lazily.told);
    let connects = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&connects);
    let options = AnyPoolOptions::new()
        .max_connections(1)
        // the writer's lock is the connection's: no other process gets it while this one renews a good connection
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(Duration::from_secs(10))
        .after_connect(move |connection, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move { connection.execute(sqlx::raw_sql(hook)).await.map(|_| ()) })
        })
        .before_acquire(move |connection, _| {
            let waits = told.swap(false, Ordering::SeqCst);
            Box::pin(async move {
                if let (true, Some([at_once, _])) = (waits, sync) {
                    connection.execute(sqlx::raw_sql(at_once)).await?;
                }
                Ok(true)
            })
        });
    Ok(Opened { pool: options.connect(url).await?, lazily, connects, lock })
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
