//! A Bitcoin chain made up in memory, and the answers that a node gives about it.

use std::collections::{BTreeMap, HashMap};

use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, MerkleBlock, OutPoint, ScriptBuf, Sequence,
    Transaction, TxIn, TxMerkleNode, TxOut, Txid, Witness, absolute,
    block::{Header, Version},
    consensus::encode::serialize_hex,
    hashes::Hash,
    merkle_tree, transaction,
};
use serde_json::{Value, json};

/// The target of regtest: every second hash is a block.
const BITS: u32 = 0x207f_ffff;
/// Seconds from block to block.
pub(super) const SPACING: u64 = 600;

/// The chain.
#[derive(Debug, Default)]
pub(super) struct Chain {
    start: u64,
    pending: BTreeMap<u64, Vec<Transaction>>,
    headers: Vec<Header>,
    heights: HashMap<BlockHash, u64>,
    places: HashMap<Txid, u64>,
    unspent: HashMap<OutPoint, u64>,
    /// Whether transactions are found by id alone, as with `txindex=1`.
    pub(super) index: bool,
}

/// A transaction that pays `outputs` (script, sats) from `inputs`.
pub(super) fn pay(inputs: &[OutPoint], outputs: &[(Vec<u8>, u64)]) -> Transaction {
    let input = |point: &OutPoint| TxIn {
        previous_output: *point,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    let output = |(script, sats): &(Vec<u8>, u64)| TxOut {
        value: Amount::from_sat(*sats),
        script_pubkey: ScriptBuf::from_bytes(script.clone()),
    };
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: inputs.iter().map(input).collect(),
        output: outputs.iter().map(output).collect(),
    }
}

impl Chain {
    pub(super) fn new(start: u64) -> Self {
        Self { start, index: true, ..Self::default() }
    }

    /// Puts a transaction into the block of a time. Returns its id.
    pub(super) fn add(&mut self, time: u64, tx: Transaction) -> Txid {
        let (txid, height) = (tx.compute_txid(), (time - self.start) / SPACING);
        for input in &tx.input {
            self.unspent.remove(&input.previous_output);
        }
        for (n, output) in (0..).zip(&tx.output) {
            self.unspent.insert(OutPoint::new(txid, n), output.value.to_sat());
        }
        self.places.insert(txid, height);
        self.pending.entry(height).or_default().push(tx);
        txid
    }

    /// Finds the work of every block up to a time.
    pub(super) fn mine(&mut self, until: u64) {
        let mut previous = BlockHash::all_zeros();
        for height in 0..=(until - self.start) / SPACING {
            let ids = self
                .txs(height)
                .iter()
                .map(|tx| tx.compute_txid().to_raw_hash())
                .collect::<Vec<_>>();
            let root = merkle_tree::calculate_root(ids.into_iter()).unwrap();
            let mut header = Header {
                version: Version::TWO,
                prev_blockhash: previous,
                merkle_root: TxMerkleNode::from_raw_hash(root),
                time: (self.start + height * SPACING) as u32,
                bits: CompactTarget::from_consensus(BITS),
                nonce: 0,
            };
            while header.target().to_be_bytes() < reversed(header.block_hash()) {
                header.nonce += 1;
            }
            previous = header.block_hash();
            self.heights.insert(previous, height);
            self.headers.push(header);
        }
    }

    fn txs(&self, height: u64) -> Vec<Transaction> {
        let mut coinbase = pay(&[OutPoint::null()], &[(vec![0x51], 5_000_000_000)]);
        coinbase.input[0].script_sig = ScriptBuf::from_bytes(height.to_le_bytes().to_vec());
        let more = self.pending.get(&height).cloned().unwrap_or_default();
        std::iter::once(coinbase).chain(more).collect()
    }

    /// The block that holds a transaction.
    pub(super) fn block_of(&self, txid: &Txid) -> BlockHash {
        self.headers[self.places[txid] as usize].block_hash()
    }

    /// A node's answer.
    pub(super) fn answer(&self, method: &str, params: &Value) -> Option<Value> {
        let text = |n: usize| params.get(n)?.as_str();
        let block = |n: usize| {
            let hash: BlockHash = text(n)?.parse().ok()?;
            self.heights.get(&hash).copied()
        };
        Some(match method {
            "getblockcount" => json!(self.headers.len() - 1),
            "getblockhash" => json!(self.headers.get(params[0].as_u64()? as usize)?.block_hash()),
            "getblockheader" => json!(serialize_hex(&self.headers[block(0)? as usize])),
            "getblock" => {
                let height = block(0)?;
                let header = self.headers[height as usize];
                json!(serialize_hex(&Block { header, txdata: self.txs(height) }))
            }
            "getrawtransaction" => {
                let (txid, height): (Txid, _) = (text(0)?.parse().ok()?, block(2)?);
                let list = self.pending.get(&height)?;
                json!(serialize_hex(list.iter().find(|tx| tx.compute_txid() == txid)?))
            }
            "gettxoutproof" => {
                let txid: Txid = params[0][0].as_str()?.parse().ok()?;
                let height = *self.places.get(&txid)?;
                let named = params.get(1).is_some();
                if named && block(1)? != height || !named && !self.index {
                    return None;
                }
                let ids: Vec<Txid> =
                    self.txs(height).iter().map(Transaction::compute_txid).collect();
                let header = &self.headers[height as usize];
                let proof =
                    MerkleBlock::from_header_txids_with_predicate(header, &ids, |id| *id == txid);
                json!(serialize_hex(&proof))
            }
            "gettxout" => {
                let vout = params[1].as_u64()? as u32;
                let sats = self.unspent.get(&OutPoint::new(text(0)?.parse().ok()?, vout));
                sats.map_or(Value::Null, |sats| json!({"value": sats}))
            }
            _ => return None,
        })
    }
}

fn reversed(hash: BlockHash) -> [u8; 32] {
    let mut bytes = hash.to_byte_array();
    bytes.reverse();
    bytes
}
