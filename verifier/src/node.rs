//! The Bitcoin side: blocks from the node, each checked here for work, links and Merkle root, and the few
//! transactions that concern us kept.

use std::collections::{HashMap, HashSet};

use bitcoin::{
    Block, BlockHash, OutPoint, Transaction, Txid, consensus::deserialize, hashes::Hash,
};
use serde_json::{Value, json};

use crate::{Error, encode, header, rpc::Rpc};

/// Blocks fetched at once.
const BATCH: u64 = 32;
/// Header times may run against the order of blocks by less than this many blocks.
const SLACK: u64 = 12;

/// A transaction of ours in a block.
#[derive(Clone, Debug)]
pub struct Mined {
    /// Block height.
    pub height: u64,
    /// Block hash.
    pub block: BlockHash,
    /// Header time, unix seconds.
    pub time: u64,
    /// The transaction.
    pub tx: Transaction,
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Transactions by id.
    pub txids: HashSet<Txid>,
    /// Outputs whose spender matters. The outputs of a payout (a transaction with our
    /// marker) that spends one of them are added.
    pub outputs: HashSet<OutPoint>,
}

/// What the chain holds of it.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Height of the first block read.
    pub first: u64,
    /// Height of the tip.
    pub tip: u64,
    /// Transactions found, each also if its id was not asked for but it spends a wanted output.
    pub found: HashMap<Txid, Mined>,
    /// Who spent each wanted output.
    pub spent: HashMap<OutPoint, Txid>,
    /// Blocks whose work, link, difficulty or Merkle root is wrong.
    pub faults: Vec<String>,
}

impl Scan {
    /// Reads all blocks from the first whose header time may be `since` or later.
    ///
    /// # Errors
    /// When the node does not answer, or a block does not decode.
    pub async fn read(rpc: &Rpc, since: u64, mut wanted: Wanted) -> Result<Self, Error> {
        let tip = number(&rpc.one("getblockcount", json!([])).await?);
        let first = first_block(rpc, since, tip).await?.saturating_sub(SLACK);
        let mut scan = Self { first, tip, ..Self::default() };
        let mut previous: Option<(BlockHash, u32)> = None;
        let mut start = first;
        while start <= tip {
            let end = tip.min(start.saturating_add(BATCH - 1));
            for (height, block) in (start..=end).zip(blocks(rpc, start, end).await?) {
                scan.check(&block, height, previous);
                previous = Some((block.block_hash(), block.header.bits.to_consensus()));
                scan.take(&block, height, &mut wanted);
            }
            if end.saturating_sub(first) % 2_048 < BATCH && tip.saturating_sub(first) > 4_096 {
                tracing::info!(height = end, tip, "reading bitcoin blocks");
            }
            start = end.saturating_add(1);
        }
        Ok(scan)
    }

    fn check(&mut self, block: &Block, height: u64, previous: Option<(BlockHash, u32)>) {
        let hash = block.block_hash();
        let mut fault = |what: &str| self.faults.push(format!("block {height} ({hash}): {what}"));
        if !header::works(&block.header) {
            fault("its hash is above the target that it states");
        }
        if let Some((before, bits)) = previous {
            if block.header.prev_blockhash != before {
                fault("it does not follow from the block before it");
            }
            if !header::follows(bits, block.header.bits.to_consensus(), height) {
                fault("its difficulty may not follow that of the block before it");
            }
        }
        let ids = block.txdata.iter().map(|tx| tx.compute_txid().to_byte_array()).collect();
        if header::merkle_root(ids) != Some(block.header.merkle_root.to_byte_array()) {
            fault("its transactions do not hash to its Merkle root");
        }
    }

    fn take(&mut self, block: &Block, height: u64, wanted: &mut Wanted) {
        for tx in &block.txdata {
            let inputs: Vec<OutPoint> = tx
                .input
                .iter()
                .map(|input| input.previous_output)
                .filter(|point| wanted.outputs.contains(point))
                .collect();
            let txid = tx.compute_txid();
            if inputs.is_empty() && !wanted.txids.contains(&txid) {
                continue;
            }
            if !inputs.is_empty()
                && tx.output.iter().any(|o| encode::is_marker(o.script_pubkey.as_bytes()))
            {
                wanted
                    .outputs
                    .extend((0_u32..).zip(&tx.output).map(|(n, _)| OutPoint::new(txid, n)));
            }
            self.spent.extend(inputs.into_iter().map(|point| (point, txid)));
            let mined = Mined {
                height,
                block: block.block_hash(),
                time: u64::from(block.header.time),
                tx: tx.clone(),
            };
            self.found.insert(txid, mined);
        }
    }

    /// The mined transaction that spends an output, with its id.
    #[must_use]
    pub fn spender(&self, point: &OutPoint) -> Option<(Txid, &Mined)> {
        let txid = self.spent.get(point)?;
        Some((*txid, self.found.get(txid)?))
    }

    /// Blocks on top of a transaction's block, itself included.
    #[must_use]
    pub const fn confirmations(&self, mined: &Mined) -> u64 {
        self.tip.saturating_sub(mined.height).saturating_add(1)
    }

    /// Value of an output that the scan kept, in sats.
    #[must_use]
    pub fn value(&self, point: &OutPoint) -> Option<u64> {
        let output =
            self.found.get(&point.txid)?.tx.output.get(usize::try_from(point.vout).ok()?)?;
        Some(output.value.to_sat())
    }
}

/// An outpoint as contracts name it: txid in internal byte order.
#[must_use]
pub fn outpoint(txid: alloy::primitives::B256, vout: u32) -> OutPoint {
    OutPoint::new(Txid::from_byte_array(txid.0), vout)
}

async fn blocks(rpc: &Rpc, start: u64, end: u64) -> Result<Vec<Block>, Error> {
    let hashes = (start..=end).map(|height| ("getblockhash", json!([height]))).collect();
    let mut calls = Vec::new();
    for answer in rpc.all(hashes).await? {
        let hash = answer.map_err(|why| Error::Refused { doing: "getblockhash".into(), why })?;
        calls.push(("getblock", json!([hash, 0])));
    }
    rpc.all(calls)
        .await?
        .into_iter()
        .map(|answer| {
            let value = answer.map_err(|why| Error::Refused { doing: "getblock".into(), why })?;
            let bytes = hex::decode(value.as_str().unwrap_or_default())
                .map_err(|error| Error::decode("bitcoin block", error))?;
            deserialize(&bytes).map_err(|error| Error::decode("bitcoin block", error))
        })
        .collect()
}

/// By bisection: header times rise but for a few blocks.
async fn first_block(rpc: &Rpc, since: u64, tip: u64) -> Result<u64, Error> {
    let (mut low, mut high) = (0, tip);
    while low < high {
        let middle = low.midpoint(high);
        let hash = rpc.one("getblockhash", json!([middle])).await?;
        let head = rpc.one("getblockheader", json!([hash, true])).await?;
        if head.get("time").map(number).unwrap_or_default() < since {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}
