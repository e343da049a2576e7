//! Every golden vector of `tests/vectors/leaf.json`, reproduced by this crate's own code.

use alloy::primitives::{Address, U256, keccak256};
use bitcoin::Amount;
use domain::{EpochId, OutRef, SeriesAcc, SeriesId};
use serde_json::Value;

use super::*;
use crate::allocate::{Batch, Payment, credit_floor, look_through_floor};

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/leaf.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    let list = value[key].as_array().unwrap();
    assert!(!list.is_empty(), "{key} is empty");
    list
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    alloy::hex::decode(value.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap()
}

fn node(value: &Value) -> Root {
    Root {
        hash: B256::from_slice(&bytes(&value["hash"])),
        acc_sum: number(&value["accSum"]),
        paid_sum: Sats(number(&value["paidSum"])),
    }
}

fn leaf(value: &Value) -> Leaf {
    let out: u32 = number(&value["out"]);
    let since: u32 = number(&value["since"]);
    Leaf {
        account: Address::from_slice(&bytes(&value["account"])),
        script_hash: B256::from_slice(&bytes(&value["scriptHash"])),
        paid: Sats(number(&value["paid"])),
        since: (since > 0).then_some(EpochId(since)),
        out: (out != u32::MAX).then(|| OutRef {
            batch: u16::try_from(out >> 16).unwrap(),
            index: u16::try_from(out & 0xffff).unwrap(),
        }),
        acc: list_or_empty(&value["series"]),
    }
}

fn list_or_empty(value: &Value) -> Vec<SeriesAcc> {
    let entry =
        |v: &Value| SeriesAcc { series: SeriesId(number(&v["series"])), acc: number(&v["acc"]) };
    value.as_array().unwrap().iter().map(entry).collect()
}

#[test]
fn leaves_and_nodes() {
    let vectors = vectors();
    for vector in list(&vectors, "leaves") {
        let leaf = leaf(vector);
        assert_eq!(leaf_bytes(&leaf).unwrap(), bytes(&vector["encoded"]), "{}", vector["name"]);
        assert_eq!(leaf_node(&leaf).unwrap(), node(vector));
        let script = bytes(&vector["script"]);
        let hash = if script.is_empty() { B256::ZERO } else { keccak256(script) };
        assert_eq!(leaf.script_hash, hash);
    }
    for vector in list(&vectors, "nodes") {
        let (left, right) = (node(&vector["left"]), node(&vector["right"]));
        assert_eq!(node_bytes(&left, &right), bytes(&vector["encoded"]));
        assert_eq!(parent(&left, &right).unwrap(), node(vector));
    }
}

#[test]
fn trees() {
    let vectors = vectors();
    let leaves: Vec<Leaf> = list(&vectors, "leaves").iter().map(leaf).collect();
    for vector in list(&vectors, "trees") {
        let count: usize = number(&vector["leaves"]);
        assert_eq!(root_of(&leaves[..count]).unwrap(), node(&vector["root"]), "{count} leaves");
    }
}

#[test]
fn outputs_and_templates() {
    let vectors = vectors();
    for vector in list(&vectors, "outputs") {
        let outputs: Vec<TxOut> = vector["outputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| TxOut {
                value: Amount::from_sat(number(&v["sats"])),
                script_pubkey: ScriptBuf::from_bytes(bytes(&v["script"])),
            })
            .collect();
        assert_eq!(outputs_bytes(&outputs), bytes(&vector["serialized"]), "{}", vector["name"]);
        assert_eq!(outputs_hash(&outputs).to_vec(), bytes(&vector["hash"]));
        assert_eq!(outputs_total(&outputs), Some(number(&vector["total"])));
    }
    for vector in list(&vectors, "templates") {
        let script = ScriptBuf::from_bytes(bytes(&vector["script"]));
        assert_eq!(keccak256(script.as_bytes()).to_vec(), bytes(&vector["scriptHash"]));
        assert_eq!(dust(&script), Some(Sats(number(&vector["dust"]))));
    }
    assert_eq!(dust(Script::from_bytes(&[0x6a])), None);
}

#[test]
fn markers() {
    let vectors = vectors();
    for vector in list(&vectors, "markers") {
        let (epoch, batch) = (number(&vector["epoch"]), number(&vector["batch"]));
        let script = marker(epoch, batch, &B256::from_slice(&bytes(&vector["rootHash"])));
        assert_eq!(script.as_bytes(), bytes(&vector["script"]));
        assert_eq!(read_marker(&script), Some((epoch, batch)));
    }
    assert_eq!(read_marker(Script::from_bytes(b"\x6a\x28LHR2")), None);
}

#[test]
fn credits() {
    let vectors = vectors();
    for vector in list(&vectors, "credits") {
        let (pot, weight, total): (u64, U256, U256) =
            (number(&vector["pot"]), number(&vector["weight"]), number(&vector["total"]));
        assert_eq!(credit_floor(pot, weight, total).unwrap(), number::<u128>(&vector["acc"]));
    }
    for vector in list(&vectors, "lookThrough") {
        let weight: U256 = number(&vector["wrapperWeight"]);
        let credit =
            credit_floor(number(&vector["pot"]), weight, number(&vector["total"])).unwrap();
        assert_eq!(credit, number::<u128>(&vector["wrapperAcc"]));
        let (shares, total): (U256, U256) =
            (number(&vector["shares"]), number(&vector["totalShares"]));
        let part = look_through_floor(credit, shares, total).unwrap();
        assert_eq!(part, number::<u128>(&vector["acc"]));
    }
}

#[test]
fn leaves_out_of_order_are_refused() {
    let vectors = vectors();
    let mut leaves: Vec<Leaf> = list(&vectors, "leaves").iter().map(leaf).collect();
    leaves.swap(0, 1);
    assert!(matches!(root_of(&leaves), Err(EncodeError::Disorder(_))));
}

#[test]
fn packed_leaves_and_payments_read_back() {
    let leaf = |n: u8| Leaf {
        account: Address::repeat_byte(n),
        script_hash: keccak256([n]),
        paid: Sats(u64::from(n)),
        since: n.is_multiple_of(2).then_some(EpochId(u32::from(n))),
        out: (!n.is_multiple_of(2)).then_some(OutRef { batch: 1, index: u16::from(n) }),
        acc: (0..n % 4).map(|s| SeriesAcc { series: SeriesId(s.into()), acc: 1 << 70 }).collect(),
    };
    let leaves: Vec<Leaf> = (1..=20).map(leaf).collect();
    let mut bytes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf_bytes(leaf).unwrap()).collect();
    assert_eq!(read_leaves(&bytes), Some(leaves));
    bytes.pop();
    assert_eq!(read_leaves(&bytes), None);
    let script = ScriptBuf::from_bytes([&[0x00, 0x14], [7; 20].as_slice()].concat());
    let output = TxOut { value: Amount::from_sat(5), script_pubkey: script };
    let payment = Payment { account: Address::repeat_byte(3), output };
    let outputs_hash = outputs_hash(std::slice::from_ref(&payment.output));
    let batch = Batch { outputs_hash, total: 5, payments: [payment.clone(), payment].into() };
    let text = serde_json::to_string(&batch).unwrap();
    assert_eq!(serde_json::from_str::<Batch>(&text).unwrap(), batch);
    assert!(serde_json::from_str::<Batch>(&text.replace("0303", "03")).is_err());
}
