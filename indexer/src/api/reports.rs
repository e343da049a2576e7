//! Fleet reports as they were posted, with pots by piece, receipts and signers.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, SqliteConnection};

use super::{Answer, Dec, Problem, Shared};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    limit: Option<u16>,
}

#[derive(Debug, FromRow)]
struct ReportRow {
    epoch: Dec,
    round: Dec,
    gap: bool,
    by_quorum: bool,
    hash: Option<String>,
    prev_hash: Option<String>,
    quote_per_btc: Option<String>,
    quote_spread: Option<Dec>,
    observed_at: Option<Dec>,
    evidence_root: Option<String>,
    signers: Option<String>,
    block: Dec,
    timestamp: Dec,
    txid: String,
}

#[derive(Debug, FromRow, Serialize)]
struct Receipt {
    txid: String,
    vout: Dec,
    sats: Dec,
}

#[derive(Debug, FromRow)]
struct SeriesRow {
    series: Dec,
    work: String,
    live_hashrate: String,
    hardware_price: String,
    deductions: Dec,
}

#[derive(Debug, FromRow)]
struct PieceRow {
    series: Dec,
    work_epoch: Dec,
    sats: Dec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Piece {
    work_epoch: Dec,
    sats: Dec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SeriesReport {
    series: Dec,
    pots: Vec<Piece>,
    work: String,
    live_hashrate: String,
    hardware_price: String,
    deductions_sats: Dec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    epoch: Dec,
    round: Dec,
    gap: bool,
    /// False only for a gap that somebody declared alone, a day late.
    by_quorum: bool,
    hash: Option<String>,
    prev_hash: Option<String>,
    quote_per_btc: Option<String>,
    quote_spread_ppm: Option<Dec>,
    observed_at: Option<Dec>,
    evidence_root: Option<String>,
    /// Recovered from the posting transaction; null when it was posted through another contract.
    signers: Option<Vec<String>>,
    pot_sats: Dec,
    receipts: Vec<Receipt>,
    series: Vec<SeriesReport>,
    block: Dec,
    timestamp: Dec,
    txid: String,
}

#[derive(Debug, FromRow)]
struct SetRow {
    signers: String,
    quorum: Dec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reports {
    /// The signers now in force and how many must sign.
    signers: Vec<String>,
    quorum: Option<Dec>,
    /// Newest first.
    reports: Vec<Report>,
}

/// Newest first, at most 100.
pub(super) async fn list(State(app): Shared, Query(which): Query<Which>) -> Answer<Reports> {
    let mut snapshot = app.snapshot().await?;
    let rows: Vec<ReportRow> =
        sqlx::query_as("select * from reports order by epoch desc, round desc limit ?")
            .bind(which.limit.unwrap_or(10).min(100))
            .fetch_all(&mut *snapshot.db)
            .await?;
    let mut reports = Vec::new();
    for row in rows {
        reports.push(whole(&mut snapshot.db, row).await?);
    }
    let set: Option<SetRow> = sqlx::query_as(
        "select signers, quorum from signer_sets order by block desc, log_index desc limit 1",
    )
    .fetch_optional(&mut *snapshot.db)
    .await?;
    let quorum = set.as_ref().map(|set| set.quorum);
    let signers = set.map_or(Ok(Vec::new()), |set| serde_json::from_str(&set.signers));
    let signers = signers.map_err(crate::Error::from)?;
    snapshot.reply(Reports { signers, quorum, reports })
}

async fn whole(db: &mut SqliteConnection, row: ReportRow) -> Result<Report, Problem> {
    let id = (row.epoch, row.round);
    let receipts = sqlx::query_as(
        "select txid, vout, sats from report_receipts where epoch = ? and round = ? order by position",
    );
    let receipts = receipts.bind(id.0).bind(id.1).fetch_all(&mut *db).await?;
    let series =
        sqlx::query_as("select * from report_series where epoch = ? and round = ? order by series");
    let series: Vec<SeriesRow> = series.bind(id.0).bind(id.1).fetch_all(&mut *db).await?;
    let pieces = sqlx::query_as(
        "select series, work_epoch, sats from report_pieces where epoch = ? and round = ? order by series, work_epoch",
    );
    let pieces: Vec<PieceRow> = pieces.bind(id.0).bind(id.1).fetch_all(&mut *db).await?;
    let pot = pieces.iter().fold(0_i64, |sum, piece| sum.saturating_add(piece.sats.0));
    let mut pots: BTreeMap<i64, Vec<Piece>> = BTreeMap::new();
    for piece in pieces {
        let piece_view = Piece { work_epoch: piece.work_epoch, sats: piece.sats };
        pots.entry(piece.series.0).or_default().push(piece_view);
    }
    let series = series.into_iter().map(|row| SeriesReport {
        pots: pots.remove(&row.series.0).unwrap_or_default(),
        series: row.series,
        work: row.work,
        live_hashrate: row.live_hashrate,
        hardware_price: row.hardware_price,
        deductions_sats: row.deductions,
    });
    let signers = row.signers.as_deref().map(serde_json::from_str).transpose();
    Ok(Report {
        epoch: row.epoch,
        round: row.round,
        gap: row.gap,
        by_quorum: row.by_quorum,
        hash: row.hash,
        prev_hash: row.prev_hash,
        quote_per_btc: row.quote_per_btc,
        quote_spread_ppm: row.quote_spread,
        observed_at: row.observed_at,
        evidence_root: row.evidence_root,
        signers: signers.map_err(crate::Error::from)?,
        pot_sats: Dec(pot),
        receipts,
        series: series.collect(),
        block: row.block,
        timestamp: row.timestamp,
        txid: row.txid,
    })
}
