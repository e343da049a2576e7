//! Bitcoin through a light server (Electrum or Esplora): blocks that hold our own transactions only, each proven.
//!
//! What flows in: a server's headers, histories of our scripts, transactions and Merkle branches. What flows out: the
//! blocks that the treasury has not read, and proofs of inclusion. Nothing is believed that is not checked:
//!
//! - a header has its work, a target that consensus allows at its height, and follows the one before it, down to a block
//!   that was read before or that the configuration names (`anchor`); another branch is followed only if it has more work;
//! - a transaction is in a block if its branch and the coinbase's climb to the header's root and are equally long;
//! - what was proven once stays until the chain leaves that block: a server that omits it is refused.
//!
//! A server can leave a transaction out or be behind. Then it comes later: the histories are read again with every block
//! and every half minute, and a transaction that turns up late is read with all blocks since its own. It never decides
//! what is paid, and it never sees a key.

mod branch;
mod electrum;
mod esplora;
mod headers;
mod known;
mod scripts;
mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bdk_wallet::chain::CheckPoint;
use bitcoin::{
    Block, BlockHash, Network, ScriptBuf, Transaction, Txid, block::Header, hashes::Hash,
};
use tokio::time::Instant;
use tracing::warn;

pub use electrum::Electrum;
pub use esplora::Esplora;
pub use known::{Known, Place};
pub use server::{Branch, Seen, Server, refusal};

use crate::{engine::REORG, error::Error, proof::Mined, vault::Vault};
use headers::Headers;
use scripts::Scripts;

/// Histories are read again after this long, though no block has come: a server may know a block before what is in it.
const AGAIN: Duration = Duration::from_secs(30);
/// Scripts asked for at once.
const AT_ONCE: usize = 100;

/// Where the treasury's history begins.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The network.
    pub network: Network,
    /// Nothing of ours is in a block below this height.
    pub birthday: u32,
    /// Hash of the block at `birthday`, from a source that is not the server.
    pub anchor: Option<BlockHash>,
}

/// A light server, and what was believed of it.
#[derive(Debug)]
pub struct Light {
    server: Arc<dyn Server>,
    start: Start,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    /// Those of the chain that the treasury has read; none before the first look.
    headers: Option<Headers>,
    scripts: Scripts,
    known: Known,
    looked: Option<Instant>,
    /// What the server has said of each script, while there are blocks below its newest to be read.
    histories: BTreeMap<ScriptBuf, Vec<Seen>>,
    /// Transactions that came too late to be read.
    late: BTreeSet<Txid>,
}

/// Blocks to be read now: above the last one, or again from below it.
#[derive(Debug)]
pub(crate) struct Stretch {
    /// Ascending, with our transactions only; all or none are to be applied.
    pub(crate) blocks: Vec<(u32, Block)>,
    /// The server has more.
    pub(crate) more: bool,
    after: Option<State>,
}

/// What the server says of our scripts up to some height.
struct Found {
    places: BTreeSet<(u32, Txid)>,
    scripts: Scripts,
    txs: BTreeMap<Txid, Transaction>,
    histories: BTreeMap<ScriptBuf, Vec<Seen>>,
}

impl Light {
    /// A client that has read `known` before; `used` is the highest treasury index in use, `epochs` are those paid, each
    /// with the height of its payout.
    ///
    /// # Errors
    /// When a script cannot be derived.
    pub fn new(
        server: Arc<dyn Server>,
        start: Start,
        vault: &Vault,
        (lookahead, used): (u32, Option<u32>),
        epochs: impl IntoIterator<Item = (u32, u32)>,
        known: Known,
    ) -> Result<Self, Error> {
        let scripts = Scripts::new(vault.clone(), lookahead, used, epochs)?;
        let state = State {
            headers: None,
            scripts,
            known,
            looked: None,
            histories: BTreeMap::new(),
            late: BTreeSet::new(),
        };
        Ok(Self { server, start, state: Mutex::new(state) })
    }

