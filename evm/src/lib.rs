//! Everything that speaks to the EVM chain.
//!
//! What flows in: JSON-RPC answers. What flows out: typed bindings of our contracts, a canonical block stream that says
//! when a block was taken back, finality, and a sender that lands each call or says why it cannot.
//!
//! It never decides what to say to the chain, keeps no state between runs, and knows no database.

pub mod bindings;
pub mod canonical;
pub mod deployment;
pub mod error;
pub mod fault;
pub mod finality;
pub mod first_block;
pub mod keys;
pub mod logs;
pub mod quorum;
pub mod record;
pub mod sender;

pub use alloy::providers::DynProvider;
pub use canonical::{CanonicalBlock, follow};
pub use deployment::{Deployment, SeriesContracts};
pub use error::Error;
pub use fault::fault_name;
pub use finality::{BlockRef, Finality, block_at, block_numbered};
pub use first_block::{FirstBlock, first_block};
pub use keys::read_key;
pub use logs::{decoded, logs_between};
pub use sender::{connect, connect_signing, explain, land};
