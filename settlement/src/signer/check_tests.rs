//! Every field that matters, changed one at a time: each change must be refused, for its own reason.

use alloy::primitives::B256;
use bitcoin::{Amount, ScriptBuf};

use super::*;
use crate::{
    known::KnownTx,
    plan::{
        Order, Plan, plan,
        tests::{coin, payees, vault},
    },
    psbt,
};

const EPOCH: u32 = 62_000;
const LIMITS: Limits = Limits {
    max_fee_sats: 20_000,
    max_fee_rate: 5_000,
    min_fee_rate: 1_000,
    max_day_sats: None,
    max_epoch_sats: None,
    max_epoch_fee_sats: None,
};

struct Case {
    vault: Vault,
    facts: Facts,
    plan: Plan,
    previous: Vec<KnownTx>,
    batches: Vec<Vec<TxOut>>,
}

fn case(batches: Vec<Vec<TxOut>>) -> Case {
    let (_, vault) = vault();
    let (baton_tx, baton) = coin(&vault, Keychain::Baton, 61_990, 500_000);
    let (funding_tx, funding) = coin(&vault, Keychain::Treasury, 7, 2_000_000);
    let commitment = IEpochLedger::Commitment {
        epoch: EPOCH,
        root: IEpochLedger::Root { hash: B256::repeat_byte(5), accSum: 0, paidSum: 0 },
        feeRate: 1_500,
        funding: vec![IEpochLedger::OutPoint {
            txid: internal(funding.outpoint.txid),
            vout: funding.outpoint.vout,
        }],
        batches: batches
            .iter()
            .map(|outputs| IEpochLedger::Batch {
                outputsHash: encode::outputs_hash(outputs),
                total: encode::outputs_total(outputs).unwrap(),
            })
            .collect(),
        ..Default::default()
    };
    let order = Order {
        epoch: EPOCH,
        root: commitment.root.hash,
        fee_rate: 1_500,
        baton: baton.clone(),
        funding: vec![funding],
        batches: batches.clone(),
    };
    let plan = plan(&vault, &order, 10_000).unwrap();
    let first = plan.txs[0].tx.clone();
    let facts = Facts {
        commitment,
        batons: vec![baton.outpoint],
        baton_index: 61_990,
        roots: vec![first.compute_txid()],
    };
    Case { vault, facts, plan, previous: vec![baton_tx.into(), funding_tx.into(), first], batches }
}

impl Case {
    fn psbt(&self, position: usize) -> Psbt {
        let planned = &self.plan.txs[position];
        psbt::build(&self.vault, &planned.tx, &planned.coins, &self.previous).unwrap()
    }

    fn check(&self, batch: u16, psbt: &Psbt) -> Result<Approved, Broken> {
        let chunks = if batch == ROOT_BATCH { self.batches.as_slice() } else { &[] };
        self.check_with(batch, chunks, psbt)
    }

    fn check_with(
        &self,
        batch: u16,
        chunks: &[Vec<TxOut>],
        psbt: &Psbt,
    ) -> Result<Approved, Broken> {
        check(&self.vault, &LIMITS, &self.facts, batch, chunks, psbt.clone())
    }

    /// What a change to the honest one-batch PSBT is refused for.
    fn refusal(&self, change: impl FnOnce(&mut Psbt)) -> Broken {
        let mut psbt = self.psbt(0);
        change(&mut psbt);
        self.check(0, &psbt).unwrap_err()
    }
}

#[test]
fn honest_transactions_are_approved() {
    let one = case(vec![payees(5, 30_000)]);
    assert_eq!(one.check(0, &one.psbt(0)).unwrap().coins, one.plan.txs[0].coins);
    let many = case(vec![payees(5, 30_000), payees(2, 40_000)]);
    many.check(ROOT_BATCH, &many.psbt(0)).unwrap();
    many.check(0, &many.psbt(1)).unwrap();
    many.check(1, &many.psbt(2)).unwrap();
}

