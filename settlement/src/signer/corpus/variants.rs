//! Lies about variants: requests that pose as a dearer variant, or a variant's next epoch or chunk, and are not. Honest
//! variants between the committed rate and the highest are signed; each lie is refused, 2,000 in all.

use std::collections::BTreeMap;

use super::*;
use crate::plan::PlannedTx;

/// Lies for each kind of transaction.
const LIES: usize = 1_000;
/// A signer's highest rate here, in terms of the committed one.
const HIGHEST: u64 = 4;

/// What a lie may be made from.
struct Scene<'a> {
    world: &'a World,
    order: Order,
    /// The highest rate that is signed.
    most: u64,
}

type Lie = fn(&mut Dice, &Scene<'_>) -> Asked;

impl Scene<'_> {
    fn at(&self, rate: u64, order: &Order) -> (Plan, Asked) {
        let plan =
            plan(&self.world.vault, &Order { fee_rate: rate, ..order.clone() }, 330).unwrap();
        let asked = self.asked(&plan.txs[0]);
        (plan, asked)
    }

    fn asked(&self, tx: &PlannedTx) -> Asked {
        let paid = &self.world.paid[0];
        Asked {
            epoch: paid.facts.commitment.epoch,
            batch: tx.batch,
            chunks: if tx.batch == ROOT_BATCH { paid.batches.clone() } else { Vec::new() },
            psbt: psbt::build(&self.world.vault, &tx.tx, &tx.coins, &paid.previous).unwrap(),
        }
    }

    fn honest(&self, dice: &mut Dice) -> Asked {
        let rate = self.world.rate + dice.next() % (self.most - self.world.rate + 1);
        self.at(rate, &self.order).1
    }
}

fn small(dice: &mut Dice, below: usize) -> u32 {
    u32::try_from(dice.below(below)).unwrap()
}

const CHANGES: &[(&str, Lie)] = &[
    ("dearer than the highest rate", |d, s| s.at(s.most + 50 + d.next() % 5_000, &s.order).1),
    ("cheaper than committed", |d, s| {
        s.at(s.world.rate - 50 - d.next() % (s.world.rate - 50), &s.order).1
    }),
    ("what the fee gave up goes to an outsider", |d, s| {
        let mut asked = s.at(s.most, &s.order).1;
        let tx = &mut asked.psbt.unsigned_tx;
        let sats = 330 + d.next() % 20_000;
        tx.output[0].value = tx.output[0].value.checked_sub(Amount::from_sat(sats)).unwrap();
        let value = Amount::from_sat(sats);
        tx.output.push(TxOut { value, script_pubkey: d.script() });
        asked.psbt.outputs.push(bitcoin::psbt::Output::default());
        asked
    }),
    ("what the fee gave up goes to a payee or chunk", |d, s| {
        let mut asked = s.at(s.world.rate, &s.order).1;
        let outputs = &mut asked.psbt.unsigned_tx.output;
        let (to, sats) = (2 + d.below(outputs.len() - 2), 10_000 + d.next() % 10_000);
        outputs[0].value = outputs[0].value.checked_sub(Amount::from_sat(sats)).unwrap();
        outputs[to].value += Amount::from_sat(sats);
        asked
    }),
    ("payees of another variant left out", |d, s| {
        let mut asked = s.honest(d);
        let outputs = &mut asked.psbt.unsigned_tx.output;
        let gone = outputs.remove(2 + d.below(outputs.len() - 2));
        outputs[0].value += gone.value;
        asked.psbt.outputs.pop();
        asked
    }),
    ("a coin that is not committed pays the fee", |d, s| {
        let mut order = s.order.clone();
        let (tx, more) = coin(&s.world.vault, Keychain::Treasury, 9_000 + small(d, 99), 90_000);
        order.funding.push(more);
        let rate = s.world.rate + d.next() % 1_000;
        let made =
            plan(&s.world.vault, &Order { fee_rate: rate, ..order }, 330).unwrap().txs.remove(0);
        let mut previous = s.world.paid[0].previous.clone();
        previous.push(tx.into());
        let psbt = psbt::build(&s.world.vault, &made.tx, &made.coins, &previous).unwrap();
        Asked { psbt, ..s.honest(d) }
    }),
    ("the baton of a variant that was not signed", |d, s| {
        let index = s.world.paid[0].facts.baton_index;
        let (tx, baton) =
            coin(&s.world.vault, Keychain::Baton, index, 2_000_000 + d.next() % 900_000);
        let order = Order { baton, ..s.order.clone() };
        let made = plan(&s.world.vault, &order, 330).unwrap().txs.remove(0);
        let mut previous = s.world.paid[0].previous.clone();
        previous.push(tx.into());
        let psbt = psbt::build(&s.world.vault, &made.tx, &made.coins, &previous).unwrap();
        Asked { psbt, ..s.honest(d) }
    }),
    ("no baton at all", |d, s| {
        let mut asked = s.honest(d);
        asked.psbt.unsigned_tx.input.remove(0);
        asked.psbt.inputs.remove(0);
        asked
    }),
    ("the next baton is another epoch's", |d, s| {
        let mut asked = s.honest(d);
        let index = asked.epoch + 1 + small(d, 5);
        let script = s.world.vault.script(Keychain::Baton, index).unwrap();
        asked.psbt.unsigned_tx.output[0].script_pubkey = script;
        asked
    }),
    ("a baton below the dust limit", |d, s| {
        let mut asked = s.honest(d);
        asked.psbt.unsigned_tx.output[0].value = Amount::from_sat(d.next() % 330);
        asked
    }),
    ("not replaceable", |d, s| {
        let mut asked = s.honest(d);
        let inputs = &mut asked.psbt.unsigned_tx.input;
        let at = d.below(inputs.len());
        inputs[at].sequence = bitcoin::Sequence::MAX;
        asked
    }),
    ("the marker of another epoch", |d, s| {
        let mut asked = s.honest(d);
        let root = s.world.paid[1].facts.commitment.root.hash;
        asked.psbt.unsigned_tx.output[1].script_pubkey =
            encode::marker(asked.epoch + 1, asked.batch, &root);
        asked
    }),
];

