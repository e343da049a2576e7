//! Proof that each check can fail: the whole verification again, with one answer altered on its way in.
//!
//! The alteration is made to JSON-RPC results and journal bytes as they come over the wire; the verifier behind it is
//! the one that runs honestly.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;

use crate::{
    CheckId, Error, Outcome, checks,
    world::{Sources, World},
};

mod court;
mod lies;

/// How one lie went.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// The check that should notice.
    pub check: CheckId,
    /// What was altered.
    pub lie: &'static str,
    /// How it ended.
    pub end: End,
    /// Other checks that failed too.
    pub others: Vec<CheckId>,
}

/// How a trial can end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// The check failed, with what it found first.
    Noticed {
        /// Its first finding.
        found: String,
    },
    /// The check passed all the same.
    Unnoticed,
    /// No answer of the kind was ever asked for, so nothing was altered.
    NothingToAlter,
    /// The check fails without any lie, so nothing is shown.
    FailsAnyway,
    /// The check is not run without any lie: nothing is shown.
    NotRun {
        /// Why.
        why: String,
    },
}

/// Tells every lie, at least one per check, or only that of `only`, and runs the whole verification each time.
///
/// # Errors
/// When the honest run cannot be carried out.
pub async fn run(sources: &Sources, only: Option<u8>) -> Result<Vec<Trial>, Error> {
    let world = World::read(sources).await?;
    let honest = checks::run(&world).await;
    let mut trials = Vec::new();
    for lie in lies::all() {
        if only.is_some_and(|only| only != lie.check) {
            continue;
        }
        let check = CheckId(lie.check);
        let before = honest.verdicts.iter().find(|verdict| verdict.check == check);
        let end = match before.map(|verdict| &verdict.outcome) {
            Some(Outcome::NotChecked { why }) if !lie.even_unchecked => {
                Some(End::NotRun { why: why.clone() })
            }
            Some(Outcome::Failed { .. }) => Some(End::FailsAnyway),
            _ => (lie.lacks)(&world).map(|why| End::NotRun { why: why.into() }),
        };
        if let Some(end) = end {
            trials.push(Trial { check, lie: lie.what, end, others: Vec::new() });
            continue;
        }
        tracing::info!(check = lie.check, lie = lie.what, "tampering");
        trials.push(trial(sources, &lie).await);
    }
    Ok(trials)
}

async fn trial(sources: &Sources, lie: &lies::Lie) -> Trial {
    let told = Arc::new(AtomicBool::new(false));
    let lied = lie.tell(sources, &told);
    let check = CheckId(lie.check);
    let (end, others) = match World::read(&lied).await {
        Err(error) => (End::Noticed { found: format!("could not be read: {error}") }, Vec::new()),
        Ok(world) => {
            let report = checks::run(&world).await;
            let failed = report.verdicts.iter().filter(|verdict| verdict.failed());
            let others = failed.map(|verdict| verdict.check).filter(|id| *id != check).collect();
            let found = report.verdicts.iter().find(|verdict| verdict.check == check);
            let end = match found.map(|verdict| &verdict.outcome) {
                Some(Outcome::Failed { found }) => {
                    End::Noticed { found: found.first().cloned().unwrap_or_default() }
                }
                _ => End::Unnoticed,
            };
            (end, others)
        }
    };
    let end = if told.load(Ordering::Relaxed) { end } else { End::NothingToAlter };
    Trial { check, lie: lie.what, end, others }
}

/// Whether every lie that could be told was noticed by the check it was meant for.
#[must_use]
pub fn good(trials: &[Trial]) -> bool {
    trials.iter().all(|trial| matches!(trial.end, End::Noticed { .. } | End::NotRun { .. }))
        && trials.iter().any(|trial| matches!(trial.end, End::Noticed { .. }))
}

/// The trials as a table.
#[must_use]
pub fn text(trials: &[Trial]) -> String {
    let mut text =
        String::from("one answer altered at a time, the whole verification each time:\n");
    for trial in trials {
        let (word, detail) = match &trial.end {
            End::Noticed { found } => ("noticed", found.as_str()),
            End::Unnoticed => ("UNNOTICED", "the check did not fail"),
            End::NothingToAlter => ("NOT TOLD", "nothing of the kind was asked for"),
            End::FailsAnyway => ("FAILS", "without any lie: run without --tamper first"),
            End::NotRun { why } => ("not run", why.as_str()),
        };
        let _ = writeln!(text, "{:>2} {:<52} {word:<10} {detail}", trial.check.0, trial.lie);
        if !trial.others.is_empty() {
            let others: Vec<String> = trial.others.iter().map(|id| id.0.to_string()).collect();
            let _ = writeln!(text, "   {:<52} also failed: {}", "", others.join(", "));
        }
    }
    text.push_str(if good(trials) {
        "every lie was noticed by the check it was meant for\n"
    } else {
        "NOT shown: a lie went unnoticed, or a check fails without one\n"
    });
    text
}
