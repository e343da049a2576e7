//! A property test for each guarantee of `allocate`, and the due rule case by case.

use proptest::prelude::*;

use super::*;

#[path = "base_tests.rs"]
mod base_tests;

const EPOCH: u32 = 62_000;

fn account(n: u8) -> Address {
    Address::repeat_byte(n)
}

fn script(n: u8) -> ScriptBuf {
    let mut bytes = vec![0x00, 0x14];
    bytes.extend([n; 20]);
    ScriptBuf::from_bytes(bytes)
}

fn entry(n: u8, minimum: u64) -> Entry {
    Entry { script: script(n), minimum, dust: 294 }
}

fn weights(of: &[(u8, u64)]) -> Weights {
    let mut weights = Weights::default();
    for (n, weight) in of {
        *weights.of.entry(account(*n)).or_default() += U256::from(*weight);
        weights.total += U256::from(*weight);
    }
    weights.of.retain(|_, weight| !weight.is_zero());
    weights
}

fn terms(min_pay: u64, defer: bool) -> Terms {
    Terms { min_pay, defer, cut: Cut::MaxBytes(100) }
}

/// One series (1), one piece; accounts 1..=40; a pool (200) and its shares (token 210).
fn world(epoch: u32, pot: u64, units: &[(u8, u64)], shares: &[(u8, u64)]) -> World {
    World {
        epoch,
        pieces: vec![Piece { series: SeriesId(1), work_epoch: EpochId(epoch), sats: pot }],
        units: [((SeriesId(1), EpochId(epoch)), weights(units))].into(),
        wrappers: vec![Wrapper {
            series: SeriesId(1),
            account: account(200),
            share: account(210),
            first_loss: account(220),
        }],
        shares: [((account(210), EpochId(epoch)), weights(shares))].into(),
        entries: (1..=20).map(|n| (account(n), entry(n, 0))).collect(),
        previous: Vec::new(),
        corrections: Corrections::new(),
    }
}

fn holders() -> impl Strategy<Value = Vec<(u8, u64)>> {
    prop::collection::vec((1_u8..=40, 0_u64..1 << 60), 0..20)
}

fn units() -> impl Strategy<Value = Vec<(u8, u64)>> {
    (holders(), 0_u64..1 << 60).prop_map(|(mut all, pool)| {
        all.push((200, pool));
        all
    })
}

/// Pot, unit weights, share weights, least payment, deferred.
type Played = (u64, Vec<(u8, u64)>, Vec<(u8, u64)>, u64, bool);

fn history() -> impl Strategy<Value = Vec<Played>> {
    let epoch = (0_u64..1_000_000_000, units(), holders(), 0_u64..=50_000, any::<bool>());
    prop::collection::vec(epoch, 1..12)
}

fn whole(leaf: &Leaf) -> u64 {
    u64::try_from(encode::acc_sum(leaf).unwrap() >> 64).unwrap()
}

