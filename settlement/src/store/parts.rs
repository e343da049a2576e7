//! States on disk: a row with the name of each epoch's state, and a row for each part of it. A part is written when it
//! comes to be or changes, and stays when the state goes on: what was decided for 100,000 payees is written once. Parts
//! that a state does not have (one that a reorg took back had them) are not looked at.

use std::collections::BTreeMap;

use domain::EpochId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sqlx::{Any, AnyPool, Row, Transaction as Tx, any::AnyRow};

use super::{from_json, number, to_json};
use crate::{
    error::Error,
    known::KnownTx,
    packed,
    plan::Plan,
    state::{Confirmed, Inclusion, Intent, Planned, Signed, SnapshotAt, State},
    variant::Variant,
};

/// One row a part, with the name of the epoch's state.
const ALL: &str =
    "SELECT e.epoch, e.state, p.part, p.data FROM epochs e LEFT JOIN parts p ON p.epoch = e.epoch";

const SNAPSHOT: &str = "snapshot";
const INTENT: &str = "intent";
const FIXED: &str = "fixed";
const SIGNED: &str = "signed";
const INCLUSIONS: &str = "inclusions";

/// What a plan adds to its intent.
#[derive(PartialEq, Serialize, Deserialize)]
struct Fixed {
    plan: Plan,
    creator: KnownTx,
    tip: u32,
    others: Vec<Variant>,
}

impl Fixed {
    fn of(planned: &Planned) -> Self {
        let Planned { intent: _, plan, creator, tip, others } = planned;
        let (plan, creator, others) = (plan.clone(), creator.clone(), others.clone());
        Self { plan, creator, tip: *tip, others }
    }
}

/// What the signers add to a plan.
#[derive(PartialEq, Serialize, Deserialize)]
struct Witnessed {
    #[serde(with = "packed::txs")]
    txs: Vec<KnownTx>,
}

/// A state taken apart. Clones are of shared data.
#[derive(Default)]
struct Parts {
    snapshot: Option<SnapshotAt>,
    intent: Option<Intent>,
    fixed: Option<Fixed>,
    signed: Option<Witnessed>,
    inclusions: Option<Vec<Inclusion>>,
}

impl Parts {
    fn of(state: &State) -> Self {
        let mut parts = Self {
            intent: state.intent().cloned(),
            fixed: state.planned().map(Fixed::of),
            ..Self::default()
        };
        match state {
            State::Snapshot(at) => parts.snapshot = Some(at.clone()),
            State::Allocated(_) | State::Committed(_) | State::Closed(_) | State::Planned(_) => {}
            State::Signed(signed) | State::Sent(signed) => {
                parts.signed = Some(Witnessed { txs: signed.txs.clone() });
            }
            State::Confirmed(confirmed) | State::Proven(confirmed) => {
                parts.signed = Some(Witnessed { txs: confirmed.signed.txs.clone() });
                parts.inclusions = Some(confirmed.inclusions.clone());
            }
        }
        parts
    }

    /// JSON of the parts that are not as they were `before`.
    fn changed(&self, before: &Self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut rows = Vec::new();
        add(&mut rows, SNAPSHOT, self.snapshot.as_ref(), before.snapshot.as_ref())?;
        add(&mut rows, INTENT, self.intent.as_ref(), before.intent.as_ref())?;
        add(&mut rows, FIXED, self.fixed.as_ref(), before.fixed.as_ref())?;
        add(&mut rows, SIGNED, self.signed.as_ref(), before.signed.as_ref())?;
        add(&mut rows, INCLUSIONS, self.inclusions.as_ref(), before.inclusions.as_ref())?;
        Ok(rows)
    }
}

