//! Records of the production journal: what the switching engine did, and the work that pools acknowledged.

use alloy::primitives::{B256, FixedBytes};
use serde::{Deserialize, Serialize};

use crate::{Coin, EpochId, SeriesId, ShareProof};

/// Expected revenue of a venue at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Venue name as configured.
    pub venue: String,
    /// Millisats per 10^6 expected hashes after fees, at the executable price; a zero venue is not to be mined.
    #[serde(with = "crate::decimal")]
    pub millisats_per_mhash: u64,
}

/// Why the engine moved, or stayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchReason {
    /// No venue was current.
    Start,
    /// Another venue pays more by more than the hysteresis.
    BetterVenue,
    /// The current venue is gone: its coin stopped, its feed is stale or its pool does not answer.
    VenueLost,
}

/// One record. Times are unix seconds of chain time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Production {
    /// The engine started.
    Started {
        /// When.
        time: u64,
    },
    /// A machine connected and was authorised.
    MachineJoined {
        /// When.
        time: u64,
        /// Machine name: its serial.
        machine: String,
        /// The series it backs.
        series: SeriesId,
    },
    /// A machine's connection ended.
    MachineLeft {
        /// When.
        time: u64,
        /// Machine name.
        machine: String,
    },
    /// A pool connection came up.
    VenueUp {
        /// When.
        time: u64,
        /// Venue name.
        venue: String,
        /// Coin it pays.
        coin: Coin,
    },
    /// A pool connection was lost.
    VenueDown {
        /// When.
        time: u64,
        /// Venue name.
        venue: String,
        /// What happened, in words.
        why: String,
    },
    /// All machines of an algorithm moved.
    Switched {
        /// When.
        time: u64,
        /// Venue left, if any.
        from: Option<String>,
        /// Venue entered.
        to: String,
        /// Why.
        reason: SwitchReason,
        /// The inputs that decided: every venue's rate.
        rates: Vec<Rate>,
        /// Machines moved.
        machines: u32,
        /// Microseconds from decision to the last byte handed to the kernel.
        latency_micros: u64,
    },
    /// Work that a pool acknowledged, per machine, venue and epoch, since the last such record.
    Work {
        /// First second covered.
        from: u64,
        /// First second not covered.
        to: u64,
        /// The epoch that holds both.
        epoch: EpochId,
        /// Venue name.
        venue: String,
        /// Machine name.
        machine: String,
        /// The series it backs.
        series: SeriesId,
        /// Shares the pool accepted.
        shares: u32,
        /// Expected hashes of those shares.
        #[serde(with = "crate::decimal")]
        hashes: u128,
        /// Shares the pool refused, stale ones apart.
        rejected: u32,
        /// Shares the pool called stale.
        stale: u32,
    },
    /// A venue's work was given to machines with an epoch's tag in it, or could not carry one. Once per epoch, venue and
    /// target.
    Tagged {
        /// When.
        time: u64,
        /// The epoch of the tag.
        epoch: EpochId,
        /// Venue name.
        venue: String,
        /// The tag; none if the venue leaves no room for it: what is hashed there cannot be proven.
        tag: Option<FixedBytes<4>>,
        /// Highest hash that the pool takes as a share, as a big-endian number.
        target: B256,
    },
    /// A share that its pool accepted, and whose hash was among the lowest under an epoch's tag when it was.
    Share {
        /// When the pool accepted it.
        time: u64,
        /// The epoch of its tag; may be the one before that of `time`.
        epoch: EpochId,
        /// Venue name.
        venue: String,
        /// Machine name.
        machine: String,
        /// Header hash as a big-endian number.
        hash: B256,
        /// What shows it.
        proof: Box<ShareProof>,
    },
}
