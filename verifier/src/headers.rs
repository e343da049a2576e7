//! The chain of Bitcoin headers: links, work and difficulty of every block from before the first epoch to the tip.

use std::collections::HashMap;

use bitcoin::{BlockHash, block::Header, consensus::deserialize};
use serde_json::{Value, json};

use crate::{Error, header, rpc::Rpc};

/// Headers fetched at once.
const BATCH: u64 = 2_048;
/// Header times may run against the order of blocks by less than this many blocks.
const SLACK: u64 = 12;

/// How difficulty moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difficulty {
    /// As on the main network, every 2,016 blocks.
    Retargets,
    /// Never: a test network.
    Constant,
}

/// A range of headers, each following the one before.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// Height of the first.
    pub first: u64,
    /// Height of the last: the tip.
    pub tip: u64,
    list: Vec<Header>,
    heights: HashMap<BlockHash, u64>,
    /// Headers whose work, link or difficulty is wrong.
    pub faults: Vec<String>,
}

impl Headers {
    /// Reads the headers from the first that may have time `since` or later, and from the start of the difficulty
    /// period before that one, so that the first change of difficulty that matters is recomputed too.
    ///
    /// # Errors
    /// When the node does not answer, or a header does not decode.
    pub async fn read(rpc: &Rpc, since: u64, difficulty: Difficulty) -> Result<Self, Error> {
        let tip = number(&rpc.one("getblockcount", json!([])).await?);
        let wanted = first_block(rpc, since, tip).await?.saturating_sub(SLACK);
        let first = (wanted / header::PERIOD).saturating_sub(1) * header::PERIOD;
        let mut headers = Self { first, tip, ..Self::default() };
        let mut start = first;
        while start <= tip {
            let end = tip.min(start.saturating_add(BATCH - 1));
            for header in fetch(rpc, start, end).await? {
                headers.push(header, difficulty);
            }
            if tip.saturating_sub(first) > 2 * BATCH {
                tracing::info!(height = end, tip, "bitcoin headers");
            }
            start = end.saturating_add(1);
        }
        Ok(headers)
    }

    fn push(&mut self, header: Header, difficulty: Difficulty) {
        let count = u64::try_from(self.list.len()).unwrap_or(u64::MAX);
        let height = self.first.saturating_add(count);
        let hash = header.block_hash();
        let mut found = Vec::new();
        if !header::works(&header) {
            found.push("its hash is above the target that it states");
        }
        if let Some(before) = self.list.last() {
            if header.prev_blockhash != before.block_hash() {
                found.push("it does not follow from the block before it");
            }
            if Some(header.bits.to_consensus()) != self.expected_bits(height, before, difficulty) {
                found.push("its difficulty is not what follows from the blocks before it");
            }
        }
        self.faults.extend(found.iter().map(|what| format!("block {height} ({hash}): {what}")));
        self.heights.insert(hash, height);
        self.list.push(header);
    }

    fn expected_bits(&self, height: u64, before: &Header, difficulty: Difficulty) -> Option<u32> {
        let bits = before.bits.to_consensus();
        if difficulty == Difficulty::Constant || !height.is_multiple_of(header::PERIOD) {
            return Some(bits);
        }
        let period = self.at(height.checked_sub(header::PERIOD)?)?;
        header::retarget(bits, period.time, before.time)
    }

    /// The header at a height, if it was read.
    #[must_use]
    pub fn at(&self, height: u64) -> Option<&Header> {
        self.list.get(usize::try_from(height.checked_sub(self.first)?).ok()?)
    }

    /// Height of a block of this chain.
    #[must_use]
    pub fn height(&self, hash: &BlockHash) -> Option<u64> {
        self.heights.get(hash).copied()
    }

    /// Heights whose header time is in `from..until`, give or take the disorder of header times.
    #[must_use]
    pub fn between(&self, from: u64, until: u64) -> std::ops::RangeInclusive<u64> {
        let place = |time: u64| {
            let place = self.list.partition_point(|header| u64::from(header.time) < time);
            self.first.saturating_add(u64::try_from(place).unwrap_or(u64::MAX))
        };
        let first = place(from).saturating_sub(SLACK).max(self.first);
        first..=place(until).saturating_add(SLACK).min(self.tip)
    }
}

async fn fetch(rpc: &Rpc, start: u64, end: u64) -> Result<Vec<Header>, Error> {
    let hashes = (start..=end).map(|height| ("getblockhash", json!([height]))).collect();
    let mut calls = Vec::new();
    for answer in rpc.all(hashes).await? {
        let hash = answer.map_err(|why| Error::Refused { doing: "getblockhash".into(), why })?;
        calls.push(("getblockheader", json!([hash, false])));
    }
    let read = |answer: Result<Value, String>| {
        let value = answer.map_err(|why| Error::Refused { doing: "getblockheader".into(), why })?;
        let bytes = hex::decode(value.as_str().unwrap_or_default())
            .map_err(|error| Error::decode("bitcoin header", error))?;
        deserialize(&bytes).map_err(|error| Error::decode("bitcoin header", error))
    };
    rpc.all(calls).await?.into_iter().map(read).collect()
}

/// By bisection: header times rise but for a few blocks.
async fn first_block(rpc: &Rpc, since: u64, tip: u64) -> Result<u64, Error> {
    let (mut low, mut high) = (0, tip);
    while low < high {
        let middle = low.midpoint(high);
        let time = fetch(rpc, middle, middle).await?.first().map_or(0, |head| u64::from(head.time));
        if time < since {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    Ok(low)
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}
