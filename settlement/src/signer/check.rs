//! The rules a PSBT must keep to be signed. Pure: facts from the chain in, coins to sign or the broken rule out.

use alloy::primitives::B256;
use bitcoin::{
    EcdsaSighashType, OutPoint, Psbt, Sequence, Transaction, TxOut, Txid,
    absolute::LockTime,
    bip32::ChildNumber,
    psbt::{Input, Output},
    transaction::Version,
};
use evm::bindings::IEpochLedger;

use crate::{
    encode::{self, ROOT_BATCH},
    node::internal,
    plan::{chunk_vsize_ceil, vsize_ceil},
    psbt,
    signer::limits::Limits,
    vault::{Coin, Keychain, Vault},
};

/// What is on the EVM chain, in a final block, and in the signer's own store.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The epoch's commitment.
    pub commitment: IEpochLedger::Commitment,
    /// Outputs that may be input 0: batons of what this signer signed, or the ledger saw proven, for the previous paying
    /// epoch.
    pub batons: Vec<OutPoint>,
    /// Derivation index of those batons.
    pub baton_index: u32,
    /// Root transactions of this epoch that this signer signed or the ledger saw proven.
    pub roots: Vec<Txid>,
}

/// What may be signed.
#[derive(Clone, Debug)]
pub struct Approved {
    /// The inputs' coins, in order.
    pub coins: Vec<Coin>,
    /// The transaction that was asked for, with inputs of our own making; without the transactions that they spend.
    pub psbt: Psbt,
}

impl Approved {
    /// Sats that leave the vault: all but what goes to the next baton and, in a root transaction, to its chunks.
    #[must_use]
    pub fn leaves(&self, batch: u16, batches: usize) -> u64 {
        let outputs = &self.psbt.unsigned_tx.output;
        let stay = match (batch == ROOT_BATCH, batches == 1) {
            (true, _) => sum(outputs),
            (false, true) => outputs.first().map_or(0, |next| next.value.to_sat()),
            (false, false) => 0,
        };
        self.have().saturating_sub(stay)
    }

    /// Sats that go to the miner.
    #[must_use]
    pub fn fee(&self) -> u64 {
        self.have().saturating_sub(sum(&self.psbt.unsigned_tx.output))
    }

    fn have(&self) -> u64 {
        sum(self.coins.iter().map(|coin| &coin.output))
    }
}

/// Sats of outputs whose sums were checked.
fn sum<'a>(outputs: impl IntoIterator<Item = &'a TxOut>) -> u64 {
    encode::outputs_total(outputs).unwrap_or(u64::MAX)
}

/// The rule that a request breaks.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Broken {
    #[error("epoch {0} is not committed in a block that is final at both endpoints")]
    NotCommitted(u32),
    #[error("epoch {0} batch {1} is proven on chain: there is nothing left to sign")]
    AlreadyProven(u32, u16),
    #[error("this signer has signed root {1} for epoch {0} and signs no other")]
    OtherRoot(u32, B256),
    #[error("epoch {0} has no batch {1}")]
    NoSuchBatch(u32, u16),
    #[error("version 2, lock time 0 and sequence fffffffd are the only ones that are signed")]
    Form,
    #[error("input {0}: the transaction it spends is missing or is another one")]
    Previous(usize),
    #[error("input {0}: its script is not this signer's descriptor at the index it names")]
    Script(usize),
    #[error("input {0}: only SIGHASH_ALL is signed")]
    Sighash(usize),
    #[error("input {0} names a coin twice")]
    Twice(usize),
    #[error("input 0 is {0}, not the baton")]
    NotTheBaton(OutPoint),
    #[error("input {0} is not among the committed funding, or not in its order")]
    NotFunding(usize),
    #[error("input 0 is not output {0} of this epoch's root transaction")]
    NotTheChunk(u32),
    #[error("a chunk has one input")]
    ChunkInputs,
    #[error("output {0} is not the next baton, worth at least the dust limit")]
    NextBaton(usize),
    #[error("output {0} is not the marker of this epoch, batch and root")]
    Marker(usize),
    #[error("the payees are not the committed ones")]
    Payees,
    #[error("there are {found} outputs, {expected} are expected")]
    Outputs { expected: usize, found: usize },
    #[error("chunk output {0} does not hold its payees' total and a fee within the limits")]
    ChunkOutput(usize),
    #[error("chunk {0} comes without its committed outputs, so that its fee cannot be judged")]
    Chunk(usize),
    #[error("only the request for a root transaction carries chunks")]
    Chunks,
    #[error("inputs and outputs do not add up")]
    Sums,
    #[error("the miner fee is {fee} sat for {vsize} vB: outside this signer's limits")]
    Fee { fee: u64, vsize: u64 },
    #[error("input {0}: amounts, scripts, origins or signatures differ from this signer's picture")]
    Fields(usize),
    #[error("the PSBT holds more than a transaction and its inputs")]
    Extras,
    #[error("the transaction cannot be measured: {0}")]
    Measure(String),
}

