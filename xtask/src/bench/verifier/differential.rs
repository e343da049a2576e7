//! Settlement's allocation and the verifier's, on the same random epochs: every sat, every byte of the root.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, I256, U256};
use bitcoin::ScriptBuf;
use domain::{EpochId, SeriesId};
use evm::bindings::{
    IEpochLedger::{Batch, Commitment, Root},
    ILedgerCourt::Corrected,
};
use settlement::{
    allocate::{self, Cut, Entry, Piece, Terms, Weights, Wrapper},
    base::{Correction, Corrections},
};
use verifier::{
    allocate::{Account, Lookthrough, Rules, Split, credits},
    books,
    court::Court,
    encode,
    history::{At, History, Stamp},
};

use super::{
    bytes::{self, Rng},
    story::address,
    word,
};

/// Epochs in a row that one world lives.
const LIFE: u32 = 25;

pub(super) fn bench(epochs: usize) -> bool {
    let (agreed, payees) = run(epochs, 1);
    let good = agreed >= epochs;
    println!(
        "verifier agrees with settlement: {agreed} random epochs with {payees} payees, to the sat and the root ({epochs}) {}",
        word(good)
    );
    good
}

/// Compares at least this many epochs. Panics with what differs; returns epochs and payees compared.
pub(super) fn run(epochs: usize, seed: u64) -> (usize, usize) {
    let mut rng = Rng(seed);
    let (mut agreed, mut payees) = (0, 0);
    while agreed < epochs {
        let mut life = Life::default();
        let first = 100 + rng.below(1_000) as u32;
        for epoch in first..first + LIFE {
            // a leap now and then, so that age pays
            let epoch = if epoch > first + 20 { epoch + 90 } else { epoch };
            payees += life.epoch(&mut rng, epoch);
            agreed += 1;
        }
    }
    (agreed, payees)
}

/// One world, as both sides remember it.
#[derive(Default)]
struct Life {
    ours: Vec<domain::Leaf>,
    theirs: BTreeMap<Address, Account>,
}

impl Life {
    fn epoch(&mut self, rng: &mut Rng, epoch: u32) -> usize {
        let mut world = allocate::World { previous: self.ours.clone(), ..world(rng, epoch) };
        world.corrections = self.corrections(rng);
        let terms = Terms {
            min_pay: rng.below(50_000),
            defer: rng.below(10) == 0,
            cut: Cut::MaxBytes(30 + rng.below(400) as usize),
        };
        let done = allocate::allocate(&world, &terms).unwrap();
        let commitment = Commitment {
            epoch,
            root: Root {
                hash: done.root.hash,
                accSum: done.root.acc_sum,
                paidSum: done.root.paid_sum.0,
            },
            accounts: done.leaves.len() as u32,
            minPay: terms.min_pay,
            feeRate: 0,
            anchorHeight: 0,
            anchorHash: B256::ZERO,
            funding: vec![],
            defer: terms.defer,
            batches: done
                .batches
                .iter()
                .map(|batch| Batch { outputsHash: batch.outputs_hash, total: batch.total })
                .collect(),
        };
        let (leaves, batches, faults) = self.verify(&world, &commitment);
        assert_eq!(faults, Vec::<String>::new(), "epoch {epoch}");
        assert_eq!(leaves, done.leaves, "epoch {epoch}");
        assert_eq!(encode::root(&leaves).unwrap(), done.root, "epoch {epoch}");
        assert_eq!(batches.len(), done.batches.len(), "epoch {epoch}");
        for (ours, theirs) in done.batches.iter().zip(&batches) {
            assert_eq!(ours.payments.len(), theirs.len(), "epoch {epoch}");
            for (ours, theirs) in ours.payments.iter().zip(theirs) {
                assert_eq!(ours.account, theirs.account);
                assert_eq!(ours.output.value.to_sat(), theirs.sats.0);
                assert_eq!(ours.output.script_pubkey.as_bytes(), theirs.script);
            }
        }
        self.ours = done.leaves;
        batches.iter().map(Vec::len).sum()
    }

    /// What a court might have said of some leaves of the epoch before, and of an account that had none.
    fn corrections(&self, rng: &mut Rng) -> Corrections {
        let mut all = Corrections::new();
        if rng.below(3) > 0 {
            return all;
        }
        let known = self.ours.iter().map(|leaf| leaf.account).step_by(1 + rng.below(4) as usize);
        for account in known.chain([address(9, rng.below(3))]) {
            let mut signed = |most: u64, shift: usize| {
                let size = I256::try_from(rng.below(most)).unwrap() << shift;
                if rng.below(2) == 0 { -size } else { size }
            };
            let acc = [(SeriesId(1), signed(1 << 40, 50)), (SeriesId(2), signed(1 << 20, 60))];
            let (acc, paid) = (acc.into(), signed(1 << 20, 0));
            all.insert(account, Correction { acc, paid });
        }
        all
    }

