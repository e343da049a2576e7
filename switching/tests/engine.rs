//! The whole engine between machines and pools, over real sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::{ANY, COINB1, Engine, Machine, Pool, SIXTEENTH, World, word};
use domain::{EpochId, Production, SwitchReason};
use serde_json::{Value, json};

const DEAR: &str = "1.5";
const CHEAP: &str = "0.5";

async fn scene() -> (World, Pool, Pool, Engine) {
    let world = World::start(CHEAP).await;
    let (btc, bch) = (Pool::start("aa000001", ANY).await, Pool::start("bb00000002", ANY).await);
    let engine = Engine::start(&world, &btc, &bch).await;
    engine.until("both up", |s| s["venues"][0]["up"] == true && s["venues"][1]["up"] == true).await;
    engine.on("btc").await;
    (world, btc, bch, engine)
}

#[tokio::test]
async fn a_switch_is_one_notify_and_late_shares_are_paid_by_the_old_pool() {
    let (world, btc, bch, engine) = scene().await;
    let mut machine = Machine::authorized(&engine, "farm.S21-1").await;
    let old = machine.job().await;
    assert_eq!(machine.others.len(), 1, "one set_difficulty: {:?}", machine.others);
    let reply = machine.submit(&old, "0001", 1, 0x2000).await;
    assert_eq!(reply["result"], true, "{reply}");
    let sent = &btc.submits()[0];
    assert_eq!((sent[0].as_str(), sent[1].as_str()), ("fleet", "first"));
    assert_eq!(sent[2], format!("00000000{}0001", machine.prefix));
    assert_eq!(btc.hash(sent, 0x1fff_e000), machine.hash(&old, "0001", 1, 0x2000));

    world.bid(DEAR);
    let new = machine.job().await;
    assert_eq!(new[8], true);
    assert_ne!(new[0], old[0]);
    let late = machine.submit(&old, "0002", 2, 0).await;
    assert_eq!(late["result"], true, "a late share is no stale share: {late}");
    assert_eq!(machine.submit(&new, "0002", 2, 0).await["result"], true);
    assert_eq!((btc.submits().len(), bch.submits().len()), (2, 1));
    assert_eq!(bch.hash(&bch.submits()[0], 0x1fff_e000), machine.hash(&new, "0002", 2, 0));
    assert_eq!(machine.others.len(), 1, "nothing but the notify: {:?}", machine.others);

    world.bid(CHEAP); // back to the same work of the first pool: it must not be searched twice
    let again = machine.job().await;
    assert_eq!(word(again[7].as_str().unwrap()), word(old[7].as_str().unwrap()) + 1);
    assert_eq!(machine.submit(&again, "0001", 1, 0x2000).await["result"], true);
    assert_eq!(btc.submits().len(), 3);

    let status = engine.until("credits", |s| s["machines"][0]["accepted"] == 4).await;
    assert_eq!(
        (&status["disconnects"], &status["machines"][0]["rejected"]),
        (&json!(0), &json!(0))
    );
    let records = engine.stop().await;
    let reasons: Vec<&SwitchReason> = records
        .iter()
        .filter_map(|record| match record {
            Production::Switched { reason, .. } => Some(reason),
            _ => None,
        })
        .collect();
    let expected = [&SwitchReason::Start, &SwitchReason::BetterVenue, &SwitchReason::BetterVenue];
    assert_eq!(reasons, expected);
}

