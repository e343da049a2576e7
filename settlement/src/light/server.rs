//! What is asked of a light server. It may answer late, wrongly or not at all: `light` checks what it says.

use bitcoin::{BlockHash, ScriptBuf, Transaction, Txid, block::Header};

use crate::{error::Error, node::Broadcast};

/// A transaction that touches a script, as the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Height of its block; `None` while it is in none.
    pub height: Option<u32>,
    /// Its id.
    pub txid: Txid,
}

/// A Merkle branch, as the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Place of the transaction in the block.
    pub index: u32,
    /// Siblings from the leaf upwards, 32 bytes each in internal order.
    pub siblings: Vec<u8>,
}

/// A server. Calls block; each fails when the server does not answer or says that it cannot.
#[allow(clippy::missing_errors_doc, reason = "each fails as the trait says")]
pub trait Server: std::fmt::Debug + Send + Sync {
    /// Height of its best chain.
    fn height(&self) -> Result<u32, Error>;
    /// Headers from a height upwards: at least one, at most `count`.
    fn headers(&self, from: u32, count: u32) -> Result<Vec<Header>, Error>;
    /// For each script, the transactions that pay to it or spend from it.
    fn histories(&self, scripts: &[ScriptBuf]) -> Result<Vec<Vec<Seen>>, Error>;
    /// A transaction.
    fn transaction(&self, txid: Txid) -> Result<Transaction, Error>;
    /// Its branch in the block at `height`.
    fn branch(&self, txid: Txid, height: u32) -> Result<Branch, Error>;
    /// The first transaction of a block.
    fn coinbase(&self, height: u32, block: BlockHash) -> Result<Txid, Error>;
    /// Sats per 1,000 vB for confirmation within `blocks`; `None` if it has no estimate.
    fn fee_rate_ceil(&self, blocks: u16) -> Result<Option<u64>, Error>;
    /// Hands a transaction to the network. A refusal is an answer.
    fn broadcast(&self, tx: &Transaction) -> Result<Broadcast, Error>;
}

/// What a server's words about a broadcast mean: bitcoind's own, wrapped by each server in its way.
#[must_use]
pub fn refusal(words: &str) -> Broadcast {
    let known = [
        "already in block chain",
        "already in utxo set",
        "already in mempool",
        "txn-already-in-mempool",
        "txn-already-known",
    ];
    let said = words.to_lowercase();
    if known.iter().any(|known| said.contains(known)) {
        return Broadcast::Known;
    }
    // some servers repeat the whole transaction after the reason
    Broadcast::Refused(words.chars().take(300).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_the_network_has_is_known_and_no_other() {
        for words in [
            "sendrawtransaction RPC error: {\"code\":-27,\"message\":\"Transaction already in block chain\"}",
            "the transaction was rejected by network rules.\n\nTransaction outputs already in utxo set\n[00]",
        ] {
            assert_eq!(refusal(words), Broadcast::Known);
        }
        for words in ["bad-txns-inputs-missingorspent", "txn-mempool-conflict", ""] {
            assert_eq!(refusal(words), Broadcast::Refused(words.into()));
        }
    }
}
