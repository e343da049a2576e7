//! A made-up world in which every epoch is reported, committed, paid and proven: with gaps, deferred epochs, late
//! pieces, payouts cut into chunks, wrappers, changed scripts and accounts without one. Its allocation is written here
//! a third time, epoch by epoch, from running balances.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    signers::local::PrivateKeySigner,
};
use bitcoin::{OutPoint, hashes::Hash};
use domain::{EPOCH_SECONDS, EpochId, SeriesId};
use evm::{Deployment, SeriesContracts, bindings::IEpochLedger};
use verifier::{
    rpc::{Rpc, Transport},
    world::Sources,
};

use super::{
    blocks::{self, pay},
    bytes::{self, Line, Rng},
    contracts as chain,
    wire::Wire,
};

mod events;
mod ledger;

/// Token units x seconds by account.
pub(super) type Weights = BTreeMap<Address, u128>;

/// First epoch of every made-up world.
pub(super) const FIRST: u32 = 60_000;
/// Sats below which a due amount waits.
pub(super) const MIN_PAY: u64 = 1_000;
/// One whole unit.
const UNIT: u128 = 1_000_000_000_000_000_000;
/// Sats of a receipt that pay miners.
const DEDUCTED: u64 = 50_000;
/// Bitcoin time before the first epoch: 28 epochs.
const BEFORE: u64 = 28 * EPOCH_SECONDS;
/// Epochs of which tokens are asked.
const REMEMBERED: usize = 31;

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) epochs: u32,
    pub(super) payees: usize,
    pub(super) seed: u64,
    /// Whether the Bitcoin node finds transactions by id alone.
    pub(super) index: bool,
    /// Whether the last payout is left without its proof.
    pub(super) unproven: bool,
    /// EVM block from which hashes are those of another branch.
    pub(super) forked: u64,
}

/// A token whose holders trade.
#[derive(Debug, Default)]
pub(super) struct Token {
    pub(super) at: Address,
    balances: BTreeMap<Address, u128>,
    /// Weights of the last epochs.
    weights: Vec<(u32, Weights)>,
}

impl Token {
    fn supply(&self) -> u128 {
        self.balances.values().sum()
    }

    fn holders(&self) -> Vec<Address> {
        self.balances.keys().copied().collect()
    }

    fn of(&self, epoch: u32) -> &Weights {
        &self.weights.iter().find(|(at, _)| *at == epoch).unwrap().1
    }
}

/// The world under construction.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) size: Size,
    pub(super) rng: Rng,
    pub(super) deployment: Deployment,
    pub(super) evm: chain::Chain,
    pub(super) bitcoin: blocks::Chain,
    pub(super) payees: Vec<Address>,
    pub(super) scripts: BTreeMap<Address, Vec<Registered>>,
    pub(super) signers: Vec<PrivateKeySigner>,
    pub(super) digest: B256,
    unit: Token,
    shares: Token,
    claims: Token,
    lines: BTreeMap<Address, Line>,
    pub(super) last_report: B256,
    receipts: Vec<(OutPoint, u64)>,
    baton: (OutPoint, u64),
    pub(super) proofs: Vec<Proof>,
    /// Newest epoch with batches.
    last_paying: u32,
    journal: domain::journal::Head,
    pub(super) lines_of_journal: String,
}

/// A payout that will be proven once its block is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    pub(super) time: u64,
    pub(super) epoch: u32,
    pub(super) batch: u16,
    pub(super) txid: bitcoin::Txid,
}

/// An address by number.
pub(super) fn address(kind: u8, n: u64) -> Address {
    let mut bytes = [kind; 20];
    bytes[..8].copy_from_slice(&keccak256(n.to_be_bytes())[..8]);
    bytes[12..].copy_from_slice(&n.to_be_bytes());
    bytes.into()
}

/// From epoch, script, minimum, dust.
pub(super) type Registered = (u32, Vec<u8>, u64, u64);

fn deployment() -> Deployment {
    let at = |n| address(0xdd, n);
    Deployment {
        chain_id: chain::CHAIN_ID,
        block: 0,
        first_epoch: EpochId(FIRST),
        access_manager: at(1),
        quote: at(2),
        series_registry: at(3),
        primary_sale: at(4),
        position_market: at(5),
        fair_value: at(6),
        fleet_oracle: at(7),
        payout_registry: at(8),
        epoch_ledger: at(9),
        bitcoin_relay: at(10),
        ledger_court: at(16),
        credit_rule: at(17),
        series_upgrader: at(18),
        registrar_bond: at(19),
        hash_proof: at(20),
        repositioner: at(21),
        series: vec![SeriesContracts {
            id: SeriesId(1),
            unit: at(11),
            pool: at(12),
            lp_share: at(13),
            queue: at(14),
            claim_token: at(15),
        }],
    }
}

