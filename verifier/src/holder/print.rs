//! The view for people.

use std::fmt::Write;

use super::{CorrectionLine, Direction, EpochLine, Line, Statement};

/// Weight of a sat in accumulators.
const ONE: u128 = 1 << 64;

impl Statement {
    /// The view for people.
    #[must_use]
    pub fn text(&self) -> String {
        let script = if self.script.is_empty() { "none" } else { &self.script };
        let mut text = format!("account {}\npaid to script {script}\n", self.account);
        if self.lines.is_empty() {
            text.push_str("no epoch has credited this account\n");
            return text;
        }
        let _ = writeln!(
            text,
            "{:>8} {:>22} {:>12} {:>12}  paid by",
            "epoch", "credit (sat)", "due (sat)", "owed (sat)"
        );
        for line in &self.lines {
            match line {
                Line::Epoch(line) => epoch(&mut text, line),
                Line::Correction(line) => correction(&mut text, line),
            }
        }
        text
    }
}

fn epoch(text: &mut String, line: &EpochLine) {
    let paid = match (&line.output, line.confirmations) {
        (Some(output), Some(deep)) => {
            let proven = if line.proven { "proven" } else { "not proven yet" };
            format!("{output} ({deep} confirmations, {proven})")
        }
        _ if line.due > 0 => "not on Bitcoin yet".into(),
        _ => "-".into(),
    };
    let credit = if line.taken > 0 { format!("-{}", sats(line.taken)) } else { sats(line.credit) };
    let minus = if line.due_taken > 0 { "-" } else { "" };
    let due = format!("{minus}{}", line.due.max(line.due_taken));
    let minus = if line.overpaid > 0 { "-" } else { "" };
    let owed = format!("{minus}{}", line.owed.max(line.overpaid));
    let _ = writeln!(text, "{:>8} {credit:>22} {due:>12} {owed:>12}  {paid}", line.epoch);
    for ruling in &line.upheld {
        let _ = writeln!(
            text,
            "         its leaf broke the rules: {} upheld in {}",
            ruling.fault, ruling.court_tx
        );
    }
}

fn correction(text: &mut String, line: &CorrectionLine) {
    let sign = match line.direction {
        Direction::Added => '+',
        Direction::TakenBack => '-',
    };
    let (credit, due) = match line.series {
        0 => (String::new(), format!("{sign}{}", line.counted)),
        _ => (format!("{sign}{}", sats(line.counted)), String::new()),
    };
    let ruling = &line.ruling;
    let pending = if line.pending { ", counts once that epoch is committed" } else { "" };
    let _ = writeln!(
        text,
        "{:>8} {credit:>22} {due:>12} {:>12}  correction by the court: {} of epoch {}, {}{pending}",
        line.epoch, "", ruling.fault, ruling.fault_epoch, ruling.court_tx
    );
}

/// Rounded down: a remainder below one sat never shows as a whole one.
fn sats(acc: u128) -> String {
    format!("{}.{:06}", acc / ONE, (acc % ONE) * 1_000_000 / ONE)
}
