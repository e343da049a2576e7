//! One change to an honest request. A change that turns out to change nothing is thrown again.

use bitcoin::{
    Amount, EcdsaSighashType, Psbt, ScriptBuf, Sequence, TxOut, Witness,
    absolute::LockTime,
    bip32::{ChildNumber, DerivationPath},
    psbt::{PsbtSighashType, raw},
    transaction::Version,
};

use super::{Asked, Dice, World, other_place, stolen};
use crate::{encode, plan::tests::coin, vault::Keychain};

type Change = fn(&mut Dice, &World, &mut Asked);

/// Kinds of change that every sweep must have come by.
pub(super) const LEAST_KINDS: usize = 32;

const CHANGES: &[(&str, Change)] = &[
    ("output value", |d, _, a| {
        let output = pick(d, &mut a.psbt.unsigned_tx.output);
        output.value = other_value(d, output.value);
    }),
    ("output script", |d, w, a| {
        let script = other_script(d, w, a);
        pick(d, &mut a.psbt.unsigned_tx.output).script_pubkey = script;
    }),
    ("value moved between outputs", |d, _, a| {
        let outputs = &mut a.psbt.unsigned_tx.output;
        let (from, to, sats) = (d.below(outputs.len()), d.below(outputs.len()), d.next() % 2_000);
        if let Some(left) = outputs[from].value.checked_sub(Amount::from_sat(sats)) {
            outputs[from].value = left;
            outputs[to].value += Amount::from_sat(sats);
        }
    }),
    ("output order", |d, _, a| {
        let outputs = &mut a.psbt.unsigned_tx.output;
        let (one, other) = (d.below(outputs.len()), d.below(outputs.len()));
        outputs.swap(one, other);
    }),
    ("output missing", |d, _, a| {
        let at = d.below(a.psbt.unsigned_tx.output.len());
        a.psbt.unsigned_tx.output.remove(at);
        a.psbt.outputs.remove(at);
    }),
    ("output twice", |d, _, a| {
        let output = pick(d, &mut a.psbt.unsigned_tx.output).clone();
        insert(d, &mut a.psbt, output);
    }),
    ("output too many", |d, _, a| {
        let output = stolen(d);
        insert(d, &mut a.psbt, output);
    }),
    ("output taken over", |d, _, a| *pick(d, &mut a.psbt.unsigned_tx.output) = stolen(d)),
    ("marker byte", |d, _, a| {
        let marker = marker(a);
        let mut bytes = marker.script_pubkey.to_bytes();
        *pick(d, &mut bytes) ^= 1 << d.below(8);
        marker.script_pubkey = ScriptBuf::from_bytes(bytes);
    }),
    ("marker value", |d, _, a| marker(a).value = Amount::from_sat(1 + d.next() % 1_000)),
    ("marker of a second root", |d, _, a| {
        let script = encode::marker(a.epoch, a.batch, &d.bytes().into());
        marker(a).script_pubkey = script;
    }),
    ("input place", |d, _, a| {
        let input = pick(d, &mut a.psbt.unsigned_tx.input);
        input.previous_output = other_place(d, input.previous_output);
    }),
    ("input sequence", |d, _, a| {
        let number = u32::try_from(d.next() >> 32).unwrap();
        let known = [Sequence::MAX, Sequence::ZERO, Sequence(number)];
        pick(d, &mut a.psbt.unsigned_tx.input).sequence = known[d.below(3)];
    }),
    ("input script", |d, _, a| {
        pick(d, &mut a.psbt.unsigned_tx.input).script_sig = d.script();
    }),
    ("input order", |d, _, a| {
        let count = a.psbt.inputs.len();
        let (one, other) = (d.below(count), d.below(count));
        a.psbt.unsigned_tx.input.swap(one, other);
        a.psbt.inputs.swap(one, other);
    }),
    ("input missing", |d, _, a| {
        let at = d.below(a.psbt.inputs.len());
        a.psbt.unsigned_tx.input.remove(at);
        a.psbt.inputs.remove(at);
    }),
    ("input twice", |d, _, a| {
        let at = d.below(a.psbt.inputs.len());
        a.psbt.unsigned_tx.input.push(a.psbt.unsigned_tx.input[at].clone());
        a.psbt.inputs.push(a.psbt.inputs[at].clone());
    }),
    ("input that is not committed", extra_input),
    ("input of the other epoch", |d, w, a| {
        let other = w.honest(1, 0).psbt;
        let (at, from) = (d.below(a.psbt.inputs.len()), d.below(other.inputs.len()));
        a.psbt.unsigned_tx.input[at] = other.unsigned_tx.input[from].clone();
        a.psbt.inputs[at] = other.inputs[from].clone();
    }),
    ("version", |d, _, a| {
        let versions = [Version::ONE, Version(3), Version(0), Version(-1)];
        a.psbt.unsigned_tx.version = versions[d.below(4)];
    }),
    ("lock time", |d, _, a| {
        let time = u32::try_from(d.next() >> 32).unwrap().max(1);
        a.psbt.unsigned_tx.lock_time = LockTime::from_consensus(time);
    }),
    ("sighash", |d, _, a| {
        use EcdsaSighashType as E;
        let kinds = [E::None, E::Single, E::AllPlusAnyoneCanPay, E::NonePlusAnyoneCanPay];
        let strange = PsbtSighashType::from_u32(2 + u32::try_from(d.below(500)).unwrap());
        let kind = if d.below(5) == 0 { strange } else { kinds[d.below(4)].into() };
        pick(d, &mut a.psbt.inputs).sighash_type = Some(kind);
    }),
    ("witness_utxo", |d, w, a| {
        let script = other_script(d, w, a);
        let slot = &mut pick(d, &mut a.psbt.inputs).witness_utxo;
        match (d.below(3), slot.as_mut()) {
            (0, Some(output)) => output.value = other_value(d, output.value),
            (1, Some(output)) => output.script_pubkey = script,
            _ => *slot = None,
        }
    }),
    ("non_witness_utxo", |d, w, a| {
        let script = other_script(d, w, a);
        let slot = &mut pick(d, &mut a.psbt.inputs).non_witness_utxo;
        match (d.below(4), slot.as_mut()) {
            (0, Some(tx)) => {
                let output = pick(d, &mut tx.output);
                output.value = other_value(d, output.value);
            }
            (1, Some(tx)) => pick(d, &mut tx.output).script_pubkey = script,
            (2, Some(tx)) => tx.output.push(stolen(d)),
            _ => *slot = None,
        }
    }),
    ("witness_script", |d, _, a| {
        let slot = &mut pick(d, &mut a.psbt.inputs).witness_script;
        match (d.below(2), slot.as_ref()) {
            (0, Some(script)) => {
                let mut bytes = script.to_bytes();
                *pick(d, &mut bytes) ^= 1 << d.below(8);
                *slot = Some(ScriptBuf::from_bytes(bytes));
            }
            _ => *slot = None,
        }
    }),
    ("redeem_script", |d, _, a| pick(d, &mut a.psbt.inputs).redeem_script = Some(d.script())),
    ("derivation", |d, _, a| {
        let map = &mut pick(d, &mut a.psbt.inputs).bip32_derivation;
        let mut entries: Vec<_> = std::mem::take(map).into_iter().collect();
        match d.below(3) {
            0 => entries.clear(),
            1 => drop(entries.pop()),
            _ => {
                let index = ChildNumber::from(u32::try_from(d.below(1 << 20)).unwrap());
                pick(d, &mut entries).1.1 = DerivationPath::from(vec![index]);
            }
        }
        map.extend(entries);
    }),
    ("finished witness", |d, _, a| {
        let witness = Witness::from_slice(&[d.bytes()]);
        pick(d, &mut a.psbt.inputs).final_script_witness = Some(witness);
    }),
    ("unknown field", |d, _, a| {
        let key = raw::Key { type_value: 0xf0, key: d.bytes().to_vec() };
        match d.below(3) {
            0 => a.psbt.unknown.insert(key, vec![1]),
            1 => pick(d, &mut a.psbt.inputs).unknown.insert(key, vec![1]),
            _ => pick(d, &mut a.psbt.outputs).unknown.insert(key, vec![1]),
        };
    }),
    ("output script in the PSBT", |d, _, a| {
        pick(d, &mut a.psbt.outputs).witness_script = Some(d.script());
    }),
    ("request epoch", |d, _, a| {
        a.epoch = match d.below(3) {
            0 => a.epoch + 1,
            1 => a.epoch - 1,
            _ => u32::try_from(d.next() >> 32).unwrap(),
        }
    }),
    ("request batch", |d, _, a| {
        let random = u16::try_from(d.next() >> 48).unwrap();
        a.batch = [0, 1, 2, 3, 0xfffe, 0xffff, random][d.below(7)];
    }),
    ("chunk list", change_chunks),
    ("transaction of the other epoch", |d, w, a| {
        a.psbt = w.honest(1, d.below(w.paid[1].plan.txs.len())).psbt;
    }),
    ("another transaction of the epoch", |d, w, a| {
        a.psbt = w.honest(0, d.below(w.paid[0].plan.txs.len())).psbt;
    }),
];

