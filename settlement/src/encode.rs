//! Bytes of the payout ledger as `docs/LEDGER.md` has them: leaf, node, outputs, marker. Written for settlement alone;
//! the contract and the verifier have code of their own, and `tests/vectors/leaf.json` ties the three together.

use alloy::primitives::{B256, keccak256};
use bitcoin::{
    Script, ScriptBuf, TxOut,
    consensus::{Encodable, encode::deserialize_partial},
};
use domain::{EpochId, Leaf, OutRef, Root, Sats, SeriesAcc, SeriesId};

/// Batch number of a root transaction that fans out into chunks.
pub const ROOT_BATCH: u16 = 0xffff;

/// Most series that one leaf can carry.
pub const MAX_SERIES: usize = 16;

/// Bytes of a P2WPKH output, the usual one.
const USUAL_OUTPUT: usize = 31;

/// Leaves from which on they are hashed by two threads.
const MANY: usize = 5_000;

/// Why bytes cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A leaf has room for 16 series.
    #[error("account {account} has credit in {found} series, a leaf has room for 16")]
    TooManySeries {
        /// The account.
        account: alloy::primitives::Address,
        /// Series found.
        found: usize,
    },
    /// A sum left its field.
    #[error("a sum of {what} does not fit its field; an input is wrong")]
    Overflow {
        /// Which sum.
        what: &'static str,
    },
    /// Leaves are not strictly ascending.
    #[error("leaves are not strictly ascending at account {0}")]
    Disorder(alloy::primitives::Address),
}

/// The hashed bytes of a leaf: 70 + 18 n bytes.
///
/// # Errors
/// When it carries more than 16 series.
pub fn leaf_bytes(leaf: &Leaf) -> Result<Vec<u8>, EncodeError> {
    let too_many = EncodeError::TooManySeries { account: leaf.account, found: leaf.acc.len() };
    let count = u8::try_from(leaf.acc.len()).ok().filter(|n| usize::from(*n) <= MAX_SERIES);
    let count = count.ok_or(too_many)?;
    let mut bytes = Vec::with_capacity(70 + 18 * leaf.acc.len());
    bytes.push(0);
    bytes.extend_from_slice(leaf.account.as_slice());
    bytes.extend_from_slice(leaf.script_hash.as_slice());
    bytes.extend_from_slice(&leaf.paid.0.to_be_bytes());
    bytes.extend_from_slice(&leaf.since.map_or(0, |epoch| epoch.0).to_be_bytes());
    let out = leaf.out.map_or(u32::MAX, |out| u32::from(out.batch) << 16 | u32::from(out.index));
    bytes.extend_from_slice(&out.to_be_bytes());
    bytes.push(count);
    for entry in &leaf.acc {
        bytes.extend_from_slice(&entry.series.0.to_be_bytes());
        bytes.extend_from_slice(&entry.acc.to_be_bytes());
    }
    Ok(bytes)
}

/// Leaves from [`leaf_bytes`], one after the other; `None` if the bytes are anything else.
#[must_use]
pub fn read_leaves(mut bytes: &[u8]) -> Option<Vec<Leaf>> {
    let mut leaves = Vec::new();
    while let Some(rest) = bytes.strip_prefix(&[0]) {
        let (account, rest) = rest.split_first_chunk::<20>()?;
        let (script_hash, rest) = rest.split_first_chunk::<32>()?;
        let (paid, rest) = rest.split_first_chunk::<8>()?;
        let (since, rest) = rest.split_first_chunk::<4>()?;
        let (out, rest) = rest.split_first_chunk::<4>()?;
        let (count, mut rest) = rest.split_first()?;
        let mut acc = Vec::with_capacity(usize::from(*count));
        for _ in 0..*count {
            let (series, after) = rest.split_first_chunk::<2>()?;
            let (sum, after) = after.split_first_chunk::<16>()?;
            let (series, acc_of) = (u16::from_be_bytes(*series), u128::from_be_bytes(*sum));
            acc.push(SeriesAcc { series: SeriesId(series), acc: acc_of });
            rest = after;
        }
        let since = u32::from_be_bytes(*since);
        let [b0, b1, i0, i1] = *out;
        let place =
            OutRef { batch: u16::from_be_bytes([b0, b1]), index: u16::from_be_bytes([i0, i1]) };
        leaves.push(Leaf {
            account: account.into(),
            script_hash: script_hash.into(),
            paid: Sats(u64::from_be_bytes(*paid)),
            since: (since > 0).then_some(EpochId(since)),
            out: (*out != [0xff; 4]).then_some(place),
            acc,
        });
        bytes = rest;
    }
    bytes.is_empty().then_some(leaves)
}

/// A leaf as a node of the tree: its hash, the sum of its accumulators, what it was paid.
///
/// # Errors
/// When it carries more than 16 series, or their sum does not fit 128 bits.
pub fn leaf_node(leaf: &Leaf) -> Result<Root, EncodeError> {
    let hash = keccak256(leaf_bytes(leaf)?);
    Ok(Root { hash, acc_sum: acc_sum(leaf)?, paid_sum: leaf.paid })
}

/// Sum of a leaf's accumulators, 2^-64 sat.
///
/// # Errors
/// When it does not fit 128 bits.
pub fn acc_sum(leaf: &Leaf) -> Result<u128, EncodeError> {
    leaf.acc
        .iter()
        .try_fold(0_u128, |sum, entry| sum.checked_add(entry.acc))
        .ok_or(EncodeError::Overflow { what: "accumulators" })
}

