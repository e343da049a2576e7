//! The exchange's books: balances, orders, trades, deposits, withdrawals. All amounts 1e-8.

use std::collections::BTreeMap;

use eyre::Result;
use serde::{Deserialize, Serialize};

use super::config::ExchangeConfig;
use crate::amount;

/// Everything that the exchange persists.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Books {
    /// Server time of the first start.
    pub(crate) origin: Option<u64>,
    pub(crate) last_id: u64,
    pub(crate) accounts: BTreeMap<String, Customer>,
    pub(crate) orders: Vec<Order>,
    pub(crate) trades: Vec<Trade>,
    pub(crate) deposits: Vec<Deposit>,
    pub(crate) withdrawals: Vec<Withdrawal>,
}

/// One customer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Customer {
    pub(crate) balances: BTreeMap<String, u64>,
    /// Deposit address by coin.
    pub(crate) addresses: BTreeMap<String, String>,
}

/// One order; all are immediate, so none is ever open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) client_id: String,
    pub(crate) account: String,
    pub(crate) symbol: String,
    pub(crate) side: String,
    pub(crate) kind: String,
    pub(crate) time_in_force: String,
    pub(crate) price: u64,
    pub(crate) quantity: u64,
    pub(crate) quote_quantity: u64,
    pub(crate) executed: u64,
    pub(crate) quote: u64,
    pub(crate) status: String,
    /// Server time, milliseconds.
    pub(crate) time: u64,
}

/// One fill.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trade {
    pub(crate) id: u64,
    pub(crate) order_id: u64,
    pub(crate) account: String,
    pub(crate) symbol: String,
    pub(crate) price: u64,
    pub(crate) quantity: u64,
    pub(crate) quote: u64,
    pub(crate) commission: u64,
    pub(crate) commission_asset: String,
    pub(crate) is_buyer: bool,
    pub(crate) time: u64,
}

/// One deposit: an output that pays a customer's address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Deposit {
    pub(crate) id: u64,
    pub(crate) account: String,
    pub(crate) coin: String,
    pub(crate) txid: String,
    pub(crate) vout: u64,
    pub(crate) address: String,
    pub(crate) amount: u64,
    pub(crate) confirmations: u64,
    pub(crate) credited: bool,
    pub(crate) time: u64,
}

/// One withdrawal: debited and recorded first, then signed, then broadcast.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Withdrawal {
    pub(crate) id: String,
    pub(crate) client_id: Option<String>,
    pub(crate) account: String,
    pub(crate) coin: String,
    pub(crate) address: String,
    /// What reaches the address; amount + fee were debited.
    pub(crate) amount: u64,
    pub(crate) fee: u64,
    pub(crate) time: u64,
    pub(crate) signed: Option<(String, String)>,
    pub(crate) confirmations: u64,
    pub(crate) completed: Option<u64>,
}

impl Books {
    /// Opens configured accounts that are new, with their first balances.
    pub(crate) fn open_accounts(&mut self, cfg: &ExchangeConfig) -> Result<()> {
        for account in &cfg.accounts {
            if self.accounts.contains_key(&account.name) {
                continue;
            }
            let mut customer = Customer::default();
            for (asset, text) in &account.balances {
                customer.balances.insert(asset.clone(), amount::parse(text)?);
            }
            self.accounts.insert(account.name.clone(), customer);
        }
        Ok(())
    }

    /// A number that was never given before.
    pub(crate) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The free balance.
    pub(crate) fn balance(&self, account: &str, asset: &str) -> u64 {
        self.accounts.get(account).and_then(|c| c.balances.get(asset)).copied().unwrap_or(0)
    }

    /// Adds to a balance.
    pub(crate) fn credit(&mut self, account: &str, asset: &str, units: u64) {
        let customer = self.accounts.entry(account.into()).or_default();
        *customer.balances.entry(asset.into()).or_default() += units;
    }

    /// Takes from a balance; false, and nothing changed, when it does not suffice.
    #[must_use]
    pub(crate) fn debit(&mut self, account: &str, asset: &str, units: u64) -> bool {
        let Some(less) = self.balance(account, asset).checked_sub(units) else { return false };
        let customer = self.accounts.entry(account.into()).or_default();
        customer.balances.insert(asset.into(), less);
        true
    }
}