/// A request that differs from `honest`, with the name of what was changed.
pub(super) fn changed(dice: &mut Dice, world: &World, honest: &Asked) -> (&'static str, Asked) {
    loop {
        let (name, change) = CHANGES[dice.below(CHANGES.len())];
        let mut asked = honest.clone();
        change(dice, world, &mut asked);
        if asked != *honest {
            return (name, asked);
        }
    }
}

fn pick<'a, T>(dice: &mut Dice, from: &'a mut [T]) -> &'a mut T {
    let at = dice.below(from.len());
    &mut from[at]
}

fn insert(dice: &mut Dice, psbt: &mut Psbt, output: TxOut) {
    let at = dice.below(psbt.outputs.len() + 1);
    psbt.unsigned_tx.output.insert(at, output);
    psbt.outputs.insert(at, bitcoin::psbt::Output::default());
}

fn marker(asked: &mut Asked) -> &mut TxOut {
    let mut outputs = asked.psbt.unsigned_tx.output.iter_mut();
    outputs.find(|output| output.script_pubkey.is_op_return()).unwrap()
}

fn other_value(dice: &mut Dice, value: Amount) -> Amount {
    let sats = value.to_sat();
    let near = [1, 2, 330, 10_000, 1_000_000][dice.below(5)];
    Amount::from_sat(match dice.below(6) {
        0 => 0,
        1 => dice.next() % 2_100_000_000_000_000,
        2 => u64::MAX,
        3 | 4 => sats.saturating_add(near),
        _ => sats.saturating_sub(near),
    })
}