/// A finished world as the verifier reads it.
pub(super) fn make(size: Size) -> Sources {
    with_nodes(size).0
}

/// The same, with the nodes of both chains.
pub(super) fn with_nodes(size: Size) -> (Sources, Arc<dyn Transport>, Arc<dyn Transport>) {
    let mut story = Story::new(size);
    story.open();
    for epoch in FIRST..FIRST + size.epochs {
        story.live(epoch);
        story.settle(epoch);
    }
    story.close();
    let journal = story.lines_of_journal.clone().into_bytes();
    let evm: Arc<dyn Transport> = Arc::new(Wire(Arc::new(story.evm)));
    let bitcoin: Arc<dyn Transport> = Arc::new(Wire(Arc::new(story.bitcoin)));
    let over = |who, node: &Arc<dyn Transport>| {
        Rpc::over(who, "memory", Arc::clone(node), size.epochs < 100)
    };
    let sources = Sources {
        evm: over("EVM node", &evm),
        bitcoin: over("Bitcoin node", &bitcoin),
        deployment: story.deployment,
        declared: Some(events::declared()),
        journal: Some(journal),
        source: PathBuf::from("/nonexistent"),
        epoch: None,
    };
    (sources, evm, bitcoin)
}

impl Story {
    fn new(size: Size) -> Self {
        let start = EpochId(FIRST).start();
        let mut bitcoin = blocks::Chain::new(start - BEFORE);
        bitcoin.index = size.index;
        let evm = chain::Chain {
            start: start - EPOCH_SECONDS,
            end: EpochId(FIRST + size.epochs).start() + 20_400,
            forked: size.forked,
            ..chain::Chain::default()
        };
        let deployment = deployment();
        let series = deployment.series[0].clone();
        let token = |at| Token { at, ..Token::default() };
        let mut signers: Vec<PrivateKeySigner> = (1..=3)
            .map(|n: u8| PrivateKeySigner::from_bytes(&B256::repeat_byte(n)).unwrap())
            .collect();
        signers.sort_by_key(PrivateKeySigner::address);
        let first =
            pay(&[OutPoint::new(bitcoin::Txid::all_zeros(), 7)], &[(vec![0x51], 9_000_000)]);
        let first = bitcoin.add(start - EPOCH_SECONDS, first);
        Self {
            size,
            rng: Rng(size.seed),
            evm,
            bitcoin,
            payees: (0..size.payees as u64).map(|n| address(0xaa, n)).collect(),
            scripts: BTreeMap::new(),
            signers,
            digest: B256::ZERO,
            unit: token(series.unit),
            shares: token(series.lp_share),
            claims: token(series.claim_token),
            deployment,
            lines: BTreeMap::new(),
            last_report: B256::ZERO,
            receipts: Vec::new(),
            baton: (OutPoint::new(first, 0), 9_000_000),
            proofs: Vec::new(),
            last_paying: 0,
            journal: domain::journal::Head::default(),
            lines_of_journal: String::new(),
        }
    }

    /// Before the first epoch: contracts, roles, scripts, tokens, baton.
    fn open(&mut self) {
        let time = self.evm.start + 600;
        let baton = self.baton.0;
        self.announce(time, B256::from(baton.txid.to_byte_array()), baton.vout);
        let series = self.deployment.series[0].clone();
        for n in 0..self.payees.len() {
            let units = UNIT * (10 + u128::from(self.rng.below(90)));
            self.mint(time, 0, self.payees[n], units);
            if n + 1 < self.payees.len() {
                let (script, dust) = bytes::script(n, n as u8);
                self.register(
                    time,
                    self.payees[n],
                    FIRST,
                    script,
                    if n % 7 == 3 { 30_000 } else { 0 },
                    dust,
                );
            }
        }
        self.mint(time, 0, series.pool, UNIT * 50);
        self.mint(time, 0, series.queue, UNIT * 7);
        self.mint(time, 2, self.payees[0], UNIT * 7);
        self.back(time, self.unit.supply());
    }

