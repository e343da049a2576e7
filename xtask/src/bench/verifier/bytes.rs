//! `docs/LEDGER.md` written a third time, as plainly as it goes: leaf, tree, outputs, marker, the Merkle tree of evidence.

use alloy::primitives::{Address, B256, keccak256};

/// What one account has, in one series.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) acc: u128,
    pub(super) paid: u64,
    pub(super) since: u32,
}

/// A hash with the sums below it.
pub(super) type Node = (B256, u128, u64);

pub(super) fn leaf(account: Address, script: &[u8], line: &Line, out: u32) -> Node {
    let script_hash = if script.is_empty() { B256::ZERO } else { keccak256(script) };
    let bytes = [
        &[0][..],
        account.as_slice(),
        script_hash.as_slice(),
        &line.paid.to_be_bytes(),
        &line.since.to_be_bytes(),
        &out.to_be_bytes(),
        &[1, 0, 1],
        &line.acc.to_be_bytes(),
    ];
    (keccak256(bytes.concat()), line.acc, line.paid)
}

pub(super) fn root(mut level: Vec<Node>) -> Node {
    level.resize(level.len().next_power_of_two(), Node::default());
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| parent(&pair[0], &pair[1])).collect();
    }
    level[0]
}

fn parent(left: &Node, right: &Node) -> Node {
    let mut bytes = vec![1];
    for (hash, acc, paid) in [left, right] {
        bytes.extend_from_slice(hash.as_slice());
        bytes.extend_from_slice(&acc.to_be_bytes());
        bytes.extend_from_slice(&paid.to_be_bytes());
    }
    (keccak256(bytes), left.1 + right.1, left.2 + right.2)
}

pub(super) fn outputs_hash(payees: &[(Address, u64, Vec<u8>)]) -> B256 {
    let mut bytes = Vec::new();
    for (_, sats, script) in payees {
        bytes.extend_from_slice(&sats.to_le_bytes());
        bytes.push(script.len() as u8);
        bytes.extend_from_slice(script);
    }
    keccak256(bytes)
}

pub(super) fn marker(epoch: u32, batch: u16, root: B256) -> Vec<u8> {
    let head = [0x6a, 0x28, b'L', b'H', b'R', b'1'];
    [&head[..], &epoch.to_be_bytes(), &batch.to_be_bytes(), &root[..30]].concat()
}

/// A script of one of the five kinds, and the dust limit of that kind.
pub(super) fn script(kind: usize, fill: u8) -> (Vec<u8>, u64) {
    match kind % 5 {
        0 => ([&[0x00, 0x14][..], &[fill; 20]].concat(), 294),
        1 => ([&[0x51, 0x20][..], &[fill; 32]].concat(), 330),
        2 => ([&[0x00, 0x20][..], &[fill; 32]].concat(), 330),
        3 => ([&[0xa9, 0x14][..], &[fill; 20], &[0x87]].concat(), 540),
        _ => ([&[0x76, 0xa9, 0x14][..], &[fill; 20], &[0x88, 0xac]].concat(), 546),
    }
}

/// Root of the evidence of an epoch, by label.
pub(super) fn evidence(labels: &[(&str, B256)]) -> B256 {
    let mut level: Vec<B256> = labels
        .iter()
        .map(|(label, hash)| keccak256([label.as_bytes(), &[0], hash.as_slice()].concat()))
        .collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [a, b] => keccak256([a.min(b).as_slice(), a.max(b).as_slice()].concat()),
                _ => pair[0],
            })
            .collect();
    }
    level[0]
}

/// Seeded numbers (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}
