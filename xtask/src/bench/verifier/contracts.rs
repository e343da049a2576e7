//! An EVM chain made up in memory: logs by block, and what the contracts answer at its end.

use std::collections::{BTreeMap, HashMap};

use alloy::{
    primitives::{Address, B256, Bytes, U256, aliases::U96, hex, keccak256},
    sol_types::{SolCall, SolEvent},
};
use evm::bindings::{
    IBitcoinRelay, IBuybackPool, IEpochLedger, IExitQueue, IFleetOracle, IPayoutRegistry,
    ISeriesRegistry, ITwabToken,
};
use serde_json::{Value, json};

/// Seconds from block to block.
pub(super) const SPACING: u64 = 30;
/// Chain id of everything made up.
pub(super) const CHAIN_ID: u64 = 31_337;

/// What every signer has staked, and must have.
pub(super) const STAKE: u64 = 10_000_000_000;

/// The chain.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Time of block 0.
    pub(super) start: u64,
    /// Time of the finalized block.
    pub(super) end: u64,
    /// Block from which hashes are those of another branch.
    pub(super) forked: u64,
    /// Logs by block, as JSON.
    pub(super) logs: BTreeMap<u64, Vec<Value>>,
    /// Calldata by transaction.
    pub(super) inputs: HashMap<B256, Bytes>,
    /// What contracts return, by address and calldata.
    pub(super) calls: HashMap<(Address, Bytes), Bytes>,
}

impl Chain {
    fn block(&self, time: u64) -> u64 {
        (time - self.start) / SPACING
    }

    fn hash_of(&self, block: u64) -> B256 {
        keccak256([block.to_be_bytes(), u64::from(block >= self.forked).to_be_bytes()].concat())
    }

    /// Emits an event at a time, in a transaction.
    pub(super) fn emit<E: SolEvent>(&mut self, time: u64, from: Address, event: &E, tx: B256) {
        let data = event.encode_log_data();
        let block = self.block(time);
        let hash = self.hash_of(block);
        let list = self.logs.entry(block).or_default();
        list.push(json!({
            "address": from, "topics": data.topics(), "data": data.data,
            "blockNumber": format!("{block:#x}"), "blockHash": hash,
            "transactionHash": tx, "transactionIndex": "0x0",
            "logIndex": format!("{:#x}", list.len()), "removed": false,
        }));
    }

    /// Has a contract return something.
    pub(super) fn returns<C: SolCall>(&mut self, to: Address, call: &C, value: &C::Return) {
        self.calls.insert((to, call.abi_encode().into()), C::abi_encode_returns(value).into());
    }

    /// A node's answer.
    pub(super) fn answer(&self, method: &str, params: &Value) -> Option<Value> {
        Some(match method {
            "eth_chainId" => json!(format!("{CHAIN_ID:#x}")),
            "eth_getBlockByNumber" => {
                let number = match params[0].as_str()? {
                    "finalized" => self.block(self.end),
                    text => number(text)?,
                };
                let time = self.start + number * SPACING;
                json!({"number": format!("{number:#x}"), "timestamp": format!("{time:#x}"), "hash": self.hash_of(number)})
            }
            "eth_getLogs" => {
                let end = |name: &str| number(params[0][name].as_str()?);
                let range = self.logs.range(end("fromBlock")?..=end("toBlock")?);
                Value::Array(range.flat_map(|(_, logs)| logs.iter().cloned()).collect())
            }
            "eth_getTransactionByHash" => {
                json!({"input": self.inputs.get(&params[0].as_str()?.parse::<B256>().ok()?)?})
            }
            "eth_call" => {
                let to: Address = params[0]["to"].as_str()?.parse().ok()?;
                let data = hex::decode(params[0]["data"].as_str()?).ok()?;
                json!(self.calls.get(&(to, data.into()))?)
            }
            _ => return None,
        })
    }

