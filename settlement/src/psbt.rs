//! PSBTs of planned transactions: built from descriptors, combined and finalised. No key here.

use std::collections::BTreeMap;

use alloy::hex;
use bdk_wallet::miniscript::psbt::PsbtExt;
use bitcoin::{
    EcdsaSighashType, Psbt, PublicKey, Transaction, Txid, ecdsa,
    psbt::Input,
    secp256k1::{Message, Secp256k1, VerifyOnly},
    sighash::SighashCache,
};

use crate::{
    known::KnownTx,
    vault::{Coin, Vault, VaultError},
};

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

/// What a signer gives: its signatures by public key, for every input in order.
pub type Signatures = Vec<BTreeMap<PublicKey, ecdsa::Signature>>;

/// An unsigned PSBT: for every input the transaction it spends, its script and its key origins.
///
/// # Errors
/// When `tx` is signed already, a previous transaction is missing, or a descriptor fails.
pub fn build<'a>(
    vault: &Vault,
    tx: &Transaction,
    coins: &[Coin],
    previous: impl IntoIterator<Item = &'a KnownTx>,
) -> Result<Psbt, PsbtError> {
    let previous: BTreeMap<Txid, &KnownTx> =
        previous.into_iter().map(|tx| (tx.txid(), tx)).collect();
    let mut psbt =
        Psbt::from_unsigned_tx(tx.clone()).map_err(|error| PsbtError::Parse(error.to_string()))?;
    for (input, coin) in psbt.inputs.iter_mut().zip(coins) {
        let txid = coin.outpoint.txid;
        let from = previous.get(&txid).copied().ok_or(PsbtError::Previous(txid))?;
        *input = input_of(vault, coin)?;
        input.non_witness_utxo = Some(Transaction::clone(from));
    }
    Ok(psbt)
}

/// The PSBT input that spends a coin, without the transaction that created it.
///
/// # Errors
/// When a descriptor fails.
pub(crate) fn input_of(vault: &Vault, coin: &Coin) -> Result<Input, VaultError> {
    let input = vault.input(coin.keychain, coin.index)?;
    Ok(Input { witness_utxo: Some(coin.output.clone()), ..input })
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

/// The signatures in a PSBT.
#[must_use]
pub fn signatures(psbt: &Psbt) -> Signatures {
    psbt.inputs.iter().map(|input| input.partial_sigs.clone()).collect()
}

/// Adds the signatures of a PSBT that somebody has signed, as `merge` does.
///
/// # Errors
/// When it is of another transaction, and as `merge`.
pub fn merge_signed(psbt: &mut Psbt, signed: &Psbt) -> Result<(), PsbtError> {
    if psbt.unsigned_tx != signed.unsigned_tx {
        return Err(PsbtError::Incomplete("a signer answered for another transaction".into()));
    }
    merge(psbt, &signatures(signed))
}

/// Adds a signer's signatures. Each is verified first, so that one bad signer spoils nothing that two good ones can do.
///
/// # Errors
/// When an input is not signed, or a signature is wrong or of a key that is not asked for; nothing is added then.
pub fn merge(psbt: &mut Psbt, theirs: &Signatures) -> Result<(), PsbtError> {
    if theirs.len() != psbt.inputs.len() {
        return Err(PsbtError::Incomplete("the answer has not one entry for every input".into()));
    }
    let mut hashes = SighashCache::new(&psbt.unsigned_tx);
    let secp = Secp256k1::verification_only();
    for (index, (ours, theirs)) in psbt.inputs.iter().zip(theirs).enumerate() {
        check_signatures(&secp, &mut hashes, index, ours, theirs)?;
    }
    for (input, theirs) in psbt.inputs.iter_mut().zip(theirs) {
        input.partial_sigs.extend(theirs);
    }
    Ok(())
}

/// Verifies an answer's signatures for one input against our own picture of it.
fn check_signatures(
    secp: &Secp256k1<VerifyOnly>,
    hashes: &mut SighashCache<&Transaction>,
    index: usize,
    ours: &Input,
    theirs: &BTreeMap<PublicKey, ecdsa::Signature>,
) -> Result<(), PsbtError> {
    let bad = |why: &str| PsbtError::Incomplete(format!("input {index}: {why}"));
    let (Some(script), Some(coin)) = (&ours.witness_script, &ours.witness_utxo) else {
        return Err(bad("its script or coin is not known"));
    };
    if theirs.is_empty() {
        return Err(bad("the answer lacks a signature"));
    }
    let all = EcdsaSighashType::All;
    let hash = hashes
        .p2wsh_signature_hash(index, script, coin.value, all)
        .map_err(|error| bad(&error.to_string()))?;
    let message = Message::from(hash);
    for (key, signature) in theirs {
        // in one spelling only: the same signature under two names of a key is one signature
        let asked = key.compressed && ours.bip32_derivation.contains_key(&key.inner);
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
    // each witness was run against its script just now; the fee rate is the planner's and the signers' to judge
    Ok(psbt.extract_tx_unchecked_fee_rate())
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
            answers.push(sign_with(key, &mut unsigned.clone()).unwrap());
        }
        let mut merged = unsigned.clone();
        merge(&mut merged, &answers[1]).unwrap();
        // the first signer answers with its own name under the second one's signature, and the other way round
        let mut wrong = answers[0].clone();
        let (key, own) = answers[0][0].iter().next().unwrap();
        let (other, signature) = answers[1][0].iter().next().unwrap();
        wrong[0].insert(*key, *signature);
        assert!(merge(&mut merged, &wrong).is_err());
        wrong[0] = [(*other, *own)].into();
        assert!(merge(&mut merged, &wrong).is_err(), "it would replace a good one");
        assert!(merge_signed(&mut merged, &unsigned).is_err(), "no signature at all");
        assert!(merge(&mut merged, &answers[2][..1].to_vec()).is_err(), "an input is left out");
        let mut twice = answers[0].clone();
        let longer = PublicKey::new_uncompressed(key.inner);
        for input in &mut twice {
            input.insert(longer, *own);
        }
        assert!(merge(&mut merged, &twice).is_err(), "one signature under two names");
        assert_eq!(signatures(&merged), answers[1], "nothing of it was taken");
        merge(&mut merged, &answers[2]).unwrap();
        finalise(merged).unwrap();
    }
}
