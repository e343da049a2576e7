//! Records of the fill journal: how mined coins became bitcoin, each step written before it is done.

use serde::{Deserialize, Serialize};

use crate::{Coin, Sats};

/// One record. Times are unix seconds of chain time. Coin amounts are in 10^-8 coin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fill {
    /// The exchange credited a deposit.
    Deposited {
        /// When it was seen.
        time: u64,
        /// The coin.
        coin: Coin,
        /// Transaction id on the coin's chain.
        txid: String,
        /// Amount credited.
        #[serde(with = "crate::decimal")]
        amount: u64,
    },
    /// A sale is about to be placed under this client order id.
    SaleIntended {
        /// When.
        time: u64,
        /// Client order id, unique for ever.
        id: String,
        /// The coin sold.
        coin: Coin,
        /// Amount to sell.
        #[serde(with = "crate::decimal")]
        amount: u64,
    },
    /// The exchange executed a sale, wholly or in part; nothing more will come of this id.
    Sold {
        /// When.
        time: u64,
        /// Client order id.
        id: String,
        /// Amount sold.
        #[serde(with = "crate::decimal")]
        amount: u64,
        /// BTC received before the fee.
        gross: Sats,
        /// Trading fee in BTC, rounded up.
        fee: Sats,
    },
    /// The exchange refused a sale, or knows nothing of it; its amount is free again.
    SaleVoid {
        /// When.
        time: u64,
        /// Client order id.
        id: String,
        /// The exchange's words.
        why: String,
    },
    /// A withdrawal to the treasury is about to be asked for under this client id.
    WithdrawalIntended {
        /// When.
        time: u64,
        /// Client withdrawal id, unique for ever.
        id: String,
        /// Treasury address.
        address: String,
        /// Amount asked for, fee included.
        amount: Sats,
    },
    /// The withdrawal was sent.
    Withdrawn {
        /// When.
        time: u64,
        /// Client withdrawal id.
        id: String,
        /// Bitcoin transaction.
        txid: String,
        /// Withdrawal fee.
        fee: Sats,
    },
    /// The exchange refused the withdrawal; its amount is free again.
    WithdrawalVoid {
        /// When.
        time: u64,
        /// Client withdrawal id.
        id: String,
        /// The exchange's words.
        why: String,
    },
}
