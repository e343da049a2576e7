//! Child processes that end with us: logs to a file, readiness by a line on stdout, SIGTERM then SIGKILL.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use eyre::{Context, Result, eyre};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Names the folder that a child works for, so that one who was orphaned can be found.
const MARK: &str = "LIQUID_HASHRATE_DEMO";

/// Kills what an earlier demo in `dir` left running when it was killed itself; returns how many there were.
///
/// # Errors
/// When the list of processes cannot be read.
pub fn kill_orphans(dir: &Path) -> Result<usize> {
    let mark = format!("{MARK}={}", dir.display());
    let mut found = 0;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // Unreadable: another user's, or gone by now.
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes()) {
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
            found += 1;
        }
    }
    Ok(found)
}

/// A running child. Dropping it stops it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    log_start: u64,
}

impl Process {
    /// Starts `command` with stdout and stderr appended to `dir/<name>.log`.
    ///
    /// # Errors
    /// When the program or the log cannot be opened.
    pub fn spawn(name: &str, command: &mut Command, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let log = dir.join(format!("{name}.log"));
        let out = OpenOptions::new().create(true).append(true).open(&log)?;
        let log_start = out.metadata()?.len();
        let err = out.try_clone()?;
        // Errors are for people: the message, not the stack.
        command.env("RUST_BACKTRACE", "0").env("RUST_LIB_BACKTRACE", "0").env(MARK, dir);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.wrap_err_with(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self { name: name.into(), child, log, log_start })
    }

    /// Waits until a line that starts with `prefix` is in the log of this run, and returns it.
    ///
    /// # Errors
    /// When the process ends first, or `patience` is over; the message shows the end of its log.
    pub async fn line(&mut self, prefix: &str, patience: Duration) -> Result<String> {
        let started = Instant::now();
        loop {
            if let Some(line) = self.output()?.lines().find(|line| line.starts_with(prefix)) {
                return Ok(line.to_owned());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(eyre!("{} ended ({status}):\n{}", self.name, self.tail()));
            }
            if started.elapsed() > patience {
                let seconds = patience.as_secs();
                return Err(eyre!(
                    "{} is not ready after {seconds} s:\n{}",
                    self.name,
                    self.tail()
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What this run has written so far.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn output(&self) -> Result<String> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.log_start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last lines of the log.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = self.output().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(15);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    ///
    /// # Errors
    /// When the system refuses to tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGKILL: the process gets no chance to tidy up. Waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and SIGKILL after ten seconds. Returns whether it ended by itself.
    pub fn stop(&mut self) -> bool {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return true;
        }
        let Ok(pid) = i32::try_from(self.child.id()) else { return false };
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        false
    }

    /// The name it was started under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
