//! The Bitcoin side: of all blocks the headers, and of the transactions those that concern us, each shown to be in a
//! block of that chain. What a node alone can say is only which outputs are unspent.

use std::collections::{HashMap, HashSet};

use bitcoin::{
    BlockHash, MerkleBlock, OutPoint, Transaction, Txid, consensus::deserialize, hashes::Hash,
};
use serde_json::{Value, json};

use crate::{
    Error, encode,
    headers::{Difficulty, Headers},
    rpc::{Answer, Rpc},
};

mod blocks;
mod kept;

/// Transactions asked for before what came back is kept.
const PART: usize = 512;
/// A transaction of this size could be an inner node of a Merkle tree.
const NODE_SIZE: usize = 64;

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

/// A transaction whose block is not known yet.
#[derive(Clone, Copy, Debug)]
pub struct Sought {
    /// Its id.
    pub txid: Txid,
    /// Where to look if the node keeps no index: header times from and until, unix seconds.
    pub window: (u64, u64),
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// No transaction before this time matters, unix seconds.
    pub since: u64,
    /// The first baton.
    pub baton: Option<OutPoint>,
    /// Transactions said to be in a block.
    pub proven: Vec<(Txid, BlockHash)>,
    /// Transactions said to be in some block.
    pub sought: Vec<Sought>,
    /// Outputs of which to know whether they are unspent.
    pub outputs: HashSet<OutPoint>,
}

/// What the chain holds of it.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The headers.
    pub headers: Headers,
    /// Transactions found, by id.
    pub found: HashMap<Txid, Mined>,
    /// Who spent each output that a found transaction spends.
    pub spent: HashMap<OutPoint, Txid>,
    /// Outputs that are unspent at the tip, by the node's word.
    pub unspent: HashSet<OutPoint>,
    /// Headers, proofs and blocks that are wrong.
    pub faults: Vec<String>,
}

impl Scan {
    /// Reads all headers, and of the blocks only what is needed.
    ///
    /// # Errors
    /// When the node does not answer, or what it says does not decode.
    pub async fn read(rpc: &Rpc, wanted: &Wanted, difficulty: Difficulty) -> Result<Self, Error> {
        let headers = Headers::read(rpc, wanted.since, difficulty).await?;
        let faults = headers.faults.clone();
        let mut scan = Self { headers, faults, ..Self::default() };
        tracing::info!(payouts = wanted.proven.len(), others = wanted.sought.len(), "transactions");
        scan.prove(rpc, &wanted.proven).await?;
        scan.seek(rpc, &wanted.sought).await?;
        scan.follow(rpc, wanted).await?;
        Ok(scan)
    }

    /// Reads transactions with their proofs from the blocks that they are said to be in.
    async fn prove(&mut self, rpc: &Rpc, list: &[(Txid, BlockHash)]) -> Result<(), Error> {
        let mut asked = Vec::new();
        for (txid, block) in list {
            match kept::get(rpc, txid).filter(|proven| proven.block() == *block) {
                Some(proven) => self.accept(*txid, *block, &proven.answers()),
                None => asked.push((*txid, *block)),
            }
        }
        let mut done = list.len().saturating_sub(asked.len());
        for part in asked.chunks(PART) {
            let txs = part.iter().map(|(id, block)| ("getrawtransaction", json!([id, 0, block])));
            let proofs = part.iter().map(|(id, block)| ("gettxoutproof", json!([[id], block])));
            let (txs, proofs) = (rpc.all(txs.collect()).await?, rpc.all(proofs.collect()).await?);
            for ((id, tx), proof) in part.iter().zip(txs).zip(proofs) {
                kept::put(rpc, id.0, &tx, &proof);
                self.accept(id.0, id.1, &(tx, proof));
            }
            done = done.saturating_add(part.len());
            let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
            rpc.progress().step("Bitcoin transaction", number(done), number(list.len()));
        }
        Ok(())
    }

    fn accept(&mut self, txid: Txid, block: BlockHash, (tx, proof): &(Answer, Answer)) {
        if let Err(why) = self.take(txid, Some(block), tx, proof) {
            self.faults.push(format!("transaction {txid}: {why}"));
        }
    }

