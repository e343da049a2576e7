//! `sim-pool`: an outside mining pool. In: a node's block templates and miners' shares.
//! Out: jobs, blocks, PPS statements, payouts. It knows nothing of the product.

mod config;
mod engine;
mod http;
mod ledger;
mod misbehave;
mod payout;
mod session;
mod share;
mod template;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use clap::Parser;
use eyre::Result;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::{config::PoolConfig, ledger::Ledger, misbehave::Mode, template::PoolJob};
use crate::{
    node::Node,
    process,
    work::{Bytes32, target_of_hashes},
};

/// Everything that the tasks of one pool share.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) cfg: PoolConfig,
    pub(crate) node: Node,
    pub(crate) share_target: Bytes32,
    pub(crate) version_mask: u32,
    pub(crate) jobs: Mutex<Jobs>,
    pub(crate) newest: watch::Sender<Option<Arc<PoolJob>>>,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) ledger_changed: AtomicBool,
    pub(crate) mode: watch::Sender<Mode>,
    pub(crate) poke: Notify,
    /// A share of a job with at least this `ntime` may be a block; `u64::MAX` when none may.
    pub(crate) block_from: AtomicU64,
    /// Node time in seconds, never backwards.
    pub(crate) clock: AtomicU64,
    next_extranonce1: AtomicU32,
    pub(crate) connections: AtomicU64,
    pub(crate) stop: CancellationToken,
}

/// Jobs of the current previous block, and the hashes already paid for on it.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) by_id: HashMap<String, Arc<PoolJob>>,
    pub(crate) seen: HashSet<Bytes32>,
    pub(crate) issued: u64,
}

impl Pool {
    fn new(cfg: PoolConfig, node: Node, stop: CancellationToken) -> Result<Self> {
        let ledger: Ledger = process::load_state(&cfg.state_file)?;
        let first = u32::try_from(cfg.seed & 0xffff).unwrap_or_default() << 16;
        Ok(Self {
            share_target: target_of_hashes(cfg.share_hashes),
            version_mask: crate::work::u32_hex(&cfg.version_mask)?,
            node,
            jobs: Mutex::default(),
            newest: watch::Sender::new(None),
            ledger: Mutex::new(ledger),
            ledger_changed: AtomicBool::new(false),
            mode: watch::Sender::new(Mode::None),
            poke: Notify::new(),
            block_from: AtomicU64::new(u64::MAX),
            clock: AtomicU64::new(0),
            next_extranonce1: AtomicU32::new(first),
            connections: AtomicU64::new(0),
            cfg,
            stop,
        })
    }

    /// Node time, seconds.
    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Four bytes that no other connection of this process has.
    pub(crate) fn new_extranonce1(&self) -> [u8; 4] {
        self.next_extranonce1.fetch_add(1, Ordering::Relaxed).to_be_bytes()
    }

    /// Changes the ledger; it is written to disk within a second (at once by [`Self::save`]).
    pub(crate) fn with_ledger<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let result = change(&mut process::lock(&self.ledger));
        self.ledger_changed.store(true, Ordering::Release);
        result
    }

    /// Writes the ledger to disk if it changed.
    pub(crate) fn save(&self) -> Result<()> {
        if self.ledger_changed.swap(false, Ordering::AcqRel) {
            let copy = process::lock(&self.ledger).clone();
            if let Err(error) = process::save_state(&self.cfg.state_file, &copy) {
                self.ledger_changed.store(true, Ordering::Release);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A simulator of an outside mining pool: Stratum V1 on a regtest node's own templates, PPS
/// accounting, payouts from its own wallet, a read-only statement API.
#[derive(Debug, Parser)]
#[command(name = "sim-pool", version)]
struct Args {
    /// TOML configuration (see examples/pool-btc.toml).
    #[arg(long)]
    config: std::path::PathBuf,
    /// Mine N blocks to the pool's wallet before anything else (once per state file).
    #[arg(long, default_value_t = 0, value_name = "N")]
    bootstrap: u32,
    /// Mine N blocks to ADDRESS before those (repeatable, once per state file).
    #[arg(long, value_name = "ADDRESS:N")]
    bootstrap_to: Vec<String>,
    /// Log filter, to stderr.
    #[arg(long, default_value = "info")]
    log: String,
}

/// Entry point of the `sim-pool` binary.
///
/// # Errors
/// Configuration, node or port problems at start.
pub fn pool_main() -> Result<()> {
    let args = Args::parse();
    process::init_log(&args.log)?;
    process::block_on(run(args))
}

async fn run(args: Args) -> Result<()> {
    let cfg: PoolConfig = process::load_toml(&args.config)?;
    cfg.check()?;
    let stop = process::stop_on_signal()?;
    let node = Node::new(&cfg.rpc_url, cfg.cookie_file.clone(), &cfg.wallet)?;
    node.wait().await?;
    node.open_wallet().await?;
    let pool = Arc::new(Pool::new(cfg, node, stop.clone())?);
    let script = crate::node::script_of(&pool.node.new_address("mining").await?)?;
    engine::bootstrap(&pool, &script, args.bootstrap, &args.bootstrap_to).await?;

    let stratum = tokio::net::TcpListener::bind(&pool.cfg.stratum_listen).await?;
    let web = tokio::net::TcpListener::bind(&pool.cfg.http_listen).await?;
    let urls = [
        format!("stratum+tcp://{}", stratum.local_addr()?),
        format!("http://{}", web.local_addr()?),
    ];
    let tasks = [
        tokio::spawn(engine::run(pool.clone(), script)),
        tokio::spawn(payout::run(pool.clone())),
        tokio::spawn(session::listen(pool.clone(), stratum)),
        tokio::spawn(http::serve(pool.clone(), web)),
    ];
    let mut newest = pool.newest.subscribe();
    newest.wait_for(Option::is_some).await?;
    process::ready(&format!("sim-pool-{}", pool.cfg.coin.to_lowercase()), &urls)?;
    stop.cancelled().await;
    for task in tasks {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), task).await;
    }
    pool.save()
}
