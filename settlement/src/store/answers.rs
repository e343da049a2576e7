//! Demands of the court, as far as this database knows what became of them.

use alloy::primitives::{Address, Bytes};
use domain::EpochId;
use sqlx::Row;

use super::Store;
use crate::error::Error;

/// What became of a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The answer may be on its way.
    Answering,
    /// It is on the chain, in a final block.
    Answered,
    /// Twelve hours have passed without one.
    Missed,
}

impl Answered {
    /// Name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answering => "answering",
            Self::Answered => "answered",
            Self::Missed => "missed",
        }
    }
}

impl Store {
    /// Writes what became of a demand. `calldata` is that of the answer; none changes nothing of one that is there.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_answer(
        &self,
        account: Address,
        epoch: EpochId,
        asked_at: u64,
        state: Answered,
        calldata: Option<&Bytes>,
    ) -> Result<(), Error> {
        let asked_at = i64::try_from(asked_at).unwrap_or(i64::MAX);
        sqlx::query(
            "INSERT INTO answers (account, epoch, asked_at, state, calldata) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account, epoch, asked_at) DO UPDATE SET state = excluded.state,
             calldata = CASE excluded.calldata WHEN '' THEN answers.calldata ELSE excluded.calldata END",
        )
        .bind(format!("{account:#x}"))
        .bind(i64::from(epoch.0))
        .bind(asked_at)
        .bind(state.name())
        .bind(calldata.map(ToString::to_string).unwrap_or_default())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How many demands ended so.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn count_answers(&self, state: Answered) -> Result<u64, Error> {
        let row = sqlx::query("SELECT COUNT(*) FROM answers WHERE state = $1").bind(state.name());
        let count: i64 = row.fetch_one(&self.pool).await?.get(0);
        Ok(u64::try_from(count).unwrap_or_default())
    }
}
