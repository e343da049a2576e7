//! `fleet-oracle`: one signer of the quorum, and the operator's tool that has machine batches attested.

use std::process::ExitCode;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Parser, Subcommand};
use clock::Clock;
use eyre::{Result, WrapErr};
use fleet_oracle::{
    api,
    batch::{MachineList, attest_batches},
    chain::Chain,
    config::{Config, OperatorConfig, parse},
    leader,
    signer::Signer,
    store::Store,
    upgrade,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Reports what the fleet earned, signed by a quorum.
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
    /// Runs one signer until SIGTERM or SIGINT. May be killed at any instant.
    #[command(alias = "run")]
    Signer {
        /// Configuration (TOML); see signer.example.toml.
        #[arg(long)]
        config: PathBuf,
    },
    /// Has every new batch of the machine list attested by a quorum, and registers it on chain. May be run again.
    AttestBatch {
        /// Configuration (TOML); see operator.example.toml.
        #[arg(long)]
        config: PathBuf,
    },
    /// Has the open upgrade of a series attested by a quorum, 72 hours after its proposal, and executes it.
    AttestUpgrade {
        /// Configuration (TOML); see operator.example.toml.
        #[arg(long)]
        config: PathBuf,
        /// Series.
        #[arg(long)]
        series: u16,
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
    match arguments.command {
        Command::Signer { config } => run(&config).await,
        Command::AttestBatch { config } => {
            let config: OperatorConfig = parse(&read(&config)?)?;
            for line in attest_batches(&config).await? {
                println!("{line}");
            }
            Ok(())
        }
        Command::AttestUpgrade { config, series } => {
            let config: OperatorConfig = parse(&read(&config)?)?;
            println!("{}", upgrade::execute(&config, domain::SeriesId(series)).await?);
            Ok(())
        }
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).wrap_err_with(|| path.display().to_string())
}

async fn run(path: &Path) -> Result<()> {
    let config = Config::parse(&read(path)?).wrap_err_with(|| path.display().to_string())?;
    let key = evm::read_key(&config.key_file)?;
    let deployment = evm::Deployment::read(&config.deployment)?;
    let provider = evm::connect_signing(&config.evm_url, key.clone())?;
    let chain = Chain::connect(provider, deployment).await?;
    let clock = Clock::start(&config.clock).await?;
    let store = Store::open(&config.store).await?;
    let machines =
        config.machines.as_deref().map(MachineList::read).transpose()?.unwrap_or_default();
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .wrap_err_with(|| format!("cannot listen on {}", config.listen))?;
    let signer = Arc::new(Signer::new(config, chain, clock, store, key, machines));
    println!("ready fleet-oracle http://{}", listener.local_addr()?);
    tracing::info!(signer = %signer.address(), "signer started");
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = leader::run(Arc::clone(&signer)) => Ok(()),
        served = axum::serve(listener, api::router(signer)) => Ok(served?),
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}