    /// Finds the blocks of transactions: by what was kept, the node's index or unspent outputs, else by reading blocks
    /// of the time.
    async fn seek(&mut self, rpc: &Rpc, list: &[Sought]) -> Result<(), Error> {
        let mut ids = HashSet::new();
        let list: Vec<&Sought> = list
            .iter()
            .filter(|one| !self.found.contains_key(&one.txid) && ids.insert(one.txid))
            .collect();
        let (mut blocks, mut asked, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for one in list {
            let known = kept::get(rpc, &one.txid).map(|proven| proven.block());
            match known.filter(|block| self.headers.height(block).is_some()) {
                Some(block) => blocks.push((one.txid, block)),
                None => asked.push(*one),
            }
        }
        let proofs = asked.iter().map(|one| ("gettxoutproof", json!([[one.txid]]))).collect();
        for (one, proof) in asked.iter().zip(rpc.all(proofs).await?) {
            match proof.ok().and_then(|proof| merkle_block(&proof)) {
                Some(block) => blocks.push((one.txid, block.header.block_hash())),
                None => lost.push(*one),
            }
        }
        self.prove(rpc, &blocks).await?;
        self.search(rpc, &lost).await
    }

    fn take(
        &mut self,
        txid: Txid,
        block: Option<BlockHash>,
        tx: &Answer,
        proof: &Answer,
    ) -> Result<(), String> {
        let proof = proof.as_ref().map_err(Clone::clone)?;
        let proof = merkle_block(proof).ok_or("its Merkle proof does not decode")?;
        let (mut ids, mut places) = (Vec::new(), Vec::new());
        proof.extract_matches(&mut ids, &mut places).map_err(|error| error.to_string())?;
        let hash = proof.header.block_hash();
        if !ids.contains(&txid) || block.is_some_and(|block| block != hash) {
            return Err("its Merkle proof is about something else".into());
        }
        let tx = raw(tx.as_ref().map_err(Clone::clone)?).ok_or("it does not decode")?;
        self.keep(txid, hash, tx)
    }

    /// Keeps a transaction that is under `block`'s Merkle root. One that is not what its id says is a fault, and kept
    /// all the same, so that the checks of its outputs can say what is wrong with it.
    fn keep(&mut self, txid: Txid, block: BlockHash, tx: Transaction) -> Result<(), String> {
        if tx.compute_txid() != txid {
            self.faults.push(format!("the node gives another transaction under id {txid}"));
        }
        if tx.base_size() == NODE_SIZE {
            return Err("it is 64 bytes long, which an inner node of a Merkle tree is too".into());
        }
        let height = self.headers.height(&block);
        let height = height.ok_or_else(|| format!("block {block} is not in the best chain"))?;
        let time = self.headers.at(height).map_or(0, |header| u64::from(header.time));
        self.spent.extend(tx.input.iter().map(|input| (input.previous_output, txid)));
        self.found.insert(txid, Mined { height, block, time, tx });
        Ok(())
    }

    /// Follows the baton past the last proven payout, and asks which outputs are unspent.
    async fn follow(&mut self, rpc: &Rpc, wanted: &Wanted) -> Result<(), Error> {
        loop {
            let mut open: HashSet<OutPoint> = self.open(wanted.baton);
            let payouts: Vec<OutPoint> = open.iter().copied().collect();
            open.extend(wanted.outputs.iter().filter(|point| !self.spent.contains_key(point)));
            let open: Vec<OutPoint> = open.into_iter().collect();
            let calls = open
                .iter()
                .map(|point| ("gettxout", json!([point.txid, point.vout, false])))
                .collect();
            self.unspent.clear();
            for (point, answer) in open.iter().zip(rpc.all(calls).await?) {
                let value =
                    answer.map_err(|why| Error::Refused { doing: "gettxout".into(), why })?;
                if !value.is_null() {
                    self.unspent.insert(*point);
                }
            }
            let gone: HashSet<OutPoint> =
                payouts.into_iter().filter(|point| !self.unspent.contains(point)).collect();
            if gone.is_empty() || !self.hunt(rpc, &gone).await? {
                return Ok(());
            }
        }
    }

    /// The baton and the chunks of root transactions that no found transaction spends.
    fn open(&self, first: Option<OutPoint>) -> HashSet<OutPoint> {
        let payouts = self.found.iter().filter(|(_, mined)| is_payout(&mined.tx));
        let mut open: HashSet<OutPoint> = first.into_iter().collect();
        for (txid, mined) in payouts {
            open.insert(OutPoint::new(*txid, 0));
            if is_root(&mined.tx) {
                let outputs = (0_u32..).zip(&mined.tx.output).skip(2);
                open.extend(outputs.map(|(n, _)| OutPoint::new(*txid, n)));
            } else if mined
                .tx
                .output
                .first()
                .is_some_and(|output| encode::is_marker(output.script_pubkey.as_bytes()))
            {
                open.remove(&OutPoint::new(*txid, 0));
            }
        }
        open.retain(|point| !self.spent.contains_key(point));
        open
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
        self.headers.tip.saturating_sub(mined.height).saturating_add(1)
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

fn is_payout(tx: &Transaction) -> bool {
    tx.output.iter().any(|output| encode::is_marker(output.script_pubkey.as_bytes()))
}

fn is_root(tx: &Transaction) -> bool {
    let script = tx.output.get(1).map(|output| output.script_pubkey.as_bytes()).unwrap_or_default();
    encode::is_marker(script) && script.get(10..12) == Some(&[0xff, 0xff])
}

fn raw(value: &Value) -> Option<Transaction> {
    deserialize(&hex::decode(value.as_str()?).ok()?).ok()
}

fn merkle_block(value: &Value) -> Option<MerkleBlock> {
    deserialize(&hex::decode(value.as_str()?).ok()?).ok()
}
