//! Services that handle money or show it: Bitcoin signers, settlement, indexer.

use std::{path::Path, process::Command};

use eyre::Result;
use serde_json::json;

use super::{Plan, READY, launch};
use crate::{
    demo::{config::write_toml, keys},
    devnet::{Anvil, Bitcoind, DevKey, write_key},
    paths,
    process::Process,
};

/// The two online Bitcoin signers. The third key stays cold.
pub(super) async fn bitcoin_signers(plan: &Plan<'_>) -> Result<Vec<Process>> {
    let mut up = Vec::new();
    for name in keys::BITCOIN_SIGNERS.iter().take(2) {
        let home = keys::signer_home(plan.dir, name);
        let config = json!({
            "socket": home.join("signer.sock"),
            "passphrase_file": home.join("passphrase"),
            "dir": home,
            "network": "regtest",
            "deployment": plan.deployment,
            "evm": {"rpc": [plan.evm.url, plan.evm.url]},
            "vault": vault(plan),
            "limits": {"max_fee_sats": 1_000_000, "max_fee_rate": 100_000},
        });
        up.push(launch(plan, "signer", &["run"], name, &config).await?);
    }
    Ok(up)
}

/// Settlement, by the file that [`write_settlement_config`] wrote.
pub(super) async fn settlement(plan: &Plan<'_>) -> Result<Process> {
    write_key(DevKey::Operator, &plan.dir.join("operator.key"))?;
    let mut command = Command::new(paths::ours("settlement")?);
    command.args(["run", "--config"]).arg(plan.dir.join("settlement.toml"));
    let mut process = Process::spawn("settlement", &mut command, plan.dir)?;
    process.line("ready", READY).await?;
    Ok(process)
}

/// Writes settlement's configuration: early, because its tool tells the treasury's addresses by it.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_settlement_config(
    dir: &Path,
    evm: &Anvil,
    bitcoin: &Bitcoind,
    descriptors: &keys::Descriptors,
    listen: &str,
) -> Result<()> {
    let signers: Vec<_> = keys::BITCOIN_SIGNERS
        .iter()
        .take(2)
        .map(|name| json!({"name": name, "socket": keys::signer_home(dir, name).join("signer.sock")}))
        .collect();
    let config = json!({
        "database": dir.join("settlement.sqlite"),
        "listen": listen,
        "network": "regtest",
        "poll_ms": 200,
        "deployment": dir.join("deployment.json"),
        "evm": {"rpc": [evm.url, evm.url], "key_file": dir.join("operator.key")},
        "bitcoin": {
            "backend": {"kind": "rpc", "url": bitcoin.url, "cookie_file": bitcoin.cookie},
            "birthday_height": 0, "confirmations": 6, "funding_confirmations": 1,
        },
        "vault": {
            "baton": descriptors.baton, "treasury": descriptors.treasury,
            "lookahead": 20, "threshold": 2,
        },
        "policy": {
            "min_pay": 5_000, "min_baton": 10_000, "defer_after_epochs": 3,
            "max_batch_bytes": 90_000, "max_funding_inputs": 100, "confirm_within_blocks": 6,
            "fallback_fee_rate": 2_000, "min_fee_rate": 1_000, "max_fee_rate": 100_000,
        },
        "signers": signers,
    });
    write_toml(dir, "settlement", &config).map(|_| ())
}

fn vault(plan: &Plan<'_>) -> serde_json::Value {
    json!({"baton": plan.descriptors.baton, "treasury": plan.descriptors.treasury})
}

/// The indexer, which also serves the page.
pub(super) async fn indexer(plan: &Plan<'_>) -> Result<Process> {
    let config = json!({
        "rpc_url": plan.evm.url,
        "deployment": plan.deployment,
        "database": plan.dir.join("indexer.sqlite"),
        "listen": plan.ports.api,
        "web_dir": paths::root().join("web/dist"),
        "bitcoin_network": "regtest",
        "fleet_url": format!("http://{}", plan.ports.switching),
        "conversion_url": format!("http://{}", plan.ports.conversion),
        "poll_ms": 150,
        "reorg_depth": 256,
    });
    launch(plan, "indexer", &["run"], "indexer", &config).await
}
