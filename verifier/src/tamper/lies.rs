//! At least one lie per check.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use alloy::{
    primitives::{Address, Bytes, U256},
    rpc::types::Log,
    sol_types::{SolCall, SolEvent},
};
use bitcoin::{Amount, MerkleBlock, Transaction, TxOut, consensus};
use evm::{
    Deployment,
    bindings::{
        IBuybackPool, IEpochLedger, IFairValue, IFleetOracle, IHashProof, ISeriesRegistry,
        ISeriesUpgrader, ITwabToken,
    },
};
use serde_json::Value;

use super::court;
use crate::{
    encode,
    world::{Sources, World},
};

/// An alteration, and the check that must notice it.
pub(super) struct Lie {
    /// The check.
    pub(super) check: u8,
    /// What is altered, in words.
    pub(super) what: &'static str,
    /// Whether it is told though the check has nothing to say honestly.
    pub(super) even_unchecked: bool,
    /// Why there is nothing of the kind to alter in an honest world, if there is not.
    pub(super) lacks: fn(&World) -> Option<&'static str>,
    to: To,
}

/// Whose words are altered. Each function says whether it altered something.
enum To {
    Evm(fn(&Deployment, &str, &Value, &mut Value) -> bool),
    Bitcoin(fn(&str, &mut Value) -> bool),
    Journal(fn(&mut String) -> bool),
}

impl Lie {
    const fn new(check: u8, what: &'static str, to: To) -> Self {
        Self { check, what, even_unchecked: false, lacks: |_| None, to }
    }

    /// The same sources with this lie on the wire. `told` becomes true once something was altered.
    pub(super) fn tell(&self, sources: &Sources, told: &Arc<AtomicBool>) -> Sources {
        let mut lied = sources.clone();
        let told = Arc::clone(told);
        let mark = move |altered: bool| {
            told.fetch_or(altered, Ordering::Relaxed);
            altered
        };
        match self.to {
            To::Evm(alter) => {
                let deployment = sources.deployment.clone();
                lied.evm = sources.evm.tampered(Arc::new(move |method, params, value| {
                    mark(alter(&deployment, method, params, value))
                }));
            }
            To::Bitcoin(alter) => {
                lied.bitcoin = sources
                    .bitcoin
                    .tampered(Arc::new(move |method, _, value| mark(alter(method, value))));
            }
            To::Journal(alter) => {
                if let Some(bytes) = &mut lied.journal {
                    let mut text = String::from_utf8_lossy(bytes).into_owned();
                    mark(alter(&mut text));
                    *bytes = text.into_bytes();
                }
            }
        }
        lied
    }
}

/// All of them, in order of check.
pub(super) fn all() -> Vec<Lie> {
    let of_court = |what, alter| Lie { lacks: court::lacks, ..Lie::new(6, what, To::Evm(alter)) };
    let upgrade =
        Lie::new(12, "the registry's H/s per unit, changed without an upgrade", To::Evm(hardware));
    vec![
        Lie::new(1, "one byte of the ledger's code", To::Evm(code)),
        Lie::new(2, "a stranger in a RoleGranted event", To::Evm(role)),
        Lie::new(3, "one more token unit in a total supply", To::Evm(supply)),
        Lie::new(4, "one bit of a signature in a report's calldata", To::Evm(signature)),
        Lie::new(4, "a signer's stake, short of what it takes", To::Evm(stake)),
        Lie::new(5, "one unit-second in balanceSeconds", To::Evm(seconds)),
        Lie::new(6, "one bit of a committed root", To::Evm(root)),
        of_court("one part in 2^64 of a sat in a correction by the court", court::correction),
        of_court("one satoshi of a leaf that was shown to the court", court::exhibit),
        of_court("a ruling of the court, kept back", court::ruling),
        Lie::new(7, "one satoshi of a payee's output on Bitcoin", To::Bitcoin(payee)),
        Lie::new(8, "the nonce of the header over a payout", To::Bitcoin(nonce)),
        Lie::new(9, "one satoshi more in a report's receipt", To::Evm(receipt)),
        Lie::new(10, "one quote unit more in the pool's books", To::Evm(cash)),
        Lie::new(11, "a published value, off by 2^-32 sat", To::Evm(value)),
        Lie { even_unchecked: true, ..upgrade },
        Lie::new(12, "a quote unit less to the vendor of an upgrade", To::Evm(vendor)),
        Lie::new(13, "one digit of acknowledged work in the journal", To::Journal(work)),
        Lie::new(13, "one hash more in a proof of hashrate", To::Evm(claimed_hashes)),
        Lie::new(13, "one bit of a share in a proof's calldata", To::Evm(share)),
        Lie::new(14, "the rate of a venue that was entered", To::Journal(rate)),
    ]
}

fn code(deployment: &Deployment, method: &str, params: &Value, answer: &mut Value) -> bool {
    let of_ledger = address(params.get(0)) == Some(deployment.epoch_ledger);
    method == "eth_getCode" && of_ledger && flip(answer, 40)
}

