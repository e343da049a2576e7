//! Payout addresses: the text a person gives, checked against the network, to the script that the registry takes.

use std::str::FromStr;

use bitcoin::{Address, Network, ScriptBuf, address::NetworkUnchecked};

use crate::encode;

/// Why an address cannot be paid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScriptError {
    /// It does not parse.
    #[error("{0:?} is no Bitcoin address: check for a missing or wrong character")]
    NotAnAddress(String),
    /// It is of another network.
    #[error("{address} is not an address of {network}: coins sent to it there would be lost")]
    OtherNetwork {
        /// As given.
        address: String,
        /// Expected.
        network: Network,
    },
    /// Its script is none of the five that are paid.
    #[error("{0} is of a kind that is not paid: use P2PKH, P2SH, P2WPKH, P2WSH or P2TR")]
    UnknownForm(String),
}

/// The scriptPubKey of `address` on `network`.
///
/// # Errors
/// When it is no address, of another network, or of a kind that is not paid.
pub fn of_address(address: &str, network: Network) -> Result<ScriptBuf, ScriptError> {
    let parsed = Address::<NetworkUnchecked>::from_str(address.trim());
    let parsed = parsed.map_err(|_| ScriptError::NotAnAddress(address.into()))?;
    let checked = parsed.require_network(network);
    let checked =
        checked.map_err(|_| ScriptError::OtherNetwork { address: address.into(), network })?;
    let script = checked.script_pubkey();
    if encode::dust(&script).is_none() {
        return Err(ScriptError::UnknownForm(address.into()));
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_kinds_are_taken_and_the_rest_is_named() {
        let good = [
            "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
            "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc",
            "bcrt1q6rhpng9evdsfnn833a4f4vej0asu6dk5srld6x",
            "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry",
            "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6",
        ];
        for address in good {
            assert!(of_address(address, Network::Regtest).is_ok(), "{address}");
        }
        let main = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
        let error = of_address(main, Network::Regtest).unwrap_err().to_string();
        assert!(error.contains("regtest"), "{error}");
        assert!(matches!(of_address("hello", Network::Regtest), Err(ScriptError::NotAnAddress(_))));
        // a future witness version: valid, and not paid
        let v16 = "bc1sw50qgdz25j";
        assert!(matches!(of_address(v16, Network::Bitcoin), Err(ScriptError::UnknownForm(_))));
    }
}
