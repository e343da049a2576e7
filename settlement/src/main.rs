//! The `settlement` command.

#[path = "main/challenge.rs"]
mod challenge_command;
#[path = "main/ownership.rs"]
mod ownership_command;

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use alloy::primitives::Address;
use bitcoin::Network;
use clap::{Parser, Subcommand, ValueEnum};
use domain::EpochId;
use eyre::{Result, WrapErr};
use settlement::{
    config::Config,
    doctor, dry_run,
    engine::{Engine, Watch},
    export,
    halt::{HaltPoint, Halts},
    http, metrics, offline, orders,
    ownership::Owners,
    script, statement,
    store::Store,
    vault::{GENESIS_BATON, Keychain},
};
use tokio::signal::unix::{SignalKind, signal};

/// Pays every epoch: reads it at a finalized EVM block, commits its root, pays it on Bitcoin through the signers, and
/// proves the payment to the ledger contract.
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
    /// Works until SIGTERM or SIGINT. A second one on the same database is refused.
    Run {
        /// Configuration file; see config.example.toml.
        #[arg(long)]
        config: PathBuf,
        /// For tests: stop for ever at this point and print `halted LABEL`.
        #[arg(long, value_enum)]
        halt_at: Option<HaltPoint>,
    },
    /// Prints every epoch and its state as JSON, from the database.
    Status {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Computes an epoch from the chain alone and prints it as JSON; nothing is written or sent.
    DryRun {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The epoch.
        #[arg(long)]
        epoch: u32,
    },
    /// Says which challenges of an epoch's commitment the court would uphold now, and sends them with `--send`. Anyone
    /// may: the key in the configuration, or the one given, pays the gas and is paid the reward. With `--watch` it goes on
    /// until SIGTERM, over every commitment that can be challenged.
    Challenge(challenge_command::Request),
    /// Prints the unsigned PSBTs of a planned epoch, one JSON object a line, from the database.
    Psbt {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The epoch.
        #[arg(long)]
        epoch: u32,
    },
    /// Writes the unsigned PSBTs of a planned epoch to files, for co-signers that are on no socket.
    PsbtExport {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The epoch.
        #[arg(long)]
        epoch: u32,
        /// Folder for the files.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Takes in a file that a co-signer has signed; settlement finds it when it next collects signatures.
    PsbtImport {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The epoch.
        #[arg(long)]
        epoch: u32,
        /// The signed file.
        file: PathBuf,
    },
    /// Prints one operator's word to pause or resume; two different operators' make an order.
    Order {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// What is ordered.
        #[arg(long, value_enum)]
        action: orders::Action,
        /// The operator's own EVM key, mode 0600.
        #[arg(long)]
        key_file: PathBuf,
    },
    /// Prints the alerts as Prometheus rules.
    Alerts,
    /// Prints what every epoch credited and paid an account, from the database, held against the chain.
    Statement {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The account, 0x...
        #[arg(long)]
        account: Address,
        /// Comma-separated instead of JSON.
        #[arg(long, conflicts_with = "json")]
        csv: bool,
        /// JSON, as without this flag.
        #[arg(long)]
        json: bool,
    },
    /// Looks at configuration, chains, keys, signers, baton and reserve; says what is wrong and what to do. Exit code 1
    /// if anything is.
    Doctor {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Prints an epoch's books and every account as JSON, from the database.
    Ledger {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The epoch.
        #[arg(long, required_unless_present = "accept")]
        epoch: Option<u32>,
        /// Accounts for a spend that no plan explains: it comes out of the reserve. Only while settlement is stopped.
        #[arg(long, conflicts_with = "epoch")]
        accept: Option<bitcoin::Txid>,
    },
    /// Who has the key of a payout script: docs/OWNERSHIP.md.
    #[command(subcommand)]
    Ownership(ownership_command::Ownership),
    /// Prints an address of the vault.
    Address {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Which one.
        #[arg(value_enum)]
        which: Which,
        /// Derivation index of a treasury address.
        #[arg(default_value_t = 0)]
        index: u32,
    },
    /// Prints the scriptPubKey of a payout address in hex, as the payout registry takes it.
    Script {
        /// bitcoin, testnet4, signet or regtest.
        #[arg(long)]
        network: Network,
        /// The address.
        address: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// The output that `setBaton` names.
    BatonGenesis,
    /// Receipts and fee reserve.
    Treasury,
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
        Command::Run { config, halt_at } => run(Config::read(&config)?, halt_at).await,
        Command::Status { config } => {
            let config = Config::read(&config)?;
            let store = Store::read(&config.database).await?;
            let mut status = http::status(&store, None, &Watch::default()).await?;
            if config.ownership.is_some() {
                let deployment = evm::Deployment::read(&config.deployment)?;
                status.unproven = Owners::new(&config, &deployment).unproven(&store).await?;
            }
            print(&status)
        }
        Command::DryRun { config, epoch } => {
            print(&dry_run::dry_run(&Config::read(&config)?, EpochId(epoch)).await?)
        }
        Command::Challenge(request) => challenge_command::run(request).await,
        Command::Psbt { config, epoch } => {
            for each in export::psbts(&Config::read(&config)?, EpochId(epoch)).await? {
                say(&serde_json::to_string(&each)?);
            }
            Ok(())
        }
        Command::Statement { config, account, csv, json: _ } => {
            let statement = statement::statement(&Config::read(&config)?, account).await?;
            if csv {
                say(statement.to_csv().trim_end());
                return Ok(());
            }
            print(&statement)
        }
        Command::Doctor { config } => {
            let found = doctor::examine(&config).await;
            for each in &found {
                let mark = if each.ok { "ok     " } else { "problem" };
                say(&format!("{mark} {}: {}", each.name, each.words));
            }
            let problems = found.iter().filter(|each| !each.ok).count();
            eyre::ensure!(problems == 0, "{problems} of {} checks found a problem", found.len());
            Ok(())
        }
        Command::Address { config, which, index } => {
            let vault = Config::read(&config)?.vault()?;
            let address = match which {
                Which::BatonGenesis => vault.address(Keychain::Baton, GENESIS_BATON)?,
                Which::Treasury => vault.address(Keychain::Treasury, index)?,
            };
            say(&address.to_string());
            Ok(())
        }
        Command::Script { network, address } => {
            say(&format!("0x{:x}", script::of_address(&address, network)?));
            Ok(())
        }
        other => by_hand(other).await,
    }
}

/// What a person does beside the running service.
async fn by_hand(command: Command) -> Result<()> {
    match command {
        Command::PsbtExport { config, epoch, dir } => {
            for path in offline::export(&Config::read(&config)?, EpochId(epoch), &dir).await? {
                say(&path.display().to_string());
            }
            Ok(())
        }
        Command::PsbtImport { config, epoch, file } => {
            let txid = offline::import(&Config::read(&config)?, EpochId(epoch), &file).await?;
            say(&format!("taken in for {txid}"));
            Ok(())
        }
        Command::Order { config, action, key_file } => {
            let config = Config::read(&config)?;
            let deployment = evm::Deployment::read(&config.deployment)?;
            let number = Store::read(&config.database).await?.last_order().await?.0 + 1;
            let (key, ledger) = (evm::read_key(&key_file)?, deployment.epoch_ledger);
            print(&orders::approve(&key, deployment.chain_id, ledger, number, action)?)
        }
        Command::Ownership(command) => ownership_command::run(command).await,
        Command::Alerts => {
            say(metrics::rules().trim_end());
            Ok(())
        }
        Command::Ledger { config, epoch, accept } => {
            let config = Config::read(&config)?;
            if let Some(txid) = accept {
                let sats = Store::open(&config.database).await?.accept_spend(txid).await?;
                say(&format!("{sats} sat of {txid} are taken from the reserve"));
            }
            let Some(epoch) = epoch else { return Ok(()) };
            print(&Store::read(&config.database).await?.books(EpochId(epoch)).await?)
        }
        _ => Ok(()),
    }
}

async fn run(config: Config, halt_at: Option<HaltPoint>) -> Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let listen = config.listen.clone();
    let engine = Arc::new(Engine::start(config, Halts(halt_at)).await?);
    let listener = tokio::net::TcpListener::bind(&listen).await.wrap_err(listen)?;
    println!("ready settlement http://{}", listener.local_addr()?);
    let server = axum::serve(listener, http::router(Arc::clone(&engine)));
    tokio::select! {
        ended = engine.run() => ended?,
        ended = server => ended?,
        _ = term.recv() => tracing::info!("stopped by SIGTERM"),
        _ = int.recv() => tracing::info!("stopped by SIGINT"),
    }
    Ok(())
}

fn print(value: &impl serde::Serialize) -> Result<()> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints a line. Whoever reads has seen enough when the pipe is closed: that is no error.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
