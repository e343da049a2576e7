//! Transfers of units, LP shares and queue claims: balances, and cumulative balance-seconds that are exact for ever.
//!
//! A checkpoint says what an account's balance-seconds had summed up to at the second it was touched, and its balance
//! from then on; two of them give any epoch's value. Changes within one block have the same second, so only the balance
//! after the last of them weighs: the token contract's own rule.

use alloy::primitives::{Address, U256};
use evm::bindings::ITwabToken::ITwabTokenEvents as Event;
use serde_json::Value as Json;

use crate::{
    Error,
    store::{
        table::{CHECKPOINTS, Cell, HOLDERS},
        writer::{BlockWriter, JsonRow},
    },
};

pub(super) async fn apply(
    writer: &mut BlockWriter<'_>,
    token: Address,
    event: Event,
) -> Result<(), Error> {
    let Event::Transfer(transfer) = event else { return Ok(()) };
    let amount = transfer.amount;
    // The zero address stands for the supply: a mint adds to it, a burn takes from it.
    let (minted, burnt) = (transfer.from.is_zero(), transfer.to.is_zero());
    if minted || !burnt {
        touch(writer, token, transfer.to, amount, true).await?;
    }
    if !minted {
        touch(writer, token, transfer.from, amount, false).await?;
    }
    match (minted, burnt) {
        (true, false) => touch(writer, token, Address::ZERO, amount, true).await,
        (false, true) => touch(writer, token, Address::ZERO, amount, false).await,
        _ => Ok(()),
    }
}

async fn touch(
    writer: &mut BlockWriter<'_>,
    token: Address,
    account: Address,
    amount: U256,
    add: bool,
) -> Result<(), Error> {
    let now = writer.block.timestamp;
    let key = [Cell::hex(token), Cell::hex(account)];
    let [token_cell, account_cell] = key.clone();
    let (mut balance, mut cumulative) = (U256::ZERO, U256::ZERO);
    if let Some(holder) = writer.get(&HOLDERS, &key).await? {
        balance = big(&holder, "balance")?;
        let since = holder.get("since").and_then(Json::as_u64).unwrap_or(now);
        let at = [token_cell.clone(), account_cell.clone(), Cell::int(since)];
        if let Some(checkpoint) = writer.get(&CHECKPOINTS, &at).await? {
            let held = balance.saturating_mul(U256::from(now.saturating_sub(since)));
            cumulative = big(&checkpoint, "cumulative")?.saturating_add(held);
        }
    }
    let changed = if add { balance.checked_add(amount) } else { balance.checked_sub(amount) };
    let changed = changed.ok_or_else(|| Error::Overdrawn {
        account: account.to_string(),
        token: token.to_string(),
        balance: balance.to_string(),
        amount: amount.to_string(),
    })?;
    let holder = vec![
        ("token", token_cell.clone()),
        ("account", account_cell.clone()),
        ("balance", Cell::decimal(changed)),
        ("since", Cell::int(now)),
    ];
    writer.put(&HOLDERS, holder).await?;
    let checkpoint = vec![
        ("token", token_cell),
        ("account", account_cell),
        ("timestamp", Cell::int(now)),
        ("cumulative", Cell::decimal(cumulative)),
        ("balance", Cell::decimal(changed)),
    ];
    writer.put(&CHECKPOINTS, checkpoint).await
}

/// A decimal text column.
pub(super) fn big(row: &JsonRow, column: &'static str) -> Result<U256, Error> {
    let text = row.get(column).and_then(Json::as_str).unwrap_or_default();
    text.parse().map_err(|_| Error::Corrupt { what: column, found: text.to_owned() })
}
