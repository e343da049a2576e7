//! A real job and a real share: our rewriting of a job changes nothing that a machine hashes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use serde_json::Value;
use switching::stratum::{
    codec::{Message, MinerCall},
    difficulty::Difficulty,
    job::{Layout, PoolJob},
    share::{ShareError, Submit},
};

const DATA: &str = include_str!("data/braiins_800481.json");
const MASK: u32 = 0x1fff_e000;

fn data() -> Value {
    serde_json::from_str(DATA).unwrap()
}

fn job(notify: &str) -> PoolJob {
    match Message::parse(notify.as_bytes()).unwrap() {
        Message::Call { params, .. } => PoolJob::parse(&params).unwrap(),
        other @ Message::Answer { .. } => panic!("{other:?}"),
    }
}

/// The real share, with its job id and extranonce2 replaced.
fn submit(job: &str, extranonce2: &str) -> Submit {
    let mut submit = data()["submit"].clone();
    submit["params"][1] = job.into();
    submit["params"][2] = extranonce2.into();
    match Message::parse(submit.to_string().as_bytes()).unwrap() {
        Message::Call { method, params, .. } => match MinerCall::parse(&method, &params).unwrap() {
            MinerCall::Submit(submit) => submit,
            other => panic!("{other:?}"),
        },
        other @ Message::Answer { .. } => panic!("{other:?}"),
    }
}

fn extranonce1() -> Vec<u8> {
    hex::decode(data()["extranonce1"].as_str().unwrap()).unwrap()
}

fn display(hash: [u8; 32]) -> String {
    hex::encode(hash.iter().rev().copied().collect::<Vec<u8>>())
}

/// The pool's extranonce2 of the real share is `0a00000000000000`: each way to cut it must give the same header.
#[test]
fn every_cut_of_the_extranonce_gives_the_real_hash() {
    let job = job(&data()["notify"].to_string());
    let real = hex::decode("0a00000000000000").unwrap();
    for (k, e) in [(1, 2), (2, 2), (2, 4), (4, 4), (2, 6), (1, 7)] {
        let pad = real[..8 - k - e].to_vec();
        let layout = Layout { extranonce1: extranonce1(), pad };
        let prefix = &real[8 - k - e..8 - e];
        let share = submit("1", &hex::encode(&real[8 - e..]));
        let proven = share.prove(&job, &layout, prefix, e, MASK).unwrap();
        assert_eq!(display(proven.hash), data()["hash"].as_str().unwrap(), "k={k} e={e}");
        assert_eq!(proven.extranonce2, real, "what the pool is told");
        assert_eq!(proven.version & MASK, 0x0009_2000);
    }
}

/// What a machine computes from the line we send, with its own extranonce1, is the pool's coinbase.
#[test]
fn a_machine_that_reads_our_line_hashes_the_pools_coinbase() {
    let theirs = job(&data()["notify"].to_string());
    let layout = Layout::new(extranonce1(), 8, 4).unwrap();
    assert_eq!(layout.pad, [0; 4]);
    let line = theirs.render(0x1f, &layout, theirs.ntime, true);
    let ours = job(&line);
    let (prefix, en2) = ([0xab, 0xcd], [0x12, 0x34]);
    let hashed = [ours.coinb1.as_slice(), &prefix, &en2, &ours.coinb2].concat();
    let upstream = [layout.pad.as_slice(), &prefix, &en2].concat();
    let pools = [theirs.coinb1.as_slice(), &extranonce1(), &upstream, &theirs.coinb2].concat();
    assert_eq!(hashed, pools);
    assert_eq!((ours.id.as_str(), ours.clean), ("1f", true));
    let rest =
        |job: &PoolJob| (job.prev_hash, job.branches.clone(), job.version, job.nbits, job.ntime);
    assert_eq!(rest(&ours), rest(&theirs));
}

#[test]
fn the_real_share_is_worth_its_difficulty_and_no_more() {
    let job = job(&data()["notify"].to_string());
    let layout = Layout { extranonce1: extranonce1(), pad: vec![0x0a, 0, 0, 0] };
    let proven = submit("1", "0000").prove(&job, &layout, &[0, 0], 2, MASK).unwrap();
    assert!(proven.meets(Difficulty::parse("699.559427193").unwrap().target()));
    assert!(!proven.meets(Difficulty::parse("699.559427194").unwrap().target()));
}

#[test]
fn a_share_that_is_not_ours_is_refused() {
    let job = job(&data()["notify"].to_string());
    let layout = Layout { extranonce1: extranonce1(), pad: vec![0x0a, 0, 0, 0] };
    let prove = |extranonce2: &str, mask: u32| {
        submit("1", extranonce2).prove(&job, &layout, &[0, 0], 2, mask)
    };
    assert_eq!(prove("00", MASK), Err(ShareError::Extranonce2 { found: 1, expected: 2 }));
    let outside = ShareError::VersionBits { bits: 0x0009_2000, mask: 0x0000_2000 };
    assert_eq!(prove("0000", 0x0000_2000), Err(outside));
    let other = prove("0001", MASK).unwrap();
    assert!(!other.meets(Difficulty::one().target()));
    assert!(Layout::new(extranonce1(), 3, 4).unwrap_err().to_string().contains("prefix_bytes"));
    assert_eq!(Layout::new(vec![], 12, 4).unwrap().pad.len(), 8);
}
