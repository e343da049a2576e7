//! Tags: what binds shares to this fleet and to an epoch, and the lowest hashes found under them.
//!
//! A tag follows from the epoch's first EVM block, which nobody knew before. When it changes, every venue's work is
//! rendered anew and machines get one more job; what they still find of the old one is paid by the pool as ever, and
//! counts for the epoch whose tag it carries. Of each epoch only hashes are held here, as many as a proof has shares;
//! what shows them is in the journal, so no crash loses it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy::{
    primitives::{B256, FixedBytes, U256, keccak256},
    sol_types::SolValue,
};
use clock::FirstBlock;
use domain::{EpochId, Production, ShareProof};
use serde::Serialize;

use super::{Proxy, table::Work};
use crate::{
    config::Proof,
    stratum::{
        job::TAG_BYTES,
        share::{self, Proven, Submit},
    },
};

/// Epochs whose hashes are held: a share of an older one is not proven any more.
const EPOCHS: usize = 2;

/// The bytes of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) epoch: EpochId,
    pub(super) bytes: [u8; TAG_BYTES],
}

impl Tag {
    /// `keccak256(chainId, fleetId, epoch, seed)`, each a word of 32 bytes, cut to four.
    fn of(fleet: B256, block: &FirstBlock) -> Self {
        let epoch = EpochId::at(block.time);
        let words = [
            U256::from(block.chain_id),
            fleet.into(),
            U256::from(epoch.0),
            U256::from_be_bytes(block.hash),
        ];
        let [a, b, c, d, ..] = keccak256(words.abi_encode()).0;
        Self { epoch, bytes: [a, b, c, d] }
    }
}

/// A share on its way to a pool, and what shows it if the pool takes it.
#[derive(Debug)]
pub(super) struct Candidate {
    epoch: EpochId,
    hash: U256,
    work: Arc<Work>,
    extranonce2: Vec<u8>,
    version: u32,
    ntime: u32,
    nonce: u32,
}

impl Candidate {
    fn proof(&self, tag_at: u16) -> ShareProof {
        let job = &self.work.job;
        ShareProof {
            version: self.version,
            previous: B256::new(job.previous()),
            time: self.ntime,
            bits: job.nbits,
            nonce: self.nonce,
            coinbase: share::coinbase(job, &self.work.layout, &self.extranonce2).into(),
            tag_at,
            branch: job.branches.iter().copied().map(B256::new).collect(),
        }
    }
}

/// What is known of tags.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// The fleet, and shares of a proof; none if nothing is to be proven.
    fleet: Option<(B256, usize)>,
    /// The tag that work is given out with.
    pub(super) tag: Option<Tag>,
    lowest: BTreeMap<EpochId, BTreeSet<U256>>,
    /// What the journal was told of the running epoch.
    told: BTreeSet<(EpochId, usize, bool, U256)>,
    /// Hashes that pools acknowledged of work without a tag, since the start.
    unprovable: u128,
}

/// What the status says of proofs of hashrate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProofStatus {
    /// Epoch of the tag that work carries; null while its first block is not known.
    pub epoch: Option<EpochId>,
    /// The tag, hex.
    pub tag: Option<String>,
    /// Lowest hashes held of that epoch.
    pub shares: usize,
    /// Hashes that pools acknowledged of work without a tag, since the start.
    #[serde(with = "domain::decimal")]
    pub unprovable_hashes: u128,
}

impl Tags {
    pub(super) fn new(config: Option<&Proof>) -> Self {
        Self { fleet: config.map(|proof| (proof.fleet, proof.shares)), ..Self::default() }
    }

    /// Whether a hash is among the lowest of its epoch so far.
    fn is_low(&self, epoch: EpochId, hash: U256) -> bool {
        let Some((_, keep)) = self.fleet else { return false };
        let Some(lowest) = self.lowest.get(&epoch) else { return true };
        lowest.len() < keep || lowest.last().is_some_and(|last| hash < *last)
    }

    /// Takes a hash among the lowest; false if it is not one of them.
    fn take(&mut self, epoch: EpochId, hash: U256) -> bool {
        let Some((_, keep)) = self.fleet else { return false };
        if !self.is_low(epoch, hash) || !self.lowest.entry(epoch).or_default().insert(hash) {
            return false;
        }
        if let Some(lowest) = self.lowest.get_mut(&epoch).filter(|lowest| lowest.len() > keep) {
            lowest.pop_last();
        }
        while self.lowest.len() > EPOCHS {
            self.lowest.pop_first();
        }
        self.lowest.contains_key(&epoch)
    }

    pub(super) fn status(&self) -> Option<ProofStatus> {
        self.fleet?;
        let lowest = self.tag.and_then(|tag| self.lowest.get(&tag.epoch));
        Some(ProofStatus {
            epoch: self.tag.map(|tag| tag.epoch),
            tag: self.tag.map(|tag| hex::encode(tag.bytes)),
            shares: lowest.map_or(0, BTreeSet::len),
            unprovable_hashes: self.unprovable,
        })
    }
}

impl Work {
    /// The same work with a tag in its coinbase, if there is room for one in the coinbase's script.
    pub(super) fn tagged(mut self, tag: Option<Tag>) -> Self {
        let tagged = tag.and_then(|tag| {
            Some((tag, self.job.tag_at(&self.layout)?, self.layout.tagged(tag.bytes)?))
        });
        self.tag = tagged.as_ref().map(|(tag, at, _)| (*tag, *at));
        if let Some((_, _, layout)) = tagged {
            self.layout = layout;
        }
        self
    }
}

