//! `indexer run --config FILE`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use eyre::WrapErr;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Follows the chain into a database and serves it over HTTP, with the web app.
///
/// Everything but signed orders is rebuilt from the chain when the database is deleted. Stops on SIGTERM or Ctrl-C.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// What to log: error, warn, info, debug, trace, or a filter such as `indexer=debug`.
    #[arg(long, global = true, default_value = "info")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service; prints `ready indexer URL` when it listens.
    Run {
        /// Configuration file; see config.example.toml.
        #[arg(long)]
        config: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match try_main().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn try_main() -> eyre::Result<()> {
    let args = Args::parse();
    let filter = EnvFilter::try_new(&args.log).wrap_err("--log")?;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_env_filter(filter)
        .init();
    let Command::Run { config } = args.command;
    let config = indexer::Config::read(&config)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    indexer::run(config, |url| println!("ready indexer {url}"), stop).await?;
    Ok(())
}
