//! Epochs as the ledger has them: commitment, batches, and the Bitcoin transactions that were proven.

use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::{FromRow, SqliteConnection};

use super::{Answer, Dec, Problem, Shared, addresses};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    limit: Option<u16>,
}

#[derive(Debug, FromRow)]
struct CommitmentRow {
    epoch: Dec,
    root_hash: String,
    acc_sum: String,
    paid_sum: Dec,
    accounts: Dec,
    min_pay: Dec,
    fee_rate: Dec,
    anchor_height: Dec,
    anchor_hash: String,
    deferred: bool,
    funding: String,
    total: Dec,
    block: Dec,
    timestamp: Dec,
    txid: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Root {
    hash: String,
    acc_sum: String,
    paid_sum: Dec,
}

#[derive(Debug, FromRow)]
struct BatchRow {
    batch: Dec,
    outputs_hash: Option<String>,
    total: Option<Dec>,
    bitcoin_txid: Option<String>,
    bitcoin_block: Option<String>,
    proven_at: Option<Dec>,
    proof_txid: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    batch: Dec,
    outputs_hash: Option<String>,
    total_sats: Option<Dec>,
    /// Mined deep enough and shown to the contract: from then on the txid is known here.
    proven: bool,
    bitcoin_txid: Option<String>,
    bitcoin_block: Option<String>,
    proven_at: Option<Dec>,
    proof_txid: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Epoch {
    epoch: Dec,
    /// `committed`, `proven`, `deferred`, or `empty` when nothing is paid.
    state: &'static str,
    root: Root,
    accounts: Dec,
    min_pay_sats: Dec,
    fee_rate: Dec,
    anchor_height: Dec,
    anchor_hash: String,
    funding: Box<RawValue>,
    total_sats: Dec,
    batches: Vec<Batch>,
    block: Dec,
    timestamp: Dec,
    txid: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Epochs {
    epochs: Vec<Epoch>,
}

/// Newest first, at most 100.
pub(super) async fn list(State(app): Shared, Query(which): Query<Which>) -> Answer<Epochs> {
    let mut snapshot = app.snapshot().await?;
    let rows: Vec<CommitmentRow> =
        sqlx::query_as("select * from commitments order by epoch desc limit ?")
            .bind(which.limit.unwrap_or(20).min(100))
            .fetch_all(&mut *snapshot.db)
            .await?;
    let mut epochs = Vec::new();
    for row in rows {
        epochs.push(whole(&mut snapshot.db, row).await?);
    }
    snapshot.reply(Epochs { epochs })
}

#[derive(Debug, FromRow)]
struct OutputRow {
    batch: Dec,
    vout: Dec,
    script: String,
    sats: Dec,
}

#[derive(Debug, Serialize)]
struct Output {
    batch: Dec,
    vout: Dec,
    script: String,
    address: Option<String>,
    sats: Dec,
}

#[derive(Debug, Serialize)]
pub(super) struct OneEpoch {
    #[serde(flatten)]
    epoch: Epoch,
    /// Every output of the proven transactions: the next baton, the marker and the payees.
    outputs: Vec<Output>,
}

pub(super) async fn one(State(app): Shared, Path(epoch): Path<u32>) -> Answer<OneEpoch> {
    let mut snapshot = app.snapshot().await?;
    let row: Option<CommitmentRow> = sqlx::query_as("select * from commitments where epoch = ?")
        .bind(epoch)
        .fetch_optional(&mut *snapshot.db)
        .await?;
    let row = row.ok_or_else(|| {
        let fix = "GET /v1/epochs lists the committed epochs; an epoch is committed after it ends";
        Problem::not_found(format!("epoch {epoch} is not committed"), fix)
    })?;
    let outputs: Vec<OutputRow> = sqlx::query_as(
        "select batch, vout, script, sats from payout_outputs where epoch = ? order by batch, vout",
    )
    .bind(epoch)
    .fetch_all(&mut *snapshot.db)
    .await?;
    let outputs = outputs.into_iter().map(|row| Output {
        address: addresses::from_script(&row.script, app.network),
        batch: row.batch,
        vout: row.vout,
        script: row.script,
        sats: row.sats,
    });
    let outputs = outputs.collect();
    let epoch = whole(&mut snapshot.db, row).await?;
    snapshot.reply(OneEpoch { epoch, outputs })
}

async fn whole(db: &mut SqliteConnection, row: CommitmentRow) -> Result<Epoch, Problem> {
    // A proof may be of the root transaction (batch 65535), which no committed batch stands for.
    let batches: Vec<BatchRow> = sqlx::query_as(
        "select ids.batch, b.outputs_hash, b.total, p.bitcoin_txid, p.bitcoin_block,
                p.timestamp as proven_at, p.txid as proof_txid
         from (select batch from payout_batches where epoch = ?1
               union select batch from payout_proofs where epoch = ?1) ids
         left join payout_batches b on b.epoch = ?1 and b.batch = ids.batch
         left join payout_proofs p on p.epoch = ?1 and p.batch = ids.batch
         order by ids.batch",
    )
    .bind(row.epoch)
    .fetch_all(db)
    .await?;
    let batches: Vec<Batch> = batches
        .into_iter()
        .map(|row| Batch {
            batch: row.batch,
            outputs_hash: row.outputs_hash,
            total_sats: row.total,
            proven: row.bitcoin_txid.is_some(),
            bitcoin_txid: row.bitcoin_txid,
            bitcoin_block: row.bitcoin_block,
            proven_at: row.proven_at,
            proof_txid: row.proof_txid,
        })
        .collect();
    let state = match (row.deferred, batches.is_empty()) {
        (true, _) => "deferred",
        (false, true) => "empty",
        (false, false) if batches.iter().all(|batch| batch.proven) => "proven",
        (false, false) => "committed",
    };
    Ok(Epoch {
        epoch: row.epoch,
        state,
        root: Root { hash: row.root_hash, acc_sum: row.acc_sum, paid_sum: row.paid_sum },
        accounts: row.accounts,
        min_pay_sats: row.min_pay,
        fee_rate: row.fee_rate,
        anchor_height: row.anchor_height,
        anchor_hash: row.anchor_hash,
        funding: RawValue::from_string(row.funding).map_err(crate::Error::from)?,
        total_sats: row.total,
        batches,
        block: row.block,
        timestamp: row.timestamp,
        txid: row.txid,
    })
}
