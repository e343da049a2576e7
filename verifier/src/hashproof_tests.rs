//! The golden vector, and that the estimate is of the right size.
#![allow(clippy::float_arithmetic, clippy::as_conversions, reason = "statistics of a test")]

use std::collections::BinaryHeap;

use alloy::primitives::Bytes;
use serde_json::Value;

use super::*;

fn vector() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/hashproof.json")).unwrap()
}

fn word(value: &Value) -> U256 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn the_golden_proof_reads_alike() {
    let vector = vector();
    let number = |name: &str| vector[name].as_u64().unwrap();
    let hash = |name: &str| -> B256 { vector[name].as_str().unwrap().parse().unwrap() };
    let epoch = u32::try_from(number("epoch")).unwrap();
    let tag = tag(number("chainId"), hash("fleetId"), epoch, hash("seed"));
    assert_eq!(format!("0x{}", hex::encode(tag)), vector["tag"]);
    let shares: Vec<Bytes> = serde_json::from_value(vector["shares"].clone()).unwrap();
    for (packed, hash) in shares.iter().zip(vector["hashesOf"].as_array().unwrap()) {
        assert_eq!(share(packed), Ok(Share { hash: word(hash), tag }));
    }
    assert_eq!(estimate(number("k"), word(&vector["highest"])), word(&vector["hashes"]));
    for one in vector["estimates"].as_array().unwrap() {
        let found = estimate(one["k"].as_u64().unwrap(), word(&one["highest"]));
        assert_eq!(found, word(&one["hashes"]), "{one}");
    }
}

#[test]
fn every_changed_byte_is_another_share_or_none() {
    let vector = vector();
    let shares: Vec<Bytes> = serde_json::from_value(vector["shares"].clone()).unwrap();
    let packed = shares.first().unwrap();
    let honest = share(packed).unwrap();
    for place in 0..packed.len() {
        let mut changed = packed.to_vec();
        changed[place] ^= 1;
        assert_ne!(share(&changed), Ok(honest.clone()), "byte {place}");
    }
    for length in 0..packed.len() {
        assert!(share(&packed[..length]).is_err(), "cut to {length}");
    }
}

/// A generator of uniform numbers (Steele, Lea, Flood 2014).
const fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Mean of the estimate over true, with `estimate` as given: `trials` epochs of `hashes` uniform hashes each.
fn mean_over_true(k: usize, hashes: u64, trials: u64, estimate: impl Fn(u64, U256) -> U256) -> f64 {
    let (mut sum, mut state) = (0_f64, 36_u64);
    for _ in 0..trials {
        let mut lowest = BinaryHeap::new();
        for _ in 0..hashes {
            lowest.push(splitmix(&mut state));
            if lowest.len() > k {
                lowest.pop();
            }
        }
        // the upper 64 bits of a hash are all of it that matters here
        let found = estimate(k as u64, U256::from(*lowest.peek().unwrap()) << 192);
        sum += u64::try_from(found).unwrap() as f64 / hashes as f64;
    }
    sum / trials as f64
}

/// The mean of 400 estimates with k = 16 has a standard error of 1.3 %. An estimate with k in the place of k - 1, which is
/// 6.7 % too high, does not pass.
#[test]
fn the_estimate_is_unbiased() {
    let mean = mean_over_true(16, 2_000, 400, estimate);
    assert!((mean - 1.0).abs() < 0.04, "{mean}");
    let naive = mean_over_true(16, 2_000, 400, |k, highest| estimate(k + 1, highest));
    assert!((naive - 1.0).abs() > 0.04, "{naive}");
}

#[test]
fn the_standard_error_is_as_stated() {
    assert_eq!((error_ppm(16, 1), error_ppm(16, 21), error_ppm(64, 1)), (267_261, 58_321, 127_000));
    assert_eq!((error_ppm(2, 1), error_ppm(16, 0)), (0, 0));
}
