//! What the court asks of the operator: an answer to every demand within twelve hours, and a bond.
//!
//! The chain says which demands stand; an answer is the leaves that are stored, or computed again if the database was
//! lost. It is written down, sent, and asked for again until it stands in a final block.

use std::collections::BTreeSet;

use alloy::{eips::BlockId, primitives::Address, sol_types::SolCall};
use domain::EpochId;
use evm::{BlockRef, Finality, bindings::ILedgerCourt, block_at, decoded, logs_between};
use tokio::time::{Duration, Instant};
use tracing::{info, warn};

use super::Engine;
use crate::{
    court::{self, Bond, Demand},
    encode::root_of,
    error::Error,
    evidence::Tree,
    halt::HaltPoint,
    store::answers::Answered,
};

/// Least time between two looks at the bond.
const BOND_EVERY: Duration = Duration::from_secs(2);

/// What is known of the court.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// First block whose demands were not read in a final block.
    next: u64,
    /// Demands that no final block answers.
    open: BTreeSet<(Address, EpochId)>,
    /// The bond when it was last looked at.
    pub bond: Option<Bond>,
    looked: Option<Instant>,
    /// Demands that wait for an answer, with the last second that it is taken in.
    pub waiting: Vec<(Address, EpochId, u64)>,
}

impl Engine {
    /// What was last seen of the court.
    pub async fn court(&self) -> Watch {
        self.watch.lock().await.clone()
    }

    /// Looks at the bond, and answers what is asked.
    pub(super) async fn face_court(&self) -> Result<(), Error> {
        let bonded = self.watch_bond().await;
        let answered = self.answer_demands().await;
        bonded.and(answered)
    }

    async fn watch_bond(&self) -> Result<(), Error> {
        let mut watch = self.watch.lock().await;
        if watch.looked.is_some_and(|looked| looked.elapsed() < BOND_EVERY) {
            return Ok(());
        }
        let bond = court::bond(self.chain.deployment.ledger_court, self.chain.reader()).await?;
        let was_sufficient = watch.bond.is_none_or(|before| before.sufficient);
        if was_sufficient && !bond.sufficient {
            warn!(held = %bond.held, required = %bond.required, "underbonded: nothing is minted or sold until `post` fills the bond");
        }
        watch.bond = Some(bond);
        watch.looked = Some(Instant::now());
        Ok(())
    }

    async fn answer_demands(&self) -> Result<(), Error> {
        // the final block first: the newest, asked for later, lies at or above it, so that no block between is left out
        let finalized = self.chain.finalized().await?;
        let latest = block_at(self.chain.reader(), Finality::Latest).await?;
        let open = self.open_demands(&finalized, &latest).await?;
        let (mut waiting, mut first) = (Vec::new(), None);
        for (account, epoch) in open {
            match self.face_demand(account, epoch, &finalized, &latest).await {
                Ok(None) => {
                    self.watch.lock().await.open.remove(&(account, epoch));
                }
                Ok(Some(demand)) if demand.answered || demand.by.is_zero() => {}
                Ok(Some(demand)) => waiting.push((account, epoch, demand.until())),
                Err(error) => {
                    waiting.push((account, epoch, 0));
                    first.get_or_insert(error);
                }
            }
        }
        self.watch.lock().await.waiting = waiting;
        first.map_or(Ok(()), Err)
    }

    /// Demands that no final block is known to answer. Blocks that are not final are read again each time.
    async fn open_demands(
        &self,
        finalized: &BlockRef,
        latest: &BlockRef,
    ) -> Result<BTreeSet<(Address, EpochId)>, Error> {
        let mut watch = self.watch.lock().await;
        let topic = Some(<ILedgerCourt::Demanded as alloy::sol_types::SolEvent>::SIGNATURE_HASH);
        let (address, from) =
            (self.chain.deployment.ledger_court, watch.next.max(self.chain.deployment.block));
        let logs =
            logs_between(self.chain.reader(), &[address], topic, from, latest.number).await?;
        for (event, _) in decoded::<ILedgerCourt::Demanded>(&logs)? {
            watch.open.insert((event.account, EpochId(event.epoch)));
        }
        watch.next = watch.next.max(finalized.number.saturating_add(1));
        Ok(watch.open.clone())
    }

    /// One demand as it stands after this; `None` once a final block has settled it.
    async fn face_demand(
        &self,
        account: Address,
        epoch: EpochId,
        finalized: &BlockRef,
        latest: &BlockRef,
    ) -> Result<Option<Demand>, Error> {
        let (court, reader) = (self.chain.deployment.ledger_court, self.chain.reader());
        let at = |block: &BlockRef| BlockId::hash(block.hash);
        let now = court::demand(court, reader, account, epoch, at(latest)).await?;
        if now.by.is_zero() || now.answered {
            let then = court::demand(court, reader, account, epoch, at(finalized)).await?;
            if then != now {
                return Ok(Some(now));
            }
            if now.answered {
                let state = Answered::Answered;
                self.store.put_answer(account, epoch, now.since, state, None).await?;
                info!(epoch = epoch.0, %account, "demand answered");
            }
            return Ok(None);
        }
        if latest.timestamp > now.until() {
            self.store.put_answer(account, epoch, now.since, Answered::Missed, None).await?;
            let what = format!("the demand about {account} was not answered in time");
            return Err(Error::mismatch(epoch, what));
        }
        self.answer(account, epoch, &now).await?;
        Ok(Some(now))
    }

    async fn answer(&self, account: Address, epoch: EpochId, demand: &Demand) -> Result<(), Error> {
        let here = self.tree(epoch).await?.about(account);
        let first = self.chain.deployment.first_epoch;
        let before = match epoch.previous() {
            Some(before) if before >= first => self.tree(before).await?.about(account),
            _ => Vec::new(),
        };
        let books = self.chain.books(epoch).await?;
        let call = ILedgerCourt::answerCall { account, epoch: epoch.0, books, here, before };
        let calldata = call.abi_encode().into();
        let state = Answered::Answering;
        self.store.put_answer(account, epoch, demand.since, state, Some(&calldata)).await?;
        self.halts.at(HaltPoint::AnswerSaved).await;
        let court = ILedgerCourt::new(self.chain.deployment.ledger_court, self.chain.writer());
        let answer = court.answer(account, epoch.0, call.books, call.here, call.before);
        evm::land("answer", answer).await?;
        self.halts.at(HaltPoint::AnswerLanded).await;
        Ok(())
    }

    /// The stored tree of a committed epoch, which must be the committed one.
    async fn tree(&self, epoch: EpochId) -> Result<Tree, Error> {
        if self.store.state(epoch).await?.is_none() {
            return Err(Error::waiting(epoch, "its tree is computed again before it can be shown"));
        }
        let leaves = self.store.leaves(epoch).await?;
        let ours = root_of(&leaves).map_err(crate::allocate::AllocateError::Encode)?;
        let theirs = self.chain.commitment(epoch).await?.unwrap_or_default().root;
        if ours.hash != theirs.hash {
            let what =
                format!("a demand asks for the tree of {}, ours is {}", theirs.hash, ours.hash);
            return Err(Error::mismatch(epoch, what));
        }
        Tree::over(leaves).map_err(|error| crate::allocate::AllocateError::Encode(error).into())
    }
}
