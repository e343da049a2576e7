//! What a check says, and how a whole verification is printed.

use std::fmt::Write;

use serde::Serialize;

use crate::Error;

/// One of the checks of DESIGN section 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CheckId(pub u8);

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// What was claimed is true; says what was compared.
    Passed {
        /// What was compared, in one line.
        what: String,
    },
    /// Something is not as claimed.
    Failed {
        /// Each thing found.
        found: Vec<String>,
    },
    /// Nothing could be said.
    NotChecked {
        /// Why.
        why: String,
    },
}

/// One check's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Which check.
    pub check: CheckId,
    /// Its name.
    pub name: &'static str,
    /// Its answer.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Lines worth reading beside the outcome: tables, pending items.
    pub notes: Vec<String>,
}

/// All verdicts of one verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// EVM block that everything was read at.
    pub evm_block: u64,
    /// Height of the Bitcoin chain that was read.
    pub bitcoin_height: u64,
    /// First and last committed epoch, if any.
    pub epochs: Option<(u32, u32)>,
    /// In order of check.
    pub verdicts: Vec<Verdict>,
}

/// Collects what a check finds while it runs.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    faults: Vec<String>,
    notes: Vec<String>,
}

impl Findings {
    /// Records a fault unless `ok`.
    pub fn require(&mut self, ok: bool, fault: impl FnOnce() -> String) {
        if !ok {
            self.faults.push(fault());
        }
    }

    /// Records a fault.
    pub fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    /// Records faults that were found elsewhere.
    pub fn faults(&mut self, faults: impl IntoIterator<Item = String>) {
        self.faults.extend(faults);
    }

    /// Records a line worth reading.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Passed with `what` if nothing was found.
    #[must_use]
    pub fn passed(self, what: impl Into<String>) -> (Outcome, Vec<String>) {
        self.end(Outcome::Passed { what: what.into() })
    }

    /// Not checked with `why` if nothing was found.
    #[must_use]
    pub fn not_checked(self, why: impl Into<String>) -> (Outcome, Vec<String>) {
        self.end(Outcome::NotChecked { why: why.into() })
    }

    fn end(self, otherwise: Outcome) -> (Outcome, Vec<String>) {
        let outcome =
            if self.faults.is_empty() { otherwise } else { Outcome::Failed { found: self.faults } };
        (outcome, self.notes)
    }
}

impl Verdict {
    /// The verdict of a check that ran, or that could not: no answer is no yes.
    #[must_use]
    pub fn of(
        check: CheckId,
        name: &'static str,
        result: Result<(Outcome, Vec<String>), Error>,
    ) -> Self {
        let (outcome, notes) = result.unwrap_or_else(|error| {
            (Outcome::Failed { found: vec![format!("could not be read: {error}")] }, Vec::new())
        });
        Self { check, name, outcome, notes }
    }

    /// Whether the check failed.
    #[must_use]
    pub const fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed { .. })
    }
}

/// Findings of one check printed in full; more are counted.
const SHOWN: usize = 12;

impl Report {
    /// Whether no check failed.
    #[must_use]
    pub fn good(&self) -> bool {
        !self.verdicts.iter().any(Verdict::failed)
    }

    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "read at EVM block {} (finalized) and Bitcoin height {}",
            self.evm_block, self.bitcoin_height
        );
        if let Some((first, last)) = self.epochs {
            let _ = write!(text, "; committed epochs {first} to {last}");
        }
        text.push('\n');
        for verdict in &self.verdicts {
            let head = format!("{:>2} {:<34}", verdict.check.0, verdict.name);
            match &verdict.outcome {
                Outcome::Passed { what } => {
                    let _ = writeln!(text, "{head} passed       {what}");
                }
                Outcome::NotChecked { why } => {
                    let _ = writeln!(text, "{head} not checked  ({why})");
                }
                Outcome::Failed { found } => {
                    let _ = writeln!(text, "{head} FAILED       {} found", found.len());
                    for line in found.iter().take(SHOWN) {
                        let _ = writeln!(text, "     - {line}");
                    }
                    if found.len() > SHOWN {
                        let _ = writeln!(text, "     - and {} more", found.len() - SHOWN);
                    }
                }
            }
            for note in &verdict.notes {
                let _ = writeln!(text, "     {note}");
            }
        }
        let end = if self.good() { "verified: nothing claimed is false" } else { "NOT verified" };
        text.push_str(end);
        text.push('\n');
        text
    }
}
