//! Everything that a verification reads, read once: both chains, the replayed tokens, our own books, the payments.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, U256};
use bitcoin::{BlockHash, OutPoint, Txid, hashes::Hash};
use domain::EpochId;
use evm::{
    Deployment,
    bindings::{
        IBitcoinRelay::noRetargetCall,
        IEpochLedger::PayoutProven,
        ITwabToken::{self, balanceSecondsCall},
    },
};
use serde::Deserialize;

use crate::{
    Error,
    books::{self, Page, Replays},
    chain::Chain,
    evidence::Evidence,
    headers::Difficulty,
    history::History,
    node::{Mined, Scan, Sought, Wanted, outpoint},
    replay::Replay,
    rpc::Rpc,
};

/// Batch number of a root transaction.
pub const ROOT_BATCH: u16 = 0xffff;
/// Epochs before the first whose work a report may still distribute, and one to spare.
const WORK_AGE: u64 = 25;
/// Epochs that a token remembers besides the running one.
const REMEMBERED: u32 = 31;

/// Where everything is read from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// EVM node.
    pub evm: Rpc,
    /// Bitcoin node.
    pub bitcoin: Rpc,
    /// Addresses of the contracts.
    pub deployment: Deployment,
    /// Who was declared to hold which role.
    pub declared: Option<Declared>,
    /// Bytes of the switching journal, if published.
    pub journal: Option<Vec<u8>>,
    /// Folder of this source.
    pub source: PathBuf,
    /// Only this epoch, if given.
    pub epoch: Option<u32>,
}

/// The part of the deployment's configuration that names people. Other keys are the deployment script's.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declared {
    /// Holds administration, the operator role and the parameters role.
    pub operator: Address,
    /// Holds the guardian role.
    pub guardian: Address,
    /// Oracle signers at the start.
    pub signers: Vec<Address>,
    /// How many of them must sign.
    pub quorum: u8,
    /// Least delay of administration and parameters, seconds.
    pub role_delay_seconds: u32,
}

impl Declared {
    /// Reads a deployment configuration.
    ///
    /// # Errors
    /// When the file is missing or malformed.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
        serde_json::from_str(&text).map_err(|error| Error::file(path, error))
    }
}

/// A payout transaction found on Bitcoin by following the baton.
#[derive(Clone, Debug)]
pub struct Payment {
    /// Epoch that it should pay.
    pub epoch: EpochId,
    /// Batch that it should pay; [`ROOT_BATCH`] for a root transaction.
    pub batch: u16,
    /// The output that it spends: baton or chunk.
    pub spends: OutPoint,
    /// Its id.
    pub txid: Txid,
    /// It, and where.
    pub mined: Mined,
}

/// All that is known.
#[derive(Debug)]
pub struct World {
    /// EVM chain at the pinned block.
    pub chain: Chain,
    /// Addresses.
    pub deployment: Deployment,
    /// Declared holders of roles.
    pub declared: Option<Declared>,
    /// Folder of this source.
    pub source: PathBuf,
    /// All events.
    pub history: History,
    /// All tokens, replayed.
    pub replays: Replays,
    /// Our books, one page per committed epoch.
    pub pages: Vec<Page>,
    /// Whether the relay is in the mode of test networks, whose difficulty is constant.
    pub test_network: bool,
    /// The Bitcoin chain.
    pub scan: Scan,
    /// Payout transactions in order of the baton.
    pub payments: Vec<Payment>,
    /// The baton that nobody of ours spent yet.
    pub baton: Option<OutPoint>,
    /// The journal, if published.
    pub evidence: Option<Evidence>,
    /// Only this epoch, if given.
    pub only: Option<u32>,
}

impl World {
    /// Reads everything.
    ///
    /// # Errors
    /// When a node does not answer, or what it says cannot be read at all.
    pub async fn read(sources: &Sources) -> Result<Self, Error> {
        let deployment = sources.deployment.clone();
        let chain = Chain::pin(sources.evm.clone(), deployment.chain_id).await?;
        tracing::info!(block = chain.block, "reading the EVM chain");
        let history = History::read(&chain, &deployment).await?;
        let replays = history
            .transfers
            .iter()
            .map(|(token, moves)| Ok((*token, Replay::of(moves)?)))
            .collect::<Result<Replays, Error>>()?;
        let pages = books::keep(&history, &replays, &deployment, chain.progress())?;
        let test_network = chain.call(deployment.bitcoin_relay, noRetargetCall {}).await?;
        let difficulty = if test_network { Difficulty::Constant } else { Difficulty::Retargets };
        tracing::info!("reading the Bitcoin chain");
        let wanted = wanted(&history, &deployment);
        let scan = Scan::read(&sources.bitcoin, &wanted, difficulty).await?;
        let (payments, baton) = follow_baton(&history, &pages, &scan);
        Ok(Self {
            chain,
            declared: sources.declared.clone(),
            source: sources.source.clone(),
            deployment,
            history,
            replays,
            pages,
            test_network,
            scan,
            payments,
            baton,
            evidence: sources.journal.as_deref().map(Evidence::parse),
            only: sources.epoch,
        })
    }

    /// Whether an epoch is asked about.
    #[must_use]
    pub fn wants(&self, epoch: u32) -> bool {
        self.only.is_none_or(|only| only == epoch)
    }