#[tokio::test]
async fn pools_have_the_last_word_and_only_their_yes_is_credited() {
    let (_world, btc, _bch, engine) = scene().await;
    let mut machine = Machine::authorized(&engine, "S21-2").await;
    let job = machine.job().await;
    assert_eq!(machine.submit(&job, "0001", 1, 0).await["result"], true);
    assert_eq!(machine.submit(&job, "0001", 1, 0).await["error"][0], 22);
    assert_eq!(btc.submits().len(), 1, "a duplicate stays here");
    btc.state.lock().unwrap().answer = Some(Err(23));
    assert_eq!(machine.submit(&job, "0002", 1, 0).await["error"][0], 23);
    btc.state.lock().unwrap().answer = Some(Err(21));
    assert_eq!(machine.submit(&job, "0003", 1, 0).await["error"][0], 21);
    btc.state.lock().unwrap().answer = None;
    assert_eq!(machine.submit(&job, "0004", 1, 0).await["error"][0], 20, "the pool did not answer");
    assert_eq!(
        machine.submit(&json!(["ffff", 0, 0, 0, 0, 0, 0, "64c25820"]), "00", 1, 0).await["error"]
            [0],
        21
    );
    assert_eq!(machine.submit(&job, "000000", 1, 0).await["error"][0], 20);
    let reply =
        machine.call("mining.submit", json!(["else", job[0], "0009", job[7], "00000001"])).await;
    assert_eq!(reply["error"][0], 24);
    engine.until("credits", |s| s["venues"][0]["stale"] == 1).await;
    let work: Vec<_> = engine
        .stop()
        .await
        .into_iter()
        .filter_map(|record| match record {
            Production::Work { shares, hashes, rejected, stale, series, machine, .. } => {
                assert_eq!((series.0, machine.as_str()), (2, "S21-2"));
                Some((shares, hashes, rejected, stale))
            }
            _ => None,
        })
        .collect();
    let sum = work.iter().fold((0, 0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2, a.3 + b.3));
    assert_eq!(sum, (1, 1, 1, 1));
}

#[tokio::test]
async fn strangers_are_refused_and_garbage_hurts_only_its_sender() {
    let (_world, _btc, _bch, engine) = scene().await;
    let mut good = Machine::authorized(&engine, "S21-1").await;
    let job = good.job().await;
    let mut stranger = Machine::connect(&engine, "S21-99", None).await;
    assert_eq!(stranger.authorize().await["error"][0], 24);
    let lines: [&[u8]; 4] =
        [b"\xff\xfe\x00\n", b"{\"id\":1,\n", b"[[[[[[[[\n", b"{\"method\":7}\n"];
    for line in lines {
        stranger.raw(line).await;
        assert_eq!(stranger.line().await.unwrap()["error"][0], 20);
    }
    stranger.raw(&[b'x'; 20_000]).await;
    stranger.raw(b"\n").await;
    let reply = stranger.line().await.unwrap();
    assert!(reply["error"][1].as_str().unwrap().contains("16384"), "{reply}");
    assert_eq!(stranger.authorize().await["error"][0], 24, "it is still connected");
    for _ in 0..5 {
        stranger.raw(b"garbage\n").await;
    }
    while stranger.line().await.is_some() {}
    assert_eq!(good.submit(&job, "0001", 1, 0).await["result"], true);
    assert_eq!(engine.status().await["shares_without_verdict"]["malformed_lines"], 10);
    assert!(engine.get("/metrics").await.contains("switching_malformed_lines_total 10"));
}

#[tokio::test]
async fn a_dead_pool_is_left_at_once_and_comes_back() {
    let (_world, btc, bch, engine) = scene().await;
    let mut machine = Machine::authorized(&engine, "S21-1").await;
    let old = machine.job().await;
    let killed = std::time::Instant::now();
    btc.kill();
    let new = machine.job().await;
    assert!(killed.elapsed() < Duration::from_millis(500), "{:?}", killed.elapsed());
    assert_eq!(machine.submit(&new, "0001", 1, 0).await["result"], true);
    assert_eq!(bch.submits().len(), 1);
    assert_eq!(machine.submit(&old, "0001", 1, 0).await["error"][0], 21);
    bch.kill();
    let status = engine.until("idle", |s| s["current"].is_null()).await;
    assert_eq!(status["machines"][0]["connected"], true);
    let _btc = Pool::listen(&btc.address.to_string(), "cc00", ANY).await;
    let back = machine.job().await;
    assert!(
        back[2].as_str().unwrap().starts_with(&format!("{COINB1}cc00")),
        "the new extranonce1 is absorbed: {back}"
    );
    assert_eq!(machine.submit(&back, "0001", 1, 0).await["result"], true);
    assert_eq!(engine.status().await["disconnects"], 0);
    let downs =
        engine.stop().await.into_iter().filter(|r| matches!(r, Production::VenueDown { .. }));
    assert_eq!(downs.count(), 2);
}

