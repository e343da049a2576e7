//! The whole pipeline, from hashes to a confirmed, proven and verified payout: the demo's own story, run as a user runs it.

use std::process::Command;

use xtask::paths;

#[test]
fn the_story_comes_true_and_nothing_is_left_running() {
    let dir = tempfile::tempdir().unwrap();
    let demo = dir.path().join("demo");
    let output = Command::new(paths::ours("xtask").unwrap())
        .args(["up", "--once", "--port", "18080", "--dir"])
        .arg(&demo)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    print!("{told}");
    assert!(output.status.success(), "{told}\n{errors}\n{}", logs(&demo));
    for line in [
        "units are minted to the primary sale",
        "boris takes 8 of them from the order book",
        "to the pool for",
        "three of five signers report",
        "no disconnect",
        "as the seconds held say",
        "is refused by bitcoind",
        "the verifier recomputes every epoch",
    ] {
        assert!(told.contains(line), "the story did not say {line:?}:\n{told}");
    }
    let left = Command::new("pgrep").arg("-f").arg(&demo).output().unwrap();
    assert!(left.stdout.is_empty(), "left running: {}", String::from_utf8_lossy(&left.stdout));
}

/// The end of every log, for whoever has to find out why.
fn logs(dir: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|it| it == "log") {
            let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(25)..].join("\n");
            text.push_str(&format!("\n--- {}\n{tail}\n", entry.path().display()));
        }
    }
    text
}
