//! Payouts that blocks leave out: the fee is raised, and whichever variant is mined, everybody is paid once.

use bitcoin::{Psbt, Transaction, Txid};
use serde_json::{Value, json};
use xtask::process::Process;

use super::{check_paid_once, rival, world::World};

const POT: u64 = super::POT;

/// A world whose settlement raises fees after two blocks.
async fn hurried(node: &str) -> World {
    let world = World::start_on(node, false).await;
    world.configure(
        "[[signers]]\nname = \"a\"",
        "[policy.bump]\nafter_blocks = 2\n[[signers]]\nname = \"a\"",
    );
    world
}

fn variants(world: &World, epoch: u32) -> Vec<String> {
    let status = world.status(epoch);
    let variants = status["variants"].as_array().cloned().unwrap_or_default();
    variants.iter().map(|one| one["txid"].as_str().unwrap().to_owned()).collect()
}

async fn in_mempool(world: &World, txid: &str) -> bool {
    world.net.bitcoin.call("getmempoolentry", json!([txid])).await.is_ok()
}

async fn raw(world: &World, txid: &str) -> Value {
    world.net.bitcoin.call("getrawtransaction", json!([txid])).await.unwrap()
}

/// Lets both chains run until the epoch has a transaction in the mempool; its txid.
async fn until_sent(world: &World, epoch: u32, process: &Process) -> String {
    for _ in 0..600 {
        let status = world.status(epoch);
        if let Some(txid) = status["txids"][0].as_str()
            && in_mempool(world, txid).await
        {
            return txid.to_owned();
        }
        world.net.evm.mine(1).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
    panic!("epoch {epoch} is never sent:\n{}", process.tail());
}

/// Lets both chains run until another variant than `txid` is in the mempool; its txid.
async fn until_raised(world: &World, epoch: u32, txid: &str, process: &Process) -> String {
    for _ in 0..200 {
        let present = world.status(epoch)["txids"][0].as_str().unwrap_or_default().to_owned();
        if !present.is_empty() && present != txid && in_mempool(world, &present).await {
            return present;
        }
        world.tick().await;
    }
    panic!("epoch {epoch} is never raised:\n{}", process.tail());
}

async fn paid_by(world: &World, epoch: u32) -> Txid {
    world.payouts(epoch).await[0].compute_txid()
}

async fn fee(world: &World, tx: &Transaction) -> u64 {
    let mut have = 0;
    for input in &tx.input {
        let place = input.previous_output;
        let spent = raw(world, &place.txid.to_string()).await;
        let spent = hex::decode(spent.as_str().unwrap()).unwrap();
        let spent: Transaction = bitcoin::consensus::deserialize(&spent).unwrap();
        have += spent.output[place.vout as usize].value.to_sat();
    }
    have - tx.output.iter().map(|out| out.value.to_sat()).sum::<u64>()
}

#[tokio::test]
async fn a_payout_that_blocks_leave_out_is_raised_and_wins() {
    let mut world = hurried("").await;
    let epoch = world.earn(POT).await;
    let process = world.settle(None).await;
    world.full = true;
    let first = until_sent(&world, epoch, &process).await;
    let cheap = raw(&world, &first).await;
    let cheap: Transaction =
        bitcoin::consensus::deserialize(&hex::decode(cheap.as_str().unwrap()).unwrap()).unwrap();
    let second = until_raised(&world, epoch, &first, &process).await;
    until_raised(&world, epoch, &second, &process).await;
    assert!(!in_mempool(&world, &first).await, "the node has replaced it");
    let ready = process.output().unwrap();
    let url = ready.lines().find_map(|line| line.strip_prefix("ready settlement ")).unwrap();
    let metrics = gauges(url).await;
    assert!(
        metrics["settlement_bumps_total"] >= 2 && metrics["settlement_variants"] >= 3,
        "{metrics:?}"
    );
    assert!(metrics["settlement_fee_rate"] >= 4_000, "{metrics:?}");
    world.full = false;
    world.until_proven(epoch, &process).await;
    let paid = world.payouts(epoch).await.remove(0);
    assert_eq!(paid.output[1..], cheap.output[1..], "the same payees and marker");
    assert_eq!(paid.input[0].previous_output, cheap.input[0].previous_output, "the same baton");
    assert!(fee(&world, &paid).await > fee(&world, &cheap).await);
    check_paid_once(&world, epoch, 1).await;
    // the next epoch spends the winner's baton
    let epoch = world.earn(POT).await;
    world.until_proven(epoch, &process).await;
    assert_eq!(world.payouts(epoch).await[0].input[0].previous_output.txid, paid.compute_txid());
    check_paid_once(&world, epoch, 2).await;
    super::holders::money_is_right(&world).await;
}

async fn gauges(url: &str) -> std::collections::BTreeMap<String, i64> {
    let read = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    super::operator::gauges(url).await.lines().filter_map(read).collect()
}

#[tokio::test]
async fn the_first_variant_wins_though_a_dearer_one_was_sent() {
    let mut world = hurried("").await;
    let epoch = world.earn(POT).await;
    let process = world.settle(None).await;
    world.full = true;
    let first = until_sent(&world, epoch, &process).await;
    let original = raw(&world, &first).await;
    until_raised(&world, epoch, &first, &process).await;
    world.block_of(&[original]).await;
    world.full = false;
    world.until_proven(epoch, &process).await;
    assert_eq!(paid_by(&world, epoch).await.to_string(), first);
    assert_eq!(variants(&world, epoch).first(), Some(&first), "it follows the winner");
    check_paid_once(&world, epoch, 1).await;
    let epoch = world.earn(POT).await;
    world.until_proven(epoch, &process).await;
    check_paid_once(&world, epoch, 2).await;
    super::holders::money_is_right(&world).await;
}

/// A reorg exchanges the winner after the next epoch was planned on its baton: the next one moves to the other baton.
#[tokio::test]
async fn a_reorg_that_exchanges_variants_moves_the_next_epoch_to_the_other_baton() {
    let mut world = hurried("").await;
    let epoch = world.earn(POT).await;
    let process = world.settle(None).await;
    world.full = true;
    let first = until_sent(&world, epoch, &process).await;
    let original = raw(&world, &first).await;
    let dearer = until_raised(&world, epoch, &first, &process).await;
    let dearer_raw = raw(&world, &dearer).await;
    let next = world.earn(POT).await;
    let before = until_sent(&world, next, &process).await;
    let present = world.status(epoch)["txids"][0].as_str().unwrap().to_owned();
    // the present variant and the next epoch's payout are mined
    let mined = if present == dearer { dearer_raw } else { raw(&world, &present).await };
    let child = raw(&world, &before).await;
    world.block_of(&[mined, child]).await;
    world.block_of(&[]).await;
    let fork = world.net.bitcoin.height().await.unwrap() - 1;
    let hash = world.net.bitcoin.call("getblockhash", json!([fork])).await.unwrap();
    world.net.bitcoin.call("invalidateblock", json!([hash])).await.unwrap();
    world.block_of(&[original]).await;
    for _ in 0..3 {
        world.block_of(&[]).await;
    }
    world.full = false;
    world.until_proven(next, &process).await;
    assert_eq!(paid_by(&world, epoch).await.to_string(), first);
    let moved = world.payouts(next).await.remove(0);
    assert_eq!(moved.input[0].previous_output.txid.to_string(), first);
    assert_ne!(moved.compute_txid().to_string(), before);
    check_paid_once(&world, next, 2).await;
    assert_eq!(world.payouts(epoch).await.len(), 1);
    // and on it goes
    let epoch = world.earn(POT).await;
    world.until_proven(epoch, &process).await;
    check_paid_once(&world, epoch, 3).await;
}

/// Root transaction and chunks: the chunks go with the root that is mined, whichever it is.
#[tokio::test]
async fn chunks_follow_whichever_root_transaction_is_mined() {
    let mut world = hurried("").await;
    world.configure("max_batch_bytes = 75000", "max_batch_bytes = 43");
    let process = world.settle(None).await;
    for (original, paid) in [(true, 1), (false, 2)] {
        let epoch = world.earn(POT).await;
        world.full = true;
        let first = until_sent(&world, epoch, &process).await;
        let root = raw(&world, &first).await;
        let dearer = until_raised(&world, epoch, &first, &process).await;
        let winner = if original { first } else { dearer.clone() };
        let block = if original { root } else { raw(&world, &dearer).await };
        world.block_of(&[block]).await;
        world.full = false;
        world.until_proven(epoch, &process).await;
        let payouts = world.payouts(epoch).await;
        assert_eq!(payouts.len(), 3, "a root transaction and two chunks");
        let of_winner = |tx: &&Transaction| {
            tx.input[0].previous_output.txid.to_string() == winner
                || tx.compute_txid().to_string() == winner
        };
        assert_eq!(payouts.iter().filter(of_winner).count(), 3);
        for (script, held) in world.scripts.iter().zip([super::ANYA, super::BORIS]) {
            assert_eq!(world.received(script).await, super::credited(held, paid));
        }
    }
}

#[tokio::test]
async fn killed_while_it_raises_a_fee_it_pays_once() {
    let mut world = hurried("").await;
    for (point, paid) in super::sweep::BUMP_POINTS.into_iter().zip(1..) {
        let epoch = world.earn(POT).await;
        world.full = true;
        let mut process = world.settle(Some(point)).await;
        world.until_halted(&mut process).await;
        process.kill().unwrap();
        let mut process = world.settle(None).await;
        world.full = false;
        world.until_proven(epoch, &process).await;
        assert!(process.stop());
        check_paid_once(&world, epoch, paid).await;
    }
}

#[tokio::test]
async fn without_its_database_after_a_raise_it_follows_what_the_node_holds() {
    let mut world = hurried("").await;
    let points = ["bump-saved", "bump-signed-saved", "bump-sent", "bump-sent-saved"];
    for (point, paid) in points.into_iter().zip(1..) {
        let epoch = world.earn(POT).await;
        world.full = true;
        let mut process = world.settle(Some(point)).await;
        world.until_halted(&mut process).await;
        let known = variants(&world, epoch);
        process.kill().unwrap();
        let sent = point.starts_with("bump-sent");
        assert_eq!(in_mempool(&world, &known[0]).await, sent, "at {point}");
        world.delete_database();
        if point == "bump-sent-saved" {
            // the dearer variant is mined while nobody looks
            world.full = false;
            world.tick().await;
        }
        let mut process = world.settle(None).await;
        if point == "bump-sent" {
            // blocks leave it out still, so the node's mempool is all that knows it
            assert_eq!(until_sent(&world, epoch, &process).await, known[0]);
        }
        world.full = false;
        world.until_proven(epoch, &process).await;
        let winner = paid_by(&world, epoch).await.to_string();
        assert_eq!(winner, known[usize::from(!sent)], "at {point}");
        assert!(process.stop());
        check_paid_once(&world, epoch, paid).await;
    }
}

#[tokio::test]
async fn a_signer_signs_a_dearer_variant_and_refuses_a_wrong_one() {
    let mut world = hurried("").await;
    let epoch = world.earn(POT).await;
    world.full = true;
    let mut process = world.settle(Some("bump-saved")).await;
    world.until_halted(&mut process).await;
    let honest = rival::planned_psbt(&world, epoch);
    assert!(rival::ask(&world, epoch, 0, &honest).await.get("signed").is_some());
    let less = |sats: u64| {
        let mut psbt: Psbt = honest.clone();
        psbt.unsigned_tx.output[0].value -= bitcoin::Amount::from_sat(sats);
        psbt
    };
    let refused = rival::ask(&world, epoch, 0, &less(40_000)).await.to_string();
    assert!(refused.contains("outside this signer's limits"), "{refused}");
    let mut cheaper = honest.clone();
    cheaper.unsigned_tx.output[0].value += bitcoin::Amount::from_sat(800);
    let refused = rival::ask(&world, epoch, 0, &cheaper).await.to_string();
    assert!(
        refused.contains("outside this signer's limits"),
        "below the committed rate: {refused}"
    );
    let mut moved = less(500);
    moved.unsigned_tx.output[2].value += bitcoin::Amount::from_sat(500);
    let refused = rival::ask(&world, epoch, 0, &moved).await.to_string();
    assert!(refused.contains("payees are not the committed ones"), "{refused}");
    let refused = rival::ask(&world, epoch, 0, &rival::other_input(&honest)).await.to_string();
    assert!(refused.contains("not the baton"), "{refused}");
}

#[tokio::test]
async fn a_payout_below_what_the_node_relays_is_raised_at_once() {
    let mut world = hurried("minrelaytxfee=0.00003\n").await;
    let epoch = world.earn(POT).await;
    let process = world.settle(None).await;
    let txid = until_sent(&world, epoch, &process).await;
    assert_eq!(variants(&world, epoch).len(), 2, "no block was waited for");
    world.until_proven(epoch, &process).await;
    assert_eq!(paid_by(&world, epoch).await.to_string(), txid);
    check_paid_once(&world, epoch, 1).await;
}

/// Neither a parent that the node finds too cheap nor its child can enter: the parent is raised, and the child moves.
#[tokio::test]
async fn a_parent_that_the_node_does_not_take_is_raised_under_its_child() {
    let mut world = hurried("minrelaytxfee=0.00003\n").await;
    world.configure("max_fee_rate = 10000", "max_fee_rate = 2000");
    let first = world.earn(POT).await;
    let mut process = world.settle(None).await;
    let second = world.earn(POT).await;
    for _ in 0..200 {
        if world.status(second)["state"] == "planned" {
            break;
        }
        world.tick().await;
    }
    let before = world.status(second)["txids"][0].clone();
    assert_eq!(world.status(first)["state"], "signed", "{}", process.tail());
    assert!(before.is_string() && process.stop());
    world.configure("max_fee_rate = 2000", "max_fee_rate = 10000");
    let process = world.settle(None).await;
    world.until_proven(second, &process).await;
    assert_ne!(paid_by(&world, second).await.to_string(), before.as_str().unwrap());
    assert_eq!(world.payouts(first).await.len(), 1);
    check_paid_once(&world, second, 2).await;
}

/// Three in a row are all that this node takes; and the later ones bring the first along, because it is theirs to pay for.
#[tokio::test]
async fn what_the_node_has_no_room_for_waits_and_a_later_epoch_pays_for_an_earlier_one() {
    let mut world = World::start_on("limitancestorcount=3\n", false).await;
    world.configure(
        "[[signers]]\nname = \"a\"",
        "[policy.bump]\nafter_blocks = 10000\n[[signers]]\nname = \"a\"",
    );
    world.full = true;
    let first = world.earn(POT).await;
    let mut process = world.settle(None).await;
    until_sent(&world, first, &process).await;
    assert!(process.stop());
    world.configure("fallback_fee_rate = 2000", "fallback_fee_rate = 4000");
    let process = world.settle(None).await;
    let second = world.earn(POT).await;
    let child = until_sent(&world, second, &process).await;
    let entry = world.net.bitcoin.call("getmempoolentry", json!([child])).await.unwrap();
    let fees = sats(&entry["fees"]["ancestor"]);
    let vsize = entry["ancestorsize"].as_u64().unwrap();
    assert!(fees >= 4 * vsize && fees < 5 * vsize, "{fees} sat for {vsize} vB: {entry}");
    let third = world.earn(POT).await;
    until_sent(&world, third, &process).await;
    let fourth = world.earn(POT).await;
    let ready = process.output().unwrap();
    let url = ready.lines().find_map(|line| line.strip_prefix("ready settlement ")).unwrap();
    let mut waiting = String::new();
    for _ in 0..200 {
        world.net.evm.mine(1).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        let status = xtask::rpc::get(&format!("{url}/status")).await.unwrap();
        let found = status["epochs"].as_array().unwrap().iter().find(|e| e["epoch"] == fourth);
        waiting = found.map(|e| e["waiting"].to_string()).unwrap_or_default();
        if waiting.contains("takes no more before a block") {
            assert_eq!(status["trouble"], Value::Null, "it is no trouble");
            break;
        }
    }
    assert!(waiting.contains("too-long-mempool-chain"), "{waiting}\n{}", process.tail());
    world.full = false;
    world.until_proven(fourth, &process).await;
    for epoch in [first, second, third, fourth] {
        assert_eq!(world.payouts(epoch).await.len(), 1);
    }
    check_paid_once(&world, fourth, 4).await;
}

fn sats(value: &Value) -> u64 {
    let amount = value.to_string();
    bitcoin::Amount::from_str_in(&amount, bitcoin::Denomination::Bitcoin).unwrap().to_sat()
}
