//! The converter against a venue that loses replies, executes late, refuses and stalls, while the converter itself is
//! killed at random instants. Whatever happens: coin in = coin sold + free, gross − fees = withdrawn + free.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test may panic; helpers are tests too"
)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, Method, StatusCode, Uri},
};
use clock::Clock;
use conversion::{
    amount::show,
    binance::{Binance, Settings},
    book::{Book, Rules, SaleRule},
    converter::Converter,
    journal::Journal,
    signature::Credentials,
};
use domain::{Coin, Fill};
use serde_json::{Value, json};

const WINDOW: Duration = Duration::from_millis(60);

#[derive(Default)]
struct Books {
    random: u64,
    calm: bool,
    bch: u64,
    btc: u64,
    deposited: u64,
    sold: u64,
    gross: u64,
    fees: u64,
    withdrawn: u64,
    /// Client id → (order id, sold, gross, fee, looks until it is closed).
    orders: HashMap<String, (u64, u64, u64, u64, u8)>,
    withdrawals: HashMap<String, (u64, String, u8)>,
    executions: HashMap<String, u32>,
    addresses: Vec<String>,
}

type World = Arc<Mutex<Books>>;

impl Books {
    fn dice(&mut self, sides: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % sides
    }

    /// A market order, filled wholly or (one in four) only by half, then expired.
    fn sell(&mut self, id: &str, quantity: u64) -> Result<(), (i64, &'static str)> {
        if quantity > self.bch {
            return Err((-2010, "Account has insufficient balance for requested action."));
        }
        let amount = if self.dice(4) == 0 { quantity / 2 } else { quantity };
        let gross = amount / 200;
        let fee = gross.div_ceil(1000);
        self.bch -= amount;
        self.btc += gross - fee;
        self.sold += amount;
        self.gross += gross;
        self.fees += fee;
        let number = u64::try_from(self.orders.len()).unwrap() + 1;
        let looks = u8::try_from(self.dice(3)).unwrap();
        self.orders.insert(id.into(), (number, amount, gross, fee, looks));
        *self.executions.entry(id.into()).or_default() += 1;
        Ok(())
    }

    fn withdraw(
        &mut self,
        id: &str,
        address: &str,
        amount: u64,
    ) -> Result<(), (i64, &'static str)> {
        if amount > self.btc {
            return Err((-4026, "insufficient balance"));
        }
        self.addresses.push(address.into());
        *self.executions.entry(id.into()).or_default() += 1;
        let status = if self.dice(5) == 0 { 5 } else { 6 };
        if status == 6 {
            self.btc -= amount;
            self.withdrawn += amount;
        }
        self.withdrawals.insert(id.into(), (amount, format!("tx-{id}"), status));
        Ok(())
    }
}

fn refused(code: i64, msg: &str) -> (StatusCode, Json<Value>) {
    (StatusCode::BAD_REQUEST, Json(json!({ "code": code, "msg": msg })))
}

async fn venue(
    State(world): State<World>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> (StatusCode, Json<Value>) {
    let path = uri.path().to_owned();
    let signed = !matches!(path.as_str(), "/api/v3/time" | "/api/v3/ticker/bookTicker");
    if signed && (headers.get("x-mbx-apikey").unwrap() != "key" || query["signature"].len() != 64) {
        return refused(-2015, "Invalid API-key.");
    }
    let fault = {
        let mut books = world.lock().unwrap();
        if books.calm { 99 } else { books.dice(12) }
    };
    match fault {
        0 => return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"msg": "maintenance"}))),
        1 => {
            return (
                StatusCode::TOO_MANY_REQUESTS,
                Json(json!({"code": -1003, "msg": "slow down"})),
            );
        }
        2 if signed => {
            return refused(-1021, "Timestamp for this request is outside of the recvWindow.");
        }
        3 if method == Method::POST => {
            // Executed late: after the client was told that nothing is known, but within the request's lifetime.
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                tokio::time::sleep(WINDOW / 2).await;
                let _ = execute(&world, &method, &path, &query);
            });
            return (StatusCode::GATEWAY_TIMEOUT, Json(json!({"code": -1007, "msg": "Timeout"})));
        }
        _ => {}
    }
    let answer = execute(&world, &method, &path, &query);
    match fault {
        4 => (StatusCode::BAD_GATEWAY, Json(json!({"msg": "lost after execution"}))),
        5 => {
            tokio::time::sleep(WINDOW * 3).await; // the client has hung up by then
            answer
        }
        _ => answer,
    }
}