    /// The verifier's side, from the same facts.
    fn verify(
        &mut self,
        world: &allocate::World,
        commitment: &Commitment,
    ) -> (Vec<domain::Leaf>, Vec<Vec<books::Payee>>, Vec<String>) {
        let court = Court::of(&told(world)).unwrap();
        court.correct(&mut self.theirs, EpochId(world.epoch)).unwrap();
        for piece in &world.pieces {
            let unit = &world.units[&(piece.series, piece.work_epoch)];
            let look = |wrapper: &Wrapper| {
                let shares = &world.shares[&(wrapper.share, piece.work_epoch)];
                Lookthrough {
                    wrapper: wrapper.account,
                    shares: shares.of.clone(),
                    total: shares.total,
                    first_loss: wrapper.first_loss,
                }
            };
            let wrappers = world.wrappers.iter().filter(|w| w.series == piece.series).map(look);
            let split =
                Split { holders: unit.of.clone(), total: unit.total, wrappers: wrappers.collect() };
            for (account, credit) in credits(piece.sats, &split).unwrap() {
                self.theirs.entry(account).or_default().earn(piece.series, credit).unwrap();
            }
        }
        let terms = |account: &Address| {
            let entry = world.entries.get(account);
            entry.map_or_else(Default::default, |entry| verifier::allocate::Terms {
                script: entry.script.to_bytes(),
                minimum: entry.minimum,
            })
        };
        let rules = Rules {
            epoch: EpochId(world.epoch),
            min_pay: commitment.minPay,
            defer: commitment.defer,
        };
        let mut due = Vec::new();
        for (address, account) in &mut self.theirs {
            let sats = account.close(&terms(address), rules).unwrap();
            if sats > 0 {
                let script = terms(address).script;
                due.push(books::Payee { account: *address, sats: domain::Sats(sats), script });
            }
        }
        let mut faults = Vec::new();
        let batches = books::cut(due, commitment, &mut faults);
        let places = books::places(&batches);
        let leaf = |(address, account): (&Address, &Account)| {
            account.leaf(*address, &terms(address), places.get(address).copied())
        };
        (self.theirs.iter().map(leaf).collect(), batches, faults)
    }
}

/// The corrections as the court's events tell them.
fn told(world: &allocate::World) -> History {
    let mut history = History::default();
    for (account, correction) in &world.corrections {
        let acc = correction.acc.iter().map(|(series, change)| (series.0, *change));
        for (series, change) in acc.chain([(0, correction.paid)]) {
            let at = Stamp { block: 0, index: 0, time: 0, tx: B256::ZERO };
            let event = Corrected { epoch: world.epoch, account: *account, series, change };
            history.corrections.push(At { at, event });
        }
    }
    history
}

fn weights(rng: &mut Rng, kind: u8) -> Weights {
    let mut weights = Weights::default();
    for _ in 0..rng.below(9) {
        let weight = U256::from(rng.next()) << (rng.below(50) as usize);
        let account = address(kind, rng.below(12));
        if !weight.is_zero() && !weights.of.contains_key(&account) {
            weights.total += weight;
            weights.of.insert(account, weight);
        }
    }
    weights
}

fn world(rng: &mut Rng, epoch: u32) -> allocate::World {
    let mut world = allocate::World { epoch, ..allocate::World::default() };
    for series in 1..=2 {
        for n in 0..rng.below(3) {
            let wrapper = Wrapper {
                series: SeriesId(series),
                account: address(0xcc, u64::from(series) * 10 + n),
                share: address(0xcd, u64::from(series) * 10 + n),
                first_loss: address(0xaa, 77 + rng.below(2)),
            };
            world.wrappers.push(wrapper);
        }
    }
    for _ in 0..rng.below(4) {
        let series = SeriesId(1 + rng.below(2) as u16);
        let work_epoch = EpochId(epoch - rng.below(3) as u32);
        let bits = 4 + rng.below(24);
        let sats = rng.below(1 << bits);
        world.pieces.push(Piece { series, work_epoch, sats });
        if !world.units.contains_key(&(series, work_epoch)) {
            let mut units = weights(rng, 0xaa);
            for wrapper in world.wrappers.iter().filter(|w| w.series == series) {
                let weight = U256::from(1 + rng.below(1 << 60));
                units.total += weight;
                units.of.insert(wrapper.account, weight);
            }
            world.units.insert((series, work_epoch), units);
        }
        for wrapper in &world.wrappers {
            let key = (wrapper.share, work_epoch);
            world.shares.entry(key).or_insert_with(|| weights(rng, 0xaa));
        }
    }
    for n in (0..12).chain(77..79) {
        if rng.below(6) > 0 {
            let (script, dust) = bytes::script(n, n as u8);
            let minimum = if rng.below(4) == 0 { rng.below(50_000) } else { 0 };
            let entry = Entry { script: ScriptBuf::from_bytes(script), minimum, dust };
            world.entries.insert(address(0xaa, n as u64), entry);
        }
    }
    world
}
