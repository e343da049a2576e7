//! A Bitcoin network in memory: blocks with real transactions and headers, a mempool with replacement, reorgs that put
//! transactions back or lose them. It counts what our outputs were paid as blocks come and go.

use std::collections::BTreeMap;

use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness,
    absolute::LockTime,
    block::{Header, Version as BlockVersion},
    hashes::Hash,
    transaction::Version,
};
use settlement::{encode, node::Broadcast};

/// The least difficulty, of every block.
pub(in crate::bench) const BITS: u32 = 0x207f_ffff;

/// One block, with what it took out of the set of coins.
#[derive(Debug)]
pub(in crate::bench) struct Mined {
    pub(in crate::bench) block: Block,
    spent: Vec<(OutPoint, (TxOut, u32))>,
    fees: u64,
}

/// The network.
#[derive(Debug, Default)]
pub(in crate::bench) struct Network {
    pub(in crate::bench) blocks: Vec<Mined>,
    pub(in crate::bench) hashes: Vec<BlockHash>,
    pub(in crate::bench) coins: BTreeMap<OutPoint, (TxOut, u32)>,
    pub(in crate::bench) known: BTreeMap<Txid, Transaction>,
    confirmed: BTreeMap<Txid, u32>,
    mempool: Vec<Transaction>,
    /// Payouts that were replaced or whose block is gone, newest last: a miner may still have one of them.
    variants: Vec<Transaction>,
    /// Miners take nothing of ours.
    pub(in crate::bench) full: bool,
    /// Payouts that took the place of another, and times that a replaced one came back.
    pub(in crate::bench) replaced: u64,
    pub(in crate::bench) revived: u64,
    /// Sats in the active chain by script, and transactions by the epoch and batch that their marker names.
    pub(in crate::bench) received: BTreeMap<ScriptBuf, u64>,
    pub(in crate::bench) payouts: BTreeMap<(u32, u16), u32>,
    pub(in crate::bench) fees: u64,
    salt: u32,
}

impl Network {
    /// A coin out of nowhere, in the next block: what others pay to us. Its transaction.
    pub(in crate::bench) fn gift(&mut self, script_pubkey: ScriptBuf, sats: u64) -> Transaction {
        self.salt += 1;
        let output = TxOut { value: Amount::from_sat(sats), script_pubkey };
        let place = OutPoint { txid: Txid::all_zeros(), vout: self.salt };
        let tx = transaction(place, vec![output]);
        self.known.insert(tx.compute_txid(), tx.clone());
        self.mempool.insert(0, tx.clone());
        tx
    }

    /// What a node does with a transaction that it is handed.
    pub(in crate::bench) fn accept(&mut self, tx: &Transaction) -> Broadcast {
        let txid = tx.compute_txid();
        if self.confirmed.contains_key(&txid) || self.pooled(txid) {
            return Broadcast::Known;
        }
        let Some(fee) = self.fee(tx) else {
            return Broadcast::Refused("bad-txns-inputs-missingorspent".into());
        };
        let rivals: Vec<Txid> = self
            .mempool
            .iter()
            .filter(|other| shares_input(other, tx))
            .map(Transaction::compute_txid)
            .collect();
        let dearest = self.mempool.iter().filter(|other| shares_input(other, tx));
        if dearest.filter_map(|other| self.fee(other)).any(|other| other >= fee) {
            return Broadcast::Refused("insufficient fee, rejecting replacement".into());
        }
        self.replaced += rivals.len() as u64;
        self.remember(&rivals);
        self.mempool.retain(|other| !rivals.contains(&other.compute_txid()));
        self.known.insert(txid, tx.clone());
        self.mempool.push(tx.clone());
        Broadcast::Known
    }

    fn remember(&mut self, txids: &[Txid]) {
        self.variants.extend(txids.iter().filter_map(|txid| self.known.get(txid).cloned()));
        let many = self.variants.len().saturating_sub(24);
        self.variants.drain(..many);
    }

    /// The transaction that waits and spends a place.
    pub(in crate::bench) fn spender(&self, place: OutPoint) -> Option<Transaction> {
        let spends = |tx: &&Transaction| tx.input.iter().any(|i| i.previous_output == place);
        self.mempool.iter().find(spends).cloned()
    }

    /// A miner has a variant that was replaced, and not what replaced it: it waits again, whatever its fee.
    pub(in crate::bench) fn revive(&mut self, which: usize) {
        let there = |tx: &&Transaction| {
            let txid = tx.compute_txid();
            !self.pooled(txid) && !self.confirmed.contains_key(&txid) && self.fee(tx).is_some()
        };
        let can: Vec<&Transaction> = self.variants.iter().filter(there).collect();
        let Some(tx) = can.get(which % can.len().max(1)).map(|tx| (*tx).clone()) else { return };
        let rivals = self.mempool.iter().filter(|other| shares_input(other, &tx));
        let rivals: Vec<Txid> = rivals.map(Transaction::compute_txid).collect();
        self.remember(&rivals);
        self.mempool.retain(|other| !rivals.contains(&other.compute_txid()));
        self.mempool.push(tx);
        self.revived += u64::from(!rivals.is_empty());
    }

    fn pooled(&self, txid: Txid) -> bool {
        self.mempool.iter().any(|tx| tx.compute_txid() == txid)
    }

