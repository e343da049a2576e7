//! The golden vectors, each reproduced.

use alloy::primitives::{Address, Bytes, U256};
use domain::{EpochId, OutRef, SeriesAcc, SeriesId};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::allocate;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/leaf.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is missing in {value}"))
}

fn int<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value, key: &str) -> T {
    text(value, key).parse().unwrap()
}

fn bytes(value: &Value, key: &str) -> Vec<u8> {
    text(value, key).parse::<Bytes>().unwrap().to_vec()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

fn leaf(value: &Value) -> Leaf {
    let out: u32 = int(value, "out");
    let since: u32 = int(value, "since");
    let place = OutRef {
        batch: u16::try_from(out >> 16).unwrap(),
        index: u16::try_from(out & 0xffff).unwrap(),
    };
    Leaf {
        account: text(value, "account").parse::<Address>().unwrap(),
        script_hash: text(value, "scriptHash").parse().unwrap(),
        paid: Sats(int(value, "paid")),
        since: (since > 0).then_some(EpochId(since)),
        out: (out != u32::MAX).then_some(place),
        acc: list(value, "series")
            .iter()
            .map(|s| SeriesAcc { series: SeriesId(int(s, "series")), acc: int(s, "acc") })
            .collect(),
    }
}

fn sums(value: &Value) -> Root {
    Root {
        hash: text(value, "hash").parse().unwrap(),
        acc_sum: int(value, "accSum"),
        paid_sum: Sats(int(value, "paidSum")),
    }
}

#[test]
fn leaves_and_nodes_are_the_golden_ones() {
    let vectors = vectors();
    for golden in list(&vectors, "leaves") {
        let leaf = leaf(golden);
        assert_eq!(leaf_bytes(&leaf).unwrap(), bytes(golden, "encoded"), "{}", golden["name"]);
        assert_eq!(leaf_node(&leaf).unwrap(), sums(golden));
        let script = bytes(golden, "script");
        let hash = if script.is_empty() { B256::ZERO } else { keccak256(&script) };
        assert_eq!(hash, leaf.script_hash);
    }
    for golden in list(&vectors, "nodes") {
        let (left, right) = (sums(&golden["left"]), sums(&golden["right"]));
        assert_eq!(node_bytes(&left, &right), bytes(golden, "encoded"));
        assert_eq!(node(&left, &right).unwrap(), sums(golden));
    }
}

#[test]
fn trees_and_their_branches_are_the_golden_ones() {
    let vectors = vectors();
    let leaves: Vec<Leaf> = list(&vectors, "leaves").iter().map(leaf).collect();
    for golden in list(&vectors, "trees") {
        let count: usize = int(golden, "leaves");
        let expected = sums(&golden["root"]);
        assert_eq!(root(&leaves[..count]).unwrap(), expected);
        for (index, branch) in list(golden, "branches").iter().enumerate() {
            let climbed = branch.as_array().unwrap().iter().enumerate().fold(
                leaf_node(&leaves[index]).unwrap(),
                |below, (level, sibling)| {
                    let sibling = sums(sibling);
                    if index >> level & 1 == 0 {
                        node(&below, &sibling)
                    } else {
                        node(&sibling, &below)
                    }
                    .unwrap()
                },
            );
            assert_eq!(climbed, expected);
        }
    }
}

#[test]
fn outputs_markers_and_templates_are_the_golden_ones() {
    let vectors = vectors();
    for golden in list(&vectors, "outputs") {
        let payees: Vec<(Sats, Vec<u8>)> = list(golden, "outputs")
            .iter()
            .map(|o| (Sats(int(o, "sats")), bytes(o, "script")))
            .collect();
        let serialized = outputs_bytes(payees.iter().map(|(sats, script)| (*sats, &script[..])));
        assert_eq!(serialized, bytes(golden, "serialized"));
        assert_eq!(keccak256(&serialized).to_string(), text(golden, "hash"));
        let total: u64 = payees.iter().map(|(sats, _)| sats.0).sum();
        assert_eq!(total, int::<u64>(golden, "total"));
    }
    for golden in list(&vectors, "markers") {
        let root = text(golden, "rootHash").parse().unwrap();
        let script = marker(int(golden, "epoch"), int(golden, "batch"), root);
        assert_eq!(script, bytes(golden, "script"));
        assert!(is_marker(&script));
    }
    for golden in list(&vectors, "templates") {
        let script = bytes(golden, "script");
        assert_eq!(dust(&script), Some(int(golden, "dust")));
        assert_eq!(keccak256(&script).to_string(), text(golden, "scriptHash"));
        assert_eq!(dust(&script[1..]), None);
    }
}

#[test]
fn credits_are_the_golden_ones() {
    let vectors = vectors();
    for golden in list(&vectors, "credits") {
        let (weight, total): (U256, U256) = (int(golden, "weight"), int(golden, "total"));
        let credit = allocate::part_of_pot(int(golden, "pot"), weight, total).unwrap();
        assert_eq!(credit, int::<u128>(golden, "acc"));
    }
    for golden in list(&vectors, "lookThrough") {
        let (weight, total): (U256, U256) = (int(golden, "wrapperWeight"), int(golden, "total"));
        let wrapper = allocate::part_of_pot(int(golden, "pot"), weight, total).unwrap();
        assert_eq!(wrapper, int::<u128>(golden, "wrapperAcc"));
        let (shares, all): (U256, U256) = (int(golden, "shares"), int(golden, "totalShares"));
        assert_eq!(allocate::part_floor(wrapper, shares, all).unwrap(), int::<u128>(golden, "acc"));
    }
}

proptest! {
    #[test]
    fn any_changed_field_changes_the_leaf(paid in any::<u64>(), since in 1_u32.., acc in 1_u128.., bit in 0_u32..64) {
        let leaf = Leaf {
            account: Address::repeat_byte(7),
            script_hash: B256::repeat_byte(8),
            paid: Sats(paid),
            since: Some(EpochId(since)),
            out: None,
            acc: vec![SeriesAcc { series: SeriesId(1), acc }],
        };
        let hash = leaf_node(&leaf).unwrap().hash;
        let paid_changed = Leaf { paid: Sats(paid ^ 1 << bit), ..leaf.clone() };
        prop_assert_ne!(leaf_node(&paid_changed).unwrap().hash, hash);
        let out_changed = Leaf { out: Some(OutRef { batch: 0, index: 0 }), ..leaf };
        prop_assert_ne!(leaf_node(&out_changed).unwrap().hash, hash);
    }
}
