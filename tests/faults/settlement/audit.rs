//! What the Bitcoin chain itself shows was paid, held against what was owed, by arithmetic and encodings of its own.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256, keccak256};
use bitcoin::{Block, OutPoint, ScriptBuf, Transaction, TxOut};
use serde_json::json;

use super::world::{ANYA, BORIS, RESERVE, UNITS, World, address};
use xtask::devnet::DevKey;

/// Blocks above a payout before it is read: none of ours is ever reorganised deeper.
const DEPTH: u64 = 5;

/// The account of one world, from its first block on.
pub struct Audit {
    /// Accounts with what they hold, and their script if they are paid.
    people: Vec<(Address, u64, Option<ScriptBuf>)>,
    treasury: ScriptBuf,
    acc: BTreeMap<Address, u128>,
    paid: BTreeMap<Address, u64>,
    first: Option<u32>,
    pots: u64,
    /// Read from blocks.
    next_block: u64,
    outputs: BTreeMap<OutPoint, TxOut>,
    payouts: BTreeMap<u32, u32>,
    baton: OutPoint,
    received: BTreeMap<ScriptBuf, u64>,
    fees: u64,
}

impl Audit {
    pub async fn open(world: &World) -> Self {
        let script = |hex: &String| ScriptBuf::from_hex(hex).unwrap();
        let sale = world.net.deployment.primary_sale;
        let mut people = vec![
            (address(DevKey::Anya), ANYA, Some(script(&world.scripts[0]))),
            (address(DevKey::Boris), BORIS, Some(script(&world.scripts[1]))),
            (sale, UNITS - ANYA - BORIS, None),
        ];
        people.sort();
        let treasury: bitcoin::Address<_> = world.address(&["treasury", "1"]).parse().unwrap();
        Self {
            people,
            treasury: treasury.assume_checked().script_pubkey(),
            acc: BTreeMap::new(),
            paid: BTreeMap::new(),
            first: None,
            pots: 0,
            next_block: 102,
            outputs: BTreeMap::new(),
            payouts: BTreeMap::new(),
            baton: world.baton,
            received: BTreeMap::new(),
            fees: 0,
        }
    }

    /// Credits a pot and returns what each paid account is owed by it, in account order.
    pub fn credit(&mut self, epoch: u32, pot: u64) -> Vec<(ScriptBuf, u64)> {
        self.first.get_or_insert(epoch);
        self.pots += pot;
        let mut dues = Vec::new();
        for (account, held, script) in &self.people {
            let credit = (U256::from(pot) << 64_usize) * U256::from(*held) / U256::from(UNITS);
            let acc = self.acc.entry(*account).or_default();
            *acc += credit.to::<u128>();
            if let Some(script) = script {
                let paid = self.paid.entry(*account).or_default();
                let whole = u64::try_from(*acc >> 64).unwrap();
                dues.push((script.clone(), whole - *paid));
                *paid = whole;
            }
        }
        dues
    }

    /// One more epoch that the ledger calls proven: paid by one transaction, to the satoshi; the root is the one that we
    /// compute; baton and treasury hold what is owed to others and the reserve less its fees.
    pub async fn epoch(&mut self, world: &World, epoch: u32, pot: u64) -> Result<(), String> {
        let dues = self.credit(epoch, pot);
        self.read(world).await?;
        self.paid_once(epoch)?;
        if dues.iter().any(|(_, due)| *due < 10_000) {
            return Err(format!("epoch {epoch} owes less than this world's threshold"));
        }
        self.sums()?;
        let root = world.root(epoch).await;
        let ours = self.root();
        if (root.hash, root.accSum, root.paidSum) != ours {
            return Err(format!(
                "epoch {epoch}: the ledger has root {}, we compute {}",
                root.hash, ours.0
            ));
        }
        let treasury = self.outputs.values().filter(|out| out.script_pubkey == self.treasury);
        let treasury: u64 = treasury.map(|out| out.value.to_sat()).sum();
        let baton = self.outputs.get(&self.baton).map_or(0, |out| out.value.to_sat());
        let paid: u64 = self.paid.values().sum();
        if baton + treasury + paid + self.fees != RESERVE + self.pots {
            return Err(format!(
                "epoch {epoch}: baton {baton} + treasury {treasury} + paid {paid} + fees {} sat are not reserve {RESERVE} + pots {} sat",
                self.fees, self.pots
            ));
        }
        Ok(())
    }

    /// Of what was read: one transaction pays the epoch.
    pub fn paid_once(&self, epoch: u32) -> Result<(), String> {
        match self.payouts.get(&epoch) {
            Some(1) => Ok(()),
            other => Err(format!("epoch {epoch} is paid by {other:?} transactions")),
        }
    }

    /// The sums alone, for a payer that knows no ledger.
    pub async fn received(&mut self, world: &World) -> Result<(), String> {
        self.read(world).await?;
        self.sums()
    }

