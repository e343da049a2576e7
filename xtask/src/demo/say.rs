//! What the demo tells the person in front of it.

use std::io::{IsTerminal, Write};

use alloy::primitives::U256;

/// A new part of the story.
pub fn act(title: &str) {
    clear();
    line(&format!("\n{title}"));
}

/// Something came true.
pub fn done(what: &str) {
    clear();
    line(&format!("  ✓ {what}"));
}

/// Worth knowing.
pub fn note(what: &str) {
    clear();
    line(&format!("  · {what}"));
}

/// A line as it is. Nobody may be reading any more: that is no reason to stop.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Something is under way; overwritten by what follows, and shown on terminals only.
pub fn waiting(what: &str) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        let _ = write!(out, "\r  … {what:<70.70}");
        let _ = out.flush();
    }
}

fn clear() {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        let _ = write!(out, "\r{:76}\r", "");
        let _ = out.flush();
    }
}

/// Quote units as USDC with cents, rounded down.
#[must_use]
pub fn usdc(units: U256) -> String {
    let million = U256::from(1_000_000_u64);
    let cents = (units % million) / U256::from(10_000_u64);
    format!("{}.{cents:02}", units / million)
}
