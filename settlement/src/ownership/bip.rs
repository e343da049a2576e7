//! Signatures of messages by the key of a script: BIP-322 simple and full, and the old form of P2PKH wallets. Pure.
//!
//! The crate that knows the rules is asked last: what it is given was decoded strictly, so that nothing can be added to a
//! signature or written in another way.

use bip322::{LockParams, Verification, create_to_sign, create_to_spend};
use bitcoin::{
    Address, Network, Script, Sequence, Transaction, Witness,
    absolute::LockTime,
    base64::{Engine as _, prelude::BASE64_STANDARD},
    consensus::{deserialize, encode::serialize_hex},
    sign_message::MessageSignature,
};
use serde::Serialize;

/// Why a signature proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipError {
    /// Its text.
    #[error(
        "{0}: give the signature as the wallet printed it, base64 with or without `smp` or `ful` before it"
    )]
    Form(String),
    /// It does not hold.
    #[error("it is not by the key of this script over this message: {0}")]
    Refused(String),
    /// Its script cannot be judged.
    #[error(
        "a script of this kind cannot be judged here: single keys, taproot key paths and plain multisig can"
    )]
    Unknown,
    /// A proof that counts from some time on.
    #[error("it is locked to a time or an age: sign without one")]
    Locked,
}

/// The transaction that stands for the message, for wallets that sign transactions only. Signed in full, as hex, it is a
/// proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unsigned {
    /// Address of the script.
    pub address: String,
    /// The sentence.
    pub message: String,
    /// The transaction, hex: first argument of `signrawtransactionwithwallet`.
    pub to_sign: String,
    /// What it spends: second argument. It exists on no chain, and cannot.
    pub prevtxs: Vec<PrevTx>,
}

/// An output as bitcoind is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrevTx {
    /// Transaction.
    pub txid: String,
    /// Output.
    pub vout: u32,
    /// Script, hex.
    #[serde(rename = "scriptPubKey")]
    pub script: String,
    /// Bitcoin: none.
    pub amount: u8,
}

/// What is to be signed.
///
/// # Errors
/// When the script has no address.
pub(super) fn unsigned(
    script: &Script,
    network: Network,
    message: &str,
) -> Result<Unsigned, OwnershipError> {
    let address = address(script, network)?;
    let spend = create_to_spend(&address, message).map_err(refused)?;
    let sign = create_to_sign(&spend, None, LockParams::default()).map_err(refused)?;
    let prevtx = PrevTx {
        txid: spend.compute_txid().to_string(),
        vout: 0,
        script: format!("{script:x}"),
        amount: 0,
    };
    Ok(Unsigned {
        address: address.to_string(),
        message: message.to_owned(),
        to_sign: serialize_hex(&sign.unsigned_tx),
        prevtxs: vec![prevtx],
    })
}

/// Checks a signature over `message` by the key of `script`.
///
/// # Errors
/// When it does not hold.
pub(super) fn check(
    script: &Script,
    network: Network,
    message: &str,
    signature: &str,
) -> Result<(), OwnershipError> {
    let address = address(script, network)?;
    let text = signature.trim();
    let outcome = if let Some(text) = text.strip_prefix("smp") {
        bip322::verify_simple(&address, message, witness(&base64(text)?)?)
    } else if let Some(text) = text.strip_prefix("ful") {
        bip322::verify_full(&address, message, transaction(&base64(text)?)?)
    } else if text.starts_with("pof") {
        return Err(OwnershipError::Form("a proof of funds is not asked for".into()));
    } else if let Some(bytes) = raw_transaction(text) {
        bip322::verify_full(&address, message, transaction(&bytes)?)
    } else {
        let bytes = base64(text)?;
        if script.is_p2pkh() && bytes.len() == 65 {
            return legacy(&address, message, &bytes);
        }
        bip322::verify_simple(&address, message, witness(&bytes)?)
    };
    match outcome.map_err(refused)? {
        Verification::Valid { time, age } if time == LockTime::ZERO && age == Sequence(0) => Ok(()),
        Verification::Valid { .. } => Err(OwnershipError::Locked),
        Verification::Inconclusive => Err(OwnershipError::Unknown),
    }
}

fn address(script: &Script, network: Network) -> Result<Address, OwnershipError> {
    Address::from_script(script, network).map_err(|_| OwnershipError::Unknown)
}

fn refused(error: bip322::Error) -> OwnershipError {
    OwnershipError::Refused(error.to_string())
}

fn base64(text: &str) -> Result<Vec<u8>, OwnershipError> {
    BASE64_STANDARD.decode(text).map_err(|error| OwnershipError::Form(error.to_string()))
}

/// Nothing may follow it.
fn witness(bytes: &[u8]) -> Result<Witness, OwnershipError> {
    deserialize(bytes).map_err(|error| OwnershipError::Form(error.to_string()))
}

fn transaction(bytes: &[u8]) -> Result<Transaction, OwnershipError> {
    deserialize(bytes).map_err(|error| OwnershipError::Form(error.to_string()))
}

/// A transaction in hex, as bitcoind prints it. No witness in base64 has hex digits alone.
fn raw_transaction(text: &str) -> Option<Vec<u8>> {
    alloy::hex::decode(text).ok().filter(|bytes| bytes.len() > 60)
}

/// The form before BIP-322: a key recovered from the signature. The high half of `s` is another text for the same.
fn legacy(address: &Address, message: &str, bytes: &[u8]) -> Result<(), OwnershipError> {
    let form = |error: &dyn std::fmt::Display| OwnershipError::Form(error.to_string());
    let signature = MessageSignature::from_slice(bytes).map_err(|error| form(&error))?;
    let mut low = signature.signature.to_standard();
    low.normalize_s();
    if low != signature.signature.to_standard() {
        return Err(OwnershipError::Refused("s is in its high half".into()));
    }
    bip322::verify_legacy(address, message, signature).map_err(refused)
}
