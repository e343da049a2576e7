//! State of the simulation: both chains, the signers' disks, the operators' disks, and chance.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{Address, B256, U256};
use bitcoin::{
    BlockHash, OutPoint, Script, ScriptBuf, Transaction, Txid,
    bip32::{Xpriv, Xpub},
    secp256k1::Secp256k1,
};
use domain::{EpochId, Leaf, SeriesId};
use settlement::{
    allocate::{Entry, Piece, Weights, World},
    known::KnownTx,
    state::State,
    store::{BitcoinNews, Marked},
    vault::{Coin, GENESIS_BATON, Keychain, Vault},
};

use super::{
    bitcoin::Network,
    ledger::{Earned, Ledger},
};

/// Accounts of every world: the last has no script, the one before registers late.
pub(in crate::bench) const ACCOUNTS: u8 = 4;
/// Sats of the first baton.
pub(in crate::bench) const RESERVE: u64 = 5_000_000;
/// Sats below which a due amount waits.
pub(in crate::bench) const MIN_PAY: u64 = 10_000;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Fate {
    Live,
    Fail,
    Die,
}

/// Scripts of the treasury at indices 0 and 1.
pub(in crate::bench) type Scripts = [ScriptBuf; 2];

/// What a signer has on its disk, and its key.
#[derive(Debug)]
pub(in crate::bench) struct SimSigner {
    pub(in crate::bench) key: Xpriv,
    pub(in crate::bench) roots: BTreeMap<u32, B256>,
    pub(in crate::bench) signed: BTreeMap<(u32, u16), Vec<Txid>>,
}

/// Keys and descriptors: the same in every life, for deriving them is dear.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Keys {
    pub(in crate::bench) vault: Vault,
    keys: [Xpriv; 3],
}

impl Keys {
    pub(in crate::bench) fn new() -> Self {
        let secp = Secp256k1::new();
        let keys = [1_u8, 2, 3]
            .map(|n| Xpriv::new_master(bitcoin::Network::Regtest, &[n; 32]).expect("a key"));
        let list = |branch: u32| {
            let keys = keys.iter().map(|key| format!("{}/{branch}/*", Xpub::from_priv(&secp, key)));
            format!("wsh(sortedmulti(2,{}))", keys.collect::<Vec<_>>().join(","))
        };
        let vault = Vault::parse(&list(0), &list(1), bitcoin::Network::Regtest).expect("a vault");
        Self { vault, keys }
    }
}

/// The world.
#[derive(Debug)]
pub(in crate::bench) struct Sim {
    random: u64,
    /// Whether calls die, fail and lie.
    pub(in crate::bench) chaos: bool,
    pub(in crate::bench) no_signers: bool,
    /// The process that is being played has died.
    pub(in crate::bench) dead: bool,
    pub(in crate::bench) ledger: Ledger,
    pub(in crate::bench) network: Network,
    pub(in crate::bench) signers: [SimSigner; 3],
    pub(in crate::bench) vault: Vault,
    pub(in crate::bench) treasury: Scripts,
    pub(in crate::bench) genesis: ScriptBuf,
    pub(in crate::bench) elapsed: Duration,
    pub(in crate::bench) deaths: u64,
    pub(in crate::bench) pots: u64,
}

impl Sim {
    pub(in crate::bench) fn new(keys: &Keys, seed: u64) -> Self {
        let script = |keychain, index| keys.vault.script(keychain, index).expect("an index");
        let genesis = script(Keychain::Baton, GENESIS_BATON);
        let mut network = Network::default();
        network.mine(true);
        let gift = network.gift(genesis.clone(), RESERVE);
        network.mine(false);
        let first_baton = OutPoint { txid: gift.compute_txid(), vout: 0 };
        let mut sim = Self {
            random: seed,
            chaos: false,
            no_signers: false,
            dead: false,
            ledger: Ledger::new(0, first_baton),
            network,
            signers: keys.keys.map(|key| SimSigner {
                key,
                roots: BTreeMap::new(),
                signed: BTreeMap::new(),
            }),
            vault: keys.vault.clone(),
            treasury: [0, 1].map(|index| script(Keychain::Treasury, index)),
            genesis,
            elapsed: Duration::ZERO,
            deaths: 0,
            pots: 0,
        };
        // batons stand at the epoch's number: reuse of few numbers keeps the derived keys in memory
        let first = 100 + sim.below(4) as u32 * 40;
        sim.ledger = Ledger::new(first, first_baton);
        sim
    }

