//! The third allocation, and the transactions that pay it.

use alloy::primitives::{Address, B256, U256, keccak256};
use bitcoin::{OutPoint, hashes::Hash};
use domain::EpochId;
use evm::bindings::IEpochLedger::{self, Batch, Commitment};

use super::{
    super::bytes::{self, Node},
    MIN_PAY, Proof, Story, address, pay,
};

/// Sats that each transaction pays to miners.
const FEE: u64 = 10_000;

/// Account, sats, script.
pub(super) type Payee = (Address, u64, Vec<u8>);

impl Story {
    /// Splits a pot by the weights of its work epoch.
    pub(super) fn credit(&mut self, work_epoch: u32, sats: u64) {
        let series = self.deployment.series[0].clone();
        let weights = self.unit.of(work_epoch).clone();
        let total: u128 = weights.values().sum();
        let pot = U256::from(sats) << 64;
        for (holder, weight) in weights {
            let credit = pot * U256::from(weight) / U256::from(total);
            let share = [(series.pool, &self.shares), (series.queue, &self.claims)];
            let Some((_, share)) = share.iter().find(|(wrapper, _)| *wrapper == holder) else {
                self.earn(holder, credit);
                continue;
            };
            let owners = share.of(work_epoch).clone();
            let all: u128 = owners.values().sum();
            if all == 0 {
                self.earn(address(0xff, 1), credit);
            }
            for (owner, held) in owners {
                self.earn(owner, credit * U256::from(held) / U256::from(all));
            }
        }
    }

    fn earn(&mut self, account: Address, credit: U256) {
        if !credit.is_zero() {
            self.lines.entry(account).or_default().acc += credit.to::<u128>();
        }
    }

    /// Who is paid, in how many batches, and the root.
    pub(super) fn allocate(
        &mut self,
        epoch: u32,
        defer: bool,
        cut: usize,
    ) -> (Node, Vec<Vec<Payee>>) {
        let mut due: Vec<Payee> = Vec::new();
        let mut paid_now = std::collections::BTreeMap::new();
        let terms: Vec<_> = self.lines.keys().map(|account| self.terms(*account, epoch)).collect();
        for ((account, line), (script, minimum, dust)) in self.lines.iter_mut().zip(&terms) {
            let owed = (line.acc >> 64) as u64 - line.paid;
            if owed == 0 {
                line.since = 0;
                continue;
            }
            if line.since == 0 {
                line.since = epoch;
            }
            let old = epoch - line.since >= 90 && owed >= 2_000;
            let enough = owed >= MIN_PAY && owed >= *minimum;
            if !defer && !script.is_empty() && owed >= *dust && (enough || old) {
                line.paid += owed;
                line.since = 0;
                paid_now.insert(*account, due.len());
                due.push((*account, owed, script.clone()));
            }
        }
        let per_batch = due.len().div_ceil(cut).max(1);
        let mut nodes = Vec::new();
        for ((account, line), (script, ..)) in self.lines.iter().zip(&terms) {
            let out = paid_now
                .get(account)
                .map_or(u32::MAX, |place| ((place / per_batch) << 16 | (place % per_batch)) as u32);
            nodes.push(bytes::leaf(*account, script, line, out));
        }
        (bytes::root(nodes), due.chunks(per_batch).map(<[Payee]>::to_vec).collect())
    }

    /// Commits an epoch.
    pub(super) fn commit(
        &mut self,
        time: u64,
        epoch: u32,
        root: Node,
        defer: bool,
        batches: &[Vec<Payee>],
    ) {
        let batch = |payees: &Vec<Payee>| Batch {
            outputsHash: bytes::outputs_hash(payees),
            total: payees.iter().map(|payee| payee.1).sum(),
        };
        let commitment = Commitment {
            epoch,
            root: IEpochLedger::Root { hash: root.0, accSum: root.1, paidSum: root.2 },
            accounts: self.lines.len() as u32,
            minPay: MIN_PAY,
            feeRate: 1_000,
            anchorHeight: 0,
            anchorHash: B256::ZERO,
            funding: vec![],
            defer,
            batches: batches.iter().map(batch).collect(),
        };
        let ledger = self.deployment.epoch_ledger;
        let delay = time.saturating_sub((u64::from(epoch) + 1) * 28_800).div_ceil(60) as u32;
        let event =
            IEpochLedger::Committed { epoch, commitment, lastPaying: self.last_paying, delay };
        if !batches.is_empty() {
            self.last_paying = epoch;
        }
        self.evm.committed(ledger, &event);
        let tx = keccak256([b"commit", &epoch.to_be_bytes()[..]].concat());
        self.evm.emit(time, ledger, &event, tx);
    }

    /// Pays the batches from the baton and every receipt that is left.
    pub(super) fn pay_out(&mut self, epoch: u32, root: B256, batches: &[Vec<Payee>]) {
        let end = EpochId(epoch).end();
        let receipts = std::mem::take(&mut self.receipts);
        let mut have = self.baton.1 + receipts.iter().map(|receipt| receipt.1).sum::<u64>();
        let inputs: Vec<OutPoint> =
            std::iter::once(self.baton.0).chain(receipts.iter().map(|receipt| receipt.0)).collect();
        let single = batches.len() == 1;
        let total = |payees: &[Payee]| payees.iter().map(|payee| payee.1).sum::<u64>();
        let payee = |payee: &Payee| (payee.2.clone(), payee.1);
        let number = if single { 0 } else { 0xffff };
        let mut outputs = vec![(vec![0x51], 0), (bytes::marker(epoch, number, root), 0)];
        if single {
            outputs.extend(batches[0].iter().map(payee));
        } else {
            outputs.extend(batches.iter().map(|batch| (vec![0x52], total(batch) + FEE)));
        }
        have -= outputs.iter().map(|output| output.1).sum::<u64>() + FEE;
        outputs[0].1 = have;
        let txid = self.bitcoin.add(end + 7_200, pay(&inputs, &outputs));
        self.baton = (OutPoint::new(txid, 0), have);
        let proof = Proof { time: end + 14_400, epoch, batch: number, txid };
        self.proofs.push(proof);
        if single {
            return;
        }
        for (n, batch) in (0_u16..).zip(batches) {
            let mut outputs = vec![(bytes::marker(epoch, n, root), 0)];
            outputs.extend(batch.iter().map(payee));
            let input = OutPoint::new(txid, 2 + u32::from(n));
            let txid = self.bitcoin.add(end + 7_800, pay(&[input], &outputs));
            self.proofs.push(Proof { batch: n, txid, time: proof.time + 300, ..proof });
        }
    }

    /// The transaction whose output was the first baton.
    pub(super) fn first_baton(&self) -> B256 {
        let none = bitcoin::Txid::all_zeros();
        let first = pay(&[OutPoint::new(none, 7)], &[(vec![0x51], 9_000_000)]);
        B256::from(first.compute_txid().to_byte_array())
    }
}