    /// What tokens say of their past.
    pub(super) fn token(
        &mut self,
        token: Address,
        supply: u128,
        epochs: &[(u32, super::story::Weights)],
        holders: &[Address],
    ) {
        self.returns(token, &ITwabToken::totalSupplyCall {}, &U256::from(supply));
        for (epoch, weights) in epochs {
            let total: u128 = weights.values().sum();
            let call = ITwabToken::totalBalanceSecondsCall { epoch: *epoch };
            self.returns(token, &call, &U256::from(total));
            for account in holders {
                let weight = weights.get(account).copied().unwrap_or_default();
                let call = ITwabToken::balanceSecondsCall { account: *account, epoch: *epoch };
                self.returns(token, &call, &U256::from(weight));
            }
        }
    }

    /// What a pool with `units` and an empty till and a queue with `queued` units say.
    pub(super) fn market(
        &mut self,
        series: &evm::SeriesContracts,
        quote: Address,
        units: u128,
        queued: u128,
    ) {
        let state = IBuybackPool::State {
            cash: 0,
            inventory: alloy::primitives::aliases::U96::from(units),
            inventoryMax: alloy::primitives::aliases::U96::MAX,
            pendingDeposits: 0,
            outflowLeft: 0,
            settledEpoch: 0,
        };
        self.returns(series.pool, &IBuybackPool::stateCall {}, &state);
        let none = U256::ZERO;
        let round = IBuybackPool::roundReturn { number: 0, units: none, price: none, cash: none };
        self.returns(series.pool, &IBuybackPool::roundCall {}, &round);
        self.returns(series.queue, &IExitQueue::queuedUnitsCall {}, &U256::from(queued));
        let balance = |account: Address| ITwabToken::balanceOfCall { account };
        self.returns(quote, &balance(series.pool), &U256::ZERO);
        self.returns(series.unit, &balance(series.pool), &U256::from(units));
        self.returns(series.unit, &balance(series.queue), &U256::from(queued));
    }

    /// What the ledger stores of a commitment.
    pub(super) fn committed(&mut self, ledger: Address, event: &IEpochLedger::Committed) {
        let epoch = event.epoch;
        let hash = evm::record::record_hash(event);
        self.returns(ledger, &IEpochLedger::commitmentHashCall { epoch }, &hash);
    }

    /// Whether the ledger holds a batch proven.
    pub(super) fn proven(&mut self, ledger: Address, epoch: u32, batch: u16, is: bool) {
        self.returns(ledger, &IEpochLedger::batchProvenCall { epoch, batch }, &is);
    }

    /// What the oracle stores of a report.
    pub(super) fn reported(&mut self, oracle: Address, epoch: u32, hash: B256) {
        self.returns(oracle, &IFleetOracle::reportHashCall { epoch }, &hash);
        self.returns(oracle, &IFleetOracle::minStakeCall {}, &U96::from(STAKE));
    }

    /// An account's entry in the payout registry.
    pub(super) fn entry(
        &mut self,
        at: Address,
        account: Address,
        epoch: u32,
        entry: &IPayoutRegistry::Entry,
    ) {
        self.returns(at, &IPayoutRegistry::entryAtCall { account, epoch }, entry);
    }

    /// A series as registered.
    pub(super) fn series(&mut self, at: Address, series: &ISeriesRegistry::Series) {
        self.returns(at, &ISeriesRegistry::seriesCall { id: 1 }, series);
    }

    /// Baton, confirmations and the mode of the relay.
    pub(super) fn payouts(&mut self, ledger: Address, relay: Address, txid: B256) {
        let baton = IEpochLedger::batonReturn { txid, vout: 0 };
        self.returns(ledger, &IEpochLedger::batonCall {}, &baton);
        self.returns(ledger, &IEpochLedger::confirmationsCall {}, &6);
        self.returns(relay, &IBitcoinRelay::noRetargetCall {}, &true);
    }
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}