fn role(deployment: &Deployment, method: &str, _: &Value, answer: &mut Value) -> bool {
    let topic = alloy::primitives::keccak256("RoleGranted(uint64,address,uint32,uint48,bool)");
    let stranger = format!("0x{:0>64}", "5712a9637");
    alter_log(method, answer, |log| {
        let granted = log.address() == deployment.access_manager && log.topic0() == Some(&topic);
        let topics = log.inner.data.topics_mut_unchecked();
        match (granted, stranger.parse(), topics.get_mut(2)) {
            (true, Ok(stranger), Some(account)) => {
                *account = stranger;
                true
            }
            _ => false,
        }
    })
}

fn supply(deployment: &Deployment, method: &str, params: &Value, answer: &mut Value) -> bool {
    let unit = deployment.series.first().map(|series| series.unit);
    called::<ITwabToken::totalSupplyCall>(method, params, unit) && add_one(answer, 0)
}

fn signature(_: &Deployment, method: &str, _: &Value, answer: &mut Value) -> bool {
    if method != "eth_getTransactionByHash" {
        return false;
    }
    let Some(input) = answer.get_mut("input") else { return false };
    // calldata ends with the last signature: 64 bytes, and at most 31 of padding
    let length = input.as_str().map_or(0, str::len);
    length > 200 && flip(input, length - 100)
}

fn stake(deployment: &Deployment, method: &str, _: &Value, answer: &mut Value) -> bool {
    let mut altered = false;
    // every deposit, so that whoever signed is among them
    while alter_event::<IFleetOracle::Staked>(method, answer, deployment.fleet_oracle, |event| {
        let more = !event.amount.is_zero();
        event.amount = U256::ZERO;
        more
    }) {
        altered = true;
    }
    altered
}

fn seconds(deployment: &Deployment, method: &str, params: &Value, answer: &mut Value) -> bool {
    let unit = deployment.series.first().map(|series| series.unit);
    called::<ITwabToken::balanceSecondsCall>(method, params, unit) && add_one(answer, 0)
}

fn root(deployment: &Deployment, method: &str, _: &Value, answer: &mut Value) -> bool {
    alter_event::<IEpochLedger::Committed>(method, answer, deployment.epoch_ledger, |event| {
        event.commitment.root.hash.0[31] ^= 1;
        true
    })
}

fn receipt(deployment: &Deployment, method: &str, _: &Value, answer: &mut Value) -> bool {
    alter_event::<IFleetOracle::ReportPosted>(method, answer, deployment.fleet_oracle, |event| {
        let first = event.report.receipts.first_mut();
        first.map(|receipt| receipt.sats = receipt.sats.wrapping_add(1)).is_some()
    })
}

fn value(deployment: &Deployment, method: &str, _: &Value, answer: &mut Value) -> bool {
    alter_event::<IFairValue::Valued>(method, answer, deployment.fair_value, |event| {
        event.valuation.published = event.valuation.published.wrapping_add(1);
        true
    })
}

fn cash(deployment: &Deployment, method: &str, params: &Value, answer: &mut Value) -> bool {
    let pool = deployment.series.first().map(|series| series.pool);
    called::<IBuybackPool::stateCall>(method, params, pool) && add_one(answer, 0)
}

fn claimed_hashes(deployment: &Deployment, method: &str, _: &Value, answer: &mut Value) -> bool {
    alter_event::<IHashProof::Proven>(method, answer, deployment.hash_proof, |event| {
        event.hashes = event.hashes.wrapping_add(U256::from(1));
        true
    })
}

fn share(deployment: &Deployment, method: &str, _: &Value, answer: &mut Value) -> bool {
    let of_proof = address(answer.get("to")) == Some(deployment.hash_proof);
    if method != "eth_getTransactionByHash" || !of_proof {
        return false;
    }
    let Some(input) = answer.get_mut("input") else { return false };
    let bytes: Option<Bytes> = serde_json::from_value(input.clone()).ok();
    let call = bytes.and_then(|bytes| IHashProof::proveCall::abi_decode(&bytes).ok());
    let Some(mut call) = call else { return false };
    let Some(share) = call.shares.last_mut() else { return false };
    let mut altered = share.to_vec();
    let Some(last) = altered.last_mut() else { return false };
    *last ^= 1;
    *share = altered.into();
    *input = Value::String(Bytes::from(call.abi_encode()).to_string());
    true
}

fn hardware(deployment: &Deployment, method: &str, params: &Value, answer: &mut Value) -> bool {
    let registry = Some(deployment.series_registry);
    called::<ISeriesRegistry::seriesCall>(method, params, registry) && add_one(answer, 3)
}

fn vendor(deployment: &Deployment, method: &str, _: &Value, answer: &mut Value) -> bool {
    let upgrader = deployment.series_upgrader;
    alter_event::<ISeriesUpgrader::Upgraded>(method, answer, upgrader, |event| {
        event.paid = event.paid.wrapping_sub(U256::from(1));
        event.left = event.left.wrapping_add(U256::from(1));
        true
    })
}

