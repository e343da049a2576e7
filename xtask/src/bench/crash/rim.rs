//! The surroundings of the real engine, simulated: every call can die, fail, time out after its effect, or lie.

use std::{cell::RefCell, rc::Rc, time::Duration};

use alloy::primitives::{B256, U256, keccak256};
use alloy::sol_types::SolValue;
use bitcoin::{BlockHash, OutPoint, Script, Transaction, Txid, block::Header, hashes::Hash};
use domain::{EpochId, Leaf};
use evm::{BlockRef, bindings::IEpochLedger};
use settlement::{
    allocate::{Allocation, World},
    chain::{Places, Report},
    engine::recompute,
    error::Error,
    ledger::Watch,
    node::Broadcast,
    proof::Mined,
    relay,
    rim::{Bitcoin, Evm, Rim},
    store::{BitcoinNews, Marked},
    treasury::TreasuryCoin,
    vault::{Coin, Keychain},
};

use super::{
    bitcoin::{BITS, named},
    book::SimBook,
    ledger::report_hash,
    sim::{Fate, Sim},
};

/// Marker of the simulated surroundings.
#[derive(Debug)]
pub(in crate::bench) struct Simulated;

impl Rim for Simulated {
    type Evm = Shared;
    type Bitcoin = SimBitcoin;
    type Book = SimBook;
    type Signers = Shared;
}

/// The one world that all operators share.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Shared(pub(in crate::bench) Rc<RefCell<Sim>>);

fn failed(doing: &str) -> Error {
    Error::Node { doing: doing.into(), why: "no answer (simulated)".into() }
}

impl Shared {
    /// A place at which the process may die, or the call fail.
    pub(in crate::bench) async fn step(&self, doing: &str) -> Result<(), Error> {
        let fate = self.0.borrow_mut().fate();
        match fate {
            Fate::Live => Ok(()),
            Fate::Fail => Err(failed(doing)),
            Fate::Die => {
                self.0.borrow_mut().dead = true;
                std::future::pending().await
            }
        }
    }

    fn lies(&self) -> bool {
        self.0.borrow_mut().lies()
    }
}

impl Evm for Shared {
    fn first_epoch(&self) -> EpochId {
        EpochId(self.0.borrow().ledger.first)
    }

    async fn finalized(&self) -> Result<BlockRef, Error> {
        self.step("finalized").await?;
        Ok(self.0.borrow().ledger.finalized())
    }

    async fn now(&self) -> Result<u64, Error> {
        self.step("now").await?;
        Ok(self.0.borrow().ledger.time)
    }

    async fn next_epoch(&self) -> Result<EpochId, Error> {
        self.step("nextEpoch").await?;
        let stale = u32::from(self.lies());
        let sim = self.0.borrow();
        Ok(EpochId(sim.ledger.next().saturating_sub(stale).max(sim.ledger.first)))
    }

    async fn report(&self, epoch: EpochId, at: &BlockRef) -> Result<Option<Report>, Error> {
        self.step("report").await?;
        let hidden = self.lies();
        let sim = self.0.borrow();
        let posted = sim.ledger.earned.get(&epoch.0).is_some_and(|e| e.block <= at.number);
        let hash = report_hash(epoch.0);
        Ok((posted && !hidden).then_some(Report { hash, body: None }))
    }

    async fn distributed(&self, _at: &BlockRef) -> Result<Places, Error> {
        self.step("receipts").await?;
        let settled = Rc::clone(&self.0).borrow().ledger.receipts.clone();
        Ok(Places { settled, ..Places::default() })
    }

    async fn committed_funding(&self) -> Result<Places, Error> {
        self.step("commitments").await?;
        let sim = self.0.borrow();
        let all = sim.ledger.commits.iter().flat_map(|(_, found)| &found.funding);
        let place = |found: &IEpochLedger::OutPoint| OutPoint {
            txid: Txid::from_byte_array(found.txid.0),
            vout: found.vout,
        };
        Ok(Places { fresh: all.map(place).collect(), ..Places::default() })
    }

    async fn commitment(&self, epoch: EpochId) -> Result<Option<IEpochLedger::Commitment>, Error> {
        self.step("commitment").await?;
        let hidden = self.lies();
        let found = self.0.borrow().ledger.commitment(epoch.0, u64::MAX).cloned();
        Ok(found.filter(|_| !hidden))
    }

