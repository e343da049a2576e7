//! `switching`: see `--help`; the logic is in the library.

use std::process::ExitCode;
use std::{io::Write, path::PathBuf};

use clap::{Parser, Subcommand};
use eyre::{Result, WrapErr};
use switching::config::Config;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The switching engine: a stratum proxy between machines and pools that keeps every machine on the coin that pays most,
/// without ever disconnecting one, and writes down what pools acknowledged.
#[derive(Debug, Parser)]
#[command(name = "switching", version)]
struct Args {
    /// Log filter, to stderr, e.g. `info` or `switching=debug`.
    #[arg(long, default_value = "info", global = true)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the engine until SIGTERM or SIGINT. Prints one line when it listens: `ready switching <http-url> <stratum-url>`.
    Run {
        /// TOML configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Checks a configuration and prints how it is understood.
    CheckConfig {
        /// TOML configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Checks the hash chain and every record of a journal, without changing it.
    VerifyJournal {
        /// The journal.
        path: PathBuf,
    },
}

fn main() -> ExitCode {
    match try_main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_main() -> Result<()> {
    let args = Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log).wrap_err("--log")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    match args.command {
        Command::Run { config } => {
            let config = Config::load(&config)?;
            tokio::runtime::Runtime::new()?.block_on(run(config))
        }
        Command::CheckConfig { config } => {
            let config = Config::load(&config)?;
            Ok(writeln!(std::io::stdout(), "{config:#?}")?)
        }
        Command::VerifyJournal { path } => {
            let replay = switching::journal::replay(&path)?;
            let mut out = std::io::stdout();
            writeln!(out, "{} lines, last hash {}", replay.head.len, replay.head.hash)?;
            if replay.torn > 0 {
                writeln!(
                    out,
                    "{} bytes of a torn last line, which the next start cuts off",
                    replay.torn
                )?;
            }
            Ok(())
        }
    }
}

async fn run(config: Config) -> Result<()> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopped.cancel();
    });
    let ready = |addresses: switching::Addresses| {
        let mut out = std::io::stdout();
        let _ = writeln!(
            out,
            "ready switching http://{} stratum+tcp://{}",
            addresses.http, addresses.stratum
        );
        let _ = out.flush();
    };
    Ok(switching::run(config, stop, ready).await?)
}