    /// An epoch's trades, the weights that they leave, and the machines' work.
    fn live(&mut self, epoch: u32) {
        let (start, end) = (EpochId(epoch).start(), EpochId(epoch).end());
        let mut weights: Vec<Weights> = [&self.unit, &self.shares, &self.claims]
            .iter()
            .map(|token| {
                let whole = |(at, held): (&Address, &u128)| (*at, held * u128::from(EPOCH_SECONDS));
                token.balances.iter().map(whole).collect()
            })
            .collect();
        let mut time = start + 1_800;
        for _ in 0..4 {
            let from = self.anybody();
            let to = loop {
                let to = self.anybody();
                if to != from {
                    break to;
                }
            };
            let held = self.unit.balances[&from];
            let amount =
                held / u128::from(2 + self.rng.below(9)) + u128::from(self.rng.below(1_000));
            let amount = amount.min(held);
            self.transfer(time, 0, from, to, amount);
            let moved = amount * u128::from(end - time);
            *weights[0].entry(from).or_default() -= moved;
            *weights[0].entry(to).or_default() += moved;
            time += 6_000;
        }
        if epoch == FIRST + 2 {
            for n in 0..self.payees.len().div_ceil(10) {
                let (to, amount) = (self.payees[n], UNIT * (1 + n as u128));
                self.mint(start + 3_000, 1, to, amount);
                weights[1].insert(to, amount * u128::from(end - start - 3_000));
            }
        }
        for (token, weights) in
            [&mut self.unit, &mut self.shares, &mut self.claims].into_iter().zip(weights)
        {
            if token.weights.len() == REMEMBERED {
                token.weights.remove(0);
            }
            token.weights.push((epoch, weights));
        }
        if epoch == FIRST + 4 {
            self.change_scripts(start + 900, epoch);
        }
    }

    fn anybody(&mut self) -> Address {
        self.payees[self.rng.below(self.payees.len() as u64) as usize]
    }

    /// Reports, commits and pays an epoch that is over.
    fn settle(&mut self, epoch: u32) {
        let n = epoch - FIRST;
        let end = EpochId(epoch).end();
        let evidence = self.work(epoch);
        if n % 16 == 7 {
            self.declare_gap(end + 1_800, epoch);
        } else {
            let pot = 9_000 * self.payees.len() as u64 + self.rng.below(5_000_000);
            let pieces = if n % 16 == 8 || n % 16 == 10 {
                vec![(epoch - 1, pot / 3), (epoch, pot - pot / 3)]
            } else {
                vec![(epoch, pot)]
            };
            let script = vec![0x00, 0x14, 9, 9, 9];
            let source = OutPoint::new(bitcoin::Txid::all_zeros(), epoch);
            let receipt = pay(&[source], &[(script, pot + DEDUCTED)]);
            let receipt = self.bitcoin.add(EpochId(epoch).start() + 14_400, receipt);
            self.receipts.push((OutPoint::new(receipt, 0), pot + DEDUCTED));
            self.report(end + 1_800, epoch, receipt, pot + DEDUCTED, &pieces, evidence);
            for (work_epoch, sats) in pieces {
                self.credit(work_epoch, sats);
            }
        }
        let (root, batches) = self.allocate(epoch, n % 16 == 3, if n % 16 == 5 { 3 } else { 1 });
        self.commit(end + 3_600, epoch, root, n % 16 == 3, &batches);
        if !batches.is_empty() {
            self.pay_out(epoch, root.0, &batches);
        }
    }

    /// Ends time, mines all blocks, proves all payouts and has the contracts answer.
    fn close(&mut self) {
        let end = self.evm.end;
        self.bitcoin.mine(end);
        let last = FIRST + self.size.epochs - 1;
        let mut baton = self.first_baton();
        for proof in self.proofs.clone() {
            let stays = self.size.unproven && proof.epoch == last;
            self.evm.proven(self.deployment.epoch_ledger, proof.epoch, proof.batch, !stays);
            if stays {
                continue;
            }
            let event = IEpochLedger::PayoutProven {
                epoch: proof.epoch,
                batch: proof.batch,
                txid: B256::from(proof.txid.to_byte_array()),
                blockHash: B256::from(self.bitcoin.block_of(&proof.txid).to_byte_array()),
            };
            if proof.batch == 0xffff || !self.chunked(proof.epoch) {
                baton = event.txid;
            }
            let ledger = self.deployment.epoch_ledger;
            self.evm.emit(proof.time, ledger, &event, keccak256(event.txid));
        }
        self.evm.payouts(self.deployment.epoch_ledger, self.deployment.bitcoin_relay, baton);
        for token in [&self.unit, &self.shares, &self.claims] {
            self.evm.token(token.at, token.supply(), &token.weights, &token.holders());
        }
        let series = self.deployment.series[0].clone();
        self.evm.market(&series, self.deployment.quote, UNIT * 50, UNIT * 7);
        // a small world is asked about each of its epochs
        let from = if self.size.epochs < 100 { FIRST } else { last };
        for epoch in from..=last {
            self.answer_registries(epoch, U256::from(self.unit.supply()));
        }
    }

    fn chunked(&self, epoch: u32) -> bool {
        self.proofs.iter().any(|proof| proof.epoch == epoch && proof.batch == 0xffff)
    }
}
