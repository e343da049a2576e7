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
    /// Makes a key in DIR/key (encrypted, mode 0600) and prints its extended public key.
    Init {
        /// Folder of key and store.
        #[arg(long)]
        dir: PathBuf,
        /// File with the passphrase, mode 0600; without it, the first line of standard input.
        #[arg(long)]
        passphrase_file: Option<PathBuf>,
        /// bitcoin, testnet4, signet or regtest.
        #[arg(long, default_value = "regtest")]
        network: Network,
    },
    /// Encrypts a plain extended private key that stands in DIR/key, and prints its extended public key.
    Encrypt {
        /// Folder of key and store.
        #[arg(long)]
        dir: PathBuf,
        /// File with the passphrase, mode 0600; without it, the first line of standard input.
        #[arg(long)]
        passphrase_file: Option<PathBuf>,
    },
    /// Encrypts the key in DIR/key with another passphrase. The key stays the same.
    RotatePassphrase {
        /// Folder of key and store.
        #[arg(long)]
        dir: PathBuf,
        /// File with the present passphrase, mode 0600.
        #[arg(long)]
        passphrase_file: PathBuf,
        /// File with the new one, mode 0600; without it, the first line of standard input.
        #[arg(long)]
        new_passphrase_file: Option<PathBuf>,
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
        Command::Init { dir, network, passphrase_file } => {
            let passphrase = keys::passphrase(passphrase_file.as_deref())?;
            println!("{}", keys::init(&dir, network, &passphrase)?);
            Ok(())
        }
        Command::Encrypt { dir, passphrase_file } => {
            let passphrase = keys::passphrase(passphrase_file.as_deref())?;
            println!("{}", keys::encrypt(&dir, &passphrase)?);
            Ok(())
        }
        Command::RotatePassphrase { dir, passphrase_file, new_passphrase_file } => {
            let old = keys::passphrase(Some(&passphrase_file))?;
            let new = keys::passphrase(new_passphrase_file.as_deref())?;
            keys::rotate(&dir, &old, &new)?;
            println!("the passphrase is the new one");
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
