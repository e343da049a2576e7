//! Proofs of hashrate by hand: shares made with the `bitcoin` crate, the epoch's seed read off the chain. No line of
//! switching, fleet-oracle or the verifier is involved, so that they can be held against it.

use alloy::primitives::{Bytes, U256, keccak256};
use bitcoin::{
    Amount, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Witness,
    absolute::LockTime,
    block::{Header, Version},
    consensus::serialize,
    hashes::{Hash, sha256d},
    transaction,
};
use domain::EpochId;
use evm::bindings::IHashProof;
use eyre::{Result, eyre};
use xtask::devnet::{DevKey, Devnet};

/// Hashes "computed" for a proof.
const HASHES: u32 = 200;

/// Opens `epoch`, hashes a little under its tag, and proves it. Returns what is claimed.
///
/// # Errors
/// When the chain or the contract refuses.
pub async fn prove(net: &Devnet, epoch: u32) -> Result<U256> {
    let sender = net.evm.as_key(DevKey::Operator)?;
    let contract = IHashProof::new(net.deployment.hash_proof, sender.clone());
    let first = evm::first_block(&sender, EpochId(epoch)).await?;
    let first = first.ok_or_else(|| eyre!("epoch {epoch} has no first block"))?;
    let opened = contract.openEpoch(first.parent, first.header);
    evm::land("openEpoch", opened).await?;
    let fleet = net.deployment.fleet();
    let words =
        [U256::from(net.deployment.chain_id), fleet.into(), U256::from(epoch), first.hash.into()];
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect();
    let tag = &keccak256(words)[..4];
    eyre::ensure!(contract.tagOf(fleet, epoch).call().await?.as_slice() == tag, "another tag");
    let mut shares: Vec<(U256, Bytes)> = (0..HASHES).map(|nonce| share(tag, nonce)).collect();
    shares.sort();
    shares.truncate(contract.k().call().await?.saturating_to());
    let packed = shares.into_iter().map(|(_, share)| share).collect();
    evm::land("prove", contract.prove(fleet, epoch, U256::MAX, packed)).await?;
    Ok(U256::from(contract.claimOf(fleet, epoch).call().await?.hashes))
}

/// A header hash and the share in the contract's form.
fn share(tag: &[u8], nonce: u32) -> (U256, Bytes) {
    let script = [&[3, 0xa1, 0xbb, 0x0c, 8], tag, &nonce.to_be_bytes()].concat();
    let coinbase = Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: ScriptBuf::from_bytes(script),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(312_500_000),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51; 34]),
        }],
    };
    let sibling = [7; 32];
    let root = [coinbase.compute_txid().to_byte_array(), sibling].concat();
    let header = Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: BlockHash::from_byte_array([9; 32]),
        merkle_root: TxMerkleNode::from_raw_hash(sha256d::Hash::hash(&root)),
        time: 1_700_000_000,
        bits: CompactTarget::from_consensus(0x1703_4219),
        nonce,
    };
    let (head, raw) = (serialize(&header), serialize(&coinbase));
    let packed = [&head[..36], &head[68..], &[5, 1], &sibling, &raw[..4], &raw[41..]].concat();
    (U256::from_le_bytes(header.block_hash().to_byte_array()), packed.into())
}
