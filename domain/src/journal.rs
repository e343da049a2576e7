//! Hash-chained journals: one JSON record a line, each carrying the hash of the one before.
//!
//! `hash = keccak256(prev ‖ seq:8 big-endian ‖ body bytes as written)`, the first `prev` being zero. A reader that
//! remembers one hash can tell that nothing before it was changed.

use alloy::primitives::{B256, Keccak256};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// One line of a journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Position, from 0, without holes.
    pub seq: u64,
    /// Hash of the line before; zero for the first.
    pub prev: B256,
    /// Hash of this line.
    pub hash: B256,
    /// The record, byte for byte as it was hashed.
    pub body: Box<RawValue>,
}

/// Why a journal cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// A line is missing or repeated.
    #[error("journal line {expected} expected, line {found} found: a line is missing or repeated")]
    Sequence {
        /// Next sequence number.
        expected: u64,
        /// What stood there.
        found: u64,
    },
    /// A line does not follow from the one before it.
    #[error("journal line {seq} does not carry the hash of the line before it")]
    Broken {
        /// The line.
        seq: u64,
    },
    /// A line's own hash is wrong.
    #[error("journal line {seq} was changed after it was written")]
    Changed {
        /// The line.
        seq: u64,
    },
    /// A line is no record of this journal.
    #[error("journal line {seq} is not a record of this journal: {why}")]
    Body {
        /// The line.
        seq: u64,
        /// The parser's words.
        why: String,
    },
}

/// The end of a chain: what the next line must follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Lines so far.
    pub len: u64,
    /// Hash of the last line; zero if none.
    pub hash: B256,
}

impl Head {
    /// The line that records `body` after this head.
    ///
    /// # Errors
    /// When `body` cannot be written as JSON.
    pub fn append<T: Serialize>(&self, body: &T) -> Result<Line, serde_json::Error> {
        let body = serde_json::value::to_raw_value(body)?;
        let hash = line_hash(self.hash, self.len, body.get());
        Ok(Line { seq: self.len, prev: self.hash, hash, body })
    }

    /// Checks that `line` follows this head and moves on to it.
    ///
    /// # Errors
    /// When a line is missing, out of order or changed. The head stays where it was.
    pub fn follow(&mut self, line: &Line) -> Result<(), ChainError> {
        if line.seq != self.len {
            return Err(ChainError::Sequence { expected: self.len, found: line.seq });
        }
        if line.prev != self.hash {
            return Err(ChainError::Broken { seq: line.seq });
        }
        if line.hash != line_hash(line.prev, line.seq, line.body.get()) {
            return Err(ChainError::Changed { seq: line.seq });
        }
        *self = Self { len: self.len.saturating_add(1), hash: line.hash };
        Ok(())
    }
}

impl Line {
    /// The record.
    ///
    /// # Errors
    /// When the body is not a `T`.
    pub fn record<T: DeserializeOwned>(&self) -> Result<T, ChainError> {
        serde_json::from_str(self.body.get())
            .map_err(|error| ChainError::Body { seq: self.seq, why: error.to_string() })
    }
}

fn line_hash(prev: B256, seq: u64, body: &str) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(prev);
    hasher.update(seq.to_be_bytes());
    hasher.update(body.as_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(bodies: &[&str]) -> Vec<Line> {
        let mut head = Head::default();
        bodies
            .iter()
            .map(|body| {
                let line = head.append(body).unwrap();
                head.follow(&line).unwrap();
                line
            })
            .collect()
    }

    #[test]
    fn a_changed_dropped_or_swapped_line_is_noticed() {
        let lines = chain(&["a", "b", "c"]);
        let replay = |lines: &[Line]| {
            let mut head = Head::default();
            lines.iter().try_for_each(|line| head.follow(line))
        };
        assert!(replay(&lines).is_ok());
        let mut changed = lines.clone();
        changed[1].body = serde_json::value::to_raw_value("x").unwrap();
        assert!(matches!(replay(&changed), Err(ChainError::Changed { seq: 1 })));
        let dropped = [lines[0].clone(), lines[2].clone()];
        assert!(matches!(replay(&dropped), Err(ChainError::Sequence { expected: 1, found: 2 })));
        let mut forged = lines;
        forged[1].prev = B256::ZERO;
        assert!(matches!(replay(&forged), Err(ChainError::Broken { seq: 1 })));
    }

    #[test]
    fn a_line_survives_json() {
        let line = chain(&["a"]).remove(0);
        let text = serde_json::to_string(&line).unwrap();
        let back: Line = serde_json::from_str(&text).unwrap();
        assert!(Head::default().follow(&back).is_ok());
        assert_eq!(back.record::<String>().unwrap(), "a");
    }
}
