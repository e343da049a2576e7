//! Settlement's configuration in worlds that are made up.

use std::path::PathBuf;

use bitcoin::Network;
use settlement::{
    bump::Bump,
    config::{BackendConfig, BitcoinConfig, Config, EvmConfig, Policy, SignerConfig, VaultConfig},
    database::Database,
};

use super::sim::MIN_PAY;

/// Settings of a world.
pub(in crate::bench) fn config(max_batch_bytes: usize) -> Config {
    let signer = |name: &str| SignerConfig { name: name.into(), socket: PathBuf::new() };
    Config {
        database: Database::Sqlite(PathBuf::new()),
        listen: String::new(),
        network: Network::Regtest,
        poll_ms: 1,
        deployment: PathBuf::new(),
        evm: EvmConfig { rpc: [String::new(), String::new()], key_file: PathBuf::new() },
        bitcoin: BitcoinConfig {
            backend: BackendConfig::Rpc { url: String::new(), cookie_file: PathBuf::new() },
            birthday_height: 0,
            confirmations: 6,
            funding_confirmations: 2,
        },
        vault: VaultConfig {
            baton: String::new(),
            treasury: String::new(),
            reserve_index: Some(0),
            lookahead: 5,
            threshold: 2,
        },
        policy: Policy {
            min_pay: MIN_PAY,
            min_baton: 10_000,
            defer_after_epochs: 3,
            max_batch_bytes,
            max_funding_inputs: 50,
            confirm_within_blocks: 6,
            fallback_fee_rate: 2_000,
            min_fee_rate: 1_000,
            max_fee_rate: 10_000,
            bump: Bump { after_blocks: 2, every_blocks: 1, ..Bump::default() },
        },
        orders: None,
        ownership: None,
        psbt_dir: PathBuf::new(),
        signers: ["a", "b", "c"].map(signer).into(),
    }
}
