//! Due outputs cut into batches, and each place written into its leaf. Pure.

use std::sync::Arc;

use alloy::primitives::B256;
use bitcoin::TxOut;
use domain::{Leaf, OutRef};
use serde::{Deserialize, Serialize};

use crate::{
    allocate::{AllocateError, Payment},
    encode, packed,
};

/// How due outputs are cut into batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// As many outputs as fit into this many bytes.
    MaxBytes(usize),
    /// As a commitment on chain has cut them: the totals of its batches, sats.
    Totals(Vec<u64>),
}

/// One batch: the outputs of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// keccak of the serialised outputs.
    pub outputs_hash: B256,
    /// Their sum, sats.
    pub total: u64,
    /// Payees in account order.
    #[serde(with = "packed")]
    pub payments: Arc<[Payment]>,
}

impl Batch {
    /// The payees' outputs in order, to keep.
    #[must_use]
    pub fn outputs(&self) -> Vec<TxOut> {
        outputs(&self.payments).cloned().collect()
    }

    /// Bytes of the payees' outputs, as their hash is made over them.
    #[must_use]
    pub fn outputs_bytes(&self) -> Vec<u8> {
        encode::outputs_bytes(outputs(&self.payments))
    }

    /// A batch of these payments.
    ///
    /// # Errors
    /// When their sum leaves its field.
    pub fn of(payments: Vec<Payment>) -> Result<Self, AllocateError> {
        let total = encode::outputs_total(outputs(&payments));
        let total = total.ok_or(AllocateError::Overflow("a total"))?;
        let outputs_hash = encode::outputs_hash(outputs(&payments));
        Ok(Self { outputs_hash, total, payments: payments.into() })
    }
}

fn outputs(payments: &[Payment]) -> impl Iterator<Item = &TxOut> {
    payments.iter().map(|payment| &payment.output)
}

/// A leaf and the output that pays it in its epoch; the leaf's `out` is not written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The leaf.
    pub leaf: Leaf,
    /// The output.
    pub pays: Option<TxOut>,
}

/// Cuts what is due into batches and writes `out` into the leaves.
///
/// # Errors
/// When a committed cut does not fit, or a sum leaves its field.
pub fn cut(lines: Vec<Line>, cut: &Cut) -> Result<(Vec<Leaf>, Vec<Batch>), AllocateError> {
    let mut leaves = Vec::with_capacity(lines.len());
    let mut groups: Vec<Vec<Payment>> = Vec::new();
    let (mut bytes, mut total) = (0_usize, 0_u64);
    for Line { mut leaf, pays } in lines {
        if let Some(output) = pays {
            let size = output.size();
            let sats = output.value.to_sat();
            let open = match (cut, groups.len().checked_sub(1)) {
                (_, None) => false,
                (Cut::MaxBytes(most), _) => bytes.saturating_add(size) <= *most,
                (Cut::Totals(totals), Some(last)) => totals.get(last).is_some_and(|t| total < *t),
            };
            if !open {
                groups.push(Vec::new());
                (bytes, total) = (0, 0);
            }
            bytes = bytes.saturating_add(size);
            total = total.checked_add(sats).ok_or(AllocateError::Overflow("a batch's total"))?;
            let last = groups.len().saturating_sub(1);
            let group = groups.last_mut().ok_or(AllocateError::BadCut("no batch"))?;
            leaf.out = Some(OutRef {
                batch: u16::try_from(last).map_err(|_| AllocateError::Overflow("batches"))?,
                index: u16::try_from(group.len()).map_err(|_| AllocateError::Overflow("payees"))?,
            });
            group.push(Payment { account: leaf.account, output });
        }
        leaves.push(leaf);
    }
    let batches = groups.into_iter().map(Batch::of).collect::<Result<Vec<_>, _>>()?;
    if let Cut::Totals(totals) = cut {
        let found: Vec<u64> = batches.iter().map(|batch| batch.total).collect();
        if found != *totals {
            return Err(AllocateError::BadCut("totals differ"));
        }
    }
    Ok((leaves, batches))
}
