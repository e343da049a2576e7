//! Connections, and calls that land.

use std::time::Duration;

use alloy::{
    contract::{CallBuilder, CallDecoder},
    network::EthereumWallet,
    primitives::Bytes,
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::TransactionReceipt,
    signers::local::PrivateKeySigner,
    sol_types::SolInterface,
    transports::TransportError,
};

use crate::{Error, bindings, error::without_secrets};

/// Seconds to wait for a receipt.
const RECEIPT_SECONDS: u64 = 60;
/// How long a node may take to accept a connection, and to answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);

/// A connection that only reads.
///
/// # Errors
/// When the URL does not parse. The node is not asked yet.
pub fn connect(url: &str) -> Result<DynProvider, Error> {
    let parsed = url.parse().map_err(|error| bad_url(url, &error))?;
    let provider = ProviderBuilder::new().connect_reqwest(client(url)?, parsed);
    provider.client().set_poll_interval(Duration::from_millis(150));
    Ok(provider.erased())
}

/// A connection that signs what it sends with `key`.
///
/// # Errors
/// When the URL does not parse.
pub fn connect_signing(url: &str, key: PrivateKeySigner) -> Result<DynProvider, Error> {
    let parsed = url.parse().map_err(|error| bad_url(url, &error))?;
    let provider = ProviderBuilder::new()
        .with_simple_nonce_management()
        .wallet(EthereumWallet::new(key))
        .connect_reqwest(client(url)?, parsed);
    provider.client().set_poll_interval(Duration::from_millis(150));
    Ok(provider.erased())
}

/// Tries the call first, so that a refusal has words and costs nothing; then sends it and waits for its receipt.
///
/// # Errors
/// [`Error::Refused`] when the contract would revert, with the contract's own error decoded; [`Error::NotMined`] when
/// the outcome is unknown: ask the contract before calling again.
pub async fn land<P: Provider, D: CallDecoder>(
    what: &str,
    call: CallBuilder<P, D>,
) -> Result<TransactionReceipt, Error> {
    call.call_raw().await.map_err(|error| refusal(what, &error))?;
    let pending = call.send().await.map_err(|error| refusal(what, &error))?;
    let hash = *pending.tx_hash();
    let wait = Duration::from_secs(RECEIPT_SECONDS);
    match pending.with_timeout(Some(wait)).get_receipt().await {
        Ok(receipt) if receipt.status() => Ok(receipt),
        Ok(_) => Err(Error::Failed { what: what.into(), hash }),
        Err(_) => Err(Error::NotMined { what: what.into(), hash, seconds: RECEIPT_SECONDS }),
    }
}

/// An HTTP client that gives up on a node that hangs: a stalled answer must not stall a service.
fn client(url: &str) -> Result<reqwest::Client, Error> {
    let client = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER);
    client.build().map_err(|error| bad_url(url, &error))
}

fn refusal(what: &str, error: &alloy::contract::Error) -> Error {
    if let Some(data) = error.as_revert_data() {
        return Error::Refused { what: what.into(), why: explain(&data) };
    }
    match error {
        // the node's own words (rate limit, nonce, funds) are no refusal by the contract: another time they may be gone
        alloy::contract::Error::TransportError(TransportError::ErrorResp(answer))
            if is_revert(answer.code, &answer.message) =>
        {
            Error::Refused { what: what.into(), why: answer.to_string() }
        }
        other => Error::rpc(what, other),
    }
}

/// Nodes report a revert without data by code 3 or in words.
fn is_revert(code: i64, message: &str) -> bool {
    code == 3 || message.to_lowercase().contains("revert")
}

/// Names a contract's error from its revert data, with its values; unknown errors are shown as hex.
#[must_use]
pub fn explain(data: &Bytes) -> String {
    macro_rules! first_of {
        ($($errors:path),+ $(,)?) => {
            $(if let Ok(error) = <$errors>::abi_decode(data) { return format!("{error:?}"); })+
        };
    }
    first_of!(
        bindings::IEpochLedger::IEpochLedgerErrors,
        bindings::IFleetOracle::IFleetOracleErrors,
        bindings::ISeriesRegistry::ISeriesRegistryErrors,
        bindings::IPrimarySale::IPrimarySaleErrors,
        bindings::IPositionMarket::IPositionMarketErrors,
        bindings::IBuybackPool::IBuybackPoolErrors,
        bindings::IExitQueue::IExitQueueErrors,
        bindings::IFairValue::IFairValueErrors,
        bindings::IPayoutRegistry::IPayoutRegistryErrors,
        bindings::IBitcoinRelay::IBitcoinRelayErrors,
        bindings::ISeriesUpgrader::ISeriesUpgraderErrors,
        bindings::IRegistrarBond::IRegistrarBondErrors,
        bindings::ITwabToken::ITwabTokenErrors,
        bindings::IHashProof::IHashProofErrors,
        bindings::ILedgerCourt::ILedgerCourtErrors,
    );
    format!("unknown error {data}")
}

fn bad_url(url: &str, error: &impl std::fmt::Display) -> Error {
    Error::Url { url: without_secrets(url), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_contracts_own_no_is_a_refusal() {
        let answer = |code: i64, message: &str| {
            let text = format!(r#"{{"code":{code},"message":"{message}"}}"#);
            let response = TransportError::ErrorResp(serde_json::from_str(&text).unwrap());
            refusal("x", &alloy::contract::Error::TransportError(response))
        };
        assert!(!answer(3, "execution reverted").retryable());
        assert!(!answer(-32000, "VM Exception: Reverted").retryable());
        assert!(answer(-32005, "rate limit exceeded").retryable());
        assert!(answer(-32000, "nonce too low").retryable());
    }
}