fn other_script(dice: &mut Dice, world: &World, asked: &Asked) -> ScriptBuf {
    let near = asked.epoch + 1 - u32::try_from(2 * dice.below(2)).unwrap();
    match dice.below(5) {
        0 => ScriptBuf::new(),
        1 => dice.script(),
        2 => world.vault.script(Keychain::Baton, near).unwrap(),
        3 => world.vault.script(Keychain::Treasury, asked.epoch).unwrap(),
        _ => {
            let outputs = &asked.psbt.unsigned_tx.output;
            outputs[dice.below(outputs.len())].script_pubkey.clone()
        }
    }
}

/// A coin of ours, whole and right, that the commitment does not name.
fn extra_input(dice: &mut Dice, world: &World, asked: &mut Asked) {
    let index = 5_000 + u32::try_from(dice.below(1_000)).unwrap();
    let keychain = if dice.below(2) == 0 { Keychain::Baton } else { Keychain::Treasury };
    let (tx, coin) = coin(&world.vault, keychain, index, 1_000 + dice.next() % 1_000_000);
    let (mut only, mut whole) = (asked.psbt.unsigned_tx.clone(), asked.psbt.clone());
    only.input.truncate(1);
    only.input[0].previous_output = coin.outpoint;
    let made = crate::psbt::build(&world.vault, &only, &[coin], &[tx.into()]).unwrap();
    let at = dice.below(whole.inputs.len() + 1);
    whole.unsigned_tx.input.insert(at, only.input[0].clone());
    whole.inputs.insert(at, made.inputs[0].clone());
    asked.psbt = whole;
}

fn change_chunks(dice: &mut Dice, world: &World, asked: &mut Asked) {
    let chunks = &mut asked.chunks;
    if chunks.is_empty() {
        chunks.clone_from(&world.paid[0].batches);
        return;
    }
    match dice.below(7) {
        0 => chunks.clear(),
        1 => drop(chunks.pop()),
        2 => chunks.push(vec![stolen(dice)]),
        3 => chunks.reverse(),
        4 => pick(dice, chunks).push(stolen(dice)),
        5 => drop(pick(dice, chunks).pop()),
        _ => {
            let output = pick(dice, chunks);
            let output = pick(dice, output);
            output.value = other_value(dice, output.value);
        }
    }
}
