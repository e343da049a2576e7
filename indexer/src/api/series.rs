//! Series, their holders, and who held how much for how long.

use alloy::primitives::U256;
use axum::extract::{Path, State};
use domain::EpochId;
use evm::SeriesContracts;
use serde::Serialize;
use sqlx::{FromRow, SqliteConnection};

use super::{Answer, App, Dec, Problem, Shared};

#[derive(Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Series {
    id: Dec,
    unit: String,
    algorithm: Dec,
    generation: Dec,
    hashrate_per_unit: String,
    millijoule_per_terahash: Dec,
    service_date: Dec,
    opex_per_unit: String,
    policy: String,
    model: String,
    name: String,
    symbol: String,
    backed_units: String,
    machines: Dec,
    last_machine_root: Option<String>,
    /// 1 while too few machines have hashed for 21 epochs: the primary sale is stopped.
    unbacked: Dec,
}

/// What the machines of a series did in the last report, against what its units were promised.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Backing {
    series: Dec,
    epoch: Dec,
    live_hashrate: String,
    /// Rounded down; absent while nothing is backed.
    percent: Option<String>,
}

/// A change of the machines' generation.
#[derive(Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Upgrade {
    series: Dec,
    nonce: Dec,
    state: String,
    vendor: String,
    retired_root: String,
    machine_root: String,
    generation: Dec,
    model: String,
    machines: Dec,
    hashrate: String,
    price: String,
    arrived: String,
    carried: String,
    ready_at: Dec,
    hashrate_per_unit_before: Option<String>,
    hashrate_per_unit_after: Option<String>,
    remainder: Option<String>,
    txid: String,
}

#[derive(Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MachineBatch {
    series: Dec,
    nonce: Dec,
    machines: Dec,
    units: String,
    machine_root: String,
    evidence: String,
    block: Dec,
    txid: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeriesList {
    series: Vec<Series>,
    machine_batches: Vec<MachineBatch>,
    backing: Vec<Backing>,
    upgrades: Vec<Upgrade>,
}

pub(super) async fn list(State(app): Shared) -> Answer<SeriesList> {
    let mut snapshot = app.snapshot().await?;
    let series: Vec<Series> =
        sqlx::query_as("select * from series order by id").fetch_all(&mut *snapshot.db).await?;
    let mut backing = Vec::new();
    for one in &series {
        backing.extend(backing_of(&mut snapshot.db, one).await?);
    }
    let upgrades = sqlx::query_as("select * from upgrades order by series, nonce")
        .fetch_all(&mut *snapshot.db)
        .await?;
    let machine_batches = sqlx::query_as("select * from machine_batches order by series, nonce")
        .fetch_all(&mut *snapshot.db)
        .await?;
    snapshot.reply(SeriesList { series, machine_batches, backing, upgrades })
}

/// By the last report that has a line of the series; none before it.
async fn backing_of(
    db: &mut SqliteConnection,
    series: &Series,
) -> Result<Option<Backing>, Problem> {
    let row: Option<(i64, String)> = sqlx::query_as(
        "select epoch, live_hashrate from report_series where series = ? order by epoch desc, round desc limit 1",
    )
    .bind(series.id.0)
    .fetch_optional(db)
    .await?;
    let Some((epoch, live_hashrate)) = row else { return Ok(None) };
    let number = |text: &str| {
        let found = text.to_owned();
        text.parse::<U256>().map_err(|_| crate::Error::Corrupt { what: "backing", found })
    };
    let backed = number(&series.hashrate_per_unit)?.saturating_mul(number(&series.backed_units)?);
    let live = number(&live_hashrate)?.saturating_mul(U256::from(100) * U256::from(domain::UNIT));
    let percent = live.checked_div(backed).map(|percent| percent.to_string());
    Ok(Some(Backing { series: Dec(series.id.0), epoch: Dec(epoch), live_hashrate, percent }))
}