/// The parent of two nodes.
///
/// # Errors
/// When a sum does not fit its field.
pub fn parent(left: &Root, right: &Root) -> Result<Root, EncodeError> {
    let acc_sum = left.acc_sum.checked_add(right.acc_sum);
    let acc_sum = acc_sum.ok_or(EncodeError::Overflow { what: "accumulators" })?;
    let paid_sum = left.paid_sum.plus(right.paid_sum);
    let paid_sum = paid_sum.map_err(|_| EncodeError::Overflow { what: "paid sats" })?;
    Ok(Root { hash: keccak256(node_bytes(left, right)), acc_sum, paid_sum })
}

/// The hashed bytes of a node: 113 of them.
#[must_use]
pub fn node_bytes(left: &Root, right: &Root) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(113);
    bytes.push(1);
    for side in [left, right] {
        bytes.extend_from_slice(side.hash.as_slice());
        bytes.extend_from_slice(&side.acc_sum.to_be_bytes());
        bytes.extend_from_slice(&side.paid_sum.0.to_be_bytes());
    }
    bytes
}

/// Root over leaves in strictly ascending order of account, padded with zero leaves to a power of two.
///
/// # Errors
/// When accounts do not ascend, or a sum does not fit its field.
pub fn root_of(leaves: &[Leaf]) -> Result<Root, EncodeError> {
    let mut previous = None;
    for leaf in leaves {
        if previous.is_some_and(|account| account >= leaf.account) {
            return Err(EncodeError::Disorder(leaf.account));
        }
        previous = Some(leaf.account);
    }
    // two halves at once: hashing the leaves is most of the work
    let nodes = |part: &[Leaf]| part.iter().map(leaf_node).collect::<Result<Vec<_>, _>>();
    let (left, right) = leaves.split_at(leaves.len() / 2);
    let mut level = if leaves.len() < MANY {
        nodes(leaves)?
    } else {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| nodes(right));
            let mut level = nodes(left)?;
            let other = other.join().map_err(|_| EncodeError::Overflow { what: "threads" })?;
            level.extend(other?);
            Ok::<_, EncodeError>(level)
        })?
    };
    level.resize(level.len().max(1).next_power_of_two(), Root::default());
    while level.len() > 1 {
        let pairs = level.chunks_exact(2).map(|pair| match pair {
            [left, right] => parent(left, right),
            _ => Err(EncodeError::Overflow { what: "tree levels" }),
        });
        level = pairs.collect::<Result<Vec<_>, _>>()?;
    }
    Ok(level.pop().unwrap_or_default())
}

/// Bitcoin's serialisation of outputs, one after the other, without a count.
#[must_use]
pub fn outputs_bytes<'a>(outputs: impl IntoIterator<Item = &'a TxOut>) -> Vec<u8> {
    let outputs = outputs.into_iter();
    let mut bytes = Vec::with_capacity(outputs.size_hint().0.saturating_mul(USUAL_OUTPUT));
    outputs.for_each(|output| append(&mut bytes, output));
    bytes
}

/// Bitcoin's serialisation of an output, after what is there already.
pub(crate) fn append(bytes: &mut Vec<u8>, output: &TxOut) {
    let written = output.consensus_encode(bytes);
    debug_assert!(written.is_ok(), "memory takes every byte");
}

/// Outputs from [`outputs_bytes`]; `None` if the bytes are anything else.
#[must_use]
pub fn read_outputs(bytes: &[u8]) -> Option<Vec<TxOut>> {
    let (mut rest, mut outputs) = (bytes, Vec::new());
    while !rest.is_empty() {
        let (output, used) = deserialize_partial::<TxOut>(rest).ok()?;
        outputs.push(output);
        rest = rest.get(used..)?;
    }
    (outputs_bytes(&outputs) == bytes).then_some(outputs)
}

/// keccak of [`outputs_bytes`].
#[must_use]
pub fn outputs_hash<'a>(outputs: impl IntoIterator<Item = &'a TxOut>) -> B256 {
    keccak256(outputs_bytes(outputs))
}

/// Sum of the outputs' sats; `None` if it leaves 64 bits.
#[must_use]
pub fn outputs_total<'a>(outputs: impl IntoIterator<Item = &'a TxOut>) -> Option<u64> {
    let mut values = outputs.into_iter().map(|output| output.value.to_sat());
    values.try_fold(0_u64, u64::checked_add)
}

/// The 42-byte OP_RETURN script that names what a transaction pays.
#[must_use]
pub fn marker(epoch: u32, batch: u16, root: &B256) -> ScriptBuf {
    let mut bytes = vec![0x6a, 0x28];
    bytes.extend_from_slice(b"LHR1");
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.extend_from_slice(&batch.to_be_bytes());
    bytes.extend(root.iter().take(30));
    ScriptBuf::from_bytes(bytes)
}

/// Epoch and batch that a script names, if it is a marker.
#[must_use]
pub fn read_marker(script: &Script) -> Option<(u32, u16)> {
    let bytes: &[u8; 42] = script.as_bytes().try_into().ok()?;
    let rest = bytes.strip_prefix(b"\x6a\x28LHR1")?;
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let (batch, _) = rest.split_first_chunk::<2>()?;
    Some((u32::from_be_bytes(*epoch), u16::from_be_bytes(*batch)))
}

/// Dust limit in sats of the five script templates; `None` for any other script.
#[must_use]
pub fn dust(script: &Script) -> Option<Sats> {
    let sats = if script.is_p2pkh() {
        546
    } else if script.is_p2sh() {
        540
    } else if script.is_p2wpkh() {
        294
    } else if script.is_p2wsh() || script.is_p2tr() {
        330
    } else {
        return None;
    };
    Some(Sats(sats))
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
