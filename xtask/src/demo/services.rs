//! The product's own services: their configuration files, and the order in which they start.

mod money;
mod production;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use domain::EpochId;
use eyre::{Result, eyre};
use serde_json::{Value, json};

use super::{config::write_toml, keys, keys::Descriptors, outside};
use crate::{
    devnet::{Anvil, Bitcoind},
    paths, ports,
    process::Process,
};

const READY: Duration = Duration::from_secs(60);

/// All that the configuration files are made of.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The demo's folder.
    pub dir: &'a Path,
    /// EVM chain.
    pub evm: &'a Anvil,
    /// Bitcoin chain.
    pub bitcoin: &'a Bitcoind,
    /// Deployment file.
    pub deployment: &'a Path,
    /// Descriptors of baton and treasury.
    pub descriptors: &'a Descriptors,
    /// Where pools and the exchange pay.
    pub treasury: &'a Treasury,
    /// The exchange.
    pub exchange: &'a outside::Exchange,
    /// Pools.
    pub btc_pool: &'a outside::Pool,
    /// Pools.
    pub bch_pool: &'a outside::Pool,
    /// Ports of our services.
    pub ports: &'a Ports,
}

/// Treasury addresses: one for the pool, one for withdrawals from the exchange.
#[derive(Clone, Debug)]
pub struct Treasury {
    /// The BTC pool pays here.
    pub pool: String,
    /// The exchange withdraws here, and nowhere else.
    pub withdrawals: String,
}

/// Ports of our services, `host:port`.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The page and the API.
    pub api: String,
    /// Machines connect here.
    pub stratum: String,
    /// Switching engine's status.
    pub switching: String,
    /// Conversion's status.
    pub conversion: String,
    /// Settlement's status.
    pub settlement: String,
    /// Oracle signers.
    pub oracle: Vec<String>,
}

impl Ports {
    /// Takes free ports, the page's from `first` on.
    ///
    /// # Errors
    /// When there are none.
    pub fn take(first: u16) -> Result<Self> {
        let api = ports::free_from(first)?;
        if api != first {
            super::say::note(&format!("port {first} is in use: the page will be on {api}"));
        }
        let at =
            |from: u16| Ok::<_, eyre::Report>(format!("127.0.0.1:{}", ports::free_from(from)?));
        Ok(Self {
            api: format!("127.0.0.1:{api}"),
            stratum: at(3_333)?,
            switching: at(8_701)?,
            conversion: at(8_702)?,
            settlement: at(8_470)?,
            oracle: (0..5).map(|_| at(8_710)).collect::<Result<_>>()?,
        })
    }
}

/// Commands that the story runs, each with its configuration file.
#[derive(Debug)]
pub struct Commands {
    dir: PathBuf,
    verify: Vec<String>,
}

impl Commands {
    /// A command by name.
    ///
    /// # Errors
    /// When there is none, or its binary is not built.
    pub fn named(&self, name: &str) -> Result<Command> {
        match name {
            "attest-batch" => self.with_config("fleet-oracle", &["attest-batch"], "operator"),
            "attest-upgrade" => {
                self.with_config("fleet-oracle", &["attest-upgrade", "--series", "1"], "operator")
            }
            "verify" | "tamper-upgrades" => {
                let mut command = Command::new(paths::ours("verify")?);
                command.args(&self.verify);
                if name == "tamper-upgrades" {
                    command.args(["--tamper", "12"]);
                }
                Ok(command)
            }
            _ => Err(eyre!("no command {name}")),
        }
    }

    /// The address of the first baton.
    ///
    /// # Errors
    /// When settlement fails.
    pub fn baton_address(&self) -> Result<String> {
        let mut command = self.with_config("settlement", &["address"], "settlement")?;
        last_word(&keys::output(command.arg("baton-genesis"))?)
    }

    /// Prints the unsigned payout of an epoch.
    ///
    /// # Errors
    /// When the binary is not built.
    pub fn planned_psbt(&self, epoch: EpochId) -> Result<Command> {
        let mut command = self.with_config("settlement", &["psbt"], "settlement")?;
        command.args(["--epoch", &epoch.to_string()]);
        Ok(command)
    }

    fn with_config(&self, binary: &str, words: &[&str], config: &str) -> Result<Command> {
        let mut command = Command::new(paths::ours(binary)?);
        command.args(words).arg("--config").arg(self.dir.join(format!("{config}.toml")));
        Ok(command)
    }
}

/// Writes settlement's configuration and reads the treasury's addresses off it, with the tool that operators have.
///
/// # Errors
/// When settlement refuses the configuration.
pub fn treasury_addresses(
    dir: &Path,
    evm: &Anvil,
    bitcoin: &Bitcoind,
    descriptors: &Descriptors,
    ports: &Ports,
) -> Result<Treasury> {
    money::write_settlement_config(dir, evm, bitcoin, descriptors, &ports.settlement)?;
    let address = |index: &str| {
        let mut command = Command::new(paths::ours("settlement")?);
        command.args(["address", "--config"]).arg(dir.join("settlement.toml"));
        last_word(&keys::output(command.args(["treasury", index]))?)
    };
    Ok(Treasury { pool: address("0")?, withdrawals: address("1")? })
}

/// Starts every service and waits until each is ready.
///
/// # Errors
/// When one does not come up.
pub async fn start(plan: &Plan<'_>) -> Result<(Vec<Process>, Commands)> {
    let mut up = Vec::new();
    up.push(production::switching(plan).await?);
    up.push(production::conversion(plan).await?);
    up.extend(production::oracle_signers(plan).await?);
    up.extend(money::bitcoin_signers(plan).await?);
    up.push(money::settlement(plan).await?);
    up.push(money::indexer(plan).await?);
    let verify = verify_arguments(plan);
    std::fs::write(plan.dir.join("audit.args"), verify.join("\n"))?;
    Ok((up, Commands { dir: plan.dir.to_owned(), verify }))
}

fn verify_arguments(plan: &Plan<'_>) -> Vec<String> {
    let evidence = format!("http://{}", plan.ports.switching);
    let cookie = plan.bitcoin.cookie.display().to_string();
    let deployment = plan.deployment.display().to_string();
    let source = paths::root().display().to_string();
    let declared = plan.dir.join("deploy.json").display().to_string();
    let words: [&str; 14] = [
        "--evm",
        &plan.evm.url,
        "--bitcoin",
        &plan.bitcoin.url,
        "--cookie",
        &cookie,
        "--deployment",
        &deployment,
        "--config",
        &declared,
        "--evidence",
        &evidence,
        "--source",
        &source,
    ];
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Writes a service's configuration, starts it, and waits for its ready line.
async fn launch(
    plan: &Plan<'_>,
    binary: &str,
    words: &[&str],
    name: &str,
    config: &Value,
) -> Result<Process> {
    let path = write_toml(plan.dir, name, config)?;
    let mut command = Command::new(paths::ours(binary)?);
    command.args(words).arg("--config").arg(path);
    let mut process = Process::spawn(name, &mut command, plan.dir)?;
    process.line("ready", READY).await?;
    Ok(process)
}

/// The chain's clock, as services are configured with it.
fn chain_clock(plan: &Plan<'_>) -> Value {
    json!({"source": "chain", "url": plan.evm.url, "poll_ms": 100})
}

fn last_word(text: &str) -> Result<String> {
    text.split_whitespace().last().map(ToOwned::to_owned).ok_or_else(|| eyre!("no output"))
}
