//! What is large in a state as hex in its JSON: payments as account and output, one after the other; transactions as
//! Bitcoin encodes them. A hundred thousand payments and their outputs are written at every step.

use std::sync::Arc;

use alloy::{hex, primitives::Address};
use bitcoin::{
    Transaction,
    consensus::encode::{self, deserialize_partial},
};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

use crate::{allocate::Payment, encode::append};

pub(crate) fn serialize_payments(payments: &[Payment]) -> String {
    let mut bytes = Vec::with_capacity(payments.len().saturating_mul(63));
    for payment in payments {
        bytes.extend_from_slice(payment.account.as_slice());
        append(&mut bytes, &payment.output);
    }
    hex::encode(bytes)
}

pub(crate) fn read(text: &str) -> Option<Arc<[Payment]>> {
    let bytes = hex::decode(text).ok()?;
    let (mut rest, mut payments) = (bytes.as_slice(), Vec::new());
    while let Some((account, after)) = rest.split_first_chunk::<20>() {
        let (output, used) = deserialize_partial(after).ok()?;
        payments.push(Payment { account: Address::from(account), output });
        rest = after.get(used..)?;
    }
    rest.is_empty().then(|| payments.into())
}

pub(crate) fn serialize<S: Serializer>(payments: &[Payment], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&serialize_payments(payments))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[Payment]>, D::Error> {
    let text = String::deserialize(from)?;
    read(&text).ok_or_else(|| D::Error::custom("packed payments"))
}

/// Hex of a transaction. `bitcoin` has one of its own, digit by digit: it takes ten times as long.
pub(crate) fn tx_hex(tx: &Transaction) -> String {
    hex::encode(encode::serialize(tx))
}

/// The transaction of `tx_hex`, or what is wrong with the text.
pub(crate) fn read_tx(text: &str) -> Result<Transaction, String> {
    let bytes = hex::decode(text).map_err(|error| error.to_string())?;
    encode::deserialize(&bytes).map_err(|error| error.to_string())
}

/// A list of transactions.
pub(crate) mod txs {
    use alloy::hex;
    use bitcoin::{
        Transaction, VarInt,
        consensus::{Encodable, encode},
    };
    use serde::{Deserialize, Deserializer, Serializer, de::Error, ser::Error as _};

    use crate::known::KnownTx;

    pub(crate) fn serialize<S: Serializer>(txs: &[KnownTx], to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = encode::serialize(&VarInt::from(txs.len()));
        for tx in txs {
            tx.consensus_encode(&mut bytes).map_err(S::Error::custom)?;
        }
        to.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<KnownTx>, D::Error> {
        let bytes = hex::decode(String::deserialize(from)?).map_err(D::Error::custom)?;
        let txs: Vec<Transaction> = encode::deserialize(&bytes).map_err(D::Error::custom)?;
        Ok(txs.into_iter().map(KnownTx::from).collect())
    }
}
