//! Where the database is; and a PostgreSQL of the tests' own.

use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use super::*;

/// A cluster in a scratch directory, on a Unix socket only, that ends with the value.
pub(crate) struct Cluster {
    dir: tempfile::TempDir,
    bin: PathBuf,
}

impl Cluster {
    /// Starts one; `None`, said on stderr, where PostgreSQL's programs are not installed.
    pub(crate) fn start() -> Option<Self> {
        let versions =
            (13..=18).rev().map(|v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin")));
        let Some(bin) =
            versions.chain(["/usr/local/pgsql/bin".into()]).find(|bin| bin.join("initdb").exists())
        else {
            eprintln!("skipped: PostgreSQL is not installed here (./scripts/setup --postgres)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let cluster = Self { dir, bin };
        // initdb refuses root: the cluster is nobody's then
        if is_root() {
            std::os::unix::fs::chown(cluster.dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = cluster.dir.path().join("data");
        let data = data.to_str().unwrap();
        cluster.run("initdb", &["-D", data, "-U", "lhr", "--auth=trust", "-E", "UTF8"]);
        let socket = cluster.dir.path().to_str().unwrap();
        let options = format!("-c listen_addresses= -c unix_socket_directories={socket}");
        let log = cluster.dir.path().join("log");
        cluster.run(
            "pg_ctl",
            &["-D", data, "-w", "-l", log.to_str().unwrap(), "-o", &options, "start"],
        );
        Some(cluster)
    }

    pub(crate) fn database(&self) -> Database {
        let socket = self.dir.path().to_str().unwrap();
        Database::parse(&format!("postgres://lhr@localhost/postgres?host={socket}")).unwrap()
    }

    fn run(&self, program: &str, args: &[&str]) {
        let mut command = Command::new(self.bin.join(program));
        command.args(args).current_dir(self.dir.path()).stdout(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        assert!(command.status().unwrap().success(), "{program} failed");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.dir.path().join("data");
        self.run("pg_ctl", &["-D", data.to_str().unwrap(), "-m", "immediate", "stop"]);
    }
}

const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

#[test]
fn a_path_a_dsn_and_no_password() {
    let path = Database::parse("data/settlement.sqlite").unwrap();
    assert_eq!(path.below(Path::new("/x")).to_string(), "/x/data/settlement.sqlite");
    let dsn = "postgres://lhr@db.internal/settlement";
    assert_eq!(Database::parse(dsn), Ok(Database::Postgres(dsn.into())));
    for secret in ["postgres://a:b@c/d", "postgresql:///d?password=b"] {
        let why = Database::parse(secret).unwrap_err();
        assert!(why.contains("pgpass") && !why.contains("a:b"), "{why}");
    }
}

/// When the connection's commits reach the disk, as the database says.
async fn sync(connection: &mut AnyConnection, sqlite: bool) -> String {
    let sql = if sqlite { "PRAGMA synchronous" } else { "SHOW synchronous_commit" };
    let row = sqlx::query(sql).fetch_one(connection).await.unwrap();
    if sqlite { row.get::<i64, _>(0).to_string() } else { row.get(0) }
}

#[tokio::test]
async fn a_commit_that_may_wait_makes_no_other_wait() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start();
    let mut databases = vec![(Database::Sqlite(dir.path().join("x.sqlite")), ["2", "1"])];
    databases.extend(cluster.as_ref().map(|cluster| (cluster.database(), ["on", "on"])));
    for (database, [at_once, later]) in databases {
        let Opened { pool, lazily, lock: _lock, .. } = database.open(false).await.unwrap();
        let sqlite = at_once == "2";
        for _ in 0..2 {
            assert_eq!(sync(&mut pool.acquire().await.unwrap(), sqlite).await, at_once);
            assert_eq!(sync(&mut pool.begin().await.unwrap(), sqlite).await, at_once);
            let mut connection = lazily.connection(&pool).await.unwrap();
            assert_eq!(sync(&mut connection, sqlite).await, later);
            // dropped in the midst of what it was for
            let mut tx = connection.begin().await.unwrap();
            sqlx::query("SELECT 1").execute(&mut *tx).await.unwrap();
            drop(tx);
        }
        assert_eq!(sync(&mut pool.acquire().await.unwrap(), sqlite).await, at_once);
    }
}
