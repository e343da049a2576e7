//! `conversion run --config FILE`: sells mined coins for BTC and withdraws it to the treasury, exactly once.

use std::process::ExitCode;
use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use clock::Clock;
use conversion::{
    binance::Binance, config::Config, converter::Converter, http, journal::Journal,
    signature::Credentials,
};
use eyre::{Result, WrapErr};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Sells mined coins for BTC and withdraws it to the treasury, exactly once.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Least level that is logged: error, warn, info, debug, trace.
    #[arg(long, default_value = "info", global = true)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs until SIGTERM or SIGINT. May be killed at any instant.
    Run {
        /// Configuration (TOML); see conversion.example.toml.
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

async fn try_main() -> Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_new(&arguments.log).wrap_err("--log")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let Command::Run { config } = arguments.command;
    run(&config).await
}

async fn run(path: &PathBuf) -> Result<()> {
    let text = std::fs::read_to_string(path).wrap_err_with(|| path.display().to_string())?;
    let config = Config::parse(&text).wrap_err_with(|| path.display().to_string())?;
    let (settings, key, secret) = config.venue.settings();
    let venue = Binance::new(settings, Credentials::read(key, secret)?);
    let clock = Clock::start(&config.clock).await?;
    let (journal, fills) = Journal::open(&config.journal)?;
    let converter = Converter::new(venue, clock, config.rules()?, journal, &fills)?;
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .wrap_err_with(|| format!("cannot listen on {}", config.listen))?;
    let app = http::router(converter.shared());
    println!("ready conversion http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = converter.run(Duration::from_millis(config.poll_ms.max(10))) => Ok(ended?),
        served = axum::serve(listener, app) => Ok(served?),
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}
