//! Rules for documents: they name what exists, and exist for what they name.

use std::fs;

use crate::{files, root};

#[test]
fn every_member_crate_stands_in_the_architecture() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for member in members.split(',').map(|it| it.trim().trim_matches('"')).filter(|m| !m.is_empty())
    {
        assert!(
            architecture.contains(&format!("`{member}`")),
            "ARCHITECTURE.md does not mention `{member}`"
        );
    }
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let text = fs::read_to_string(root().join("docs/INVARIANTS.md")).unwrap();
    let sources: String = files(&[".rs", ".sol", ".ts"])
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| INV-")).collect();
    assert!(rows.len() >= 10, "docs/INVARIANTS.md lists {} invariants", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let tests: Vec<&str> =
            cells[3].split(',').map(|name| name.trim().trim_matches('`')).collect();
        for test in tests {
            let declared = [format!("fn {test}("), format!("function {test}(")];
            assert!(
                declared.iter().any(|it| sources.contains(it.as_str())),
                "{}: no test is called {test}",
                cells[1]
            );
        }
    }
}

#[test]
fn documents_link_to_files_that_exist() {
    let mut broken = Vec::new();
    for path in files(&[".md"]) {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") || target.contains(' ') {
                continue;
            }
            if !path.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}
