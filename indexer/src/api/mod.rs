//! The REST API: thin handlers, one file per area. Every answer is of one block and names it; integers are decimal
//! strings; errors are RFC 9457 problems with a `code` and a `fix`.

mod accounts;
mod addresses;
mod chain;
mod court;
mod epochs;
mod headers;
mod health;
mod orders;
mod pool;
mod problem;
mod reports;
mod series;
mod services;
mod status;
mod trades;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use evm::{BlockRef, Deployment, DynProvider};
use serde::{Serialize, Serializer};
use sqlx::{Sqlite, Transaction};
use tower_http::services::{ServeDir, ServeFile};

use crate::{progress::Progress, store, store::Store};
use problem::Problem;

/// Largest request body: an order with its signature is below 2 kB.
const BODY_BYTES: usize = 16 * 1024;

/// What handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) provider: DynProvider,
    pub(crate) deployment: Deployment,
    pub(crate) progress: Arc<Progress>,
    pub(crate) network: bitcoin::Network,
    pub(crate) fleet_url: Option<String>,
    pub(crate) conversion_url: Option<String>,
    pub(crate) http: reqwest::Client,
}

#[cfg(test)]
pub(crate) use series::held_in;

type Shared = axum::extract::State<Arc<App>>;
type Answer<T> = Result<Json<Reply<T>>, Problem>;

/// The API, and the web app under every other path.
pub(crate) fn router(app: Arc<App>, web_dir: Option<PathBuf>) -> Router {
    let api = Router::new()
        .route("/v1/status", get(status::status))
        .route("/v1/series", get(series::list))
        .route("/v1/series/{id}/holders", get(series::holders))
        .route("/v1/series/{id}/balance-seconds/{epoch}", get(series::balance_seconds))
        .route("/v1/accounts/{address}", get(accounts::account))
        .route("/v1/orders", get(orders::book::by_query).post(orders::post))
        .route("/v1/book/{series}", get(orders::book::by_path))
        .route("/v1/trades", get(trades::list))
        .route("/v1/pool/{series}", get(pool::pool))
        .route("/v1/reports", get(reports::list))
        .route("/v1/epochs", get(epochs::list))
        .route("/v1/epochs/{epoch}", get(epochs::one))
        .route("/v1/court", get(court::court))
        .route("/v1/fleet", get(services::fleet))
        .route("/v1/conversion", get(services::conversion))
        .route("/v1/addresses/check", post(addresses::check))
        .route("/v1/{*rest}", get(problem::no_such_path).post(problem::no_such_path))
        .route("/deployment.json", get(status::deployment))
        .route("/health", get(health::live))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(app);
    let site = match web_dir {
        Some(dir) => {
            let index = ServeFile::new(dir.join("index.html"));
            api.fallback_service(ServeDir::new(dir).fallback(index))
        }
        None => api.fallback(problem::no_such_path),
    };
    site.layer(middleware::map_response(headers::secure))
}

/// An answer and the block it is of.
#[derive(Debug, Serialize)]
pub(crate) struct Reply<T> {
    block: BlockView,
    #[serde(flatten)]
    body: T,
}

#[derive(Debug, Serialize)]
struct BlockView {
    number: Dec,
    hash: String,
    timestamp: Dec,
}

/// An integer of at most 63 bits, a decimal string in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
struct Dec(i64);

impl Serialize for Dec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl From<u64> for Dec {
    fn from(value: u64) -> Self {
        Self(store::writer::signed(value))
    }
}

/// A read of the database in which nothing moves, and the block it is of.
struct Snapshot<'a> {
    db: Transaction<'a, Sqlite>,
    tip: BlockRef,
}

impl App {
    async fn snapshot(&self) -> Result<Snapshot<'_>, Problem> {
        let mut db = self.store.read().await?;
        let tip = store::tip(&mut db).await?.ok_or_else(Problem::nothing_indexed)?;
        Ok(Snapshot { db, tip })
    }
}

impl Snapshot<'_> {
    fn reply<T: Serialize>(&self, body: T) -> Answer<T> {
        let block = BlockView {
            number: self.tip.number.into(),
            hash: format!("{:#x}", self.tip.hash),
            timestamp: self.tip.timestamp.into(),
        };
        Ok(Json(Reply { block, body }))
    }
}
