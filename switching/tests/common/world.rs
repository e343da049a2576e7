//! Prices, pool terms and chain time over HTTP.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) pps: u64,
    pub(crate) bid: String,
    pub(crate) time: u64,
    /// Time and last hash byte of every block; the latest has the time above.
    pub(crate) blocks: Vec<(u64, u8)>,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) market: Arc<Mutex<Market>>,
    pub(crate) url: String,
}

impl World {
    /// BTC and BCH pay 100 sats each per 10^6 hashes; `bid` is BTC per BCH.
    pub(crate) async fn start(bid: &str) -> Self {
        let market = Arc::new(Mutex::new(Market {
            pps: 100,
            bid: bid.into(),
            time: 28_800 * 1_000,
            blocks: vec![(28_800 * 999, 1), (28_800 * 1_000 - 9, 2), (28_800 * 1_000, 3)],
        }));
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
        let node = axum::routing::post(
            |State(market): State<Arc<Mutex<Market>>>, Json(call): Json<Value>| async move {
                let result = answer(&market.lock().unwrap(), &call);
                Json(json!({"jsonrpc": "2.0", "id": 1, "result": result}))
            },
        );
        let app = Router::new()
            .route("/btc/api/v1/pool", pool("BTC"))
            .route("/bch/api/v1/pool", pool("BCH"))
            .route("/ticker", ticker)
            .route("/evm", node)
            .with_state(market.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { market, url }
    }

    /// The chain's next block.
    pub(crate) fn block(&self, time: u64, hash: u8) {
        let mut market = self.market.lock().unwrap();
        market.time = time;
        market.blocks.push((time, hash));
    }

    pub(crate) fn bid(&self, bid: &str) {
        self.market.lock().unwrap().bid = bid.into();
    }
}

/// What an EVM node says.
fn answer(market: &Market, call: &Value) -> Value {
    if call["method"] == "eth_chainId" {
        return json!("0x7a69");
    }
    let latest = market.blocks.len() - 1;
    let number = call["params"][0].as_str().unwrap().strip_prefix("0x");
    let number = number.map_or(latest, |hex| usize::from_str_radix(hex, 16).unwrap());
    let (time, hash) = market.blocks[number];
    let time = if number == latest { market.time } else { time };
    json!({"number": format!("{number:#x}"), "timestamp": format!("{time:#x}"), "hash": format!("0x{hash:064x}")})
}
