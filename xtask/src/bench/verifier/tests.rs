//! The small editions of the benchmarks, which every change has to pass.

use ::verifier::{Outcome, checks, world::World};

use super::{SMALL, Size, differential, mutate, rounding, story};

async fn verify(size: Size, only: Option<u32>) -> ::verifier::Report {
    let mut sources = story::make(size);
    sources.epoch = only;
    let report = checks::run(&World::read(&sources).await.unwrap()).await;
    assert!(report.good(), "{}", report.text());
    report
}

/// Gap, deferred epoch, chunks, late pieces, first-loss, a changed and a cancelled script, a revoked role.
#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_world_verifies_in_every_check_that_it_has() {
    for seed in 1..4 {
        let report = verify(Size { seed, ..SMALL }, None).await;
        for check in [2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14] {
            let verdict = &report.verdicts[check - 1];
            assert!(matches!(verdict.outcome, Outcome::Passed { .. }), "{}", report.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_an_index_and_an_unproven_payout_are_enough() {
    verify(Size { index: false, unproven: true, ..SMALL }, None).await;
    // the last of these epochs is paid in chunks
    verify(Size { epochs: 6, unproven: true, ..SMALL }, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_epoch_can_be_asked_about() {
    for n in 0..12 {
        verify(SMALL, Some(story::FIRST + n)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutated_bundle_is_refused() {
    let (refused, passed) = mutate::run(150).await.unwrap();
    assert_eq!((refused, &passed), (150, &Vec::new()));
}

#[test]
fn verifier_and_settlement_agree_to_the_satoshi() {
    let (epochs, payees) = differential::run(1_000, 7);
    assert!(epochs >= 1_000 && payees > 1_000, "{epochs} epochs, {payees} payees");
}

#[test]
fn flooring_costs_less_than_a_satoshi_for_life() {
    let (worst, total) = rounding::worst(20, 1_000);
    assert!(worst > 0 && worst / total < 1_001);
}
