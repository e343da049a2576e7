//! Lies about the court: what it put right, what it was shown, and whom it upheld.

use alloy::{
    primitives::{Bytes, I256},
    rpc::types::Log,
    sol_types::{SolEvent, SolInterface},
};
use evm::{
    Deployment,
    bindings::ILedgerCourt::{self, ILedgerCourtCalls as Call, Opening},
};
use serde_json::Value;

use super::lies::{address, alter_event};
use crate::world::World;

/// A lie about a correction shows only where one counts in a committed epoch.
pub(super) fn lacks(world: &World) -> Option<&'static str> {
    let last = world.pages.last().map(|page| page.epoch.0);
    let corrected = world.history.corrections.iter().any(|at| last >= Some(at.event.epoch));
    (!corrected).then_some("the court has corrected nothing in a committed epoch")
}

pub(super) fn correction(
    deployment: &Deployment,
    method: &str,
    _: &Value,
    answer: &mut Value,
) -> bool {
    alter_event::<ILedgerCourt::Corrected>(method, answer, deployment.ledger_court, |event| {
        event.change = event.change.wrapping_add(I256::ONE);
        true
    })
}

/// One satoshi in `paid` of the leaf that a challenge showed.
pub(super) fn exhibit(
    deployment: &Deployment,
    method: &str,
    _: &Value,
    answer: &mut Value,
) -> bool {
    let of_court = address(answer.get("to")) == Some(deployment.ledger_court);
    if method != "eth_getTransactionByHash" || !of_court {
        return false;
    }
    let Some(input) = answer.get_mut("input") else { return false };
    let bytes: Option<Bytes> = serde_json::from_value(input.clone()).ok();
    let Some(mut call) = bytes.and_then(|bytes| Call::abi_decode(&bytes).ok()) else {
        return false;
    };
    let shown: Option<&mut Opening> = match &mut call {
        Call::wrongShare(call) => Some(&mut call.leaf),
        Call::wrongDue(call) => Some(&mut call.leaf),
        Call::badOutput(call) => Some(&mut call.leaf),
        Call::disorder(call) => Some(&mut call.left),
        Call::omitted(call) => call.around.first_mut(),
        _ => None,
    };
    let Some(shown) = shown else { return false };
    shown.leaf.paid = shown.leaf.paid.wrapping_add(1);
    *input = Value::String(Bytes::from(call.abi_encode()).to_string());
    true
}

pub(super) fn ruling(deployment: &Deployment, method: &str, _: &Value, answer: &mut Value) -> bool {
    if method != "eth_getLogs" {
        return false;
    }
    let Ok(mut logs) = serde_json::from_value::<Vec<Log>>(answer.clone()) else { return false };
    let upheld = |log: &Log| {
        let topic = log.topic0() == Some(&ILedgerCourt::Upheld::SIGNATURE_HASH);
        topic && log.address() == deployment.ledger_court
    };
    let Some(place) = logs.iter().position(upheld) else { return false };
    logs.remove(place);
    let Ok(value) = serde_json::to_value(&logs) else { return false };
    *answer = value;
    true
}
