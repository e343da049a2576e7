//! Typed Bitcoin addresses: their script, or what is wrong with them. A contract cannot tell networks apart; we can.

use std::str::FromStr;

use axum::{Json, extract::State, extract::rejection::JsonRejection};
use bitcoin::{Address, Network, ScriptBuf, address::NetworkUnchecked};
use serde::{Deserialize, Serialize};

use super::{Answer, Problem, Shared};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    address: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checked {
    /// As people write it.
    address: String,
    /// `p2pkh`, `p2sh`, `p2wpkh`, `p2wsh` or `p2tr`.
    kind: String,
    /// scriptPubKey in hex, with 0x: what the payout registry takes.
    script_pub_key: String,
    network: String,
}

pub(super) async fn check(
    State(app): Shared,
    question: Result<Json<Question>, JsonRejection>,
) -> Answer<Checked> {
    let Json(question) = question.map_err(|error| {
        Problem::bad("bad_request", error.body_text(), "send {\"address\": \"...\"}")
    })?;
    let checked = read(question.address.trim(), app.network)?;
    app.snapshot().await?.reply(checked)
}

fn read(text: &str, network: Network) -> Result<Checked, Problem> {
    if text.is_empty() {
        let fix = format!("type an address of the {network} network");
        return Err(Problem::bad("no_address", "no address was given", fix));
    }
    let parsed = Address::<NetworkUnchecked>::from_str(text);
    let address = parsed.map_err(|error| {
        let detail = format!("{text:?} is no Bitcoin address: {error}");
        let fix = "copy it again from your wallet; a typing error is caught by its checksum";
        Problem::bad("unknown_address_form", detail, fix)
    })?;
    if !address.is_valid_for_network(network) {
        let detail = format!("this is an address of {}, payouts here go to {network}", home(text));
        let fix = format!("give an address of the {network} network");
        return Err(Problem::bad("wrong_network", detail, fix));
    }
    let address = address.assume_checked();
    let kind = address.address_type().ok_or_else(|| {
        let detail =
            "this witness version has no agreed meaning yet: coins sent to it could be lost";
        let fix = "give a P2PKH, P2SH, P2WPKH, P2WSH or P2TR address";
        Problem::bad("unknown_address_form", detail, fix)
    })?;
    Ok(Checked {
        address: address.to_string(),
        kind: kind.to_string(),
        script_pub_key: format!("0x{}", address.script_pubkey().to_hex_string()),
        network: network.to_string(),
    })
}

/// The networks an address is of, in words.
fn home(text: &str) -> &'static str {
    let lower = text.to_lowercase();
    match lower.split('1').next() {
        Some("bc") => "bitcoin mainnet",
        Some("tb") => "a Bitcoin test network",
        Some("bcrt") => "regtest",
        _ => match Address::<NetworkUnchecked>::from_str(text) {
            Ok(address) if address.is_valid_for_network(Network::Bitcoin) => "bitcoin mainnet",
            _ => "a Bitcoin test network",
        },
    }
}

/// The address that a script (hex without 0x) is written as on `network`.
pub(super) fn from_script(script: &str, network: Network) -> Option<String> {
    let script = ScriptBuf::from_hex(script).ok()?;
    Address::from_script(&script, network).ok().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAINNET: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    const REGTEST: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

    #[test]
    fn the_same_key_is_right_on_one_network_only() {
        let checked = read(REGTEST, Network::Regtest).unwrap();
        assert_eq!(checked.script_pub_key, "0x0014751e76e8199196d454941c45d1b3a323f1433bd6");
        assert_eq!(checked.kind, "p2wpkh");
        assert_eq!(read(MAINNET, Network::Regtest).unwrap_err().code(), "wrong_network");
        assert_eq!(read(REGTEST, Network::Bitcoin).unwrap_err().code(), "wrong_network");
        assert_eq!(read(MAINNET, Network::Bitcoin).unwrap().script_pub_key, checked.script_pub_key);
        let legacy = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2";
        assert_eq!(read(legacy, Network::Regtest).unwrap_err().code(), "wrong_network");
    }

    #[test]
    fn a_typing_error_and_an_unknown_form_are_refused() {
        let mistyped = REGTEST.replace("508d", "509d");
        assert_eq!(read(&mistyped, Network::Regtest).unwrap_err().code(), "unknown_address_form");
        assert_eq!(read("", Network::Regtest).unwrap_err().code(), "no_address");
        // BIP-350 vector: witness version 16.
        let future = read("BC1SW50QGDZ25J", Network::Bitcoin).unwrap_err();
        assert_eq!(future.code(), "unknown_address_form");
    }

    #[test]
    fn a_script_is_written_as_its_address() {
        let script = "0014751e76e8199196d454941c45d1b3a323f1433bd6";
        assert_eq!(from_script(script, Network::Regtest).as_deref(), Some(REGTEST));
        assert_eq!(from_script("6a", Network::Regtest), None);
    }
}
