//! Payout transactions as a function of chain data: same commitment, same baton, same bytes.
//!
//! One batch is one transaction; several fan out from a root transaction (`docs/LEDGER.md`). Fixed: version 2, lock
//! time 0, every sequence `fffffffd` (replaceable), inputs baton first and then the committed funding in its order,
//! outputs as the ledger has them, no change output: what is left over stays in the next baton.

use alloy::primitives::B256;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, VarInt, Weight, Witness,
    absolute::LockTime, transaction::Version,
};
use serde::{Deserialize, Serialize};

use crate::{
    encode::{self, ROOT_BATCH},
    known::KnownTx,
    vault::{Coin, Keychain, Vault, VaultError},
};

/// Standard transactions weigh no more, in weight units.
pub const MAX_WEIGHT: u64 = 400_000;

/// What a plan is made from; all of it is on the two chains once the epoch is committed.
#[derive(Clone, Debug)]
pub struct Order {
    /// The epoch.
    pub epoch: u32,
    /// Hash of its root.
    pub root: B256,
    /// Sats per 1,000 virtual bytes.
    pub fee_rate: u64,
    /// The baton to spend.
    pub baton: Coin,
    /// Committed treasury coins, in order.
    pub funding: Vec<Coin>,
    /// Payees by batch.
    pub batches: Vec<Vec<TxOut>>,
}

/// One transaction of a plan, unsigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTx {
    /// Batch number; `ffff` for a root transaction.
    pub batch: u16,
    /// The transaction, without witness.
    pub tx: KnownTx,
    /// What its inputs spend, in order.
    pub coins: Vec<Coin>,
}

impl PlannedTx {
    /// Sats that go to the miner; `None` if the outputs exceed the inputs.
    #[must_use]
    pub fn fee(&self) -> Option<u64> {
        let inputs = self.coins.iter().map(|coin| &coin.output);
        encode::outputs_total(inputs)?.checked_sub(encode::outputs_total(&self.tx.output)?)
    }
}

/// All transactions of an epoch, the one that spends the baton first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The transactions.
    pub txs: Vec<PlannedTx>,
    /// The next baton.
    pub baton: Coin,
}

