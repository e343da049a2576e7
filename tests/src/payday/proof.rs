//! The tree over leaves, by the contract's own view, and the proof that a payout was mined, from the node's blocks.

use alloy::primitives::{B256, Bytes};
use bitcoin::{Block, Transaction, consensus, hashes::Hash};
use evm::bindings::{IEpochLedger, IEpochLedger::Root};
use eyre::Result;
use serde_json::json;
use xtask::devnet::DevKey;

use super::{Payday, bytes};

impl Payday {
    /// Proves batch 0 of `epoch`, mined at `height` under five more blocks.
    pub(super) async fn prove(&self, epoch: u32, height: u64, txid: &str) -> Result<()> {
        let mut headers = Vec::new();
        for at in height..height + 6 {
            let hash = self.net.bitcoin.call("getblockhash", json!([at])).await?;
            headers.extend(bytes(
                &self.net.bitcoin.call("getblockheader", json!([hash, false])).await?,
            ));
        }
        let hash = self.net.bitcoin.call("getblockhash", json!([height])).await?;
        let block: Block = consensus::deserialize(&bytes(
            &self.net.bitcoin.call("getblock", json!([hash, 0])).await?,
        ))?;
        let index =
            block.txdata.iter().position(|tx| tx.compute_txid().to_string() == txid).unwrap();
        let proof = IEpochLedger::Proof {
            headers: headers.into(),
            transaction: stripped(&block.txdata[index]),
            branch: branch(&block, index),
            index: u32::try_from(index)?,
            coinbase: stripped(&block.txdata[0]),
            coinbaseBranch: branch(&block, 0),
        };
        let ledger = IEpochLedger::new(
            self.net.deployment.epoch_ledger,
            self.net.evm.as_key(DevKey::Relayer)?,
        );
        let (address, from) = (self.net.deployment.epoch_ledger, self.net.deployment.block);
        let committed =
            evm::record::committed(&self.net.evm.reader()?, address, from, epoch).await?;
        let paying = evm::record::paying(&committed.unwrap());
        evm::land("provePayout", ledger.provePayout(epoch, 0, paying, proof)).await?;
        Ok(())
    }
}

fn branch(block: &Block, mut index: usize) -> Bytes {
    let mut level: Vec<[u8; 32]> =
        block.txdata.iter().map(|tx| tx.compute_txid().to_byte_array()).collect();
    let mut branch = Vec::new();
    while level.len() > 1 {
        if level.len() % 2 == 1 {
            level.push(level[level.len() - 1]);
        }
        branch.extend_from_slice(&level[index ^ 1]);
        level = level
            .chunks(2)
            .map(|pair| bitcoin::hashes::sha256d::Hash::hash(&pair.concat()).to_byte_array())
            .collect();
        index /= 2;
    }
    branch.into()
}

fn stripped(tx: &Transaction) -> Bytes {
    let mut tx = tx.clone();
    tx.input.iter_mut().for_each(|input| input.witness.clear());
    consensus::serialize(&tx).into()
}

pub(super) async fn tree(
    ledger: &IEpochLedger::IEpochLedgerInstance<evm::DynProvider>,
    mut level: Vec<Root>,
) -> Result<Root> {
    let zero = Root { hash: B256::ZERO, accSum: 0, paidSum: 0 };
    level.resize(level.len().next_power_of_two(), zero);
    while level.len() > 1 {
        let mut next = Vec::new();
        for pair in level.chunks(2) {
            next.push(ledger.nodeHash(pair[0].clone(), pair[1].clone()).call().await?);
        }
        level = next;
    }
    Ok(level.remove(0))
}