#[tokio::test]
async fn a_pool_that_answers_nothing_or_refuses_everything_is_left() {
    let (_world, btc, bch, engine) = scene().await;
    let mut machine = Machine::authorized(&engine, "S21-1").await;
    let job = machine.job().await;
    btc.state.lock().unwrap().answer = None;
    let reply = machine.submit(&job, "0001", 1, 0).await;
    assert_eq!(reply["error"][0], 20, "{reply}");
    let job = machine.job().await;
    assert_eq!(machine.submit(&job, "0001", 1, 0).await["result"], true);
    assert_eq!(bch.submits().len(), 1, "the other pool has the fleet");
    let lost = |s: &Value| s["decisions"].to_string().contains("venue_lost");
    engine.until("lost", lost).await;

    btc.state.lock().unwrap().answer = Some(Ok(()));
    engine.on("btc").await;
    let job = machine.job().await;
    btc.state.lock().unwrap().answer = Some(Err(20));
    for nonce in 0..50 {
        assert_eq!(machine.submit(&job, "0002", nonce, 0).await["error"][0], 20);
    }
    let status = engine.on("bch").await;
    assert!(status["venues"][0]["why_down"].as_str().unwrap().contains("refused everything"));
    assert_eq!(status["disconnects"], 0);
}

#[tokio::test]
async fn a_stingy_pool_is_refused_and_says_why() {
    let world = World::start(DEAR).await;
    let (btc, bch) = (Pool::start("aa", ANY).await, Pool::start("bb", ANY).await);
    bch.state.lock().unwrap().extranonce2_size = 3;
    let engine = Engine::start(&world, &btc, &bch).await;
    engine.on("btc").await;
    let refused =
        |s: &Value| s["venues"][1]["why_down"].as_str().is_some_and(|why| why.contains("3 bytes"));
    engine.until("refused", refused).await;
}

#[tokio::test]
async fn masks_are_intersected_and_the_easiest_difficulty_rules() {
    let world = World::start(CHEAP).await;
    let (btc, bch) = (Pool::start("aa", SIXTEENTH).await, Pool::start("bb", ANY).await);
    bch.state.lock().unwrap().mask = "00ffe000";
    let engine = Engine::start(&world, &btc, &bch).await;
    engine.until("both up", |s| s["venues"][0]["up"] == true && s["venues"][1]["up"] == true).await;
    let mut machine = Machine::authorized(&engine, "S21-1").await;
    assert_eq!(machine.mask, 0x00ff_e000);
    let job = machine.job().await;
    assert_eq!(machine.others[0]["params"].to_string(), format!("[{ANY}]"));
    for nonce in 0..64 {
        assert_eq!(machine.submit(&job, "0001", nonce, 0x2000).await["result"], true);
    }
    let forwarded = btc.submits();
    assert!((1..20).contains(&forwarded.len()), "about 4 of 64: {}", forwarded.len());
    for sent in &forwarded {
        let hash = btc.hash(sent, 0x1fff_e000);
        assert!(hash[31] < 0x10, "worth the pool's difficulty");
        assert_eq!(hash, machine.hash(&job, "0001", word(&sent[4]), 0x2000));
    }
    let local = engine.status().await["shares_without_verdict"]["below_venue"].as_u64().unwrap();
    assert_eq!(local, 64 - u64::try_from(forwarded.len()).unwrap());

    btc.send(
        json!({"id": null, "method": "mining.set_version_mask", "params": ["0000e000"]})
            .to_string(),
    )
    .await;
    btc.send(
        json!({"id": null, "method": "mining.set_extranonce", "params": ["dddddd", 6]}).to_string(),
    )
    .await;
    btc.notify("second", false).await;
    let second = machine.job().await;
    assert_eq!(
        machine.others.last().unwrap()["params"][0],
        "0000e000",
        "before the job that needs it"
    );
    assert_eq!(second[8], true, "another extranonce makes earlier jobs worthless");
    assert_eq!(second[2], format!("{COINB1}dddddd0000"));
    btc.notify("third", false).await;
    assert_eq!(machine.job().await[8], false);
}

