//! Statements of every account over made-up epochs: their sums are the roots' sums, and a database that lies is caught.

use std::collections::BTreeSet;

use alloy::primitives::{B256, I256};
use bitcoin::{Amount, ScriptBuf, TxOut};
use domain::{OutRef, Sats};

use super::*;
use crate::{
    plan::{
        Order, plan,
        tests::{coin, vault},
    },
    vault::Keychain,
};

const ACCOUNTS: [u8; 5] = [1, 2, 3, 4, 5];

fn script(account: u8) -> ScriptBuf {
    ScriptBuf::from_bytes([&[0x00, 0x14], [account; 20].as_slice()].concat())
}

fn commitment(epoch: u32, leaves: &[Leaf], batches: &[Vec<TxOut>]) -> Commitment {
    let root = encode::root_of(leaves).unwrap();
    let batch = |outputs: &Vec<TxOut>| IEpochLedger::Batch {
        outputsHash: encode::outputs_hash(outputs),
        total: encode::outputs_total(outputs).unwrap(),
    };
    Commitment {
        epoch,
        root: IEpochLedger::Root {
            hash: root.hash,
            accSum: root.acc_sum,
            paidSum: root.paid_sum.0,
        },
        batches: batches.iter().map(batch).collect(),
        ..Default::default()
    }
}

/// What is not as it should be at a step and account.
#[derive(Clone, Copy, Default)]
struct Odd {
    /// Sats added to what the account starts with in series 1.
    acc: i64,
    /// Sats added to what counts as paid.
    paid: i64,
    /// Sats by which its output falls short of its leaf.
    short: u64,
}

fn entries() -> Vec<Entry> {
    odd_entries(|_, _| Odd::default())
}

/// Six epochs, two series, uneven credit; every second epoch pays what is owed, the fourth in two batches.
fn odd_entries(odd: impl Fn(u8, u8) -> Odd) -> Vec<Entry> {
    let (_, vault) = vault();
    let mut leaves: Vec<Leaf> = Vec::new();
    let mut entries = Vec::new();
    for step in 0..6_u8 {
        let epoch = 62_000 + u32::from(step);
        let mut batches: Vec<Vec<TxOut>> = Vec::new();
        let old = std::mem::take(&mut leaves);
        // the last account joins late
        for account in ACCOUNTS.into_iter().take(if step < 2 { 4 } else { 5 }) {
            let before = old.iter().find(|leaf| leaf.account == Address::repeat_byte(account));
            let odd = odd(step, account);
            let acc = |series: u16| {
                let old = before.map_or(0, |leaf| leaf.acc[usize::from(series) - 1].acc);
                let size = u128::from(odd.acc.unsigned_abs()) << 64;
                let old = match (series, odd.acc < 0) {
                    (1, true) => old - size,
                    (1, false) => old + size,
                    _ => old,
                };
                let more = u128::from(account) * u128::from(series) * (7_919 << 64) / 3;
                SeriesAcc { series: SeriesId(series), acc: old + more + 1 }
            };
            let acc = vec![acc(1), acc(2)];
            let sum: u128 = acc.iter().map(|each| each.acc).sum();
            let paid = before.map_or(0, |leaf| leaf.paid.0).strict_add_signed(odd.paid);
            let owed = u64::try_from(sum >> 64).unwrap().saturating_sub(paid);
            let pays = step % 2 == 1;
            let batch = usize::from(step == 3 && account > 2);
            if pays {
                batches.resize_with(batches.len().max(batch + 1), Vec::new);
                let value = Amount::from_sat(owed - odd.short);
                batches[batch].push(TxOut { value, script_pubkey: script(account) });
            }
            leaves.push(Leaf {
                account: Address::repeat_byte(account),
                script_hash: keccak256(script(account)),
                paid: Sats(if pays { paid + owed } else { paid }),
                since: (!pays).then_some(EpochId(epoch)),
                out: pays.then(|| OutRef {
                    batch: u16::try_from(batch).unwrap(),
                    index: u16::try_from(batches[batch].len() - 1).unwrap(),
                }),
                acc,
            });
        }
        let commitment = commitment(epoch, &leaves, &batches);
        let (_, baton) = coin(&vault, Keychain::Baton, u32::from(step), 9_000_000);
        let root = commitment.root.hash;
        let order = Order { epoch, root, fee_rate: 1_000, baton, funding: Vec::new(), batches };
        let plan = plan(&vault, &order, 330).ok();
        let txs = plan.iter().flat_map(|plan| &plan.txs);
        let proven = txs.map(|tx| (tx.batch, tx.tx.compute_txid())).collect();
        let leaves = leaves.clone();
        entries.push(Entry { commitment, proven, leaves, state: "proven", plan });
    }
    entries
}

fn of(entries: &[Entry], account: u8, rulings: &Rulings) -> Result<Statement, Error> {
    of_entries(entries, Address::repeat_byte(account), rulings)
}

