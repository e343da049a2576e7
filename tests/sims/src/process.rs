//! What every simulator's process needs: logs, the ready line, shutdown, config and state files.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use eyre::{Context, Result, eyre};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

/// Logs to stderr; `level` is a `tracing` filter such as `info`.
pub(crate) fn init_log(level: &str) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(level).wrap_err("bad --log level")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| eyre!("logging: {error}"))
}

/// Prints `ready <name> <urls...>` on stdout.
pub(crate) fn ready(name: &str, urls: &[String]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {name} {}", urls.join(" "))?;
    Ok(out.flush()?)
}

/// A token that is cancelled on SIGTERM or SIGINT.
pub(crate) fn stop_on_signal() -> Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        token.cancel();
    });
    Ok(stop)
}

/// Runs `main` on a multi-threaded runtime.
pub(crate) fn block_on<F: Future<Output = Result<()>>>(main: F) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(main);
    runtime.shutdown_timeout(std::time::Duration::from_millis(300));
    result
}

/// Reads a TOML file; unknown keys are errors that name the file.
pub(crate) fn load_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path)
        .wrap_err_with(|| format!("cannot read config {}", path.display()))?;
    toml::from_str(&text).wrap_err_with(|| format!("config {} is not valid", path.display()))
}

/// Reads a JSON state file; a missing file is the default state, a damaged one an error.
pub(crate) fn load_state<T: DeserializeOwned + Default>(path: &Path) -> Result<T> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .wrap_err_with(|| format!("state file {} is damaged", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error).wrap_err_with(|| format!("cannot read {}", path.display())),
    }
}

/// Replaces a JSON state file atomically and durably.
pub(crate) fn save_state<T: Serialize>(path: &Path, state: &T) -> Result<()> {
    let mut temporary: PathBuf = path.to_owned();
    temporary.set_extension("tmp");
    let mut file = fs::File::create(&temporary)
        .wrap_err_with(|| format!("cannot write {}", temporary.display()))?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path).wrap_err_with(|| format!("cannot write {}", path.display()))
}

/// Locks, and goes on with the data if another thread panicked while it held the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
