//! PSBTs of planned transactions: built from descriptors, combined and finalised. No key here.

use bdk_wallet::miniscript::psbt::PsbtExt;
use bitcoin::{
    EcdsaSighashType, Psbt, Transaction, Txid,
    psbt::Input,
    secp256k1::{Message, Secp256k1},
    sighash::SighashCache,
};

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
        *input = vault.input(coin.keychain, coin.index)?;
        input.non_witness_utxo = Some(from.cloned().ok_or(PsbtError::Previous(txid))?);
        input.witness_utxo = Some(coin.output.clone());
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

/// Adds the partial signatures of `other`, which must be of the same transaction. Each is verified first, so that one
/// bad signer spoils nothing that two good ones can do.
///
/// # Errors
/// When it is of another one, an input is not signed, or a signature is wrong or of a key that is not asked for.
pub fn merge(psbt: &mut Psbt, other: &Psbt) -> Result<(), PsbtError> {
    if psbt.unsigned_tx != other.unsigned_tx {
        return Err(PsbtError::Incomplete("a signer answered for another transaction".into()));
    }
    for (index, theirs) in other.inputs.iter().enumerate() {
        check_signatures(psbt, index, theirs)?;
    }
    for (input, theirs) in psbt.inputs.iter_mut().zip(&other.inputs) {
        input.partial_sigs.extend(theirs.partial_sigs.iter().map(|(key, sig)| (*key, *sig)));
    }
    Ok(())
}

/// Verifies the signatures of an answer for one input against our own picture of it.
fn check_signatures(psbt: &Psbt, index: usize, theirs: &Input) -> Result<(), PsbtError> {
    let bad = |why: &str| PsbtError::Incomplete(format!("input {index}: {why}"));
    let ours = psbt.inputs.get(index).ok_or_else(|| bad("there is none"))?;
    let (Some(script), Some(coin)) = (&ours.witness_script, &ours.witness_utxo) else {
        return Err(bad("its script or coin is not known"));
    };
    if theirs.partial_sigs.is_empty() {
        return Err(bad("the answer lacks a signature"));
    }
    let all = EcdsaSighashType::All;
    let hash = SighashCache::new(&psbt.unsigned_tx)
        .p2wsh_signature_hash(index, script, coin.value, all)
        .map_err(|error| bad(&error.to_string()))?;
    let (secp, message) = (Secp256k1::verification_only(), Message::from(hash));
    for (key, signature) in &theirs.partial_sigs {
        let asked = ours.bip32_derivation.contains_key(&key.inner);
        let right = secp.verify_ecdsa(&message, &signature.signature, &key.inner).is_ok();
        if !asked || signature.sighash_type != all || !right {
            return Err(bad("a signature is wrong, or of a key that was not asked for"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::tests::{planned, vault},
        signer::sign_with,
    };

    #[test]
    fn a_signers_bad_signature_is_not_merged_and_two_others_suffice() {
        let (keys, vault) = vault();
        let (tx, previous) = planned(&vault);
        let unsigned = build(&vault, &tx.tx, &tx.coins, &previous).unwrap();
        let mut answers = Vec::new();
        for key in &keys {
            let mut answer = unsigned.clone();
            sign_with(key, &mut answer).unwrap();
            answers.push(answer);
        }
        let mut merged = unsigned.clone();
        merge(&mut merged, &answers[1]).unwrap();
        // the first signer answers with its own name under the second one's signature, and the other way round
        let mut wrong = answers[0].clone();
        let (key, _) = answers[0].inputs[0].partial_sigs.iter().next().unwrap();
        let (other, signature) = answers[1].inputs[0].partial_sigs.iter().next().unwrap();
        wrong.inputs[0].partial_sigs.insert(*key, *signature);
        assert!(merge(&mut merged, &wrong).is_err());
        let (_, own) = answers[0].inputs[0].partial_sigs.iter().next().unwrap();
        wrong.inputs[0].partial_sigs = [(*other, *own)].into();
        assert!(merge(&mut merged, &wrong).is_err(), "it would replace a good one");
        assert!(merge(&mut merged, &unsigned).is_err(), "no signature at all");
        merge(&mut merged, &answers[2]).unwrap();
        finalise(merged).unwrap();
    }
}
