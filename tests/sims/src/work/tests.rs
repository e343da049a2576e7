//! The codec against a real job and share.
//!
//! Source: Lumerin-protocol/proxy-router, internal/resources/hashrate/validator/mock.go (MIT
//! licence): a job of Braiins Pool at Bitcoin height 800481 (27 July 2023) and a share of an S19 XP.

use super::*;

pub(crate) const COINB1: &str = "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4b03e1360cfabe6d6ddecabad1af6410018e1f62f26730ccb9c8a4a55c1c90fb96d7b124a68f126bcf0100000000000000";
pub(crate) const COINB2: &str = "2e7c42c32d2f736c7573682f000000000383d02826000000001976a9147c154ed1dc59609e3d26abb2df2ea3d587cd8c4188ac00000000000000002c6a4c2952534b424c4f434b3aa126fd3abcfed0d9d2fdf56d5650fda514e1a35408b1b8445c907d21005402510000000000000000266a24aa21a9ed217bdf1fc8e2ca2f98f2f3dc804fa19609ad045e8761e3fcd6b60baf80d1f5bf00000000";
pub(crate) const PREV: &str = "221a7d5aeda279d8b8455fe56c8dc7d05582575d00038fbf0000000000000000";
pub(crate) const BRANCHES: [&str; 12] = [
    "fd90b0aa15698f631ae06aba1d688db974c899389c874f03b2c91784733ac50c",
    "278cbb17943d36be5e7eaa08b70b733edd2fc6e4143ee7c184d63c8dcb22c48e",
    "e02743f1b8d9050160c811cd8bec5af39c07a47ccade2a466e09409eeeb90b3b",
    "3e76f16fc336d11a98b2c438e7c47b0a6c478a0f8df7c340f57db6887aa05a17",
    "3d84d3378f3647157355aecf67c965f01729b3223f5a787aa7a3eb3de3a33e38",
    "356c1febe5995abebfe7b4476efbf2b83158ce37757e3045f601bb1007ef9602",
    "0064ab04971d60a5761ef07e7ff066a2ecfced7101e73a2d8cea07a730b50695",
    "29ef3189c3aef0da8c1b7204a91f2384b73bdafcc7c1f9123a68b15316f7c5f8",
    "bcc9dc862a6024d4f59ecb69f2adaa1911c6e4813d65a48ead8aa5e4151fb255",
    "7accfd2b86edba50aa41fba73248ea365deaabf12a71c6e4b663be7438d9c091",
    "4cc849c0f0d18f993634ba7563a6c68406e60e0ab1ac4f23bd18401b6e3ab7c4",
    "9a6c6c8936fa3b807e3fbfc107c7427691246aecb89dd8e22bde58b7f748d21b",
];
pub(crate) const EXTRANONCE1: &str = "11650804a6c84c";
pub(crate) const SUBMIT: [&str; 6] = [
    "printcrypto.S19xp134tx6y164",
    "2dc3427c2e",
    "0a00000000000000",
    "64c25820",
    "591d28da",
    "00092000",
];
const HASH: &str = "00000000005dae2e0ac4e4fddccb5213a19c2ed6ec38410f66db6e5d11c1cd10";

pub(crate) fn real_work() -> Work {
    Work {
        prev: swap_words(&bytes32(PREV).unwrap()),
        coinb1: hex::decode(COINB1).unwrap(),
        coinb2: hex::decode(COINB2).unwrap(),
        branches: BRANCHES.iter().map(|branch| bytes32(branch).unwrap()).collect(),
        version: u32_hex("20000004").unwrap(),
        bits: u32_hex("17056102").unwrap(),
        ntime: u32_hex("64c25820").unwrap(),
    }
}

#[test]
fn the_real_share_has_its_known_hash() {
    let work = real_work();
    let [_, _, extranonce2, ntime, nonce, bits] = SUBMIT;
    let coinbase =
        work.coinbase(&hex::decode(EXTRANONCE1).unwrap(), &hex::decode(extranonce2).unwrap());
    let version = (work.version & !0x1fff_e000) | u32_hex(bits).unwrap();
    let root = work.merkle_root(&coinbase);
    let header = work.header(&root, version, u32_hex(ntime).unwrap(), u32_hex(nonce).unwrap());
    let hash = sha256d(&header);
    assert_eq!(hex::encode(reversed(&hash)), HASH);
    // Its difficulty is 699.559...: it meets 699 and not 700.
    assert!(meets(&hash, &target_of_difficulty(Decimal::from(699)).unwrap()));
    assert!(!meets(&hash, &target_of_difficulty(Decimal::from(700)).unwrap()));
}

#[test]
fn targets_are_what_they_say() {
    let one = target_of_difficulty(Decimal::ONE).unwrap();
    assert_eq!(hex::encode(one), format!("00000000ffff{}", "0".repeat(52)));
    assert_eq!(target_of_hashes(1), [0xff; 32]);
    assert_eq!(hex::encode(target_of_hashes(2)), format!("7f{}", "ff".repeat(31)));
    assert_eq!(hex::encode(target_of_hashes(3)), format!("{}4", "5".repeat(63)));
    let hashes = 4096;
    assert_eq!(difficulty_of_hashes(hashes).to_string(), "0.00000095367431640625");
    let told = target_of_difficulty(difficulty_of_hashes(hashes)).unwrap();
    assert_eq!(hex::encode(told), format!("000ffff{}", "0".repeat(57)));
    assert!(
        told <= target_of_hashes(hashes),
        "a miner's target must not be easier than the pool's"
    );
    assert!(target_of_difficulty(Decimal::ZERO).is_err());
}

#[test]
fn branches_rebuild_the_root_of_the_whole_tree() {
    for count in 0..9_u8 {
        let leaves: Vec<Bytes32> = (0..=count).map(|byte| sha256d(&[byte])).collect();
        let mut level = leaves.clone();
        while level.len() > 1 {
            level = level.chunks(2).map(|two| pair(&two[0], two.last().unwrap())).collect();
        }
        let built = merkle_branches(&leaves[1..])
            .iter()
            .fold(leaves[0], |node, branch| pair(&node, branch));
        assert_eq!(built, level[0], "{count} transactions beside the coinbase");
    }
}
