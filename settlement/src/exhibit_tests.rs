//! A commit that lied is put together again from what was shown to the court, and from nothing less.

use alloy::primitives::{U256, keccak256};
use domain::{OutRef, Sats, SeriesId};
use evm::bindings::ILedgerCourt::{Books, answerCall, badOutputCall, omittedCall, wrongShareCall};

use super::*;
use crate::{
    allocate::{Entry, Piece, Weights},
    evidence::Tree,
};

const EPOCH: EpochId = EpochId(900);

fn account(n: u8) -> Address {
    Address::repeat_byte(n)
}

fn world() -> World {
    let of: BTreeMap<Address, U256> = (1..=5).map(|n| (account(n), U256::from(n))).collect();
    let entry = |n: u8| {
        let script = ScriptBuf::from_bytes([&[0, 20], [n; 20].as_slice()].concat());
        (account(n), Entry { script, minimum: 0, dust: 294 })
    };
    World {
        epoch: EPOCH.0,
        pieces: vec![Piece { series: SeriesId(1), work_epoch: EPOCH, sats: 1_500_000 }],
        units: [((SeriesId(1), EPOCH), Weights { total: U256::from(15), of })].into(),
        entries: (1..=4).map(entry).collect(),
        ..World::default()
    }
}

fn terms(totals: Vec<u64>) -> Terms {
    Terms { min_pay: 1_000, defer: false, cut: Cut::Totals(totals) }
}

fn commitment(leaves: &[Leaf], batches: &[Batch]) -> IEpochLedger::Commitment {
    let root = encode::root_of(leaves).unwrap();
    IEpochLedger::Commitment {
        epoch: EPOCH.0,
        root: IEpochLedger::Root {
            hash: root.hash,
            accSum: root.acc_sum,
            paidSum: root.paid_sum.0,
        },
        accounts: 5,
        minPay: 1_000,
        feeRate: 1,
        anchorHeight: 0,
        anchorHash: B256::ZERO,
        funding: Vec::new(),
        defer: false,
        batches: batches
            .iter()
            .map(|b| IEpochLedger::Batch { outputsHash: b.outputs_hash, total: b.total })
            .collect(),
    }
}

/// The second account is credited and paid ten sats less, the third ten more.
fn lie() -> (World, Vec<Leaf>, Vec<Batch>) {
    let world = world();
    let mut honest = allocate::decide(&world, &terms(Vec::new())).unwrap();
    for (position, up) in [(1, false), (2, true)] {
        let line = &mut honest[position];
        let pays = line.pays.as_mut().unwrap();
        let shift = |value: u64| if up { value + 10 } else { value - 10 };
        line.leaf.acc[0].acc =
            if up { line.leaf.acc[0].acc + (10 << 64) } else { line.leaf.acc[0].acc - (10 << 64) };
        line.leaf.paid = Sats(shift(line.leaf.paid.0));
        pays.value = Amount::from_sat(shift(pays.value.to_sat()));
    }
    let (leaves, batches) = cut::cut(honest, &Cut::MaxBytes(usize::MAX)).unwrap();
    (world, leaves, batches)
}

fn wrong_share(tree: &Tree, index: usize) -> Call {
    Call::wrongShare(wrongShareCall {
        epoch: EPOCH.0,
        books: Books::default(),
        series: 1,
        report: Bytes::new(),
        leaf: tree.opening(index).unwrap(),
        before: Vec::new(),
    })
}

#[test]
fn every_wrong_leaf_must_have_been_shown() {
    let (world, leaves, batches) = lie();
    let found = commitment(&leaves, &batches);
    let tree = Tree::over(leaves.clone()).unwrap();
    let mut exhibits = Exhibits::default();
    assert_eq!(as_committed(&world, &found, &exhibits).unwrap(), None);
    exhibits.take(EPOCH, wrong_share(&tree, 1));
    assert_eq!(as_committed(&world, &found, &exhibits).unwrap(), None, "the other one is unknown");
    exhibits.take(EPOCH, wrong_share(&tree, 2));
    let outcome = as_committed(&world, &found, &exhibits).unwrap().unwrap();
    assert_eq!((outcome.leaves, outcome.batches), (leaves, batches));
}

#[test]
fn an_omitted_account_and_an_answer_are_exhibits_too() {
    let world = world();
    let mut lines = allocate::decide(&world, &terms(Vec::new())).unwrap();
    lines.remove(3);
    let (leaves, batches) = cut::cut(lines, &Cut::MaxBytes(usize::MAX)).unwrap();
    let found = commitment(&leaves, &batches);
    let tree = Tree::over(leaves.clone()).unwrap();
    let omitted = Call::omitted(omittedCall {
        epoch: EPOCH.0,
        books: Books::default(),
        account: account(4),
        series: 1,
        report: Bytes::new(),
        around: tree.about(account(4)),
        before: Vec::new(),
    });
    let answer = Call::answer(answerCall {
        account: account(4),
        epoch: EPOCH.0,
        books: Books::default(),
        here: tree.about(account(4)),
        before: Vec::new(),
    });
    for call in [omitted, answer] {
        let mut exhibits = Exhibits::default();
        exhibits.take(EPOCH.next(), call.clone());
        assert!(exhibits.is_empty(), "of another epoch");
        exhibits.take(EPOCH, call);
        let outcome = as_committed(&world, &found, &exhibits).unwrap().unwrap();
        assert_eq!(outcome.leaves, leaves);
    }
}

#[test]
fn outputs_that_pay_somebody_else_are_taken_from_the_challenge() {
    let world = world();
    let lines = allocate::decide(&world, &terms(Vec::new())).unwrap();
    let (leaves, mut batches) = cut::cut(lines, &Cut::MaxBytes(usize::MAX)).unwrap();
    let mut outputs = batches[0].outputs();
    outputs[0].script_pubkey = ScriptBuf::from_bytes([&[0, 20], [9; 20].as_slice()].concat());
    let bytes = encode::outputs_bytes(&outputs);
    batches[0].outputs_hash = keccak256(&bytes);
    let found = commitment(&leaves, &batches);
    let mut exhibits = Exhibits::default();
    assert_eq!(as_committed(&world, &found, &exhibits).unwrap(), None);
    let tree = Tree::over(leaves).unwrap();
    exhibits.take(
        EPOCH,
        Call::badOutput(badOutputCall {
            epoch: EPOCH.0,
            books: Books::default(),
            leaf: tree.opening(0).unwrap(),
            before: Vec::new(),
            outputs: bytes.into(),
        }),
    );
    let outcome = as_committed(&world, &found, &exhibits).unwrap().unwrap();
    assert_eq!(outcome.batches[0].outputs(), outputs);
    assert_eq!(outcome.leaves[0].out, Some(OutRef { batch: 0, index: 0 }));
}
