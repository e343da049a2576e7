//! A transaction that does not change any more, shared, with its id. Hashing one of thousands of outputs takes as long as a
//! signature, and its id is asked for at every step: it is hashed once.

use std::{ops::Deref, sync::Arc};

use bitcoin::{Transaction, Txid};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::packed;

/// The transaction and its id. As JSON the transaction alone, in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTx {
    txid: Txid,
    tx: Arc<Transaction>,
}

impl KnownTx {
    /// Its id, the same with and without witness.
    #[must_use]
    pub const fn txid(&self) -> Txid {
        self.txid
    }
}

impl From<Transaction> for KnownTx {
    fn from(tx: Transaction) -> Self {
        Self { txid: tx.compute_txid(), tx: tx.into() }
    }
}

impl Deref for KnownTx {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        &self.tx
    }
}

impl Serialize for KnownTx {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&packed::tx_hex(self))
    }
}

impl<'de> Deserialize<'de> for KnownTx {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        packed::read_tx(&text).map(Self::from).map_err(D::Error::custom)
    }
}
