//! The BIP's own vectors, and what must not pass: another message, script, account, chain or text of a signature.
//!
//! Vectors: `bip-0322/basic-test-vectors.json` and `generated-test-vectors.json` of github.com/bitcoin/bips (BIP-322 2.0).

use bitcoin::{
    Address as BitcoinAddress, Amount, PrivateKey, TxOut, Witness,
    base64::{Engine as _, prelude::BASE64_STANDARD},
    consensus::serialize,
    key::CompressedPublicKey,
    secp256k1::{Secp256k1, SecretKey, ecdsa},
};

use super::*;
use crate::allocate::{Batch, Payment};

const P2WPKH: &str = "bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l";
const P2WSH: &str = "bc1qp0ahvfh83088w49k405szqgg4f3pptr7p2g06tdxfjcd40z4lh4q95lsz9";
const P2TR: &str = "bc1pss0zhytly75awhm6x2hhvd5lnzv3vssgrf9axfheq8ldyzn88ges79fler";
const EMPTY: &str = "smpAkcwRAIgM2gBAQqvZX15ZiysmKmQpDrG83avLIT492QBzLnQIxYCIBaTpOaD20qRlEylyxFSeEA2ba9YOixpX8z46TSDtS40ASECx/EgAxlkQpQ9hYjgGu6EBCPMVPwVIVJqO4XCsMvViHI=";
const HELLO: &str = "smpAkgwRQIhAOzyynlqt93lOKJr+wmmxIens//zPzl9tqIOua93wO6MAiBi5n5EyAcPScOjf1lAqIUIQtr3zKNeavYabHyR8eGhowEhAsfxIAMZZEKUPYWI4BruhAQjzFT8FSFSajuFwrDL1Yhy";
const THREE: &str = "smpBQBHMEQCIFX9aaqPJWq2Ff2kpen5bFDTid+ehgUOpHV0LfjncXy4AiA3GNicF7aKPzdpa9PCpmaYQs3pHd+qbvvhXdxOCKCAMAFIMEUCIQD/ELXg6CNYyUQijCg96JtgvgjZb9dsl1Ctof4QAeyTcQIgVM/1AAblFl/DCt6A1gJg+T/i2qU5SQD09+chFJzolRwBSDBFAiEAlqRfSFyWNVQhvaCnmeV5tyneiCWMTcFbuujoD/pFa3wCIGnZjfQb8NolSYq9asV+ZeBSkCGHJcqnaV4JYS5MYPEGAWlTIQJ1aLEfEi/4p7wcV+XHZCBVvGGJZ7L3v+jhH+mZA8lN0yECCovfec+kIdllXpKCgA8RX/HZ2x5yHOtCSKP8/sf6pnwhAwxSng6kCgCXXSAmJOOZFdr3vdK3HzGqCFloOHgc5fM6U64=";
const THREE_TEXT: &str = "This will be a p2wsh 3-of-3 multisig BIP 322 signed message";
const BARE: &str =
    "AUCJYOwOjxYAvatTAGYaVlNXBVyFuc4MwNQkOuK2tl8xhfKDONd0NjfYyNSYcRqeCp8hsAnCEPHAVEkO9h6vbQ/R";

fn vector(address: &str, message: &str, signature: &str) -> Result<(), OwnershipError> {
    let script = crate::script::of_address(address, Network::Bitcoin).unwrap();
    bip::check(&script, Network::Bitcoin, message, signature)
}

#[test]
fn the_published_vectors_pass() {
    assert_eq!(vector(P2WPKH, "", EMPTY), Ok(()));
    assert_eq!(vector(P2WPKH, "Hello World", HELLO), Ok(()));
    assert_eq!(vector(P2WSH, THREE_TEXT, THREE), Ok(()));
    assert_eq!(vector(P2TR, "No prefix fallback", BARE), Ok(()));
}

#[test]
fn the_published_transactions_are_ours() {
    let script = crate::script::of_address(P2WPKH, Network::Bitcoin).unwrap();
    let unsigned = bip::unsigned(&script, Network::Bitcoin, "Hello World").unwrap();
    let spend = "b79d196740ad5217771c1098fc4a4b51e0535c32236c71f1ea4d61a2d603352b";
    assert_eq!(unsigned.prevtxs[0].txid, spend);
    let sign: bitcoin::Transaction =
        bitcoin::consensus::encode::deserialize_hex(&unsigned.to_sign).unwrap();
    let txid = "88737ae86f2077145f93cc4b153ae9a1cb8d56afa511988c149c5c8c9d93bddf";
    assert_eq!(sign.compute_txid().to_string(), txid);
}

