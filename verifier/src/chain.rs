//! The EVM side: everything is read at one finalized block.

use std::collections::HashMap;

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::Log,
    sol_types::SolCall,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Error, rpc::Rpc};

/// Blocks per log query, halved when the node refuses.
const RANGE: u64 = 2_000;

/// The chain as of one finalized block.
#[derive(Clone, Debug)]
pub struct Chain {
    rpc: Rpc,
    /// Chain id.
    pub id: u64,
    /// Height of the finalized block.
    pub block: u64,
    /// Its time, unix seconds.
    pub time: u64,
}

/// What we need of a block header.
#[derive(Clone, Debug, Deserialize)]
struct Head {
    #[serde(with = "alloy::serde::quantity")]
    number: u64,
    #[serde(with = "alloy::serde::quantity")]
    timestamp: u64,
    hash: B256,
}

impl Chain {
    /// Pins the newest finalized block.
    ///
    /// # Errors
    /// When the node does not answer, or is on another chain than `expected`.
    pub async fn pin(rpc: Rpc, expected: u64) -> Result<Self, Error> {
        let id = rpc.one("eth_chainId", json!([])).await?;
        let id = quantity("chain id", &id)?;
        if id != expected {
            return Err(Error::WrongChain { expected, found: id });
        }
        let head = rpc.one("eth_getBlockByNumber", json!(["finalized", false])).await?;
        let head: Head = serde_json::from_value(head)
            .map_err(|error| Error::decode("finalized block", error))?;
        Ok(Self { rpc, id, block: head.number, time: head.timestamp })
    }

    /// Every log of `addresses` from block `from` to the pinned one, in chain order.
    ///
    /// # Errors
    /// When the node refuses a single block.
    pub async fn logs(&self, addresses: &[Address], from: u64) -> Result<Vec<Log>, Error> {
        let (mut all, mut start, mut span) = (Vec::new(), from, RANGE);
        while start <= self.block {
            let end = self.block.min(start.saturating_add(span).saturating_sub(1));
            let filter = json!([{"address": addresses,
                "fromBlock": format!("{start:#x}"), "toBlock": format!("{end:#x}")}]);
            match self.rpc.one("eth_getLogs", filter).await {
                Ok(logs) => {
                    let logs: Vec<Log> = serde_json::from_value(logs)
                        .map_err(|error| Error::decode("logs", error))?;
                    all.extend(logs);
                    start = end.saturating_add(1);
                    span = RANGE.min(span.saturating_mul(2));
                }
                Err(Error::Refused { .. }) if span > 1 => span /= 2,
                Err(error) => return Err(error),
            }
        }
        all.sort_by_key(|log| (log.block_number, log.log_index));
        Ok(all)
    }

    /// Time and hash of each of these blocks.
    ///
    /// # Errors
    /// When a block is missing.
    pub async fn heads(
        &self,
        numbers: impl IntoIterator<Item = u64>,
    ) -> Result<HashMap<u64, (u64, B256)>, Error> {
        let calls = numbers
            .into_iter()
            .map(|number| ("eth_getBlockByNumber", json!([format!("{number:#x}"), false])))
            .collect();
        let mut heads = HashMap::new();
        for answer in self.rpc.all(calls).await? {
            let value = answer.map_err(|why| Error::Refused { doing: "a block".into(), why })?;
            let head: Head =
                serde_json::from_value(value).map_err(|error| Error::decode("block", error))?;
            heads.insert(head.number, (head.timestamp, head.hash));
        }
        Ok(heads)
    }

    /// Calls one contract function with many arguments, at the pinned block. A revert is an `Err` of its own.
    ///
    /// # Errors
    /// When the node does not answer, or an answer is not what the function returns.
    pub async fn calls<C: SolCall>(
        &self,
        calls: &[(Address, C)],
    ) -> Result<Vec<Result<C::Return, String>>, Error> {
        let block = format!("{:#x}", self.block);
        let asked = calls
            .iter()
            .map(|(to, call)| {
                let data = Bytes::from(call.abi_encode());
                ("eth_call", json!([{"to": to, "data": data}, block]))
            })
            .collect();
        let answers = self.rpc.all(asked).await?;
        answers
            .into_iter()
            .map(|answer| match answer {
                Err(why) => Ok(Err(why)),
                Ok(value) => {
                    let data: Bytes = serde_json::from_value(value)
                        .map_err(|error| Error::decode(C::SIGNATURE, error))?;
                    C::abi_decode_returns(&data)
                        .map(Ok)
                        .map_err(|error| Error::decode(C::SIGNATURE, error))
                }
            })
            .collect()
    }

    /// Calls one contract function once.
    ///
    /// # Errors
    /// As [`Chain::calls`]; a revert is an error too.
    pub async fn call<C: SolCall + Clone>(&self, to: Address, call: C) -> Result<C::Return, Error> {
        let answer =
            self.calls(&[(to, call)]).await?.pop().unwrap_or_else(|| Err("nothing".into()));
        answer.map_err(|why| Error::Refused { doing: format!("{} of {to}", C::SIGNATURE), why })
    }

    /// Code of each contract at the pinned block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn codes(&self, contracts: &[Address]) -> Result<Vec<Bytes>, Error> {
        let block = format!("{:#x}", self.block);
        let calls = contracts.iter().map(|at| ("eth_getCode", json!([at, block]))).collect();
        self.rpc
            .all(calls)
            .await?
            .into_iter()
            .map(|answer| {
                let value = answer.map_err(|why| Error::Refused { doing: "code".into(), why })?;
                serde_json::from_value(value).map_err(|error| Error::decode("code", error))
            })
            .collect()
    }

    /// Logs of each transaction, whoever emitted them.
    ///
    /// # Errors
    /// When a receipt is missing.
    pub async fn receipts(&self, hashes: &[B256]) -> Result<Vec<Vec<Log>>, Error> {
        let asked = hashes.iter().map(|hash| ("eth_getTransactionReceipt", json!([hash])));
        self.rpc
            .all(asked.collect())
            .await?
            .into_iter()
            .map(|answer| {
                let value =
                    answer.map_err(|why| Error::Refused { doing: "a receipt".into(), why })?;
                let logs = value.get("logs").cloned().unwrap_or_default();
                serde_json::from_value(logs).map_err(|error| Error::decode("receipt", error))
            })
            .collect()
    }

    /// Calldata of each transaction, with its target.
    ///
    /// # Errors
    /// When a transaction is missing.
    pub async fn inputs(&self, hashes: &[B256]) -> Result<Vec<Bytes>, Error> {
        let calls = hashes.iter().map(|hash| ("eth_getTransactionByHash", json!([hash]))).collect();
        self.rpc
            .all(calls)
            .await?
            .into_iter()
            .map(|answer| {
                let value =
                    answer.map_err(|why| Error::Refused { doing: "calldata".into(), why })?;
                let input = value.get("input").cloned().unwrap_or_default();
                serde_json::from_value(input).map_err(|error| Error::decode("calldata", error))
            })
            .collect()
    }
}

fn quantity(what: &str, value: &Value) -> Result<u64, Error> {
    let text = value.as_str().unwrap_or_default();
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .map_err(|error| Error::decode(what, error))
}