    pub(in crate::bench) fn below(&mut self, n: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub(in crate::bench) fn fate(&mut self) -> Fate {
        if !self.chaos {
            return Fate::Live;
        }
        match self.below(120) {
            0 => {
                self.deaths += 1;
                Fate::Die
            }
            1 | 2 => Fate::Fail,
            _ => Fate::Live,
        }
    }

    pub(in crate::bench) fn treasury_index(&self, script: &Script) -> Option<u32> {
        self.treasury.iter().position(|ours| ours.as_script() == script).map(|at| at as u32)
    }

    pub(in crate::bench) fn lies(&mut self) -> bool {
        self.chaos && self.below(30) == 0
    }

    /// Ends an epoch: a pot is paid into the treasury and reported, or a gap is.
    pub(in crate::bench) fn earn(&mut self, epoch: u32) {
        let end = EpochId(epoch).end() + 1;
        self.ledger.time = self.ledger.time.max(end);
        let sats = match self.below(10) {
            0 => 0,
            1 | 2 => 1_000 + self.below(20_000),
            _ => 50_000 + self.below(3_000_000),
        };
        let mut weights = Weights::default();
        for n in 0..ACCOUNTS {
            let seconds = U256::from(self.below(1_000_000)) * U256::from(1 + self.below(1 << 40));
            weights.total += seconds;
            weights.of.insert(account(n), seconds);
        }
        let (series, work_epoch) = (SeriesId(1), EpochId(epoch));
        let none = sats == 0 || weights.total.is_zero();
        let pieces = if none { vec![] } else { vec![Piece { series, work_epoch, sats }] };
        if !none {
            self.pots += sats;
            let script = self.treasury[1].clone();
            let gift = self.network.gift(script, sats);
            let place = OutPoint { txid: gift.compute_txid(), vout: 0 };
            Arc::make_mut(&mut self.ledger.receipts).insert(place);
            (0..3).for_each(|_| self.network.mine(false));
        }
        let late = epoch < self.ledger.first + 20;
        let entries = (0..ACCOUNTS - 1)
            .filter(|n| !(late && *n == ACCOUNTS - 2))
            .map(|n| {
                let (script, dust) = (script(n), if n == 1 { 330 } else { 294 });
                (account(n), Entry { script, minimum: u64::from(n) * 20_000, dust })
            })
            .collect();
        self.ledger.mine();
        let block = self.ledger.latest().number;
        self.ledger.earned.insert(epoch, Earned { block, pieces, weights, entries });
        (0..3).for_each(|_| self.ledger.mine());
    }

    pub(in crate::bench) fn world(&self, epoch: u32, previous: Vec<Leaf>) -> World {
        let earned = &self.ledger.earned[&epoch];
        World {
            epoch,
            pieces: earned.pieces.clone(),
            units: BTreeMap::from([((SeriesId(1), EpochId(epoch)), earned.weights.clone())]),
            entries: earned.entries.clone(),
            previous,
            ..World::default()
        }
    }
}

pub(in crate::bench) fn account(n: u8) -> Address {
    Address::repeat_byte(n + 1)
}

/// Payout script of an account: one of each witness version, and an old one.
pub(in crate::bench) fn script(n: u8) -> ScriptBuf {
    let bytes = match n {
        1 => [&[0x51, 0x20], [9; 32].as_slice()].concat(),
        _ => [&[0x00, 0x14], [n + 7; 20].as_slice()].concat(),
    };
    ScriptBuf::from_bytes(bytes)
}

/// How a write is taken back.
#[derive(Debug)]
pub(in crate::bench) enum Undo {
    State(u32, Option<State>),
    Leaves(u32, Option<Vec<Leaf>>),
    Baton(Option<(EpochId, Coin, KnownTx)>),
    News(Vec<BlockHash>, Vec<Marked>),
    Both(Box<Self>, Box<Self>),
}

/// An operator's disk.
#[derive(Debug, Default)]
pub(in crate::bench) struct Disk {
    pub(in crate::bench) states: BTreeMap<u32, State>,
    pub(in crate::bench) open: BTreeSet<u32>,
    pub(in crate::bench) leaves: BTreeMap<u32, Vec<Leaf>>,
    pub(in crate::bench) baton: Option<(EpochId, Coin, KnownTx)>,
    pub(in crate::bench) seen: BTreeMap<Txid, Vec<Marked>>,
    pub(in crate::bench) spenders: BTreeMap<OutPoint, Vec<Marked>>,
    pub(in crate::bench) genesis: BTreeMap<Txid, Transaction>,
    pub(in crate::bench) view: Vec<BlockHash>,
    /// Whether it says "on disk" too early; then what it may still lose.
    pub(in crate::bench) liar: bool,
    pub(in crate::bench) unsynced: Vec<Undo>,
}

impl Disk {
    pub(in crate::bench) fn put_state(&mut self, epoch: u32, state: &State) -> Undo {
        self.mark(epoch, Some(state));
        Undo::State(epoch, self.states.insert(epoch, state.clone()))
    }

