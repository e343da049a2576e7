//! Properties of the decision.

use domain::{Coin, CoinState};
use proptest::prelude::*;

use super::*;
use crate::market::{Reading, VenueView};

fn venue() -> impl Strategy<Value = VenueView> {
    let reading = || prop::option::of((1_u64..5_000, 0_u64..40));
    let coin_state = prop::sample::select(vec![
        CoinState::Active,
        CoinState::Active,
        CoinState::Warning,
        CoinState::Draining,
        CoinState::Halted,
        CoinState::Delisted,
        CoinState::Migrated,
    ]);
    let coin = prop::sample::select(vec![Coin::Btc, Coin::Bch]);
    (coin, coin_state, prop::bool::weighted(0.8), reading(), reading(), 0_u64..20_000).prop_map(
        |(coin, coin_state, pool_up, terms, price, taker_fee_ppm)| {
            let read = |scale: u64| {
                move |(value, age_seconds): (u64, u64)| Reading {
                    value: value * scale,
                    age_seconds,
                }
            };
            let (terms, price) = (terms.map(read(1)), price.map(read(100_000)));
            let name = String::from("v");
            VenueView { name, coin, coin_state, pool_up, terms, price, taker_fee_ppm }
        },
    )
}

fn market() -> impl Strategy<Value = (MarketView, EngineState)> {
    (
        prop::collection::vec(venue(), 1..5),
        0_u64..2_000,
        any::<prop::sample::Index>(),
        any::<bool>(),
        0_u64..300_000,
        0_u64..1_000,
    )
        .prop_map(|(venues, time, index, has, hysteresis_ppm, min_dwell_seconds)| {
            let current = has.then(|| (index.index(venues.len()), 500));
            let policy = Policy { hysteresis_ppm, min_dwell_seconds };
            (MarketView { time, venues, max_feed_age_seconds: 30 }, EngineState { current, policy })
        })
}

fn rate(decision: &Decision, index: usize) -> u128 {
    u128::from(decision.rates[index].millisats_per_mhash)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_dead_or_unminable_venue_is_never_picked((view, state) in market()) {
        let decision = decide(&view, &state);
        match decision.action {
            Action::Stay(index, _) | Action::Move(index, _) => {
                let venue = &view.venues[index];
                prop_assert!(venue.pool_up && venue.coin_state.minable());
                prop_assert!(venue.terms.is_some_and(|terms| terms.age_seconds <= 30));
                prop_assert!(venue.coin == Coin::Btc || venue.price.is_some_and(|p| p.age_seconds <= 30));
                prop_assert!(rate(&decision, index) > 0);
            }
            Action::Idle => prop_assert!((0..view.venues.len()).all(|index| rate(&decision, index) == 0)),
        }
    }

    #[test]
    fn a_move_for_money_clears_hysteresis_and_dwell((view, state) in market()) {
        let decision = decide(&view, &state);
        if let Action::Move(to, SwitchReason::BetterVenue) = decision.action {
            let (from, since) = state.current.unwrap();
            let bar = rate(&decision, from) * u128::from(1_000_000 + state.policy.hysteresis_ppm);
            prop_assert!(rate(&decision, to) * 1_000_000 > bar);
            prop_assert!(view.time - since >= state.policy.min_dwell_seconds);
        }
    }

    #[test]
    fn a_lost_venue_is_left_at_once((view, state) in market()) {
        let decision = decide(&view, &state);
        if let Some((from, _)) = state.current
            && rate(&decision, from) == 0
        {
            prop_assert!(matches!(decision.action, Action::Idle | Action::Move(_, SwitchReason::VenueLost)));
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_answer((view, state) in market()) {
        prop_assert_eq!(decide(&view, &state), decide(&view.clone(), &state.clone()));
    }

    #[test]
    fn more_money_never_loses_the_fleet((view, state) in market(), more in 1_u64..1_000_000_000) {
        let before = decide(&view, &state);
        if let Action::Stay(index, _) | Action::Move(index, _) = before.action {
            let mut view = view;
            let venue = &mut view.venues[index];
            if let Some(price) = &mut venue.price {
                price.value += more;
            }
            let after = decide(&view, &state);
            prop_assert!(
                matches!(after.action, Action::Stay(same, _) | Action::Move(same, _) if same == index),
                "{:?} then {:?}", before, after
            );
        }
    }
}

#[test]
fn ties_stay_and_start_with_the_first() {
    let reading = Some(Reading { value: 100, age_seconds: 0 });
    let btc = |name: &str| VenueView {
        name: name.into(),
        coin: Coin::Btc,
        coin_state: CoinState::Active,
        pool_up: true,
        terms: reading,
        price: None,
        taker_fee_ppm: 0,
    };
    let view = MarketView { time: 1, venues: vec![btc("a"), btc("b")], max_feed_age_seconds: 1 };
    let policy = Policy { hysteresis_ppm: 0, min_dwell_seconds: 0 };
    let start = decide(&view, &EngineState { current: None, policy });
    assert_eq!(start.action, Action::Move(0, SwitchReason::Start));
    let stay = decide(&view, &EngineState { current: Some((1, 0)), policy });
    assert_eq!(stay.action, Action::Stay(1, Stay::Best));
}