fn answer(scene: &Scene<'_>, asked: &Asked) -> Result<Approved, String> {
    let limits = Limits {
        max_fee_sats: 1_000_000,
        max_fee_rate: scene.most,
        min_fee_rate: 50,
        max_day_sats: None,
        max_epoch_sats: None,
        max_epoch_fee_sats: None,
    };
    let facts = &scene.world.paid[0].facts;
    check(&scene.world.vault, &limits, facts, asked.batch, &asked.chunks, asked.psbt.clone())
        .map_err(|broken| broken.to_string())
}

fn scene(world: &World) -> Scene<'_> {
    let (paid, most) = (&world.paid[0], world.rate * HIGHEST);
    let (first, commitment) = (&paid.plan.txs[0], &paid.facts.commitment);
    let order = Order {
        epoch: commitment.epoch,
        root: commitment.root.hash,
        fee_rate: world.rate,
        baton: first.coins[0].clone(),
        funding: first.coins[1..].to_vec(),
        batches: paid.batches.clone(),
    };
    Scene { world, order, most }
}

fn sweep(seed: u64, fan_out: bool) {
    let mut dice = Dice(seed);
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    let mut world = World::new(&mut dice, fan_out);
    for case in 0..LIES {
        if case % 100 == 0 {
            world = World::new(&mut dice, fan_out);
        }
        let scene = scene(&world);
        let honest = scene.honest(&mut dice);
        answer(&scene, &honest).unwrap_or_else(|why| panic!("case {case}: honest, refused: {why}"));
        let (name, lie) = CHANGES[dice.below(CHANGES.len())];
        let asked = lie(&mut dice, &scene);
        if answer(&scene, &asked).is_ok() {
            panic!("seed {seed:#x}, case {case}: {name} was accepted: {asked:?}");
        }
        *refused.entry(name).or_default() += 1;
    }
    assert_eq!(refused.len(), CHANGES.len(), "{refused:?}");
}

#[test]
fn lies_about_variants_are_refused_and_honest_variants_signed() {
    sweep(0x7a_71a7, false);
}

#[test]
fn lies_about_variants_of_a_fan_out_are_refused_and_honest_ones_signed() {
    sweep(0x7a_71a8, true);
}

/// A chunk of any root transaction that this signer signed is signed, and of no other; with what that root left it.
#[test]
fn chunks_go_with_the_variant_of_their_root() {
    let mut dice = Dice(0x7a_71a9);
    for _ in 0..20 {
        let mut world = World::new(&mut dice, true);
        let (dearer, cheap) = {
            let scene = scene(&world);
            (scene.at(scene.most, &scene.order).0, world.paid[0].plan.clone())
        };
        let first = dearer.txs[0].tx.clone();
        world.paid[0].previous.push(first);
        let asked = |world: &World, at: usize| {
            let scene = scene(world);
            let asked = scene.asked(&dearer.txs[at]);
            answer(&scene, &asked)
        };
        assert!(asked(&world, 1).is_err(), "its root was not signed");
        world.paid[0].facts.roots.push(dearer.txs[0].tx.txid());
        asked(&world, 1).unwrap();
        let scene = scene(&world);
        let mut mixed = scene.asked(&dearer.txs[1]);
        mixed.psbt.unsigned_tx.input[0].previous_output = cheap.txs[1].coins[0].outpoint;
        assert!(answer(&scene, &mixed).is_err(), "one root's output with the other's coin");
    }
}
