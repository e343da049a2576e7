//! Chain to database to REST: what everybody else reads.
//!
//! What flows in: the canonical blocks and logs of our contracts, and orders that makers signed. What flows out: an
//! HTTP API in which every answer names the block it is of, and the built web app. Each applied block is stored with
//! its exact inverse, so a reorg, however deep and whether we were up or not, leaves what a fresh index would hold.
//!
//! It never sends a transaction, holds a key, or decides a payout: settlement checks its own snapshot on chain.

mod api;
mod config;
mod derive;
mod error;
mod ingest;
mod progress;
mod store;

pub use config::Config;
pub use error::Error;

use std::{future::Future, sync::Arc, time::Duration};

use evm::Deployment;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{api::App, ingest::Ingest, progress::Progress, store::Store};

/// Runs the service until `stop` resolves. `ready` is called once with the URL that it serves.
///
/// # Errors
/// When the configuration, the database, the chain or the port is not what it must be at the start. Later trouble is
/// logged, shown in `/health/ready`, and survived.
pub async fn run(
    config: Config,
    ready: impl FnOnce(&str),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let deployment = Deployment::read(&config.deployment)?;
    let provider = evm::connect(&config.rpc_url)?;
    deployment.check_chain(&provider).await?;
    let store = Store::open(&config.database).await?;
    store.belongs_to(&serde_json::to_string(&deployment)?).await?;
    let progress = Arc::new(Progress::default());
    let http_error = |why| Error::Http { listen: config.listen.to_string(), why };
    let listener = TcpListener::bind(config.listen).await.map_err(http_error)?;
    let address = listener.local_addr().map_err(http_error)?;

    let stopping = CancellationToken::new();
    let ingest = Ingest {
        store: store.clone(),
        provider: provider.clone(),
        deployment: deployment.clone(),
        progress: Arc::clone(&progress),
        poll: Duration::from_millis(config.poll_ms.max(10)),
        reorg_depth: config.reorg_depth,
    };
    let ingesting = tokio::spawn(ingest.run(stopping.clone()));
    let app = Arc::new(App {
        store: store.clone(),
        provider,
        deployment,
        progress,
        network: config.bitcoin_network,
        fleet_url: config.fleet_url.clone(),
        conversion_url: config.conversion_url.clone(),
        http: reqwest::Client::new(),
    });
    let router = api::router(app, config.web_dir.clone());
    ready(&format!("http://{address}"));
    let stopped = async move {
        stop.await;
        stopping.cancel();
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await.map_err(http_error)?;
    // The task ends between two transactions, or inside one that is then rolled back.
    let _ = ingesting.await;
    store.close().await;
    Ok(())
}
