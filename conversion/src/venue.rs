//! What an exchange must offer. Binance's shape is one; Kraken and others implement the same trait.

use std::{future::Future, time::Duration};

use domain::{Coin, Sats};

/// Why a venue gave no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VenueError {
    /// The reply was lost, late or unreadable, or the venue itself does not know. A request may have been executed.
    #[error("{doing}: no sure answer: {why}; it may have been executed")]
    Doubt {
        /// The request.
        doing: String,
        /// What happened.
        why: String,
    },
    /// The venue refused this request: it was not executed.
    #[error("{doing}: refused with code {code}: {why}")]
    Refused {
        /// The request.
        doing: String,
        /// The venue's code.
        code: i64,
        /// The venue's words.
        why: String,
    },
    /// Too many requests; this one was not executed.
    #[error("{doing}: rate limited, wait {} s", wait.as_secs())]
    Limited {
        /// The request.
        doing: String,
        /// How long to be silent.
        wait: Duration,
    },
}

/// Free and locked amounts of one asset, 10^-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Can be sold or withdrawn.
    pub free: u64,
    /// Held by open orders and withdrawals in progress.
    pub locked: u64,
}

/// A credited deposit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// Transaction on the coin's chain.
    pub txid: String,
    /// Amount, 10^-8 coin.
    pub amount: u64,
}

/// What the venue knows of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// No order carries this id.
    Unknown,
    /// Still working.
    Open,
    /// Nothing more will come of it. All zero if nothing was executed.
    Done {
        /// Coin sold, 10^-8.
        amount: u64,
        /// BTC received before the fee.
        gross: Sats,
        /// Fee in BTC.
        fee: Sats,
        /// The venue's name for this end.
        status: String,
    },
}

/// What the venue knows of a withdrawal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WithdrawalState {
    /// No withdrawal carries this id.
    Unknown,
    /// Under way.
    Open,
    /// Sent.
    Sent {
        /// Bitcoin transaction.
        txid: String,
        /// Withdrawal fee.
        fee: Sats,
    },
    /// Cancelled, rejected or failed: the amount is free again.
    Failed(String),
}

/// An exchange account. Ids are ours: unique for ever, at most 36 characters of `[A-Za-z0-9-]`.
pub trait Venue: Send + Sync {
    /// Learns the venue's clock, so that signed requests carry its time.
    fn sync_time(&self) -> impl Future<Output = Result<(), VenueError>> + Send;
    /// Best bid for the coin, 10^-8 BTC per coin: is there a market?
    fn best_bid(&self, coin: Coin) -> impl Future<Output = Result<u64, VenueError>> + Send;
    /// Balance of an asset.
    fn balance(&self, coin: Coin) -> impl Future<Output = Result<Balance, VenueError>> + Send;
    /// Every credited deposit that the venue remembers.
    fn deposits(&self, coin: Coin)
    -> impl Future<Output = Result<Vec<Deposit>, VenueError>> + Send;
    /// Sells `amount` (10^-8) of `coin` for BTC at the market.
    fn sell(
        &self,
        id: &str,
        coin: Coin,
        amount: u64,
    ) -> impl Future<Output = Result<(), VenueError>> + Send;
    /// Looks for an order among the open and the closed, with its trades.
    fn order(
        &self,
        id: &str,
        coin: Coin,
    ) -> impl Future<Output = Result<OrderState, VenueError>> + Send;
    /// Withdraws `amount` of BTC, fee included, to `address`.
    fn withdraw(
        &self,
        id: &str,
        address: &str,
        amount: Sats,
    ) -> impl Future<Output = Result<(), VenueError>> + Send;
    /// Looks for a withdrawal.
    fn withdrawal(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<WithdrawalState, VenueError>> + Send;
    /// How long after it was sent a request can still be accepted.
    fn request_lifetime(&self) -> Duration;
}
