//! The malicious corpus: honest requests for every kind of transaction, one thing changed in each, 10,000 in all. Every
//! changed one must be refused, every honest one signed. The limits stand at the committed rate, so that a single sat
//! that moves is a refusal. Seeded: a failure names its case.

mod mutate;
mod variants;

use std::collections::BTreeMap;

use alloy::primitives::{B256, keccak256};
use bitcoin::{Amount, OutPoint, Psbt, ScriptBuf, TxOut, bip32::Xpriv};
use evm::bindings::IEpochLedger;

use super::{
    check::{Approved, Facts, check},
    limits::Limits,
    sign_with,
};
use crate::{
    encode::{self, ROOT_BATCH},
    known::KnownTx,
    node::internal,
    plan::{
        Order, Plan, plan,
        tests::{coin, vault},
    },
    protocol::Request,
    psbt,
    vault::{Keychain, Vault},
};

/// Changed requests for each of the three kinds of transaction.
const CASES: usize = 3_334;
/// Changed requests on one made-up chain.
const PER_WORLD: usize = 334;

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }

    fn bytes(&mut self) -> [u8; 32] {
        keccak256(self.next().to_be_bytes()).0
    }

    fn script(&mut self) -> ScriptBuf {
        ScriptBuf::from_bytes([&[0x00, 0x14], &self.bytes()[..20]].concat())
    }
}

/// A committed epoch with its honest transactions.
struct Paid {
    facts: Facts,
    plan: Plan,
    batches: Vec<Vec<TxOut>>,
    previous: Vec<KnownTx>,
}

/// What a signer knows, and two epochs that are committed.
struct World {
    keys: Vec<Xpriv>,
    vault: Vault,
    rate: u64,
    paid: [Paid; 2],
    honest: [Vec<Asked>; 2],
}

/// A request before it is put into words.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    epoch: u32,
    batch: u16,
    chunks: Vec<Vec<TxOut>>,
    psbt: Psbt,
}

fn paid(dice: &mut Dice, vault: &Vault, epoch: u32, rate: u64, fan_out: bool) -> Paid {
    let count = if fan_out { 2 + dice.below(3) } else { 1 };
    let mut payee = || TxOut {
        value: Amount::from_sat(1_000 + dice.next() % 90_000),
        script_pubkey: dice.script(),
    };
    let batches: Vec<Vec<TxOut>> =
        (0..count).map(|at| (0..2 + at).map(|_| payee()).collect()).collect();
    let baton_index = epoch - 1 - u32::try_from(dice.below(9)).unwrap();
    let (baton_tx, baton) = coin(vault, Keychain::Baton, baton_index, 3_000_000);
    let mut previous = vec![KnownTx::from(baton_tx)];
    let mut funding = Vec::new();
    for at in 0..u32::try_from(dice.below(4)).unwrap() {
        let (tx, coin) = coin(vault, Keychain::Treasury, epoch % 1_000 + at, 200_000);
        previous.push(tx.into());
        funding.push(coin);
    }
    let commitment = IEpochLedger::Commitment {
        epoch,
        root: IEpochLedger::Root { hash: B256::from(dice.bytes()), accSum: 0, paidSum: 0 },
        feeRate: rate,
        funding: funding
            .iter()
            .map(|coin| IEpochLedger::OutPoint {
                txid: internal(coin.outpoint.txid),
                vout: coin.outpoint.vout,
            })
            .collect(),
        batches: batches
            .iter()
            .map(|outputs| IEpochLedger::Batch {
                outputsHash: encode::outputs_hash(outputs),
                total: encode::outputs_total(outputs).unwrap(),
            })
            .collect(),
        ..Default::default()
    };
    let root = commitment.root.hash;
    let batons = vec![baton.outpoint];
    let order = Order { epoch, root, fee_rate: rate, baton, funding, batches: batches.clone() };
    let plan = plan(vault, &order, 10_000).unwrap();
    let first = plan.txs[0].tx.clone();
    let roots = if fan_out { vec![first.compute_txid()] } else { Vec::new() };
    previous.push(first);
    Paid { facts: Facts { commitment, batons, baton_index, roots }, plan, batches, previous }
}

impl Paid {
    fn requests(&self, vault: &Vault) -> Vec<Asked> {
        let each = self.plan.txs.iter().map(|tx| Asked {
            epoch: self.facts.commitment.epoch,
            batch: tx.batch,
            chunks: if tx.batch == ROOT_BATCH { self.batches.clone() } else { Vec::new() },
            psbt: psbt::build(vault, &tx.tx, &tx.coins, &self.previous).unwrap(),
        });
        each.collect()
    }
}