#[derive(Debug, FromRow, Serialize)]
struct Holder {
    account: String,
    balance: String,
    since: Dec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Holders {
    series: Dec,
    units: Vec<Holder>,
    lp_shares: Vec<Holder>,
    claims: Vec<Holder>,
}

pub(super) async fn holders(State(app): Shared, Path(id): Path<u16>) -> Answer<Holders> {
    let contracts = contracts(&app, id)?;
    let mut snapshot = app.snapshot().await?;
    let mut of = async |token| {
        // Decimal text without leading zeros sorts by length, then by digits.
        sqlx::query_as(
            "select account, balance, since from holders where token = ? and balance <> '0'
             and account <> '0x0000000000000000000000000000000000000000'
             order by length(balance) desc, balance desc, account",
        )
        .bind(format!("{token:#x}"))
        .fetch_all(&mut *snapshot.db)
        .await
    };
    let units: Vec<Holder> = of(contracts.unit).await?;
    let lp_shares: Vec<Holder> = of(contracts.lp_share).await?;
    let claims: Vec<Holder> = of(contracts.claim_token).await?;
    snapshot.reply(Holders { series: Dec(i64::from(id)), units, lp_shares, claims })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Held {
    account: String,
    balance_seconds: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BalanceSeconds {
    series: Dec,
    epoch: Dec,
    /// False while the epoch runs: the sums are then up to the block named.
    ended: bool,
    total_units: String,
    units: Vec<Held>,
    lp_shares: Vec<Held>,
    claims: Vec<Held>,
}

pub(super) async fn balance_seconds(
    State(app): Shared,
    Path((id, epoch)): Path<(u16, u32)>,
) -> Answer<BalanceSeconds> {
    let contracts = contracts(&app, id)?;
    let mut snapshot = app.snapshot().await?;
    let (epoch, now) = (EpochId(epoch), snapshot.tip.timestamp);
    let zero = alloy::primitives::Address::ZERO;
    let mut all = Vec::new();
    for token in [contracts.unit, contracts.lp_share, contracts.claim_token] {
        let accounts: Vec<String> =
            sqlx::query_scalar("select account from holders where token = ? order by account")
                .bind(format!("{token:#x}"))
                .fetch_all(&mut *snapshot.db)
                .await?;
        let mut held = Vec::new();
        for account in accounts {
            let sum =
                held_in(&mut snapshot.db, &format!("{token:#x}"), &account, epoch, now).await?;
            if !sum.is_zero() {
                held.push(Held { account, balance_seconds: sum.to_string() });
            }
        }
        all.push(held);
    }
    let (claims, lp_shares, mut units) = (
        all.pop().unwrap_or_default(),
        all.pop().unwrap_or_default(),
        all.pop().unwrap_or_default(),
    );
    let supply = format!("{zero:#x}");
    let total = units.iter().find(|held| held.account == supply);
    let total_units = total.map_or_else(|| "0".to_owned(), |held| held.balance_seconds.clone());
    units.retain(|held| held.account != supply);
    let without_supply =
        |held: Vec<Held>| held.into_iter().filter(|held| held.account != supply).collect();
    snapshot.reply(BalanceSeconds {
        series: Dec(i64::from(id)),
        epoch: Dec(i64::from(epoch.0)),
        ended: epoch.end() <= now,
        total_units,
        units,
        lp_shares: without_supply(lp_shares),
        claims: without_supply(claims),
    })
}

/// Balance-seconds of an account in an epoch, up to `now` while the epoch runs.
pub(crate) async fn held_in(
    db: &mut SqliteConnection,
    token: &str,
    account: &str,
    epoch: EpochId,
    now: u64,
) -> Result<U256, Problem> {
    let end = cumulative_at(db, token, account, epoch.end().min(now)).await?;
    let start = cumulative_at(db, token, account, epoch.start().min(now)).await?;
    Ok(end.saturating_sub(start))
}

async fn cumulative_at(
    db: &mut SqliteConnection,
    token: &str,
    account: &str,
    time: u64,
) -> Result<U256, Problem> {
    let time_signed = crate::store::writer::signed(time);
    let row: Option<(i64, String, String)> = sqlx::query_as(
        "select timestamp, cumulative, balance from checkpoints
         where token = ? and account = ? and timestamp <= ? order by timestamp desc limit 1",
    )
    .bind(token)
    .bind(account)
    .bind(time_signed)
    .fetch_optional(db)
    .await?;
    let Some((at, cumulative, balance)) = row else { return Ok(U256::ZERO) };
    let parse = |what, text: String| {
        text.parse::<U256>().map_err(|_| crate::Error::Corrupt { what, found: text.clone() })
    };
    let seconds = U256::from(time.saturating_sub(u64::try_from(at).unwrap_or_default()));
    let held = parse("balance", balance)?.saturating_mul(seconds);
    Ok(parse("cumulative", cumulative)?.saturating_add(held))
}

/// The contracts of a series, or a problem that names it.
pub(super) fn contracts(app: &App, id: u16) -> Result<&SeriesContracts, Problem> {
    app.deployment.series(domain::SeriesId(id)).ok_or_else(|| {
        Problem::not_found(format!("there is no series {id}"), "GET /v1/series lists the series")
    })
}
