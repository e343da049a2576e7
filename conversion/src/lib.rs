//! Mined coins become BTC in the treasury, exactly once.
//!
//! What flows in: an exchange account that mining pools pay into. What flows out: market sales, withdrawals to one
//! allow-listed address, and the fill journal, a hash-chained file that says what is about to be done before it is done.
//!
//! The rule of exactly once: **an id is sent at most once in its life, and only by the process that has just written
//! it down.** Whatever the answer, lost or not, the outcome is then asked for under that id; an intention found in the
//! journal after a restart is never sent, only asked about. An id that the exchange does not know is given up when no
//! request that carries it can still be accepted, and its amount is intended anew under another id.
//!
//! It never sends coins anywhere but to the treasury address of its configuration, never keeps state beside the
//! journal, never rounds an amount, and never reads the wall clock for anything but waiting.
//!
//! Modules, in reading order.

pub mod amount;
pub mod book;
pub mod journal;
pub mod venue;

pub mod binance;
pub mod signature;

pub mod config;
pub mod converter;
pub mod http;