impl Proxy {
    /// A new epoch's first block, or another one in its place: every venue's work is rendered with the new tag, and
    /// machines are given the one they work on. Not as a clean job: what they hash of the last one is still paid.
    pub(super) fn on_first_block(&mut self, block: &FirstBlock) {
        let Some((fleet, _)) = self.tags.fleet else { return };
        let tag = Tag::of(fleet, block);
        if self.tags.tag == Some(tag) {
            return;
        }
        self.tags.tag = Some(tag);
        self.tags.told.retain(|(epoch, ..)| *epoch >= tag.epoch);
        tracing::info!(epoch = %tag.epoch, tag = hex::encode(tag.bytes), "new tag");
        for venue in 0..self.venues.len() {
            self.render_anew(venue);
        }
        if let Some(current) = self.current {
            self.give(current.venue, false);
        }
    }

    /// Replaces the job that waits at a venue by the same work under the present tag.
    fn render_anew(&mut self, venue: usize) {
        let number = self.table.number_work();
        let tag = self.tags.tag;
        let Some(slot) = self.venues.get_mut(venue) else { return };
        let Some((base, waiting)) = slot.base_layout().zip(slot.standby.as_ref()) else { return };
        let old = waiting.work.as_ref();
        let work = Work {
            number,
            venue,
            session: old.session,
            job: old.job.clone(),
            layout: base,
            difficulty: Arc::clone(&old.difficulty),
            mask: old.mask,
            tag: None,
        };
        let issue = self.table.prepare(Arc::new(work.tagged(tag)), 0);
        slot.renumber(number, issue);
    }

    /// Tells the journal on what terms a venue's work was given, once per epoch.
    pub(super) fn note_terms(&mut self, work: &Work) {
        let Some(running) = self.tags.tag else { return };
        let epoch = work.tag.map_or(running.epoch, |(tag, _)| tag.epoch);
        let target = work.difficulty.target();
        if !self.tags.told.insert((epoch, work.venue, work.tag.is_some(), target)) {
            return;
        }
        let Some(slot) = self.venues.get(work.venue) else { return };
        self.record(Production::Tagged {
            time: self.now,
            epoch,
            venue: slot.config.name.clone(),
            tag: work.tag.map(|(tag, _)| FixedBytes::new(tag.bytes)),
            target: B256::from(target),
        });
    }

    /// What must be remembered of a share until its pool has answered; nothing if it cannot be of a proof.
    pub(super) fn candidate(
        &self,
        work: &Arc<Work>,
        submit: &Submit,
        proven: &Proven,
    ) -> Option<Box<Candidate>> {
        let (tag, _) = work.tag?;
        let hash = U256::from_le_bytes(proven.hash);
        self.tags.is_low(tag.epoch, hash).then(|| {
            Box::new(Candidate {
                epoch: tag.epoch,
                hash,
                work: Arc::clone(work),
                extranonce2: proven.extranonce2.clone(),
                version: proven.version,
                ntime: submit.ntime,
                nonce: submit.nonce,
            })
        })
    }

    /// The pool took a share.
    pub(super) fn count_evidence(
        &mut self,
        candidate: Option<&Candidate>,
        machine: &str,
        hashes: u128,
        tagged: bool,
    ) {
        if !tagged {
            self.tags.unprovable = self.tags.unprovable.saturating_add(hashes);
        }
        let Some(found) = candidate else { return };
        let Some((_, tag_at)) = found.work.tag else { return };
        let Some(slot) = self.venues.get(found.work.venue) else { return };
        let venue = slot.config.name.clone();
        if self.tags.take(found.epoch, found.hash) {
            self.record(Production::Share {
                time: self.now,
                epoch: found.epoch,
                venue,
                machine: machine.to_owned(),
                hash: B256::from(found.hash),
                proof: Box::new(found.proof(tag_at)),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector() -> serde_json::Value {
        serde_json::from_str(include_str!("../../../tests/vectors/hashproof.json")).unwrap()
    }

    #[test]
    fn the_tag_is_the_golden_one() {
        let vector = vector();
        let text = |name: &str| vector[name].as_str().unwrap();
        let epoch = vector["epoch"].as_u64().unwrap();
        let seed: B256 = text("seed").parse().unwrap();
        let block = FirstBlock {
            chain_id: vector["chainId"].as_u64().unwrap(),
            time: epoch * 28_800 + 7,
            number: 1,
            hash: seed.0,
        };
        let tag = Tag::of(text("fleetId").parse().unwrap(), &block);
        assert_eq!(u64::from(tag.epoch.0), epoch);
        assert_eq!(format!("0x{}", hex::encode(tag.bytes)), text("tag"));
    }

    #[test]
    fn only_the_lowest_are_kept_and_each_once() {
        let mut tags = Tags { fleet: Some((B256::ZERO, 3)), ..Tags::default() };
        let epoch = EpochId(9);
        let taken: Vec<bool> =
            [50_u64, 40, 40, 60, 70, 10, 55].map(|n| tags.take(epoch, U256::from(n))).to_vec();
        assert_eq!(taken, [true, true, false, true, false, true, false]);
        let held: Vec<U256> = tags.lowest[&epoch].iter().copied().collect();
        assert_eq!(held, [10_u64, 40, 50].map(U256::from));
        assert!(tags.take(EpochId(10), U256::from(1)) && tags.take(EpochId(11), U256::from(1)));
        assert!(!tags.take(epoch, U256::from(2)), "too old");
        assert_eq!(tags.lowest.len(), EPOCHS);
    }
}
