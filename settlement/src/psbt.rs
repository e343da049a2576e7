//! PSBTs of planned transactions: built from descriptors, combined and finalised. No key here.

use bdk_wallet::miniscript::psbt::{PsbtExt, PsbtInputExt};
use bitcoin::{Psbt, Transaction, Txid, secp256k1::Secp256k1};

use crate::vault::{Coin, Vault, VaultError};

/// Why a PSBT cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PsbtError {
    /// It does not parse.
    #[error("this is no PSBT: {0}")]
    Parse(String),
    /// The transaction that an input spends is not known.
    #[error("the transaction {0} that an input spends is not known")]
    Previous(Txid),
    /// Signatures are missing or wrong.
    #[error("the signatures do not complete the transaction: {0}")]
    Incomplete(String),
    /// A descriptor failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// An unsigned PSBT: for every input the transaction it spends, its script and its key origins.
///
/// # Errors
/// When `tx` is signed already, a previous transaction is missing, or a descriptor fails.
pub fn build(
    vault: &Vault,
    tx: &Transaction,
    coins: &[Coin],
    previous: &[Transaction],
) -> Result<Psbt, PsbtError> {
    let mut psbt =
        Psbt::from_unsigned_tx(tx.clone()).map_err(|error| PsbtError::Parse(error.to_string()))?;
    for (input, coin) in psbt.inputs.iter_mut().zip(coins) {
        let txid = coin.outpoint.txid;
        let from = previous.iter().find(|tx| tx.compute_txid() == txid);
        input.non_witness_utxo = Some(from.cloned().ok_or(PsbtError::Previous(txid))?);
        input.witness_utxo = Some(coin.output.clone());
        let descriptor = vault.definite(coin.keychain, coin.index)?;
        input
            .update_with_descriptor_unchecked(&descriptor)
            .map_err(|error| PsbtError::Incomplete(error.to_string()))?;
    }
    Ok(psbt)
}

/// Hex to PSBT.
///
/// # Errors
/// When it is none.
pub fn from_hex(text: &str) -> Result<Psbt, PsbtError> {
    let bytes = hex::decode(text).map_err(|error| PsbtError::Parse(error.to_string()))?;
    Psbt::deserialize(&bytes).map_err(|error| PsbtError::Parse(error.to_string()))
}

/// PSBT to hex.
#[must_use]
pub fn to_hex(psbt: &Psbt) -> String {
    hex::encode(psbt.serialize())
}

/// Adds the partial signatures of `other`, which must be of the same transaction.
///
/// # Errors
/// When it is of another one.
pub fn merge(psbt: &mut Psbt, other: &Psbt) -> Result<(), PsbtError> {
    if psbt.unsigned_tx != other.unsigned_tx {
        return Err(PsbtError::Incomplete("a signer answered for another transaction".into()));
    }
    for (input, theirs) in psbt.inputs.iter_mut().zip(&other.inputs) {
        input.partial_sigs.extend(theirs.partial_sigs.iter().map(|(key, sig)| (*key, *sig)));
    }
    Ok(())
}

/// The signed transaction; every signature is verified.
///
/// # Errors
/// When signatures are missing or wrong.
pub fn finalise(psbt: Psbt) -> Result<Transaction, PsbtError> {
    let secp = Secp256k1::verification_only();
    let psbt = psbt.finalize(&secp).map_err(|(_, errors)| {
        let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
        PsbtError::Incomplete(words.join("; "))
    })?;
    let tx = psbt.extract(&secp).map_err(|error| PsbtError::Incomplete(error.to_string()))?;
    Ok(tx)
}
