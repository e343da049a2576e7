//! The court: the operator's bond, demands to show leaves, and challenges that were upheld.

use axum::extract::State;
use evm::bindings::ILedgerCourt::ILedgerCourtInstance;
use serde::Serialize;
use sqlx::FromRow;

use super::{Answer, Dec, Shared, chain::at_block};

#[derive(Debug, FromRow)]
struct BondRow {
    held: String,
    leaving: String,
    leaving_from: String,
}

/// In quote units.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bond {
    held: String,
    /// Announced to be withdrawn.
    leaving: String,
    leaving_from: String,
    /// Asked of the contract at the answer's block; null if the node does not answer.
    required: Option<String>,
    /// Whether it suffices. Without that nothing is minted and nothing sold by the primary sale.
    sufficient: Option<bool>,
}

#[derive(Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
struct Demand {
    account: String,
    epoch: Dec,
    asked_by: String,
    asked_at: Dec,
    /// `waiting`, `answered` or `silent`.
    state: String,
    changed_at: Dec,
    txid: String,
}

#[derive(Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fault {
    fault: String,
    epoch: Dec,
    account: String,
    challenger: String,
    timestamp: Dec,
    txid: String,
}

#[derive(Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
struct Correction {
    /// The epoch whose base it changes.
    epoch: Dec,
    account: String,
    /// 0: `paid`, in sats. Any other: the accumulator, in 2^-64 sat.
    series: Dec,
    change: String,
    timestamp: Dec,
    txid: String,
}

#[derive(Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
struct Penalty {
    pool: String,
    amount: String,
    to_challenger: String,
    timestamp: Dec,
    txid: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Court {
    bond: Bond,
    /// Newest first, at most 100 of each.
    demands: Vec<Demand>,
    faults: Vec<Fault>,
    corrections: Vec<Correction>,
    penalties: Vec<Penalty>,
}

pub(super) async fn court(State(app): Shared) -> Answer<Court> {
    let mut snapshot = app.snapshot().await?;
    let at = at_block(snapshot.tip.number);
    let contract = ILedgerCourtInstance::new(app.deployment.ledger_court, &app.provider);
    let db = &mut snapshot.db;
    let row: Option<BondRow> = sqlx::query_as("select held, leaving, leaving_from from court_bond")
        .fetch_optional(&mut **db)
        .await?;
    let zero = || "0".to_owned();
    let bond = Bond {
        held: row.as_ref().map_or_else(zero, |row| row.held.clone()),
        leaving: row.as_ref().map_or_else(zero, |row| row.leaving.clone()),
        leaving_from: row.as_ref().map_or_else(zero, |row| row.leaving_from.clone()),
        required: contract.requiredBond().block(at).call().await.ok().map(|sum| sum.to_string()),
        sufficient: contract.bonded().block(at).call().await.ok(),
    };
    let demands = sqlx::query_as("select * from court_demands order by asked_at desc limit 100");
    let demands = demands.fetch_all(&mut **db).await?;
    let faults =
        sqlx::query_as("select * from court_faults order by block desc, log_index desc limit 100");
    let faults = faults.fetch_all(&mut **db).await?;
    let corrections = sqlx::query_as(
        "select * from court_corrections order by block desc, log_index desc limit 100",
    );
    let corrections = corrections.fetch_all(&mut **db).await?;
    let penalties = sqlx::query_as(
        "select * from court_penalties order by block desc, log_index desc limit 100",
    );
    let penalties = penalties.fetch_all(&mut **db).await?;
    snapshot.reply(Court { bond, demands, faults, corrections, penalties })
}
