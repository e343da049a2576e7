//! Feeds: what pools say they pay and what exchanges bid, read over HTTP and kept with the instant of reading.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::Coin;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    market::{Reading, price_sats_floor},
};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The latest readings. Cheap to clone; one writer per feed.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    readings: Arc<Mutex<HashMap<Source, (u64, Instant)>>>,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    /// The terms of the venue of that index.
    Terms(usize),
    /// The price of a coin.
    Price(Coin),
}

#[derive(Deserialize)]
struct Statement {
    coin: Coin,
    #[serde(with = "domain::decimal")]
    pps_sats_per_mhash: u64,
}

#[derive(Deserialize)]
struct Ticker {
    #[serde(rename = "bidPrice")]
    bid_price: String,
}

impl Feeds {
    /// Starts a reader per feed; they stop with `stop`.
    #[must_use]
    pub fn start(config: &Config, stop: &CancellationToken) -> Self {
        let feeds = Self::default();
        let client = reqwest::Client::new();
        let every = Duration::from_millis(config.decide_interval_ms);
        let spawn = |source: Source, url: String, expected: Option<Coin>| {
            let (feeds, client, stop) = (feeds.clone(), client.clone(), stop.clone());
            tokio::spawn(async move {
                stop.run_until_cancelled(feeds.follow(client, source, url, expected, every)).await
            });
        };
        for (index, venue) in config.venues.iter().enumerate() {
            let url = format!("{}/api/v1/pool", venue.statement_url.trim_end_matches('/'));
            spawn(Source::Terms(index), url, Some(venue.coin));
        }
        for feed in &config.prices {
            spawn(Source::Price(feed.coin), feed.url.clone(), None);
        }
        feeds
    }

    /// Coin sats per 10^6 hashes on a venue.
    #[must_use]
    pub fn terms(&self, venue: usize) -> Option<Reading> {
        self.reading(&Source::Terms(venue))
    }

    /// BTC sats per coin, best bid.
    #[must_use]
    pub fn price(&self, coin: Coin) -> Option<Reading> {
        self.reading(&Source::Price(coin))
    }

    fn reading(&self, source: &Source) -> Option<Reading> {
        let readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, at) = readings.get(source)?;
        Some(Reading { value: *value, age_seconds: at.elapsed().as_secs() })
    }

    async fn follow(
        &self,
        client: reqwest::Client,
        source: Source,
        url: String,
        expected: Option<Coin>,
        every: Duration,
    ) {
        let mut failing = false;
        loop {
            let asked = Instant::now(); // the age counts from the question, not from a late answer
            match read(&client, &url, expected).await {
                Ok(value) => {
                    failing = false;
                    let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
                    readings.insert(source.clone(), (value, asked));
                }
                Err(why) if !failing => {
                    failing = true;
                    tracing::warn!(url, why, "a feed gives no reading; its last one ages");
                }
                Err(_) => {}
            }
            tokio::time::sleep(every.saturating_sub(asked.elapsed())).await;
        }
    }
}

/// One reading: terms of a pool that pays `expected`, else a price.
async fn read(client: &reqwest::Client, url: &str, expected: Option<Coin>) -> Result<u64, String> {
    let reply = client.get(url).timeout(TIMEOUT).send().await.map_err(|error| error.to_string())?;
    let reply = reply.error_for_status().map_err(|error| error.to_string())?;
    let Some(expected) = expected else {
        let ticker: Ticker = reply.json().await.map_err(|error| error.to_string())?;
        return price_sats_floor(&ticker.bid_price);
    };
    let statement: Statement = reply.json().await.map_err(|error| error.to_string())?;
    if statement.coin != expected {
        return Err(format!("the pool pays {}, not {expected}: fix venues.coin", statement.coin));
    }
    Ok(statement.pps_sats_per_mhash)
}
