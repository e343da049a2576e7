//! Public endpoints: time, tickers and depth in Binance's shape, tickers in Kraken's and
//! Coinbase's, and a hardware-price index.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use super::{
    Exchange,
    auth::{ApiError, Params},
    book::{Level, Side},
    scenario::show_18,
    withdraw::utc,
};
use crate::{amount::show, process::lock};

type Answer = Result<Json<Value>, ApiError>;
type Plain = (StatusCode, Json<Value>);

/// GET /api/v3/time.
pub(crate) async fn time(State(exchange): State<Arc<Exchange>>) -> Json<Value> {
    Json(json!({"serverTime": exchange.server_ms()}))
}

fn sides(exchange: &Exchange, symbol: &str) -> Option<(Vec<Level>, Vec<Level>)> {
    let market = lock(&exchange.market);
    let now = exchange.now();
    Some((market.levels(symbol, Side::Sell, now)?, market.levels(symbol, Side::Buy, now)?))
}

fn best(levels: &[Level]) -> Level {
    levels.first().copied().unwrap_or_default()
}

/// GET /api/v3/ticker/bookTicker; without `symbol` an array of all.
pub(crate) async fn book_ticker(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
) -> Answer {
    let params = Params::decode(&[query.as_deref().unwrap_or_default()]);
    let one = |symbol: &str| {
        let (bids, asks) = sides(&exchange, symbol)?;
        let ((bid, bid_size), (ask, ask_size)) = (best(&bids), best(&asks));
        Some(json!({
            "symbol": symbol,
            "bidPrice": show(bid),
            "bidQty": show(bid_size),
            "askPrice": show(ask),
            "askQty": show(ask_size),
        }))
    };
    if let Some(symbol) = params.get("symbol") {
        return one(symbol).map(Json).ok_or_else(|| ApiError::bad(-1121, "Invalid symbol."));
    }
    let all: Vec<Value> = exchange.cfg.symbols.keys().filter_map(|name| one(name)).collect();
    Ok(Json(Value::Array(all)))
}

/// GET /api/v3/depth.
pub(crate) async fn depth(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
) -> Answer {
    let params = Params::decode(&[query.as_deref().unwrap_or_default()]);
    let limit = usize::try_from(params.number("limit")?.unwrap_or(100)).unwrap_or(100);
    let sides = sides(&exchange, params.need("symbol")?);
    let (bids, asks) = sides.ok_or_else(|| ApiError::bad(-1121, "Invalid symbol."))?;
    let list = |levels: Vec<Level>| -> Vec<Value> {
        levels.iter().take(limit).map(|(p, q)| json!([show(*p), show(*q)])).collect()
    };
    Ok(Json(json!({"lastUpdateId": exchange.now(), "bids": list(bids), "asks": list(asks)})))
}

/// GET /api/v3/exchangeInfo.
pub(crate) async fn info(State(exchange): State<Arc<Exchange>>) -> Json<Value> {
    let symbols: Vec<Value> = exchange
        .cfg
        .symbols
        .iter()
        .map(|(name, symbol)| {
            json!({
                "symbol": name,
                "status": "TRADING",
                "baseAsset": symbol.base_asset,
                "baseAssetPrecision": 8,
                "quoteAsset": symbol.quote_asset,
                "quoteAssetPrecision": 8,
                "orderTypes": ["LIMIT", "MARKET"],
                "quoteOrderQtyMarketAllowed": true,
                "isSpotTradingAllowed": true,
                "filters": [
                    {"filterType": "PRICE_FILTER", "minPrice": show(symbol.tick),
                     "maxPrice": show(u64::MAX / 2), "tickSize": show(symbol.tick)},
                    {"filterType": "LOT_SIZE", "minQty": show(symbol.lot),
                     "maxQty": show(u64::MAX / 2), "stepSize": show(symbol.lot)},
                    {"filterType": "NOTIONAL", "minNotional": show(symbol.min_notional),
                     "applyMinToMarket": true},
                ],
            })
        })
        .collect();
    let ms = exchange.server_ms();
    Json(json!({"timezone": "UTC", "serverTime": ms, "rateLimits": [], "symbols": symbols}))
}

/// Prices of BTC/USDC elsewhere: ours, moved by an offset.
fn elsewhere(exchange: &Exchange, offset_bp: i64) -> Option<(u64, u64, u64)> {
    let (bids, asks) = sides(exchange, "BTCUSDC")?;
    let moved = |price: u64| {
        let moved = i128::from(price) * (10_000 + i128::from(offset_bp)) / 10_000;
        let moved = u64::try_from(moved.max(1)).unwrap_or(u64::MAX);
        moved - moved % 1_000_000 // cents
    };
    let (bid, ask) = (moved(best(&bids).0), moved(best(&asks).0));
    Some((bid, ask, (bid + ask) / 2))
}

/// GET /kraken/0/public/Ticker?pair=XBTUSDC.
pub(crate) async fn kraken(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
) -> Json<Value> {
    let params = Params::decode(&[query.as_deref().unwrap_or_default()]);
    let prices = elsewhere(&exchange, exchange.cfg.kraken_offset_bp);
    let (Some("XBTUSDC"), Some((bid, ask, last))) = (params.get("pair"), prices) else {
        return Json(json!({"error": ["EQuery:Unknown asset pair"]}));
    };
    let show = |price: u64| format!("{}.{:05}", price / 100_000_000, price % 100_000_000 / 1000);
    let (bid, ask, last) = (show(bid), show(ask), show(last));
    Json(json!({"error": [], "result": {"XBTUSDC": {
        "a": [ask, "1", "1.000"],
        "b": [bid, "1", "1.000"],
        "c": [last, "0.00100000"],
        "v": ["12.34567890", "23.45678901"],
        "p": [last, last],
        "t": [1200, 2400],
        "l": [bid, bid],
        "h": [ask, ask],
        "o": last,
    }}}))
}

/// GET /coinbase/products/{product}/ticker.
pub(crate) async fn coinbase(
    State(exchange): State<Arc<Exchange>>,
    Path(product): Path<String>,
) -> Result<Json<Value>, Plain> {
    let prices = elsewhere(&exchange, exchange.cfg.coinbase_offset_bp);
    let (true, Some((bid, ask, last))) = (product == "BTC-USDC", prices) else {
        return Err((StatusCode::NOT_FOUND, Json(json!({"message": "NotFound"}))));
    };
    let show =
        |price: u64| format!("{}.{:02}", price / 100_000_000, price % 100_000_000 / 1_000_000);
    let (now, ms) = (exchange.now(), 0);
    Ok(Json(json!({
        "ask": show(ask),
        "bid": show(bid),
        "volume": "2345.67890123",
        "trade_id": now,
        "price": show(last),
        "size": "0.00123456",
        "time": format!("{}.{ms:06}Z", utc(now).replace(' ', "T")),
        "rfq_volume": "0.000000",
    })))
}

/// GET /hardware/v1/prices?algorithm=sha256.
pub(crate) async fn hardware(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Plain> {
    let params = Params::decode(&[query.as_deref().unwrap_or_default()]);
    let algorithm = params.get("algorithm").unwrap_or_default();
    let now = exchange.now();
    let price = lock(&exchange.market).hardware(algorithm, now);
    let refused = || (StatusCode::NOT_FOUND, Json(json!({"error": "no such algorithm"})));
    let price = price.ok_or_else(refused)?;
    Ok(Json(json!({
        "algorithm": algorithm,
        "unit": "H/s",
        "currency": "USDC",
        "price": show_18(price),
        "observed_at": now,
    })))
}
