//! One account: what it holds, where it is paid, what it was paid.

use alloy::primitives::Address;
use axum::extract::{Path, State};
use domain::EpochId;
use serde::Serialize;
use sqlx::{FromRow, SqliteConnection};

use super::{Answer, Dec, Problem, Shared, addresses, series::held_in};

/// Epochs shown, the running one included.
const EPOCHS: u32 = 4;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EpochHeld {
    epoch: Dec,
    ended: bool,
    balance_seconds: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Holding {
    series: Dec,
    /// `unit`, `lpShare` or `claim`.
    kind: &'static str,
    token: String,
    balance: String,
    epochs: Vec<EpochHeld>,
}

#[derive(Debug, FromRow)]
struct ScriptRow {
    from_epoch: Dec,
    script: String,
    minimum: Dec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Script {
    from_epoch: Dec,
    script: String,
    address: Option<String>,
    minimum_sats: Dec,
    in_force: bool,
}

#[derive(Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
struct Payout {
    epoch: Dec,
    batch: Dec,
    bitcoin_txid: String,
    vout: Dec,
    sats: Dec,
    script: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    account: String,
    holdings: Vec<Holding>,
    scripts: Vec<Script>,
    /// Outputs of proven payouts to the script that was in force for the account at the start of the epoch.
    payouts: Vec<Payout>,
}

pub(super) async fn account(State(app): Shared, Path(text): Path<String>) -> Answer<Account> {
    let parsed: Address = text.parse().map_err(|_| {
        let fix = "write it as 0x and 40 hex digits";
        Problem::bad("bad_address", format!("{text:?} is no EVM address"), fix)
    })?;
    let account = format!("{parsed:#x}");
    let mut snapshot = app.snapshot().await?;
    let now = snapshot.tip.timestamp;
    let mut holdings = Vec::new();
    for series in &app.deployment.series {
        let kinds =
            [("unit", series.unit), ("lpShare", series.lp_share), ("claim", series.claim_token)];
        for (kind, token) in kinds {
            let token = format!("{token:#x}");
            if let Some(balance) = balance(&mut snapshot.db, &token, &account).await? {
                let epochs = epochs_held(&mut snapshot.db, &token, &account, now).await?;
                let series = Dec(i64::from(series.id.0));
                holdings.push(Holding { series, kind, token, balance, epochs });
            }
        }
    }
    let rows: Vec<ScriptRow> = sqlx::query_as(
        "select from_epoch, script, minimum from payout_scripts where account = ? order by from_epoch",
    )
    .bind(&account)
    .fetch_all(&mut *snapshot.db)
    .await?;
    let epoch = Dec(i64::from(EpochId::at(now).0));
    let in_force = rows.iter().map(|row| row.from_epoch).filter(|from| *from <= epoch).max();
    let scripts = rows.into_iter().map(|row| Script {
        in_force: Some(row.from_epoch) == in_force,
        address: addresses::from_script(&row.script, app.network),
        from_epoch: row.from_epoch,
        script: row.script,
        minimum_sats: row.minimum,
    });
    let scripts = scripts.collect();
    let payouts = payouts(&mut snapshot.db, &account).await?;
    snapshot.reply(Account { account, holdings, scripts, payouts })
}

async fn balance(
    db: &mut SqliteConnection,
    token: &str,
    account: &str,
) -> Result<Option<String>, Problem> {
    let sql = "select balance from holders where token = ? and account = ?";
    Ok(sqlx::query_scalar(sql).bind(token).bind(account).fetch_optional(db).await?)
}

async fn epochs_held(
    db: &mut SqliteConnection,
    token: &str,
    account: &str,
    now: u64,
) -> Result<Vec<EpochHeld>, Problem> {
    let current = EpochId::at(now);
    let mut epochs = Vec::new();
    for back in 0..EPOCHS {
        let epoch = EpochId(current.0.saturating_sub(back));
        let held = held_in(db, token, account, epoch, now).await?;
        epochs.push(EpochHeld {
            epoch: Dec(i64::from(epoch.0)),
            ended: epoch.end() <= now,
            balance_seconds: held.to_string(),
        });
    }
    Ok(epochs)
}

async fn payouts(db: &mut SqliteConnection, account: &str) -> Result<Vec<Payout>, Problem> {
    Ok(sqlx::query_as(
        "select o.epoch, o.batch, p.bitcoin_txid, o.vout, o.sats, o.script
         from payout_outputs o
         join payout_proofs p on p.epoch = o.epoch and p.batch = o.batch
         join payout_scripts s on s.account = ? and s.script = o.script
         where s.from_epoch = (
             select max(from_epoch) from payout_scripts where account = s.account and from_epoch <= o.epoch
         )
         order by o.epoch desc, o.batch, o.vout",
    )
    .bind(account)
    .fetch_all(db)
    .await?)
}