    async fn committed_finally(&self, epoch: EpochId, hash: B256) -> Result<bool, Error> {
        self.step("commitmentHash").await?;
        let sim = self.0.borrow();
        let at = sim.ledger.finalized().number;
        let Some(found) = sim.ledger.commitment(epoch.0, at) else { return Ok(false) };
        if keccak256(found.abi_encode()) == hash {
            return Ok(true);
        }
        Err(Error::Mismatch { epoch, what: "the ledger holds another commitment".into() })
    }

    async fn wrapper_count(&self) -> Result<usize, Error> {
        self.step("wrappers").await?;
        Ok(0)
    }

    async fn commit(&self, commitment: IEpochLedger::Commitment) -> Result<(), Error> {
        self.step("commit").await?;
        let landed = self.0.borrow_mut().ledger.commit(commitment);
        self.step("commit's receipt").await?;
        landed.map_err(|why| failed(&why))
    }

    async fn batch_proven(&self, epoch: EpochId, batch: u16) -> Result<bool, Error> {
        self.step("batchProven").await?;
        let hidden = self.lies();
        Ok(self.0.borrow().ledger.is_shown(epoch.0, batch, u64::MAX) && !hidden)
    }

    async fn proven_finally(&self, epoch: EpochId, batch: u16) -> Result<bool, Error> {
        self.step("batchProven").await?;
        let sim = self.0.borrow();
        Ok(sim.ledger.is_shown(epoch.0, batch, sim.ledger.finalized().number))
    }

    async fn confirmations_needed(&self, _block: BlockHash, _sats: u64) -> Result<u64, Error> {
        self.step("confirmationsFor").await?;
        Ok(6)
    }

    async fn follow_relay(&self, _bitcoin: &impl Bitcoin) -> Result<U256, Error> {
        self.step("noRetarget").await?;
        Ok(relay::work_at(BITS))
    }

    async fn prove(
        &self,
        epoch: EpochId,
        batch: u16,
        proof: IEpochLedger::Proof,
    ) -> Result<(), Error> {
        self.step("provePayout").await?;
        let landed = self.0.borrow_mut().ledger.prove(epoch.0, batch, proof);
        self.step("provePayout's receipt").await?;
        landed.map_err(|why| failed(&why))
    }

    async fn first_baton(&self) -> Result<OutPoint, Error> {
        self.step("BatonSet").await?;
        Ok(self.0.borrow().ledger.first_baton)
    }

    async fn world(
        &self,
        epoch: EpochId,
        _at: &BlockRef,
        _report: &Report,
        previous: Vec<Leaf>,
    ) -> Result<World, Error> {
        self.step("world").await?;
        Ok(self.0.borrow().world(epoch.0, previous))
    }

    async fn as_committed(
        &self,
        world: &World,
        found: &IEpochLedger::Commitment,
        _at: &BlockRef,
    ) -> Result<Allocation, Error> {
        recompute(EpochId(world.epoch), world, found)
    }
}

/// One operator's view of the Bitcoin network.
#[derive(Debug)]
pub(in crate::bench) struct SimBitcoin {
    pub(in crate::bench) world: Shared,
    pub(in crate::bench) view: Rc<RefCell<Vec<BlockHash>>>,
    /// What blocks do to our coins, where there are books.
    pub(in crate::bench) watch: Option<RefCell<Watch>>,
}

impl Bitcoin for SimBitcoin {
    async fn sync(&self) -> Result<(BitcoinNews, bool), Error> {
        self.world.step("blocks").await?;
        let most = 1 + self.world.0.borrow_mut().below(40) as usize;
        let sim = self.world.0.borrow();
        let (mut view, chain) = (self.view.borrow_mut(), &sim.network.hashes);
        let mut rewinds = false;
        while view.last().is_some_and(|last| chain.get(view.len() - 1) != Some(last)) {
            view.pop();
            rewinds = true;
        }
        let mut news = BitcoinNews::default();
        for mined in sim.network.blocks.iter().skip(view.len()).take(most) {
            let (height, block) = (view.len() as u32, mined.block.block_hash());
            for tx in &mined.block.txdata {
                if tx.output.iter().any(|out| out.script_pubkey == sim.genesis) {
                    news.genesis.push(tx.clone());
                }
                if let Some((epoch, batch)) = named(tx) {
                    let (txid, spends) = (tx.compute_txid(), tx.input[0].previous_output);
                    news.marked.push(Marked { txid, block, height, epoch, batch, spends });
                }
            }
            if let Some(watch) = &self.watch {
                let index = |script: &Script| sim.treasury_index(script);
                let moves = watch.borrow_mut().read(&mined.block, height, rewinds, index)?;
                news.moves.extend(moves);
                rewinds = false;
            }
            view.push(block);
        }
        Ok((news, view.len() < chain.len()))
    }

