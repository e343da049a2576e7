//! Helpers of the end-to-end tests: worlds made of real processes.
//!
//! What flows in: the devnet of `xtask`. What flows out: signed reports, worlds to kill things in. It is never linked
//! into a service.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test harness may panic"
)]

pub mod hashproof;
pub mod payday;
pub mod report;
