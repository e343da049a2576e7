//! The `signer` command.

use std::{path::PathBuf, process::ExitCode};

use bitcoin::Network;
use clap::{Parser, Subcommand};
use eyre::{Result, WrapErr};
use settlement::signer::{config::SignerConfig, keys, server};
use tokio::signal::unix::{SignalKind, signal};

/// Signs payouts that the ledger has committed in a final block, and refuses everything else.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    /// Log filter: error, warn, info, debug, or per module.
    #[arg(long, default_value = "info", global = true)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a key in DIR/key (mode 0600) and prints its extended public key.
    Init {
        /// Folder of key and store.
        #[arg(long)]
        dir: PathBuf,
        /// bitcoin, testnet4, signet or regtest.
        #[arg(long, default_value = "regtest")]
        network: Network,
    },
    /// Answers requests on a Unix socket until SIGTERM or SIGINT.
    Run {
        /// Configuration file; see signer.example.toml.
        #[arg(long)]
        config: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // words for people; a backtrace would hide them
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<()> {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_new(&cli.log).wrap_err("--log")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    match cli.command {
        Command::Init { dir, network } => {
            println!("{}", keys::init(&dir, network)?);
            Ok(())
        }
        Command::Run { config } => run(SignerConfig::read(&config)?).await,
    }
}

async fn run(config: SignerConfig) -> Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let signer = config.start().await?;
    let listener = server::listen(&config.socket).await?;
    println!("ready signer {}", config.socket.display());
    tokio::select! {
        ended = server::serve(listener, signer) => ended?,
        _ = term.recv() => tracing::info!("stopped by SIGTERM"),
        _ = int.recv() => tracing::info!("stopped by SIGINT"),
    }
    std::fs::remove_file(&config.socket).wrap_err("removing the socket")?;
    Ok(())
}
