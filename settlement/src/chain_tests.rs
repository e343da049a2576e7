//! The chain as two nodes tell it, one of which lies or lags.

use std::sync::Arc;

use alloy::{
    primitives::{B256, Bytes, LogData, keccak256},
    sol_types::{SolCall, SolEvent, SolValue},
};
use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};

use super::*;

const LEDGER: Address = Address::repeat_byte(0x11);
const FIRST: u32 = 100;

/// What one node says.
#[derive(Clone, Default)]
struct World {
    commitments: Vec<IEpochLedger::Committed>,
    events: Vec<LogData>,
    /// What is proven in its newest block, and in its finalized one.
    proven: [bool; 2],
}

fn block(number: u64) -> Value {
    let hash = |n: u64| format!("0x{n:064x}");
    json!({
        "number": format!("{number:#x}"), "hash": hash(number), "parentHash": hash(number - 1),
        "sha3Uncles": hash(0), "miner": Address::ZERO, "stateRoot": hash(0), "transactionsRoot": hash(0),
        "receiptsRoot": hash(0), "logsBloom": format!("0x{}", "00".repeat(256)), "difficulty": "0x0",
        "gasLimit": "0x1", "gasUsed": "0x0", "timestamp": "0x1", "extraData": "0x", "mixHash": hash(0),
        "nonce": "0x0000000000000000", "size": "0x1", "uncles": [], "transactions": [],
    })
}

fn call(world: &World, parameters: &Value) -> Value {
    let data = parameters.pointer("/0/input").or(parameters.pointer("/0/data")).unwrap();
    let data: Bytes = data.as_str().unwrap().parse().unwrap();
    let word = |value: B256| json!(value);
    if let Ok(call) = IEpochLedger::commitmentHashCall::abi_decode(&data) {
        let found = world.commitments.iter().find(|c| c.epoch == call.epoch);
        return word(found.map_or(B256::ZERO, evm::record::record_hash));
    }
    if IEpochLedger::batchProvenCall::abi_decode(&data).is_ok() {
        let finalized =
            parameters.pointer("/1").unwrap().to_string().contains(&format!("{:064x}", 8));
        return word(B256::with_last_byte(world.proven[usize::from(finalized)].into()));
    }
    let next = FIRST + 2;
    word(B256::from(alloy::primitives::U256::from(next)))
}

async fn answer(State(world): State<Arc<World>>, Json(asked): Json<Value>) -> Json<Value> {
    let parameters = &asked["params"];
    let result = match asked["method"].as_str().unwrap() {
        "eth_chainId" => json!("0x7a69"),
        "eth_getBlockByNumber" if parameters[0] == "finalized" => block(8),
        "eth_getBlockByNumber" => block(10),
        "eth_call" => call(&world, parameters),
        "eth_getLogs" => {
            // every event is in block 1
            let later = parameters.pointer("/0/fromBlock").is_none_or(|from| from != "0x0");
            let topic = parameters.pointer("/0/topics/0").unwrap().to_string();
            let committed = world.commitments.iter().map(SolEvent::encode_log_data);
            let all = committed.chain(world.events.iter().cloned());
            let hash = B256::ZERO;
            all.filter(|log| !later && topic.contains(&log.topics()[0].to_string()))
                .map(|log| {
                    json!({
                        "address": LEDGER, "topics": log.topics(), "data": log.data, "blockNumber": "0x1",
                        "blockHash": hash, "transactionHash": hash, "transactionIndex": "0x0", "logIndex": "0x0",
                    })
                })
                .collect()
        }
        other => panic!("{other}"),
    };
    Json(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }))
}

async fn node(world: World) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/", post(answer)).with_state(Arc::new(world));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

