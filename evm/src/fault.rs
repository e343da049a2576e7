//! Faults of a commitment, by name.

use crate::bindings::ILedgerCourt::Fault;

/// As the court's function that shows it is named.
#[must_use]
pub const fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::WrongShare => "wrongShare",
        Fault::WrongDue => "wrongDue",
        Fault::Omitted => "omitted",
        Fault::BadOutput => "badOutput",
        Fault::Disorder => "disorder",
        Fault::Unpaid => "unpaid",
        Fault::LateCommit => "lateCommit",
        Fault::Silence => "silence",
        Fault::__Invalid => "unknown",
    }
}