    fn sums(&self) -> Result<(), String> {
        for (account, _, script) in &self.people {
            let Some(script) = script else { continue };
            let (got, owed) = (self.received.get(script).copied(), self.paid[account]);
            if got.unwrap_or(0) != owed {
                return Err(format!("{account} received {} sat of {owed} sat", got.unwrap_or(0)));
            }
        }
        Ok(())
    }

    /// Reads the blocks that are deep enough and were not read before.
    async fn read(&mut self, world: &World) -> Result<(), String> {
        let tip = world.net.bitcoin.height().await.unwrap();
        while self.next_block + DEPTH <= tip {
            let hash = world.net.bitcoin.call("getblockhash", json!([self.next_block])).await;
            let raw = world.net.bitcoin.call("getblock", json!([hash.unwrap(), 0])).await.unwrap();
            let raw = hex::decode(raw.as_str().unwrap()).unwrap();
            let block: Block = bitcoin::consensus::deserialize(&raw).unwrap();
            for tx in &block.txdata {
                self.transaction(tx)?;
            }
            self.next_block += 1;
        }
        Ok(())
    }

    fn transaction(&mut self, tx: &Transaction) -> Result<(), String> {
        let txid = tx.compute_txid();
        let spent: Vec<Option<TxOut>> =
            tx.input.iter().map(|input| self.outputs.remove(&input.previous_output)).collect();
        for (output, vout) in tx.output.iter().zip(0..) {
            self.outputs.insert(OutPoint { txid, vout }, output.clone());
            if self
                .people
                .iter()
                .any(|(_, _, script)| script.as_ref() == Some(&output.script_pubkey))
            {
                *self.received.entry(output.script_pubkey.clone()).or_default() +=
                    output.value.to_sat();
            }
        }
        let marked = tx.output.get(1).map(|out| out.script_pubkey.as_bytes());
        let Some(rest) = marked.and_then(|bytes| bytes.strip_prefix(b"\x6a\x28LHR1")) else {
            return Ok(());
        };
        let epoch = u32::from_be_bytes(rest[..4].try_into().unwrap());
        if tx.input[0].previous_output != self.baton {
            return Err(format!("{txid} of epoch {epoch} does not spend the baton"));
        }
        let others = spent
            .iter()
            .skip(1)
            .all(|out| out.as_ref().is_some_and(|out| out.script_pubkey == self.treasury));
        if !others {
            return Err(format!("{txid} of epoch {epoch} spends what is not the treasury's"));
        }
        let have: u64 = spent.iter().flatten().map(|out| out.value.to_sat()).sum();
        let out: u64 = tx.output.iter().map(|out| out.value.to_sat()).sum();
        let vsize = u64::try_from(tx.vsize()).unwrap();
        let fee = have - out;
        if fee < vsize || fee > 11 * vsize {
            return Err(format!("{txid} of epoch {epoch} pays {fee} sat for {vsize} vB"));
        }
        self.fees += fee;
        self.baton = OutPoint { txid, vout: 0 };
        *self.payouts.entry(epoch).or_default() += 1;
        Ok(())
    }

    /// Root over the accounts' leaves, written from the specification alone.
    fn root(&self) -> (B256, u128, u64) {
        let mut index = 0_u16;
        let mut level: Vec<(B256, u128, u64)> = Vec::new();
        for (account, _, script) in &self.people {
            let acc = self.acc[account];
            let paid = self.paid.get(account).copied().unwrap_or(0);
            let mut bytes = vec![0_u8];
            bytes.extend(account.as_slice());
            bytes.extend(script.as_ref().map_or(B256::ZERO, |s| keccak256(s.as_bytes())));
            bytes.extend(paid.to_be_bytes());
            match script {
                Some(_) => {
                    bytes.extend([0; 4]);
                    bytes.extend([[0, 0], index.to_be_bytes()].concat());
                    index += 1;
                }
                None => {
                    bytes.extend(self.first.unwrap_or(0).to_be_bytes());
                    bytes.extend([0xff; 4]);
                }
            }
            bytes.push(1);
            bytes.extend(1_u16.to_be_bytes());
            bytes.extend(acc.to_be_bytes());
            level.push((keccak256(bytes), acc, paid));
        }
        level.resize(4, (B256::ZERO, 0, 0));
        while level.len() > 1 {
            let join = |pair: &[(B256, u128, u64)]| {
                let mut bytes = vec![1_u8];
                for (hash, acc, paid) in pair {
                    bytes.extend(hash);
                    bytes.extend(acc.to_be_bytes());
                    bytes.extend(paid.to_be_bytes());
                }
                (keccak256(bytes), pair[0].1 + pair[1].1, pair[0].2 + pair[1].2)
            };
            level = level.chunks(2).map(join).collect();
        }
        level[0]
    }
}
