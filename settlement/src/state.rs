//! Where an epoch stands: `Snapshot → Allocated → Committed → Planned → Signed → Sent → Confirmed → Proven`, or
//! `Committed → Closed` if nobody is due.
//!
//! A state is written before the effect that follows from it, and durably where that effect is seen by the world: an
//! `Allocated` epoch may have been committed, a `Signed` one may have been broadcast (ADR 0022). Every effect asks the contract or the node first whether it has happened. A fee
//! bump takes a `Sent` epoch back to `Planned` with the variant so far among the others; so does whatever else makes
//! another variant the present one.

use alloy::{
    primitives::{B256, Bytes},
    sol_types::SolValue,
};
use bitcoin::{BlockHash, Txid};
use evm::bindings::IEpochLedger;
use serde::{Deserialize, Serialize};

use crate::{allocate::Batch, error::Error, known::KnownTx, plan::Plan, variant::Variant};

/// The finalized EVM block that an epoch was read at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotAt {
    /// Block number.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// Struct hash of the report; zero for a gap.
    pub report: B256,
}

/// The commitment that was or will be sent, ABI-encoded, and what it pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// `abi.encode(Commitment)`.
    pub commitment: Bytes,
    /// Payments by batch.
    pub batches: Vec<Batch>,
    /// Wrappers that were in force when it was made.
    pub wrappers: usize,
}

impl Intent {
    /// Wraps a commitment.
    #[must_use]
    pub fn new(
        commitment: &IEpochLedger::Commitment,
        batches: Vec<Batch>,
        wrappers: usize,
    ) -> Self {
        Self { commitment: commitment.abi_encode().into(), batches, wrappers }
    }

    /// The commitment.
    ///
    /// # Errors
    /// When the stored bytes are damaged.
    pub fn commitment(&self) -> Result<IEpochLedger::Commitment, Error> {
        IEpochLedger::Commitment::abi_decode(&self.commitment)
            .map_err(|error| Error::Damaged(format!("commitment: {error}")))
    }

    /// keccak of the encoding.
    #[must_use]
    pub fn hash(&self) -> B256 {
        alloy::primitives::keccak256(&self.commitment)
    }
}

/// An intent with its unsigned transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What was committed.
    pub intent: Intent,
    /// The transactions.
    pub plan: Plan,
    /// The transaction that created the baton they spend.
    pub creator: KnownTx,
    /// Height of the tip when they were fixed.
    pub tip: u32,
    /// Other variants that were fixed for the epoch, oldest first; one of them may be mined instead.
    pub others: Vec<Variant>,
}

/// A plan with its signed transactions, in the plan's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The plan.
    pub planned: Planned,
    /// The transactions. Without witness where the transaction was found in a block before we had signatures.
    pub txs: Vec<KnownTx>,
}

/// The block that holds a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inclusion {
    /// Batch.
    pub batch: u16,
    /// Transaction.
    pub txid: Txid,
    /// Block height.
    pub height: u32,
    /// Block hash.
    pub block: BlockHash,
}

/// A signed plan whose every transaction has enough confirmations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The transactions.
    pub signed: Signed,
    /// Where each is, in the plan's order.
    pub inclusions: Vec<Inclusion>,
}

/// State of an epoch, with what it has become so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The block to read at is chosen.
    Snapshot(SnapshotAt),
    /// Leaves are stored and the commitment is decided; it may be on its way to the contract.
    Allocated(Intent),
    /// The contract has it, not yet in a final block.
    Committed(Intent),
    /// The commit is final and has no batch: nobody is due, the epoch ends here.
    Closed(Intent),
    /// The commit is final and the transactions are fixed; signers may be asked.
    Planned(Planned),
    /// Enough signatures are here; the transactions may have been broadcast.
    Signed(Signed),
    /// The paying transaction is known to the network.
    Sent(Signed),
    /// Every transaction has the configured confirmations; proofs may have been sent.
    Confirmed(Confirmed),
    /// The contract has every proof.
    Proven(Confirmed),
}

impl State {
    /// Name in the database, logs and answers.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Snapshot(_) => "snapshot",
            Self::Allocated(_) => "allocated",
            Self::Committed(_) => "committed",
            Self::Closed(_) => "closed",
            Self::Planned(_) => "planned",
            Self::Signed(_) => "signed",
            Self::Sent(_) => "sent",
            Self::Confirmed(_) => "confirmed",
            Self::Proven(_) => "proven",
        }
    }

    /// Whether the epoch stays in it.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::Closed(_) | Self::Proven(_))
    }

    /// Whether it must be on disk before anything follows from it: before a commitment or a transaction leaves, and while
    /// more than one variant is known. Every other state is a function of these and the two chains: it may reach the disk
    /// with the next that must.
    #[must_use]
    pub fn must_last(&self) -> bool {
        matches!(self, Self::Allocated(_) | Self::Signed(_))
            || self.planned().is_some_and(|planned| !planned.others.is_empty())
    }

    /// The intent, from `Allocated` on.
    #[must_use]
    pub const fn intent(&self) -> Option<&Intent> {
        match self {
            Self::Snapshot(_) => None,
            Self::Allocated(intent) | Self::Committed(intent) | Self::Closed(intent) => {
                Some(intent)
            }
            Self::Planned(planned) => Some(&planned.intent),
            Self::Signed(signed) | Self::Sent(signed) => Some(&signed.planned.intent),
            Self::Confirmed(confirmed) | Self::Proven(confirmed) => {
                Some(&confirmed.signed.planned.intent)
            }
        }
    }

    /// The plan and its variants, from `Planned` on.
    #[must_use]
    pub const fn planned(&self) -> Option<&Planned> {
        match self {
            Self::Snapshot(_) | Self::Allocated(_) | Self::Committed(_) | Self::Closed(_) => None,
            Self::Planned(planned) => Some(planned),
            Self::Signed(signed) | Self::Sent(signed) => Some(&signed.planned),
            Self::Confirmed(confirmed) | Self::Proven(confirmed) => Some(&confirmed.signed.planned),
        }
    }

    /// The plan, from `Planned` on: the variant that is in a block or, if none is, the newest.
    #[must_use]
    pub const fn plan(&self) -> Option<&Plan> {
        match self.planned() {
            Some(planned) => Some(&planned.plan),
            None => None,
        }
    }

    /// Whether the baton of the next paying epoch is known as far as this epoch goes.
    #[must_use]
    pub const fn baton_known(&self) -> bool {
        match self {
            Self::Committed(intent) | Self::Closed(intent) => intent.batches.is_empty(),
            other => other.plan().is_some(),
        }
    }
}
