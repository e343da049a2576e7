//! Transactions with their Merkle proofs, kept from run to run of the verifier. What comes back is what its id says, and
//! its proof is about it; whether the header over it is in the chain is for the reader to say, as with a node's answer.

use bitcoin::{
    Block, BlockHash, MerkleBlock, Transaction, Txid,
    consensus::{deserialize, serialize},
};
use serde_json::Value;

use super::{merkle_block, raw};
use crate::rpc::{Answer, Rpc};

/// A transaction and its proof.
#[derive(Debug)]
pub(super) struct Proven {
    tx: Transaction,
    proof: MerkleBlock,
}

/// What is kept of a transaction. One that does not hold is read again.
pub(super) fn get(rpc: &Rpc, txid: &Txid) -> Option<Proven> {
    let kept = rpc.kept()?;
    let bytes = kept.get("transaction", txid.as_ref())?;
    let found = read(&bytes).filter(|proven| proven.holds(txid));
    if found.is_none() {
        kept.distrust("transaction");
    }
    found
}

/// Keeps what a node answered, if it holds.
pub(super) fn put(rpc: &Rpc, txid: Txid, tx: &Answer, proof: &Answer) {
    let (Ok(tx), Ok(proof)) = (tx, proof) else { return };
    let (Some(tx), Some(proof)) = (raw(tx), merkle_block(proof)) else { return };
    write(rpc, txid, &Proven { tx, proof });
}

/// Keeps a transaction of a whole block that was read, so that the block need not be read for it again.
pub(super) fn put_of_block(rpc: &Rpc, txid: Txid, block: &Block) {
    if rpc.kept().is_none() {
        return;
    }
    let Some(tx) = block.txdata.iter().find(|tx| tx.compute_txid() == txid) else { return };
    let proof = MerkleBlock::from_block_with_predicate(block, |id| *id == txid);
    write(rpc, txid, &Proven { tx: tx.clone(), proof });
}

fn write(rpc: &Rpc, txid: Txid, proven: &Proven) {
    let Some(kept) = rpc.kept().filter(|_| proven.holds(&txid)) else { return };
    let tx = serialize(&proven.tx);
    let Ok(size) = u32::try_from(tx.len()) else { return };
    let bytes = [&size.to_be_bytes()[..], &tx, &serialize(&proven.proof)].concat();
    kept.put("transaction", txid.as_ref(), &bytes);
}

fn read(bytes: &[u8]) -> Option<Proven> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_be_bytes(*size)).ok()?;
    let (tx, proof) = rest.split_at_checked(size)?;
    Some(Proven { tx: deserialize(tx).ok()?, proof: deserialize(proof).ok()? })
}

impl Proven {
    /// The block that the proof is about.
    pub(super) fn block(&self) -> BlockHash {
        self.proof.header.block_hash()
    }

    /// As a node would have answered.
    pub(super) fn answers(&self) -> (Answer, Answer) {
        let hex = |bytes: Vec<u8>| Ok(Value::String(hex::encode(bytes)));
        (hex(serialize(&self.tx)), hex(serialize(&self.proof)))
    }

    fn holds(&self, txid: &Txid) -> bool {
        let (mut ids, mut places) = (Vec::new(), Vec::new());
        let proven = self.proof.extract_matches(&mut ids, &mut places).is_ok();
        proven && ids.contains(txid) && self.tx.compute_txid() == *txid
    }
}
