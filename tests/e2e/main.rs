//! End to end over real processes, when all goes well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    unreachable_pub,
    reason = "tests may panic"
)]

mod devnet;
mod differential;
mod indexer;
mod story;
mod verifier;
