//! The EVM chain in memory: blocks, finality, reorgs, and the rules of oracle and ledger that settlement meets.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy::primitives::{Address, B256, U256, keccak256};
use bitcoin::{
    OutPoint, Transaction, Txid,
    block::Header,
    consensus::deserialize,
    hashes::{Hash, sha256d},
};
use domain::{EPOCH_SECONDS, EpochId};
use evm::{BlockRef, bindings::IEpochLedger};
use settlement::{
    allocate::{Entry, Piece, Weights},
    encode::{self, ROOT_BATCH},
};

/// Blocks between the newest and the final one.
const FINAL: usize = 2;
/// Epochs after its end within which the ledger takes an epoch that pays.
const WITHIN: u32 = 6;

/// What an epoch earned and who held what.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Earned {
    pub(in crate::bench) block: u64,
    pub(in crate::bench) pieces: Vec<Piece>,
    pub(in crate::bench) weights: Weights,
    pub(in crate::bench) entries: BTreeMap<Address, Entry>,
}

/// A proven batch.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Shown {
    block: u64,
    pub(in crate::bench) epoch: u32,
    pub(in crate::bench) batch: u16,
    pub(in crate::bench) txid: Txid,
    proof: IEpochLedger::Proof,
}

/// The chain.
#[derive(Debug)]
pub(in crate::bench) struct Ledger {
    pub(in crate::bench) first: u32,
    pub(in crate::bench) time: u64,
    blocks: Vec<BlockRef>,
    salt: u64,
    pub(in crate::bench) earned: BTreeMap<u32, Earned>,
    pub(in crate::bench) receipts: Arc<BTreeSet<OutPoint>>,
    pub(in crate::bench) commits: Vec<(u64, IEpochLedger::Commitment)>,
    pub(in crate::bench) shown: Vec<Shown>,
    pub(in crate::bench) first_baton: OutPoint,
}

impl Ledger {
    pub(in crate::bench) fn new(first: u32, first_baton: OutPoint) -> Self {
        let mut ledger = Self {
            first,
            time: u64::from(first) * EPOCH_SECONDS,
            blocks: Vec::new(),
            salt: 0,
            earned: BTreeMap::new(),
            receipts: Arc::default(),
            commits: Vec::new(),
            shown: Vec::new(),
            first_baton,
        };
        (0..4).for_each(|_| ledger.mine());
        ledger
    }

    pub(in crate::bench) fn mine(&mut self) {
        self.salt += 1;
        self.time += 12;
        let number = self.blocks.len() as u64;
        let parent = self.blocks.last().map_or(B256::ZERO, |block| block.hash);
        let hash = B256::from(U256::from(self.salt));
        self.blocks.push(BlockRef { number, hash, parent, timestamp: self.time });
    }

    pub(in crate::bench) fn latest(&self) -> BlockRef {
        self.blocks[self.blocks.len() - 1]
    }

    pub(in crate::bench) fn finalized(&self) -> BlockRef {
        self.blocks[self.blocks.len() - 1 - FINAL]
    }

    pub(in crate::bench) fn now(&self) -> EpochId {
        EpochId::at(self.time)
    }

    pub(in crate::bench) fn next(&self) -> u32 {
        self.first + self.commits.len() as u32
    }

    /// The commitment of an epoch, in a block up to `at`.
    pub(in crate::bench) fn commitment(
        &self,
        epoch: u32,
        at: u64,
    ) -> Option<&IEpochLedger::Commitment> {
        let index = epoch.checked_sub(self.first)? as usize;
        self.commits.get(index).filter(|(block, _)| *block <= at).map(|(_, found)| found)
    }

    pub(in crate::bench) fn is_shown(&self, epoch: u32, batch: u16, at: u64) -> bool {
        self.shown
            .iter()
            .rev()
            .any(|found| (found.epoch, found.batch) == (epoch, batch) && found.block <= at)
    }

    /// Whether everything that the epoch pays is proven.
    pub(in crate::bench) fn done(&self, epoch: u32) -> bool {
        let Some(found) = self.commitment(epoch, u64::MAX) else { return false };
        let all = 0..found.batches.len() as u16;
        all.into_iter().all(|batch| self.is_shown(epoch, batch, u64::MAX))
    }

    /// Takes a commitment into a new block.
    pub(in crate::bench) fn commit(
        &mut self,
        found: IEpochLedger::Commitment,
    ) -> Result<(), String> {
        if found.epoch != self.next() {
            return Err("WrongEpoch".into());
        }
        if self.earned.get(&found.epoch).is_none_or(|e| e.block > self.latest().number) {
            return Err("NotSettled".into());
        }
        let late = self.now().0.saturating_sub(found.epoch) > WITHIN;
        if (late && !found.defer) || (found.defer && !found.batches.is_empty()) {
            return Err("TooLate".into());
        }
        self.mine();
        self.commits.push((self.latest().number, found));
        Ok(())
    }