    fn mark(&mut self, epoch: u32, state: Option<&State>) {
        match state {
            None | Some(State::Proven(_) | State::Closed(_)) => self.open.remove(&epoch),
            Some(_) => self.open.insert(epoch),
        };
    }

    pub(in crate::bench) fn put_news(&mut self, news: &BitcoinNews, view: &[BlockHash]) -> Undo {
        let old = if self.liar { self.view.clone() } else { Vec::new() };
        let mut keep = self.view.len().min(view.len());
        while keep > 0 && self.view.get(keep - 1) != view.get(keep - 1) {
            keep -= 1;
        }
        self.view.truncate(keep);
        self.view.extend_from_slice(&view[keep..]);
        for marked in &news.marked {
            self.seen.entry(marked.txid).or_default().push(marked.clone());
            self.spenders.entry(marked.spends).or_default().push(marked.clone());
        }
        for tx in &news.genesis {
            self.genesis.insert(tx.compute_txid(), tx.clone());
        }
        Undo::News(old, news.marked.clone())
    }

    /// A liar keeps the last few writes where a loss of power finds them.
    pub(in crate::bench) fn remember(&mut self, undo: Undo) {
        if self.liar {
            self.unsynced.push(undo);
            if self.unsynced.len() > 12 {
                self.unsynced.remove(0);
            }
        }
    }

    /// Power is lost: the last `writes` that were not synced are gone.
    pub(in crate::bench) fn lose(&mut self, writes: usize) {
        for _ in 0..writes {
            let Some(undo) = self.unsynced.pop() else { return };
            self.undo(undo);
        }
        self.unsynced.clear();
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::State(epoch, old) => {
                self.mark(epoch, old.as_ref());
                restore(&mut self.states, epoch, old);
            }
            Undo::Leaves(epoch, old) => restore(&mut self.leaves, epoch, old),
            Undo::Baton(old) => self.baton = old,
            Undo::News(view, marked) => {
                self.view = view;
                for lost in marked {
                    let (txid, place) = (lost.txid, lost.spends);
                    self.seen
                        .get_mut(&txid)
                        .into_iter()
                        .for_each(|all| all.truncate(all.len() - 1));
                    let spenders = self.spenders.get_mut(&place);
                    spenders.into_iter().for_each(|all| all.truncate(all.len() - 1));
                }
            }
            Undo::Both(first, second) => {
                self.undo(*first);
                self.undo(*second);
            }
        }
    }
}

fn restore<T>(map: &mut BTreeMap<u32, T>, key: u32, old: Option<T>) {
    match old {
        Some(old) => map.insert(key, old),
        None => map.remove(&key),
    };
}
