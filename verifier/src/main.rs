//! `verify`: recomputes every epoch from an EVM node and a Bitcoin node, and says what is true.

use std::{path::PathBuf, process::ExitCode};

use alloy::primitives::Address;
use clap::Parser;
use evm::Deployment;
use eyre::Result;
use serde_json::json;
use verifier::{
    checks,
    evidence::Source,
    holder,
    rpc::Rpc,
    tamper,
    world::{Declared, Sources, World},
};

/// Recomputes what the ledger claims, from the two public chains, with nobody's help.
///
/// Each check prints passed, failed (with what was found) or not checked (with the reason). The exit code is 0 if no
/// check failed, 1 otherwise. Nothing is signed, sent or stored.
#[derive(Debug, Parser)]
#[command(name = "verify", version)]
struct Args {
    /// JSON-RPC URL of an EVM node
    #[arg(long, value_name = "URL")]
    evm: String,
    /// JSON-RPC URL of a Bitcoin node (bitcoind; pruned will do if it kept the deployment's blocks)
    #[arg(long, value_name = "URL")]
    bitcoin: String,
    /// File with `user:password` of the Bitcoin node, such as its `.cookie`
    #[arg(long, value_name = "FILE")]
    cookie: Option<PathBuf>,
    /// Addresses of the contracts, as the deployment wrote them
    #[arg(long, value_name = "FILE")]
    deployment: PathBuf,
    /// Configuration that was deployed: says who was declared to hold which role (check 2)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// This repository, with `npm ci` done: to compile the contracts again (check 1)
    #[arg(long, value_name = "DIR", default_value = ".")]
    source: PathBuf,
    /// Folder with `journal.jsonl`, or URL of a switching engine: production evidence (checks 13 and 14)
    #[arg(long, value_name = "DIR|URL")]
    evidence: Option<String>,
    /// Only this epoch (allocation still starts at the first)
    #[arg(long, value_name = "N", conflicts_with = "account")]
    epoch: Option<u32>,
    /// One holder's view: credit, due, owed and payment per epoch
    #[arg(long, value_name = "A")]
    account: Option<Address>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Alter one answer per check on its way in, and show that the check fails; with a number, only that check
    #[arg(long, value_name = "CHECK", num_args = 0..=1, default_missing_value = "0",
          value_parser = clap::value_parser!(u8).range(0..=14), conflicts_with = "account")]
    tamper: Option<u8>,
    /// How much to say on stderr, such as info or verifier=debug
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match try_main().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn try_main() -> Result<ExitCode> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_new(&args.log)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let sources = sources(&args).await?;
    let good = if let Some(only) = args.tamper {
        tampered(&sources, only, args.json).await?
    } else {
        honest(&sources, &args).await?
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn sources(args: &Args) -> Result<Sources> {
    let journal = match &args.evidence {
        Some(place) => Some(Source::parse(place).fetch().await?),
        None => None,
    };
    Ok(Sources {
        evm: Rpc::new("EVM node", &args.evm, None, true)?,
        bitcoin: Rpc::new(
            "Bitcoin node",
            &args.bitcoin,
            args.cookie.as_deref(),
            args.tamper.is_some(),
        )?,
        deployment: Deployment::read(&args.deployment)?,
        declared: args.config.as_deref().map(Declared::read).transpose()?,
        journal,
        source: args.source.clone(),
        epoch: args.epoch,
    })
}

async fn honest(sources: &Sources, args: &Args) -> Result<bool> {
    let world = World::read(sources).await?;
    let statement = args.account.map(|account| holder::statement(&world, account)).transpose()?;
    let report = checks::run(&world).await;
    let good = report.good();
    if args.json {
        let all = json!({"good": good, "report": report, "statement": statement});
        print!("{}", serde_json::to_string_pretty(&all)? + "\n");
    } else {
        if let Some(statement) = statement {
            println!("{}", statement.text());
        }
        print!("{}", report.text());
    }
    Ok(good)
}

async fn tampered(sources: &Sources, only: u8, as_json: bool) -> Result<bool> {
    let trials = tamper::run(sources, (only > 0).then_some(only)).await?;
    let good = tamper::good(&trials);
    if as_json {
        let all = json!({"good": good, "trials": trials});
        print!("{}", serde_json::to_string_pretty(&all)? + "\n");
    } else {
        print!("{}", tamper::text(&trials));
    }
    Ok(good)
}