fn epochs(statement: &Statement) -> Vec<EpochLine> {
    let epoch = |line: &Line| match line {
        Line::Epoch(line) => Some(line.clone()),
        Line::Correction(_) => None,
    };
    statement.lines.iter().filter_map(epoch).collect()
}

fn corrections(statement: &Statement) -> Vec<CorrectionLine> {
    let correction = |line: &Line| match line {
        Line::Correction(line) => Some(line.clone()),
        Line::Epoch(_) => None,
    };
    statement.lines.iter().filter_map(correction).collect()
}

#[test]
fn sums_of_all_statements_equal_the_chain() {
    let entries = entries();
    let (mut acc, mut paid, mut outputs) = (0_u128, 0_u64, BTreeSet::new());
    for account in ACCOUNTS {
        let lines = epochs(&of(&entries, account, &Rulings::default()).unwrap());
        let credit = lines.iter().flat_map(|line| &line.credit);
        acc += credit.map(|credit| credit.acc).sum::<u128>();
        let payments = lines.iter().filter_map(|line| line.payment.as_ref());
        let own: u64 = payments.clone().map(|payment| payment.sats).sum();
        assert_eq!(own, lines.last().unwrap().balance.paid);
        assert!(payments.clone().all(|payment| payment.proven));
        outputs.extend(payments.map(|payment| payment.output.unwrap()));
        paid += own;
    }
    let root = &entries.last().unwrap().commitment.root;
    assert_eq!((acc, paid), (root.accSum, root.paidSum));
    assert_eq!(outputs.len(), 14, "every payment has an output of its own");
}

#[test]
fn csv_has_the_same_numbers() {
    let statement = of(&entries(), 5, &Rulings::default()).unwrap();
    let csv = statement.to_csv();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0][..3], ["epoch", "state", "credit_series_1"]);
    assert_eq!(rows.len(), 1 + 4, "from its first credit on");
    let paid: u64 = rows[1..].iter().map(|row| row[7].parse::<u64>().unwrap()).sum();
    let lines = epochs(&statement);
    assert_eq!(paid, lines.last().unwrap().balance.paid);
    let output = lines[1].payment.as_ref().unwrap().output.unwrap();
    assert_eq!(rows[2][8], output.to_string());
    assert!(of(&entries(), 9, &Rulings::default()).unwrap().lines.is_empty());
}

#[test]
fn a_database_that_differs_from_the_chain_gives_no_statement() {
    let refusal = |change: fn(&mut Vec<Entry>)| {
        let mut entries = entries();
        change(&mut entries);
        of(&entries, 3, &Rulings::default()).unwrap_err().to_string()
    };
    assert!(refusal(|e| e[4].leaves[0].paid = Sats(1)).contains("not under the root"));
    assert!(refusal(|e| e[2].commitment.root.hash = B256::ZERO).contains("not under the root"));
    let other = refusal(|e| e[3].proven.iter_mut().for_each(|p| p.1 = Txid::all_zeros()));
    assert!(other.contains("another transaction"), "{other}");
    let output = refusal(|e| {
        let planned = &mut e[1].plan.as_mut().unwrap().txs[0];
        let mut tx = bitcoin::Transaction::clone(&planned.tx);
        tx.output[4].value = Amount::ONE_SAT;
        planned.tx = tx.into();
    });
    assert!(output.contains("something else"), "{output}");
    assert!(refusal(|e| drop(e.remove(2))).contains("skip the epoch"));
}

/// Sats that the third epoch moves from account 3 to account 1, and by which the second one's output to account 2 falls
/// short; all of it put right in the fifth.
const MOVED: i64 = 10_000;
const SHORT: u64 = 500;

fn corrected_entries() -> Vec<Entry> {
    odd_entries(|step, account| match (step, account) {
        (2, 1) | (4, 3) => Odd { acc: MOVED, ..Odd::default() },
        (2, 3) | (4, 1) => Odd { acc: -MOVED, ..Odd::default() },
        (1, 2) => Odd { short: SHORT, ..Odd::default() },
        (4, 2) => Odd { paid: -i64::try_from(SHORT).unwrap(), ..Odd::default() },
        _ => Odd::default(),
    })
}

fn rulings(account: u8) -> Rulings {
    let ruling =
        |fault, fault_epoch| Ruling { fault, fault_epoch, court_tx: B256::repeat_byte(account) };
    let change = |series: Option<u16>, change: I256, ruling: &Ruling| rulings::Change {
        counts_in: 62_004,
        series: series.map(SeriesId),
        change,
        ruling: ruling.clone(),
    };
    let moved: I256 = I256::try_from(MOVED).unwrap() << 64;
    let (ruling, changed) = match account {
        1 => (ruling("wrongShare", 62_002), (Some(1), -moved)),
        3 => (ruling("wrongShare", 62_002), (Some(1), moved)),
        2 => (ruling("badOutput", 62_001), (None, -I256::try_from(SHORT).unwrap())),
        _ => return Rulings::default(),
    };
    let changes = vec![change(changed.0, changed.1, &ruling)];
    Rulings { upheld: vec![ruling], changes }
}

