//! Orders and trades: POST and GET /api/v3/order, /api/v3/myTrades, /api/v3/account.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
    http::HeaderMap,
};
use serde_json::{Value, json};

use super::{
    Exchange,
    auth::{ApiError, Params},
    book::{self, Level, Side, Want},
    config::{Scope, Symbol},
    http::Mode,
    state::{Books, Order, Trade},
};
use crate::{
    amount::{ONE, mul_div_ceil, mul_div_floor, show},
    process::lock,
};

type Answer = Result<Json<Value>, ApiError>;

/// What a customer asked for, checked against the market's filters.
struct Request {
    symbol: String,
    side: Side,
    limit: Option<u64>,
    want: Want,
    client_id: String,
    response: String,
}

fn filter(name: &str) -> ApiError {
    ApiError::bad(-1013, format!("Filter failure: {name}"))
}

fn read_request(params: &Params, symbol: &Symbol, seed: u64) -> Result<Request, ApiError> {
    let side = match params.need("side")? {
        "BUY" => Side::Buy,
        "SELL" => Side::Sell,
        _ => return Err(ApiError::bad(-1117, "Invalid side.")),
    };
    let quantity = params.units("quantity")?;
    let (limit, want) = match (params.need("type")?, quantity) {
        ("MARKET", Some(base)) => (None, Want::Base(base)),
        ("MARKET", None) => {
            let quote = params.units("quoteOrderQty")?;
            (None, Want::Quote(quote.ok_or_else(|| missing("quantity"))?))
        }
        ("LIMIT", quantity) => {
            if params.need("timeInForce")? != "IOC" {
                return Err(ApiError::bad(-1115, "Invalid timeInForce."));
            }
            let base = quantity.ok_or_else(|| missing("quantity"))?;
            let price = params.units("price")?.ok_or_else(|| missing("price"))?;
            if price % symbol.tick != 0 {
                return Err(filter("PRICE_FILTER"));
            }
            (Some(price), Want::Base(base))
        }
        _ => return Err(ApiError::bad(-1116, "Invalid orderType.")),
    };
    if matches!(want, Want::Base(base) if base % symbol.lot != 0) {
        return Err(filter("LOT_SIZE"));
    }
    let client_id = match params.get("newClientOrderId") {
        None => format!("sim{seed}"),
        Some(id) => {
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if id.len() > 36 || !id.chars().all(legal) {
                let msg = "Illegal characters found in parameter 'newClientOrderId'; \
                           legal range is '^[a-zA-Z0-9-_]{1,36}$'.";
                return Err(ApiError::bad(-1100, msg));
            }
            id.into()
        }
    };
    let response = params.get("newOrderRespType").unwrap_or("FULL").into();
    let symbol = params.need("symbol")?.into();
    Ok(Request { symbol, side, limit, want, client_id, response })
}

fn missing(name: &str) -> ApiError {
    let msg = format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed.");
    ApiError::bad(-1102, msg)
}

/// POST /api/v3/order.
pub(crate) async fn place(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: String,
) -> Answer {
    let (params, account) = exchange.signed(&headers, query.as_deref(), &body, Scope::Trade)?;
    let name = params.need("symbol")?;
    let now = exchange.now();
    let mut market = lock(&exchange.market);
    let symbol = market.symbols.get(name).cloned();
    let symbol = symbol.ok_or_else(|| ApiError::bad(-1121, "Invalid symbol."))?;
    let request = read_request(&params, &symbol, exchange.read(|books| books.last_id + 1))?;
    let side = request.side;
    let levels = market.levels(name, side, now).unwrap_or_default();
    let best = levels.first().map_or(0, |(price, _)| request.limit.unwrap_or(*price));
    let notional = match request.want {
        Want::Base(base) => mul_div_floor(best, base, ONE),
        Want::Quote(quote) => quote,
    };
    if notional < symbol.min_notional {
        return Err(filter("NOTIONAL"));
    }
    let mut want = request.want;
    if *exchange.mode.borrow() == Mode::PartialFill {
        want = match want {
            Want::Base(base) => Want::Base((base / 2).max(symbol.lot)),
            Want::Quote(quote) => Want::Quote(quote / 2),
        };
    }
    let fills = book::fill(&levels, side, want, request.limit, symbol.lot);
    let time = exchange.server_ms();
    let fee_bp = exchange.cfg.taker_fee_bp;
    let (order, trades) = exchange
        .change(|books| settle(books, &request, &symbol, &account, &fills, (time, fee_bp)))?;
    market.take(name, side, now, order.executed);
    Ok(Json(placed(&order, &trades, &request.response)))
}