    /// The server, whose answers are not checked here.
    #[must_use]
    pub fn server(&self) -> Arc<dyn Server> {
        Arc::clone(&self.server)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to read after `chain`, of which the newest block is the last one read.
    pub(crate) fn next(&self, chain: &CheckPoint) -> Result<Stretch, Error> {
        let top = self.server.height()?;
        let have = chain.height().max(self.first().saturating_sub(1));
        if top <= have && self.state().looked.is_some_and(|at| at.elapsed() < AGAIN) {
            return Ok(Stretch { blocks: Vec::new(), more: false, after: None });
        }
        let mut state = self.state().clone();
        let ours = match state.headers.take() {
            Some(headers) => headers,
            None => self.load(chain, top)?,
        };
        let (mut branch, fork) = if top > have {
            self.extend(&ours, have, top)?
        } else {
            let tip = ours.tip().unwrap_or_default();
            (ours, tip)
        };
        let to = branch.tip().unwrap_or_default();
        let found = self.look(&state, &branch, to)?;
        state.known.leave(|place| {
            place.height > fork
                && place.height <= to
                && branch.hash(place.height) != Some(place.block)
        });
        let from = state.first_unread(&found, &branch, fork, have);
        let blocks = self.read(&state.known, &branch, &found, (from, fork, to))?;
        for (height, block) in &blocks {
            let place = Place { height: *height, block: block.block_hash() };
            for tx in &block.txdata {
                state.known.put(tx.compute_txid(), place);
            }
        }
        let more = to < top;
        state.histories = if more { found.histories } else { BTreeMap::new() };
        (state.scripts, state.looked) = (found.scripts, Some(Instant::now()));
        state.scripts.forget(to);
        branch.forget();
        state.headers = Some(branch);
        Ok(Stretch { blocks, more, after: Some(state) })
    }

    /// The blocks were applied.
    pub(crate) fn applied(&self, stretch: Stretch) {
        if let Some(after) = stretch.after {
            *self.state() = after;
        }
    }

    /// Height of the first block that is read; the network's very first is known.
    fn first(&self) -> u32 {
        self.start.birthday.max(1)
    }

    /// Asks for the histories of our scripts, and of those that these lead to, up to a height.
    fn look(&self, state: &State, branch: &Headers, to: u32) -> Result<Found, Error> {
        let mut found = Found {
            places: BTreeSet::new(),
            scripts: state.scripts.clone(),
            txs: BTreeMap::new(),
            histories: state.histories.clone(),
        };
        let mut done: BTreeSet<ScriptBuf> = BTreeSet::new();
        loop {
            let new: Vec<ScriptBuf> =
                found.scripts.all().filter(|script| !done.contains(*script)).cloned().collect();
            if new.is_empty() {
                return Ok(found);
            }
            self.ask(&new, &mut found.histories)?;
            let seen = new.iter().filter_map(|script| found.histories.get(script)).flatten();
            let in_blocks = seen.filter_map(|seen| Some((seen.height?, seen.txid)));
            let read = in_blocks.filter(|(height, _)| *height >= self.first() && *height <= to);
            found.places.extend(read);
            done.extend(new);
            for (height, txid) in found.places.clone() {
                let block = branch.hash(height);
                let read =
                    block.is_none_or(|block| state.known.has(&txid, &Place { height, block }));
                if read || found.txs.contains_key(&txid) {
                    continue;
                }
                let tx = self.transaction(txid)?;
                found.scripts.learn(&tx, height)?;
                found.txs.insert(txid, tx);
            }
        }
    }

    /// Histories of scripts that have none yet.
    fn ask(
        &self,
        scripts: &[ScriptBuf],
        histories: &mut BTreeMap<ScriptBuf, Vec<Seen>>,
    ) -> Result<(), Error> {
        let new = scripts.iter().filter(|script| !histories.contains_key(*script));
        let new: Vec<ScriptBuf> = new.cloned().collect();
        for some in new.chunks(AT_ONCE) {
            let answers = self.server.histories(some)?;
            if answers.len() != some.len() {
                return Err(lie("it does not answer for every script"));
            }
            histories.extend(some.iter().cloned().zip(answers));
        }
        Ok(())
    }

    fn transaction(&self, txid: Txid) -> Result<Transaction, Error> {
        let tx = self.server.transaction(txid)?;
        if tx.compute_txid() != txid {
            return Err(lie(format!("it gives another transaction for {txid}")));
        }
        Ok(tx)
    }

    /// The blocks to read: those above `fork`, and from `from` on those below it that hold transactions of ours.
    fn read(
        &self,
        known: &Known,
        branch: &Headers,
        found: &Found,
        (from, fork, to): (u32, u32, u32),
    ) -> Result<Vec<(u32, Block)>, Error> {
        for (txid, place) in known.within(from, to) {
            if !found.places.contains(&(place.height, *txid)) {
                let why = format!("it omits {txid}, which block {} is proven to hold", place.block);
                return Err(lie(why));
            }
        }
        let mut blocks = Vec::new();
        for height in from..=to {
            let least = (height, Txid::all_zeros());
            let at = found.places.range(least..).take_while(|(h, _)| *h == height);
            let ids: Vec<Txid> = at.map(|(_, txid)| *txid).collect();
            if ids.is_empty() && height <= fork {
                continue;
            }
            let header = branch.get(height);
            let header = header.ok_or_else(|| lie(format!("no header was read at {height}")))?;
            let mut mined = Vec::with_capacity(ids.len());
            for txid in ids {
                let tx = match found.txs.get(&txid) {
                    Some(tx) => tx.clone(),
                    None => self.transaction(txid)?,
                };
                let mined_tx = self.prove(height, header, tx)?;
                mined.push((mined_tx.index, mined_tx.tx));
            }
            // a later transaction of a block may spend an earlier one's outputs
            mined.sort_by_key(|(index, _)| *index);
            let txdata = mined.into_iter().map(|(_, tx)| tx).collect();
            blocks.push((height, Block { header: *header, txdata }));
        }
        Ok(blocks)
    }

    /// A transaction with the proof that the block holds it.
    fn prove(&self, height: u32, header: &Header, tx: Transaction) -> Result<Mined, Error> {
        let (txid, block) = (tx.compute_txid(), header.block_hash());
        let first = self.server.coinbase(height, block)?;
        let coinbase = self.transaction(first)?;
        let coinbase_branch = self.server.branch(first, height)?.siblings;
        let Branch { index, siblings } = self.server.branch(txid, height)?;
        let mined = Mined { tx, index, branch: siblings, coinbase, coinbase_branch };
        if !mined.is_under(header.merkle_root) {
            return Err(lie(format!("its branch does not show {txid} in block {block}")));
        }
        Ok(mined)
    }

    /// A transaction with the proof that the block at `height`, which was read before, holds it.
    ///
    /// # Errors
    /// When the server does not answer, or what it says is not proven.
    pub fn mined(&self, height: u32, block: BlockHash, txid: Txid) -> Result<Mined, Error> {
        let header = self.header_at(height, Some(block))?;
        self.prove(height, &header, self.transaction(txid)?)
    }

    /// The header at a height; where its `hash` is not given and no header is held, it is the server's word.
    ///
    /// # Errors
    /// When the server does not answer, or has another block there.
    pub fn header_at(&self, height: u32, hash: Option<BlockHash>) -> Result<Header, Error> {
        let held = self.state().headers.as_ref().and_then(|all| all.get(height).copied());
        let header = held.map_or_else(|| self.header(height), Ok)?;
        match hash {
            Some(hash) if header.block_hash() != hash => {
                let found = header.block_hash();
                Err(lie(format!("its block {height} is {found}, ours is {hash}")))
            }
            _ => Ok(header),
        }
    }
}

impl State {
    /// The lowest height to read from: above `fork`, or where a transaction has turned up late.
    fn first_unread(&mut self, found: &Found, branch: &Headers, fork: u32, have: u32) -> u32 {
        let mut from = fork.saturating_add(1);
        for (height, txid) in &found.places {
            let block = branch.hash(*height);
            let read =
                block.is_some_and(|block| self.known.has(txid, &Place { height: *height, block }));
            if *height > fork || read {
                continue;
            }
            if height.saturating_add(REORG) > have && block.is_some() {
                from = from.min(*height);
            } else if !self.known.is_anywhere(txid) && self.late.insert(*txid) {
                warn!(
                    %txid, height,
                    "a transaction of ours turns up too late to be read: stop, move the database away and start again"
                );
            }
        }
        from
    }
}

fn lie(why: impl Into<String>) -> Error {
    Error::Node { doing: "light server".into(), why: why.into() }
}

#[cfg(test)]
#[path = "light/tests.rs"]
mod tests;
