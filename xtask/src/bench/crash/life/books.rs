//! The real store of a simulated operator, on a file system in memory where there is one, and its books held against
//! the chain.

use std::{
    path::Path,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bitcoin::ScriptBuf;
use settlement::{database::Database, ledger::Account, store::Store};
use tokio::runtime::{Builder, Runtime};

use super::Life;

/// Where the stores of one life are.
#[derive(Debug)]
pub(super) struct Real {
    pub(super) runtime: Runtime,
    count: u32,
    dir: tempfile::TempDir,
}

impl Real {
    pub(super) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, count: 0, dir: dir.expect("a folder") }
    }

    /// An empty store.
    pub(super) fn open(&mut self) -> Rc<Store> {
        self.count += 1;
        let file = self.dir.path().join(format!("{}.sqlite", self.count));
        let store = self.runtime.block_on(Store::open(&Database::Sqlite(file)));
        Rc::new(store.expect("a new store"))
    }
}

impl Life {
    /// Polls until it is done or the process has died. Without the real store nothing ever waits.
    pub(super) fn once<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let Some(real) = &self.real else { return once(future) };
        self.world.0.borrow_mut().dead = false;
        let dead = std::future::poll_fn(|_| match self.world.0.borrow().dead {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        real.runtime.block_on(async {
            tokio::select! {
                biased;
                ended = future => Some(ended),
                () = dead => None,
            }
        })
    }

    /// The books of every operator that has read the whole chain hold the coins that the chain holds.
    pub(super) fn compare_books(&mut self) -> Result<(), String> {
        if self.real.is_none() {
            return Ok(());
        }
        for at in 0..self.operators.len() {
            self.round(at)?;
            let (Some(real), operator) = (&self.real, &self.operators[at]) else { continue };
            let Some(store) = operator.real.as_ref().filter(|_| operator.engine.is_some()) else {
                continue;
            };
            let balances = real.runtime.block_on(store.balances()).map_err(|e| e.to_string())?;
            let (booked, there) = (-balances[&Account::Wallet].credit(), self.ours());
            if *operator.view.borrow() != self.world.0.borrow().network.hashes {
                return Err("an operator in peace has not read the whole chain".into());
            }
            if booked != there as i64 {
                return Err(format!("the books hold {booked} sat, the chain {there} sat"));
            }
            self.tally.compared += 1;
        }
        Ok(())
    }

    /// Sats that are neither a payee's nor a miner's, by the chain.
    pub(super) fn ours(&self) -> u64 {
        let sim = self.world.0.borrow();
        let payees: Vec<&ScriptBuf> = self.owed.keys().collect();
        let coins = sim.network.coins.values();
        let ours = coins.filter(|(out, _)| !payees.contains(&&out.script_pubkey));
        ours.map(|(out, _)| out.value.to_sat()).filter(|v| *v < u64::MAX / 2).sum()
    }
}

/// Polls once: nothing in the simulation ever waits, so what is not ready is dead.
pub(super) fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