/// Books an order and its fills, or refuses it whole.
fn settle(
    books: &mut Books,
    request: &Request,
    symbol: &Symbol,
    account: &str,
    fills: &[Level],
    (time, fee_bp): (u64, u64),
) -> Result<(Order, Vec<Trade>), ApiError> {
    let buying = request.side == Side::Buy;
    let (spent_asset, got_asset) = match buying {
        true => (&symbol.quote_asset, &symbol.base_asset),
        false => (&symbol.base_asset, &symbol.quote_asset),
    };
    let order_id = books.new_id();
    let mut trades = Vec::new();
    let (mut executed, mut quote) = (0, 0);
    for &(price, quantity) in fills {
        // Exact: tick x lot is a multiple of 1e-8.
        let value = mul_div_floor(price, quantity, ONE);
        let (spent, got) = if buying { (value, quantity) } else { (quantity, value) };
        let commission = mul_div_ceil(got, fee_bp, 10_000);
        if !books.debit(account, spent_asset, spent) {
            let msg = "Account has insufficient balance for requested action.";
            return Err(ApiError::bad(-2010, msg));
        }
        books.credit(account, got_asset, got - commission);
        executed += quantity;
        quote += value;
        trades.push(Trade {
            id: books.new_id(),
            order_id,
            account: account.into(),
            symbol: request.symbol.clone(),
            price,
            quantity,
            quote: value,
            commission,
            commission_asset: got_asset.clone(),
            is_buyer: buying,
            time,
        });
    }
    let (quantity, quote_quantity, whole) = match request.want {
        Want::Base(base) => (base, 0, executed == base),
        // The rest of a quote order is less than a lot, or the book ran out.
        Want::Quote(total) => (executed, total, {
            let last = fills.last().map_or(u64::MAX, |(price, _)| *price);
            total - quote < mul_div_ceil(last, symbol.lot, ONE)
        }),
    };
    let order = Order {
        id: order_id,
        client_id: request.client_id.clone(),
        account: account.into(),
        symbol: request.symbol.clone(),
        side: if buying { "BUY" } else { "SELL" }.into(),
        kind: if request.limit.is_some() { "LIMIT" } else { "MARKET" }.into(),
        time_in_force: if request.limit.is_some() { "IOC" } else { "GTC" }.into(),
        price: request.limit.unwrap_or(0),
        quantity,
        quote_quantity,
        executed,
        quote,
        status: if whole && executed > 0 { "FILLED" } else { "EXPIRED" }.into(),
        time,
    };
    books.orders.push(order.clone());
    books.trades.extend(trades.iter().cloned());
    Ok((order, trades))
}

fn placed(order: &Order, trades: &[Trade], response: &str) -> Value {
    let mut reply = json!({
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": order.time,
    });
    if response != "ACK"
        && let (Some(to), Value::Object(from)) = (reply.as_object_mut(), details(order))
    {
        to.extend(from);
    }
    if response == "FULL" {
        let fills: Vec<Value> = trades
            .iter()
            .map(|trade| {
                json!({
                    "price": show(trade.price),
                    "qty": show(trade.quantity),
                    "commission": show(trade.commission),
                    "commissionAsset": trade.commission_asset,
                    "tradeId": trade.id,
                })
            })
            .collect();
        if let Some(to) = reply.as_object_mut() {
            to.insert("fills".into(), Value::Array(fills));
        }
    }
    reply
}

