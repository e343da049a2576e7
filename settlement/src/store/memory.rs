//! What the one writer remembers of its database: a payout of many thousands is not decoded again for each step, and what
//! no block has changed is not asked twice.

use std::collections::BTreeMap;

use bitcoin::{BlockHash, OutPoint, Txid};
use domain::EpochId;

use crate::{known::KnownTx, state::State, vault::Coin};

/// Answers about transactions that are remembered.
const MOST: usize = 4_096;

/// Where a transaction was seen.
pub(super) type Seen = Vec<(u32, BlockHash)>;
/// Who else was seen to spend an output, and where.
pub(super) type Rivals = Vec<(Txid, BlockHash)>;

/// Beside the database of a writer; nobody else changes what stands there.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// States of unfinished epochs as they were last written.
    pub(super) states: BTreeMap<EpochId, State>,
    pub(super) seen: BTreeMap<Txid, Seen>,
    pub(super) rivals: BTreeMap<(OutPoint, Txid), Rivals>,
    /// The newest planned baton, the epoch that leaves it and the transaction that creates it.
    pub(super) baton: Option<(EpochId, Coin, KnownTx)>,
    /// How often blocks brought payouts. An answer that was read under an older count is not kept.
    news: u64,
    /// Over which connection, counted, it was learnt.
    connection: u64,
}

impl Memory {
    /// A server that was started again, or another one in its place, may know less than the one before it.
    pub(super) fn learnt_over(&mut self, connection: u64) {
        if self.connection != connection {
            self.connection = connection;
            self.states.clear();
            self.baton = None;
            self.forget_blocks();
        }
    }

    /// Blocks have brought payouts: what was answered before them may be wrong now.
    pub(super) fn forget_blocks(&mut self) {
        self.seen.clear();
        self.rivals.clear();
        self.news = self.news.wrapping_add(1);
    }

    /// The count to keep an answer under.
    pub(super) const fn news(&self) -> u64 {
        self.news
    }

    /// Whether an answer that was asked for under `news` still holds; makes room for it.
    pub(super) fn takes(&mut self, news: u64) -> bool {
        if self.seen.len() >= MOST || self.rivals.len() >= MOST {
            self.seen.clear();
            self.rivals.clear();
        }
        self.news == news
    }
}
