//! The switching engine: every machine works on the coin that pays most now.
//!
//! What flows in: what pools say they pay and what exchanges bid (HTTP), pools' jobs and machines' shares (stratum),
//! chain time, each epoch's first EVM block (only its hash, which dates shares). What flows out: one job to all machines, machines' shares to the pool whose job they answer, and the
//! production journal, which is all that the fleet's oracle sees.
//!
//! It never credits work that a pool has not acknowledged, never sends a job that no pool gave, never drops a machine
//! in order to move it, and never lets a machine choose its pool. It holds no coins and no keys but pool passwords.
//!
//! Crashes: credits reach the journal within 500 ms of the pool's acknowledgement and before any record of a later
//! epoch. `kill -9` loses at most those 500 ms, always to the fleet's disadvantage, and can count nothing twice: a
//! credit is in memory or in one record, never in both. After a crash, a `Started` record says that every connection
//! before it has ended.
//!
//! Modules, in reading order: [`config`], [`market`] and [`decision`] (pure), [`stratum`] (pure), [`feeds`],
//! [`upstream`], [`downstream`], [`proxy`] (the tables and the switch), [`credit`], [`totals`], [`journal`], [`http`].

pub mod config;
pub mod credit;
pub mod decision;
pub mod downstream;
pub mod feeds;
pub mod http;
pub mod journal;
pub mod lines;
pub mod market;
pub mod outbox;
pub mod proxy;
pub mod stratum;
pub mod totals;
pub mod upstream;

use std::{net::SocketAddr, sync::Arc};

use clock::{Clock, ClockError, first_blocks};
use domain::EPOCH_SECONDS;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, ConfigError},
    journal::JournalError,
    proxy::Proxy,
};

/// Why the engine cannot run, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Chain time cannot be read.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A pool's password cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address}: {why}; is another engine running?")]
    Listen {
        /// The key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's words.
        why: std::io::Error,
    },
    /// A part of the engine ended by a fault of its own.
    #[error("a part of the engine ended: {0}")]
    Fault(String),
}

/// Addresses that were bound.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Stratum, for machines.
    pub stratum: SocketAddr,
    /// Status, journal, metrics.
    pub http: SocketAddr,
}

/// Runs the engine until `stop`; `ready` is called once it listens.
///
/// # Errors
/// When it cannot start, or when the journal cannot be written any more.
pub async fn run(
    config: Config,
    stop: CancellationToken,
    ready: impl FnOnce(Addresses),
) -> Result<(), RunError> {
    let config = Arc::new(config);
    let clock = Clock::start(&config.clock).await?;
    let journal = journal::Journal::open(&config.journal)?;
    let view = journal.view();
    let listen = |key, address| move |why| RunError::Listen { key, address, why };

    let (miner_events, miners) = mpsc::channel(4096);
    let downstream = downstream::Downstream::bind(config.listen, miner_events);
    let downstream = downstream.map_err(listen("listen", config.listen))?;
    let web = TcpListener::bind(config.http).await.map_err(listen("http", config.http))?;
    let addresses = Addresses {
        stratum: downstream.address().map_err(listen("listen", config.listen))?,
        http: web.local_addr().map_err(listen("http", config.http))?,
    };

    let mut tasks = JoinSet::new(); // dropped, and so ended, with this function
    let (venue_events, venues) = mpsc::channel(4096);
    for (venue, settings) in config.venues.iter().enumerate() {
        let (events, needed) = (venue_events.clone(), config.extranonce.needed());
        let password = settings.password()?;
        tasks.spawn(
            upstream::Upstream { venue, config: settings.clone(), password, needed, events }.keep(),
        );
    }
    let (questions, asked) = mpsc::channel(64);
    let sources = http::Sources { questions, journal: view.clone() };
    let served = tokio::spawn(http::serve(web, sources, stop.clone()));
    let (entries, written) = mpsc::channel(4096);
    let writer = tokio::task::spawn_blocking(move || journal.run(written));
    let malformed = downstream.malformed();
    tasks.spawn(downstream.accept());
    let feeds = feeds::Feeds::start(&config, &stop);
    let followed = config.proof.as_ref();
    let first_blocks =
        followed.map(|proof| first_blocks(proof.evm_url.clone(), EPOCH_SECONDS, proof.poll_ms));
    ready(addresses);

    let inputs = proxy::Inputs {
        clock,
        feeds,
        venues,
        miners,
        first_blocks,
        questions: asked,
        journal: entries,
        view,
        malformed,
    };
    let proxied = Proxy::run(config, inputs, stop.clone()).await;
    stop.cancel();
    drop(tasks);
    writer.await.map_err(|error| RunError::Fault(error.to_string()))??;
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), served).await;
    proxied.map_err(|error| RunError::Fault(error.to_string()))
}