/// Checks a PSBT for one batch of the committed epoch. `chunks` are the outputs of every batch for a root transaction,
/// none for any other: the chain has only their hash, and a chunk's fee is fixed for good by the root transaction.
///
/// # Errors
/// With the first rule that it breaks.
pub fn check(
    vault: &Vault,
    limits: &Limits,
    facts: &Facts,
    batch: u16,
    chunks: &[Vec<TxOut>],
    psbt: Psbt,
) -> Result<Approved, Broken> {
    let tx = &psbt.unsigned_tx;
    let commitment = &facts.commitment;
    let batches = commitment.batches.len();
    let known = if batch == ROOT_BATCH { batches > 1 } else { usize::from(batch) < batches };
    if commitment.defer || !known {
        return Err(Broken::NoSuchBatch(commitment.epoch, batch));
    }
    if batch != ROOT_BATCH && !chunks.is_empty() {
        return Err(Broken::Chunks);
    }
    let plain = tx.version == Version::TWO
        && tx.lock_time == LockTime::ZERO
        && tx.input.iter().all(|input| input.sequence == Sequence::ENABLE_RBF_NO_LOCKTIME);
    if !plain {
        return Err(Broken::Form);
    }
    let moves_baton = batches == 1 || batch == ROOT_BATCH;
    if moves_baton {
        check_inputs(facts, tx)?
    } else {
        check_chunk_input(facts, batch, tx)?
    }
    let mut coins = Vec::with_capacity(psbt.inputs.len());
    for (index, input) in psbt.inputs.iter().enumerate() {
        let expected = match (index, moves_baton) {
            (0, true) => Some((Keychain::Baton, facts.baton_index)),
            (0, false) => Some((Keychain::Baton, commitment.epoch)),
            _ => None,
        };
        coins.push(coin_of(vault, tx, index, input, expected)?);
    }
    check_outputs(vault, facts, batch, tx)?;
    if batch == ROOT_BATCH {
        check_chunks(vault, limits, commitment, chunks, tx.output.get(2..).unwrap_or_default())?;
    }
    check_fee(vault, limits, commitment.feeRate, batch, tx, &coins)?;
    let psbt = as_ours(vault, psbt, &coins)?;
    Ok(Approved { coins, psbt })
}

