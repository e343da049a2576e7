//! The nouns of Liquid Hashrate: epochs, sats, series, coins, journal records, leaves and plans.
//!
//! What flows in: nothing. What flows out: types, and the few pure rules that belong to a type alone (when an epoch
//! starts, how a hash chain is checked). Every other crate speaks in these words.
//!
//! It never does I/O, reads a clock, holds a key or allocates a payout: settlement and the verifier each compute
//! leaves with their own code, and only the *types* they compare live here.
//!
//! Modules, in reading order.

mod epoch;
pub use epoch::{EPOCH_SECONDS, EpochId};

mod sats;
pub use sats::{Sats, SatsOverflow};

mod coin;
pub use coin::{Algorithm, Coin, CoinState};

mod series;
pub use series::{SeriesId, UNIT};

pub mod decimal;

pub mod journal;

mod share;
pub use share::ShareProof;

mod production;
pub use production::{Production, Rate, SwitchReason};

mod fills;
pub use fills::Fill;

mod leaf;
pub use leaf::{Leaf, OutRef, Root, SeriesAcc, Since};
