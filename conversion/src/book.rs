//! The books: a fold of the fill journal, and what to do next. Pure.

use std::collections::BTreeMap;

use domain::{Coin, Fill, Sats, journal::Head};

use crate::venue::{Balance, Deposit};

/// An intention whose outcome is not written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// A sale.
    Sale {
        /// Client order id.
        id: String,
        /// Coin.
        coin: Coin,
        /// Amount intended.
        amount: u64,
    },
    /// A withdrawal.
    Withdrawal {
        /// Client withdrawal id.
        id: String,
        /// Amount, fee included.
        amount: Sats,
    },
}

/// Sums over the journal. All 10^-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Credited, by coin and transaction.
    pub deposits: BTreeMap<(Coin, String), u64>,
    /// Sold, by coin.
    pub sold: BTreeMap<Coin, u64>,
    /// BTC received before fees.
    pub gross: Sats,
    /// Trading fees.
    pub trading_fees: Sats,
    /// BTC withdrawn, withdrawal fees included.
    pub withdrawn: Sats,
    /// Withdrawal fees.
    pub withdrawal_fees: Sats,
    /// Time of the first sale since the last withdrawal: since when BTC may be waiting.
    pub waiting_since: Option<u64>,
    /// At most one intention is open at any time.
    pub pending: Option<Pending>,
}

/// A record does not follow from those before it: the journal is not ours, or our code is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// A second intention beside an open one.
    #[error("{0} is intended while another intention is open")]
    TwoIntentions(String),
    /// An outcome of something that was not intended.
    #[error("{0} has an outcome and was not the open intention")]
    NotIntended(String),
    /// A sum left 64 bits.
    #[error("a sum of the fill journal does not fit 64 bits")]
    Overflow,
}

impl Book {
    /// Folds a whole journal.
    ///
    /// # Errors
    /// When a record does not follow from those before it.
    pub fn of(fills: &[Fill]) -> Result<Self, BookError> {
        let mut book = Self::default();
        fills.iter().try_for_each(|fill| book.apply(fill))?;
        Ok(book)
    }

    /// Applies one record.
    ///
    /// # Errors
    /// When it does not follow; the book is unchanged then.
    pub fn apply(&mut self, fill: &Fill) -> Result<(), BookError> {
        match fill {
            Fill::Deposited { coin, txid, amount, .. } => {
                let sum = self.deposits.entry((*coin, txid.clone())).or_default();
                *sum = sum.checked_add(*amount).ok_or(BookError::Overflow)?;
            }
            Fill::SaleIntended { id, coin, amount, .. } => {
                self.intend(id, Pending::Sale { id: id.clone(), coin: *coin, amount: *amount })?;
            }
            Fill::Sold { time, id, amount, gross, fee } => {
                self.sold(id, *amount, *gross, *fee)?;
                self.waiting_since.get_or_insert(*time);
            }
            Fill::SaleVoid { id, .. } | Fill::WithdrawalVoid { id, .. } => {
                self.take(id)?;
            }
            Fill::WithdrawalIntended { id, amount, .. } => {
                self.intend(id, Pending::Withdrawal { id: id.clone(), amount: *amount })?;
            }
            Fill::Withdrawn { id, fee, .. } => {
                let Some(Pending::Withdrawal { amount, .. }) = self.pending else {
                    return Err(BookError::NotIntended(id.clone()));
                };
                let withdrawn = self.withdrawn.plus(amount).map_err(|_| BookError::Overflow)?;
                let fees = self.withdrawal_fees.plus(*fee).map_err(|_| BookError::Overflow)?;
                self.take(id)?;
                (self.withdrawn, self.withdrawal_fees, self.waiting_since) =
                    (withdrawn, fees, None);
            }
        }
        Ok(())
    }

    fn sold(&mut self, id: &str, amount: u64, gross: Sats, fee: Sats) -> Result<(), BookError> {
        let Some(Pending::Sale { coin, .. }) = self.pending else {
            return Err(BookError::NotIntended(id.to_owned()));
        };
        let sold = self.sold.get(&coin).copied().unwrap_or_default();
        let sold = sold.checked_add(amount).ok_or(BookError::Overflow)?;
        let gross = self.gross.plus(gross).map_err(|_| BookError::Overflow)?;
        let fees = self.trading_fees.plus(fee).map_err(|_| BookError::Overflow)?;
        self.take(id)?;
        self.sold.insert(coin, sold);
        (self.gross, self.trading_fees) = (gross, fees);
        Ok(())
    }