fn details(order: &Order) -> Value {
    json!({
        "price": show(order.price),
        "origQty": show(order.quantity),
        "executedQty": show(order.executed),
        "origQuoteOrderQty": show(order.quote_quantity),
        "cummulativeQuoteQty": show(order.quote),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.kind,
        "side": order.side,
        "workingTime": order.time,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    })
}

/// GET /api/v3/order by `origClientOrderId` (the newest of that name) or `orderId`.
pub(crate) async fn query(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let (params, account) = exchange.signed(&headers, query.as_deref(), "", Scope::Read)?;
    let symbol = params.need("symbol")?;
    let (client_id, id) = (params.get("origClientOrderId"), params.number("orderId")?);
    if client_id.is_none() && id.is_none() {
        let msg = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!";
        return Err(ApiError::bad(-1128, msg));
    }
    let found = exchange.read(|books| {
        let mine = |order: &&Order| {
            order.account == account
                && order.symbol == symbol
                && id.is_none_or(|id| id == order.id)
                && client_id.is_none_or(|id| id == order.client_id)
        };
        books.orders.iter().rev().find(mine).cloned()
    });
    let order = found.ok_or_else(|| ApiError::bad(-2013, "Order does not exist."))?;
    let mut reply = json!({
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": order.time,
        "updateTime": order.time,
        "isWorking": true,
    });
    if let (Some(to), Value::Object(from)) = (reply.as_object_mut(), details(&order)) {
        to.extend(from);
    }
    Ok(Json(reply))
}

/// GET /api/v3/myTrades, oldest first; `orderId`, `fromId`, `startTime`, `endTime`, `limit`.
pub(crate) async fn trades(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let (params, account) = exchange.signed(&headers, query.as_deref(), "", Scope::Read)?;
    let symbol = params.need("symbol")?;
    let (order, from) = (params.number("orderId")?, params.number("fromId")?);
    let start = params.number("startTime")?.unwrap_or(0);
    let end = params.number("endTime")?.unwrap_or(u64::MAX);
    let limit = usize::try_from(params.number("limit")?.unwrap_or(500).min(1000)).unwrap_or(500);
    let rows = exchange.read(|books| {
        let mine = books.trades.iter().filter(|trade| {
            trade.account == account
                && trade.symbol == symbol
                && order.is_none_or(|id| id == trade.order_id)
                && from.is_none_or(|id| trade.id >= id)
                && (start..=end).contains(&trade.time)
        });
        mine.take(limit).map(trade_json).collect()
    });
    Ok(Json(Value::Array(rows)))
}

fn trade_json(trade: &Trade) -> Value {
    json!({
        "symbol": trade.symbol,
        "id": trade.id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": show(trade.price),
        "qty": show(trade.quantity),
        "quoteQty": show(trade.quote),
        "commission": show(trade.commission),
        "commissionAsset": trade.commission_asset,
        "time": trade.time,
        "isBuyer": trade.is_buyer,
        "isMaker": false,
        "isBestMatch": true,
    })
}

/// GET /api/v3/account.
pub(crate) async fn account(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let (_, account) = exchange.signed(&headers, query.as_deref(), "", Scope::Read)?;
    let balances: Vec<Value> = exchange.read(|books| {
        let customer = books.accounts.get(&account).cloned().unwrap_or_default();
        let rows = customer.balances.iter().map(
            |(asset, units)| json!({"asset": asset, "free": show(*units), "locked": "0.00000000"}),
        );
        rows.collect()
    });
    let rate = format!("0.{:04}0000", exchange.cfg.taker_fee_bp);
    Ok(Json(json!({
        "makerCommission": exchange.cfg.taker_fee_bp,
        "takerCommission": exchange.cfg.taker_fee_bp,
        "commissionRates": {"maker": rate, "taker": rate},
        "canTrade": true,
        "canWithdraw": true,
        "canDeposit": true,
        "updateTime": exchange.server_ms(),
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
    })))
}
