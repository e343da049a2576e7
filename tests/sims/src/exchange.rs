//! `sim-exchange`: an outside spot exchange with Binance-shaped REST. In: signed requests, coins
//! on two nodes' chains, the time of one. Out: fills, balances, on-chain withdrawals, tickers of
//! three shapes. It knows nothing of the product.

mod auth;
mod book;
mod config;
mod http;
mod market;
mod public;
mod scenario;
mod state;
mod trade;
mod wallet;
mod withdraw;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::Parser;
use eyre::{Result, eyre};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{
    config::ExchangeConfig,
    http::{KillableListener, Mode},
    market::Market,
    state::Books,
};
use crate::{node::Node, process};

/// Everything that the tasks of the exchange share.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) cfg: ExchangeConfig,
    /// By coin.
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) market: Mutex<Market>,
    books: Mutex<Books>,
    pub(crate) mode: watch::Sender<Mode>,
    clock: AtomicU64,
    pub(crate) stop: CancellationToken,
}

impl Exchange {
    /// True server time, seconds: the BTC node's template time.
    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// The time that the exchange tells and checks, milliseconds; `clock_skew` moves it.
    pub(crate) fn server_ms(&self) -> u64 {
        let skew = match *self.mode.borrow() {
            Mode::ClockSkew => 3_600_000 * self.cfg.time_scale,
            _ => 0,
        };
        self.now() * 1000 + skew
    }

    /// Reads the books.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Books) -> T) -> T {
        look(&process::lock(&self.books))
    }

    /// Changes the books in one transaction: durable before it is visible, or not at all.
    pub(crate) fn change<T, E: From<eyre::Report>>(
        &self,
        change: impl FnOnce(&mut Books) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut books = process::lock(&self.books);
        let mut next = books.clone();
        let result = change(&mut next)?;
        process::save_state(&self.cfg.state_file, &next)?;
        *books = next;
        Ok(result)
    }

    async fn follow_clock(self: Arc<Self>) {
        loop {
            if let Err(error) = self.tick().await {
                tracing::warn!("clock: {error:#}");
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }

    async fn tick(&self) -> Result<()> {
        let node = self.nodes.get(&self.cfg.clock_coin).ok_or_else(|| eyre!("no clock node"))?;
        self.clock.fetch_max(node.time().await?, Ordering::Relaxed);
        Ok(())
    }
}

/// A simulator of an outside spot exchange: Binance-shaped REST with real deposits and
/// withdrawals on regtest chains, and public tickers in Kraken's and Coinbase's shapes.
#[derive(Debug, Parser)]
#[command(name = "sim-exchange", version)]
struct Args {
    /// TOML configuration (see examples/exchange.toml).
    #[arg(long)]
    config: std::path::PathBuf,
    /// Log filter, to stderr.
    #[arg(long, default_value = "info")]
    log: String,
}

/// Entry point of the `sim-exchange` binary.
///
/// # Errors
/// Configuration, node or port problems at start.
pub fn exchange_main() -> Result<()> {
    let args = Args::parse();
    process::init_log(&args.log)?;
    process::block_on(run(args))
}

async fn run(args: Args) -> Result<()> {
    let cfg: ExchangeConfig = process::load_toml(&args.config)?;
    cfg.check()?;
    let stop = process::stop_on_signal()?;
    let mut nodes = BTreeMap::new();
    for network in &cfg.networks {
        let node = Node::new(&network.rpc_url, network.cookie_file.clone(), &network.wallet)?;
        node.wait().await?;
        node.open_wallet().await?;
        nodes.insert(network.coin.clone(), node);
    }
    let mut books: Books = process::load_state(&cfg.state_file)?;
    books.open_accounts(&cfg)?;
    let exchange = Arc::new(Exchange {
        nodes,
        market: Mutex::new(Market::new(&cfg)),
        books: Mutex::new(books),
        mode: watch::Sender::new(Mode::None),
        clock: AtomicU64::new(0),
        cfg,
        stop: stop.clone(),
    });
    exchange.tick().await?;
    exchange.change(|books| {
        books.origin.get_or_insert(exchange.now());
        Ok::<_, eyre::Report>(())
    })?;
    let origin = exchange.read(|books| books.origin.unwrap_or_default());
    process::lock(&exchange.market).origin = origin;
    let listener = tokio::net::TcpListener::bind(&exchange.cfg.listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let tasks = [
        tokio::spawn(exchange.clone().follow_clock()),
        tokio::spawn(wallet::follow_deposits(exchange.clone())),
        tokio::spawn(withdraw::pay(exchange.clone())),
        tokio::spawn(http::serve(exchange.clone(), KillableListener(listener))),
    ];
    process::ready("sim-exchange", &[url])?;
    stop.cancelled().await;
    for task in tasks {
        let _ = tokio::time::timeout(Duration::from_secs(2), task).await;
    }
    Ok(())
}