fn add<T: PartialEq + Serialize>(
    rows: &mut Vec<(&'static str, String)>,
    name: &'static str,
    part: Option<&T>,
    before: Option<&T>,
) -> Result<(), Error> {
    if let Some(part) = part
        && before != Some(part)
    {
        rows.push((name, to_json(part)?));
    }
    Ok(())
}

/// Writes a state. `before` is what the database is known to hold of the epoch, if that is known.
pub(super) async fn write(
    tx: &mut Tx<'_, Any>,
    epoch: EpochId,
    state: &State,
    before: Option<&State>,
) -> Result<(), Error> {
    let named = match before {
        // what is not there as it was left does not go on without its parts
        Some(before) => sqlx::query("UPDATE epochs SET state = $2 WHERE epoch = $1 AND state = $3")
            .bind(i64::from(epoch.0))
            .bind(state.name())
            .bind(before.name()),
        None => sqlx::query(
            "INSERT INTO epochs (epoch, state) VALUES ($1, $2) ON CONFLICT (epoch) DO UPDATE SET state = excluded.state",
        )
        .bind(i64::from(epoch.0))
        .bind(state.name()),
    };
    if named.execute(&mut **tx).await?.rows_affected() != 1 {
        return Err(Error::Damaged(format!(
            "epoch {epoch} is not as it was left: the database has lost what it had written, or another process writes to it"
        )));
    }
    let before = before.map(Parts::of).unwrap_or_default();
    for (part, data) in Parts::of(state).changed(&before)? {
        sqlx::query(
            "INSERT INTO parts (epoch, part, data) VALUES ($1, $2, $3) ON CONFLICT (epoch, part) DO UPDATE SET data = excluded.data",
        )
        .bind(i64::from(epoch.0))
        .bind(part)
        .bind(data)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// The state of an epoch as the database has it.
pub(crate) async fn read<'c>(
    from: impl sqlx::Executor<'c, Database = Any>,
    epoch: EpochId,
) -> Result<Option<State>, Error> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{ALL} WHERE e.epoch = $1")));
    let rows = rows.bind(i64::from(epoch.0)).fetch_all(from).await?;
    Ok(whole(rows)?.pop().map(|(_, state)| state))
}

/// The first transaction of the plan that was last fixed for an epoch.
pub(super) async fn first_planned(pool: &AnyPool, epoch: EpochId) -> Result<KnownTx, Error> {
    let row = sqlx::query("SELECT data FROM parts WHERE epoch = $1 AND part = $2");
    let row = row.bind(i64::from(epoch.0)).bind(FIXED).fetch_optional(pool).await?;
    let fixed: Option<Fixed> = row.map(|row| from_json(&row.get::<String, _>(0))).transpose()?;
    let first = fixed.and_then(|fixed| Some(fixed.plan.txs.into_iter().next()?.tx));
    first.ok_or_else(|| Error::Damaged(format!("epoch {epoch} lacks its {FIXED}")))
}

/// Every epoch and its state, ascending.
pub(super) async fn read_all<'c>(
    from: impl sqlx::Executor<'c, Database = Any>,
) -> Result<Vec<(EpochId, State)>, Error> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{ALL} ORDER BY e.epoch")));
    whole(rows.fetch_all(from).await?)
}

fn whole(rows: Vec<AnyRow>) -> Result<Vec<(EpochId, State)>, Error> {
    let mut epochs: BTreeMap<EpochId, (String, BTreeMap<String, String>)> = BTreeMap::new();
    for row in rows {
        let epoch = EpochId(number(&row, 0)?);
        let (_, parts) = epochs.entry(epoch).or_insert_with(|| (row.get(1), BTreeMap::new()));
        if let (Some(part), Some(data)) = (row.get(2), row.get(3)) {
            parts.insert(part, data);
        }
    }
    epochs
        .into_iter()
        .map(|(epoch, (name, parts))| Ok((epoch, join(epoch, &name, &parts)?)))
        .collect()
}

/// The state of this name from its parts.
fn join(epoch: EpochId, name: &str, parts: &BTreeMap<String, String>) -> Result<State, Error> {
    let row = Stored { epoch, parts };
    Ok(match name {
        "snapshot" => State::Snapshot(row.part(SNAPSHOT)?),
        "allocated" => State::Allocated(row.part(INTENT)?),
        "committed" => State::Committed(row.part(INTENT)?),
        "closed" => State::Closed(row.part(INTENT)?),
        "planned" => State::Planned(row.planned()?),
        "signed" => State::Signed(row.signed()?),
        "sent" => State::Sent(row.signed()?),
        "confirmed" => State::Confirmed(row.confirmed()?),
        "proven" => State::Proven(row.confirmed()?),
        other => return Err(Error::Damaged(format!("epoch {epoch} is in a state called {other}"))),
    })
}

/// The parts of one epoch.
struct Stored<'a> {
    epoch: EpochId,
    parts: &'a BTreeMap<String, String>,
}

impl Stored<'_> {
    fn part<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let text = self.parts.get(name);
        let text =
            text.ok_or_else(|| Error::Damaged(format!("epoch {} lacks its {name}", self.epoch)))?;
        from_json(text)
    }

    fn planned(&self) -> Result<Planned, Error> {
        let Fixed { plan, creator, tip, others } = self.part(FIXED)?;
        Ok(Planned { intent: self.part(INTENT)?, plan, creator, tip, others })
    }

    fn signed(&self) -> Result<Signed, Error> {
        let Witnessed { txs } = self.part(SIGNED)?;
        Ok(Signed { planned: self.planned()?, txs })
    }

    fn confirmed(&self) -> Result<Confirmed, Error> {
        Ok(Confirmed { signed: self.signed()?, inclusions: self.part(INCLUSIONS)? })
    }
}