/// The PSBT with inputs of our own making: every field of the one that is asked for must be the same, though only the
/// transaction is signed. Amounts or scripts that differ would mean that somebody is misled, if not we.
fn as_ours(vault: &Vault, asked: Psbt, coins: &[Coin]) -> Result<Psbt, Broken> {
    // by name, so that a field that a later version brings is not overlooked
    let Psbt { unsigned_tx, version, xpub, proprietary, unknown, inputs, outputs } = asked;
    let bare = unsigned_tx.input.iter().all(|i| i.script_sig.is_empty() && i.witness.is_empty());
    let more = version != 0 || !xpub.is_empty() || !proprietary.is_empty() || !unknown.is_empty();
    let plain = outputs.iter().all(|output| *output == Output::default());
    if !bare || more || !plain || outputs.len() != unsigned_tx.output.len() {
        return Err(Broken::Extras);
    }
    if inputs.len() != coins.len() || inputs.len() != unsigned_tx.input.len() {
        return Err(Broken::Extras);
    }
    let mut ours = Vec::with_capacity(inputs.len());
    for (index, (theirs, coin)) in inputs.into_iter().zip(coins).enumerate() {
        let own = psbt::input_of(vault, coin).map_err(|e| Broken::Measure(e.to_string()))?;
        // to name SIGHASH_ALL, the only kind that got here, is the same as to name none; the transaction that the input
        // spends is the one of its txid
        let sighash_type = own.sighash_type;
        if own != (Input { sighash_type, non_witness_utxo: None, ..theirs }) {
            return Err(Broken::Fields(index));
        }
        ours.push(own);
    }
    Ok(Psbt { unsigned_tx, version, xpub, proprietary, unknown, inputs: ours, outputs })
}

/// Input 0 is a baton, the others are committed funding in the committed order, none twice.
fn check_inputs(facts: &Facts, tx: &Transaction) -> Result<(), Broken> {
    let mut seen = Vec::with_capacity(tx.input.len());
    let mut funding = facts.commitment.funding.iter();
    for (index, input) in tx.input.iter().enumerate() {
        let place = input.previous_output;
        if seen.contains(&place) {
            return Err(Broken::Twice(index));
        }
        seen.push(place);
        if index == 0 {
            if !facts.batons.contains(&place) {
                return Err(Broken::NotTheBaton(place));
            }
            continue;
        }
        if !funding.any(|f| f.txid == internal(place.txid) && f.vout == place.vout) {
            return Err(Broken::NotFunding(index));
        }
    }
    Ok(())
}

fn check_chunk_input(facts: &Facts, batch: u16, tx: &Transaction) -> Result<(), Broken> {
    let vout = u32::from(batch).saturating_add(2);
    let [input] = tx.input.as_slice() else { return Err(Broken::ChunkInputs) };
    let place = input.previous_output;
    if facts.roots.contains(&place.txid) && place.vout == vout {
        Ok(())
    } else {
        Err(Broken::NotTheChunk(vout))
    }
}

/// The coin that an input spends: value from the previous transaction, script from our own descriptor.
fn coin_of(
    vault: &Vault,
    tx: &Transaction,
    index: usize,
    input: &Input,
    expected: Option<(Keychain, u32)>,
) -> Result<Coin, Broken> {
    let place = tx.input.get(index).ok_or(Broken::Sums)?.previous_output;
    let all = EcdsaSighashType::All.into();
    if input.sighash_type.is_some_and(|kind| kind != all) {
        return Err(Broken::Sighash(index));
    }
    let previous = input.non_witness_utxo.as_ref().ok_or(Broken::Previous(index))?;
    if previous.compute_txid() != place.txid {
        return Err(Broken::Previous(index));
    }
    let vout = usize::try_from(place.vout).map_err(|_| Broken::Previous(index))?;
    let output = previous.output.get(vout).cloned().ok_or(Broken::Previous(index))?;
    let (keychain, at) = match expected {
        Some(known) => known,
        None => (Keychain::Treasury, named_index(input).ok_or(Broken::Script(index))?),
    };
    if vault.script(keychain, at).ok().as_ref() != Some(&output.script_pubkey) {
        return Err(Broken::Script(index));
    }
    Ok(Coin { outpoint: place, output, keychain, index: at })
}

/// The last step of the input's first key path. Only a hint: the script is derived and compared.
fn named_index(input: &Input) -> Option<u32> {
    let (_, path) = input.bip32_derivation.values().next()?;
    match path.as_ref().last()? {
        ChildNumber::Normal { index } => Some(*index),
        ChildNumber::Hardened { .. } => None,
    }
}

