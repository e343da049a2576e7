//! How far a run has come, on stderr: what is being read, the epoch out of how many where one is known, and the rate.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Least time between two lines.
const EVERY: Duration = Duration::from_millis(200);

/// Where progress goes; silent unless asked for. Clones go to the same place.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<Arc<Mutex<Shown>>>);

#[derive(Debug)]
struct Shown {
    /// Whether a line may be drawn over the one before.
    terminal: bool,
    what: &'static str,
    started: Instant,
    last: Option<Instant>,
    first: u64,
}

impl Progress {
    /// Shown on stderr: over one another on a terminal, else line by line.
    #[must_use]
    pub fn stderr(terminal: bool) -> Self {
        let (what, started, last, first) = ("", Instant::now(), None, 0);
        Self(Some(Arc::new(Mutex::new(Shown { terminal, what, started, last, first }))))
    }

    /// Says that `done` of `all` have been done, such as `epochs` allocated.
    pub fn step(&self, what: &'static str, done: u64, all: u64) {
        let Some(shown) = &self.0 else { return };
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = shown.line(what, done, all, Instant::now()) {
            let end = if shown.terminal && done < all { "\r" } else { "\n" };
            let start = if shown.terminal { "\x1b[K" } else { "" };
            // nobody reads it: no reason to stop
            let _ = write!(std::io::stderr(), "{start}{line}{end}");
        }
    }
}

impl Shown {
    /// The line, if it is time for one: the first and the last of a kind always are.
    fn line(&mut self, what: &'static str, done: u64, all: u64, now: Instant) -> Option<String> {
        if self.what != what {
            (self.what, self.started, self.last, self.first) = (what, now, None, done);
        }
        let soon = self.last.is_some_and(|last| now.duration_since(last) < EVERY);
        if soon && done < all {
            return None;
        }
        self.last = Some(now);
        let millis = now.duration_since(self.started).as_millis().max(1);
        let rate = u128::from(done.saturating_sub(self.first)).saturating_mul(1_000) / millis;
        Some(format!("{what} {done} of {all}, {rate}/s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_how_far_and_how_fast_and_comes_now_and_then() {
        let start = Instant::now();
        let mut shown = Shown { terminal: false, what: "", started: start, last: None, first: 0 };
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(shown.line("epoch", 1, 900, at(0)).unwrap(), "epoch 1 of 900, 0/s");
        assert_eq!(shown.line("epoch", 40, 900, at(100)), None);
        assert_eq!(shown.line("epoch", 401, 900, at(500)).unwrap(), "epoch 401 of 900, 800/s");
        // the last is never left out, and another kind starts anew
        assert!(shown.line("epoch", 900, 900, at(501)).is_some());
        assert_eq!(shown.line("header", 5, 9, at(502)).unwrap(), "header 5 of 9, 0/s");
    }
}