    /// Pages of the epochs asked about.
    pub fn wanted_pages(&self) -> impl Iterator<Item = &Page> + '_ {
        self.pages.iter().filter(|page| self.wants(page.epoch.0))
    }

    /// Every token of the deployment with its series and what it is.
    #[must_use]
    pub fn tokens(&self) -> Vec<(Address, String)> {
        self.deployment
            .series
            .iter()
            .flat_map(|s| {
                [
                    (s.unit, format!("unit of series {}", s.id)),
                    (s.lp_share, format!("LP share of series {}", s.id)),
                    (s.claim_token, format!("queue claim of series {}", s.id)),
                ]
            })
            .collect()
    }

    /// A token's replay; an empty one if it never moved.
    #[must_use]
    pub fn replay(&self, token: Address) -> Replay {
        self.replays.get(&token).cloned().unwrap_or_default()
    }

    /// Finished epochs that tokens still remember and that are asked about.
    #[must_use]
    pub fn window(&self) -> Vec<EpochId> {
        let now = EpochId::at(self.chain.time).0;
        let first = self.deployment.first_epoch.0.max(now.saturating_sub(REMEMBERED));
        (first..now).filter(|epoch| self.wants(*epoch)).map(EpochId).collect()
    }

    /// What a token itself says of balance-seconds, for every holder ever and each of `epochs`.
    ///
    /// # Errors
    /// When the node does not answer, or the token refuses.
    pub async fn seconds(
        &self,
        token: Address,
        epochs: &[EpochId],
    ) -> Result<HashMap<(Address, EpochId), U256>, Error> {
        let replay = self.replay(token);
        let keys: Vec<(Address, EpochId)> =
            epochs.iter().flat_map(|e| replay.holders().map(move |holder| (holder, *e))).collect();
        let calls: Vec<_> = keys
            .iter()
            .map(|(account, epoch)| {
                (token, balanceSecondsCall { account: *account, epoch: epoch.0 })
            })
            .collect();
        let answers = self.chain.calls(&calls).await?;
        keys.into_iter()
            .zip(answers)
            .map(|(key, answer)| {
                let doing = format!("balanceSeconds({}, {}) of {token}", key.0, key.1);
                Ok((key, answer.map_err(|why| Error::Refused { doing, why })?))
            })
            .collect()
    }

    /// What a token itself says of the supply's balance-seconds in each of `epochs`.
    ///
    /// # Errors
    /// As [`World::seconds`].
    pub async fn total_seconds(
        &self,
        token: Address,
        epochs: &[EpochId],
    ) -> Result<Vec<U256>, Error> {
        let calls: Vec<_> = epochs
            .iter()
            .map(|epoch| (token, ITwabToken::totalBalanceSecondsCall { epoch: epoch.0 }))
            .collect();
        let answers = self.chain.calls(&calls).await?;
        answers
            .into_iter()
            .map(|answer| {
                let doing = format!("totalBalanceSeconds of {token}");
                answer.map_err(|why| Error::Refused { doing, why })
            })
            .collect()
    }
}

fn wanted(history: &History, deployment: &Deployment) -> Wanted {
    let start = deployment.first_epoch.start();
    let since = start.saturating_sub(WORK_AGE * domain::EPOCH_SECONDS);
    let mut wanted = Wanted { since, ..Wanted::default() };
    for posted in &history.reports {
        let epoch = EpochId(posted.event.epoch);
        let window = (epoch.start().saturating_sub(domain::EPOCH_SECONDS), epoch.end());
        for receipt in &posted.event.report.receipts {
            let point = outpoint(receipt.txid, receipt.vout);
            wanted.sought.push(Sought { txid: point.txid, window });
            wanted.outputs.insert(point);
        }
    }
    if let Some(set) = history.batons.first() {
        let baton = outpoint(set.event.txid, set.event.vout);
        wanted.sought.push(Sought { txid: baton.txid, window: (since, set.at.time) });
        wanted.baton = Some(baton);
    }
    let proven = |proof: &crate::history::At<PayoutProven>| {
        let txid = outpoint(proof.event.txid, 0).txid;
        (txid, BlockHash::from_byte_array(proof.event.blockHash.0))
    };
    wanted.proven = history.proofs.iter().map(proven).collect();
    wanted
}

/// Walks from the first baton through every paying epoch, as far as Bitcoin has come.
fn follow_baton(
    history: &History,
    pages: &[Page],
    scan: &Scan,
) -> (Vec<Payment>, Option<OutPoint>) {
    let first = history.batons.first().map(|set| outpoint(set.event.txid, set.event.vout));
    let Some(mut baton) = first else { return (Vec::new(), None) };
    let mut payments = Vec::new();
    for page in pages.iter().filter(|page| !page.commitment.batches.is_empty()) {
        let Some((txid, mined)) = scan.spender(&baton) else { break };
        let count = page.commitment.batches.len();
        let batch = if count == 1 { 0 } else { ROOT_BATCH };
        let epoch = page.epoch;
        payments.push(Payment { epoch, batch, spends: baton, txid, mined: mined.clone() });
        for chunk in (0_u16..).take(if count == 1 { 0 } else { count }) {
            let spends = OutPoint::new(txid, 2 + u32::from(chunk));
            if let Some((txid, mined)) = scan.spender(&spends) {
                let mined = mined.clone();
                payments.push(Payment { epoch, batch: chunk, spends, txid, mined });
            }
        }
        baton = OutPoint::new(txid, 0);
    }
    (payments, Some(baton))
}
