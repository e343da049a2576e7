//! Leaves and roots of the payout tree. Only the types: Solidity, settlement and the verifier each encode them with
//! code of their own, tied by `tests/vectors/leaf.json`. Rules: `docs/LEDGER.md`.

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{EpochId, Sats, SeriesId};

/// What an account has earned in one series, for life, in 2^-64 sat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesAcc {
    /// The series.
    pub series: SeriesId,
    /// Accumulator, 2^-64 sat, above zero.
    #[serde(with = "crate::decimal")]
    pub acc: u128,
}

/// Which Bitcoin output pays an account in this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OutRef {
    /// Batch: one payout transaction.
    pub batch: u16,
    /// Position among the batch's payees, from 0.
    pub index: u16,
}

/// First epoch with something owed since the last payment; `None` if nothing is owed.
pub type Since = Option<EpochId>;

/// One account's line in the payout tree of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// The EVM account.
    pub account: Address,
    /// keccak256 of the scriptPubKey in force at the start of the epoch; zero if none.
    pub script_hash: B256,
    /// Sats scheduled for the account through this epoch, cumulative.
    pub paid: Sats,
    /// Since when something is owed.
    pub since: Since,
    /// Where it is paid in this epoch, if it is.
    pub out: Option<OutRef>,
    /// Accumulators above zero, series ascending, at most 16.
    pub acc: Vec<SeriesAcc>,
}

/// A node of the Merkle-sum tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Hash.
    pub hash: B256,
    /// Sum of accumulators below, 2^-64 sat.
    #[serde(with = "crate::decimal")]
    pub acc_sum: u128,
    /// Sum of cumulative scheduled sats below.
    pub paid_sum: Sats,
}
