//! Deploys the contracts with the same Foundry script that production uses.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use alloy::primitives::U256;
use evm::bindings::{IDemoQuote, ILedgerCourt};
use eyre::{Result, WrapErr, eyre};
use serde_json::{Value, json};

use super::{Anvil, DevKey, dev_key};
use crate::paths;

/// How long one run of the script may take: it compiles first if it must.
const PATIENCE: Duration = Duration::from_secs(180);
const ATTEMPTS: u32 = 2;
/// Quote units (6 decimals) that the operator leaves as bond: a million, far above three of the demo's pots.
const BOND: u64 = 1_000_000_000_000;

/// Runs `scripts/deploy/Deploy.s.sol` with the dev configuration; returns the path of the deployment file.
///
/// # Errors
/// When forge fails; the message shows its output.
pub async fn deploy(dir: &Path, anvil: &Anvil, confirmations: u8) -> Result<PathBuf> {
    let root = paths::root();
    let config = dir.join("deploy.json");
    let out = dir.join("deployment.json");
    let base = std::fs::read_to_string(root.join("scripts/deploy/dev.json"))?;
    let mut value: Value = serde_json::from_str(&base).wrap_err("scripts/deploy/dev.json")?;
    value["operator"] = json!(dev_key(DevKey::Operator).address());
    value["guardian"] = json!(dev_key(DevKey::Guardian).address());
    let mut signers: Vec<_> = (0..5).map(|i| dev_key(DevKey::Signer(i)).address()).collect();
    signers.sort();
    value["signers"] = json!(signers);
    value["quorum"] = json!(3);
    value["confirmations"] = json!(confirmations);
    set_first_loss(&mut value);
    std::fs::write(&config, serde_json::to_string_pretty(&value)?)?;
    let sender = anvil.deployer().await?;
    for _ in 0..ATTEMPTS {
        let mut forge = tokio::process::Command::new(paths::foundry("forge")?);
        forge.current_dir(&root).stdin(Stdio::null()).kill_on_drop(true);
        forge.args(["script", "scripts/deploy/Deploy.s.sol", "--sig", "run(string,string)"]);
        forge.arg(&config).arg(&out);
        forge.args(["--rpc-url", &anvil.url, "--broadcast", "--slow", "--unlocked"]);
        forge.args(["--non-interactive", "--sender", &sender.to_string()]);
        match tokio::time::timeout(PATIENCE, forge.output()).await {
            Ok(output) => {
                let path = finished(&output?, &out)?;
                post_bond(anvil, &evm::Deployment::read(&path)?).await?;
                return Ok(path);
            }
            // anvil sometimes keeps a transaction queued for ever although its nonce is the next one.
            Err(_) => anvil.call("anvil_dropAllTransactions", json!([])).await?,
        };
    }
    Err(eyre!("the deployment took longer than {} s, {ATTEMPTS} times", PATIENCE.as_secs()))
}

/// The operator's bond, from the demo's own quote token: without it nothing is minted once pots are reported.
async fn post_bond(anvil: &Anvil, deployment: &evm::Deployment) -> Result<()> {
    anvil.fund(&[DevKey::Operator]).await?;
    let operator = anvil.as_key(DevKey::Operator)?;
    let quote = IDemoQuote::new(deployment.quote, operator.clone());
    let (amount, holder) = (U256::from(BOND), dev_key(DevKey::Operator).address());
    evm::land("mint", quote.mint(holder, amount)).await?;
    evm::land("approve", quote.approve(deployment.ledger_court, amount)).await?;
    let court = ILedgerCourt::new(deployment.ledger_court, operator);
    evm::land("post", court.post(amount)).await?;
    Ok(())
}

fn finished(output: &Output, out: &Path) -> Result<PathBuf> {
    if output.status.success() && out.exists() {
        return Ok(out.to_owned());
    }
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    Err(eyre!("deployment failed:\n{}", String::from_utf8_lossy(&text)))
}

fn set_first_loss(config: &mut Value) {
    let address = json!(dev_key(DevKey::FirstLoss).address());
    for series in config["series"].as_array_mut().into_iter().flatten() {
        if let Some(pool) = series.get_mut("pool") {
            pool["firstLoss"] = address.clone();
        } else {
            series["firstLoss"] = address.clone();
        }
    }
}
