//! What a light server knows: headers, transactions, and which scripts each transaction touches.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{
    Amount, Block, BlockHash, OutPoint, Script, ScriptBuf, Transaction, Txid,
    consensus::{deserialize, serialize},
    hashes::{Hash, sha256},
};
use eyre::{Result, eyre};
use serde_json::json;

use super::Mode;
use crate::{node::Node, work::sha256d};

/// sha256 of a script, as Esplora has it; Electrum shows it backwards.
pub(crate) type ScriptId = [u8; 32];

/// The index of one node's best chain and mempool.
#[derive(Debug, Default)]
pub(crate) struct Index {
    blocks: Vec<Block>,
    hashes: Vec<BlockHash>,
    places: BTreeMap<Txid, u32>,
    txs: BTreeMap<Txid, Transaction>,
    touched: BTreeMap<ScriptId, Vec<Txid>>,
    scripts: BTreeMap<ScriptId, ScriptBuf>,
    waiting: BTreeSet<Txid>,
}

/// Id of a transaction in hex.
pub(crate) fn txid_of(raw: &str) -> Result<String> {
    let tx: Transaction = deserialize(&hex::decode(raw)?)?;
    Ok(tx.compute_txid().to_string())
}

impl Index {
    /// Follows the node to its newest block.
    pub(crate) async fn refresh(&mut self, node: &Node) -> Result<()> {
        let best = node.call("getbestblockhash", json!([])).await?;
        let best = best.as_str().unwrap_or_default().to_owned();
        if self.hashes.last().is_none_or(|last| last.to_string() != best) {
            let mut new = Vec::new();
            let mut hash = best;
            // down to the last block of ours that is in the chain, or to the first of all
            let keep = loop {
                let raw = node.call("getblock", json!([hash, 0])).await?;
                let block: Block = deserialize(&hex::decode(raw.as_str().unwrap_or_default())?)?;
                let before = block.header.prev_blockhash;
                new.push(block);
                if before == BlockHash::all_zeros() {
                    break 0;
                }
                if let Some(at) = self.hashes.iter().rposition(|found| *found == before) {
                    break at + 1;
                }
                hash = before.to_string();
            };
            self.forget(keep);
            new.into_iter().rev().for_each(|block| self.connect(block));
        }
        let pool = node.call("getrawmempool", json!([])).await?;
        let mut waiting = BTreeSet::new();
        for txid in pool.as_array().into_iter().flatten().filter_map(|id| id.as_str()) {
            let id: Txid = txid.parse()?;
            if !self.txs.contains_key(&id) {
                let Ok(raw) = node.call("getrawtransaction", json!([txid])).await else { continue };
                self.add(deserialize(&hex::decode(raw.as_str().unwrap_or_default())?)?);
            }
            waiting.insert(id);
        }
        self.waiting = waiting;
        Ok(())
    }

    fn forget(&mut self, keep: usize) {
        self.hashes.truncate(keep);
        self.blocks.truncate(keep);
        let height = u32::try_from(keep).unwrap_or(u32::MAX);
        self.places.retain(|_, at| *at < height);
    }

    fn connect(&mut self, block: Block) {
        let height = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        for tx in &block.txdata {
            self.add(tx.clone());
            self.places.insert(tx.compute_txid(), height);
        }
        self.hashes.push(block.block_hash());
        self.blocks.push(block);
    }

    fn add(&mut self, tx: Transaction) {
        let txid = tx.compute_txid();
        if self.txs.contains_key(&txid) {
            return;
        }
        let spent = tx.input.iter().filter_map(|input| self.output(input.previous_output));
        let made = tx.output.iter().map(|output| output.script_pubkey.clone());
        let scripts: BTreeSet<ScriptBuf> = spent.chain(made).collect();
        for script in scripts {
            let id = script_id(&script);
            self.touched.entry(id).or_default().push(txid);
            self.scripts.insert(id, script);
        }
        self.txs.insert(txid, tx);
    }

    fn output(&self, place: OutPoint) -> Option<ScriptBuf> {
        let output = self.txs.get(&place.txid)?.output.get(usize::try_from(place.vout).ok()?)?;
        Some(output.script_pubkey.clone())
    }

    pub(crate) fn height(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or_default().saturating_sub(1)
    }

    pub(crate) fn block(&self, height: u32) -> Option<&Block> {
        self.blocks.get(usize::try_from(height).ok()?)
    }

    pub(crate) fn header(&self, height: u32) -> Option<[u8; 80]> {
        serialize(&self.block(height)?.header).try_into().ok()
    }