fn payee(method: &str, answer: &mut Value) -> bool {
    let Some(mut tx) = raw::<Transaction>("getrawtransaction", method, answer) else {
        return false;
    };
    let is_marker = |output: &TxOut| encode::is_marker(output.script_pubkey.as_bytes());
    let paying = tx.output.iter().position(is_marker).is_some_and(|at| at + 1 < tx.output.len());
    if let (true, Some(output)) = (paying, tx.output.last_mut()) {
        output.value = Amount::from_sat(output.value.to_sat().wrapping_add(1));
        *answer = Value::String(consensus::encode::serialize_hex(&tx));
    }
    paying
}

fn nonce(method: &str, answer: &mut Value) -> bool {
    let Some(mut proof) = raw::<MerkleBlock>("gettxoutproof", method, answer) else { return false };
    proof.header.nonce = proof.header.nonce.wrapping_add(1);
    *answer = Value::String(consensus::encode::serialize_hex(&proof));
    true
}

fn work(text: &mut String) -> bool {
    let Some(record) = text.find("\"kind\":\"work\"") else { return false };
    let name = "\"hashes\":\"";
    let Some(at) = text.get(record..).and_then(|rest| rest.find(name)) else { return false };
    let digit = record + at + name.len();
    let other = if text.get(digit..=digit) == Some("9") { "1" } else { "9" };
    text.replace_range(digit..=digit, other);
    true
}

fn rate(text: &mut String) -> bool {
    let Some(record) = text.find("\"kind\":\"switched\"") else { return false };
    let rest = text.get(record..).unwrap_or_default();
    let Some(to) = rest.split("\"to\":\"").nth(1).and_then(|rest| rest.split('"').next()) else {
        return false;
    };
    let name = format!("\"venue\":\"{to}\",\"millisats_per_mhash\":\"");
    let Some(start) = rest.find(&name).map(|at| record + at + name.len()) else { return false };
    let Some(length) = text.get(start..).and_then(|rest| rest.find('"')) else { return false };
    text.replace_range(start..start + length, "0");
    true
}

fn called<C: SolCall>(method: &str, params: &Value, to: Option<Address>) -> bool {
    let call = params.get(0);
    let data = call.and_then(|call| call.get("data")).and_then(Value::as_str).unwrap_or_default();
    let selector = format!("0x{}", hex::encode(C::SELECTOR));
    method == "eth_call"
        && to.is_some()
        && address(call.and_then(|call| call.get("to"))) == to
        && data.starts_with(&selector)
}

pub(super) fn address(value: Option<&Value>) -> Option<Address> {
    value?.as_str()?.parse().ok()
}

/// Changes one hex digit of a string.
fn flip(value: &mut Value, at: usize) -> bool {
    let Some(text) = value.as_str() else { return false };
    let Some(digit) = text.get(at..=at) else { return false };
    let other = if digit == "0" { "1" } else { "0" };
    let mut text = text.to_owned();
    text.replace_range(at..=at, other);
    *value = Value::String(text);
    true
}

/// Adds one to a 32-byte word of returned data.
fn add_one(answer: &mut Value, word: usize) -> bool {
    let data: Option<Bytes> = serde_json::from_value(answer.clone()).ok();
    let Some(mut data) = data.map(|data| data.to_vec()) else { return false };
    let Some(slot) = data.get_mut(word * 32..word * 32 + 32) else { return false };
    let more = U256::from_be_slice(slot).wrapping_add(U256::from(1));
    slot.copy_from_slice(&more.to_be_bytes::<32>());
    *answer = Value::String(Bytes::from(data).to_string());
    true
}

/// Alters the first log of an answer that `alter` says yes to.
fn alter_log(method: &str, answer: &mut Value, alter: impl FnMut(&mut Log) -> bool) -> bool {
    if method != "eth_getLogs" {
        return false;
    }
    let Ok(mut logs) = serde_json::from_value::<Vec<Log>>(answer.clone()) else { return false };
    let altered = logs.iter_mut().any(alter);
    if let (true, Ok(value)) = (altered, serde_json::to_value(&logs)) {
        *answer = value;
    }
    altered
}

/// Alters the first event of a kind that `alter` says yes to.
pub(super) fn alter_event<E: SolEvent>(
    method: &str,
    answer: &mut Value,
    contract: Address,
    mut alter: impl FnMut(&mut E) -> bool,
) -> bool {
    alter_log(method, answer, |log| {
        if log.address() != contract || log.topic0() != Some(&E::SIGNATURE_HASH) {
            return false;
        }
        let Ok(mut event) = E::decode_log_data(&log.inner.data) else { return false };
        if !alter(&mut event) {
            return false;
        }
        log.inner.data = event.encode_log_data();
        true
    })
}

/// What a node's raw answer to a method holds.
fn raw<T: consensus::Decodable>(wanted: &str, method: &str, answer: &Value) -> Option<T> {
    let bytes = (method == wanted).then(|| hex::decode(answer.as_str()?).ok()).flatten()?;
    consensus::deserialize(&bytes).ok()
}