fn execute(
    world: &World,
    method: &Method,
    path: &str,
    query: &HashMap<String, String>,
) -> (StatusCode, Json<Value>) {
    let books = &mut *world.lock().unwrap();
    let units = |name: &str| conversion::amount::parse(&query[name]).unwrap();
    let ok = |value: Value| (StatusCode::OK, Json(value));
    match (method.as_str(), path) {
        (_, "/api/v3/time") => ok(json!({ "serverTime": 1_700_000_000_000_u64 })),
        (_, "/api/v3/ticker/bookTicker") => {
            ok(json!({ "symbol": "BCHBTC", "bidPrice": "0.00500000" }))
        }
        (_, "/api/v3/account") => ok(json!({ "balances": [
            { "asset": "BCH", "free": show(books.bch), "locked": "0.00000000" },
            { "asset": "BTC", "free": show(books.btc), "locked": "0.00000000" },
        ]})),
        (_, "/sapi/v1/capital/deposit/hisrec") => ok(json!([
            { "coin": "BCH", "status": 1, "txId": "d1", "amount": show(books.deposited) },
            { "coin": "BCH", "status": 0, "txId": "d2", "amount": "7" },
        ])),
        ("POST", "/api/v3/order") => {
            match books.sell(&query["newClientOrderId"], units("quantity")) {
                Ok(()) => ok(json!({})),
                Err((code, msg)) => refused(code, msg),
            }
        }
        ("GET", "/api/v3/order") => match books.orders.get_mut(&query["origClientOrderId"]) {
            None => refused(-2013, "Order does not exist."),
            Some((number, sold, gross, _, looks)) => {
                let status = if *looks > 0 { "PARTIALLY_FILLED" } else { "EXPIRED" };
                *looks = looks.saturating_sub(1);
                ok(
                    json!({ "orderId": number, "clientOrderId": query["origClientOrderId"], "status": status,
                    "executedQty": show(*sold), "cummulativeQuoteQty": show(*gross) }),
                )
            }
        },
        (_, "/api/v3/myTrades") => {
            let order =
                books.orders.values().find(|o| o.0.to_string() == query["orderId"]).unwrap();
            let (half, gross_half) = (order.1 / 3, order.2 / 3);
            ok(json!([
                { "orderId": order.0, "qty": show(half), "quoteQty": show(gross_half),
                  "commission": show(order.3), "commissionAsset": "BTC" },
                { "orderId": order.0, "qty": show(order.1 - half), "quoteQty": show(order.2 - gross_half),
                  "commission": "0", "commissionAsset": "BTC" },
            ]))
        }
        ("POST", "/sapi/v1/capital/withdraw/apply") => {
            match books.withdraw(&query["withdrawOrderId"], &query["address"], units("amount")) {
                Ok(()) => ok(json!({ "id": "server-made" })),
                Err((code, msg)) => refused(code, msg),
            }
        }
        (_, "/sapi/v1/capital/withdraw/history") => {
            let found = books.withdrawals.get(&query["withdrawOrderId"]);
            ok(found.map_or(json!([]), |(amount, txid, status)| {
                json!([{ "withdrawOrderId": query["withdrawOrderId"], "txId": txid, "status": status,
                         "amount": show(*amount), "transactionFee": "0.00000500" }])
            }))
        }
        other => panic!("unexpected {other:?}"),
    }
}

fn rules() -> Rules {
    Rules {
        sales: vec![SaleRule { coin: Coin::Bch, min_sale: 1_000_000, lot: 100_000 }],
        min_withdrawal: 50_000,
        withdrawal_floor: 1_000,
        withdraw_every: 100,
        treasury: "treasury".into(),
        id_prefix: "t".into(),
    }
}

async fn start(world: &World) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(venue).with_state(Arc::clone(world));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

fn converter(url: &str, path: &std::path::Path, time: &Arc<AtomicU64>) -> Converter<Binance> {
    let settings =
        Settings { url: url.into(), recv_window: WINDOW, timeout: WINDOW, network: None };
    let venue = Binance::new(settings, Credentials::new("key".into(), "secret".to_owned().into()));
    let (journal, fills) = Journal::open(path).unwrap();
    Converter::new(venue, Clock::fixed(Arc::clone(time)), rules(), journal, &fills).unwrap()
}

/// The journal and the venue's own books agree to the last unit.
fn check(world: &World, path: &std::path::Path) {
    let (_, fills) = Journal::open(path).unwrap();
    let book = Book::of(&fills).unwrap();
    let books = world.lock().unwrap();
    assert!(books.executions.values().all(|times| *times == 1), "an id was executed twice");
    assert!(books.addresses.iter().all(|address| address == "treasury"));
    assert_eq!(book.pending, None);
    assert_eq!(book.expected_coin(Coin::Bch), Some(books.bch));
    assert_eq!(book.sold.get(&Coin::Bch).copied().unwrap_or_default(), books.sold);
    assert_eq!((book.gross.0, book.trading_fees.0), (books.gross, books.fees));
    assert_eq!(book.withdrawn.0, books.withdrawn);
    assert_eq!(book.expected_btc(), Some(books.btc));
    let mut ids = std::collections::HashSet::new();
    for fill in &fills {
        if let Fill::SaleIntended { id, .. } | Fill::WithdrawalIntended { id, .. } = fill {
            assert!(ids.insert(id.clone()), "client id {id} was intended twice");
        }
    }
}

async fn scenario(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fills.jsonl");
    let world: World = Arc::new(Mutex::new(Books { random: seed, ..Books::default() }));
    let url = start(&world).await;
    let time = Arc::new(AtomicU64::new(1_000));
    for round in 0..12_u64 {
        {
            let mut books = world.lock().unwrap();
            let amount = 3_000_000 + books.dice(50_000_000);
            books.deposited += amount;
            books.bch += amount;
            books.calm = round == 11;
        }
        let mut converter = converter(&url, &path, &time);
        let life = if round == 11 { 2_000 } else { 20 + world.lock().unwrap().dice(250) };
        // Dropping the future mid-way is what SIGKILL leaves behind: the journal is written synchronously.
        let _ = tokio::time::timeout(Duration::from_millis(life), async {
            let mut idle = 0;
            while idle < 40 {
                match converter.step().await {
                    Ok(conversion::converter::Progress::Moved) => idle = 0,
                    _ => {
                        idle += 1;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                time.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        })
        .await;
    }
    check(&world, &path);
    let books = world.lock().unwrap();
    assert!(books.sold > 0 && books.withdrawn > 0, "the scenario did something");
    assert!(books.bch < 1_000_000, "everything sellable was sold in the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sold_or_withdrawn_twice_whatever_happens() {
    let runs = (1..=16_u64).map(|seed| tokio::spawn(scenario(seed * 7_919)));
    for run in runs.collect::<Vec<_>>() {
        run.await.unwrap();
    }
}
