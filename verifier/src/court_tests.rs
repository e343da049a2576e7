//! Corrections by our own arithmetic, and leaves read back from what a challenge shows.

use alloy::{primitives::B256, sol_types::SolCall};
use proptest::prelude::*;

use super::*;
use crate::history::{At, Stamp};

fn at<T>(event: T) -> At<T> {
    At { at: Stamp { block: 1, index: 0, time: 0, tx: B256::ZERO }, event }
}

fn who(n: u8) -> Address {
    Address::repeat_byte(n)
}

fn corrected(account: u8, series: u16, change: i64) -> At<ILedgerCourt::Corrected> {
    let change = I256::try_from(change).unwrap();
    at(ILedgerCourt::Corrected { epoch: 5, account: who(account), series, change })
}

fn account(acc: u128, paid: u64) -> Account {
    Account { acc: [(SeriesId(1), acc)].into(), paid, since: None }
}

#[test]
fn bases_move_by_what_the_court_said_and_not_below_zero() {
    let history = History {
        corrections: vec![
            corrected(1, 1, 10),
            corrected(1, 1, -4),
            corrected(1, 0, -3),
            corrected(2, 1, -500),
            corrected(3, 2, 9),
            corrected(4, 1, -9),
        ],
        ..History::default()
    };
    let court = Court::of(&history).unwrap();
    let mut accounts = BTreeMap::from([(who(1), account(100, 50)), (who(2), account(100, 0))]);
    assert_eq!(court.correct(&mut accounts, EpochId(4)).unwrap(), Moved::default());
    let moved = court.correct(&mut accounts, EpochId(5)).unwrap();
    assert_eq!(accounts[&who(1)], account(106, 47));
    assert!(accounts[&who(2)].is_nothing(), "it keeps its leaf, with nothing in it");
    assert_eq!(accounts[&who(3)].acc, [(SeriesId(2), 9)].into());
    assert!(!accounts.contains_key(&who(4)));
    let (up, down) = (U256::from(6 + 9), U256::from(100));
    assert_eq!(moved, Moved { acc_up: up, acc_down: down, paid_up: 0, paid_down: 3 });
}

proptest! {
    #[test]
    fn a_shown_leaf_is_read_as_it_was_committed(paid in any::<u64>(), since in any::<u32>(), out in any::<u32>(), acc in prop::collection::btree_map(1_u16..99, 1_u128..1 << 120, 0..5)) {
        let packed: Vec<u8> = acc.iter().flat_map(|(series, acc)| [&series.to_be_bytes()[..], &acc.to_be_bytes()].concat()).collect();
        let shown = ILedgerCourt::Leaf { account: who(1), scriptHash: B256::repeat_byte(2), paid, since, out, acc: packed.into() };
        let opening = Opening { leaf: shown.clone(), index: 0, siblings: Bytes::new() };
        let call = ILedgerCourt::wrongDueCall { epoch: 7, books: ILedgerCourt::Books::default(), leaf: opening, before: Vec::new() };
        let history = History { shown: vec![call.abi_encode().into()], ..History::default() };
        let court = Court::of(&history).unwrap();
        let read = court.shown(EpochId(7)).unwrap().leaves[&who(1)].clone().unwrap();
        let hash = crate::encode::leaf_node(&read).unwrap().hash;
        let direct = keccak256([
            &[0][..], who(1).as_slice(), shown.scriptHash.as_slice(), &paid.to_be_bytes(), &since.to_be_bytes(),
            &out.to_be_bytes(), &[u8::try_from(acc.len()).unwrap()], &shown.acc,
        ].concat());
        prop_assert_eq!(hash, direct);
    }
}
