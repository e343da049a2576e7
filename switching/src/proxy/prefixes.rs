//! Extranonce prefixes: one per connection, unique while it lives, used again as late as possible.

use std::collections::HashSet;

/// Hands out prefixes of `bytes` bytes.
#[derive(Debug)]
pub(super) struct Prefixes {
    bytes: usize,
    next: u64,
    taken: HashSet<u64>,
}

impl Prefixes {
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes, next: 0, taken: HashSet::new() }
    }

    fn space(&self) -> u64 {
        u32::try_from(self.bytes.saturating_mul(8))
            .ok()
            .and_then(|bits| 1_u64.checked_shl(bits))
            .unwrap_or(u64::MAX)
    }

    /// A prefix that nobody has; none when all are taken. A machine that comes back gets another one than it had, so
    /// that it does not search the same space twice.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let space = self.space();
        if u64::try_from(self.taken.len()).ok()? >= space {
            return None;
        }
        while !self.taken.insert(self.next) {
            self.next = self.next.saturating_add(1) % space;
        }
        let found = self.next;
        self.next = found.saturating_add(1) % space;
        let bytes = found.to_be_bytes();
        bytes.get(bytes.len().saturating_sub(self.bytes)..).map(<[u8]>::to_vec)
    }

    /// Gives one back.
    pub(super) fn release(&mut self, prefix: &[u8]) {
        let number = prefix.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        self.taken.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_unique_until_released() {
        let mut prefixes = Prefixes::new(1);
        let all: HashSet<Vec<u8>> = (0..256).map(|_| prefixes.take().unwrap()).collect();
        assert_eq!(all.len(), 256);
        assert_eq!(prefixes.take(), None);
        prefixes.release(&[7]);
        assert_eq!(prefixes.take(), Some(vec![7]));
        prefixes.release(&[3]);
        prefixes.release(&[9]);
        assert_eq!(prefixes.take(), Some(vec![9]));
    }
}
