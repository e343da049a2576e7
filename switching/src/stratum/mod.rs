//! Stratum V1 as SHA-256 machines and pools speak it: text lines, jobs, shares and difficulty. Pure: no socket, no clock.

pub mod codec;
pub mod difficulty;
pub mod job;
pub mod share;
