//! The treasury wallet: bdk_wallet over the treasury descriptor, synced block by block from the node, its changes kept
//! in our own database. It finds coins and remembers the transactions that made them; it never signs and never picks.

use std::sync::{Arc, Mutex, PoisonError};

use bdk_bitcoind_rpc::{Emitter, NO_EXPECTED_MEMPOOL_TXS};
use bdk_wallet::{
    ChangeSet, KeychainKind, Wallet,
    chain::{BlockId, ChainPosition},
};
use bitcoin::{Block, BlockHash, OutPoint, Script, ScriptBuf, Transaction, Txid};

mod coins;

use coins::Coins;

use crate::{
    encode,
    error::Error,
    ledger::Watch,
    light::{Light, Place},
    node::Node,
    store::{BitcoinNews, Marked},
    vault::{Coin, GENESIS_BATON, Keychain, Vault},
};

/// Blocks applied before their changes are written.
const STRIDE: usize = 500;

/// The wallet, and beside it a table of its own of the coins that are there: to ask the wallet goes through its whole
/// history each time.
#[derive(Debug)]
struct Inner {
    wallet: Wallet,
    coins: Coins,
    watch: Watch,
}

/// A confirmed treasury coin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreasuryCoin {
    /// The coin.
    pub coin: Coin,
    /// Height of the block that created it.
    pub height: u32,
}

/// The wallet in memory.
#[derive(Debug)]
pub struct Treasury {
    wallet: Arc<Mutex<Inner>>,
    genesis: ScriptBuf,
    birthday: u32,
}

impl Treasury {
    /// Loads the wallet from its changes, or creates it; `lookahead` scripts beyond the last used one are watched, and
    /// nothing below height `birthday` is read.
    ///
    /// # Errors
    /// When the changes are of another descriptor or network.
    pub fn load(
        vault: &Vault,
        changes: ChangeSet,
        lookahead: u32,
        birthday: u32,
    ) -> Result<Self, Error> {
        let fail = |why: String| Error::Wallet(why);
        let descriptor = vault.descriptor(Keychain::Treasury).clone();
        let loaded = Wallet::load()
            .descriptor(KeychainKind::External, Some(descriptor.clone()))
            .check_network(vault.network())
            .lookahead(lookahead)
            .load_wallet_no_persist(changes)
            .map_err(|error| fail(format!("{error}: the database is of another treasury")))?;
        let wallet = match loaded {
            Some(wallet) => wallet,
            None => Wallet::create_single(descriptor)
                .network(vault.network())
                .lookahead(lookahead)
                .create_wallet_no_persist()
                .map_err(|error| fail(error.to_string()))?,
        };
        let genesis = vault.script(Keychain::Baton, GENESIS_BATON)?;
        let coins = Coins::of(&wallet);
        let watch = Watch::new(vault.clone(), None, Vec::new());
        let inner = Inner { wallet, coins, watch };
        Ok(Self { wallet: Arc::new(Mutex::new(inner)), genesis, birthday })
    }

    /// Also books what blocks do to our coins: `mine` are those that the books hold, coins at treasury index `reserve`
    /// are the operator's own.
    #[must_use]
    pub fn booked(self, vault: &Vault, reserve: Option<u32>, mine: Vec<(OutPoint, u64)>) -> Self {
        self.wallet.lock().unwrap_or_else(PoisonError::into_inner).watch =
            Watch::new(vault.clone(), reserve, mine);
        self
    }

    /// Reads the blocks that the wallet does not have, a stretch at a time. The news must be stored before anything is
    /// built on them; `more` says that the tip is not reached yet.
    ///
    /// # Errors
    /// When the node does not answer or a block does not connect.
    pub async fn sync(&self, node: &Node) -> Result<(BitcoinNews, bool), Error> {
        let (client, wallet) = (node.client(), Arc::clone(&self.wallet));
        let (genesis, birthday) = (self.genesis.clone(), self.birthday);
        let task = tokio::task::spawn_blocking(move || {
            let mut inner = wallet.lock().unwrap_or_else(PoisonError::into_inner);
            let tip = inner.wallet.latest_checkpoint();
            let mut emitter = Emitter::new(client, tip, birthday, NO_EXPECTED_MEMPOOL_TXS);
            let next = |_: &Wallet| {
                let event = emitter.next_block().map_err(|error| Error::node("blocks", error))?;
                Ok(event.map(|event| Step {
                    height: event.block_height(),
                    to: event.connected_to(),
                    block: event.block,
                }))
            };
            read_stretch(&mut inner, &genesis, STRIDE, next)
        });
        task.await.map_err(|error| Error::Wallet(error.to_string()))?
    }

