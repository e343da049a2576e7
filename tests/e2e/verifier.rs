//! The verifier against real chains: epochs that were paid by hand verify; each lie and a wrong root are found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests may panic"
)]

use std::{
    path::Path,
    process::{Output, Stdio},
};

use domain::{EpochId, Production, Rate, SeriesId, SwitchReason, journal::Head};
use serde_json::Value;
use tests::{
    hashproof,
    payday::{Payday, who},
    report,
};
use xtask::{
    devnet::{DevKey, Devnet, Options},
    paths,
};

/// Work that the blank report claims for each epoch.
const WORK: u128 = 2_880_000;

fn command(day: &Payday, evidence: &Path, more: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(paths::ours("verify").unwrap());
    command
        .args(["--evm", &day.net.evm.url, "--bitcoin", &day.net.bitcoin.url, "--log", "warn"])
        .arg("--cookie")
        .arg(&day.net.bitcoin.cookie)
        .arg("--deployment")
        .arg(&day.net.deployment_path)
        .arg("--config")
        .arg(day.net.dir.join("deploy.json"))
        .arg("--source")
        .arg(paths::root())
        .arg("--evidence")
        .arg(evidence)
        .args(more);
    command
}

async fn verify(day: &Payday, evidence: &Path, more: &[&str]) -> (Output, String) {
    let output = command(day, evidence, more).output().await.unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output, text)
}

fn write_journal(folder: &Path, epochs: &[u32]) {
    let rates = |btc: u64, bch: u64| {
        let rate = |venue: &str, rate| Rate { venue: venue.into(), millisats_per_mhash: rate };
        vec![rate("btc", btc), rate("bch", bch)]
    };
    let mut records = Vec::new();
    for epoch in epochs {
        let start = EpochId(*epoch).start();
        records.push(Production::Switched {
            time: start + 100,
            from: Some("btc".into()),
            to: "bch".into(),
            reason: SwitchReason::BetterVenue,
            rates: rates(100, 120),
            machines: 4,
            latency_micros: 800,
        });
        records.push(Production::Work {
            from: start,
            to: start + 28_800,
            epoch: EpochId(*epoch),
            venue: "bch".into(),
            machine: "A-1".into(),
            series: SeriesId(1),
            shares: 9,
            hashes: WORK,
            rejected: 0,
            stale: 0,
        });
    }
    let mut head = Head::default();
    let mut text = String::new();
    for record in &records {
        let line = head.append(record).unwrap();
        head.follow(&line).unwrap();
        text.push_str(&serde_json::to_string(&line).unwrap());
        text.push('\n');
    }
    std::fs::write(folder.join("journal.jsonl"), text).unwrap();
}

/// Three epochs: an empty one, one with a purchase and a sale in the middle, one with pool, queue and a late piece.
async fn three_epochs(net: Devnet) -> Payday {
    let first = net.deployment.first_epoch.0;
    let mut day = Payday::start(net).await.unwrap();
    day.net.evm.advance(3_000).await.unwrap();
    day.buy(DevKey::Anya, 30).await.unwrap();
    day.deposit(DevKey::Lena, 1_000_000_000).await.unwrap();
    day.net.evm.advance(7_777).await.unwrap();
    day.send(DevKey::Anya, who(DevKey::Boris), 12).await.unwrap();
    day.receive(600_000).await.unwrap();
    day.receive(400_000).await.unwrap();

    report::enter_epoch(&day.net, first + 2).await.unwrap();
    let proven = hashproof::prove(&day.net, first + 1).await.unwrap();
    assert!(proven.to::<u64>() > 60 && proven.to::<u64>() < 2_000, "200 hashes: {proven}");
    let pots = [(first + 1, 990_000)];
    let funding = day.report(first + 1, &pots).await.unwrap();
    day.leave(DevKey::Anya).await.unwrap();
    day.commit(first, &[], &[], |hash| hash).await.unwrap();
    let (root, due) = day.commit(first + 1, &pots, &funding, |hash| hash).await.unwrap();
    assert_eq!(due.len(), 3, "sale, Anya and Boris are paid: {due:?}");
    day.pay(first + 1, root, &due, &funding).await.unwrap();
    day.receive(500_001).await.unwrap();

    report::enter_epoch(&day.net, first + 3).await.unwrap();
    let pots = [(first + 1, 100_000), (first + 2, 400_001)];
    let funding = day.report(first + 2, &pots).await.unwrap();
    let (root, due) = day.commit(first + 2, &pots, &funding, |hash| hash).await.unwrap();
    assert_eq!(due.len(), 4, "Lena is paid by the pool too: {due:?}");
    day.pay(first + 2, root, &due, &funding).await.unwrap();
    day.net.evm.mine(3).await.unwrap();
    day
}