    /// Checks a proof as the contract does and takes it into a new block.
    pub(in crate::bench) fn prove(
        &mut self,
        epoch: u32,
        batch: u16,
        proof: IEpochLedger::Proof,
    ) -> Result<(), String> {
        let txid = self.judge(epoch, batch, &proof)?;
        self.mine();
        let block = self.latest().number;
        self.shown.push(Shown { block, epoch, batch, txid, proof });
        Ok(())
    }

    fn judge(&self, epoch: u32, batch: u16, proof: &IEpochLedger::Proof) -> Result<Txid, String> {
        let commitment = self.commitment(epoch, u64::MAX).ok_or("NotCommitted")?;
        if self.is_shown(epoch, batch, u64::MAX) {
            return Err("AlreadyProven".into());
        }
        let tx: Transaction = deserialize(&proof.transaction).map_err(|_| "BadTransaction")?;
        let many = commitment.batches.len() > 1;
        let expected = if batch == ROOT_BATCH || !many {
            self.baton_before(epoch).ok_or("PreviousNotProven")?
        } else {
            let root = self.txid(epoch, ROOT_BATCH).ok_or("RootNotProven")?;
            OutPoint { txid: root, vout: u32::from(batch) + 2 }
        };
        if tx.input[0].previous_output != expected {
            return Err("WrongInput".into());
        }
        let skip = if many && batch != ROOT_BATCH { 1 } else { 2 };
        let payees = &tx.output[skip..];
        if batch != ROOT_BATCH
            && encode::outputs_hash(payees) != commitment.batches[usize::from(batch)].outputsHash
        {
            return Err("WrongOutputs".into());
        }
        if tx.output[skip - 1].script_pubkey != encode::marker(epoch, batch, &commitment.root.hash)
        {
            return Err("WrongMarker".into());
        }
        if proof.headers.len() < 6 * 80 {
            return Err("NotEnoughConfirmations".into());
        }
        let header: Header = deserialize(&proof.headers[..80]).map_err(|_| "BadHeader")?;
        let txid = tx.compute_txid();
        if climb(txid, &proof.branch, proof.index) != header.merkle_root.to_byte_array() {
            return Err("WrongBranch".into());
        }
        Ok(txid)
    }

    pub(in crate::bench) fn txid(&self, epoch: u32, batch: u16) -> Option<Txid> {
        let found = self.shown.iter().rev().find(|s| (s.epoch, s.batch) == (epoch, batch));
        found.map(|shown| shown.txid)
    }

    /// The newest epoch before this one that pays.
    pub(in crate::bench) fn paying_before(&self, epoch: u32) -> Option<&IEpochLedger::Commitment> {
        let before = self.commits.iter().rev().map(|(_, found)| found);
        before.filter(|found| found.epoch < epoch).find(|found| !found.batches.is_empty())
    }

    fn baton_before(&self, epoch: u32) -> Option<OutPoint> {
        let Some(paying) = self.paying_before(epoch) else { return Some(self.first_baton) };
        let batch = if paying.batches.len() > 1 { ROOT_BATCH } else { 0 };
        self.txid(paying.epoch, batch).map(|txid| OutPoint { txid, vout: 0 })
    }

    /// Takes back up to two blocks; what was in them comes again if `again` says so.
    pub(in crate::bench) fn reorg(&mut self, depth: usize, mut again: impl FnMut() -> bool) {
        self.blocks.truncate(self.blocks.len() - depth.min(FINAL));
        let tip = self.latest().number;
        let mut commits = Vec::new();
        while self.commits.last().is_some_and(|(block, _)| *block > tip) {
            commits.extend(self.commits.pop());
        }
        let (kept, gone) =
            std::mem::take(&mut self.shown).into_iter().partition(|s| s.block <= tip);
        self.shown = kept;
        let gone: Vec<Shown> = gone;
        for earned in self.earned.values_mut() {
            earned.block = earned.block.min(tip);
        }
        if again() {
            for (_, found) in commits.into_iter().rev() {
                let _ = self.commit(found);
            }
            for shown in gone {
                let _ = self.prove(shown.epoch, shown.batch, shown.proof);
            }
        }
        (0..=depth).for_each(|_| self.mine());
    }
}

fn climb(txid: Txid, branch: &[u8], mut index: u32) -> [u8; 32] {
    branch.chunks(32).fold(txid.to_byte_array(), |node, sibling| {
        let pair =
            if index.is_multiple_of(2) { [&node[..], sibling] } else { [sibling, &node[..]] };
        index /= 2;
        sha256d::Hash::hash(&pair.concat()).to_byte_array()
    })
}

/// Hash of an epoch's report.
pub(in crate::bench) fn report_hash(epoch: u32) -> B256 {
    keccak256(epoch.to_be_bytes())
}