#[test]
fn a_changed_output_is_refused() {
    let case = case(vec![payees(5, 30_000)]);
    let outputs = |change: fn(&mut Vec<TxOut>)| case.refusal(|p| change(&mut p.unsigned_tx.output));
    assert_eq!(outputs(|o| o[2].value += Amount::ONE_SAT), Broken::Payees);
    assert_eq!(outputs(|o| o[3].script_pubkey = o[2].script_pubkey.clone()), Broken::Payees);
    assert_eq!(outputs(|o| o.swap(2, 3)), Broken::Payees);
    assert_eq!(outputs(|o| o.truncate(6)), Broken::Payees);
    assert_eq!(outputs(|o| o.push(o[2].clone())), Broken::Payees);
    assert_eq!(outputs(|o| o[0].script_pubkey = o[2].script_pubkey.clone()), Broken::NextBaton(0));
    assert_eq!(outputs(|o| o[0].value = Amount::from_sat(329)), Broken::NextBaton(0));
    assert_eq!(outputs(|o| o[1].value = Amount::ONE_SAT), Broken::Marker(1));
    assert_eq!(outputs(|o| o.swap(0, 1)), Broken::NextBaton(0));
    assert_eq!(outputs(Vec::clear), Broken::Outputs { expected: 3, found: 0 });
    let other = encode::marker(EPOCH + 1, 0, &B256::repeat_byte(5));
    assert_eq!(case.refusal(|p| p.unsigned_tx.output[1].script_pubkey = other), Broken::Marker(1));
    let other = case.vault.script(Keychain::Baton, EPOCH + 1).unwrap();
    let refusal = case.refusal(|p| p.unsigned_tx.output[0].script_pubkey = other);
    assert_eq!(refusal, Broken::NextBaton(0));
    assert_eq!(outputs(|o| o[0].value += Amount::from_sat(10_000_000)), Broken::Sums);
    let fee = outputs(|o| o[0].value -= Amount::from_sat(30_000));
    assert!(matches!(fee, Broken::Fee { .. }), "{fee}");
    let rate = outputs(|o| o[0].value -= Amount::from_sat(5_000));
    assert!(matches!(rate, Broken::Fee { fee, .. } if fee < LIMITS.max_fee_sats), "{rate}");
}

#[test]
fn a_changed_input_is_refused() {
    let case = case(vec![payees(5, 30_000)]);
    let refuse = |change: fn(&mut Psbt)| case.refusal(change);
    assert!(matches!(refuse(|p| p.unsigned_tx.input.swap(0, 1)), Broken::NotTheBaton(_)));
    assert!(matches!(
        refuse(|p| p.unsigned_tx.input[0].previous_output.vout = 1),
        Broken::NotTheBaton(_)
    ));
    assert_eq!(refuse(|p| p.unsigned_tx.input[1].previous_output.vout = 1), Broken::NotFunding(1));
    assert_eq!(
        refuse(|p| p.unsigned_tx.input[1].previous_output = p.unsigned_tx.input[0].previous_output),
        Broken::Twice(1)
    );
    assert_eq!(refuse(|p| p.inputs[0].non_witness_utxo = None), Broken::Previous(0));
    assert_eq!(
        refuse(|p| p.inputs[1].non_witness_utxo = p.inputs[0].non_witness_utxo.clone()),
        Broken::Previous(1)
    );
    assert_eq!(refuse(|p| p.inputs[1].bip32_derivation.clear()), Broken::Script(1));
    assert_eq!(
        refuse(|p| p.inputs[1].bip32_derivation = p.inputs[0].bip32_derivation.clone()),
        Broken::Script(1)
    );
    assert_eq!(
        refuse(|p| p.inputs[0].sighash_type = Some(EcdsaSighashType::None.into())),
        Broken::Sighash(0)
    );
    assert_eq!(
        refuse(|p| p.inputs[1].sighash_type = Some(EcdsaSighashType::AllPlusAnyoneCanPay.into())),
        Broken::Sighash(1)
    );
    assert_eq!(refuse(|p| p.unsigned_tx.version = Version::ONE), Broken::Form);
    assert_eq!(refuse(|p| p.unsigned_tx.input[0].sequence = Sequence::MAX), Broken::Form);
    assert_eq!(
        refuse(|p| p.unsigned_tx.lock_time = LockTime::from_height(1).unwrap()),
        Broken::Form
    );
}

#[test]
fn the_wrong_batch_epoch_or_baton_is_refused() {
    let mut case = case(vec![payees(5, 30_000)]);
    let honest = case.psbt(0);
    for batch in [1, ROOT_BATCH] {
        let refusal = case.check(batch, &honest).unwrap_err();
        assert_eq!(refusal, Broken::NoSuchBatch(EPOCH, batch));
    }
    case.facts.commitment.root.hash = B256::repeat_byte(6);
    assert_eq!(case.check(0, &honest).unwrap_err(), Broken::Marker(1));
    case.facts.commitment.root.hash = B256::repeat_byte(5);
    case.facts.baton_index += 1;
    assert_eq!(case.check(0, &honest).unwrap_err(), Broken::Script(0));
    case.facts.baton_index -= 1;
    case.facts.commitment.epoch += 1;
    assert_eq!(case.check(0, &honest).unwrap_err(), Broken::NextBaton(0));
    case.facts.commitment.epoch -= 1;
    case.facts.commitment.defer = true;
    assert_eq!(case.check(0, &honest).unwrap_err(), Broken::NoSuchBatch(EPOCH, 0));
    case.facts.commitment.defer = false;
    case.facts.batons.clear();
    assert!(matches!(case.check(0, &honest).unwrap_err(), Broken::NotTheBaton(_)));
}