/// Why an epoch cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing to pay.
    #[error("epoch {0} has no batch: there is nothing to plan")]
    Nothing(u32),
    /// Baton and funding do not cover the payees and the miner fee.
    #[error("baton and funding hold {have} sat, payees, fee and the least baton need {need} sat")]
    Short {
        /// Sats needed.
        need: u64,
        /// Sats there.
        have: u64,
    },
    /// A transaction is heavier than nodes relay.
    #[error("batch {batch} weighs {weight} of at most 400000 units: cut smaller batches")]
    TooHeavy {
        /// Batch.
        batch: u16,
        /// Weight units.
        weight: u64,
    },
    /// An integer left its range.
    #[error("{0} does not fit its field; an input is wrong")]
    Overflow(&'static str),
    /// A descriptor failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// The transactions of an epoch.
///
/// # Errors
/// When there is nothing to pay, the coins do not suffice, or a transaction is too heavy.
pub fn plan(vault: &Vault, order: &Order, least_baton: u64) -> Result<Plan, PlanError> {
    let script = vault.script(Keychain::Baton, order.epoch)?;
    let (batch, tail) = match order.batches.as_slice() {
        [] => return Err(PlanError::Nothing(order.epoch)),
        [only] => (0, only.clone()),
        many => {
            let chunks = many
                .iter()
                .zip(0_u16..)
                .map(|(payees, number)| chunk_value_exact(vault, order, number, payees, &script));
            (ROOT_BATCH, chunks.collect::<Result<Vec<_>, _>>()?)
        }
    };
    assemble(order, paying_tx(vault, order, batch, &tail, &script, least_baton)?)
}

/// The whole plan from the transaction that spends the baton: what it leaves to the chunks fixes theirs.
///
/// # Errors
/// When it has no output.
pub(crate) fn assemble(order: &Order, first: PlannedTx) -> Result<Plan, PlanError> {
    let txid = first.tx.txid();
    let next = first.tx.output.first().cloned().ok_or(PlanError::Overflow("no baton"))?;
    let coin = |vout: u32, output: TxOut| Coin {
        outpoint: OutPoint { txid, vout },
        output,
        keychain: Keychain::Baton,
        index: order.epoch,
    };
    let baton = coin(0, next);
    let chunks = if first.batch == ROOT_BATCH { first.tx.output.get(2..) } else { None };
    let chunks: Vec<TxOut> = chunks.unwrap_or_default().to_vec();
    let mut txs = vec![first];
    for ((output, payees), number) in chunks.into_iter().zip(&order.batches).zip(0_u16..) {
        let coin = coin(u32::from(number).saturating_add(2), output);
        let outputs = chunk_outputs(order.epoch, &order.root, number, payees);
        let tx = unsigned(std::slice::from_ref(&coin), outputs);
        txs.push(PlannedTx { batch: number, tx: tx.into(), coins: vec![coin] });
    }
    Ok(Plan { txs, baton })
}

/// The transaction that spends the baton, its next baton still without value.
pub(crate) fn frame(
    order: &Order,
    batch: u16,
    coins: &[Coin],
    tail: &[TxOut],
    script: &ScriptBuf,
) -> Transaction {
    let mut outputs = vec![
        TxOut { value: Amount::ZERO, script_pubkey: script.clone() },
        marker_output(order.epoch, &order.root, batch),
    ];
    outputs.extend_from_slice(tail);
    unsigned(coins, outputs)
}

/// `ceil(vsize * rate / 1000)`, sats.
///
/// # Errors
/// When it does not fit 64 bits.
pub fn fee_ceil(vsize: u64, rate: u64) -> Result<u64, PlanError> {
    let fee = u128::from(vsize).checked_mul(u128::from(rate)).map(|fee| fee.div_ceil(1_000));
    fee.and_then(|fee| u64::try_from(fee).ok()).ok_or(PlanError::Overflow("the miner fee"))
}

/// What spending one more output of a keychain costs, sats.
///
/// # Errors
/// When the fee does not fit 64 bits.
pub fn input_fee_ceil(vault: &Vault, keychain: Keychain, rate: u64) -> Result<u64, PlanError> {
    // outpoint 36, empty script 1, sequence 4
    let weight = vault.witness_weight(keychain).saturating_add(41 * 4);
    fee_ceil(weight.div_ceil(4), rate)
}

/// Virtual bytes of a transaction once signed.
///
/// # Errors
/// When the transaction is heavier than nodes relay.
pub fn signed_vsize_ceil(vault: &Vault, planned: &PlannedTx) -> Result<u64, PlanError> {
    vsize_ceil(vault, planned.batch, planned.tx.weight(), &planned.coins)
}

/// Virtual bytes of a transaction once signed: its own `weight`, unsigned, and the heaviest witness that each of its
/// `coins` can need.
///
/// # Errors
/// When the transaction is heavier than nodes relay.
pub(crate) fn vsize_ceil(
    vault: &Vault,
    batch: u16,
    weight: Weight,
    coins: &[Coin],
) -> Result<u64, PlanError> {
    let witnesses = coins.iter().map(|coin| vault.witness_weight(coin.keychain));
    // two units mark a transaction that has witnesses
    let weight = witnesses.fold(weight.to_wu().saturating_add(2), u64::saturating_add);
    if weight > MAX_WEIGHT {
        return Err(PlanError::TooHeavy { batch, weight });
    }
    Ok(weight.div_ceil(4))
}

/// Virtual bytes of a chunk's transaction once signed. Thousands of payees are weighed where they are.
///
/// # Errors
/// When a descriptor fails or the transaction is heavier than nodes relay.
pub fn chunk_vsize_ceil(
    vault: &Vault,
    epoch: u32,
    root: &B256,
    number: u16,
    payees: &[TxOut],
) -> Result<u64, PlanError> {
    let script_pubkey = vault.script(Keychain::Baton, epoch)?;
    let coin = Coin {
        outpoint: OutPoint::null(),
        output: TxOut { value: Amount::ZERO, script_pubkey },
        keychain: Keychain::Baton,
        index: epoch,
    };
    let coins = std::slice::from_ref(&coin);
    let bare = unsigned(coins, chunk_outputs(epoch, root, number, &[]));
    let longer = VarInt::from(payees.len().saturating_add(1)).size().saturating_sub(1);
    let longer = Weight::from_non_witness_data_size(u64::try_from(longer).unwrap_or(u64::MAX));
    let weight = payees.iter().fold(bare.weight() + longer, |sum, output| sum + output.weight());
    vsize_ceil(vault, number, weight, coins)
}

fn paying_tx(
    vault: &Vault,
    order: &Order,
    batch: u16,
    tail: &[TxOut],
    script: &ScriptBuf,
    least_baton: u64,
) -> Result<PlannedTx, PlanError> {
    let mut coins = vec![order.baton.clone()];
    coins.extend(order.funding.iter().cloned());
    let mut tx = frame(order, batch, &coins, tail, script);
    let fee = fee_ceil(vsize_ceil(vault, batch, tx.weight(), &coins)?, order.fee_rate)?;
    let have = coins
        .iter()
        .try_fold(0_u64, |sum, coin| sum.checked_add(coin.output.value.to_sat()))
        .ok_or(PlanError::Overflow("the sum of inputs"))?;
    let spent = encode::outputs_total(tail).and_then(|total| total.checked_add(fee));
    let spent = spent.ok_or(PlanError::Overflow("the sum of outputs"))?;
    let need = spent.saturating_add(least_baton);
    let rest = have.checked_sub(spent).filter(|rest| *rest >= least_baton);
    let rest = rest.ok_or(PlanError::Short { need, have })?;
    if let Some(next) = tx.output.first_mut() {
        next.value = Amount::from_sat(rest);
    }
    Ok(PlannedTx { batch, tx: tx.into(), coins })
}

fn chunk_value_exact(
    vault: &Vault,
    order: &Order,
    number: u16,
    payees: &[TxOut],
    script: &ScriptBuf,
) -> Result<TxOut, PlanError> {
    let vsize = chunk_vsize_ceil(vault, order.epoch, &order.root, number, payees)?;
    let fee = fee_ceil(vsize, order.fee_rate)?;
    let value = encode::outputs_total(payees).and_then(|total| total.checked_add(fee));
    let value = value.ok_or(PlanError::Overflow("a chunk"))?;
    Ok(TxOut { value: Amount::from_sat(value), script_pubkey: script.clone() })
}

fn chunk_outputs(epoch: u32, root: &B256, number: u16, payees: &[TxOut]) -> Vec<TxOut> {
    let mut outputs = vec![marker_output(epoch, root, number)];
    outputs.extend_from_slice(payees);
    outputs
}

fn marker_output(epoch: u32, root: &B256, batch: u16) -> TxOut {
    let script_pubkey = encode::marker(epoch, batch, root);
    TxOut { value: Amount::ZERO, script_pubkey }
}

fn unsigned(coins: &[Coin], output: Vec<TxOut>) -> Transaction {
    let input = coins.iter().map(|coin| TxIn {
        previous_output: coin.outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    });
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: input.collect(), output }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(crate) mod tests;
