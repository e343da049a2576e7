//! The chain of Bitcoin headers: links, work and difficulty of every block from before the first epoch to the tip.

use std::collections::HashMap;

use bitcoin::{
    BlockHash,
    block::Header,
    consensus::{deserialize, serialize},
};
use serde_json::{Value, json};

use crate::{Error, header, rpc::Rpc};

/// Headers fetched at once.
const BATCH: u64 = 2_048;
/// Bytes of a header.
const HEADER: usize = 80;
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
        for header in kept(rpc, first, tip).await? {
            headers.push(header, difficulty);
            start = start.saturating_add(1);
        }
        while start <= tip {
            let end = tip.min(start.saturating_add(BATCH - 1));
            let (run, faults) = (fetch(rpc, start, end).await?, headers.faults.len());
            for header in &run {
                headers.push(*header, difficulty);
            }
            if let (Some(kept), true) = (rpc.kept(), headers.faults.len() == faults) {
                let bytes: Vec<u8> = run.iter().flat_map(serialize).collect();
                kept.put("headers", &start.to_be_bytes(), &bytes);
            }
            start = end.saturating_add(1);
            let (done, all) = (start.saturating_sub(first), tip.saturating_sub(first));
            rpc.progress().step("Bitcoin header", done, all.saturating_add(1));
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

/// Headers from `first` on that were read before: a chain by their hashes, which ends in a block that the node has at
/// that height now.
async fn kept(rpc: &Rpc, first: u64, tip: u64) -> Result<Vec<Header>, Error> {
    let Some(kept) = rpc.kept() else { return Ok(Vec::new()) };
    let (mut list, mut ends): (Vec<Header>, Vec<usize>) = (Vec::new(), Vec::new());
    let height = |count: usize| first.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    while let Some(bytes) = kept.get("headers", &height(list.len()).to_be_bytes()) {
        let run: Option<Vec<Header>> =
            bytes.chunks(HEADER).map(|bytes| deserialize(bytes).ok()).collect();
        let run = run.filter(|run| !run.is_empty() && follow(list.last(), run));
        let Some(run) = run else {
            kept.distrust("headers");
            break;
        };
        list.extend(run);
        ends.push(list.len());
    }
    ends.retain(|end| height(*end) <= tip.saturating_add(1));
    // the longest part of it that ends in a block of the node's chain
    let (mut good, mut open) = (0, ends.len());
    while good < open {
        let middle = good.saturating_add(open).div_ceil(2);
        let end = middle.checked_sub(1).and_then(|at| ends.get(at)).copied().unwrap_or_default();
        let Some(last) = end.checked_sub(1).and_then(|at| list.get(at)) else { break };
        let at = height(end).saturating_sub(1);
        if rpc.one("getblockhash", json!([at])).await? == json!(last.block_hash()) {
            good = middle;
        } else {
            tracing::warn!(height = at, "this block has changed: it is read again");
            open = middle.saturating_sub(1);
        }
    }
    list.truncate(good.checked_sub(1).and_then(|at| ends.get(at)).copied().unwrap_or_default());
    Ok(list)
}

/// Whether each of a run follows from the one before it.
fn follow(before: Option<&Header>, run: &[Header]) -> bool {
    let before = before.into_iter().chain(run);
    before.clone().zip(before.skip(1)).all(|(a, b)| b.prev_blockhash == a.block_hash())
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
