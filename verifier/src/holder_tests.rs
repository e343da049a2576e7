//! One account's lines from leaf to leaf, with what the court put right between them.

use domain::{Sats, SeriesAcc};

use super::*;
use crate::history::Stamp;

const WHO: Address = Address::repeat_byte(1);

fn at<T>(tx: u8, index: u64, event: T) -> At<T> {
    At { at: Stamp { block: 1, index, time: 0, tx: B256::repeat_byte(tx) }, event }
}

fn leaf(acc: u128, paid: u64) -> Leaf {
    Leaf {
        account: WHO,
        script_hash: B256::ZERO,
        paid: Sats(paid),
        since: None,
        out: None,
        acc: vec![SeriesAcc { series: SeriesId(1), acc: acc << 64 }],
    }
}

fn corrected(tx: u8, index: u64, series: u16, change: I256) -> At<ILedgerCourt::Corrected> {
    at(tx, index, ILedgerCourt::Corrected { epoch: 7, account: WHO, series, change })
}

fn upheld(tx: u8, index: u64, fault: ILedgerCourt::Fault) -> At<ILedgerCourt::Upheld> {
    let challenger = Address::ZERO;
    at(tx, index, ILedgerCourt::Upheld { fault, epoch: 5, account: WHO, challenger })
}

fn whole(sats: i64) -> I256 {
    I256::try_from(sats).unwrap() << 64
}

#[test]
fn credit_taken_back_is_a_line_and_what_was_paid_beyond_it_is_filled_first() {
    let history = History {
        upheld: vec![upheld(3, 2, ILedgerCourt::Fault::WrongShare)],
        corrections: vec![corrected(3, 1, 1, whole(-400))],
        ..History::default()
    };
    let mut sofar = SoFar::default();
    let wrong = sofar.epoch(5, Some(&leaf(900, 900)), upheld_of(&history, 5)).unwrap();
    assert_eq!((wrong.due, wrong.owed, wrong.upheld.len()), (900, 0, 1));
    assert!(sofar.correct(&history, WHO, 6).unwrap().is_empty());
    let lines = sofar.correct(&history, WHO, 7).unwrap();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((line.direction, line.counted), (Direction::TakenBack, 400 << 64));
    assert_eq!((line.ruling.fault.as_str(), line.ruling.fault_epoch), ("wrongShare", 5));
    assert_eq!(line.ruling.court_tx, B256::repeat_byte(3));
    let next = sofar.epoch(7, Some(&leaf(650, 900)), Vec::new()).unwrap();
    assert_eq!((next.credit, next.taken, next.owed, next.overpaid), (150 << 64, 0, 0, 250));
    // all lines add up to the last leaf
    assert_eq!(wrong.credit - line.counted + next.credit, 650 << 64);
    let statement = Statement {
        account: WHO,
        script: String::new(),
        lines: vec![Line::Epoch(wrong), Line::Correction(line.clone()), Line::Epoch(next)],
    };
    let text = statement.text();
    let row = text.lines().find(|row| row.contains("correction by the court")).unwrap();
    assert!(row.contains("-400.000000") && row.contains("wrongShare of epoch 5"), "{text}");
    let json = serde_json::to_value(&statement).unwrap();
    assert_eq!(json["lines"][1]["kind"], "correction");
    assert_eq!(json["lines"][1]["fault_epoch"], 5);
}

fn upheld_of(history: &History, epoch: u32) -> Vec<Ruling> {
    super::upheld(history, WHO, epoch)
}

#[test]
fn an_omitted_leaf_takes_all_away_and_its_correction_gives_all_back() {
    let history = History {
        upheld: vec![upheld(3, 9, ILedgerCourt::Fault::Omitted)],
        corrections: vec![corrected(3, 7, 1, whole(330)), corrected(3, 8, 0, whole(200) >> 64)],
        ..History::default()
    };
    let mut sofar = SoFar::default();
    sofar.epoch(4, Some(&leaf(300, 200)), Vec::new()).unwrap();
    let gone = sofar.epoch(5, None, upheld_of(&history, 5)).unwrap();
    assert_eq!((gone.taken, gone.due_taken, gone.owed), (300 << 64, 200, 0));
    assert!(sofar.is_nothing());
    let lines = sofar.correct(&history, WHO, 7).unwrap();
    assert!(lines.iter().all(|line| line.direction == Direction::Added && !line.pending));
    let next = sofar.epoch(7, Some(&leaf(350, 200)), Vec::new()).unwrap();
    assert_eq!((next.credit, next.due, next.owed), (20 << 64, 0, 150));
}

#[test]
fn changes_of_one_base_add_up_before_they_stop_at_zero() {
    let history = History {
        upheld: vec![upheld(3, 9, ILedgerCourt::Fault::WrongShare)],
        corrections: vec![corrected(3, 1, 1, whole(-500)), corrected(3, 2, 1, whole(450))],
        ..History::default()
    };
    let mut sofar = SoFar::default();
    sofar.epoch(4, Some(&leaf(300, 0)), Vec::new()).unwrap();
    let lines = sofar.correct(&history, WHO, 7).unwrap();
    let counted: Vec<u128> = lines.iter().map(|line| line.counted >> 64).collect();
    assert_eq!(counted, [300, 250], "minus 300, plus 250: 50 less than before");
    assert_eq!(sofar.acc[&SeriesId(1)], 250 << 64);
}
