//! The people of the story: their EVM keys and their Bitcoin addresses, each in a wallet of its own on the BTC node.

use std::collections::BTreeMap;

use alloy::primitives::{Bytes, U256};
use evm::bindings::{IDemoQuote, IPayoutRegistry, IPrimarySale};
use eyre::{Result, eyre};
use serde_json::json;

use super::World;
use crate::{
    devnet::{DevKey, dev_key},
    rpc,
};

/// Who is paid, and what kind of address they use.
pub const PAYEES: [(Payee, &str); 4] = [
    (Payee::Holder(DevKey::Anya), "bech32"),
    (Payee::Holder(DevKey::Boris), "bech32m"),
    (Payee::Holder(DevKey::Lena), "p2sh-segwit"),
    (Payee::PrimarySale, "legacy"),
];

/// An account that is paid in bitcoin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payee {
    /// A person.
    Holder(DevKey),
    /// The operator, for unsold units.
    PrimarySale,
}

impl Payee {
    /// Name of the wallet on the BTC node, and on the page.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Holder(key) => format!("{key:?}").to_lowercase(),
            Self::PrimarySale => "operator".into(),
        }
    }

    /// The EVM account.
    #[must_use]
    pub fn account(self, world: &World) -> alloy::primitives::Address {
        match self {
            Self::Holder(key) => dev_key(key).address(),
            Self::PrimarySale => world.deployment.primary_sale,
        }
    }
}

/// Gives everyone a Bitcoin wallet and registers its address. Returns the addresses.
///
/// # Errors
/// When a node or a contract refuses.
pub async fn register_addresses(world: &World) -> Result<BTreeMap<String, String>> {
    let mut addresses = BTreeMap::new();
    for (payee, kind) in PAYEES {
        let address = world.bitcoin.new_address(&payee.name(), kind).await?;
        let script = script_of(world, &address).await?;
        match payee {
            Payee::Holder(key) => {
                let registry = world.deployment.payout_registry;
                let registry = IPayoutRegistry::new(registry, world.evm.as_key(key)?);
                evm::land("setScript", registry.setScript(script, 0)).await?;
            }
            Payee::PrimarySale => {
                let operator = world.evm.as_key(DevKey::Operator)?;
                let sale = IPrimarySale::new(world.deployment.primary_sale, operator);
                evm::land("setPayoutScript", sale.setPayoutScript(script, 0)).await?;
            }
        }
        addresses.insert(payee.name(), address);
    }
    Ok(addresses)
}

/// The script of an address, from the same service that the page asks, so that a wrong network is refused there.
///
/// # Errors
/// With the service's words when it refuses the address.
pub async fn script_of(world: &World, address: &str) -> Result<Bytes> {
    let url = format!("{}/v1/addresses/check", world.api);
    let (status, reply) = rpc::post(&url, &json!({"address": address})).await?;
    let script = reply["scriptPubKey"].as_str();
    let script = script.ok_or_else(|| eyre!("{address} refused ({status}): {reply}"))?;
    Ok(script.parse()?)
}

/// Mints quote tokens to `who` and lets `spender` take them.
///
/// # Errors
/// When a contract refuses.
pub async fn give_quote(
    world: &World,
    who: DevKey,
    spender: alloy::primitives::Address,
    amount: u64,
) -> Result<()> {
    let quote = IDemoQuote::new(world.deployment.quote, world.evm.as_key(who)?);
    let amount = U256::from(amount);
    evm::land("mint", quote.mint(dev_key(who).address(), amount)).await?;
    evm::land("approve", quote.approve(spender, amount)).await?;
    Ok(())
}
