//! Why a node does not take a transaction, from its words. Bitcoin Core and Knots of this decade, mempools with limits on
//! ancestors and with limits on clusters.

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many or too large transactions in a row are unconfirmed: it waits for a block.
    TooLong,
    /// Its fee is below what the node relays or keeps at present.
    TooCheap,
    /// Another transaction has its inputs, or they are not there (any more).
    Taken,
    /// Anything else: a person has to look.
    Other,
}

impl Refusal {
    /// Reads the words.
    #[must_use]
    pub fn of(words: &str) -> Self {
        let says = |any: &[&str]| any.iter().any(|part| words.contains(part));
        if says(&[
            "too-long-mempool-chain",
            "too-large-cluster",
            "exceeds ancestor",
            "exceeds descendant",
        ]) {
            Self::TooLong
        } else if says(&["min relay fee not met", "mempool min fee not met", "mempool full"]) {
            Self::TooCheap
        } else if says(&[
            "insufficient fee",
            "replacement",
            "txn-mempool-conflict",
            "missingorspent",
            "missing-inputs",
            "spends-conflicting-tx",
        ]) {
            Self::Taken
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_nodes_are_understood() {
        for (words, kind) in [
            (
                "too-long-mempool-chain, too many unconfirmed ancestors [limit: 25]",
                Refusal::TooLong,
            ),
            (
                "too-long-mempool-chain, exceeds ancestor size limit [limit: 101000]",
                Refusal::TooLong,
            ),
            ("too-large-cluster", Refusal::TooLong),
            ("min relay fee not met, 110 < 111", Refusal::TooCheap),
            ("mempool min fee not met, 110 < 5000", Refusal::TooCheap),
            (
                "insufficient fee, rejecting replacement 12ab; new feerate 0.1 <= old feerate 0.2",
                Refusal::Taken,
            ),
            (
                "insufficient fee (including sibling eviction), rejecting replacement",
                Refusal::Taken,
            ),
            (
                "replacement-failed, insufficient feerate: does not improve feerate diagram",
                Refusal::Taken,
            ),
            ("txn-mempool-conflict", Refusal::Taken),
            ("bad-txns-inputs-missingorspent", Refusal::Taken),
            ("dust", Refusal::Other),
            ("mandatory-script-verify-flag-failed", Refusal::Other),
        ] {
            assert_eq!(Refusal::of(words), kind, "{words}");
        }
    }
}