    fn tip(&self) -> (u32, BlockHash) {
        let view = self.view.borrow();
        let hash = view.last().copied().unwrap_or_else(BlockHash::all_zeros);
        (view.len().saturating_sub(1) as u32, hash)
    }

    fn coins(&self, confirmations: u32) -> Vec<TreasuryCoin> {
        let hidden = self.world.lies();
        let sim = self.world.0.borrow();
        let tip = self.tip().0;
        let scripts = &sim.treasury;
        let mut coins: Vec<TreasuryCoin> = sim
            .network
            .coins
            .iter()
            .filter_map(|(outpoint, (output, height))| {
                let index = scripts.iter().position(|s| *s == output.script_pubkey)? as u32;
                let deep = height + confirmations <= tip + 1;
                let coin = Coin {
                    outpoint: *outpoint,
                    output: output.clone(),
                    keychain: Keychain::Treasury,
                    index,
                };
                deep.then_some(TreasuryCoin { coin, height: *height })
            })
            .collect();
        coins.sort_by_key(|coin| (coin.height, coin.coin.outpoint));
        coins.truncate(if hidden { 1 } else { coins.len() });
        coins
    }

    fn coin(&self, outpoint: OutPoint) -> Option<(Coin, Transaction)> {
        let sim = self.world.0.borrow();
        let tx = sim.network.known.get(&outpoint.txid)?.clone();
        let output = tx.output.get(outpoint.vout as usize)?.clone();
        let index = sim.treasury.iter().position(|s| *s == output.script_pubkey)? as u32;
        Some((Coin { outpoint, output, keychain: Keychain::Treasury, index }, tx))
    }

    async fn hash_at(&self, height: u32) -> Result<BlockHash, Error> {
        self.world.step("getblockhash").await?;
        if self.world.lies() {
            return Err(failed("Block height out of range"));
        }
        let sim = self.world.0.borrow();
        sim.network.hashes.get(height as usize).copied().ok_or_else(|| failed("getblockhash"))
    }

    async fn header_at(&self, height: u32) -> Result<Header, Error> {
        self.world.step("getblockheader").await?;
        let sim = self.world.0.borrow();
        let mined = sim.network.blocks.get(height as usize);
        mined.map(|mined| mined.block.header).ok_or_else(|| failed("getblockheader"))
    }

    async fn mined(&self, _height: u32, hash: BlockHash, txid: Txid) -> Result<Mined, Error> {
        self.world.step("getblock").await?;
        let sim = self.world.0.borrow();
        let at = sim.network.hashes.iter().rposition(|found| *found == hash);
        let block = at.map(|at| &sim.network.blocks[at].block);
        block.and_then(|block| Mined::of(block, txid)).ok_or_else(|| failed("getblock"))
    }

    async fn fee_rate_ceil(&self, _blocks: u16) -> Result<Option<u64>, Error> {
        self.world.step("estimatesmartfee").await?;
        let rate = self.world.0.borrow_mut().below(9_000);
        Ok((rate > 500).then_some(rate))
    }

    async fn broadcast(&self, tx: &Transaction) -> Result<Broadcast, Error> {
        self.world.step("sendrawtransaction").await?;
        let answer = self.world.0.borrow_mut().network.accept(tx);
        self.world.step("sendrawtransaction's answer").await?;
        Ok(answer)
    }

    async fn spender(&self, coin: &Coin) -> Result<Option<Transaction>, Error> {
        self.world.step("gettxspendingprevout").await?;
        Ok(self.world.0.borrow().network.spender(coin.outpoint))
    }

    fn elapsed(&self) -> Duration {
        self.world.0.borrow().elapsed
    }
}