    pub(crate) fn height_of(&self, block: &str) -> Option<u32> {
        let at = self.hashes.iter().position(|hash| hash.to_string() == block)?;
        u32::try_from(at).ok()
    }

    /// A header on top of the block at a height, that nobody has mined.
    pub(crate) fn fake_header(&self, below: u32) -> [u8; 80] {
        let mut header = self.header(below).unwrap_or([0; 80]);
        let above = sha256d(&header);
        header[4..36].copy_from_slice(&above);
        header[36] ^= 1;
        // the least target of regtest: the highest bit of the hash must not be set
        while sha256d(&header)[31] < 0x80 {
            header[76] = header[76].wrapping_add(1);
        }
        header
    }

    /// Transactions that touch a script, with their heights, oldest first; none for one that waits.
    pub(crate) fn history(&self, script: &ScriptId, mode: Mode) -> Vec<(Txid, Option<u32>)> {
        let all = self.touched.get(script).into_iter().flatten().filter_map(|txid| {
            let height = self.places.get(txid).copied();
            (height.is_some() || self.waiting.contains(txid)).then_some((*txid, height))
        });
        let mut all: Vec<_> = match mode {
            Mode::Omit(above) => {
                all.filter(|(_, height)| height.is_some_and(|height| height <= above)).collect()
            }
            Mode::Stale(above) => {
                all.filter(|(_, height)| height.is_none_or(|height| height <= above)).collect()
            }
            _ => all.collect(),
        };
        if mode == Mode::Invent
            && let Some(invented) = self.invented(script)
        {
            all.push((invented.compute_txid(), Some(self.height())));
        }
        all.sort_by_key(|(_, height)| height.unwrap_or(u32::MAX));
        all
    }

    /// A payment of 5 bitcoin to a script, out of nothing.
    fn invented(&self, script: &ScriptId) -> Option<Transaction> {
        let script = self.scripts.get(script)?;
        let mut tx = self.blocks.last()?.txdata.first()?.clone();
        tx.input.first_mut()?.previous_output =
            OutPoint { txid: Txid::from_byte_array([7; 32]), vout: 0 };
        let output = tx.output.first_mut()?;
        (output.value, output.script_pubkey) = (Amount::from_sat(500_000_000), script.clone());
        Some(tx)
    }

    /// A transaction, also an invented one.
    pub(crate) fn transaction(&self, txid: &str, mode: Mode) -> Option<Transaction> {
        let id: Txid = txid.parse().ok()?;
        if mode == Mode::Invent
            && let Some(tx) = self
                .scripts
                .keys()
                .filter_map(|script| self.invented(script))
                .find(|tx| tx.compute_txid() == id)
        {
            return Some(tx);
        }
        self.txs.get(&id).cloned()
    }

    /// Height, place and siblings (as explorers show them) of a transaction in its block.
    pub(crate) fn branch(&self, txid: &str, mode: Mode) -> Result<(u32, usize, Vec<String>)> {
        let id: Txid = txid.parse()?;
        let known = self.places.get(&id).copied();
        let height = known.or((mode == Mode::Invent).then(|| self.height()));
        let height = height.ok_or_else(|| eyre!("{txid} is in no block"))?;
        let block = self.block(height).ok_or_else(|| eyre!("no block at {height}"))?;
        let mut level: Vec<[u8; 32]> =
            block.txdata.iter().map(|tx| tx.compute_txid().to_byte_array()).collect();
        // an invented one borrows the place of the first
        let place = level.iter().position(|found| *found == id.to_byte_array()).unwrap_or(0);
        let (mut at, mut siblings) = (place, Vec::new());
        while level.len() > 1 {
            if !level.len().is_multiple_of(2) {
                level.extend(level.last().copied());
            }
            siblings.extend(level.get(at ^ 1).copied());
            at /= 2;
            level = level.chunks(2).map(|pair| sha256d(&pair.concat())).collect();
        }
        if mode == Mode::ForgeBranch
            && let Some(byte) = siblings.first_mut().and_then(|sibling| sibling.first_mut())
        {
            *byte ^= 1;
        }
        let shown = |mut sibling: [u8; 32]| {
            sibling.reverse();
            hex::encode(sibling)
        };
        Ok((height, place, siblings.into_iter().map(shown).collect()))
    }

    /// Height of a transaction's block.
    pub(crate) fn place(&self, txid: &Txid) -> Option<(u32, BlockHash)> {
        let height = self.places.get(txid).copied()?;
        Some((height, *self.hashes.get(usize::try_from(height).ok()?)?))
    }
}

fn script_id(script: &Script) -> ScriptId {
    sha256::Hash::hash(script.as_bytes()).to_byte_array()
}
