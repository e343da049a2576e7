//! Header selection on the main network's own headers around block 405,216, where the difficulty rose.

use bitcoin::{CompactTarget, consensus::deserialize};
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vector {
    height: u64,
    header: String,
}

/// Heights and headers, ascending: 403,200 and 405,214 to 405,217.
fn real() -> Vec<(u64, Header)> {
    let text = include_str!("../../tests/vectors/headers.json");
    let list: Vec<Vector> = serde_json::from_str(text).unwrap();
    let header = |v: &Vector| deserialize(&alloy::hex::decode(&v.header).unwrap()).unwrap();
    list.iter().map(|vector| (vector.height, header(vector))).collect()
}

#[test]
fn the_vectors_are_the_main_networks_headers_and_its_own_retarget() {
    let real = real();
    for (height, header) in &real {
        header.validate_pow(header.target()).unwrap();
        assert!(*height >= 403_200);
    }
    for pair in real[1..].windows(2) {
        assert_eq!(pair[1].1.prev_blockhash, pair[0].1.block_hash());
    }
    let took = real[2].1.time - real[0].1.time;
    let next = CompactTarget::from_next_work_required(
        real[0].1.bits,
        took.into(),
        bitcoin::Network::Bitcoin,
    );
    assert_eq!((real[3].0, real[3].1.bits), (405_216, next));
}

#[test]
fn a_boundary_needs_headers_on_both_sides() {
    assert_eq!(across(201, 2, 2, 405_217), Some((405_214, 2, 2)));
    assert_eq!(across(201, 2, 2, 405_216), None, "one block after it");
    assert_eq!(across(201, 2, 5, 405_220), Some((405_214, 2, 5)));
    assert_eq!(across(201, 2, 1, 405_220), None);
    assert_eq!(across(201, 6, 6, 400_000), None);
    assert_eq!(across(0, 6, 6, 400_000), None, "nothing stands before the first block");
}

#[test]
fn after_a_rise_a_prover_sends_one_header_more() {
    let four: Vec<Header> = real()[1..].iter().map(|(_, header)| *header).collect();
    let (old, new) = (work_of(&four[0]), work_of(&four[3]));
    assert!(new > old && old + old > new);
    // in the old period, and after the boundary, a header is a confirmation
    assert_eq!(enough(&four, old, 2), Some(2));
    assert_eq!(enough(&four[2..], new, 2), Some(2));
    // across it, two old ones weigh less than two of the harder period
    assert_eq!(enough(&four, new, 2), Some(3));
    assert_eq!(enough(&four, new, 3), Some(4));
    assert_eq!(enough(&four, new, 4), None, "one more has to be mined");
    // a fall makes nothing cheaper: never fewer headers than confirmations
    assert_eq!(enough(&four, old / U256::from(4), 4), Some(4));
    assert_eq!(work_at(four[0].bits.to_consensus()), old);
}
