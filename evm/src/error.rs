//! What can go wrong between us and an EVM node.

use alloy::primitives::B256;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL does not parse.
    #[error("{url:?} is no URL of an EVM node: {why}")]
    Url {
        /// As configured.
        url: String,
        /// The parser's words.
        why: String,
    },
    /// The node did not answer, or answered nonsense. Trying again may help.
    #[error("EVM node: {doing}: {why}")]
    Rpc {
        /// What was asked.
        doing: String,
        /// What came back.
        why: String,
    },
    /// The contract refuses the call; sending it would change nothing.
    #[error("{what} is refused by the contract: {why}")]
    Refused {
        /// The call.
        what: String,
        /// Decoded error, or its raw data.
        why: String,
    },
    /// The transaction was mined and failed.
    #[error("{what}: transaction {hash} was mined and failed")]
    Failed {
        /// The call.
        what: String,
        /// Transaction.
        hash: B256,
    },
    /// The transaction was not mined in time; it may still be.
    #[error("{what}: transaction {hash} is not mined after {seconds} s; it may still be")]
    NotMined {
        /// The call.
        what: String,
        /// Transaction.
        hash: B256,
        /// How long we waited.
        seconds: u64,
    },
    /// A file is missing or malformed.
    #[error("{path}: {why}")]
    File {
        /// Path.
        path: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The node is on another chain than the deployment.
    #[error(
        "the node is on chain {found}, the deployment on chain {expected}: check the RPC endpoint"
    )]
    WrongChain {
        /// Chain id of the deployment.
        expected: u64,
        /// Chain id of the node.
        found: u64,
    },
    /// A log is not what its address and topic promise.
    #[error("log {index} of block {block} does not decode: {why}")]
    Log {
        /// Block number.
        block: u64,
        /// Log index in the block.
        index: u64,
        /// The decoder's words.
        why: String,
    },
}

impl Error {
    /// Whether the same call may succeed later with nothing changed on our side.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Rpc { .. } | Self::NotMined { .. })
    }

    /// A node that did not answer, or answered nonsense; `why` without the secrets that an endpoint's URL may carry.
    pub fn rpc(doing: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Rpc { doing: doing.into(), why: without_secrets(&why.to_string()) }
    }
}

/// Cuts every URL in a text down to scheme and host: providers put API keys into paths and queries, and messages go to
/// logs and status pages.
pub(crate) fn without_secrets(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("://") {
        let length = after.find(|c: char| c.is_whitespace() || "\"')>,;".contains(c));
        let (url, tail) =
            after.split_at_checked(length.unwrap_or(after.len())).unwrap_or((after, ""));
        let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let more = url.len() > authority.len().saturating_add(1);
        out.extend([before, "://", host, if more { "/..." } else { "" }]);
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_key_in_a_url_is_in_no_message() {
        let why = "error sending request for url (https://me:pass@rpc.example.org/v2/KEY?k=KEY2), then ws://b/KEY3";
        let shown = Error::rpc("blocks", why).to_string();
        assert!(!shown.contains("KEY") && !shown.contains("pass"), "{shown}");
        assert!(shown.contains("https://rpc.example.org/...), then ws://b/..."), "{shown}");
        assert_eq!(without_secrets("at http://127.0.0.1:8545/"), "at http://127.0.0.1:8545");
        assert_eq!(without_secrets("plain: words"), "plain: words");
    }
}
