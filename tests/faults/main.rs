//! Real processes when things go wrong: SIGKILL at every state, lost databases, reorgs, hostile requests, bad input.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests may panic"
)]

mod configs;
mod oracle;
mod settlement;
