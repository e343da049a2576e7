//! What is large in a state as hex in its JSON: payments as account and output, one after the other; transactions as
//! Bitcoin encodes them. A hundred thousand payments and their outputs are written at every step.

use std::sync::Arc;

use alloy::{hex, primitives::Address};
use bitcoin::consensus::encode::deserialize_partial;
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

/// One transaction.
pub(crate) mod tx {
    use std::sync::Arc;

    use alloy::hex;
    use bitcoin::{Transaction, consensus::encode};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        tx: &Arc<Transaction>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(encode::serialize(tx.as_ref())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<Transaction>, D::Error> {
        let bytes = hex::decode(String::deserialize(from)?).map_err(D::Error::custom)?;
        encode::deserialize(&bytes).map(Arc::new).map_err(D::Error::custom)
    }
}

/// A list of transactions.
pub(crate) mod txs {
    use std::sync::Arc;

    use alloy::hex;
    use bitcoin::{
        Transaction, VarInt,
        consensus::{Encodable, encode},
    };
    use serde::{Deserialize, Deserializer, Serializer, de::Error, ser::Error as _};

    pub(crate) fn serialize<S: Serializer>(
        txs: &[Arc<Transaction>],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut bytes = encode::serialize(&VarInt::from(txs.len()));
        for tx in txs {
            tx.consensus_encode(&mut bytes).map_err(S::Error::custom)?;
        }
        to.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Arc<Transaction>>, D::Error> {
        let bytes = hex::decode(String::deserialize(from)?).map_err(D::Error::custom)?;
        let txs: Vec<Transaction> = encode::deserialize(&bytes).map_err(D::Error::custom)?;
        Ok(txs.into_iter().map(Arc::new).collect())
    }
}
