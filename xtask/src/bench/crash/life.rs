//! One life: a world from its first epoch on, under everything that can go wrong, checked against arithmetic of its own.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use alloy::primitives::{Address, U256};
use bitcoin::{ScriptBuf, TxOut};
use domain::EPOCH_SECONDS;
use settlement::{
    config::Config, engine::Engine, error::Error, halt::Halts, ledger::Watch, node::Broadcast,
    rim::Bitcoin, store::Store,
};

use super::{
    book::SimBook,
    control::from_any_coins,
    rim::{Shared, SimBitcoin, Simulated},
    settings::config,
    sim::{Disk, Keys, MIN_PAY, RESERVE, Sim},
};

mod books;

use books::{Real, once};

/// One life in so many has the real store beside the simulated one.
const BOOKED: u64 = 16;

/// What a life was like.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bench) struct Tally {
    pub(in crate::bench) epochs: u64,
    pub(in crate::bench) payments: u64,
    pub(in crate::bench) deaths: u64,
    pub(in crate::bench) lost_disks: u64,
    pub(in crate::bench) reorgs: u64,
    pub(in crate::bench) deferred: u64,
    /// Payouts that took the place of a cheaper variant, and times that a miner had the replaced one.
    pub(in crate::bench) replaced: u64,
    pub(in crate::bench) revived: u64,
    /// Epochs with the real store beside the simulated one, and times that its books were held against the chain.
    pub(in crate::bench) booked: u64,
    pub(in crate::bench) compared: u64,
}

struct Operator {
    real: Option<Rc<Store>>,
    disk: Rc<RefCell<Disk>>,
    view: Rc<RefCell<Vec<bitcoin::BlockHash>>>,
    engine: Option<Engine<Simulated>>,
}

/// What an account is owed and was paid, by the rules, computed again.
#[derive(Default)]
struct Account {
    acc: u128,
    paid: u64,
    since: Option<u32>,
}

struct Life {
    world: Shared,
    real: Option<Real>,
    operators: Vec<Operator>,
    config: Config,
    tally: Tally,
    books: BTreeMap<Address, Account>,
    audited: u32,
    owed: BTreeMap<ScriptBuf, u64>,
    wrong: bool,
    paid_wrongly: std::collections::BTreeSet<u32>,
}

/// Lives `epochs` epochs; `wrong` pays in the wrong order, as the control.
pub(in crate::bench) fn live(
    keys: &Keys,
    seed: u64,
    epochs: u32,
    wrong: bool,
) -> Result<Tally, String> {
    let mut sim = Sim::new(keys, seed);
    let operators = if !wrong && sim.below(4) == 0 { 2 } else { 1 };
    let booked = !wrong && seed % BOOKED == 3;
    let liar = !wrong && sim.below(4) == 0 && !booked;
    let batch_bytes = [75_000, 75_000, 43, 80][sim.below(4) as usize];
    sim.no_signers = wrong;
    let first = sim.ledger.first;
    let operator = || {
        let disk = Disk { liar, ..Disk::default() };
        Operator {
            disk: Rc::new(RefCell::new(disk)),
            view: Rc::default(),
            engine: None,
            real: None,
        }
    };
    let mut life = Life {
        world: Shared(Rc::new(RefCell::new(sim))),
        real: booked.then(Real::new),
        operators: (0..operators).map(|_| operator()).collect(),
        config: config(batch_bytes),
        tally: Tally::default(),
        books: BTreeMap::new(),
        audited: first,
        owed: BTreeMap::new(),
        wrong,
        paid_wrongly: std::collections::BTreeSet::new(),
    };
    for epoch in first..first + epochs {
        life.epoch(epoch, epoch + 1 == first + epochs)?;
    }
    life.tally.epochs = u64::from(epochs);
    life.tally.booked = u64::from(if booked { epochs } else { 0 });
    let sim = life.world.0.borrow();
    life.tally.deaths = sim.deaths;
    (life.tally.replaced, life.tally.revived) = (sim.network.replaced, sim.network.revived);
    drop(sim);
    Ok(life.tally)
}

impl Life {
    fn below(&self, n: u64) -> u64 {
        self.world.0.borrow_mut().below(n)
    }

    fn epoch(&mut self, epoch: u32, last: bool) -> Result<(), String> {
        self.world.0.borrow_mut().earn(epoch);
        self.world.0.borrow_mut().chaos = true;
        for _ in 0..1 + self.below(14) {
            self.turn()?;
            self.weather();
        }
        if !last && self.below(3) != 0 {
            return Ok(());
        }
        self.world.0.borrow_mut().chaos = false;
        self.world.0.borrow_mut().network.full = false;
        let mut rounds = 0;
        while !self.settled(epoch) {
            rounds += 1;
            if rounds > 120 {
                let trouble = self.trouble();
                return Err(format!("epoch {epoch} is never settled in peace: {trouble}"));
            }
            (0..self.operators.len()).try_for_each(|at| self.round(at))?;
            let mut sim = self.world.0.borrow_mut();
            sim.ledger.mine();
            sim.network.mine(false);
            sim.elapsed += Duration::from_secs(6);
        }
        // a reorg may have put a receipt back among what waits
        self.world.0.borrow_mut().network.mine(false);
        self.audit(epoch)?;
        self.compare_books()
    }

