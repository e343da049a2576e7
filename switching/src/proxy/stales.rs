//! Stale shares explained: a share that a new block of its own chain overtook is nobody's loss; one that a pool calls stale
//! while its chain stood still was lost by somebody.

use std::time::{Duration, Instant};

/// A pool may refuse a share for a new block before it has told us of that block; not for longer than this.
const GRACE: Duration = Duration::from_secs(2);

/// The stale shares of one venue.
#[derive(Debug, Default)]
pub(super) struct Stales {
    tip: Option<[u8; 32]>,
    /// Refused while we knew of no newer block.
    suspects: Vec<Instant>,
    unexplained: u64,
}

impl Stales {
    /// The pool works on top of this block now.
    pub(super) fn tip(&mut self, prev_hash: [u8; 32]) {
        if self.tip.replace(prev_hash) != Some(prev_hash) {
            self.suspects.retain(|at| at.elapsed() > GRACE);
            self.settle();
        }
    }

    /// The pool called a share on top of this block stale.
    pub(super) fn stale(&mut self, prev_hash: [u8; 32]) {
        if self.tip == Some(prev_hash) {
            self.suspects.push(Instant::now());
        }
    }

    /// Shares called stale that no block explains.
    pub(super) fn unexplained(&self) -> u64 {
        let late = self.suspects.iter().filter(|at| at.elapsed() > GRACE).count();
        self.unexplained.saturating_add(u64::try_from(late).unwrap_or(u64::MAX))
    }

    fn settle(&mut self) {
        let guilty = u64::try_from(self.suspects.len()).unwrap_or(u64::MAX);
        self.unexplained = self.unexplained.saturating_add(guilty);
        self.suspects.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_block_explains_stales_before_and_after_its_notice() {
        let mut stales = Stales::default();
        stales.tip([1; 32]);
        stales.stale([1; 32]); // the pool knew of block 2 before we did
        stales.tip([2; 32]);
        stales.stale([1; 32]); // still on its way when block 2 came
        assert_eq!(stales.unexplained(), 0);
    }

    #[test]
    fn a_stale_share_on_an_unmoved_chain_stays_unexplained() {
        let mut stales = Stales::default();
        stales.tip([1; 32]);
        stales.suspects.push(Instant::now().checked_sub(GRACE * 2).unwrap());
        assert_eq!(stales.unexplained(), 1);
        stales.tip([2; 32]);
        assert_eq!(stales.unexplained(), 1);
    }
}
