//! One operator's database, simulated: dies before or after any write, and may lie about what is on disk. In some lives
//! the real store is kept beside it: every write goes to both, every answer must be the same, and its books are the ones
//! that are checked before anybody signs.

use std::{cell::RefCell, ops::Range, rc::Rc};

use bitcoin::{BlockHash, OutPoint, Transaction, Txid};
use domain::{EpochId, Leaf};
use settlement::{
    error::Error,
    known::KnownTx,
    ledger::Figures,
    plan::PlannedTx,
    rim::Book,
    state::State,
    store::{BitcoinNews, Store},
    vault::Coin,
};

use super::{
    rim::Shared,
    sim::{Disk, Undo},
};

/// One operator's disk.
#[derive(Debug)]
pub(in crate::bench) struct SimBook {
    pub(in crate::bench) world: Shared,
    pub(in crate::bench) disk: Rc<RefCell<Disk>>,
    pub(in crate::bench) view: Rc<RefCell<Vec<BlockHash>>>,
    /// The real one, with the books, on a SQLite file in memory.
    pub(in crate::bench) real: Option<Rc<Store>>,
}

impl SimBook {
    /// A write: the process may die before or after it; all of it is written or nothing. A disk that lies about fsync
    /// may lose it later.
    async fn write(
        &self,
        apply: impl FnOnce(&mut Disk) -> Undo,
        really: impl AsyncFnOnce(&Store) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.world.step("write").await.is_err() {
            return Err(Error::Damaged("disk full (simulated)".into()));
        }
        if let Some(real) = &self.real {
            really(real).await?;
        }
        {
            let mut disk = self.disk.borrow_mut();
            let undo = apply(&mut disk);
            disk.remember(undo);
        }
        if self.world.step("after write").await.is_err() {
            return Err(Error::Damaged("disk failed (simulated)".into()));
        }
        Ok(())
    }
}

impl Book for SimBook {
    async fn state(&self, epoch: EpochId) -> Result<Option<State>, Error> {
        let state = self.disk.borrow().states.get(&epoch.0).cloned();
        if let Some(real) = &self.real {
            assert_eq!(real.stored(epoch).await?, state, "the real store has another state");
        }
        Ok(state)
    }

    async fn phase(&self, epoch: EpochId) -> Result<Option<String>, Error> {
        let disk = self.disk.borrow();
        Ok(disk.states.get(&epoch.0).map(|state| state.name().to_owned()))
    }

    async fn put_state(&self, epoch: EpochId, state: &State) -> Result<(), Error> {
        let really = async |real: &Store| real.put_state(epoch, state).await;
        self.write(|disk| disk.put_state(epoch.0, state), really).await
    }

    async fn put_leaves(
        &self,
        epoch: EpochId,
        state: &State,
        leaves: &[Leaf],
        figures: &Figures,
    ) -> Result<(), Error> {
        let really = async |real: &Store| real.put_leaves(epoch, state, leaves, figures).await;
        let apply = |disk: &mut Disk| {
            let old = Undo::Leaves(epoch.0, disk.leaves.insert(epoch.0, leaves.to_vec()));
            Undo::Both(Box::new(disk.put_state(epoch.0, state)), Box::new(old))
        };
        self.write(apply, really).await
    }

    async fn leaves(&self, epoch: EpochId) -> Result<Vec<Leaf>, Error> {
        let leaves = self.disk.borrow().leaves.get(&epoch.0).cloned().unwrap_or_default();
        if let Some(real) = &self.real {
            assert_eq!(real.leaves(epoch).await?, leaves, "the real store has other leaves");
        }
        Ok(leaves)
    }

    async fn missing(&self, first: EpochId, next: EpochId) -> Result<Vec<EpochId>, Error> {
        let disk = self.disk.borrow();
        let lacks = |epoch: &u32| !disk.states.contains_key(epoch);
        Ok((first.0..next.0).filter(lacks).map(EpochId).collect())
    }

    async fn unfinished(&self) -> Result<Vec<EpochId>, Error> {
        let open: Vec<_> = self.disk.borrow().open.iter().copied().map(EpochId).collect();
        if let Some(real) = &self.real {
            assert_eq!(real.unfinished().await?, open, "the real store has others open");
        }
        Ok(open)
    }

    async fn put_plan(&self, epoch: EpochId, state: &State) -> Result<(), Error> {
        let plan = state.plan().expect("a planned state");
        let first = plan.txs[0].tx.clone();
        let really = async |real: &Store| real.put_plan(epoch, state).await;
        let apply = |disk: &mut Disk| {
            let old = Undo::Baton(disk.baton.clone());
            if disk.baton.as_ref().is_none_or(|(newest, _, _)| *newest <= epoch) {
                disk.baton = Some((epoch, plan.baton.clone(), first));
            }
            Undo::Both(Box::new(disk.put_state(epoch.0, state)), Box::new(old))
        };
        self.write(apply, really).await
    }

    async fn baton(&self) -> Result<Option<(EpochId, Coin, KnownTx)>, Error> {
        let baton = self.disk.borrow().baton.clone();
        if let Some(real) = &self.real {
            assert_eq!(real.baton().await?, baton, "the real store remembers another baton");
            assert_eq!(real.stored_baton().await?, baton, "the real store has another baton");
        }
        Ok(baton)
    }

    async fn put_news(&self, news: &BitcoinNews) -> Result<(), Error> {
        let view = Rc::clone(&self.view);
        let really = async |real: &Store| real.put_news(news).await;
        self.write(|disk| disk.put_news(news, &view.borrow()), really).await
    }

    async fn seen(&self, txid: Txid) -> Result<Vec<(u32, BlockHash)>, Error> {
        let disk = self.disk.borrow();
        Ok(disk.seen.get(&txid).into_iter().flatten().rev().map(|m| (m.height, m.block)).collect())
    }

    async fn rivals(
        &self,
        outpoint: OutPoint,
        txid: Txid,
    ) -> Result<Vec<(Txid, BlockHash)>, Error> {
        let disk = self.disk.borrow();
        let of_place = disk.spenders.get(&outpoint).into_iter().flatten();
        let others = of_place.filter(|m| m.txid != txid);
        Ok(others.map(|m| (m.txid, m.block)).collect())
    }

    async fn genesis(&self, txid: Txid) -> Result<Option<Transaction>, Error> {
        Ok(self.disk.borrow().genesis.get(&txid).cloned())
    }

    async fn paused(&self) -> Result<bool, Error> {
        Ok(false)
    }

    /// Without the real store there are no books.
    async fn check_books(
        &self,
        epoch: EpochId,
        txs: &[PlannedTx],
        ended: Option<&Range<EpochId>>,
    ) -> Result<(), Error> {
        match &self.real {
            Some(real) => real.check_books(epoch, txs, ended).await,
            None => Ok(()),
        }
    }
}
