//! How much flooring can cost a holder for life.

use alloy::primitives::U256;
use verifier::allocate::part_of_pot;

use super::{bytes::Rng, word};

/// Simulates holders through epochs, each epoch with a pot of its own; prints how far the worst of them falls short of
/// the exact share.
pub(super) fn bench(holders: usize, epochs: u32) -> bool {
    let (worst, total) = worst(holders, epochs);
    // in 2^-64 sat: a sat is 2^64 of them
    let good = U256::from(worst) < U256::from(total) << 64;
    let atto =
        (U256::from(worst) * U256::from(10_u64).pow(U256::from(18)) / U256::from(total)) >> 64;
    println!(
        "verifier rounding: worst lifetime error {atto} x 10^-18 sat over {epochs} epochs x {holders} holders (1 sat) {}",
        word(good)
    );
    good
}

/// The largest sum of remainders of a holder, and the divisor: their ratio is that holder's shortfall in 2^-64 sat,
/// exactly. A credit above the exact share would panic here as a subtraction below zero.
pub(super) fn worst(holders: usize, epochs: u32) -> (u128, u128) {
    let mut rng = Rng(10_950);
    let mut weight = || (u128::from(rng.next()) << 32 | u128::from(rng.next() >> 32)) >> 8;
    let weights: Vec<u128> = (0..holders).map(|_| weight()).collect();
    let total: u128 = weights.iter().sum();
    let pots: Vec<u64> = (0..epochs).map(|_| 1 + rng.below(5_000_000_000)).collect();
    let shortfall = |weight: &u128| {
        let weight = U256::from(*weight);
        let left = |sats: &u64| {
            let credit = part_of_pot(*sats, weight, U256::from(total)).unwrap();
            let exact = (U256::from(*sats) << 64) * weight;
            let left: U256 = exact - U256::from(credit) * U256::from(total);
            left.to::<u128>()
        };
        pots.iter().map(left).sum::<u128>()
    };
    let worst = |part: &[u128]| part.iter().map(shortfall).max().unwrap_or(0);
    let (left, right) = weights.split_at(weights.len() / 2);
    let both = std::thread::scope(|scope| {
        let left = scope.spawn(|| worst(left));
        worst(right).max(left.join().unwrap())
    });
    (both, total)
}
