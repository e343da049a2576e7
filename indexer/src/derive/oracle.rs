//! Reports with their pieces, receipts and signers; prices apart from them; gaps; signer sets and their stakes.

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::SolCall,
};
use evm::{
    bindings::IFleetOracle::{FleetReport, IFleetOracleEvents as Event, ReportPosted, postCall},
    quorum,
};

use super::{At, Sources, bitcoin_hash};
use crate::{
    Error,
    store::{
        table::{
            Cell, REPORT_PIECES, REPORT_RECEIPTS, REPORT_SERIES, REPORTS, SIGNER_SETS,
            STAKE_EVENTS, VALUATION_REPORTS,
        },
        writer::BlockWriter,
    },
};

pub(super) async fn apply(
    writer: &mut BlockWriter<'_>,
    at: At,
    sources: &Sources,
    input: Option<&Bytes>,
    event: Event,
) -> Result<(), Error> {
    match event {
        Event::ReportPosted(posted) => {
            let signers = input.and_then(|input| signers(sources, &posted, input));
            report(writer, at, &posted, signers).await?;
            details(writer, &posted.report).await
        }
        Event::GapDeclared(gap) => {
            let row = vec![
                ("epoch", gap.epoch.into()),
                ("round", Cell::Int(0)),
                ("gap", Cell::Int(1)),
                ("by_quorum", Cell::Int(gap.byQuorum.into())),
                ("block", Cell::int(at.block)),
                ("timestamp", Cell::int(at.timestamp)),
                ("txid", Cell::hex(at.txid)),
            ];
            writer.put(&REPORTS, row).await
        }
        Event::ValuationPosted(posted) => {
            let v = &posted.valuation;
            let row = vec![
                ("epoch", posted.epoch.into()),
                ("round", posted.round.into()),
                ("hash", Cell::hex(posted.valuationHash)),
                ("after_report", Cell::hex(v.afterReport)),
                ("quote_per_btc", Cell::decimal(v.quotePerBtc)),
                ("quote_spread", v.quoteSpread.into()),
                ("observed_at", Cell::int(v.observedAt.to())),
                ("block", Cell::int(at.block)),
                ("timestamp", Cell::int(at.timestamp)),
                ("txid", Cell::hex(at.txid)),
            ];
            writer.put(&VALUATION_REPORTS, row).await
        }
        Event::Staked(e) => stake(writer, at, e.signer, "staked", e.amount, None).await,
        Event::Unstaked(e) => stake(writer, at, e.signer, "unstaked", e.amount, None).await,
        Event::Slashed(e) => {
            let place = Some((e.epoch, e.round));
            stake(writer, at, e.signer, "slashed", e.amount, place).await
        }
        // money of whoever showed the fault, and of nobody else
        Event::RewardClaimed(_) => Ok(()),
        Event::SignerSet(set) => {
            let row = vec![
                ("block", Cell::int(at.block)),
                ("log_index", Cell::int(at.index)),
                ("signers", address_list(&set.signers)?.into()),
                ("quorum", set.quorum.into()),
                ("config_digest", Cell::hex(set.configDigest)),
            ];
            writer.put(&SIGNER_SETS, row).await
        }
    }
}

/// A change of a signer's stake; for a slash, the epoch and round that it signed twice.
async fn stake(
    writer: &mut BlockWriter<'_>,
    at: At,
    signer: Address,
    kind: &str,
    amount: U256,
    place: Option<(u32, u16)>,
) -> Result<(), Error> {
    let row = vec![
        ("block", Cell::int(at.block)),
        ("log_index", Cell::int(at.index)),
        ("timestamp", Cell::int(at.timestamp)),
        ("signer", Cell::hex(signer)),
        ("kind", Cell::Text(kind.into())),
        ("amount", Cell::decimal(amount)),
        ("epoch", place.map_or(Cell::Null, |place| place.0.into())),
        ("round", place.map_or(Cell::Null, |place| place.1.into())),
        ("txid", Cell::hex(at.txid)),
    ];
    writer.put(&STAKE_EVENTS, row).await
}

async fn report(
    writer: &mut BlockWriter<'_>,
    at: At,
    posted: &ReportPosted,
    signers: Option<String>,
) -> Result<(), Error> {
    let report = &posted.report;
    let row = vec![
        ("epoch", posted.epoch.into()),
        ("round", posted.round.into()),
        ("gap", Cell::Int(0)),
        ("by_quorum", Cell::Int(1)),
        ("hash", Cell::hex(posted.reportHash)),
        ("prev_hash", Cell::hex(report.prevHash)),
        ("config_digest", Cell::hex(report.configDigest)),
        ("quote_per_btc", Cell::decimal(report.quotePerBtc)),
        ("quote_spread", report.quoteSpread.into()),
        ("observed_at", Cell::int(report.observedAt.to())),
        ("evidence_root", Cell::hex(report.evidenceRoot)),
        ("signers", signers.into()),
        ("block", Cell::int(at.block)),
        ("timestamp", Cell::int(at.timestamp)),
        ("txid", Cell::hex(at.txid)),
    ];
    writer.put(&REPORTS, row).await
}

async fn details(writer: &mut BlockWriter<'_>, report: &FleetReport) -> Result<(), Error> {
    let id = [("epoch", Cell::from(report.epoch)), ("round", Cell::from(report.round))];
    for (position, receipt) in (0_u32..).zip(&report.receipts) {
        let mut row = id.to_vec();
        row.extend([
            ("position", position.into()),
            ("txid", bitcoin_hash(receipt.txid).into()),
            ("vout", receipt.vout.into()),
            ("sats", Cell::int(receipt.sats)),
        ]);
        writer.put(&REPORT_RECEIPTS, row).await?;
    }
    for series in &report.series {
        let mut row = id.to_vec();
        row.extend([
            ("series", series.series.into()),
            ("work", Cell::decimal(series.work)),
            ("live_hashrate", Cell::decimal(series.liveHashrate)),
            ("hardware_price", Cell::decimal(series.hardwarePrice)),
            ("deductions", Cell::int(series.deductions)),
        ]);
        writer.put(&REPORT_SERIES, row).await?;
        for piece in &series.pots {
            let mut row = id.to_vec();
            row.extend([
                ("series", series.series.into()),
                ("work_epoch", piece.workEpoch.into()),
                ("sats", Cell::int(piece.sats)),
            ]);
            writer.put(&REPORT_PIECES, row).await?;
        }
    }
    Ok(())
}

/// Who signed: recovered from the calldata of the posting transaction, a JSON list. `None` when the report came through
/// another contract, whose calldata we do not read.
fn signers(sources: &Sources, posted: &ReportPosted, input: &Bytes) -> Option<String> {
    let call = postCall::abi_decode(input).ok()?;
    if call.report.epoch != posted.epoch || call.report.round != posted.round {
        return None;
    }
    let digest = sources.oracle_domain().report(&call.report);
    let recovered: Option<Vec<_>> = quorum::unpack(&call.signatures)?
        .iter()
        .map(|(_, signature)| signature.recover_address_from_prehash(&digest).ok())
        .collect();
    address_list(&recovered?).ok()
}

fn address_list(addresses: &[Address]) -> Result<String, Error> {
    let addresses: Vec<String> = addresses.iter().map(|a| format!("{a:#x}")).collect();
    Ok(serde_json::to_string(&addresses)?)
}
