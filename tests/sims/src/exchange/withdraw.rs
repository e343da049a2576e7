//! Withdrawals: debited and recorded before the reply, signed and recorded before the broadcast.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{RawQuery, State},
    http::HeaderMap,
};
use bitcoin::hashes::{Hash, sha256};
use eyre::{Result, eyre};
use serde_json::{Value, json};

use super::{
    Exchange,
    auth::ApiError,
    config::Scope,
    state::{Books, Withdrawal},
};
use crate::{
    amount::show,
    node::{Signed, script_of},
};

type Answer = Result<Json<Value>, ApiError>;

/// POST /sapi/v1/capital/withdraw/apply. `amount` includes the network fee.
pub(crate) async fn apply(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: String,
) -> Answer {
    let (params, account) = exchange.signed(&headers, query.as_deref(), &body, Scope::Withdraw)?;
    let (coin, address) = (params.need("coin")?, params.need("address")?);
    let network = exchange
        .cfg
        .network(coin)
        .filter(|network| params.get("network").is_none_or(|name| name == network.coin))
        .ok_or_else(|| ApiError::bad(-4019, "The current currency is not open for withdrawal"))?;
    if script_of(address).is_err() {
        return Err(ApiError::bad(-4008, "Invalid address"));
    }
    let owner = exchange.cfg.accounts.iter().find(|one| one.name == account);
    let allowed = owner.and_then(|one| one.withdraw_allow.as_ref());
    if allowed.is_some_and(|list| !list.iter().any(|one| one == address)) {
        return Err(ApiError::bad(-4007, "The withdrawal address is not in the whitelist"));
    }
    let total = params.units("amount")?;
    let total = total.ok_or_else(|| ApiError::bad(-4026, "The withdrawal amount is missing"))?;
    if total < network.withdraw_min || total <= network.withdraw_fee {
        return Err(ApiError::bad(-4003, "The withdrawal amount is below the minimum"));
    }
    let client_id = params.get("withdrawOrderId").map(String::from);
    let request = Withdrawal {
        id: String::new(),
        client_id,
        account,
        coin: coin.into(),
        address: address.into(),
        amount: total - network.withdraw_fee,
        fee: network.withdraw_fee,
        time: exchange.now(),
        signed: None,
        confirmations: 0,
        completed: None,
    };
    let id = exchange.change(|books| record(books, request))?;
    Ok(Json(json!({"id": id})))
}

fn record(books: &mut Books, mut request: Withdrawal) -> Result<String, ApiError> {
    let taken = books.withdrawals.iter().any(|other| {
        other.account == request.account
            && request.client_id.is_some()
            && other.client_id == request.client_id
    });
    if taken {
        return Err(ApiError::bad(-4104, "The withdrawOrderId was used before"));
    }
    if !books.debit(&request.account, &request.coin, request.amount + request.fee) {
        return Err(ApiError::bad(-4026, "User has insufficient balance"));
    }
    let number = books.new_id();
    let hash = sha256::Hash::hash(format!("withdrawal {number}").as_bytes());
    request.id = hex::encode(hash.to_byte_array().iter().take(16).copied().collect::<Vec<u8>>());
    let id = request.id.clone();
    books.withdrawals.push(request);
    Ok(id)
}

/// GET /sapi/v1/capital/withdraw/history, newest first; `coin`, `withdrawOrderId`, `status`.
pub(crate) async fn history(
    State(exchange): State<Arc<Exchange>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let (params, account) = exchange.signed(&headers, query.as_deref(), "", Scope::Read)?;
    let (coin, client_id) = (params.get("coin"), params.get("withdrawOrderId"));
    let status = params.number("status")?;
    let rows = exchange.read(|books| {
        let mine = books.withdrawals.iter().rev().filter(|one| {
            one.account == account
                && coin.is_none_or(|coin| coin == one.coin)
                && client_id.is_none_or(|id| one.client_id.as_deref() == Some(id))
                && status.is_none_or(|status| status == status_of(one))
        });
        mine.map(row).collect()
    });
    Ok(Json(Value::Array(rows)))
}

/// 4 processing, 6 completed.
fn status_of(one: &Withdrawal) -> u64 {
    if one.completed.is_some() { 6 } else { 4 }
}

