//! The treasury wallet: bdk_wallet over the treasury descriptor, synced block by block from the node, its changes kept
//! in our own database. It finds coins and remembers the transactions that made them; it never signs and never picks.

use std::sync::{Arc, Mutex, PoisonError};

use bdk_bitcoind_rpc::{Emitter, NO_EXPECTED_MEMPOOL_TXS};
use bdk_wallet::{ChangeSet, KeychainKind, Wallet};
use bitcoin::{Block, OutPoint, ScriptBuf, Transaction, Txid};

use crate::{
    encode,
    error::Error,
    node::Node,
    store::{BitcoinNews, Marked},
    vault::{Coin, GENESIS_BATON, Keychain, Vault},
};

/// Blocks applied before their changes are written.
const STRIDE: usize = 500;

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
    wallet: Arc<Mutex<Wallet>>,
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
        Ok(Self { wallet: Arc::new(Mutex::new(wallet)), genesis, birthday })
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
            let mut wallet = wallet.lock().unwrap_or_else(PoisonError::into_inner);
            let mut news = BitcoinNews::default();
            let mut emitter =
                Emitter::new(client, wallet.latest_checkpoint(), birthday, NO_EXPECTED_MEMPOOL_TXS);
            let mut more = true;
            for _ in 0..STRIDE {
                let next = emitter.next_block().map_err(|error| Error::node("blocks", error))?;
                let Some(event) = next else {
                    more = false;
                    break;
                };
                let (height, to) = (event.block_height(), event.connected_to());
                wallet
                    .apply_block_connected_to(&event.block, height, to)
                    .map_err(|error| Error::Wallet(error.to_string()))?;
                read_block(&event.block, height, &genesis, &mut news);
            }
            news.wallet = wallet.take_staged();
            Ok((news, more))
        });
        task.await.map_err(|error| Error::Wallet(error.to_string()))?
    }

    fn with<T>(&self, read: impl FnOnce(&Wallet) -> T) -> T {
        read(&self.wallet.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Height and hash of the last block read.
    #[must_use]
    pub fn tip(&self) -> (u32, bitcoin::BlockHash) {
        self.with(|wallet| {
            let tip = wallet.latest_checkpoint();
            (tip.height(), tip.hash())
        })
    }

    /// Unspent coins with at least `confirmations`, oldest first (height, txid, vout).
    #[must_use]
    pub fn coins(&self, confirmations: u32) -> Vec<TreasuryCoin> {
        let mut coins: Vec<TreasuryCoin> = self.with(|wallet| {
            let tip = wallet.latest_checkpoint().height();
            let unspent = wallet.list_unspent().filter_map(|output| {
                let height = output.chain_position.confirmation_height_upper_bound()?;
                let depth = tip.checked_sub(height)?.saturating_add(1);
                let coin = Coin {
                    outpoint: output.outpoint,
                    output: output.txout,
                    keychain: Keychain::Treasury,
                    index: output.derivation_index,
                };
                (depth >= confirmations).then_some(TreasuryCoin { coin, height })
            });
            unspent.collect()
        });
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
