//! Commitments, proofs that Bitcoin mined them, wrappers and the first baton.

use alloy::{primitives::Bytes, sol_types::SolCall};
use evm::bindings::IEpochLedger::{
    Commitment, IEpochLedgerEvents as Event, PayoutProven, provePayoutCall,
};
use serde_json::json;

use super::{At, bitcoin_hash};
use crate::{
    Error,
    store::{
        table::{
            BATONS, COMMITMENTS, Cell, PAYOUT_BATCHES, PAYOUT_OUTPUTS, PAYOUT_PROOFS, WRAPPERS,
        },
        writer::BlockWriter,
    },
};

pub(super) async fn apply(
    writer: &mut BlockWriter<'_>,
    at: At,
    input: Option<&Bytes>,
    event: Event,
) -> Result<(), Error> {
    match event {
        Event::Committed(committed) => commitment(writer, at, &committed.commitment).await,
        Event::PayoutProven(proven) => proof(writer, at, input, &proven).await,
        Event::WrapperAdded(added) => {
            let row = vec![
                ("series", added.wrapper.series.into()),
                ("wrapper", Cell::hex(added.wrapper.wrapper)),
                ("share_token", Cell::hex(added.wrapper.shareToken)),
                ("first_loss", Cell::hex(added.wrapper.firstLoss)),
                ("block", Cell::int(at.block)),
            ];
            writer.put(&WRAPPERS, row).await
        }
        Event::BatonSet(baton) => {
            let row = vec![
                ("block", Cell::int(at.block)),
                ("log_index", Cell::int(at.index)),
                ("bitcoin_txid", bitcoin_hash(baton.txid).into()),
                ("vout", baton.vout.into()),
            ];
            writer.put(&BATONS, row).await
        }
    }
}

async fn commitment(
    writer: &mut BlockWriter<'_>,
    at: At,
    commitment: &Commitment,
) -> Result<(), Error> {
    let funding: Vec<_> = commitment
        .funding
        .iter()
        .map(|outpoint| json!({ "txid": bitcoin_hash(outpoint.txid), "vout": outpoint.vout }))
        .collect();
    let total = commitment.batches.iter().fold(0_u64, |sum, batch| sum.saturating_add(batch.total));
    let row = vec![
        ("epoch", commitment.epoch.into()),
        ("root_hash", Cell::hex(commitment.root.hash)),
        ("acc_sum", Cell::decimal(commitment.root.accSum)),
        ("paid_sum", Cell::int(commitment.root.paidSum)),
        ("accounts", commitment.accounts.into()),
        ("min_pay", Cell::int(commitment.minPay)),
        ("fee_rate", Cell::int(commitment.feeRate)),
        ("anchor_height", commitment.anchorHeight.into()),
        ("anchor_hash", bitcoin_hash(commitment.anchorHash).into()),
        ("deferred", commitment.defer.into()),
        ("funding", serde_json::to_string(&funding)?.into()),
        ("total", Cell::int(total)),
        ("block", Cell::int(at.block)),
        ("timestamp", Cell::int(at.timestamp)),
        ("txid", Cell::hex(at.txid)),
    ];
    writer.put(&COMMITMENTS, row).await?;
    for (index, batch) in (0_u16..).zip(&commitment.batches) {
        let row = vec![
            ("epoch", commitment.epoch.into()),
            ("batch", index.into()),
            ("outputs_hash", Cell::hex(batch.outputsHash)),
            ("total", Cell::int(batch.total)),
        ];
        writer.put(&PAYOUT_BATCHES, row).await?;
    }
    Ok(())
}

async fn proof(
    writer: &mut BlockWriter<'_>,
    at: At,
    input: Option<&Bytes>,
    proven: &PayoutProven,
) -> Result<(), Error> {
    let row = vec![
        ("epoch", proven.epoch.into()),
        ("batch", proven.batch.into()),
        ("bitcoin_txid", bitcoin_hash(proven.txid).into()),
        ("bitcoin_block", bitcoin_hash(proven.blockHash).into()),
        ("block", Cell::int(at.block)),
        ("timestamp", Cell::int(at.timestamp)),
        ("txid", Cell::hex(at.txid)),
    ];
    writer.put(&PAYOUT_PROOFS, row).await?;
    for (vout, output) in
        (0_u32..).zip(input.map(|input| outputs(proven, input)).unwrap_or_default())
    {
        let row = vec![
            ("epoch", proven.epoch.into()),
            ("batch", proven.batch.into()),
            ("vout", vout.into()),
            ("script", output.script_pubkey.to_hex_string().into()),
            ("sats", Cell::int(output.value.to_sat())),
        ];
        writer.put(&PAYOUT_OUTPUTS, row).await?;
    }
    Ok(())
}

/// Outputs of the proven transaction, which the contract found to be the one in the block. None when the proof came
/// through another contract, whose calldata we do not read.
fn outputs(proven: &PayoutProven, input: &Bytes) -> Vec<bitcoin::TxOut> {
    let Ok(call) = provePayoutCall::abi_decode(input) else { return Vec::new() };
    if call.epoch != proven.epoch || call.batch != proven.batch {
        return Vec::new();
    }
    bitcoin::consensus::deserialize::<bitcoin::Transaction>(&call.proof.transaction)
        .map(|transaction| transaction.output)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::B256;
    use bitcoin::{
        Amount, ScriptBuf, Transaction, TxOut, absolute, consensus, transaction::Version,
    };
    use evm::bindings::IEpochLedger::{Paying, Proof};

    #[test]
    fn the_paid_outputs_are_read_from_the_proof_of_that_batch_alone() {
        let paid =
            TxOut { value: Amount::from_sat(12_345), script_pubkey: ScriptBuf::from(vec![0x51]) };
        let transaction = Transaction {
            version: Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![bitcoin::TxIn::default()],
            output: vec![paid.clone()],
        };
        let call = provePayoutCall {
            epoch: 9,
            batch: 2,
            paying: Paying::default(),
            proof: Proof {
                headers: Bytes::new(),
                transaction: consensus::serialize(&transaction).into(),
                branch: Bytes::new(),
                index: 0,
                coinbase: Bytes::new(),
                coinbaseBranch: Bytes::new(),
            },
        };
        let input = Bytes::from(call.abi_encode());
        let proven =
            |batch| PayoutProven { epoch: 9, batch, txid: B256::ZERO, blockHash: B256::ZERO };
        assert_eq!(outputs(&proven(2), &input), [paid]);
        assert!(outputs(&proven(1), &input).is_empty());
        assert!(outputs(&proven(2), &Bytes::from_static(&[1, 2])).is_empty());
    }
}
