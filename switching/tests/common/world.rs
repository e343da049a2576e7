//! Prices, pool terms and chain time over HTTP.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::State, routing::get};
use serde_json::json;
use tokio::net::TcpListener;

#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) pps: u64,
    pub(crate) bid: String,
    pub(crate) time: u64,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) market: Arc<Mutex<Market>>,
    pub(crate) url: String,
}

impl World {
    /// BTC and BCH pay 100 sats each per 10^6 hashes; `bid` is BTC per BCH.
    pub(crate) async fn start(bid: &str) -> Self {
        let market =
            Arc::new(Mutex::new(Market { pps: 100, bid: bid.into(), time: 28_800 * 1_000 }));
        let pool = |coin: &'static str| {
            get(move |State(market): State<Arc<Mutex<Market>>>| async move {
                let pps = market.lock().unwrap().pps.to_string();
                Json(json!({"coin": coin, "pps_sats_per_mhash": pps, "fee_bp": "0"}))
            })
        };
        let ticker = get(|State(market): State<Arc<Mutex<Market>>>| async move {
            let bid = market.lock().unwrap().bid.clone();
            Json(
                json!({"symbol": "BCHBTC", "bidPrice": bid, "bidQty": "9", "askPrice": bid, "askQty": "9"}),
            )
        });
        let block = axum::routing::post(|State(market): State<Arc<Mutex<Market>>>| async move {
            let time = market.lock().unwrap().time;
            Json(json!({"jsonrpc": "2.0", "id": 1, "result": {"timestamp": format!("{time:#x}")}}))
        });
        let app = Router::new()
            .route("/btc/api/v1/pool", pool("BTC"))
            .route("/bch/api/v1/pool", pool("BCH"))
            .route("/ticker", ticker)
            .route("/evm", block)
            .with_state(market.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { market, url }
    }

    pub(crate) fn bid(&self, bid: &str) {
        self.market.lock().unwrap().bid = bid.into();
    }
}
