//! What the ledger keeps only a hash of: the record of a commitment, written again from its event, and what calls bring
//! of it. The rules: docs/LEDGER.md, "What is stored of a commitment".

use alloy::{
    eips::BlockId,
    primitives::{Address, B256, Bytes, keccak256},
    providers::Provider,
    sol_types::{SolEvent, SolValue},
};

use crate::{
    Error, Finality,
    bindings::{
        IEpochLedger::{self, Batch, Committed, Paying, Record},
        ILedgerCourt::Books,
    },
    block_at, decoded, logs_between,
};

/// Words of an encoded record that `Paying::terms` is the hash of: from the second on, that many.
const TERMS: usize = 8;

/// The record that the event tells of.
#[must_use]
pub fn record(event: &Committed) -> Record {
    let c = &event.commitment;
    // after its first word, which is an offset
    let whole = c.abi_encode();
    Record {
        root: c.root.hash,
        accSum: c.root.accSum,
        paidSum: c.root.paidSum,
        epoch: c.epoch,
        accounts: c.accounts,
        minPay: c.minPay,
        defer: c.defer,
        delay: event.delay,
        commitment: keccak256(whole.get(32..).unwrap_or_default()),
        lastPaying: event.lastPaying,
        batches: keccak256(packed(&c.batches)),
    }
}

/// What the ledger stores if the event is true.
#[must_use]
pub fn record_hash(event: &Committed) -> B256 {
    let record = record(event);
    let words = (record.root, terms(&record), record.lastPaying, record.batches);
    keccak256(words.abi_encode())
}

fn terms(record: &Record) -> B256 {
    let encoded = record.abi_encode();
    keccak256(encoded.get(32..32 + 32 * TERMS).unwrap_or_default())
}

/// Batches as the court takes them: 64 bytes each.
#[must_use]
pub fn packed(batches: &[Batch]) -> Bytes {
    batches.iter().flat_map(SolValue::abi_encode).collect()
}

/// What `provePayout` takes beside the proof.
#[must_use]
pub fn paying(event: &Committed) -> Paying {
    let record = record(event);
    Paying {
        root: record.root,
        terms: terms(&record),
        lastPaying: record.lastPaying,
        batches: event.commitment.batches.clone(),
    }
}

/// What the court takes of an epoch's commitment and of the one before it; `None` before the first epoch.
#[must_use]
pub fn books(here: &Committed, before: Option<&Committed>) -> Books {
    Books {
        here: record(here).abi_encode().into(),
        before: before.map(|event| record(event).abi_encode().into()).unwrap_or_default(),
        batches: packed(&here.commitment.batches),
    }
}

/// The epoch's commitment in the newest block, which hashes to what the ledger stores; `None` if there is none.
///
/// # Errors
/// When no event has that hash, or the node does not answer. `first_block` is where the search starts.
pub async fn committed(
    provider: &impl Provider,
    ledger: Address,
    first_block: u64,
    epoch: u32,
) -> Result<Option<Committed>, Error> {
    let latest = block_at(provider, Finality::Latest).await?;
    let contract = IEpochLedger::new(ledger, provider);
    let hash = contract.commitmentHash(epoch).block(BlockId::hash(latest.hash)).call().await;
    let hash = hash.map_err(|error| Error::rpc("commitmentHash", error))?;
    if hash.is_zero() {
        return Ok(None);
    }
    let topic = Some(Committed::SIGNATURE_HASH);
    let logs = logs_between(provider, &[ledger], topic, first_block, latest.number).await?;
    let mut events = decoded::<Committed>(&logs)?.into_iter().map(|(event, _)| event);
    let found = events.find(|event| event.epoch == epoch && record_hash(event) == hash);
    let why = "no Committed event hashes to what the ledger stores";
    found.map(Some).ok_or_else(|| Error::rpc(format!("commitment of epoch {epoch}"), why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `LedgerRecord` has it: written out word by word.
    #[test]
    fn the_hash_is_of_root_terms_last_paying_epoch_and_batches() {
        let batch = Batch { outputsHash: B256::repeat_byte(7), total: 9 };
        let commitment = IEpochLedger::Commitment {
            epoch: 70_001,
            root: IEpochLedger::Root { hash: B256::repeat_byte(1), accSum: 2, paidSum: 3 },
            accounts: 4,
            minPay: 5,
            batches: vec![batch],
            ..Default::default()
        };
        let event = Committed { epoch: 70_001, commitment, lastPaying: 69_999, delay: 6 };
        let word = |n: u64| alloy::primitives::U256::from(n).to_be_bytes::<32>();
        let plan = keccak256(&event.commitment.abi_encode()[32..]);
        let numbers = [2, 3, 70_001, 4, 5, 0, 6].map(word).concat();
        let terms = keccak256([&numbers[..], plan.as_slice()].concat());
        let batches = keccak256([&[7; 32][..], &word(9)].concat());
        let words = [&[1; 32][..], terms.as_slice(), &word(69_999), batches.as_slice()].concat();
        assert_eq!(record_hash(&event), keccak256(words));
        assert_eq!(paying(&event).terms, terms);
        let books = books(&event, None);
        assert_eq!((books.here.len(), books.before.len(), books.batches.len()), (352, 0, 64));
    }
}