    /// The same from a light server: of each block only what is ours.
    ///
    /// # Errors
    /// When the server does not answer, or what it says is not proven.
    pub async fn sync_light(&self, light: &Arc<Light>) -> Result<(BitcoinNews, bool), Error> {
        let (light, wallet) = (Arc::clone(light), Arc::clone(&self.wallet));
        let genesis = self.genesis.clone();
        let task = tokio::task::spawn_blocking(move || {
            let lock = || wallet.lock().unwrap_or_else(PoisonError::into_inner);
            // the server may take long: the wallet stays free until there is something to apply
            let tip = lock().wallet.latest_checkpoint();
            let mut stretch = light.next(&tip)?;
            let blocks = std::mem::take(&mut stretch.blocks);
            let (most, more) = (blocks.len(), stretch.more);
            let mut blocks = blocks.into_iter();
            let next = |wallet: &Wallet| {
                let Some((height, block)) = blocks.next() else { return Ok(None) };
                let (tip, below) = (wallet.latest_checkpoint(), height.saturating_sub(1));
                let to = if tip.height() < below {
                    tip.block_id()
                } else {
                    BlockId { height: below, hash: block.header.prev_blockhash }
                };
                Ok(Some(Step { height, to, block }))
            };
            let (news, cut) = read_stretch(&mut lock(), &genesis, most.saturating_add(1), next)?;
            if !cut {
                light.applied(stretch);
            }
            Ok((news, more || cut))
        });
        task.await.map_err(|error| Error::Wallet(error.to_string()))?
    }

    /// Hash of a block that was read.
    #[must_use]
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        self.with(|wallet| Some(wallet.latest_checkpoint().get(height)?.hash()))
    }

    /// Highest treasury index in use, and the wallet's transactions with their blocks.
    #[must_use]
    pub fn read_before(&self) -> (Option<u32>, Vec<(Txid, Place)>) {
        self.with(|wallet| {
            let places = wallet.transactions().filter_map(|tx| match tx.chain_position {
                ChainPosition::Confirmed { anchor, .. } => {
                    let (height, block) = (anchor.block_id.height, anchor.block_id.hash);
                    Some((tx.tx_node.txid, Place { height, block }))
                }
                ChainPosition::Unconfirmed { .. } => None,
            });
            (wallet.derivation_index(KeychainKind::External), places.collect())
        })
    }

    fn with<T>(&self, read: impl FnOnce(&Wallet) -> T) -> T {
        read(&self.wallet.lock().unwrap_or_else(PoisonError::into_inner).wallet)
    }

    /// Height and hash of the last block read.
    #[must_use]
    pub fn tip(&self) -> (u32, BlockHash) {
        self.with(|wallet| {
            let tip = wallet.latest_checkpoint();
            (tip.height(), tip.hash())
        })
    }

    /// Unspent coins with at least `confirmations`, oldest first (height, txid, vout).
    #[must_use]
    pub fn coins(&self, confirmations: u32) -> Vec<TreasuryCoin> {
        let inner = self.wallet.lock().unwrap_or_else(PoisonError::into_inner);
        let tip = inner.wallet.latest_checkpoint().height();
        let mut coins = inner.coins.unspent(tip, confirmations);
        coins.sort_by_key(|coin| (coin.height, coin.coin.outpoint));
        coins
    }

    /// The coin at an outpoint, spent or not, with the transaction that created it.
    #[must_use]
    pub fn coin(&self, outpoint: OutPoint) -> Option<(Coin, Transaction)> {
        self.with(|wallet| {
            let tx = wallet.tx_graph().get_tx(outpoint.txid)?;
            let output = tx.output.get(usize::try_from(outpoint.vout).ok()?)?.clone();
            let (_, index) = wallet.derivation_of_spk(output.script_pubkey.clone())?;
            let coin = Coin { outpoint, output, keychain: Keychain::Treasury, index };
            Some((coin, tx.as_ref().clone()))
        })
    }
}