    fn settled(&self, epoch: u32) -> bool {
        let sim = self.world.0.borrow();
        if self.wrong {
            return sim.ledger.next() > epoch && self.paid_wrongly.contains(&epoch);
        }
        (self.audited..=epoch).all(|epoch| sim.ledger.done(epoch))
    }

    /// One operator works; now and then its database is lost.
    fn turn(&mut self) -> Result<(), String> {
        let at = self.below(self.operators.len() as u64) as usize;
        let stopped = self.operators[at].engine.is_none();
        if stopped && !self.wrong && self.below(25) == 0 {
            let liar = self.operators[at].disk.borrow().liar;
            *self.operators[at].disk.borrow_mut() = Disk { liar, ..Disk::default() };
            self.operators[at].real = None;
            self.tally.lost_disks += 1;
        }
        self.round(at)
    }

    fn round(&mut self, at: usize) -> Result<(), String> {
        if self.operators[at].engine.is_none() {
            self.start(at);
        }
        let Some(engine) = &self.operators[at].engine else { return Ok(()) };
        let ended = self.once(engine.round());
        if let Some(Err(error @ (Error::Conservation { .. } | Error::Database(_)))) = &ended {
            return Err(format!("the real store: {error}"));
        }
        let died = match ended {
            None | Some(Err(Error::Damaged(_) | Error::Database(_))) => true,
            Some(_) => false,
        };
        let died = died || (self.wrong && self.pay_wrongly(at));
        if died {
            self.operators[at].engine = None;
            let writes = self.below(4) as usize;
            self.operators[at].disk.borrow_mut().lose(writes);
        }
        Ok(())
    }

    fn start(&mut self, at: usize) {
        let (world, vault) = (self.world.clone(), self.world.0.borrow().vault.clone());
        let operator = &mut self.operators[at];
        let (disk, view) = (Rc::clone(&operator.disk), Rc::clone(&operator.view));
        view.borrow_mut().clone_from(&disk.borrow().view);
        let mut watch = None;
        if let Some(real) = &mut self.real {
            let store = Rc::clone(operator.real.get_or_insert_with(|| real.open()));
            let coins = real.runtime.block_on(store.coins(0)).expect("it was just opened");
            watch = Some(RefCell::new(Watch::new(vault.clone(), Some(0), coins)));
        }
        let node = SimBitcoin { world: world.clone(), view: Rc::clone(&view), watch };
        let book = SimBook { world: world.clone(), disk, view, real: operator.real.clone() };
        #[allow(clippy::arc_with_non_send_sync, reason = "one thread a life")]
        let book = Arc::new(book);
        let config = self.config.clone();
        let engine = Engine::new(config, vault, world.clone(), node, book, world, Halts::default());
        operator.engine = Some(engine);
    }

    /// What happens outside.
    fn weather(&mut self) {
        let mut sim = self.world.0.borrow_mut();
        sim.elapsed += Duration::from_secs(2);
        (0..sim.below(3)).for_each(|_| sim.ledger.mine());
        (0..sim.below(3)).for_each(|_| sim.network.mine(false));
        if sim.below(6) == 0 {
            let which = sim.below(24) as usize;
            sim.network.revive(which);
        }
        // the control is about order alone: what it has sent stays sent
        let lucky = if self.wrong { 4 } else { 0 };
        match sim.below(40).max(lucky) {
            0 => {
                let (depth, mut dice) = (1 + sim.below(4) as usize, sim.below(u64::MAX));
                sim.network.reorg(depth, || {
                    dice = dice.rotate_left(1);
                    dice & 1 == 1
                });
                self.tally.reorgs += 1;
            }
            1 => {
                let (depth, again) = (1 + sim.below(2) as usize, sim.below(2) == 0);
                sim.ledger.reorg(depth, || again);
                self.tally.reorgs += 1;
            }
            2 | 3 => {
                let which = sim.below(8) as usize;
                sim.network.evict(which);
            }
            9 | 10 => sim.network.full = true,
            11..=17 => sim.network.full = false,
            4 => sim.elapsed += Duration::from_secs(100_000),
            5 => {
                let jump = sim.below(4) * EPOCH_SECONDS;
                sim.ledger.time += jump;
            }
            _ => {}
        }
    }

