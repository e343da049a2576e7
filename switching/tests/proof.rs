//! Tags of epochs between machines and pools, over real sockets, and the evidence that the journal keeps of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use alloy::primitives::{B256, U256, keccak256};
use bitcoin::{Transaction, block::Header, consensus::deserialize, hashes::Hash, hashes::sha256d};
use common::{ANY, Engine, Machine, Pool, World};
use domain::{EpochId, Production, ShareProof};
use serde_json::Value;

const FIRST: u32 = 1_000;
const FLEET: &str = "00000000000000000000000000000000000000000000000000000000000f1ee7";

async fn engine(world: &World, btc: &Pool, bch: &Pool) -> Engine {
    let more = format!(
        "[proof]\nevm_url = \"{}/evm\"\npoll_ms = 10\nfleet = \"0x{FLEET}\"\nshares = 3\n",
        world.url
    );
    let engine = Engine::start_with(world, btc, bch, &more).await;
    engine.on("btc").await;
    engine.until("a tag", |status| status["proof"]["epoch"] == FIRST).await;
    engine
}

/// keccak(chain id, fleet, epoch, seed), cut to four bytes, in hex.
fn tag(epoch: u32, seed: u8) -> String {
    let text = format!("{:064x}{FLEET}{epoch:064x}{seed:064x}", 31_337);
    hex::encode(&keccak256(hex::decode(text).unwrap())[..4])
}

/// The next job that carries a tag at the end of its coinb1, where the machine's own extranonce follows.
async fn job_with(machine: &mut Machine, tag: &str) -> Value {
    loop {
        let job = machine.job().await;
        if job[2].as_str().unwrap().ends_with(tag) {
            return job;
        }
    }
}

/// The header that a record shows, by the `bitcoin` crate.
fn header_of(proof: &ShareProof) -> Header {
    let coinbase: Transaction = deserialize(&proof.coinbase).unwrap();
    assert!(coinbase.is_coinbase());
    let root = proof.branch.iter().fold(coinbase.compute_txid().to_raw_hash(), |node, sibling| {
        sha256d::Hash::hash(&[node.as_byte_array(), sibling.as_slice()].concat())
    });
    let mut bytes = proof.version.to_le_bytes().to_vec();
    bytes.extend(proof.previous);
    bytes.extend(root.to_byte_array());
    bytes.extend([proof.time, proof.bits, proof.nonce].into_iter().flat_map(u32::to_le_bytes));
    deserialize(&bytes).unwrap()
}

#[tokio::test]
async fn the_tag_changes_at_the_boundary_without_a_disconnect_or_a_lost_share() {
    let world = World::start("0.5").await;
    let (btc, bch) = (Pool::start("aa000001", ANY).await, Pool::start("bb000002", ANY).await);
    let engine = engine(&world, &btc, &bch).await;
    let mut machine = Machine::authorized(&engine, "S21-1").await;
    let (first, second) = (tag(FIRST, 3), tag(FIRST + 1, 4));
    let old = job_with(&mut machine, &first).await;
    let told = machine.others.len();
    assert_eq!(machine.submit(&old, "0001", 1, 0x2000).await["result"], true);

    world.block(u64::from(FIRST + 1) * 28_800 + 480, 4);
    world.block(u64::from(FIRST + 1) * 28_800 + 960, 5);
    let new = job_with(&mut machine, &second).await;
    assert_eq!(new[8], false, "what machines have in hand is not thrown away");
    let late = machine.submit(&old, "0002", 2, 0).await;
    assert_eq!(late["result"], true, "a share under the old tag is still paid: {late}");
    assert_eq!(machine.submit(&new, "0003", 3, 0).await["result"], true);
    assert_eq!(machine.others.len(), told, "nothing but the notify: {:?}", machine.others);
    let sent: Vec<String> = btc.submits().iter().map(|submit| submit[2].clone()).collect();
    let own = &machine.prefix;
    assert_eq!(
        sent,
        [format!("{first}{own}0001"), format!("{first}{own}0002"), format!("{second}{own}0003")]
    );
    assert_eq!(btc.hash(&btc.submits()[2], 0x1fff_e000), machine.hash(&new, "0003", 3, 0));

    let status = engine.until("credits", |status| status["machines"][0]["accepted"] == 3).await;
    assert_eq!(
        (&status["disconnects"], &status["proof"]["tag"]),
        (&0.into(), &second.clone().into())
    );
    assert_eq!(status["proof"]["unprovable_hashes"], "0");
    let records = engine.stop().await;
    let shares: Vec<(u32, U256, &ShareProof)> = records
        .iter()
        .filter_map(|record| match record {
            Production::Share { epoch, hash, proof, .. } => {
                Some((epoch.0, U256::from_be_bytes(hash.0), proof.as_ref()))
            }
            _ => None,
        })
        .collect();
    let epochs: Vec<u32> = shares.iter().map(|(epoch, ..)| *epoch).collect();
    assert_eq!(epochs, [FIRST, FIRST, FIRST + 1], "a late share counts for the epoch of its tag");
    for (epoch, hash, proof) in shares {
        let header = header_of(proof);
        assert_eq!(U256::from_le_bytes(header.block_hash().to_byte_array()), hash);
        let at = usize::from(proof.tag_at);
        let carried = hex::encode(&proof.coinbase[at..at + 4]);
        assert_eq!(carried, if epoch == FIRST { first.clone() } else { second.clone() });
    }
    let told: Vec<(u32, bool)> = records
        .iter()
        .filter_map(|record| match record {
            Production::Tagged { epoch, tag, target, .. } => {
                assert!(*target > B256::ZERO);
                Some((epoch.0, tag.is_some()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, [(FIRST, true), (FIRST + 1, true)]);
}

#[tokio::test]
async fn a_venue_without_room_for_the_tag_is_named_and_its_work_counted() {
    let world = World::start("0.5").await;
    let (btc, bch) = (Pool::start("aa000001", ANY).await, Pool::start("bb000002", ANY).await);
    btc.state.lock().unwrap().extranonce2_size = 7; // three bytes are left of it
    let engine = engine(&world, &btc, &bch).await;
    let mut machine = Machine::authorized(&engine, "S21-1").await;
    let job = machine.job().await;
    assert!(job[2].as_str().unwrap().ends_with("aa000001000000"), "{job}");
    assert_eq!(machine.submit(&job, "0001", 1, 0).await["result"], true);
    let status =
        engine.until("counted", |status| status["proof"]["unprovable_hashes"] == "1").await;
    let provable: Vec<&Value> = (0..2).map(|venue| &status["venues"][venue]["provable"]).collect();
    assert_eq!(provable, [false, true]);
    assert!(engine.get("/metrics").await.contains("switching_venue_provable{venue=\"btc\"} 0"));
    let records = engine.stop().await;
    assert!(records.iter().any(|record| matches!(
        record,
        Production::Tagged { epoch: EpochId(FIRST), venue, tag: None, .. } if venue == "btc"
    )));
    assert!(!records.iter().any(|record| matches!(record, Production::Share { .. })));
}

#[tokio::test]
async fn a_first_block_that_was_taken_back_is_replaced() {
    let world = World::start("0.5").await;
    let (btc, bch) = (Pool::start("aa000001", ANY).await, Pool::start("bb000002", ANY).await);
    let engine = engine(&world, &btc, &bch).await;
    let mut machine = Machine::authorized(&engine, "S21-1").await;
    job_with(&mut machine, &tag(FIRST, 3)).await;
    world.market.lock().unwrap().blocks[2].1 = 0x77;
    job_with(&mut machine, &tag(FIRST, 0x77)).await;
    engine.stop().await;
}