/// A block to apply, and one that it connects to.
struct Step {
    height: u32,
    to: BlockId,
    block: Block,
}

/// Applies at most `most` blocks; `true` if it did not come to the end. What was applied is always handed over, even if
/// the node fails on the way: the wallet never asks for those blocks again. The failure comes back with the next call,
/// which has nothing to hand over.
fn read_stretch(
    inner: &mut Inner,
    genesis: &ScriptBuf,
    most: usize,
    mut next: impl FnMut(&Wallet) -> Result<Option<Step>, Error>,
) -> Result<(BitcoinNews, bool), Error> {
    let (mut news, mut more) = (BitcoinNews::default(), true);
    for applied in 0..most {
        let step = match next(&inner.wallet) {
            Ok(Some(Step { height, to, block })) => {
                let rewinds = height <= inner.wallet.latest_checkpoint().height();
                let connected = inner.wallet.apply_block_connected_to(&block, height, to);
                connected.map_err(|error| Error::Wallet(error.to_string())).and_then(|()| {
                    let Inner { wallet, coins, watch } = &mut *inner;
                    coins.connect(&block, height, wallet);
                    read_block(&block, height, genesis, &mut news);
                    let index = |script: &Script| {
                        let (_, index) = wallet.derivation_of_spk(script.to_owned())?;
                        Some(index)
                    };
                    news.moves.extend(watch.read(&block, height, rewinds, index)?);
                    Ok(())
                })
            }
            Ok(None) => {
                more = false;
                break;
            }
            Err(error) => Err(error),
        };
        match step {
            Ok(()) => {}
            Err(error) if applied == 0 => return Err(error),
            Err(_) => break,
        }
    }
    news.wallet = inner.wallet.take_staged();
    Ok((news, more))
}

fn read_block(block: &Block, height: u32, genesis: &ScriptBuf, news: &mut BitcoinNews) {
    let hash = block.block_hash();
    for tx in &block.txdata {
        if tx.output.iter().any(|output| output.script_pubkey == *genesis) {
            news.genesis.push(tx.clone());
        }
        let named =
            tx.output.iter().take(2).find_map(|out| encode::read_marker(&out.script_pubkey));
        if let (Some((epoch, batch)), Some(first)) = (named, tx.input.first()) {
            let txid: Txid = tx.compute_txid();
            let spends = first.previous_output;
            news.marked.push(Marked { txid, block: hash, height, epoch, batch, spends });
        }
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::{
        Amount, Network, TxOut, Witness,
        absolute::LockTime,
        block::Header,
        constants::genesis_block,
        hashes::Hash,
        transaction::{TxIn, Version},
    };

    use super::*;
    use crate::plan::tests::vault;

    fn paying_block() -> Step {
        let first = genesis_block(Network::Regtest);
        let script_pubkey = encode::marker(7, 0, &alloy::primitives::B256::repeat_byte(1));
        let tx = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn { witness: Witness::new(), ..TxIn::default() }],
            output: vec![TxOut { value: Amount::ZERO, script_pubkey }],
        };
        let mut header: Header = first.header;
        header.prev_blockhash = first.block_hash();
        header.merkle_root = bitcoin::TxMerkleNode::all_zeros();
        let block = Block { header, txdata: vec![tx] };
        let to = BlockId { height: 0, hash: first.block_hash() };
        Step { height: 1, to, block }
    }

    /// A node that fails after a block must not cost us the payout that was in the block.
    #[test]
    fn what_a_block_brought_survives_a_failure_after_it() {
        let (_, vault) = vault();
        let treasury = Treasury::load(&vault, ChangeSet::default(), 5, 0).unwrap();
        let mut wallet = treasury.wallet.lock().unwrap();
        let away = || Err(Error::node("blocks", "the node went away"));
        let mut answers = vec![away(), Ok(Some(paying_block()))];
        let mut next = |_: &Wallet| answers.pop().unwrap_or_else(away);
        let (news, more) = read_stretch(&mut wallet, &treasury.genesis, 9, &mut next).unwrap();
        assert_eq!(wallet.wallet.latest_checkpoint().height(), 1, "it is not read again");
        assert_eq!((news.marked.len(), more), (1, true));
        assert!(news.wallet.is_some());
        assert!(read_stretch(&mut wallet, &treasury.genesis, 9, next).is_err());
    }
}
