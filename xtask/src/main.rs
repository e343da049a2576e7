//! `xtask`: what the scripts call.
#![allow(clippy::print_stderr, reason = "a program for people")]

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use eyre::Result;
use tokio_util::sync::CancellationToken;
use xtask::{bench, demo, paths};

/// The logic behind scripts/: the demo and the benchmarks.
#[derive(Debug, Parser)]
#[command(name = "xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the whole product on this machine and plays the story of the first paid epochs.
    Up {
        /// End after the story; the exit code tells whether it came true.
        #[arg(long)]
        once: bool,
        /// Folder for everything the demo writes; it is emptied first.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// First port to try for the page and the API.
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// What is played before the demo stays up.
        #[arg(long, value_enum, default_value_t = demo::Story::Payday)]
        story: demo::Story,
        /// Log level of the demo itself; services log to files in the folder.
        #[arg(long, default_value = "warn")]
        log: String,
    },
    /// Measures one area and prints one line a target.
    Bench {
        /// crash, settlement or verifier.
        area: String,
        /// Repeats a simulation.
        #[arg(long, default_value_t = 4)]
        seed: u64,
        /// Goes on with a simulation of which so many epochs were simulated before.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Epochs to simulate, those before included.
        #[arg(long, default_value_t = 1_000_000)]
        epochs: u64,
        /// Log level, on stderr; logging costs time.
        #[arg(long, default_value = "off")]
        log: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    match Cli::parse().command {
        Command::Up { once, dir, port, story, log } => {
            log_to_stderr(&log)?;
            let dir = dir.unwrap_or_else(|| paths::root().join(".demo"));
            let stop = CancellationToken::new();
            tokio::spawn(stop_on_signal(stop.clone()));
            demo::up(&demo::Options { once, dir, port, story }, stop).await
        }
        Command::Bench { area, seed, from, epochs, log } => {
            log_to_stderr(&log)?;
            tokio::task::spawn_blocking(move || bench::run(&area, seed, from, epochs)).await?
        }
    }
}

fn log_to_stderr(level: &str) -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_new(level)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    Ok(())
}

async fn stop_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    stop.cancel();
}
