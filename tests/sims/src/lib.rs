//! Simulators of *outside* parties: a mining pool, a spot exchange, mining machines and a light
//! Bitcoin server.
//!
//! What flows in: real protocols (Stratum V1, Binance-shaped REST, bitcoind JSON-RPC,
//! Electrum, Esplora). What flows out: the same.
//! They check what they are sent by themselves and can be told to misbehave. They are nothing of the
//! product and never use a crate, a type or a codec of it.

mod amount;
mod exchange;
mod light;
mod miner;
mod node;
mod pool;
mod process;
mod work;

pub use exchange::exchange_main;
pub use light::light_main;
pub use miner::miner_main;
pub use pool::pool_main;