impl World {
    fn new(dice: &mut Dice, fan_out: bool) -> Self {
        let (keys, vault) = vault();
        let rate = 1_000 + dice.next() % 4_000;
        let epoch = 62_000 + u32::try_from(dice.below(1_000)).unwrap();
        let paid = [epoch, epoch + 1].map(|epoch| paid(dice, &vault, epoch, rate, fan_out));
        let honest = [0, 1].map(|which: usize| paid[which].requests(&vault));
        Self { keys, vault, rate, paid, honest }
    }

    /// The honest request for one transaction of one of the epochs.
    fn honest(&self, which: usize, position: usize) -> Asked {
        self.honest[which][position].clone()
    }

    /// What the signer makes of a request, from the bytes on its socket.
    fn answer(&self, asked: &Asked) -> Result<Approved, String> {
        let chunks = asked.chunks.iter().map(|c| alloy::hex::encode(encode::outputs_bytes(c)));
        let request = Request {
            epoch: asked.epoch,
            batch: asked.batch,
            psbt: psbt::to_hex(&asked.psbt),
            chunks: chunks.collect(),
        };
        let request: Request =
            serde_json::from_str(&serde_json::to_string(&request).unwrap()).unwrap();
        let psbt = psbt::from_hex(&request.psbt).map_err(|error| error.to_string())?;
        let known = self.paid.iter().find(|p| p.facts.commitment.epoch == request.epoch);
        let facts = &known.ok_or("not committed")?.facts;
        let chunks = request.chunk_outputs().map_err(|at| format!("chunk {at}"))?;
        let (max_fee_sats, max_fee_rate, min_fee_rate) = (100_000, self.rate, 1_000);
        let limits = Limits {
            max_fee_sats,
            max_fee_rate,
            min_fee_rate,
            max_day_sats: None,
            max_epoch_sats: None,
            max_epoch_fee_sats: None,
        };
        check(&self.vault, &limits, facts, request.batch, &chunks, psbt)
            .map_err(|broken| broken.to_string())
    }

    fn sign_honest(&self) {
        for (which, paid) in self.paid.iter().enumerate() {
            for position in 0..paid.plan.txs.len() {
                let approved = self.answer(&self.honest(which, position)).unwrap();
                let mut merged = approved.psbt.clone();
                for key in &self.keys[1..] {
                    let signed = sign_with(key, &mut approved.psbt.clone()).unwrap();
                    psbt::merge(&mut merged, &signed).unwrap();
                }
                let tx = psbt::finalise(merged).unwrap();
                assert_eq!(tx.compute_txid(), paid.plan.txs[position].tx.compute_txid());
            }
        }
    }
}

/// Every case of one kind: which change was refused how often.
fn sweep(seed: u64, fan_out: bool, position: fn(&mut Dice, &Plan) -> usize) {
    let mut dice = Dice(seed);
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut world = World::new(&mut dice, fan_out);
    for case in 0..CASES {
        if case % PER_WORLD == 0 {
            world = World::new(&mut dice, fan_out);
            world.sign_honest();
        }
        let at = position(&mut dice, &world.paid[0].plan);
        let honest = world.honest(0, at);
        let (name, asked) = mutate::changed(&mut dice, &world, &honest);
        match world.answer(&asked) {
            Ok(_) => panic!("seed {seed:#x}, case {case}: {name} was accepted: {asked:?}"),
            Err(reason) => *reasons.entry(reason).or_default() += 1,
        }
        *refused.entry(name).or_default() += 1;
    }
    assert!(refused.len() >= mutate::LEAST_KINDS, "too few kinds of change: {refused:?}");
    assert!(reasons.keys().all(|reason| !reason.is_empty()));
    println!("{CASES} refused: {refused:?}");
}

#[test]
fn malicious_payouts_of_one_batch_are_refused_and_honest_ones_signed() {
    sweep(0x0b_a7c4, false, |_, _| 0);
}

#[test]
fn malicious_root_transactions_are_refused_and_honest_ones_signed() {
    sweep(0xf_a200, true, |_, _| 0);
}

#[test]
fn malicious_chunks_are_refused_and_honest_ones_signed() {
    sweep(0xc_4000, true, |dice, plan| 1 + dice.below(plan.txs.len() - 1));
}

/// An output that pays an attacker.
fn stolen(dice: &mut Dice) -> TxOut {
    TxOut { value: Amount::from_sat(dice.next() % 100_000), script_pubkey: dice.script() }
}

fn other_place(dice: &mut Dice, place: OutPoint) -> OutPoint {
    use bitcoin::hashes::Hash;
    if dice.below(2) == 0 {
        return OutPoint { vout: place.vout ^ (1 << dice.below(32)), ..place };
    }
    let mut bytes = place.txid.to_byte_array();
    bytes[dice.below(32)] ^= 1 << dice.below(8);
    OutPoint { txid: bitcoin::Txid::from_byte_array(bytes), ..place }
}