/// With `--cache`: a second run, runs that were killed by SIGKILL in their midst, and a damaged file give the same bytes.
async fn kept_data_change_nothing(day: &Payday, dir: &Path) {
    let (honest, text) = verify(day, dir, &["--json"]).await;
    assert!(honest.status.success(), "{text}");
    let (full, killed) = (dir.join("kept"), dir.join("killed"));
    let run = async |folder: &Path| {
        let more = ["--json", "--progress", "--cache", folder.to_str().unwrap()];
        let (output, text) = verify(day, dir, &more).await;
        assert_eq!(output.stdout, honest.stdout, "{text}");
        text
    };
    let said = run(&full).await;
    assert!(said.contains("epoch 3 of 3, ") && said.contains("check 14 of 14, "), "{said}");
    let file = |folder: &Path| folder.join("chains.cache");
    let whole = std::fs::read(file(&full)).unwrap();
    run(&full).await;
    assert_eq!(std::fs::read(file(&full)).unwrap().len(), whole.len(), "nothing is read again");

    let mut hit = 0;
    for part in 0..8 {
        let more = ["--json", "--cache", killed.to_str().unwrap()];
        let mut child = command(day, dir, &more).kill_on_drop(true).stdout(Stdio::null()).spawn();
        let child = child.as_mut().unwrap();
        let size = || std::fs::metadata(file(&killed)).map_or(0, |file| file.len());
        while size() <= (whole.len() / 8 * part) as u64 && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_micros(300)).await;
        }
        child.start_kill().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&child.wait().await.unwrap());
        hit += usize::from(signal == Some(9));
    }
    println!("killed {hit} of 8 runs in their midst, {} bytes kept", whole.len());
    assert!(hit > 0, "no run was killed before its end");
    run(&killed).await;

    for n in 0..4 {
        let mut bytes = whole.clone();
        let at = bytes.len() * (2 * n + 1) / 8;
        bytes[at..at + 2].iter_mut().for_each(|byte| *byte ^= 0x81);
        std::fs::write(file(&full), bytes).unwrap();
        let said = run(&full).await;
        assert!(said.contains("damaged"), "byte {at}: {said}");
    }
}

fn outcome(report: &Value, check: u64) -> &str {
    let verdicts = report["report"]["verdicts"].as_array().unwrap();
    let verdict = verdicts.iter().find(|verdict| verdict["check"] == check).unwrap();
    verdict["outcome"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_epochs_verify_and_every_lie_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let net = Devnet::start(dir.path(), Options::default()).await.unwrap();
    let first = net.deployment.first_epoch.0;
    let mut day = three_epochs(net).await;
    write_journal(dir.path(), &[first, first + 1, first + 2]);

    let (output, text) = verify(&day, dir.path(), &["--json"]).await;
    assert!(output.status.success(), "{text}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for check in (1..=14).filter(|check| *check != 12) {
        assert_eq!(outcome(&report, check), "passed", "check {check}: {text}");
    }
    assert_eq!(outcome(&report, 12), "not_checked");

    let anya = who(DevKey::Anya).to_string();
    let (output, text) = verify(&day, dir.path(), &["--json", "--account", &anya]).await;
    assert!(output.status.success(), "{text}");
    let view: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = view["statement"]["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2);
    assert!(
        lines.iter().all(|line| line["proven"] == true && line["output"].is_string()),
        "{text}"
    );

    let (output, text) = verify(&day, dir.path(), &["--tamper"]).await;
    println!("{text}");
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches(" noticed    ").count(), 17, "{text}");

    kept_data_change_nothing(&day, dir.path()).await;

    // a root with one bit changed, committed for real
    report::enter_epoch(&day.net, first + 4).await.unwrap();
    day.report(first + 3, &[]).await.unwrap();
    let forge = |mut hash: alloy::primitives::B256| {
        hash.0[0] ^= 1;
        hash
    };
    day.commit(first + 3, &[], &[], forge).await.unwrap();
    day.net.evm.mine(3).await.unwrap();
    write_journal(dir.path(), &[first, first + 1, first + 2, first + 3]);
    let (output, text) = verify(&day, dir.path(), &["--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{text}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcome(&report, 6), "failed");
    for check in [3, 4, 5, 7, 8, 9, 10, 11] {
        assert_eq!(outcome(&report, check), "passed", "check {check}: {text}");
    }
}
