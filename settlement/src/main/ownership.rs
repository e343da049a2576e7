//! `settlement ownership`: who has the key of a payout script.

use std::path::PathBuf;

use alloy::primitives::Address;
use bitcoin::ScriptBuf;
use clap::{Args, Subcommand};
use eyre::{OptionExt, Result};
use serde_json::json;
use settlement::{chain::Chain, config::Config, ownership::Owners, script, store::Store};

use super::{print, say};

#[derive(Debug, Subcommand)]
pub(super) enum Ownership {
    /// Prints the sentence to sign, and the same as a transaction for wallets that sign only those, as bitcoind does.
    Message(Whose),
    /// Says whether a signature is by the key of the account's script. Exit code 1 if not.
    Check(Signed),
    /// Checks a signature and keeps it.
    Add(Signed),
    /// Prints accounts that were paid much at once and have shown no key. No payment waits for them.
    List {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
    },
}

/// A script and whose it is.
#[derive(Debug, Args)]
pub(super) struct Whose {
    /// Configuration file.
    #[arg(long)]
    config: PathBuf,
    /// The account, 0x...
    #[arg(long)]
    account: Address,
    /// Address that it is or will be paid to; without it the one that the registry has, a change under way included.
    #[arg(long)]
    address: Option<String>,
}

/// With a signature.
#[derive(Debug, Args)]
pub(super) struct Signed {
    #[command(flatten)]
    whose: Whose,
    /// BIP-322 in base64 (`smp...`, `ful...` or bare), the signed transaction in hex, or what `signmessage` prints for a
    /// P2PKH address.
    #[arg(long)]
    signature: String,
}

impl Whose {
    async fn script(&self) -> Result<(Owners, ScriptBuf)> {
        let config = Config::read(&self.config)?;
        let deployment = evm::Deployment::read(&config.deployment)?;
        let owners = Owners::new(&config, &deployment);
        if let Some(address) = &self.address {
            return Ok((owners, script::of_address(address, config.network)?));
        }
        let chain = Chain::connect(&config.evm.rpc, deployment).await?;
        let found = owners.registered(&chain, self.account).await?;
        let found = found.ok_or_eyre("the account has registered no script: give --address")?;
        Ok((owners, found))
    }
}

pub(super) async fn run(command: Ownership) -> Result<()> {
    match command {
        Ownership::Message(whose) => {
            let (owners, script) = whose.script().await?;
            print(&owners.unsigned(whose.account, &script)?)
        }
        Ownership::Check(Signed { whose, signature }) => {
            let (owners, script) = whose.script().await?;
            owners.check(whose.account, &script, &signature)?;
            say("it is by the key of the account's payout script");
            Ok(())
        }
        Ownership::Add(Signed { whose, signature }) => {
            let (owners, script) = whose.script().await?;
            let path = owners.add(whose.account, &script, &signature)?;
            say(&format!("kept in {}", path.display()));
            Ok(())
        }
        Ownership::List { config } => {
            let config = Config::read(&config)?;
            let deployment = evm::Deployment::read(&config.deployment)?;
            let store = Store::read(&config.database).await?;
            let unproven = Owners::new(&config, &deployment).unproven(&store).await?;
            let above = config.ownership.map(|asked| asked.above_sat.to_string());
            print(&json!({ "above_sat": above, "unproven": unproven }))
        }
    }
}