#[test]
fn a_changed_fan_out_is_refused() {
    let case = case(vec![payees(5, 30_000), payees(2, 40_000)]);
    let root = |change: fn(&mut Psbt)| {
        let mut psbt = case.psbt(0);
        change(&mut psbt);
        case.check(ROOT_BATCH, &psbt).unwrap_err()
    };
    assert_eq!(
        root(|p| p.unsigned_tx.output.truncate(3)),
        Broken::Outputs { expected: 2, found: 1 }
    );
    assert_eq!(
        root(|p| p.unsigned_tx.output[2].script_pubkey = ScriptBuf::new()),
        Broken::ChunkOutput(2)
    );
    assert_eq!(
        root(|p| p.unsigned_tx.output[3].value += Amount::from_sat(20_000)),
        Broken::ChunkOutput(3)
    );
    assert_eq!(root(|p| p.unsigned_tx.output[3].value = Amount::ONE_SAT), Broken::ChunkOutput(3));
    let chunk = |batch: u16, change: fn(&mut Psbt)| {
        let mut psbt = case.psbt(1);
        change(&mut psbt);
        case.check(batch, &psbt).unwrap_err()
    };
    assert_eq!(chunk(1, |_| {}), Broken::NotTheChunk(3));
    assert_eq!(chunk(0, |p| p.unsigned_tx.output[1].value -= Amount::ONE_SAT), Broken::Payees);
    assert_eq!(
        chunk(0, |p| p.unsigned_tx.output[0].script_pubkey = ScriptBuf::new()),
        Broken::Marker(0)
    );
    assert_eq!(
        chunk(0, |p| p.unsigned_tx.input.push(p.unsigned_tx.input[0].clone())),
        Broken::ChunkInputs
    );
}

#[test]
fn a_chunk_that_could_never_be_relayed_or_burns_coins_is_refused() {
    let case = case(vec![payees(5, 30_000), payees(2, 40_000)]);
    // the caller moves sats between the baton and a chunk: the root's own fee stays as it is
    let shifted = |sats: i64| {
        let mut psbt = case.psbt(0);
        for (at, sign) in [(0, -1), (2, 1)] {
            let value = &mut psbt.unsigned_tx.output[at].value;
            *value = Amount::from_sat(value.to_sat().checked_add_signed(sign * sats).unwrap());
        }
        case.check(ROOT_BATCH, &psbt).map(|_| ())
    };
    let fee = i64::try_from(case.plan.txs[0].tx.output[2].value.to_sat() - 150_000).unwrap();
    let most = fee * 5_000 / 1_500;
    assert_eq!(shifted(0), Ok(()));
    assert_eq!(shifted(-1), Err(Broken::ChunkOutput(2)), "below the committed rate");
    assert_eq!(shifted(-fee), Err(Broken::ChunkOutput(2)), "no fee at all");
    assert_eq!(shifted(most - fee - 5), Ok(()), "a bump within the limit");
    assert_eq!(shifted(most - fee + 5), Err(Broken::ChunkOutput(2)), "well within the cap");
}

#[test]
fn chunks_are_judged_by_their_committed_outputs_only() {
    let case = case(vec![payees(5, 30_000), payees(2, 40_000)]);
    let honest = case.psbt(0);
    let refusal = |change: fn(&mut Vec<Vec<TxOut>>)| {
        let mut chunks = case.batches.clone();
        change(&mut chunks);
        case.check_with(ROOT_BATCH, &chunks, &honest).unwrap_err()
    };
    assert_eq!(refusal(Vec::clear), Broken::Chunk(0));
    assert_eq!(refusal(|c| c.truncate(1)), Broken::Chunk(1));
    assert_eq!(refusal(|c| c.push(c[0].clone())), Broken::Chunk(2));
    assert_eq!(refusal(|c| c.swap(0, 1)), Broken::Chunk(0));
    assert_eq!(refusal(|c| c[1][0].value += Amount::ONE_SAT), Broken::Chunk(1));
    assert_eq!(refusal(|c| c[1].truncate(1)), Broken::Chunk(1));
    let refused = case.check_with(0, &case.batches, &case.psbt(1)).unwrap_err();
    assert_eq!(refused, Broken::Chunks, "only a root transaction needs them");
}

#[test]
fn a_fee_that_no_node_relays_is_refused() {
    let case = case(vec![payees(5, 30_000)]);
    let refused = case.refusal(|p| p.unsigned_tx.output[0].value += Amount::ONE_SAT);
    assert!(matches!(refused, Broken::Fee { .. }), "{refused}");
    let limits = Limits { min_fee_rate: 1_600, ..LIMITS };
    let refused = check(&case.vault, &limits, &case.facts, 0, &[], case.psbt(0)).unwrap_err();
    assert!(matches!(refused, Broken::Fee { .. }), "{refused}");
}