    fn intend(&mut self, id: &str, pending: Pending) -> Result<(), BookError> {
        if self.pending.is_some() {
            return Err(BookError::TwoIntentions(id.to_owned()));
        }
        self.pending = Some(pending);
        Ok(())
    }

    fn take(&mut self, id: &str) -> Result<(), BookError> {
        match &self.pending {
            Some(Pending::Sale { id: open, .. } | Pending::Withdrawal { id: open, .. })
                if open == id =>
            {
                self.pending = None;
                Ok(())
            }
            _ => Err(BookError::NotIntended(id.to_owned())),
        }
    }

    /// Coin that should be at the venue: in less sold. `None` if more was sold than came in.
    #[must_use]
    pub fn expected_coin(&self, coin: Coin) -> Option<u64> {
        let of_coin = self.deposits.iter().filter(|((of, _), _)| *of == coin);
        let credited = of_coin.fold(0_u64, |sum, (_, amount)| sum.saturating_add(*amount));
        credited.checked_sub(self.sold.get(&coin).copied().unwrap_or_default())
    }

    /// BTC that should be at the venue: gross less trading fees less withdrawn. `None` if that is negative.
    #[must_use]
    pub fn expected_btc(&self) -> Option<u64> {
        self.gross.0.checked_sub(self.trading_fees.0)?.checked_sub(self.withdrawn.0)
    }

    /// Records for deposits that the journal does not know, in the venue's order.
    #[must_use]
    pub fn new_deposits(&self, time: u64, coin: Coin, seen: &[Deposit]) -> Vec<Fill> {
        let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
        for deposit in seen {
            let sum = totals.entry(&deposit.txid).or_default();
            *sum = sum.saturating_add(deposit.amount);
        }
        let mut fills = Vec::new();
        for deposit in seen {
            let known =
                self.deposits.get(&(coin, deposit.txid.clone())).copied().unwrap_or_default();
            // Taken out, so that a transaction with two deposits is recorded once, with their sum.
            let total = totals.remove(deposit.txid.as_str()).unwrap_or_default();
            if let Some(amount) = total.checked_sub(known).filter(|amount| *amount > 0) {
                fills.push(Fill::Deposited { time, coin, txid: deposit.txid.clone(), amount });
            }
        }
        fills
    }
}

/// When to sell a coin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaleRule {
    /// The coin.
    pub coin: Coin,
    /// Least amount worth a sale, 10^-8.
    pub min_sale: u64,
    /// The venue's lot: sales are multiples of it. At least 1.
    pub lot: u64,
}

/// When to sell and withdraw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Coins that are sold, in order of preference.
    pub sales: Vec<SaleRule>,
    /// Free BTC that is withdrawn at once.
    pub min_withdrawal: u64,
    /// Least BTC that the venue lets out.
    pub withdrawal_floor: u64,
    /// Seconds of chain time after which anything above the floor is withdrawn.
    pub withdraw_every: u64,
    /// The treasury: the only address that coins are sent to.
    pub treasury: String,
    /// Start of every client id.
    pub id_prefix: String,
}

/// The next intention, if any. Ids follow from the journal's position alone.
#[must_use]
pub fn next(
    rules: &Rules,
    book: &Book,
    head: Head,
    time: u64,
    coins: &BTreeMap<Coin, Balance>,
    btc: Balance,
) -> Option<Fill> {
    if book.pending.is_some() {
        return None;
    }
    let tag: String = hex::encode(head.hash).chars().take(8).collect();
    let id = |kind: char| format!("{}-{kind}{}-{tag}", rules.id_prefix, head.len);
    for rule in &rules.sales {
        let free = coins.get(&rule.coin).copied().unwrap_or_default().free;
        let amount = free.saturating_sub(free % rule.lot.max(1));
        if amount > 0 && amount >= rule.min_sale {
            return Some(Fill::SaleIntended { time, id: id('s'), coin: rule.coin, amount });
        }
    }
    let overdue =
        book.waiting_since.is_some_and(|since| time.saturating_sub(since) >= rules.withdraw_every)
            && btc.free >= rules.withdrawal_floor;
    if btc.free > 0 && (btc.free >= rules.min_withdrawal || overdue) {
        let address = rules.treasury.clone();
        return Some(Fill::WithdrawalIntended {
            time,
            id: id('w'),
            address,
            amount: Sats(btc.free),
        });
    }
    None
}
