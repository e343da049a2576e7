//! Guarantee 9 of `allocate`: corrections move the base, and what a lie took is there again one epoch later.

use alloy::primitives::I256;
use proptest::prelude::*;

use super::*;
use crate::base::Correction;

fn lie() -> impl Strategy<Value = Vec<(u8, i64, i64)>> {
    prop::collection::vec((1_u8..=40, any::<i64>(), -100_000_i64..100_000), 0..6)
}

fn signed(value: i128) -> I256 {
    I256::try_from(value).unwrap()
}

/// A leaf told wrongly, with what the court says of it.
fn tell(leaf: &mut Leaf, acc: i64, paid: i64) -> Correction {
    let mut correction = Correction::default();
    for entry in &mut leaf.acc {
        let told = (i128::try_from(entry.acc).unwrap() + i128::from(acc)).max(1);
        let right = i128::try_from(entry.acc).unwrap();
        correction.acc.insert(entry.series, signed(right - told));
        entry.acc = u128::try_from(told).unwrap();
    }
    let told = (i128::from(leaf.paid.0) + i128::from(paid)).max(0);
    correction.paid = signed(i128::from(leaf.paid.0) - told);
    leaf.paid = Sats(u64::try_from(told).unwrap());
    correction
}

/// What `correctionSums` holds: ups and downs of credit, and of what was paid.
fn sums(corrections: &Corrections) -> [u128; 4] {
    let mut sums = [0; 4];
    let mut book = |change: &I256, up: usize| {
        let size = u128::try_from(change.unsigned_abs()).unwrap();
        sums[if change.is_negative() { up + 1 } else { up }] += size;
    };
    for correction in corrections.values() {
        correction.acc.values().for_each(|change| book(change, 0));
        book(&correction.paid, 2);
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn corrections_move_the_base(history in history(), lie in lie(), next in (0_u64..1 << 40, units(), holders())) {
        let mut honest = Vec::new();
        play(&history, |_, _, outcome| honest = outcome.leaves.clone());
        let mut told = honest.clone();
        let mut corrections = Corrections::new();
        for (who, acc, paid) in &lie {
            if let Some(leaf) = told.iter_mut().find(|leaf| leaf.account == account(*who)) {
                corrections.entry(leaf.account).or_insert_with(|| tell(leaf, *acc, *paid));
            }
        }
        let (pot, units, shares) = next;
        let mut world = world(EPOCH + 100, pot, &units, &shares);
        world.previous = told.clone();
        world.corrections = corrections.clone();
        let corrected = allocate(&world, &terms(1_000, false)).unwrap();
        // as if the lie had never been told
        world.previous = honest;
        world.corrections.clear();
        let truth = allocate(&world, &terms(1_000, false)).unwrap();
        prop_assert_eq!(&corrected, &truth);
        // and the ledger takes it
        let [up, down, paid_up, paid_down] = sums(&corrections);
        let last = encode::root_of(&told).unwrap();
        let pots = u128::from(pot) << 64;
        prop_assert!(corrected.root.acc_sum <= last.acc_sum + pots + up);
        prop_assert!(corrected.root.acc_sum + down >= last.acc_sum);
        let totals: u64 = corrected.batches.iter().map(|batch| batch.total).sum();
        let paid = u128::from(last.paid_sum.0 + totals) + paid_up;
        prop_assert!(u128::from(corrected.root.paid_sum.0) <= paid);
        prop_assert!(u128::from(corrected.root.paid_sum.0) + paid_down + paid_up >= paid);
    }

    #[test]
    fn what_was_paid_beyond_credit_is_earned_again_before_anything_is_due(
        credited in 0_u64..1_000_000, taken in 0_u64..1_000_000, earned in 0_u64..2_000_000,
    ) {
        let mut world = world(EPOCH, earned, &[(1, 1)], &[]);
        world.previous = vec![Leaf {
            account: account(1),
            script_hash: B256::ZERO,
            paid: Sats(credited),
            since: None,
            out: None,
            acc: vec![SeriesAcc { series: SeriesId(1), acc: u128::from(credited.max(1)) << 64 }],
        }];
        let change = Correction {
            acc: [(SeriesId(1), -signed(i128::from(taken) << 64))].into(),
            paid: I256::ZERO,
        };
        world.corrections.insert(account(1), change);
        let outcome = allocate(&world, &terms(0, false)).unwrap();
        let due: u64 = outcome.batches.iter().map(|batch| batch.total).sum();
        let owed = (credited.max(1).saturating_sub(taken) + earned).saturating_sub(credited);
        prop_assert_eq!(due, if owed < 294 { 0 } else { owed });
        prop_assert_eq!(outcome.leaves[0].since.is_some(), owed > 0 && due == 0);
    }
}

#[test]
fn a_base_above_zero_makes_a_leaf_and_a_wrapper_that_lost_all_has_none() {
    let mut world = world(EPOCH, 0, &[], &[]);
    world.units.insert((SeriesId(1), EpochId(EPOCH)), Weights::default());
    let correction = |acc: i128, paid: i128| Correction {
        acc: [(SeriesId(1), signed(acc))].into(),
        paid: signed(paid),
    };
    world.corrections.insert(account(1), correction(5 << 64, 0));
    world.corrections.insert(account(2), correction(-5, -5));
    world.corrections.insert(account(200), correction(-(7 << 64), 0));
    world.previous = vec![Leaf {
        account: account(200),
        script_hash: B256::ZERO,
        paid: Sats::ZERO,
        since: None,
        out: None,
        acc: vec![SeriesAcc { series: SeriesId(1), acc: 7 << 64 }],
    }];
    let outcome = allocate(&world, &terms(0, true)).unwrap();
    let leaves: Vec<Address> = outcome.leaves.iter().map(|leaf| leaf.account).collect();
    assert_eq!(leaves, [account(1)]);
    assert_eq!(outcome.leaves[0].since, Some(EpochId(EPOCH)));
}
