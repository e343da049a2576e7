//! The exchange account, read-only, with this signer's own key: trades and withdrawals in Binance's shape.

use std::time::Duration;

use alloy::primitives::{B256, keccak256};
use domain::{Coin, EpochId};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::Sha256;

use super::{SourceError, get_json, internal_txid, read_secret};
use crate::{
    attribution::{Trade, Withdrawal, WithdrawalStatus},
    config::ExchangeConfig,
    numbers::scaled_exact,
    store::{Store, StoreError},
};

const NAME: &str = "exchange";
/// Entries of one page.
const PAGE: usize = 1000;

/// Why the exchange cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The venue.
    #[error(transparent)]
    Venue(#[from] SourceError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerTime {
    server_time: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TradeRow {
    id: u64,
    qty: String,
    quote_qty: String,
    commission: String,
    commission_asset: String,
    time: u64,
    is_buyer: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithdrawalRow {
    id: String,
    amount: String,
    transaction_fee: String,
    status: u8,
    #[serde(default)]
    tx_id: String,
    apply_time: String,
}

/// What the exchange says.
#[derive(Debug, Default)]
pub struct ExchangeReading {
    /// Every sale so far.
    pub trades: Vec<Trade>,
    /// Every withdrawal so far.
    pub withdrawals: Vec<Withdrawal>,
}

impl ExchangeReading {
    /// Hash of the epoch's trades: keccak of the lines `coin,id,sold,net\n`, coins and ids ascending.
    #[must_use]
    pub fn hash(&self, epoch: EpochId) -> B256 {
        let mut trades: Vec<&Trade> =
            self.trades.iter().filter(|trade| EpochId::at(trade.time_ms / 1000) == epoch).collect();
        trades.sort_by_key(|trade| (trade.coin, trade.id));
        let lines: String = trades
            .iter()
            .map(|trade| format!("{},{},{},{}\n", trade.coin, trade.id, trade.sold, trade.net))
            .collect();
        keccak256(lines)
    }
}

/// Reads what is new, remembers trades in the store, and returns the whole.
///
/// # Errors
/// When the venue does not answer in the documented form, or the store refuses.
pub async fn read(
    http: &reqwest::Client,
    config: &ExchangeConfig,
    store: &Store,
    wait: Duration,
) -> Result<ExchangeReading, ExchangeError> {
    let mut reading = ExchangeReading::default();
    for coin in &config.coins {
        let mut known = store.trades(*coin).await?;
        let mut from = known.last().map_or(0, |trade| trade.id.saturating_add(1));
        loop {
            let next = from.to_string();
            let (symbol, limit) = (format!("{}BTC", coin.ticker()), PAGE.to_string());
            let parameters = [("symbol", symbol.as_str()), ("fromId", &next), ("limit", &limit)];
            let rows: Vec<TradeRow> =
                signed(http, config, "/api/v3/myTrades", &parameters, wait).await?;
            let full = rows.len() >= PAGE;
            let last = rows.iter().map(|row| row.id).max();
            let new = sales(*coin, &rows, from)?;
            store.add_trades(&new).await?;
            known.extend(new);
            match last {
                // a full page of purchases alone is not the end
                Some(last) if full && last >= from => from = last.saturating_add(1),
                _ => break,
            }
        }
        reading.trades.extend(known);
    }
    // what the venue no longer lists still happened: every position counts from the very first withdrawal
    store.put_withdrawals(&withdrawals(http, config, wait).await?).await?;
    reading.withdrawals = store.withdrawals().await?;
    Ok(reading)
}

async fn withdrawals(
    http: &reqwest::Client,
    config: &ExchangeConfig,
    wait: Duration,
) -> Result<Vec<Withdrawal>, SourceError> {
    let mut all: Vec<Withdrawal> = Vec::new();
    loop {
        let (offset, limit) = (all.len().to_string(), PAGE.to_string());
        let parameters = [("coin", "BTC"), ("offset", offset.as_str()), ("limit", &limit)];
        let path = "/sapi/v1/capital/withdraw/history";
        let rows: Vec<WithdrawalRow> = signed(http, config, path, &parameters, wait).await?;
        let before = all.len();
        for row in &rows {
            let one = withdrawal(config, row)?;
            if !all.iter().any(|other| other.id == one.id) {
                all.push(one);
            }
        }
        if rows.len() < PAGE || all.len() == before {
            return Ok(all);
        }
    }
}

/// The sales of a page, none before the id that was asked for.
fn sales(coin: Coin, rows: &[TradeRow], from: u64) -> Result<Vec<Trade>, SourceError> {
    let new = rows.iter().filter(|row| !row.is_buyer && row.id >= from);
    new.map(|row| trade(coin, row)).collect()
}

fn trade(coin: Coin, row: &TradeRow) -> Result<Trade, SourceError> {
    let gross = amount(&row.quote_qty)?;
    // A fee in another asset does not reduce the BTC that came in.
    let fee = if row.commission_asset == Coin::Btc.ticker() { amount(&row.commission)? } else { 0 };
    let net = gross.saturating_sub(fee);
    Ok(Trade { id: row.id, time_ms: row.time, coin, sold: amount(&row.qty)?, net })
}

fn withdrawal(config: &ExchangeConfig, row: &WithdrawalRow) -> Result<Withdrawal, SourceError> {
    let (listed, fee) = (amount(&row.amount)?, amount(&row.transaction_fee)?);
    let gross = if config.amounts_include_fee { listed } else { listed.saturating_add(fee) };
    let txid = match row.tx_id.as_str() {
        "" => None,
        shown => Some(internal_txid(NAME, shown)?),
    };
    let status = match row.status {
        1 | 3 | 5 => WithdrawalStatus::Failed,
        6 => WithdrawalStatus::Sent,
        _ if txid.is_some() => WithdrawalStatus::Sent,
        _ => WithdrawalStatus::Open,
    };
    Ok(Withdrawal { id: row.id.clone(), applied: row.apply_time.clone(), txid, gross, fee, status })
}

fn amount(text: &str) -> Result<u64, SourceError> {
    scaled_exact(text, 8).map_err(|error| SourceError::new(NAME, error))
}

async fn signed<T: DeserializeOwned>(
    http: &reqwest::Client,
    config: &ExchangeConfig,
    path: &str,
    parameters: &[(&str, &str)],
    wait: Duration,
) -> Result<T, SourceError> {
    let root = config.url.trim_end_matches('/');
    let time: ServerTime =
        get_json(http, NAME, http.get(format!("{root}/api/v3/time")), wait).await?;
    let (key, secret) = (read_secret(&config.api_key_file)?, read_secret(&config.api_secret_file)?);
    let mut query = String::new();
    for (name, value) in parameters {
        query.push_str(&format!("{name}={value}&"));
    }
    query.push_str(&format!("recvWindow={}&timestamp={}", config.recv_window_ms, time.server_time));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|error| SourceError::new(NAME, error))?;
    mac.update(query.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let request = http
        .get(format!("{root}{path}?{query}&signature={signature}"))
        .header("X-MBX-APIKEY", key.as_str());
    get_json(http, NAME, request, wait).await
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn rows_of_the_documented_shape_are_read() {
        let row = r#"{"symbol":"BCHBTC","id":28457,"orderId":100234,"orderListId":-1,"price":"0.00500000","qty":"12.00000000",
            "quoteQty":"0.06000000","commission":"0.00006000","commissionAsset":"BTC","time":1499865549590,
            "isBuyer":false,"isMaker":false,"isBestMatch":true}"#;
        let row: TradeRow = serde_json::from_str(row).unwrap();
        let one = trade(Coin::Bch, &row).unwrap();
        assert_eq!((one.sold, one.net), (1_200_000_000, 5_994_000));
        let row = r#"{"id":"b6ae","amount":"8.91000000","transactionFee":"0.004","coin":"BTC","status":6,"address":"0x94",
            "txId":"b5ef8c13b968a406cc62a93a8bd80f9e9a906ef1b3fcf20a2e48573c17659268","applyTime":"2019-10-12 11:12:02"}"#;
        let row: WithdrawalRow = serde_json::from_str(row).unwrap();
        let config = |with| ExchangeConfig {
            url: String::new(),
            api_key_file: "k".into(),
            api_secret_file: "s".into(),
            recv_window_ms: 1,
            coins: vec![],
            amounts_include_fee: with,
        };
        let one = withdrawal(&config(false), &row).unwrap();
        assert_eq!(
            (one.gross, one.fee, one.status),
            (891_400_000, 400_000, WithdrawalStatus::Sent)
        );
        assert_eq!(one.txid.unwrap()[0], 0x68);
        assert_eq!(withdrawal(&config(true), &row).unwrap().gross, 891_000_000);
    }

    /// The account's history as pages: a thousand purchases, then a sale; no withdrawal.
    async fn page(query: axum::extract::Query<HashMap<String, String>>) -> axum::Json<Value> {
        let Some(from) = query.get("fromId") else { return axum::Json(json!([])) };
        let row = |id: usize| {
            json!({
                "id": id, "qty": "1", "quoteQty": "0.1", "commission": "0", "commissionAsset": "BTC", "time": id,
                "isBuyer": id < PAGE,
            })
        };
        let from: usize = from.parse().unwrap();
        axum::Json((from..=PAGE).take(PAGE).map(row).collect())
    }

    #[tokio::test]
    async fn a_page_of_purchases_is_not_the_end() {
        let time = || async { axum::Json(json!({ "serverTime": 1 })) };
        let app = axum::Router::new().route("/api/v3/time", axum::routing::get(time));
        let app = app.fallback(page);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "k").unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let config = ExchangeConfig {
            url,
            api_key_file: key.clone(),
            api_secret_file: key,
            recv_window_ms: 1,
            coins: vec![Coin::Bch],
            amounts_include_fee: false,
        };
        let store = Store::open(&dir.path().join("store")).await.unwrap();
        let wait = Duration::from_secs(5);
        let reading = read(&reqwest::Client::new(), &config, &store, wait).await.unwrap();
        let ids: Vec<u64> = reading.trades.iter().map(|trade| trade.id).collect();
        assert_eq!(ids, [1_000]);
    }
}
