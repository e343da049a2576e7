//! Coins and the algorithms they are mined with.

use serde::{Deserialize, Serialize};

/// What a machine computes. A machine has one algorithm for life; the discriminant is the contract's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-256d: BTC, BCH.
    Sha256,
    /// Scrypt (1024, 1, 1): LTC merged with DOGE.
    Scrypt,
    /// Equihash (200, 9): ZEC, and ZEN until 23 July 2025.
    Equihash,
    /// kHeavyHash: KAS.
    KHeavyHash,
}

impl Algorithm {
    /// The number that contracts use.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Scrypt => 2,
            Self::Equihash => 3,
            Self::KHeavyHash => 4,
        }
    }

    /// The algorithm of a contract's number.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(Self::Sha256),
            2 => Some(Self::Scrypt),
            3 => Some(Self::Equihash),
            4 => Some(Self::KHeavyHash),
            _ => None,
        }
    }
}

/// A coin that a venue pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Coin {
    /// Bitcoin.
    Btc,
    /// Bitcoin Cash.
    Bch,
    /// Litecoin.
    Ltc,
    /// Dogecoin.
    Doge,
    /// Zcash.
    Zec,
    /// Horizen, no longer mined.
    Zen,
    /// Kaspa.
    Kas,
}

impl Coin {
    /// The algorithm that mines it.
    #[must_use]
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Btc | Self::Bch => Algorithm::Sha256,
            Self::Ltc | Self::Doge => Algorithm::Scrypt,
            Self::Zec | Self::Zen => Algorithm::Equihash,
            Self::Kas => Algorithm::KHeavyHash,
        }
    }

    /// Ticker in capitals.
    #[must_use]
    pub const fn ticker(self) -> &'static str {
        match self {
            Self::Btc => "BTC",
            Self::Bch => "BCH",
            Self::Ltc => "LTC",
            Self::Doge => "DOGE",
            Self::Zec => "ZEC",
            Self::Zen => "ZEN",
            Self::Kas => "KAS",
        }
    }
}

impl std::fmt::Display for Coin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.ticker())
    }
}

/// Where a coin stands in its life. A coin that is not `Active` or `Warning` earns zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoinState {
    /// Mined and sold.
    #[default]
    Active,
    /// Mined and sold, with an announced end or a sick network.
    Warning,
    /// No longer mined; what was mined is still sold.
    Draining,
    /// The network stands still.
    Halted,
    /// No exchange of ours sells it.
    Delisted,
    /// Became a token; proof of work ended.
    Migrated,
}

impl CoinState {
    /// Whether machines may be sent to it.
    #[must_use]
    pub const fn minable(self) -> bool {
        matches!(self, Self::Active | Self::Warning)
    }
}
