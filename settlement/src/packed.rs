//! Payments as hex of account and output, one after the other: a hundred thousand of them are written at every step.

use alloy::{hex, primitives::Address};
use bitcoin::consensus::encode::{self, deserialize_partial};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

use crate::allocate::Payment;

pub(crate) fn serialize_payments(payments: &[Payment]) -> String {
    let mut bytes = Vec::with_capacity(payments.len().saturating_mul(63));
    for payment in payments {
        bytes.extend_from_slice(payment.account.as_slice());
        bytes.extend(encode::serialize(&payment.output));
    }
    hex::encode(bytes)
}

pub(crate) fn read(text: &str) -> Option<Vec<Payment>> {
    let bytes = hex::decode(text).ok()?;
    let (mut rest, mut payments) = (bytes.as_slice(), Vec::new());
    while let Some((account, after)) = rest.split_first_chunk::<20>() {
        let (output, used) = deserialize_partial(after).ok()?;
        payments.push(Payment { account: Address::from(account), output });
        rest = after.get(used..)?;
    }
    rest.is_empty().then_some(payments)
}

pub(crate) fn serialize<S: Serializer>(payments: &[Payment], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&serialize_payments(payments))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Payment>, D::Error> {
    let text = String::deserialize(from)?;
    read(&text).ok_or_else(|| D::Error::custom("packed payments"))
}