    fn output(&self, place: OutPoint) -> Option<TxOut> {
        if let Some((output, _)) = self.coins.get(&place) {
            return Some(output.clone());
        }
        let parent = self.mempool.iter().find(|tx| tx.compute_txid() == place.txid)?;
        parent.output.get(place.vout as usize).cloned()
    }

    fn fee(&self, tx: &Transaction) -> Option<u64> {
        let mut have = 0;
        for input in &tx.input {
            have += self.output(input.previous_output)?.value.to_sat();
        }
        have.checked_sub(tx.output.iter().map(|out| out.value.to_sat()).sum())
    }

    /// Mines a block, empty or with all that fits together.
    pub(in crate::bench) fn mine(&mut self, empty: bool) {
        let height = self.hashes.len() as u32;
        self.salt += 1;
        let place = OutPoint { txid: Txid::all_zeros(), vout: u32::MAX - self.salt };
        let mut txdata = vec![transaction(place, vec![TxOut::NULL])];
        let full = self.full;
        let taken = |tx: &mut Transaction| !empty && (!full || is_gift(tx));
        let waiting: Vec<Transaction> = self.mempool.extract_if(.., taken).collect();
        let (mut spent, mut fees) = (Vec::new(), 0);
        for tx in waiting {
            let gift = is_gift(&tx);
            if !gift
                && tx.input.iter().any(|input| !self.coins.contains_key(&input.previous_output))
            {
                continue;
            }
            if !gift {
                fees += self.fee(&tx).expect("its coins are there");
            }
            for input in &tx.input {
                if let Some(coin) = self.coins.remove(&input.previous_output) {
                    spent.push((input.previous_output, coin));
                }
            }
            self.connect(&tx, height);
            txdata.push(tx);
        }
        let header = Header {
            version: BlockVersion::TWO,
            prev_blockhash: self.hashes.last().copied().unwrap_or_else(BlockHash::all_zeros),
            merkle_root: TxMerkleNode::all_zeros(),
            time: self.salt,
            bits: CompactTarget::from_consensus(BITS),
            nonce: 0,
        };
        let mut block = Block { header, txdata };
        block.header.merkle_root = block.compute_merkle_root().expect("it has a coinbase");
        self.fees += fees;
        self.hashes.push(block.block_hash());
        self.blocks.push(Mined { block, spent, fees });
    }

    fn connect(&mut self, tx: &Transaction, height: u32) {
        let txid = tx.compute_txid();
        for (output, vout) in tx.output.iter().zip(0..) {
            self.coins.insert(OutPoint { txid, vout }, (output.clone(), height));
            *self.received.entry(output.script_pubkey.clone()).or_default() +=
                output.value.to_sat();
        }
        if let Some(named) = named(tx) {
            *self.payouts.entry(named).or_default() += 1;
        }
        self.confirmed.insert(txid, height);
    }

    /// Takes back the last `depth` blocks and mines one more than that, empty ones; a transaction is lost from the
    /// mempool if `lost` says so.
    pub(in crate::bench) fn reorg(&mut self, depth: usize, mut lost: impl FnMut() -> bool) {
        let mut back = Vec::new();
        for _ in 0..depth.min(self.blocks.len() - 1) {
            let mined = self.blocks.pop().expect("counted");
            self.hashes.pop();
            for tx in mined.block.txdata.iter().skip(1).rev() {
                self.disconnect(tx);
                if named(tx).is_some() {
                    self.remember(&[tx.compute_txid()]);
                }
                if is_gift(tx) || !lost() {
                    back.push(tx.clone());
                }
            }
            self.coins.extend(mined.spent);
            self.fees -= mined.fees;
        }
        // what was made and spent within the blocks that are gone is no coin
        let gone: Vec<OutPoint> = self
            .coins
            .keys()
            .filter(|place| !self.confirmed.contains_key(&place.txid))
            .copied()
            .collect();
        gone.iter().for_each(|place| drop(self.coins.remove(place)));
        back.reverse();
        back.append(&mut self.mempool);
        self.mempool = back;
        (0..=depth).for_each(|_| self.mine(true));
    }

    fn disconnect(&mut self, tx: &Transaction) {
        let txid = tx.compute_txid();
        for (output, vout) in tx.output.iter().zip(0..) {
            self.coins.remove(&OutPoint { txid, vout });
            *self.received.get_mut(&output.script_pubkey).expect("it was counted") -=
                output.value.to_sat();
        }
        if let Some(named) = named(tx) {
            *self.payouts.get_mut(&named).expect("it was counted") -= 1;
        }
        self.confirmed.remove(&txid);
    }

    /// Loses a transaction that waits.
    pub(in crate::bench) fn evict(&mut self, which: usize) {
        if !self.mempool.is_empty() {
            let which = which % self.mempool.len();
            if !is_gift(&self.mempool[which]) {
                self.mempool.remove(which);
            }
        }
    }
}

fn transaction(place: OutPoint, output: Vec<TxOut>) -> Transaction {
    let input = TxIn {
        previous_output: place,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output }
}

fn is_gift(tx: &Transaction) -> bool {
    tx.input[0].previous_output.txid == Txid::all_zeros()
}

fn shares_input(one: &Transaction, other: &Transaction) -> bool {
    one.input.iter().any(|a| other.input.iter().any(|b| a.previous_output == b.previous_output))
}

/// Epoch and batch that a transaction's marker names.
pub(in crate::bench) fn named(tx: &Transaction) -> Option<(u32, u16)> {
    tx.output.iter().take(2).find_map(|out| encode::read_marker(&out.script_pubkey))
}