fn check_outputs(vault: &Vault, facts: &Facts, batch: u16, tx: &Transaction) -> Result<(), Broken> {
    let commitment = &facts.commitment;
    let marker = encode::marker(commitment.epoch, batch, &commitment.root.hash);
    let is_marker = |output: &TxOut| output.script_pubkey == marker && output.value.to_sat() == 0;
    let short = || Broken::Outputs { expected: 3, found: tx.output.len() };
    let moves_baton = commitment.batches.len() == 1 || batch == ROOT_BATCH;
    let (position, rest) = if moves_baton {
        let (next, rest) = tx.output.split_first().ok_or_else(short)?;
        let script = vault.script(Keychain::Baton, commitment.epoch).ok();
        if script.as_ref() != Some(&next.script_pubkey) || next.value.to_sat() < 330 {
            return Err(Broken::NextBaton(0));
        }
        (1, rest)
    } else {
        (0, tx.output.as_slice())
    };
    let (found, payees) = rest.split_first().ok_or_else(short)?;
    if !is_marker(found) {
        return Err(Broken::Marker(position));
    }
    if batch == ROOT_BATCH {
        return Ok(());
    }
    let committed = commitment.batches.get(usize::from(batch)).ok_or(Broken::Payees)?;
    let same = encode::outputs_hash(payees) == committed.outputsHash
        && encode::outputs_total(payees) == Some(committed.total);
    if same { Ok(()) } else { Err(Broken::Payees) }
}

/// A root transaction has one output per chunk, each worth its payees and a fee, to the baton script of the epoch. The
/// fee is measured on the chunk as it will be: its outputs are given and must hash to what is committed.
fn check_chunks(
    vault: &Vault,
    limits: &Limits,
    commitment: &IEpochLedger::Commitment,
    chunks: &[Vec<TxOut>],
    outputs: &[TxOut],
) -> Result<(), Broken> {
    let (expected, found) = (commitment.batches.len(), outputs.len());
    if expected != found {
        return Err(Broken::Outputs { expected, found });
    }
    if chunks.len() != expected {
        return Err(Broken::Chunk(chunks.len().min(expected)));
    }
    let (epoch, root) = (commitment.epoch, &commitment.root.hash);
    let script = vault.script(Keychain::Baton, epoch).ok();
    let committed = commitment.batches.iter().zip(chunks);
    for ((output, (batch, payees)), number) in outputs.iter().zip(committed).zip(0_u16..) {
        let index = usize::from(number);
        let same = encode::outputs_hash(payees) == batch.outputsHash
            && encode::outputs_total(payees) == Some(batch.total);
        if !same {
            return Err(Broken::Chunk(index));
        }
        let vsize = chunk_vsize_ceil(vault, epoch, root, number, payees);
        let vsize = vsize.map_err(|error| Broken::Measure(error.to_string()))?;
        let fee = output.value.to_sat().checked_sub(batch.total);
        let fair = fee.is_some_and(|fee| limits.allow(fee, vsize, commitment.feeRate));
        if script.as_ref() != Some(&output.script_pubkey) || !fair {
            return Err(Broken::ChunkOutput(index.saturating_add(2)));
        }
    }
    Ok(())
}

fn check_fee(
    vault: &Vault,
    limits: &Limits,
    rate: u64,
    batch: u16,
    tx: &Transaction,
    coins: &[Coin],
) -> Result<(), Broken> {
    let have = encode::outputs_total(coins.iter().map(|coin| &coin.output)).ok_or(Broken::Sums)?;
    let spent = encode::outputs_total(&tx.output).ok_or(Broken::Sums)?;
    let fee = have.checked_sub(spent).ok_or(Broken::Sums)?;
    let vsize = vsize_ceil(vault, batch, tx.weight(), coins);
    let vsize = vsize.map_err(|error| Broken::Measure(error.to_string()))?;
    if !limits.allow(fee, vsize, rate) {
        return Err(Broken::Fee { fee, vsize });
    }
    Ok(())
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
