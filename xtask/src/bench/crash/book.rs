//! One operator's database, simulated: dies before or after any write, and may lie about what is on disk.

use std::{cell::RefCell, rc::Rc};

use bitcoin::{BlockHash, OutPoint, Transaction, Txid};
use domain::{EpochId, Leaf};
use settlement::{
    error::Error, ledger::Figures, plan::PlannedTx, rim::Book, state::State, store::BitcoinNews,
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
}

impl SimBook {
    /// A write: the process may die before or after it; all of it is written or nothing. A disk that lies about fsync
    /// may lose it later.
    async fn write(&self, apply: impl FnOnce(&mut Disk) -> Undo) -> Result<(), Error> {
        if self.world.step("write").await.is_err() {
            return Err(Error::Damaged("disk full (simulated)".into()));
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
        Ok(self.disk.borrow().states.get(&epoch.0).cloned())
    }

    async fn put_state(&self, epoch: EpochId, state: &State) -> Result<(), Error> {
        self.write(|disk| disk.put_state(epoch.0, state)).await
    }

    async fn put_leaves(
        &self,
        epoch: EpochId,
        state: &State,
        leaves: &[Leaf],
        _figures: &Figures,
    ) -> Result<(), Error> {
        self.write(|disk| {
            let old = disk.leaves.insert(epoch.0, leaves.to_vec());
            Undo::Both(
                Box::new(disk.put_state(epoch.0, state)),
                Box::new(Undo::Leaves(epoch.0, old)),
            )
        })
        .await
    }

    async fn leaves(&self, epoch: EpochId) -> Result<Vec<Leaf>, Error> {
        Ok(self.disk.borrow().leaves.get(&epoch.0).cloned().unwrap_or_default())
    }

    async fn missing(&self, first: EpochId, next: EpochId) -> Result<Vec<EpochId>, Error> {
        let disk = self.disk.borrow();
        let lacks = |epoch: &u32| !disk.states.contains_key(epoch);
        Ok((first.0..next.0).filter(lacks).map(EpochId).collect())
    }

    async fn unfinished(&self) -> Result<Vec<EpochId>, Error> {
        Ok(self.disk.borrow().open.iter().copied().map(EpochId).collect())
    }

    async fn put_plan(
        &self,
        epoch: EpochId,
        state: &State,
        baton: &Coin,
        creator: &Transaction,
    ) -> Result<(), Error> {
        self.write(|disk| {
            let old = disk.baton.replace((epoch, baton.clone(), creator.clone()));
            Undo::Both(Box::new(disk.put_state(epoch.0, state)), Box::new(Undo::Baton(old)))
        })
        .await
    }

    async fn baton(&self) -> Result<Option<(EpochId, Coin, Transaction)>, Error> {
        Ok(self.disk.borrow().baton.clone())
    }

    async fn put_news(&self, news: &BitcoinNews) -> Result<(), Error> {
        let view = Rc::clone(&self.view);
        self.write(|disk| disk.put_news(news, &view.borrow())).await
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

    /// This disk keeps no books.
    async fn check_books(&self, _epoch: EpochId, _txs: &[PlannedTx]) -> Result<(), Error> {
        Ok(())
    }
}