#[test]
fn the_published_errors_are_refused() {
    for (address, message, signature) in [
        (P2WPKH, "", "not-valid-base64!!!"),
        (P2WPKH, "", ""),
        (P2WPKH, "Wrong message that was not signed", EMPTY),
        (P2WSH, "", EMPTY),
        (P2WPKH, "", "smpAA=="),
        (P2WSH, "This is not the message that was signed", THREE),
        (P2WPKH, "", "fooAA=="),
        (
            "bc1pyrgrm6cu6n54jrvkdjd9rvyd3xfyu84s2623awu2srn6mxhscwpsm5644w",
            "incorrect prefix",
            "fulAUDZwFXUp+adN+/UZj5dVrGAbB3zKs1Vcalz5fCF9srxS63eSWNGvH1NYbrBkPt1BJDUyWUz9zgUxfc63/QheT6M",
        ),
        (P2WPKH, "", "pofAA=="),
    ] {
        assert!(vector(address, message, signature).is_err(), "{message:?} {signature}");
    }
}

/// A proof that is locked: `to_sign` with nSequence 2016, from the generated vectors.
#[test]
fn a_signature_that_counts_only_later_is_no_proof() {
    let locked = "fulAgAAAAABAUrfzHHOLAKmgCIFSTT3krp+cQxj1BDPBN4GBg3tRmFXAAAAAADgBwAAAQAAAAAAAAAAAWoCSDBFAiEAjYj85zyhQKa9DbMO0reDwdhkNwKJkF3q2qFcijXDgMUCIAaQ75s3fwqrCeYIUJugLvhxZFxQIVquGN90vIKCW3QLASEDMurnDzvc0zABUwVwCADfGXoDx/M3SQnYt7e3IHDoU3PgBwAA";
    let address = "bc1qrqtlzcq86850yzgsyq9sssawx2qxlx5yq3xpkd";
    let outcome = vector(address, "KLE5MMJBTNF4AVZXIO3GIL5UWF", locked);
    assert_eq!(outcome, Err(OwnershipError::Locked));
}

fn owners(dir: &Path) -> Owners {
    Owners {
        chain_id: 31_337,
        registry: Address::repeat_byte(0xaa),
        network: Network::Regtest,
        asked: Some(OwnershipConfig { above_sat: 1_000, dir: dir.join("ownership") }),
    }
}

fn key(n: u8) -> PrivateKey {
    PrivateKey::new(SecretKey::from_slice(&[n; 32]).unwrap(), Network::Regtest)
}

fn who(n: u8) -> Address {
    Address::repeat_byte(n)
}

/// Addresses of a key: P2WPKH, P2TR, P2SH-P2WPKH.
fn addresses(key: &PrivateKey) -> [BitcoinAddress; 3] {
    let secp = Secp256k1::new();
    let public = CompressedPublicKey::from_private_key(&secp, key).unwrap();
    let inner = public.0.x_only_public_key().0;
    [
        BitcoinAddress::p2wpkh(&public, Network::Regtest),
        BitcoinAddress::p2tr(&secp, inner, None, Network::Regtest),
        BitcoinAddress::p2shwpkh(&public, Network::Regtest),
    ]
}

fn encoded(witness: &Witness) -> String {
    BASE64_STANDARD.encode(serialize(witness))
}

fn signed(owners: &Owners, account: Address, address: &BitcoinAddress, key: PrivateKey) -> Witness {
    let message = owners.message(account, &address.script_pubkey());
    bip322::sign_simple(address, message, &[key], None).unwrap()
}

#[test]
fn a_proof_counts_for_one_account_script_chain_and_registry() {
    let dir = tempfile::tempdir().unwrap();
    let ours = owners(dir.path());
    for address in addresses(&key(7)) {
        let script = address.script_pubkey();
        let text = encoded(&signed(&ours, who(1), &address, key(7)));
        assert_eq!(ours.check(who(1), &script, &text), Ok(()), "{address}");
        assert_eq!(ours.check(who(1), &script, &format!(" smp{text}\n")), Ok(()), "{address}");
        let other_script = addresses(&key(8))[0].script_pubkey();
        let elsewhere = Owners { chain_id: 1, ..ours.clone() };
        let another = Owners { registry: who(9), ..ours.clone() };
        for refused in [
            ours.check(who(2), &script, &text),
            ours.check(who(1), &other_script, &text),
            elsewhere.check(who(1), &script, &text),
            another.check(who(1), &script, &text),
            ours.check(who(1), &script, &encoded(&signed(&ours, who(2), &address, key(7)))),
        ] {
            assert!(matches!(refused, Err(OwnershipError::Refused(_))), "{address}: {refused:?}");
        }
    }
    // the same key on another network has another address, which is refused before anything is signed
    let main = crate::script::of_address(P2WPKH, Network::Regtest).unwrap_err();
    assert!(main.to_string().contains("regtest"), "{main}");
}

