//! Statements of every account over made-up epochs: their sums are the roots' sums, and a database that lies is caught.

use alloy::primitives::B256;
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

/// Six epochs, two series, uneven credit; every second epoch pays what is owed, the fourth in two batches.
fn entries() -> Vec<Entry> {
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
            let acc = |series: u16| {
                let old = before.map_or(0, |leaf| leaf.acc[usize::from(series) - 1].acc);
                let more = u128::from(account) * u128::from(series) * (7_919 << 64) / 3;
                SeriesAcc { series: SeriesId(series), acc: old + more + 1 }
            };
            let acc = vec![acc(1), acc(2)];
            let sum: u128 = acc.iter().map(|each| each.acc).sum();
            let paid = before.map_or(0, |leaf| leaf.paid.0);
            let owed = u64::try_from(sum >> 64).unwrap() - paid;
            let pays = step % 2 == 1;
            let batch = usize::from(step == 3 && account > 2);
            if pays {
                batches.resize_with(batches.len().max(batch + 1), Vec::new);
                let value = Amount::from_sat(owed);
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

#[test]
fn sums_of_all_statements_equal_the_chain() {
    let entries = entries();
    let (mut acc, mut paid, mut outputs) = (0_u128, 0_u64, BTreeSet::new());
    for account in ACCOUNTS {
        let statement = of_entries(&entries, Address::repeat_byte(account)).unwrap();
        let credit = statement.lines.iter().flat_map(|line| &line.credit);
        acc += credit.map(|credit| credit.acc).sum::<u128>();
        let payments = statement.lines.iter().filter_map(|line| line.payment.as_ref());
        let own: u64 = payments.clone().map(|payment| payment.sats).sum();
        assert_eq!(own, statement.lines.last().unwrap().paid);
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
    let statement = of_entries(&entries(), Address::repeat_byte(5)).unwrap();
    let csv = statement.to_csv();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0][..3], ["epoch", "state", "credit_series_1"]);
    assert_eq!(rows.len(), 1 + 4, "from its first credit on");
    let paid: u64 = rows[1..].iter().map(|row| row[7].parse::<u64>().unwrap()).sum();
    assert_eq!(paid, statement.lines.last().unwrap().paid);
    let output = statement.lines[1].payment.as_ref().unwrap().output.unwrap();
    assert_eq!(rows[2][8], output.to_string());
    assert!(of_entries(&entries(), Address::repeat_byte(9)).unwrap().lines.is_empty());
}

#[test]
fn a_database_that_differs_from_the_chain_gives_no_statement() {
    let refusal = |change: fn(&mut Vec<Entry>)| {
        let mut entries = entries();
        change(&mut entries);
        of_entries(&entries, Address::repeat_byte(3)).unwrap_err().to_string()
    };
    assert!(refusal(|e| e[4].leaves[0].paid = Sats(1)).contains("not under the root"));
    assert!(refusal(|e| e[2].commitment.root.hash = B256::ZERO).contains("not under the root"));
    let other = refusal(|e| e[3].proven.iter_mut().for_each(|p| p.1 = Txid::all_zeros()));
    assert!(other.contains("another transaction"), "{other}");
    let output = refusal(|e| {
        let tx = &mut e[1].plan.as_mut().unwrap().txs[0].tx;
        tx.output[4].value = Amount::ONE_SAT;
    });
    assert!(output.contains("something else"), "{output}");
    assert!(refusal(|e| drop(e.remove(2))).contains("skip the epoch"));
}
