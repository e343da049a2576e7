//! The logic behind `scripts/`: dev chains, the demo and its story.
//!
//! What flows in: the binaries that the workspace built, and tools that `scripts/setup` installed. What flows out:
//! running processes under one folder, and an exit code that tells whether the story came true.
//!
//! It is never part of a deployment, and no service depends on it.

#![allow(
    clippy::indexing_slicing,
    reason = "JSON values index without panicking; a harness may stop loudly"
)]

pub mod bench;
pub mod demo;
pub mod devnet;
pub mod paths;
pub mod ports;
pub mod process;
pub mod rpc;
