//! Rules for source files.

use std::fs;

use crate::files;

/// No file is longer, tests included.
const FILE_LINES_MAX: usize = 400;

#[test]
fn rust_files_are_short_and_introduce_themselves() {
    let mut untidy = Vec::new();
    for path in files(&[".rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            untidy
                .push(format!("{}: begin with a `//!` line that says what it is", path.display()));
        }
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            untidy.push(format!("{}: {lines} lines; split it at {FILE_LINES_MAX}", path.display()));
        }
    }
    assert!(untidy.is_empty(), "{}", untidy.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    // Written in two halves, so that this file does not find itself.
    let marks = ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "#[ig".to_owned() + "nore"];
    let calls =
        ["to".to_owned() + "do!(", "unimpl".to_owned() + "emented!(", "db".to_owned() + "g!("];
    let mut found = Vec::new();
    for path in files(&[".rs", ".sol", ".ts", ".tsx", ".sh"]) {
        let text = fs::read_to_string(&path).unwrap();
        for mark in marks.iter().chain(&calls) {
            if text.contains(mark.as_str()) {
                found.push(format!("{}: {mark}: finish it or take it out", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn crates_say_what_they_never_do() {
    let mut silent = Vec::new();
    for path in files(&["src/lib.rs", "lib.rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let intro: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let intro = intro.to_lowercase();
        if !(intro.contains("flows in") && intro.contains("flows out") && intro.contains("never")) {
            silent.push(path.display().to_string());
        }
    }
    assert!(
        silent.is_empty(),
        "say in the first doc comment what it is, what flows in and out, and what it never does:\n{}",
        silent.join("\n")
    );
}