#[test]
fn corrections_are_lines_of_their_own_and_the_sums_still_equal_the_chain() {
    let entries = corrected_entries();
    let (mut acc, mut paid, mut received) = (0_u128, 0_u64, 0_u64);
    for account in ACCOUNTS {
        let statement = of(&entries, account, &rulings(account)).unwrap();
        let (mut own, mut own_paid) = (0_u128, 0_u64);
        for line in &statement.lines {
            match line {
                Line::Epoch(line) => {
                    own += line.credit.iter().map(|each| each.acc).sum::<u128>();
                    own -= line.taken.iter().map(|each| each.acc).sum::<u128>();
                    own_paid += line.payment.as_ref().map_or(0, |payment| payment.sats);
                    received += line.payment.as_ref().map_or(0, |payment| payment.received);
                }
                Line::Correction(line) => match (line.series.is_some(), line.direction) {
                    (true, Direction::Added) => own += line.counted,
                    (true, Direction::TakenBack) => own -= line.counted,
                    (false, _) => own_paid -= u64::try_from(line.counted).unwrap(),
                },
            }
        }
        let last = epochs(&statement).pop().unwrap().balance;
        assert_eq!((u64::try_from(own >> 64).unwrap(), own_paid), (last.earned, last.paid));
        (acc, paid) = (acc + own, paid + own_paid);
    }
    let root = &entries.last().unwrap().commitment.root;
    assert_eq!((acc, paid), (root.accSum, root.paidSum));
    assert_eq!(received, paid, "what counts as paid in the end is what was received");
}

#[test]
fn a_correction_says_its_direction_the_epoch_of_the_fault_and_the_courts_transaction() {
    let entries = corrected_entries();
    let harmed = of(&entries, 3, &rulings(3)).unwrap();
    let [line] = &corrections(&harmed)[..] else { panic!("{harmed:?}") };
    assert_eq!((line.direction, line.epoch, line.pending), (Direction::Added, 62_004, false));
    assert_eq!(line.ruling, rulings(3).upheld[0]);
    assert_eq!(line.counted, u128::from(MOVED.unsigned_abs()) << 64);
    let wrong = &epochs(&harmed)[2];
    assert!(!wrong.taken.is_empty() && wrong.rulings == rulings(3).upheld, "{wrong:?}");

    let favoured = of(&entries, 1, &rulings(1)).unwrap();
    assert_eq!(corrections(&favoured)[0].direction, Direction::TakenBack);
    let after = epochs(&favoured)[4].balance;
    assert!(after.overpaid > 0 && after.owed == 0, "{after:?}");

    let short = of(&entries, 2, &rulings(2)).unwrap();
    let paid = epochs(&short)[1].payment.clone().unwrap();
    assert_eq!(paid.received + SHORT, paid.sats);
    let line = &corrections(&short)[0];
    assert_eq!((line.series, line.counted), (None, u128::from(SHORT)));
    let csv = short.to_csv();
    let row = csv.lines().find(|row| row.contains(",correction,")).unwrap();
    let tail = format!("-{SHORT},badOutput,62001,{}", B256::repeat_byte(2));
    assert!(row.ends_with(&tail), "{csv}");
    let json = serde_json::to_value(&short).unwrap();
    assert_eq!(json["lines"][4]["kind"], "correction");
    assert_eq!(json["lines"][4]["direction"], "taken_back");
    assert_eq!(json["lines"][4]["fault_epoch"], 62_001);
}

#[test]
fn without_a_ruling_what_is_taken_back_is_still_an_error() {
    let entries = corrected_entries();
    let refused = |account| of(&entries, account, &Rulings::default()).unwrap_err().to_string();
    assert!(refused(3).contains("credit was taken back"));
    assert!(refused(2).contains("something else"));
    // a fault that was upheld, but whose correction is kept back: the base does not follow
    let only = Rulings { changes: Vec::new(), ..rulings(1) };
    assert!(of(&entries, 1, &only).unwrap_err().to_string().contains("credit was taken back"));
}

#[test]
fn a_correction_that_counts_in_no_committed_epoch_is_pending_and_moves_nothing() {
    let entries = corrected_entries();
    let statement = of(&entries[..4], 1, &rulings(1)).unwrap();
    let line = corrections(&statement).pop().unwrap();
    assert!(line.pending && line.counted == 0);
    assert_eq!(line.balance, epochs(&statement).pop().unwrap().balance);
    // one that would fall below zero counts only as far as zero
    let mut much = rulings(1);
    much.changes[0].change = I256::MIN / I256::try_from(2).unwrap();
    let running = Running::default().corrected(much.changes.iter()).unwrap();
    assert!(matches!(&running[0], Line::Correction(line) if line.counted == 0));
}