/// Plays a history and hands each epoch's world and outcome to `check`.
fn play(history: &[Played], mut check: impl FnMut(&World, &Terms, &Allocation)) {
    let (mut previous, mut epoch) = (Vec::new(), EPOCH);
    for (pot, units, shares, min_pay, defer) in history {
        let mut world = world(epoch, *pot, units, shares);
        world.previous = previous;
        let terms = terms(*min_pay, *defer);
        let outcome = allocate(&world, &terms).unwrap();
        check(&world, &terms, &outcome);
        previous = outcome.leaves;
        epoch += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sums_add_up(history in history()) {
        play(&history, |world, _, outcome| {
            let before = encode::root_of(&world.previous).unwrap();
            let totals: u64 = outcome.batches.iter().map(|batch| batch.total).sum();
            assert_eq!(outcome.root.paid_sum.0, before.paid_sum.0 + totals);
            let pots: u64 = world.pieces.iter().map(|piece| piece.sats).sum();
            assert!(outcome.root.acc_sum <= before.acc_sum + (u128::from(pots) << 64));
            let outputs: Vec<_> = outcome.batches.iter().flat_map(|b| b.payments.iter()).collect();
            assert!(outputs.windows(2).all(|pair| pair[0].account < pair[1].account));
        });
    }

    #[test]
    fn order_changes_nothing(units in units(), shares in holders(), pots in prop::collection::vec(0_u64..1 << 40, 1..4)) {
        let mut one = world(EPOCH, 0, &units, &shares);
        one.pieces = pots.iter().map(|sats| Piece { series: SeriesId(1), work_epoch: EpochId(EPOCH), sats: *sats }).collect();
        one.wrappers.push(Wrapper { series: SeriesId(2), ..one.wrappers[0].clone() });
        let mut other = one.clone();
        other.pieces.reverse();
        other.wrappers.reverse();
        let mut reversed = units.clone();
        reversed.reverse();
        other.units = [((SeriesId(1), EpochId(EPOCH)), weights(&reversed))].into();
        prop_assert_eq!(allocate(&one, &terms(0, false)).unwrap(), allocate(&other, &terms(0, false)).unwrap());
    }

    #[test]
    fn error_below_one_sat_for_life(history in history()) {
        // exact share of account 1 in 2^-128 sat, floored: numerator kept per epoch as a 256-bit fixed point
        let mut exact = U256::ZERO;
        let mut pieces = 0_u32;
        let mut last = None;
        play(&history, |world, _, outcome| {
            let units = &world.units[&(SeriesId(1), EpochId(world.epoch))];
            let shares = &world.shares[&(account(210), EpochId(world.epoch))];
            if !units.total.is_zero() {
                let pot = U256::from(world.pieces[0].sats) << 96_usize;
                let own = units.of.get(&account(1)).copied().unwrap_or_default();
                exact += pot * own / units.total;
                let pool = units.of.get(&account(200)).copied().unwrap_or_default();
                let held = shares.of.get(&account(1)).copied().unwrap_or_default();
                if !shares.total.is_zero() {
                    exact += pot * pool / units.total * held / shares.total;
                }
            }
            pieces += 1;
            last = outcome.leaves.iter().find(|leaf| leaf.account == account(1)).cloned();
        });
        let acc = last.as_ref().map_or(0, |leaf| encode::acc_sum(leaf).unwrap());
        let credited = U256::from(acc) << 32_usize;
        // per piece: one floor for own holdings, two for the look-through, 2^-64 sat each (2^32 in this scale)
        let slack = U256::from(pieces) * (U256::from(3) << 32_usize) + U256::from(4 * pieces);
        prop_assert!(credited <= exact + U256::from(4 * pieces));
        prop_assert!(exact - credited.min(exact) <= slack);
        prop_assert!(slack < U256::ONE << 96_usize, "less than one sat");
        let entitled = u64::try_from(exact >> 96_usize).unwrap();
        prop_assert!(entitled - last.map_or(0, |leaf| whole(&leaf)).min(entitled) <= 1);
    }

    #[test]
    fn zero_weight_zero_credit(units in units(), shares in holders(), pot in 0_u64..1 << 50) {
        let world = world(EPOCH, pot, &units, &shares);
        let outcome = allocate(&world, &terms(0, false)).unwrap();
        let units = &world.units[&(SeriesId(1), EpochId(EPOCH))];
        let shares = &world.shares[&(account(210), EpochId(EPOCH))];
        for leaf in &outcome.leaves {
            let held = units.of.contains_key(&leaf.account) || shares.of.contains_key(&leaf.account);
            prop_assert!(held || leaf.account == account(220));
            prop_assert!(leaf.account != account(200), "a wrapper has no leaf");
        }
    }

    #[test]
    fn paid_never_exceeds_credit(history in history()) {
        play(&history, |_, _, outcome| {
            for leaf in &outcome.leaves {
                assert!(leaf.paid.0 <= whole(leaf));
                assert_eq!(leaf.since.is_some(), leaf.paid.0 < whole(leaf));
            }
        });
    }

    #[test]
    fn a_leaf_stays(history in history()) {
        play(&history, |world, _, outcome| {
            for before in &world.previous {
                let after = outcome.leaves.iter().find(|leaf| leaf.account == before.account).unwrap();
                assert!(encode::acc_sum(after).unwrap() >= encode::acc_sum(before).unwrap());
                assert!(after.paid >= before.paid);
            }
        });
    }

    #[test]
    fn deferred_pays_nobody(history in history()) {
        play(&history, |world, terms, outcome| {
            if terms.defer {
                assert!(outcome.batches.is_empty());
                assert_eq!(outcome.root.paid_sum, encode::root_of(&world.previous).unwrap().paid_sum);
                assert!(outcome.leaves.iter().all(|leaf| leaf.out.is_none()));
            }
        });
    }

    #[test]
    fn splitting_gains_nothing(mine in 0_u64..1 << 60, part in 0_u64..1 << 60, others in 1_u64..1 << 60, pot in 0_u64..1 << 50) {
        let part = part.min(mine);
        let split = world(EPOCH, pot, &[(1, part), (2, mine - part), (3, others)], &[]);
        let whole = world(EPOCH, pot, &[(1, mine), (3, others)], &[]);
        let credit = |world: &World| -> u128 {
            let outcome = allocate(world, &terms(0, true)).unwrap();
            let mine = outcome.leaves.iter().filter(|leaf| leaf.account <= account(2));
            mine.map(|leaf| encode::acc_sum(leaf).unwrap()).sum()
        };
        prop_assert!(credit(&split) <= credit(&whole));
    }

    #[test]
    fn a_committed_cut_is_found_again(units in units(), pot in 0_u64..1 << 40, most in 31_usize..400) {
        let world = world(EPOCH, pot, &units, &[]);
        let own = allocate(&world, &Terms { cut: Cut::MaxBytes(most), ..terms(0, false) }).unwrap();
        let totals = own.batches.iter().map(|batch| batch.total).collect();
        let again = allocate(&world, &Terms { cut: Cut::Totals(totals), ..terms(0, false) }).unwrap();
        prop_assert_eq!(own, again);
    }
}

/// Account 1 alone, owed `owed` since `since`; is it paid?
fn paid(owed: u64, since: u32, minimum: u64, terms: &Terms) -> bool {
    let mut world = world(EPOCH, 0, &[(1, 1)], &[]);
    world.previous = vec![Leaf {
        account: account(1),
        script_hash: B256::ZERO,
        paid: Sats::ZERO,
        since: Some(EpochId(since)),
        out: None,
        acc: vec![SeriesAcc { series: SeriesId(1), acc: u128::from(owed) << 64 }],
    }];
    world.entries.insert(account(1), entry(1, minimum));
    let outcome = allocate(&world, terms).unwrap();
    outcome.leaves[0].out.is_some()
}

#[test]
fn the_due_rule_at_its_edges() {
    let pays = |owed, since, minimum, min_pay| paid(owed, since, minimum, &terms(min_pay, false));
    assert!(pays(294, EPOCH, 0, 0) && !pays(293, EPOCH, 0, 0), "dust");
    assert!(pays(10_000, EPOCH, 0, 10_000) && !pays(9_999, EPOCH, 0, 10_000), "least payment");
    assert!(pays(700, EPOCH, 700, 0) && !pays(699, EPOCH, 700, 0), "own minimum");
    assert!(pays(2_000, EPOCH - 90, 60_000, 50_000), "age pays");
    assert!(!pays(2_000, EPOCH - 89, 60_000, 50_000), "not old enough");
    assert!(!pays(1_999, EPOCH - 90, 60_000, 50_000), "too little for age");
    assert!(!paid(1_000_000, EPOCH - 90, 0, &terms(0, true)), "deferred");
}

#[test]
fn without_lp_the_first_loss_account_earns_and_no_script_waits() {
    let world = world(EPOCH, 1_000_000, &[(1, 1), (200, 3), (30, 4)], &[]);
    let outcome = allocate(&world, &terms(0, false)).unwrap();
    let by = |n| outcome.leaves.iter().find(|leaf| leaf.account == account(n)).unwrap();
    assert_eq!(whole(by(220)), 375_000);
    assert_eq!((by(30).paid.0, by(30).since), (0, Some(EpochId(EPOCH))));
    assert_eq!((by(1).paid.0, by(1).since), (125_000, None));
    assert_eq!(outcome.batches.len(), 1);
}

#[test]
fn missing_weights_are_refused() {
    let mut world = world(EPOCH, 1, &[(1, 1)], &[]);
    world.units.clear();
    let error = allocate(&world, &terms(0, false)).unwrap_err().to_string();
    assert!(error.contains("series 1") && error.contains("62000"), "{error}");
}
