//! The treasury's coins, kept up block by block: what is there costs the number of coins that are there, whatever the
//! wallet's age.

use std::collections::{BTreeMap, BTreeSet};

use bdk_wallet::Wallet;
use bitcoin::{Block, OutPoint};

use super::TreasuryCoin;
use crate::vault::{Coin, Keychain};

/// Blocks for which a spent coin is remembered. A deeper reorg makes the table anew from the wallet.
const KEPT: u32 = 2_016;

/// Coins in blocks, and those that were spent lately.
#[derive(Debug, Default)]
pub(super) struct Coins {
    unspent: BTreeMap<OutPoint, TreasuryCoin>,
    /// A coin whose spending a reorg took back stays spent, as in the wallet: the spending is about to come again.
    spent: BTreeSet<OutPoint>,
    spent_at: BTreeSet<(u32, OutPoint)>,
    tip: u32,
}

impl Coins {
    /// From the wallet, through all of its history.
    pub(super) fn of(wallet: &Wallet) -> Self {
        let tip = wallet.latest_checkpoint().height();
        let unspent = wallet.list_unspent().filter_map(|output| {
            let height = output.chain_position.confirmation_height_upper_bound()?;
            let coin = Coin {
                outpoint: output.outpoint,
                output: output.txout,
                keychain: Keychain::Treasury,
                index: output.derivation_index,
            };
            Some((coin.outpoint, TreasuryCoin { coin, height }))
        });
        Self { unspent: unspent.collect(), tip, ..Self::default() }
    }

    /// Takes a block that the wallet has taken already.
    pub(super) fn connect(&mut self, block: &Block, height: u32, wallet: &Wallet) {
        if height.saturating_add(KEPT) <= self.tip {
            *self = Self::of(wallet);
            return;
        }
        if height <= self.tip {
            self.unspent.retain(|_, coin| coin.height < height);
        }
        self.tip = height;
        for tx in &block.txdata {
            for input in &tx.input {
                if self.unspent.remove(&input.previous_output).is_some() {
                    self.spent.insert(input.previous_output);
                    self.spent_at.insert((height, input.previous_output));
                }
            }
            let txid = tx.compute_txid();
            for (output, vout) in tx.output.iter().zip(0_u32..) {
                let found = wallet.derivation_of_spk(output.script_pubkey.clone());
                let Some((_, index)) = found else { continue };
                let outpoint = OutPoint { txid, vout };
                if self.spent.contains(&outpoint) {
                    continue;
                }
                let (output, keychain) = (output.clone(), Keychain::Treasury);
                let coin = Coin { outpoint, output, keychain, index };
                self.unspent.insert(outpoint, TreasuryCoin { coin, height });
            }
        }
        while let Some((at, place)) = self.spent_at.first().copied() {
            if at.saturating_add(KEPT) >= height {
                return;
            }
            self.spent_at.pop_first();
            self.spent.remove(&place);
        }
    }

    /// Unspent coins with at least `confirmations` below `tip`.
    pub(super) fn unspent(&self, tip: u32, confirmations: u32) -> Vec<TreasuryCoin> {
        let deep = |coin: &&TreasuryCoin| {
            tip.checked_sub(coin.height)
                .is_some_and(|below| below.saturating_add(1) >= confirmations)
        };
        self.unspent.values().filter(deep).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use bdk_wallet::ChangeSet;
    use bitcoin::{
        Amount, BlockHash, Network, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut,
        Witness, absolute::LockTime, block::Header, constants::genesis_block, hashes::Hash,
        transaction::Version,
    };

    use super::*;
    use crate::{plan::tests::vault, treasury::Treasury};

    fn pay(from: OutPoint, script_pubkey: ScriptBuf, sats: u64) -> Transaction {
        let input = TxIn {
            previous_output: from,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        };
        let output = TxOut { value: Amount::from_sat(sats), script_pubkey };
        Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![input],
            output: vec![output],
        }
    }

    fn block(before: BlockHash, nonce: u32, txdata: Vec<Transaction>) -> Block {
        let mut header: Header = genesis_block(Network::Regtest).header;
        (header.prev_blockhash, header.nonce) = (before, nonce);
        header.merkle_root = TxMerkleNode::all_zeros();
        Block { header, txdata }
    }

    fn held(coins: &Coins) -> Vec<(OutPoint, u32)> {
        coins.unspent.values().map(|coin| (coin.coin.outpoint, coin.height)).collect()
    }

    /// A coin, its payment away, a reorg that takes both the payment and another coin back.
    #[test]
    fn the_table_is_what_the_wallet_has() {
        let (_, vault) = vault();
        let treasury = Treasury::load(&vault, ChangeSet::default(), 5, 0).unwrap();
        let mut inner = treasury.wallet.lock().unwrap();
        let ours = vault.script(Keychain::Treasury, 1).unwrap();
        let gift = |n: u8, sats| {
            let from = OutPoint { txid: bitcoin::Txid::from_byte_array([n; 32]), vout: 0 };
            pay(from, ours.clone(), sats)
        };
        let first = gift(1, 50_000);
        let away = pay(OutPoint::new(first.compute_txid(), 0), ScriptBuf::new(), 40_000);
        let start = genesis_block(Network::Regtest).block_hash();
        let one = block(start, 1, vec![first]);
        let two = block(one.block_hash(), 2, vec![away, gift(2, 70_000)]);
        let other = block(one.block_hash(), 3, vec![gift(3, 90_000)]);
        let last = block(other.block_hash(), 4, vec![]);
        for (height, block) in [(1, &one), (2, &two), (2, &other), (3, &last)] {
            inner.wallet.apply_block(block, height).unwrap();
            let (wallet, coins) = {
                let inner = &mut *inner;
                (&inner.wallet, &mut inner.coins)
            };
            coins.connect(block, height, wallet);
            assert_eq!(held(coins), held(&Coins::of(wallet)), "at {height}");
        }
        assert_eq!(inner.coins.unspent(3, 2).len(), 1);
        assert_eq!(inner.coins.unspent(3, 3).len(), 0);
    }
}
