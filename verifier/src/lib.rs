//! Recomputes every epoch from the two public chains and says, check by check, whether what was claimed is true.
//!
//! What flows in: JSON-RPC answers of an EVM node and of a Bitcoin node, the deployment's addresses, and, if given, the
//! published evidence and this source. What flows out: a [`Verdict`] per check.
//!
//! It never signs or sends anything, stores nothing but a cache in a folder that it is given, trusts no indexer, and shares no allocation, plan or encoding code with
//! settlement: the two are written apart, and tied only by `docs/LEDGER.md` and the golden vectors.
//!
//! Modules, in reading order.

mod error;
pub use error::Error;

mod verdict;
pub use verdict::{CheckId, Findings, Outcome, Report, Verdict};

pub mod progress;

pub mod cache;

pub mod rpc;

pub mod chain;

pub mod history;

pub mod header;

pub mod headers;

pub mod node;

pub mod replay;

pub mod encode;

pub mod allocate;

pub mod books;
pub mod court;

pub mod value;

pub mod evidence;

pub mod hashproof;

pub mod compile;

pub mod world;

pub mod checks;

pub mod tamper;

pub mod holder;