fn row(one: &Withdrawal) -> Value {
    let mut row = json!({
        "id": one.id,
        "amount": show(one.amount),
        "transactionFee": show(one.fee),
        "coin": one.coin,
        "status": status_of(one),
        "address": one.address,
        "txId": one.signed.as_ref().map(|(txid, _)| txid.as_str()).unwrap_or_default(),
        "applyTime": utc(one.time),
        "network": one.coin,
        "transferType": 0,
        "info": "",
        "confirmNo": one.confirmations,
        "walletType": 0,
        "txKey": "",
    });
    if let Some(object) = row.as_object_mut() {
        if let Some(id) = &one.client_id {
            object.insert("withdrawOrderId".into(), json!(id));
        }
        if let Some(time) = one.completed {
            object.insert("completeTime".into(), json!(utc(time)));
        }
    }
    row
}

/// `2019-10-12 11:12:02` of Unix seconds.
pub(crate) fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days, for days since 1970.
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Pays recorded withdrawals until the exchange stops.
pub(crate) async fn pay(exchange: Arc<Exchange>) {
    let mut complaint = String::new();
    loop {
        let open: Vec<Withdrawal> = exchange.read(|books| {
            books.withdrawals.iter().filter(|one| one.confirmations < 6).cloned().collect()
        });
        for one in open {
            if let Err(error) = advance(&exchange, &one).await {
                let text = format!("{error:#}");
                if text != complaint {
                    tracing::warn!(id = one.id, "withdrawal waits: {text}");
                    complaint = text;
                }
            }
        }
        tokio::select! {
            () = exchange.stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
    }
}

async fn advance(exchange: &Exchange, one: &Withdrawal) -> Result<()> {
    let node = exchange.nodes.get(&one.coin).ok_or_else(|| eyre!("no node of {}", one.coin))?;
    let network = exchange.cfg.network(&one.coin).ok_or_else(|| eyre!("no network"))?;
    let update = |change: &dyn Fn(&mut Withdrawal)| {
        exchange.change(|books| {
            books.withdrawals.iter_mut().filter(|other| other.id == one.id).for_each(change);
            Ok::<_, eyre::Report>(())
        })
    };
    let signed = match &one.signed {
        Some((txid, hex)) => Signed { txid: txid.clone(), hex: hex.clone() },
        None => {
            let outputs = [(one.address.clone(), one.amount)];
            let signed = node.sign_payment(&outputs, network.fee_rate).await?;
            update(&|it| it.signed = Some((signed.txid.clone(), signed.hex.clone())))?;
            signed
        }
    };
    // Always the same bytes: sending again is no second payment.
    node.broadcast(&signed).await?;
    let confirmations = u64::try_from(node.confirmations(&signed.txid).await?).unwrap_or(0);
    if confirmations != one.confirmations {
        let now = exchange.now();
        update(&|it| {
            it.confirmations = confirmations;
            if confirmations > 0 {
                it.completed.get_or_insert(now);
            }
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(client_id: &str, amount: u64) -> Withdrawal {
        Withdrawal {
            id: String::new(),
            client_id: Some(client_id.into()),
            account: "a".into(),
            coin: "BTC".into(),
            address: "x".into(),
            amount,
            fee: 10,
            time: 0,
            signed: None,
            confirmations: 0,
            completed: None,
        }
    }

    #[test]
    fn a_withdrawal_is_debited_once_and_its_name_is_used_up() {
        let mut books = Books::default();
        books.credit("a", "BTC", 1000);
        let id = record(&mut books, request("w1", 490)).unwrap();
        assert_eq!(id.len(), 32);
        assert_eq!(books.balance("a", "BTC"), 500);
        assert_eq!(record(&mut books, request("w1", 100)).unwrap_err().code, -4104);
        assert_eq!(record(&mut books, request("w2", 491)).unwrap_err().code, -4026);
        assert_eq!(books.balance("a", "BTC"), 500);
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(utc(1_570_878_722), "2019-10-12 11:12:02");
        assert_eq!(utc(1_709_164_799), "2024-02-28 23:59:59");
        assert_eq!(utc(1_709_164_800), "2024-02-29 00:00:00");
    }
}
