//! Whole blocks, read only where nothing shorter tells: receipts without an index, and spends that are not proven yet.

use std::collections::HashSet;

use bitcoin::{Block, OutPoint, Txid, consensus::deserialize, hashes::Hash};
use serde_json::json;

use super::{Scan, Sought, is_payout, kept};
use crate::{Error, header, rpc::Rpc};

/// Blocks fetched at once: each may take 8 MB as JSON.
const BATCH: usize = 8;

impl Scan {
    /// Reads the blocks of each lost transaction's time. What is not there stays lost.
    pub(super) async fn search(&mut self, rpc: &Rpc, lost: &[Sought]) -> Result<(), Error> {
        let mut heights: Vec<u64> =
            lost.iter().flat_map(|one| self.headers.between(one.window.0, one.window.1)).collect();
        heights.sort_unstable();
        heights.dedup();
        let ids: HashSet<Txid> = lost.iter().map(|one| one.txid).collect();
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut done = 0_usize;
        for part in heights.chunks(BATCH) {
            for block in self.blocks(rpc, part).await? {
                let hash = block.block_hash();
                for tx in &block.txdata {
                    let txid = tx.compute_txid();
                    if !ids.contains(&txid) {
                        continue;
                    }
                    kept::put_of_block(rpc, txid, &block);
                    if let Err(why) = self.keep(txid, hash, tx.clone()) {
                        self.faults.push(format!("transaction {txid}: {why}"));
                    }
                }
            }
            done = done.saturating_add(part.len());
            rpc.progress().step("Bitcoin block", number(done), number(heights.len()));
        }
        Ok(())
    }

    /// Reads blocks up to the tip for who spent `points`, and who spent the outputs of those payouts. Says whether
    /// anything was found.
    pub(super) async fn hunt(
        &mut self,
        rpc: &Rpc,
        points: &HashSet<OutPoint>,
    ) -> Result<bool, Error> {
        let mut points = points.clone();
        let heights = points.iter().map(|point| self.found.get(&point.txid).map(|m| m.height));
        let first = heights.min().flatten().unwrap_or(self.headers.first);
        let heights: Vec<u64> = (first..=self.headers.tip).collect();
        let mut any = false;
        for part in heights.chunks(BATCH) {
            for block in self.blocks(rpc, part).await? {
                let hash = block.block_hash();
                for tx in block.txdata {
                    if !tx.input.iter().any(|input| points.contains(&input.previous_output)) {
                        continue;
                    }
                    let txid = tx.compute_txid();
                    if is_payout(&tx) {
                        let outputs = (0_u32..).zip(&tx.output);
                        points.extend(outputs.map(|(n, _)| OutPoint::new(txid, n)));
                    }
                    match self.keep(txid, hash, tx) {
                        Ok(()) => any = true,
                        Err(why) => self.faults.push(format!("transaction {txid}: {why}")),
                    }
                }
            }
        }
        Ok(any)
    }

    /// Blocks of the chain whose headers were read, each with the transactions that its header names.
    async fn blocks(&mut self, rpc: &Rpc, heights: &[u64]) -> Result<Vec<Block>, Error> {
        let headers = heights.iter().filter_map(|height| self.headers.at(*height));
        let calls = headers.map(|head| ("getblock", json!([head.block_hash(), 0]))).collect();
        let mut blocks = Vec::new();
        for (height, answer) in heights.iter().zip(rpc.all(calls).await?) {
            let value = answer.map_err(|why| Error::Refused { doing: "getblock".into(), why })?;
            let bytes = hex::decode(value.as_str().unwrap_or_default())
                .map_err(|error| Error::decode("bitcoin block", error))?;
            let block: Block =
                deserialize(&bytes).map_err(|error| Error::decode("bitcoin block", error))?;
            let ids = block.txdata.iter().map(|tx| tx.compute_txid().to_byte_array()).collect();
            let whole = header::merkle_root(ids) == Some(block.header.merkle_root.to_byte_array());
            if whole && self.headers.at(*height) == Some(&block.header) {
                blocks.push(block);
            } else {
                self.faults
                    .push(format!("block {height}: its transactions do not hash to its header"));
            }
        }
        Ok(blocks)
    }
}
