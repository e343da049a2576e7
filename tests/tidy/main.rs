//! The repository's own rules, run by `cargo test`. A failing rule says what to do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test harness may panic"
)]

mod documents;
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Which workspace crate may depend on which. A new arrow is a decision: record it in `docs/adr/` before it stands here.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &[]),
    ("evm", &["domain"]),
    ("switching", &["domain", "clock"]),
    ("conversion", &["domain", "clock"]),
    ("fleet-oracle", &["domain", "clock", "evm"]),
    ("indexer", &["domain", "evm"]),
    ("settlement", &["domain", "evm"]),
    ("verifier", &["domain", "evm"]),
    ("tests/sims", &[]),
];

#[test]
fn dependencies_point_one_way() {
    let names = ARROWS.iter().map(|(folder, _)| folder.rsplit('/').next().unwrap());
    let names: Vec<&str> = names.chain(["tests", "xtask"]).collect();
    for (folder, allowed) in ARROWS {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for name in &names {
            let declared =
                manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(*name));
            assert!(!declared || allowed.contains(name), "{folder} must not depend on {name}");
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files under the checkout with one of these endings, skipping what is built, fetched or not ours.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&root(), endings, &mut found);
    assert!(!found.is_empty(), "no file ends with {endings:?}: the walk is broken");
    found
}

fn walk(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    const SKIP: &[&str] =
        &["target", "node_modules", "out", "cache", "broadcast", "dist", ".git", ".demo", ".tools"];
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() && !SKIP.contains(&name.as_str()) {
            walk(&path, endings, found);
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}