    /// The wrong order, without a baton: coins are picked anew, the payment is broadcast, and then written down. Returns
    /// whether it died on the way.
    fn pay_wrongly(&mut self, at: usize) -> bool {
        let operator = &self.operators[at];
        let intents: Vec<_> = operator
            .disk
            .borrow()
            .states
            .iter()
            .filter(|(epoch, state)| state.plan().is_some() && !self.paid_wrongly.contains(*epoch))
            .filter_map(|(epoch, state)| Some((*epoch, state.intent()?.clone())))
            .collect();
        let closed: Vec<u32> = operator
            .disk
            .borrow()
            .states
            .iter()
            .filter(|(_, state)| state.name() == "closed")
            .map(|(epoch, _)| *epoch)
            .collect();
        self.paid_wrongly.extend(closed);
        for (epoch, intent) in intents {
            let (world, view) = (self.world.clone(), Rc::clone(&operator.view));
            let node = SimBitcoin { world, view, watch: None };
            let output: Vec<TxOut> = intent.batches.iter().flat_map(|b| b.outputs()).collect();
            let need: u64 = output.iter().map(|out| out.value.to_sat()).sum();
            let change = self.world.0.borrow().treasury[0].clone();
            let Some(tx) = from_any_coins(&node, output, need, change) else { continue };
            let sent = once(node.broadcast(&tx));
            // what it has done is on disk only if it lives until here
            match sent {
                Some(Ok(Broadcast::Known)) => drop(self.paid_wrongly.insert(epoch)),
                Some(_) => {}
                None => return true,
            }
        }
        false
    }

    /// Where every operator stands, for a failure's words.
    fn trouble(&self) -> String {
        let one = |operator: &Operator| {
            let open = {
                let disk = operator.disk.borrow();
                let open = disk.open.iter().map(|e| format!("{e} {}", disk.states[e].name()));
                open.collect::<Vec<_>>().join(", ")
            };
            let ended = operator.engine.as_ref().and_then(|engine| self.once(engine.round()));
            format!("[{open}] {:?}", ended.map(Result::err))
        };
        self.operators.iter().map(one).collect::<Vec<_>>().join(" | ")
    }

    /// Every payee of every epoch through this one was paid exactly what the rules say, once.
    fn audit(&mut self, epoch: u32) -> Result<(), String> {
        let sim = self.world.0.borrow();
        for epoch in self.audited..=epoch {
            let commitment = sim.ledger.commitment(epoch, u64::MAX).ok_or("not committed")?.clone();
            let earned = &sim.ledger.earned[&epoch];
            for piece in &earned.pieces {
                for (account, seconds) in &earned.weights.of {
                    let scaled = (U256::from(piece.sats) << 64_usize) * seconds;
                    let credit = (scaled / earned.weights.total).to::<u128>();
                    self.books.entry(*account).or_default().acc += credit;
                }
            }
            self.tally.deferred += u64::from(commitment.defer);
            let mut total = 0;
            for (account, book) in &mut self.books {
                let owed = u64::try_from(book.acc >> 64).expect("sats") - book.paid;
                if owed == 0 {
                    continue;
                }
                let since = *book.since.get_or_insert(epoch);
                let Some(entry) = earned.entries.get(account) else { continue };
                let enough = owed >= MIN_PAY.max(entry.minimum);
                let old = epoch - since >= 90 && owed >= 2_000;
                if commitment.defer || owed < entry.dust || !(enough || old) {
                    continue;
                }
                book.paid += owed;
                book.since = None;
                total += owed;
                *self.owed.entry(entry.script.clone()).or_default() += owed;
                self.tally.payments += 1;
            }
            if total != commitment.batches.iter().map(|batch| batch.total).sum::<u64>() {
                return Err(format!("epoch {epoch} commits another sum than the rules give"));
            }
            let acc: u128 = self.books.values().map(|book| book.acc).sum();
            let paid: u64 = self.books.values().map(|book| book.paid).sum();
            if (acc, paid) != (commitment.root.accSum, commitment.root.paidSum) {
                return Err(format!("epoch {epoch} commits other sums than the rules give"));
            }
            for batch in 0..commitment.batches.len() as u16 {
                let times = sim.network.payouts.get(&(epoch, batch)).copied().unwrap_or(0);
                if times != 1 && !self.wrong {
                    return Err(format!("epoch {epoch} batch {batch} was paid {times} times"));
                }
            }
        }
        self.audited = epoch + 1;
        for (script, owed) in &self.owed {
            let got = sim.network.received.get(script).copied().unwrap_or(0);
            if got != *owed {
                let what = if got > *owed { "twice" } else { "too little" };
                return Err(format!(
                    "epoch {epoch}: paid {what}: {script} got {got} of {owed} sat"
                ));
            }
        }
        let paid: u64 = self.owed.values().sum();
        let ours = self.ours();
        if ours + paid + sim.network.fees != RESERVE + sim.pots {
            return Err(format!(
                "epoch {epoch}: {ours} sat are left of {} sat",
                RESERVE + sim.pots
            ));
        }
        Ok(())
    }
}
