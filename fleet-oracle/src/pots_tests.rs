//! Tests of pots.

use super::*;
use alloy::primitives::B256;
use proptest::prelude::*;

fn receipt(n: u8, pieces: &[(u32, &str, u64)]) -> Receipt {
    let pieces: Vec<Piece> = pieces
        .iter()
        .map(|(epoch, pool, sats)| Piece {
            epoch: EpochId(*epoch),
            pool: (*pool).into(),
            sats: *sats,
        })
        .collect();
    let sats = pieces.iter().map(|piece| piece.sats).sum();
    Receipt { txid: B256::repeat_byte(n), vout: 0, sats, pieces }
}

fn live(all: &[(u16, u32)]) -> BTreeSet<(SeriesId, EpochId)> {
    all.iter().map(|(series, epoch)| (SeriesId(*series), EpochId(*epoch))).collect()
}

fn work(all: &[(u32, &str, u16, u128)]) -> Work {
    all.iter()
        .map(|(e, pool, s, hashes)| ((EpochId(*e), (*pool).into(), SeriesId(*s)), *hashes))
        .collect()
}

const BOTH: [SeriesId; 2] = [SeriesId(1), SeriesId(2)];

fn run(
    epoch: u32,
    live: &BTreeSet<(SeriesId, EpochId)>,
    work: &Work,
    receipts: &[Receipt],
) -> (usize, Vec<Vec<(u32, u64)>>) {
    let deductions = BTreeMap::new();
    let terms = Terms { epoch: EpochId(epoch), series: &BOTH, live, work, deductions: &deductions };
    let (taken, pots) = pots(&terms, receipts);
    let plain = |pot: &Pot| pot.pieces.iter().map(|(epoch, sats)| (epoch.0, *sats)).collect();
    (taken.len(), pots.values().map(plain).collect())
}

#[test]
fn work_at_the_same_pool_decides_and_the_largest_gets_the_rest() {
    let live = live(&[(1, 9), (2, 9), (1, 10), (2, 10)]);
    let work = work(&[(9, "btc", 1, 2), (9, "btc", 2, 1), (9, "ltc", 2, 1_000_000)]);
    let receipts = [receipt(1, &[(9, "btc", 11), (10, "btc", 5)])];
    assert_eq!(run(10, &live, &work, &receipts), (1, vec![vec![(9, 8), (10, 5)], vec![(9, 3)]]));
}

#[test]
fn before_the_first_unit_a_piece_moves_on_or_waits() {
    let work = work(&[(3, "btc", 1, 5), (3, "btc", 2, 5)]);
    let receipts = [receipt(1, &[(3, "btc", 100)])];
    assert_eq!(run(5, &live(&[]), &work, &receipts), (0, vec![vec![], vec![]]));
    assert_eq!(run(5, &live(&[(2, 5)]), &work, &receipts), (1, vec![vec![], vec![(5, 100)]]));
    let both = live(&[(1, 4), (1, 5), (2, 5)]);
    assert_eq!(run(5, &both, &work, &receipts), (1, vec![vec![(4, 50)], vec![(5, 50)]]));
}

#[test]
fn old_work_lands_in_the_reported_epoch_and_the_future_waits() {
    let live = live(&[(1, 75), (1, 76), (1, 100)]);
    let old = [
        receipt(1, &[(75, "btc", 10)]),
        receipt(2, &[(76, "btc", 1)]),
        receipt(3, &[(101, "btc", 1)]),
    ];
    assert_eq!(run(100, &live, &Work::new(), &old), (2, vec![vec![(76, 1), (100, 10)], vec![]]));
}

#[test]
fn deductions_come_from_the_youngest_and_stop_at_the_pot() {
    let live = live(&[(1, 9), (1, 10)]);
    let receipts = [receipt(1, &[(9, "btc", 100), (10, "btc", 50)])];
    for (due, pieces, deducted) in [(60, vec![(EpochId(9), 90)], 60), (999, vec![], 150)] {
        let deductions = BTreeMap::from([(SeriesId(1), due), (SeriesId(2), due)]);
        let terms = Terms {
            epoch: EpochId(10),
            series: &BOTH,
            live: &live,
            work: &Work::new(),
            deductions: &deductions,
        };
        let (_, pots) = pots(&terms, &receipts);
        assert_eq!(pots[&SeriesId(1)], Pot { pieces, deducted });
        assert_eq!(pots[&SeriesId(2)], Pot::default());
    }
}

proptest! {
    #[test]
    fn receipts_equal_pots_plus_deductions_and_every_piece_is_allowed(
        pieces in prop::collection::vec((60..103_u32, 0..2_usize, 1..1_u64 << 45), 1..40),
        units in prop::collection::btree_set((1..3_u16, 60..101_u32), 0..30),
        cells in prop::collection::vec((60..101_u32, 0..2_usize, 1..3_u16, any::<u128>()), 0..40),
        due: [u32; 2],
    ) {
        let names = ["btc", "bch"];
        let receipts: Vec<Receipt> = (0..)
            .zip(pieces.chunks(3))
            .map(|(n, chunk)| receipt(n, &chunk.iter().map(|(e, p, s)| (*e, names[*p], *s)).collect::<Vec<_>>()))
            .collect();
        let live: BTreeSet<_> = units.iter().map(|(s, e)| (SeriesId(*s), EpochId(*e))).collect();
        let work: Work =
            cells.iter().map(|(e, p, s, h)| ((EpochId(*e), names[*p].into(), SeriesId(*s)), *h)).collect();
        let deductions = BTreeMap::from([(SeriesId(1), due[0].into()), (SeriesId(2), due[1].into())]);
        let terms = Terms { epoch: EpochId(100), series: &BOTH, live: &live, work: &work, deductions: &deductions };
        let (taken, pots) = pots(&terms, &receipts);
        let received: u64 = taken.iter().map(|receipt| receipt.sats).sum();
        let given: u64 = pots.values().map(|pot| pot.pieces.iter().map(|(_, s)| s).sum::<u64>() + pot.deducted).sum();
        prop_assert_eq!(received, given);
        for (series, pot) in &pots {
            prop_assert!(pot.pieces.len() <= MOST_PIECES);
            prop_assert!(pot.pieces.windows(2).all(|pair| pair[0].0 < pair[1].0));
            for (epoch, sats) in &pot.pieces {
                prop_assert!(*sats > 0 && (76..=100).contains(&epoch.0));
                prop_assert!(live.contains(&(*series, *epoch)), "a piece where nobody holds units");
            }
        }
    }
}
