//! The EVM side: everything is read at one finalized block.

use std::collections::{BTreeMap, HashMap};

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::Log,
    sol_types::SolCall,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Error, progress::Progress, rpc::Rpc};

mod calldata;
mod runs;

use runs::Runs;

/// Blocks per log query, halved when the node refuses.
const RANGE: u64 = 2_000;

/// Blocks or transactions asked for before what came back is kept.
const PART: usize = 512;

/// Logs in chain order.
#[derive(Clone, Debug)]
pub struct Logs {
    /// They.
    pub list: Vec<Log>,
    /// Last block of those that were kept from an earlier run and are still in the chain.
    pub kept: Option<u64>,
}

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

    /// Where readers say how far they have come.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        self.rpc.progress()
    }

    /// Every log of `addresses` from block `from` to the pinned one, in chain order. Those of blocks that are still what
    /// they were when they were read are not asked for again.
    ///
    /// # Errors
    /// When the node refuses a single block.
    pub async fn logs(&self, addresses: &[Address], from: u64) -> Result<Logs, Error> {
        let mut runs = Runs::load(self, addresses, from).await?;
        let kept = runs.next.checked_sub(1).filter(|last| *last >= from);
        let (mut start, mut span) = (runs.next, RANGE);
        let blocks = self.block.saturating_sub(from).saturating_add(1);
        while start <= self.block {
            let end = self.block.min(start.saturating_add(span).saturating_sub(1));
            let filter = json!([{"address": addresses,
                "fromBlock": format!("{start:#x}"), "toBlock": format!("{end:#x}")}]);
            // before the logs: if it is still the block's hash later, no block before it has changed since
            let hash = if self.rpc.kept().is_some() { Some(self.hash(end).await?) } else { None };
            match self.rpc.one("eth_getLogs", filter).await {
                Ok(logs) => {
                    let logs: Vec<Log> = serde_json::from_value(logs)
                        .map_err(|error| Error::decode("logs", error))?;
                    runs.add(self, end, hash, logs);
                    start = end.saturating_add(1);
                    span = RANGE.min(span.saturating_mul(2));
                }
                Err(Error::Refused { .. }) if span > 1 => span /= 2,
                Err(error) => return Err(error),
            }
            self.progress().step("EVM block", start.saturating_sub(from), blocks);
        }
        let mut list = runs.list;
        list.sort_by_key(|log| (log.block_number, log.log_index));
        Ok(Logs { list, kept })
    }

    /// Hash of a block as the node has it now.
    async fn hash(&self, number: u64) -> Result<B256, Error> {
        let value =
            self.rpc.one("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await?;
        let head: Head =
            serde_json::from_value(value).map_err(|error| Error::decode("block", error))?;
        Ok(head.hash)
    }

    /// Time and hash of each of these blocks, which logs name by this hash. Up to `kept` the hashes are known to be those
    /// of the chain; after it the node is asked.
    ///
    /// # Errors
    /// When a block is missing.
    pub async fn times(
        &self,
        blocks: &BTreeMap<u64, B256>,
        kept: Option<u64>,
    ) -> Result<HashMap<u64, (u64, B256)>, Error> {
        let name = |number: u64, hash: &B256| [&number.to_be_bytes()[..], hash.as_slice()].concat();
        let (mut heads, mut asked) = (HashMap::new(), Vec::new());
        for (number, hash) in blocks {
            let known = self.rpc.kept().filter(|_| kept >= Some(*number));
            let time = known.and_then(|known| known.get("head", &name(*number, hash)));
            match time.and_then(|time| time.try_into().ok().map(u64::from_be_bytes)) {
                Some(time) => drop(heads.insert(*number, (time, *hash))),
                None => asked.push(*number),
            }
        }
        for part in asked.chunks(PART) {
            for (number, (time, hash)) in self.heads(part.iter().copied()).await? {
                if let Some(known) = self.rpc.kept() {
                    known.put("head", &name(number, &hash), &time.to_be_bytes());
                }
                heads.insert(number, (time, hash));
            }
            let (done, all) = (number_of(heads.len()), number_of(blocks.len()));
            self.progress().step("EVM block time", done, all);
        }
        Ok(heads)
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

    /// Calldata of each transaction.
    ///
    /// # Errors
    /// When a transaction is missing.
    pub async fn inputs(&self, hashes: &[B256]) -> Result<Vec<Bytes>, Error> {
        let mut found: HashMap<B256, Bytes> = HashMap::new();
        for hash in hashes {
            found.extend(calldata::get(&self.rpc, hash).map(|input| (*hash, input)));
        }
        let asked: Vec<B256> =
            hashes.iter().copied().filter(|hash| !found.contains_key(hash)).collect();
        for part in asked.chunks(PART) {
            let calls = part.iter().map(|hash| ("eth_getTransactionByHash", json!([hash])));
            for (hash, answer) in part.iter().zip(self.rpc.all(calls.collect()).await?) {
                let value =
                    answer.map_err(|why| Error::Refused { doing: "calldata".into(), why })?;
                calldata::put(&self.rpc, hash, &value);
                let input = value.get("input").cloned().unwrap_or_default();
                let input: Bytes = serde_json::from_value(input)
                    .map_err(|error| Error::decode("calldata", error))?;
                found.insert(*hash, input);
            }
        }
        Ok(hashes.iter().map(|hash| found.get(hash).cloned().unwrap_or_default()).collect())
    }
}

fn number_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn quantity(what: &str, value: &Value) -> Result<u64, Error> {
    let text = value.as_str().unwrap_or_default();
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .map_err(|error| Error::decode(what, error))
}