#[test]
fn no_other_text_of_a_signature_passes() {
    let dir = tempfile::tempdir().unwrap();
    let ours = owners(dir.path());
    let address = &addresses(&key(7))[0];
    let script = address.script_pubkey();
    let witness = signed(&ours, who(1), address, key(7));
    let good = serialize(&witness);
    let check = |bytes: &[u8]| ours.check(who(1), &script, &BASE64_STANDARD.encode(bytes));
    assert_eq!(check(&good), Ok(()));
    for at in 0..good.len() {
        let mut other = good.clone();
        other[at] ^= 1;
        assert!(check(&other).is_err(), "byte {at}");
    }
    assert!(check(&[&good[..], &[0]].concat()).is_err(), "something added");
    assert!(check(&good[..good.len() - 1]).is_err(), "cut off");
    // the same signature with s in its high half, which the curve's arithmetic takes as well
    let [der, public] = [0, 1].map(|n| witness.nth(n).unwrap().to_vec());
    let low = ecdsa::Signature::from_der(&der[..der.len() - 1]).unwrap().serialize_compact();
    let high = [&low[..32], &flipped(&low[32..])].concat();
    let mut high = ecdsa::Signature::from_compact(&high).unwrap().serialize_der().to_vec();
    high.push(1);
    let malleated = Witness::from_slice(&[high, public]);
    assert!(matches!(check(&serialize(&malleated)), Err(OwnershipError::Refused(_))));
}

#[test]
fn a_p2pkh_wallet_signs_in_the_old_form_and_in_one_text_only() {
    let dir = tempfile::tempdir().unwrap();
    let ours = owners(dir.path());
    let address = BitcoinAddress::p2pkh(key(7).public_key(&Secp256k1::new()), Network::Regtest);
    let script = address.script_pubkey();
    let message = ours.message(who(1), &script);
    let signature = bip322::sign_legacy(&address, &message, &key(7)).unwrap().serialize();
    let check = |bytes: &[u8]| ours.check(who(1), &script, &BASE64_STANDARD.encode(bytes));
    assert_eq!(check(&signature), Ok(()));
    assert!(ours.check(who(2), &script, &BASE64_STANDARD.encode(signature)).is_err());
    // s in its high half with the other parity recovers the same key
    let mut other = signature;
    other[33..].copy_from_slice(&flipped(&signature[33..]));
    other[0] = 27 + ((signature[0] - 27) ^ 1);
    assert!(
        matches!(check(&other), Err(OwnershipError::Refused(why)) if why.contains("high half"))
    );
    // BIP-322's own form for it
    let full = bip322::sign_full(&address, &message, &[key(7)], None, Default::default()).unwrap();
    let full = bitcoin::consensus::encode::serialize_hex(&full);
    assert_eq!(ours.check(who(1), &script, &full), Ok(()));
}

/// The curve's order minus `s`.
fn flipped(s: &[u8]) -> [u8; 32] {
    let order = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let order: alloy::primitives::U256 = order.parse().unwrap();
    (order - alloy::primitives::U256::from_be_slice(s)).to_be_bytes()
}

#[test]
fn a_proof_is_kept_checked_at_each_look_and_does_not_outlive_its_script() {
    let dir = tempfile::tempdir().unwrap();
    let ours = owners(dir.path());
    let [old, new, _] = addresses(&key(7));
    let text = encoded(&signed(&ours, who(1), &old, key(7)));
    let (old, new) = (old.script_pubkey(), new.script_pubkey());
    assert!(ours.add(who(1), &new, &text).is_err() && !ours.is_proven(who(1), &new));
    let path = ours.add(who(1), &old, &text).unwrap();
    assert_eq!(ours.add(who(1), &old, &text).unwrap(), path, "again changes nothing");
    assert!(ours.is_proven(who(1), &old));
    assert!(!ours.is_proven(who(1), &new), "a new script needs a new proof");
    assert!(!ours.is_proven(who(2), &old));
    // somebody edits the file
    let kept = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, kept.replace(&text[10..14], "AAAA")).unwrap();
    assert!(!ours.is_proven(who(1), &old));
    let nowhere = Owners { asked: None, ..ours };
    assert!(nowhere.add(who(1), &old, &text).unwrap_err().to_string().contains("[ownership]"));
}

fn paid(payments: &[(u8, &ScriptBuf, u64)]) -> State {
    let payment = |(account, script, sats): &(u8, &ScriptBuf, u64)| Payment {
        account: who(*account),
        output: TxOut { value: Amount::from_sat(*sats), script_pubkey: (*script).clone() },
    };
    let batch = Batch::of(payments.iter().map(payment).collect()).unwrap();
    let commitment = evm::bindings::IEpochLedger::Commitment::default();
    State::Committed(crate::state::Intent::new(&commitment, vec![batch], 0))
}

#[test]
fn the_threshold_is_on_what_is_paid_at_once_and_the_script_is_the_newest() {
    let [one, two, _] = addresses(&key(7)).map(|address| address.script_pubkey());
    let newest_first =
        [paid(&[(1, &two, 400), (3, &one, 999)]), paid(&[(1, &one, 5_000), (2, &one, 1_000)])];
    let found = large(&newest_first, 1_000);
    let expected = [(who(1), (two, 5_000)), (who(2), (one, 1_000))];
    assert_eq!(found, expected.into());
}