async fn chain(first: World, second: World) -> Chain {
    let mut text = json!({ "chainId": 31337, "block": 0, "firstEpoch": FIRST, "series": [] });
    for name in [
        "accessManager",
        "quote",
        "seriesRegistry",
        "primarySale",
        "positionMarket",
        "fairValue",
        "fleetOracle",
        "payoutRegistry",
        "epochLedger",
        "bitcoinRelay",
        "ledgerCourt",
        "creditRule",
        "seriesUpgrader",
        "registrarBond",
        "hashProof",
        "repositioner",
    ] {
        text[name] = json!(LEDGER);
    }
    let deployment = serde_json::from_value(text).unwrap();
    Chain::connect(&[node(first).await, node(second).await], deployment).await.unwrap()
}

fn commitment(epoch: u32) -> IEpochLedger::Committed {
    let batch = IEpochLedger::Batch { outputsHash: B256::repeat_byte(1), total: 5 };
    let commitment = IEpochLedger::Commitment { epoch, batches: vec![batch], ..Default::default() };
    IEpochLedger::Committed { epoch, commitment, lastPaying: epoch - 1, delay: 7 }
}

fn honest() -> World {
    let commitments = vec![commitment(FIRST), commitment(FIRST + 1)];
    let events =
        vec![IEpochLedger::BatonSet { txid: B256::repeat_byte(3), vout: 0 }.encode_log_data()];
    World { commitments, events, ..World::default() }
}

#[tokio::test]
async fn an_earlier_commitment_that_one_node_hides_or_changes_is_noticed() {
    let last = EpochId(FIRST + 1);
    let found = chain(honest(), honest()).await.final_commitment(last).await.unwrap().unwrap();
    assert_eq!(found.paying.map(|earlier| earlier.epoch), Some(FIRST));
    // hidden: the baton of an epoch before would be taken for the one to spend
    let mut lie = honest();
    lie.commitments.remove(0);
    let lied = chain(lie.clone(), honest()).await;
    assert!(lied.final_commitment(last).await.is_err());
    assert!(lied.committed_funding().await.is_err());
    // changed: an epoch that pays is said to pay nobody
    lie = honest();
    lie.commitments[0].commitment.batches.clear();
    assert!(chain(lie, honest()).await.final_commitment(last).await.is_err());
    // what the ledger found when it was made counts as well
    lie = honest();
    lie.commitments[1].delay += 1;
    assert!(chain(lie, honest()).await.final_commitment(last).await.is_err());
}

#[tokio::test]
async fn a_commitment_is_ours_if_both_nodes_hold_the_record_of_it() {
    let epoch = EpochId(FIRST + 1);
    let ours = keccak256(commitment(epoch.0).commitment.abi_encode());
    assert!(chain(honest(), honest()).await.committed_finally(epoch, ours).await.unwrap());
    let other = B256::repeat_byte(9);
    assert!(chain(honest(), honest()).await.committed_finally(epoch, other).await.is_err());
    assert!(!chain(honest(), honest()).await.committed_finally(epoch.next(), ours).await.unwrap());
    let mut lie = honest();
    lie.commitments[1].lastPaying = 0;
    assert!(chain(lie.clone(), honest()).await.committed_finally(epoch, ours).await.is_err());
    assert!(chain(honest(), lie).await.committed_finally(epoch, ours).await.is_err());
}

#[tokio::test]
async fn a_baton_that_only_one_node_tells_of_is_not_taken() {
    let mut lie = honest();
    lie.events =
        vec![IEpochLedger::BatonSet { txid: B256::repeat_byte(9), vout: 1 }.encode_log_data()];
    assert!(chain(lie.clone(), honest()).await.first_baton().await.is_err());
    assert!(chain(honest(), lie).await.first_baton().await.is_err());
    let told = chain(honest(), honest()).await.first_baton().await.unwrap();
    assert_eq!(told, (B256::repeat_byte(3), 0));
}

#[tokio::test]
async fn a_proof_counts_when_it_is_final() {
    let with = |proven| World { proven, ..honest() };
    let early = chain(with([true, false]), honest()).await;
    assert!(!early.proven_finally(EpochId(FIRST), 0).await.unwrap());
    let late = chain(with([true, true]), honest()).await;
    assert!(late.proven_finally(EpochId(FIRST), 0).await.unwrap());
}
