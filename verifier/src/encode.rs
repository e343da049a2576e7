//! The bytes of `docs/LEDGER.md`, written from that page alone: leaves, nodes, tree, outputs, marker, templates.

use alloy::primitives::{B256, keccak256};
use domain::{Leaf, Root, Sats};

use crate::Error;

/// Most series in one leaf.
const SERIES_MAX: usize = 16;
/// What every payout marker starts with: OP_RETURN, push 40, "LHR1".
const MARKER: [u8; 6] = [0x6a, 0x28, 0x4c, 0x48, 0x52, 0x31];
/// Length of a marker script.
const MARKER_LEN: usize = 42;

/// The hashed bytes of a leaf.
///
/// # Errors
/// When it has more than 16 series, not ascending, or with an accumulator of zero.
pub fn leaf_bytes(leaf: &Leaf) -> Result<Vec<u8>, Error> {
    let count = u8::try_from(leaf.acc.len()).unwrap_or(u8::MAX);
    let ascending = leaf.acc.is_sorted_by(|a, b| a.series < b.series);
    if leaf.acc.len() > SERIES_MAX || !ascending || leaf.acc.iter().any(|a| a.acc == 0) {
        return Err(Error::decode("a leaf", "series must ascend, be at most 16, and have earned"));
    }
    let mut bytes = vec![0_u8];
    bytes.extend_from_slice(leaf.account.as_slice());
    bytes.extend_from_slice(leaf.script_hash.as_slice());
    bytes.extend_from_slice(&leaf.paid.0.to_be_bytes());
    bytes.extend_from_slice(&leaf.since.map_or(0, |since| since.0).to_be_bytes());
    match leaf.out {
        Some(out) => {
            bytes.extend_from_slice(&out.batch.to_be_bytes());
            bytes.extend_from_slice(&out.index.to_be_bytes());
        }
        None => bytes.extend_from_slice(&[0xff; 4]),
    }
    bytes.push(count);
    for earned in &leaf.acc {
        bytes.extend_from_slice(&earned.series.0.to_be_bytes());
        bytes.extend_from_slice(&earned.acc.to_be_bytes());
    }
    Ok(bytes)
}

/// A leaf as a node of the tree.
///
/// # Errors
/// As [`leaf_bytes`], or when its accumulators sum past 128 bits.
pub fn leaf_node(leaf: &Leaf) -> Result<Root, Error> {
    let mut sum = 0_u128;
    for earned in &leaf.acc {
        sum = sum.checked_add(earned.acc).ok_or(Error::Overflow("accSum of a leaf"))?;
    }
    Ok(Root { hash: keccak256(leaf_bytes(leaf)?), acc_sum: sum, paid_sum: leaf.paid })
}

/// The hashed bytes of a node.
#[must_use]
pub fn node_bytes(left: &Root, right: &Root) -> Vec<u8> {
    let mut bytes = vec![1_u8];
    for child in [left, right] {
        bytes.extend_from_slice(child.hash.as_slice());
        bytes.extend_from_slice(&child.acc_sum.to_be_bytes());
        bytes.extend_from_slice(&child.paid_sum.0.to_be_bytes());
    }
    bytes
}

/// The parent of two nodes.
///
/// # Errors
/// When a sum does not fit its field.
pub fn node(left: &Root, right: &Root) -> Result<Root, Error> {
    Ok(Root {
        hash: keccak256(node_bytes(left, right)),
        acc_sum: left.acc_sum.checked_add(right.acc_sum).ok_or(Error::Overflow("accSum"))?,
        paid_sum: left.paid_sum.plus(right.paid_sum).map_err(|_| Error::Overflow("paidSum"))?,
    })
}

/// The root over leaves, which stand in ascending order of account.
///
/// # Errors
/// As [`leaf_node`] and [`node`].
pub fn root(leaves: &[Leaf]) -> Result<Root, Error> {
    let mut level = leaves.iter().map(leaf_node).collect::<Result<Vec<_>, _>>()?;
    level.resize(leaves.len().next_power_of_two(), Root::default());
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node(left, right),
                _ => Err(Error::Overflow("a level of the tree")),
            })
            .collect::<Result<_, _>>()?;
    }
    Ok(level.pop().unwrap_or_default())
}

/// Payees as Bitcoin serialises outputs. Their keccak256 is a batch's `outputsHash`.
#[must_use]
pub fn outputs_bytes<'a>(payees: impl IntoIterator<Item = (Sats, &'a [u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (sats, script) in payees {
        bytes.extend_from_slice(&sats.0.to_le_bytes());
        // the five templates are at most 34 bytes long, so the compact size is one byte
        bytes.push(u8::try_from(script.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(script);
    }
    bytes
}

/// The OP_RETURN script of a payout transaction.
#[must_use]
pub fn marker(epoch: u32, batch: u16, root: B256) -> Vec<u8> {
    let mut script = MARKER.to_vec();
    script.extend_from_slice(&epoch.to_be_bytes());
    script.extend_from_slice(&batch.to_be_bytes());
    script.extend(root.as_slice().iter().take(30));
    script
}

/// Whether a script is a payout marker of any epoch.
#[must_use]
pub fn is_marker(script: &[u8]) -> bool {
    script.len() == MARKER_LEN && script.starts_with(&MARKER)
}

/// Dust limit in sats of the five templates that accounts are paid to; `None` for any other script.
#[must_use]
pub fn dust(script: &[u8]) -> Option<u64> {
    match script {
        [0x76, 0xa9, 0x14, hash @ .., 0x88, 0xac] if hash.len() == 20 => Some(546),
        [0xa9, 0x14, hash @ .., 0x87] if hash.len() == 20 => Some(540),
        [0x00, 0x14, hash @ ..] if hash.len() == 20 => Some(294),
        [0x00, 0x20, hash @ ..] if hash.len() == 32 => Some(330),
        [0x51, 0x20, key @ ..] if key.len() == 32 => Some(330),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
