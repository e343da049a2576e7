//! A configuration with an unknown key is refused by name, before anything is opened or written.

use std::process::Command;

use xtask::paths;

/// Binary, the words before `--config`, and its example configuration.
const SERVICES: &[(&str, &str, &str)] = &[
    ("switching", "run", "switching/config.example.toml"),
    ("conversion", "run", "conversion/conversion.example.toml"),
    ("fleet-oracle", "signer", "fleet-oracle/signer.example.toml"),
    ("indexer", "run", "indexer/config.example.toml"),
    ("settlement", "run", "settlement/config.example.toml"),
    ("signer", "run", "settlement/signer.example.toml"),
];

#[test]
fn an_unknown_key_is_named_and_nothing_is_written() {
    for (binary, word, example) in SERVICES {
        let dir = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(paths::root().join(example)).unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, format!("payout_adress = \"x\"\n{text}")).unwrap();
        let output = Command::new(paths::ours(binary).unwrap())
            .current_dir(dir.path())
            .args([word, "--config"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{binary} took an unknown key");
        assert!(said.contains("payout_adress"), "{binary} does not name the key: {said}");
        let files = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, 1, "{binary} wrote something");
    }
}

#[test]
fn a_missing_file_is_named() {
    for (binary, word, _) in SERVICES {
        let output = Command::new(paths::ours(binary).unwrap())
            .args([word, "--config", "/nowhere/config.toml"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{binary} ran without a configuration");
        assert!(said.contains("/nowhere/config.toml"), "{binary}: {said}");
    }
}