#[tokio::test]
async fn work_never_spans_epochs_and_the_journal_is_served_as_stored() {
    let (world, _btc, _bch, engine) = scene().await;
    let mut machine = Machine::authorized(&engine, "S21-1").await;
    let job = machine.job().await;
    let epoch = EpochId::at(world.market.lock().unwrap().time);
    let step = |time: u64| {
        world.market.lock().unwrap().time = time;
        tokio::time::sleep(Duration::from_millis(60))
    };
    step(epoch.end() - 1).await;
    for n in 1..=3 {
        assert_eq!(machine.submit(&job, "0001", n, 0).await["result"], true);
    }
    step(epoch.end()).await;
    for n in 4..=5 {
        assert_eq!(machine.submit(&job, "0001", n, 0).await["result"], true);
    }
    let closed = epoch.0;
    let status = engine
        .until("closed", |s| {
            s["journal"]["closed_epoch"] == closed && s["machines"][0]["accepted"] == 5
        })
        .await;
    let len = status["journal"]["len"].as_u64().unwrap();
    let mut head = domain::journal::Head::default();
    for from in 0..len {
        let page = engine.get(&format!("/journal?from={from}&limit=1")).await;
        let lines: Vec<domain::journal::Line> = serde_json::from_str(&page).unwrap();
        head.follow(&lines[0]).unwrap();
    }
    assert_eq!(engine.get(&format!("/journal?from={len}")).await, "[]");
    let stored = std::fs::read_to_string(engine.folder.path().join("journal")).unwrap();
    let served = engine.get("/journal").await;
    assert_eq!(served, format!("[{}]", stored.trim_end().replace('\n', ",")));
    assert_eq!(json!(head.hash), status["journal"]["hash"]);

    let mut shares = [0, 0];
    for record in engine.stop().await {
        if let Production::Work { from, to, epoch: of, shares: count, .. } = record {
            assert!(of.start() <= from && from < to && to <= of.end(), "{from} {to}");
            shares[usize::try_from(of.0 - epoch.0).unwrap()] += count;
        }
    }
    assert_eq!(shares, [3, 2]);
}

#[tokio::test]
async fn a_storm_of_switches_costs_no_share_and_no_connection() {
    let (world, btc, bch, engine) = scene().await;
    let mut machine = Machine::authorized(&engine, "S21-1").await;
    let mut job = machine.job().await;
    let mut sent = 0_u64;
    for round in 0..60_u32 {
        world.bid(if round % 2 == 0 { DEAR } else { CHEAP });
        for nonce in 0..6 {
            let before = job.clone();
            while !machine.notifies.is_empty() {
                job = machine.job().await;
            }
            // The job that was just replaced and its successor, with the same nonces each round.
            for job in [&before, &job] {
                let reply = machine.submit(job, &format!("{round:04x}"), nonce, 0).await;
                let again = before[0] == job[0] && reply["error"][0] == 22;
                assert!(reply["result"] == true || again, "{reply}");
                sent += u64::from(reply["result"] == true);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
    let status = engine.until("all", |s| s["machines"][0]["accepted"] == sent).await;
    assert!(status["switches"].as_u64().unwrap() > 20, "{}", status["switches"]);
    assert_eq!(status["disconnects"], 0);
    let shares = btc.submits().len() + bch.submits().len();
    assert_eq!(u64::try_from(shares).unwrap(), sent, "every share went to one pool, once");
    for (pool, name) in [(&btc, 0), (&bch, 1)] {
        let mut hashes: Vec<_> = pool.submits().iter().map(|s| pool.hash(s, 0x1fff_e000)).collect();
        let all = hashes.len();
        assert_eq!(status["venues"][name]["accepted"], all);
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), all, "no header was worked twice");
    }
}
