//! A quorum of signers reports, for every epoch, what the fleet earned.
//!
//! What flows in, separately for each signer process: the treasury's outputs from its own Bitcoin node, pool
//! statements, the exchange's trades and withdrawals, the switching journal, prices of bitcoin and of hardware.
//! What flows out: one signed observation per epoch, EIP-712 signatures over the report that a quorum's observations
//! determine, and, when it is this signer's turn to lead, the report on chain and the proof of the epoch's hashrate.
//! Also attestations of machine batches and of upgrades.
//!
//! It never signs two digests for one epoch and round, never signs a receipt that it does not see itself, never
//! releases what it has not written to its own store first, and shares no store or key with another signer.
//!
//! Modules, in reading order: [`attribution`] (receipt → hours of work), [`pots`] (work → pieces), [`observation`],
//! [`report`] (observations → report) are pure; [`sources`], [`store`] and [`chain`] are the rim; [`signer`] and
//! [`leader`] are the protocol; `watch` has whoever signs two things at once slashed.

pub mod numbers;

pub mod attribution;
pub mod merkle;
pub mod observation;
pub mod pots;
pub mod report;

pub mod batch;
pub mod config;
pub mod upgrade;

pub mod chain;
pub mod sources;
pub mod store;

pub mod api;
pub mod leader;
pub mod peers;
pub mod proofs;
pub mod reading;
pub mod request;
pub mod signer;
mod watch;
