//! Labelled points at which `--halt-at` stops the process for ever, so that a test can kill it there.

use std::io::Write;

use clap::ValueEnum;

/// The points, in the order an epoch passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HaltPoint {
    /// The block to read is chosen, not stored.
    SnapshotChosen,
    /// The block is stored, nothing is read.
    SnapshotSaved,
    /// Leaves and commitment are computed, not stored.
    AllocatedUnsaved,
    /// Leaves and commitment are stored, the commit is not sent.
    AllocatedSaved,
    /// The commit is mined, not stored.
    CommitLanded,
    /// The commit is stored, not yet final.
    CommittedSaved,
    /// The commit is final and planned, the plan is not stored.
    PlannedUnsaved,
    /// The plan is stored, no signer was asked.
    PlannedSaved,
    /// One signature is here; the signers that were asked with it may have signed too.
    OneSignature,
    /// Enough signatures are here, not stored.
    SignedUnsaved,
    /// The signed transactions are stored, nothing is broadcast.
    SignedSaved,
    /// The transaction is broadcast, not stored as sent.
    BroadcastDone,
    /// Stored as sent, waiting for confirmations.
    SentSaved,
    /// Confirmed, not stored.
    ConfirmedUnsaved,
    /// Stored as confirmed, no proof is sent.
    ConfirmedSaved,
    /// The proof is mined, not stored.
    ProofLanded,
    /// Stored as proven.
    ProvenSaved,
    /// A dearer variant is computed, not stored. Passed, as the next five, only when a fee is raised.
    BumpUnsaved,
    /// The dearer variant is stored, no signer was asked.
    BumpSaved,
    /// Enough signatures for the dearer variant are here, not stored.
    BumpSigned,
    /// The signed dearer variant is stored, not broadcast.
    BumpSignedSaved,
    /// The dearer variant is broadcast, not stored as sent.
    BumpSent,
    /// Stored as sent.
    BumpSentSaved,
    /// The answer to a demand of the court is stored, not sent. Passed only when somebody demands.
    AnswerSaved,
    /// The answer is mined.
    AnswerLanded,
}

/// Stops at one point, or never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Halts(pub Option<HaltPoint>);

impl Halts {
    /// Returns at once unless this is the point to halt at; then prints `halted LABEL` and never returns.
    pub async fn at(self, point: HaltPoint) {
        if self.0 != Some(point) {
            return;
        }
        let label = point.to_possible_value().map(|value| value.get_name().to_owned());
        {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "halted {}", label.unwrap_or_default());
            let _ = out.flush();
        }
        std::future::pending::<()>().await;
    }
}
