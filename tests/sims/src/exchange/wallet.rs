//! Deposits: addresses, detection on the nodes' wallets, credit after confirmations.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{RawQuery, State},
    http::HeaderMap,
};
use eyre::{Result, eyre};
use serde_json::{Value, json};

use super::{
    Exchange,
    auth::ApiError,
    config::{Network, Scope},
    state::{Books, Deposit},
};
use crate::amount::{self, show};

type Answer = Result<Json<Value>, ApiError>;

/// GET /sapi/v1/capital/deposit/address: one fresh address per account and coin, then the same.
pub(crate) async fn address(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let (params, account) = exchange.signed(&headers, query.as_deref(), "", Scope::Read)?;
    let coin = params.need("coin")?;
    let node =
        exchange.nodes.get(coin).ok_or_else(|| ApiError::bad(-4019, "Asset is not open."))?;
    let known = |books: &Books| {
        books.accounts.get(&account).and_then(|customer| customer.addresses.get(coin).cloned())
    };
    let address = match exchange.read(known) {
        Some(address) => address,
        None => {
            let fresh = node.new_address("deposit").await?;
            exchange.change(|books| {
                let customer = books.accounts.entry(account.clone()).or_default();
                let address = customer.addresses.entry(coin.into()).or_insert(fresh);
                Ok::<_, ApiError>(address.clone())
            })?
        }
    };
    Ok(Json(json!({"address": address, "coin": coin, "tag": "", "url": ""})))
}

/// GET /sapi/v1/capital/deposit/hisrec, newest first; `coin`, `status`, `txId`.
pub(crate) async fn history(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let (params, account) = exchange.signed(&headers, query.as_deref(), "", Scope::Read)?;
    let (coin, txid) = (params.get("coin"), params.get("txId"));
    let status = params.number("status")?;
    let start = params.number("startTime")?.unwrap_or(0);
    let end = params.number("endTime")?.unwrap_or(u64::MAX);
    let rows = exchange.read(|books| {
        let mine = books.deposits.iter().rev().filter(|deposit| {
            deposit.account == account
                && coin.is_none_or(|coin| coin == deposit.coin)
                && txid.is_none_or(|txid| txid == deposit.txid)
                && status.is_none_or(|status| status == u64::from(deposit.credited))
                && (start..=end).contains(&(deposit.time * 1000))
        });
        mine.map(|deposit| row(&exchange, deposit)).collect()
    });
    Ok(Json(Value::Array(rows)))
}

fn row(exchange: &Exchange, deposit: &Deposit) -> Value {
    let needed = exchange.cfg.network(&deposit.coin).map_or(0, |network| network.confirmations);
    json!({
        "id": deposit.id.to_string(),
        "amount": show(deposit.amount),
        "coin": deposit.coin,
        "network": deposit.coin,
        "status": u64::from(deposit.credited),
        "address": deposit.address,
        "addressTag": "",
        "txId": deposit.txid,
        "insertTime": deposit.time * 1000,
        "transferType": 0,
        "unlockConfirm": needed,
        "confirmTimes": format!("{}/{needed}", deposit.confirmations.min(needed)),
        "walletType": 0,
    })
}

/// Watches the wallets until the exchange stops.
pub(crate) async fn follow_deposits(exchange: Arc<Exchange>) {
    let mut since: Vec<String> = vec![String::new(); exchange.cfg.networks.len()];
    loop {
        for (network, since) in exchange.cfg.networks.iter().zip(&mut since) {
            if let Err(error) = scan(&exchange, network, since).await {
                tracing::warn!(coin = network.coin, "deposits: {error:#}");
            }
        }
        tokio::select! {
            () = exchange.stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
    }
}

/// A payment to one of our addresses, as the node tells it.
struct Seen {
    txid: String,
    vout: u64,
    address: String,
    amount: u64,
    confirmations: i64,
}

async fn scan(exchange: &Exchange, network: &Network, since: &mut String) -> Result<()> {
    let node = exchange.nodes.get(&network.coin).ok_or_else(|| eyre!("no node"))?;
    let reply = node
        .wallet_call("listsinceblock", json!([since.as_str(), network.confirmations + 20]))
        .await?;
    let list = reply.get("transactions").and_then(Value::as_array).cloned().unwrap_or_default();
    let seen: Vec<Seen> = list.iter().filter_map(seen).collect();
    let now = exchange.now();
    let mut next = exchange.read(Clone::clone);
    if book(&mut next, network, &seen, now) {
        exchange.change(|books| {
            book(books, network, &seen, now);
            Ok::<_, eyre::Report>(())
        })?;
    }
    if let Some(last) = reply.get("lastblock").and_then(Value::as_str) {
        *since = last.into();
    }
    Ok(())
}

fn seen(entry: &Value) -> Option<Seen> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).map(String::from);
    if text("category").as_deref() != Some("receive") {
        return None;
    }
    let Some(Value::Number(amount)) = entry.get("amount") else { return None };
    Some(Seen {
        txid: text("txid")?,
        vout: entry.get("vout")?.as_u64()?,
        address: text("address")?,
        amount: amount::parse(&amount.to_string()).ok()?,
        confirmations: entry.get("confirmations")?.as_i64()?,
    })
}

/// Books what was seen; each output is credited once. True when anything changed.
fn book(books: &mut Books, network: &Network, seen: &[Seen], now: u64) -> bool {
    let mut changed = false;
    for one in seen {
        let Ok(confirmations) = u64::try_from(one.confirmations) else { continue };
        let owner = books.accounts.iter().find_map(|(name, customer)| {
            (customer.addresses.get(&network.coin) == Some(&one.address)).then(|| name.clone())
        });
        let Some(account) = owner else { continue };
        let known = books.deposits.iter().position(|deposit| {
            deposit.coin == network.coin && deposit.txid == one.txid && deposit.vout == one.vout
        });
        if known.is_none() {
            let id = books.new_id();
            books.deposits.push(Deposit {
                id,
                account: account.clone(),
                coin: network.coin.clone(),
                txid: one.txid.clone(),
                vout: one.vout,
                address: one.address.clone(),
                amount: one.amount,
                confirmations: 0,
                credited: false,
                time: now,
            });
            changed = true;
        }
        let index = known.unwrap_or(books.deposits.len() - 1);
        let Some(deposit) = books.deposits.get_mut(index) else { continue };
        let shown = confirmations.min(network.confirmations);
        if deposit.confirmations != shown {
            deposit.confirmations = shown;
            changed = true;
        }
        if !deposit.credited && confirmations >= network.confirmations {
            deposit.credited = true;
            changed = true;
            books.credit(&account, &network.coin, one.amount);
        }
    }
    changed
}
