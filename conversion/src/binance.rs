//! The spot REST API that Binance publishes: five signed calls and two open ones. Our own client, so that nothing else
//! stands around the API secret.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use domain::{Coin, Sats};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    amount,
    signature::Credentials,
    venue::{Balance, Deposit, OrderState, Venue, VenueError, WithdrawalState},
};

/// "Order does not exist."
const NO_SUCH_ORDER: i64 = -2013;
/// Codes that say nothing about execution: unknown error, disconnected, unexpected response, timeout.
const SAY_NOTHING: [i64; 4] = [-1000, -1001, -1006, -1007];
/// Entries of one page of a history; more pages follow a full one.
const PAGE: usize = 1000;

/// Where the venue is and how patient we are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Root of the API, without a slash at its end.
    pub url: String,
    /// How old a signed request may be when it arrives.
    pub recv_window: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Name of the Bitcoin network in withdrawals, if the venue wants one.
    pub network: Option<String>,
}

/// A client of one account.
#[derive(Debug)]
pub struct Binance {
    settings: Settings,
    credentials: Credentials,
    http: reqwest::Client,
    /// The venue's time in milliseconds, and when we learnt it.
    time: Mutex<Option<(u64, Instant)>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerTime {
    server_time: u64,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    msg: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookTicker {
    bid_price: String,
}

#[derive(Deserialize)]
struct Account {
    balances: Vec<AssetBalance>,
}

#[derive(Deserialize)]
struct AssetBalance {
    asset: String,
    free: String,
    locked: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    order_id: u64,
    client_order_id: String,
    executed_qty: String,
    cummulative_quote_qty: String,
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trade {
    order_id: u64,
    qty: String,
    quote_qty: String,
    commission: String,
    commission_asset: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DepositRow {
    amount: String,
    coin: String,
    status: u8,
    tx_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithdrawalRow {
    withdraw_order_id: Option<String>,
    #[serde(default)]
    tx_id: Option<String>,
    transaction_fee: String,
    status: u8,
}

impl Binance {
    /// A client. Nothing is asked yet.
    #[must_use]
    pub fn new(settings: Settings, credentials: Credentials) -> Self {
        Self { settings, credentials, http: reqwest::Client::new(), time: Mutex::new(None) }
    }

    async fn open<T: DeserializeOwned>(&self, path: &str, query: &str) -> Result<T, VenueError> {
        let request = self.http.get(format!("{}{path}?{query}", self.settings.url));
        self.send(path, request).await
    }

    async fn signed<T: DeserializeOwned>(
        &self,
        method: reqwest::Method,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, VenueError> {
        let window = self.settings.recv_window.as_millis().to_string();
        let stamp = self.timestamp().await?.to_string();
        let mut query = String::new();
        let standard = [("recvWindow", window.as_str()), ("timestamp", stamp.as_str())];
        for (name, value) in parameters.iter().chain(&standard) {
            let separator = if query.is_empty() { "" } else { "&" };
            query.push_str(&format!("{separator}{name}={}", percent_encoded(value)));
        }
        let signature = self.credentials.sign(&query);
        let url = format!("{}{path}?{query}&signature={signature}", self.settings.url);
        let request = self.http.request(method, url).header("X-MBX-APIKEY", self.credentials.key());
        let answer = self.send(path, request).await;
        if matches!(answer, Err(VenueError::Refused { code: -1021, .. })) {
            self.forget_time();
        }
        answer
    }

    async fn send<T: DeserializeOwned>(
        &self,
        doing: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, VenueError> {
        let doubt = |why: String| VenueError::Doubt { doing: doing.into(), why };
        let answer = request.timeout(self.settings.timeout).send().await;
        // The URL carries the signature: it does not belong in messages.
        let answer = answer.map_err(|error| doubt(error.without_url().to_string()))?;
        let status = answer.status();
        let wait = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|text| text.parse().ok()).unwrap_or(30);
        let body = answer.text().await.map_err(|error| doubt(error.without_url().to_string()))?;
        match status.as_u16() {
            200..=299 => serde_json::from_str(&body)
                .map_err(|error| doubt(format!("unreadable answer: {error}"))),
            418 | 429 => {
                Err(VenueError::Limited { doing: doing.into(), wait: Duration::from_secs(wait) })
            }
            400..=499 => match serde_json::from_str::<Refusal>(&body) {
                Ok(Refusal { code, msg }) if !SAY_NOTHING.contains(&code) => {
                    Err(VenueError::Refused { doing: doing.into(), code, why: msg })
                }
                _ => Err(doubt(format!("status {status}"))),
            },
            _ => Err(doubt(format!("status {status}"))),
        }
    }

    async fn timestamp(&self) -> Result<u64, VenueError> {
        for _ in 0..2 {
            let known = self.time.lock().map_or(None, |time| *time);
            // Learnt anew after half a window: on a chain that runs fast, the venue's clock does too.
            let fresh = known.filter(|(_, when)| when.elapsed() < self.settings.recv_window / 2);
            if let Some((server, when)) = fresh {
                let passed = u64::try_from(when.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Ok(server.saturating_add(passed));
            }
            self.sync_time().await?;
        }
        Err(VenueError::Doubt { doing: "/api/v3/time".into(), why: "no time was learnt".into() })
    }

    fn forget_time(&self) {
        if let Ok(mut time) = self.time.lock() {
            *time = None;
        }
    }

    async fn trades_of(&self, symbol: &str, order: &Order) -> Result<OrderState, VenueError> {
        let id = order.order_id.to_string();
        let parameters = [("symbol", symbol), ("orderId", id.as_str()), ("limit", "1000")];
        let trades: Vec<Trade> =
            self.signed(reqwest::Method::GET, "/api/v3/myTrades", &parameters).await?;
        let (mut sold, mut gross, mut fee) = (0_u64, 0_u64, 0_u64);
        for trade in trades.iter().filter(|trade| trade.order_id == order.order_id) {
            sold = sold.saturating_add(read("qty", &trade.qty)?);
            gross = gross.saturating_add(read("quoteQty", &trade.quote_qty)?);
            if trade.commission_asset == Coin::Btc.ticker() {
                fee = fee.saturating_add(read("commission", &trade.commission)?);
            } else {
                tracing::warn!(
                    asset = trade.commission_asset,
                    "a fee was not taken in BTC: switch this off at the exchange"
                );
            }
        }
        let executed = read("executedQty", &order.executed_qty)?;
        let quoted = read("cummulativeQuoteQty", &order.cummulative_quote_qty)?;
        if (sold, gross) != (executed, quoted) {
            // The trade list lags behind the order: ask again later.
            return Ok(OrderState::Open);
        }
        let status = order.status.clone();
        Ok(OrderState::Done { amount: sold, gross: Sats(gross), fee: Sats(fee), status })
    }
}

impl Venue for Binance {
    async fn sync_time(&self) -> Result<(), VenueError> {
        let answer: ServerTime = self.open("/api/v3/time", "").await?;
        if let Ok(mut time) = self.time.lock() {
            *time = Some((answer.server_time, Instant::now()));
        }
        Ok(())
    }

    async fn best_bid(&self, coin: Coin) -> Result<u64, VenueError> {
        let query = format!("symbol={}", symbol(coin));
        let ticker: BookTicker = self.open("/api/v3/ticker/bookTicker", &query).await?;
        read("bidPrice", &ticker.bid_price)
    }

    async fn balance(&self, coin: Coin) -> Result<Balance, VenueError> {
        let account: Account = self.signed(reqwest::Method::GET, "/api/v3/account", &[]).await?;
        let of_coin = account.balances.iter().find(|balance| balance.asset == coin.ticker());
        of_coin.map_or(Ok(Balance::default()), |balance| {
            Ok(Balance {
                free: read("free", &balance.free)?,
                locked: read("locked", &balance.locked)?,
            })
        })
    }

    async fn deposits(&self, coin: Coin) -> Result<Vec<Deposit>, VenueError> {
        let mut deposits = Vec::new();
        let mut offset = 0_usize;
        loop {
            let (limit, skip) = (PAGE.to_string(), offset.to_string());
            let parameters =
                [("coin", coin.ticker()), ("status", "1"), ("limit", &limit), ("offset", &skip)];
            let path = "/sapi/v1/capital/deposit/hisrec";
            let rows: Vec<DepositRow> =
                self.signed(reqwest::Method::GET, path, &parameters).await?;
            for row in rows.iter().filter(|row| row.status == 1 && row.coin == coin.ticker()) {
                let amount = read("amount", &row.amount)?;
                deposits.push(Deposit { txid: row.tx_id.clone(), amount });
            }
            if rows.len() < PAGE {
                return Ok(deposits);
            }
            offset = offset.saturating_add(PAGE);
        }
    }

    async fn sell(&self, id: &str, coin: Coin, amount: u64) -> Result<(), VenueError> {
        self.sync_time().await?;
        let quantity = amount::show(amount);
        let symbol = symbol(coin);
        let parameters = [
            ("symbol", symbol.as_str()),
            ("side", "SELL"),
            ("type", "MARKET"),
            ("quantity", &quantity),
            ("newClientOrderId", id),
            ("newOrderRespType", "FULL"),
        ];
        // The answer's own fills are not used: the same query settles a sure and an unsure placing.
        let _: serde_json::Value =
            self.signed(reqwest::Method::POST, "/api/v3/order", &parameters).await?;
        Ok(())
    }

    async fn order(&self, id: &str, coin: Coin) -> Result<OrderState, VenueError> {
        let symbol = symbol(coin);
        let parameters = [("symbol", symbol.as_str()), ("origClientOrderId", id)];
        let found: Result<Order, _> =
            self.signed(reqwest::Method::GET, "/api/v3/order", &parameters).await;
        match found {
            Err(VenueError::Refused { code: NO_SUCH_ORDER, .. }) => Ok(OrderState::Unknown),
            Err(error) => Err(error),
            // A cancelled order carries another client id; ours is the one that we asked for.
            Ok(order)
                if matches!(order.status.as_str(), "NEW" | "PARTIALLY_FILLED" | "PENDING_NEW") =>
            {
                tracing::debug!(id = order.client_order_id, "order still open");
                Ok(OrderState::Open)
            }
            Ok(order) => self.trades_of(&symbol, &order).await,
        }
    }

    async fn withdraw(&self, id: &str, address: &str, amount: Sats) -> Result<(), VenueError> {
        self.sync_time().await?;
        let amount = amount::show(amount.0);
        let mut parameters = vec![
            ("coin", Coin::Btc.ticker()),
            ("withdrawOrderId", id),
            ("address", address),
            ("amount", amount.as_str()),
        ];
        if let Some(network) = &self.settings.network {
            parameters.push(("network", network));
        }
        let path = "/sapi/v1/capital/withdraw/apply";
        let _: serde_json::Value = self.signed(reqwest::Method::POST, path, &parameters).await?;
        Ok(())
    }

    async fn withdrawal(&self, id: &str) -> Result<WithdrawalState, VenueError> {
        let parameters = [("coin", Coin::Btc.ticker()), ("withdrawOrderId", id)];
        let path = "/sapi/v1/capital/withdraw/history";
        let rows: Vec<WithdrawalRow> = self.signed(reqwest::Method::GET, path, &parameters).await?;
        let ours = rows.iter().find(|row| row.withdraw_order_id.as_deref() == Some(id));
        let Some(row) = ours else { return Ok(WithdrawalState::Unknown) };
        match (row.status, row.tx_id.as_deref().filter(|txid| !txid.is_empty())) {
            (1 | 3 | 5, _) => Ok(WithdrawalState::Failed(format!("status {}", row.status))),
            (6, Some(txid)) => {
                let fee = Sats(read("transactionFee", &row.transaction_fee)?);
                Ok(WithdrawalState::Sent { txid: txid.into(), fee })
            }
            _ => Ok(WithdrawalState::Open),
        }
    }

    fn request_lifetime(&self) -> Duration {
        // Twice the window: room for the error of our picture of the venue's clock.
        self.settings.recv_window.saturating_mul(2)
    }
}

fn symbol(coin: Coin) -> String {
    format!("{}BTC", coin.ticker())
}

fn read(field: &str, text: &str) -> Result<u64, VenueError> {
    amount::parse(text)
        .map_err(|error| VenueError::Doubt { doing: field.to_owned(), why: error.to_string() })
}

fn percent_encoded(value: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
