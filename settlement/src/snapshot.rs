//! The world of an epoch, read at one finalized block: pots from the report, balance-seconds from the tokens, scripts
//! from the registry.
//!
//! Balance-seconds are replayed from Transfer events *and* asked of the token contract; where both are to be had they
//! must agree for every account and in sum. For epochs that the token's ring has forgotten, the replay stands alone.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    eips::BlockId,
    primitives::{Address, U256},
};
use domain::{EpochId, Leaf, SeriesId};
use evm::{
    BlockRef,
    bindings::{IPayoutRegistry, ISeriesRegistry, ITwabToken},
    block_numbered, decoded, logs_between,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use crate::{
    allocate::{self, Entry, Piece, Weights, World, Wrapper},
    chain::{Chain, Report, rpc},
    corrections,
    error::Error,
    twab::{self, Balances, ReplayError, Transfer},
};

/// Calls to the node at once.
const AT_ONCE: usize = 24;
/// Epochs whose transfers are kept one by one.
const REACH: u32 = 32;
/// Closed epochs that a token's ring remembers for certain.
const RING: u32 = 31;

/// Reads worlds. Remembers finalized transfers between readings.
#[derive(Debug)]
pub struct Snapshots {
    chain: Chain,
    cache: Mutex<BTreeMap<Address, TokenLog>>,
}

#[derive(Clone, Debug, Default)]
struct TokenLog {
    /// First block not read.
    next: u64,
    /// Balances at the start of an epoch, and the transfers since.
    from: u64,
    before: Balances,
    transfers: Vec<Transfer>,
}

impl TokenLog {
    /// Folds what lies before the start of an epoch into balances.
    fn fold(&mut self, start: u64) -> Result<(), ReplayError> {
        let old = self.transfers.partition_point(|transfer| transfer.time < start);
        if start > self.from && old > 0 {
            let rest = self.transfers.split_off(old);
            self.before = twab::balances(&self.before, &self.transfers)?;
            (self.transfers, self.from) = (rest, start);
        }
        Ok(())
    }
}

impl Snapshots {
    /// Over a chain.
    #[must_use]
    pub fn new(chain: Chain) -> Self {
        Self { chain, cache: Mutex::default() }
    }

    /// The world of `epoch` at the finalized block `at`, given the leaves of the epoch before.
    ///
    /// # Errors
    /// When the token and the replay disagree, a script does not match its hash, or the node does not answer.
    pub async fn world(
        &self,
        epoch: EpochId,
        at: &BlockRef,
        report: &Report,
        previous: Vec<Leaf>,
    ) -> Result<World, Error> {
        let pieces = pieces(report);
        let wrappers = self.wrappers(epoch, at).await?;
        let mut world = World { epoch: epoch.0, pieces, wrappers, previous, ..World::default() };
        let mut asked: BTreeMap<SeriesId, BTreeSet<EpochId>> = BTreeMap::new();
        for piece in &world.pieces {
            asked.entry(piece.series).or_default().insert(piece.work_epoch);
        }
        for (series, epochs) in asked {
            let epochs: Vec<EpochId> = epochs.into_iter().collect();
            let unit = self.unit(series, at).await?;
            for (work, weights) in self.weights(epoch, unit, &epochs, at).await? {
                world.units.insert((series, work), weights);
            }
            let shares: BTreeSet<Address> =
                world.wrappers.iter().filter(|w| w.series == series).map(|w| w.share).collect();
            for share in shares {
                for (work, weights) in self.weights(epoch, share, &epochs, at).await? {
                    world.shares.insert((share, work), weights);
                }
            }
        }
        world.corrections = corrections::read(&self.chain, epoch, at).await?;
        world.entries = self.entries(epoch, &allocate::candidates(&world), at).await?;
        Ok(world)
    }

    async fn unit(&self, series: SeriesId, at: &BlockRef) -> Result<Address, Error> {
        let registry = self.chain.deployment.series_registry;
        let registry = ISeriesRegistry::new(registry, self.chain.reader());
        let found = registry.series(series.0).block(BlockId::hash(at.hash)).call().await;
        Ok(found.map_err(|error| rpc("series", error))?.unit)
    }

    /// Wrappers that count for `epoch`.
    async fn wrappers(&self, epoch: EpochId, at: &BlockRef) -> Result<Vec<Wrapper>, Error> {
        let (ledger, block) = (self.chain.ledger(), BlockId::hash(at.hash));
        let all = ledger.wrappers().block(block).call().await;
        let mut inforce = Vec::new();
        for (found, index) in all.map_err(|e| rpc("wrappers", e))?.into_iter().zip(0_u64..) {
            let from = ledger.wrapperFrom(U256::from(index)).block(block).call().await;
            if from.map_err(|error| rpc("wrapperFrom", error))? <= epoch.0 {
                inforce.push(Wrapper {
                    series: SeriesId(found.series),
                    account: found.wrapper,
                    share: found.shareToken,
                    first_loss: found.firstLoss,
                });
            }
        }
        Ok(inforce)
    }

    /// Weights of a token in `epochs`, replayed and compared with the contract.
    async fn weights(
        &self,
        epoch: EpochId,
        token: Address,
        epochs: &[EpochId],
        at: &BlockRef,
    ) -> Result<BTreeMap<EpochId, Weights>, Error> {
        let oldest = epochs.iter().min().map_or(0, |oldest| oldest.start());
        let log = self.transfers(token, oldest, at).await?;
        let replayed = twab::replay_from(&log.before, &log.transfers, epochs);
        let replayed =
            replayed.map_err(|e| Error::mismatch(epoch, format!("token {token}: {e}")))?;
        let movers = log.transfers.iter().flat_map(|transfer| [transfer.from, transfer.to]);
        let holders: BTreeSet<Address> =
            movers.chain(log.before.keys().copied()).filter(|account| !account.is_zero()).collect();
        let now = EpochId::at(at.timestamp);
        for (work, weights) in &replayed {
            if now.0.saturating_sub(work.0) <= RING {
                let same = self.compare(epoch, token, *work, weights, &holders, at).await;
                if same.is_err() {
                    // transfers that a node kept back once must not be missing for ever
                    self.cache.lock().await.remove(&token);
                }
                same?;
            }
        }
        Ok(replayed)
    }

    async fn compare(
        &self,
        epoch: EpochId,
        token: Address,
        work: EpochId,
        weights: &Weights,
        holders: &BTreeSet<Address>,
        at: &BlockRef,
    ) -> Result<(), Error> {
        let contract = ITwabToken::new(token, self.chain.reader());
        let block = BlockId::hash(at.hash);
        let differ = |who: String, ours: U256, theirs: U256| {
            let what = format!(
                "balance-seconds of {who} in epoch {work} are {theirs} by token {token} and {ours} by its logs"
            );
            Error::mismatch(epoch, what)
        };
        let total = contract.totalBalanceSeconds(work.0).block(block).call().await;
        let total = total.map_err(|error| rpc("totalBalanceSeconds", error))?;
        if total != weights.total {
            return Err(differ("the supply".into(), weights.total, total));
        }
        let checks = holders.iter().map(|account| {
            let call = contract.balanceSeconds(*account, work.0).block(block);
            async move {
                let theirs = call.call().await.map_err(|error| rpc("balanceSeconds", error))?;
                Ok::<_, Error>((account, theirs))
            }
        });
        let mut answers = stream::iter(checks).buffer_unordered(AT_ONCE);
        while let Some((account, theirs)) = answers.try_next().await? {
            let ours = weights.of.get(account).copied().unwrap_or_default();
            if ours != theirs {
                return Err(differ(account.to_string(), ours, theirs));
            }
        }
        Ok(())
    }

    /// All transfers of a token up to a finalized block; what was read before is not asked again.
    /// The work epochs of a report reach no further back than the ledger lets them, so older transfers are kept as the
    /// balances that they led to; who asks for something older has everything read again.
    async fn transfers(
        &self,
        token: Address,
        oldest: u64,
        at: &BlockRef,
    ) -> Result<TokenLog, Error> {
        let mut cache = self.cache.lock().await;
        if cache.get(&token).is_some_and(|log| log.from > oldest) {
            cache.remove(&token);
        }
        let log = cache.entry(token).or_default();
        let from = log.next.max(self.chain.deployment.block);
        if from <= at.number {
            let topic = Some(<ITwabToken::Transfer as alloy::sol_types::SolEvent>::SIGNATURE_HASH);
            let logs = logs_between(self.chain.reader(), &[token], topic, from, at.number).await?;
            let mut times: BTreeMap<u64, u64> = BTreeMap::new();
            let mut fresh = Vec::new();
            for (event, raw) in decoded::<ITwabToken::Transfer>(&logs)? {
                let number = raw.block_number.unwrap_or_default();
                let time = match (raw.block_timestamp, times.get(&number)) {
                    (Some(time), _) | (None, Some(&time)) => time,
                    (None, None) => self.time_of(number).await?,
                };
                times.insert(number, time);
                let (from, to, amount) = (event.from, event.to, event.amount);
                fresh.push(Transfer { time, from, to, amount });
            }
            log.transfers.extend(fresh);
            log.next = at.number.saturating_add(1);
        }
        // later transfers may have been read for a later epoch; they cannot change a closed one
        let recent = EpochId::at(at.timestamp).0.saturating_sub(REACH);
        let folded = log.fold(EpochId(recent).start().min(oldest));
        folded.map_err(|error| rpc("transfers", error))?;
        Ok(log.clone())
    }

    async fn time_of(&self, number: u64) -> Result<u64, Error> {
        let block = block_numbered(self.chain.reader(), number).await?;
        let block = block.ok_or_else(|| rpc("block", format!("no block {number}")))?;
        Ok(block.timestamp)
    }

    /// Scripts in force at the start of `epoch`, checked against the registry's hashes.
    async fn entries(
        &self,
        epoch: EpochId,
        accounts: &BTreeSet<Address>,
        at: &BlockRef,
    ) -> Result<BTreeMap<Address, Entry>, Error> {
        let address = self.chain.deployment.payout_registry;
        let scripts = self.chain.scripts().await?;
        let registry = IPayoutRegistry::new(address, self.chain.reader());
        let block = BlockId::hash(at.hash);
        // everybody is asked for: a node that keeps an event back must not make an account look scriptless
        let calls = accounts.iter().map(|account| {
            let call = registry.entryAt(*account, epoch.0).block(block);
            async move {
                let entry = call.call().await.map_err(|error| rpc("entryAt", error))?;
                Ok::<_, Error>((*account, entry))
            }
        });
        let mut answers = stream::iter(calls).buffer_unordered(AT_ONCE);
        let mut entries = BTreeMap::new();
        while let Some((account, entry)) = answers.try_next().await? {
            if entry.scriptHash.is_zero() {
                continue;
            }
            let Some(script) = scripts.get(&entry.scriptHash).cloned() else {
                self.chain.forget_scripts().await;
                let hash = entry.scriptHash;
                let what = format!("no event carries the script of {account}, {hash}");
                return Err(Error::mismatch(epoch, what));
            };
            let dust = u64::from(entry.dust);
            entries.insert(account, Entry { script, minimum: entry.minimum, dust });
        }
        Ok(entries)
    }
}

/// The report's pots; none for a gap, and pieces of zero are left out.
fn pieces(report: &Report) -> Vec<Piece> {
    let series = report.body.iter().flat_map(|body| &body.series);
    let pieces = series.flat_map(|series| {
        series.pots.iter().map(|pot| Piece {
            series: SeriesId(series.series),
            work_epoch: EpochId(pot.workEpoch),
            sats: pot.sats,
        })
    });
    pieces.filter(|piece| piece.sats > 0).collect()
}
