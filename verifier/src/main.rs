//! `verify`: recomputes every epoch from an EVM node and a Bitcoin node, and says what is true.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode, sync::Arc};

use alloy::primitives::Address;
use clap::Parser;
use evm::Deployment;
use eyre::Result;
use serde_json::json;
use verifier::{
    cache::{self, Cache},
    checks,
    evidence::Source,
    holder,
    progress::Progress,
    rpc::Rpc,
    tamper,
    world::{Declared, Sources, World},
};

/// Recomputes what the ledger claims, from the two public chains, with nobody's help.
///
/// Each check prints passed, failed (with what was found) or not checked (with the reason). The exit code is 0 if no
/// check failed, 1 otherwise. Nothing is signed or sent, and nothing stored unless `--cache` names a folder for it.
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
    /// Keep what is read of both chains in this folder: a second run, or one after a killed run, goes on where it stopped.
    /// What is kept is used only while both nodes still have the blocks that it hangs on, and read again if it was
    /// damaged; contract state, tips and unspent outputs are asked anew each time. If a check fails, run without it once:
    /// the logs are as the node of that time told them
    #[arg(long, value_name = "DIR", conflicts_with = "tamper")]
    cache: Option<PathBuf>,
    /// Say on stderr how far the run has come (epoch x of y, rate), as it does on a terminal without --json
    #[arg(long)]
    progress: bool,
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
        .with_ansi(std::io::stderr().is_terminal())
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
    let deployment = Deployment::read(&args.deployment)?;
    let open = |folder| Cache::open(folder, &cache::scope_of(&deployment)).map(Arc::new);
    let kept = args.cache.as_deref().map(open).transpose()?;
    let terminal = std::io::stderr().is_terminal();
    let shown = args.progress || (terminal && !args.json);
    let progress = if shown { Progress::stderr(terminal) } else { Progress::default() };
    let journal = match &args.evidence {
        Some(place) => Some(Source::parse(place).fetch(kept.as_deref()).await?),
        None => None,
    };
    let evm = Rpc::new("EVM node", &args.evm, None, true)?;
    let cookie = args.cookie.as_deref();
    let bitcoin = Rpc::new("Bitcoin node", &args.bitcoin, cookie, args.tamper.is_some())?;
    Ok(Sources {
        evm: evm.keeping(kept.clone()).showing(progress.clone()),
        bitcoin: bitcoin.keeping(kept).showing(progress),
        deployment,
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
    if let Some(kept) = sources.evm.kept() {
        let (used, damaged) = kept.counts();
        tracing::info!(used, damaged, "records of the cache");
        if !good && used > 0 {
            tracing::warn!("run once without --cache: an earlier node may have told another story");
        }
    }
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
