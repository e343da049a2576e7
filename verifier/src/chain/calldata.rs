//! Transactions kept from run to run of the verifier for their calldata: as the bytes that their hash is of, so that
//! what comes back needs nobody's word. One of a kind that we cannot encode is asked for each time.

use alloy::{
    consensus::{Transaction as _, TxEnvelope},
    eips::eip2718::{Decodable2718, Encodable2718},
    primitives::{B256, Bytes, keccak256},
    rpc::types::Transaction,
};
use serde_json::Value;

use crate::rpc::Rpc;

/// Calldata of a transaction that is kept.
pub(super) fn get(rpc: &Rpc, hash: &B256) -> Option<Bytes> {
    let kept = rpc.kept()?;
    let bytes = kept.get("evm transaction", hash.as_slice())?;
    let decoded = TxEnvelope::decode_2718(&mut bytes.as_slice()).ok();
    let Some(tx) = decoded.filter(|_| keccak256(&bytes) == *hash) else {
        kept.distrust("EVM transaction");
        return None;
    };
    Some(tx.input().clone())
}

/// Keeps what a node answered, if it is what the hash is of.
pub(super) fn put(rpc: &Rpc, hash: &B256, answer: &Value) {
    let Some(kept) = rpc.kept() else { return };
    let Ok(tx) = serde_json::from_value::<Transaction>(answer.clone()) else { return };
    let tx: &TxEnvelope = tx.as_ref();
    let bytes = tx.encoded_2718();
    if keccak256(&bytes) == *hash {
        kept.put("evm transaction", hash.as_slice(), &bytes);
    }
}
