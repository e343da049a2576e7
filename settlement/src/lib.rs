//! The money path: from a finalized report to a Bitcoin payout that a contract has seen proven.
//!
//! What flows in: the EVM chain (reports, balance-seconds, payout scripts, commitments) and Bitcoin's blocks, from a node
//! or, proven, from an Electrum or Esplora server.
//! What flows out: one commitment per epoch, one chain of Bitcoin transactions that pays it, one proof per
//! transaction. The signers are separate processes with keys and stores of their own (`signer`).
//!
//! It never holds a Bitcoin key, never pays what is not committed in a final block, never pays an epoch twice (each
//! payout spends the baton of the one before), never takes a miner fee from a payee, never trusts the indexer, and
//! never needs its database to be right: all of it can be computed again from the two chains.
//!
//! Modules, in reading order.

pub mod encode;

pub mod base;

pub mod cut;

pub mod allocate;

mod packed;

pub mod twab;

pub mod chain;

pub mod corrections;

pub mod snapshot;

pub mod vault;

pub mod plan;

pub mod psbt;

pub mod state;

pub mod database;

pub mod variant;

pub mod bump;

pub mod refusal;

pub mod known;
pub mod ledger;

pub mod store;

pub mod node;

pub mod light;

pub mod backend;

pub mod treasury;

pub mod protocol;

pub mod rim;

pub mod live;

pub mod proof;

pub mod relay;

pub mod court;

pub mod challenge;

pub mod engine;

pub mod evidence;

pub mod exhibit;

pub mod retrace;

pub mod rulings;

pub mod dry_run;

pub mod export;

pub mod offline;

pub mod orders;

pub mod metrics;

pub mod statement;

pub mod doctor;

pub mod signer;

pub mod script;

pub mod ownership;

pub mod config;

pub mod http;

pub mod halt;

pub mod error;
