//! Epochs paid by hand: allocated with the token's own balance-seconds, hashed by the ledger contract's own views, paid
//! by bitcoind's own wallet. No line of settlement or the verifier is involved, so both can be held against it.

mod proof;

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256, keccak256};
use evm::bindings::{
    IBuybackPool, IDemoQuote, IEpochLedger, IEpochLedger::Root, IExitQueue, IFleetOracle,
    IPayoutRegistry, IPrimarySale, ITwabToken,
};
use eyre::Result;
use serde_json::{Value, json};
use xtask::devnet::{DevKey, Devnet, dev_key};

use crate::report;

/// Sats that a payout pays to miners here.
const FEE: u64 = 5_000;
/// Sats below which a due amount waits.
const MIN_PAY: u64 = 1_000;

/// What an account has earned and been paid; one series.
#[derive(Clone, Debug, Default)]
struct Line {
    acc: u128,
    paid: u64,
    since: u32,
}

/// A world in which epochs can be paid.
#[derive(Debug)]
pub struct Payday {
    /// The dev chains.
    pub net: Devnet,
    /// Payout scripts and where the account's output goes.
    scripts: BTreeMap<Address, (String, Vec<u8>)>,
    lines: BTreeMap<Address, Line>,
    baton: (String, u32, u64),
    treasury: String,
    /// Receipts to be reported: txid (as bitcoind shows it), output, sats.
    pub receipts: Vec<(String, u32, u64)>,
}

/// An address of one of the people.
#[must_use]
pub fn who(key: DevKey) -> Address {
    dev_key(key).address()
}

impl Payday {
    /// Registers a batch, scripts for everybody (they count from the second epoch) and the first baton, and enters the
    /// second epoch with the first one reported empty.
    ///
    /// # Errors
    /// When a node or contract refuses.
    pub async fn start(net: Devnet) -> Result<Self> {
        let first = net.deployment.first_epoch.0;
        net.sync_clocks().await?;
        report::register_batch(&net, 100, 4).await?;
        let treasury = address(&net).await?;
        let (txid, vout) = net.bitcoin.pay(&address(&net).await?, 1_000_000).await?;
        lock(&net, &txid, vout).await?;
        let ledger =
            IEpochLedger::new(net.deployment.epoch_ledger, net.evm.as_key(DevKey::Operator)?);
        evm::land("setBaton", ledger.setBaton(internal(&txid), vout)).await?;
        let baton = (txid, vout, 1_000_000);
        let mut day = Self {
            net,
            scripts: BTreeMap::new(),
            lines: BTreeMap::new(),
            baton,
            treasury,
            receipts: Vec::new(),
        };
        day.register_scripts().await?;
        day.net.bitcoin.mine(1).await?;
        report::enter_epoch(&day.net, first + 1).await?;
        let blank = report::blank_report(&day.net, first).await?;
        report::post(&day.net, blank).await?;
        Ok(day)
    }

    async fn register_scripts(&mut self) -> Result<()> {
        for key in [DevKey::Anya, DevKey::Boris, DevKey::Lena, DevKey::FirstLoss] {
            let (address, script) = payee(&self.net).await?;
            let at = self.net.deployment.payout_registry;
            let registry = IPayoutRegistry::new(at, self.net.evm.as_key(key)?);
            evm::land("setScript", registry.setScript(script.clone().into(), 0)).await?;
            self.scripts.insert(who(key), (address, script));
        }
        let (address, script) = payee(&self.net).await?;
        let at = self.net.deployment.primary_sale;
        let sale = IPrimarySale::new(at, self.net.evm.as_key(DevKey::Operator)?);
        evm::land("setPayoutScript", sale.setPayoutScript(script.clone().into(), 0)).await?;
        self.scripts.insert(at, (address, script));
        Ok(())
    }

    /// Gives `key` quote units and lets `spender` take them.
    ///
    /// # Errors
    /// When the contract refuses.
    pub async fn give_quote(&self, key: DevKey, spender: Address, amount: u64) -> Result<()> {
        let quote = IDemoQuote::new(self.net.deployment.quote, self.net.evm.as_key(key)?);
        evm::land("mint", quote.mint(who(key), U256::from(amount))).await?;
        evm::land("approve", quote.approve(spender, U256::MAX)).await?;
        Ok(())
    }

    /// Buys units from the primary sale.
    ///
    /// # Errors
    /// When the contract refuses.
    pub async fn buy(&self, key: DevKey, units: u64) -> Result<()> {
        let sale_at = self.net.deployment.primary_sale;
        self.give_quote(key, sale_at, 100_000_000_000).await?;
        let sale = IPrimarySale::new(sale_at, self.net.evm.as_key(key)?);
        evm::land("buy", sale.buy(1, wei(units), U256::MAX, who(key))).await?;
        Ok(())
    }

    /// Sends units from one to another.
    ///
    /// # Errors
    /// When the contract refuses.
    pub async fn send(&self, from: DevKey, to: Address, units: u64) -> Result<()> {
        let unit = ITwabToken::new(self.net.deployment.series[0].unit, self.net.evm.as_key(from)?);
        evm::land("transfer", unit.transfer(to, wei(units))).await?;
        Ok(())
    }

    /// Deposits quote into the pool; shares come at the next boundary.
    ///
    /// # Errors
    /// When the contract refuses.
    pub async fn deposit(&self, key: DevKey, quote: u64) -> Result<()> {
        let at = self.net.deployment.series[0].pool;
        self.give_quote(key, at, quote).await?;
        let pool = IBuybackPool::new(at, self.net.evm.as_key(key)?);
        evm::land("deposit", pool.deposit(U256::from(quote))).await?;
        Ok(())
    }

    /// Sells one unit to the pool and queues another.
    ///
    /// # Errors
    /// When the contract refuses.
    pub async fn leave(&self, key: DevKey) -> Result<()> {
        let series = &self.net.deployment.series[0];
        let provider = self.net.evm.as_key(key)?;
        let unit = ITwabToken::new(series.unit, provider.clone());
        evm::land("approve", unit.approve(series.pool, U256::MAX)).await?;
        evm::land("approve", unit.approve(series.queue, U256::MAX)).await?;
        let pool = IBuybackPool::new(series.pool, provider.clone());
        evm::land("roll", pool.roll()).await?;
        evm::land("sell", pool.sell(wei(1), U256::ZERO, who(key))).await?;
        let queue = IExitQueue::new(series.queue, provider);
        evm::land("enqueue", queue.enqueue(wei(1))).await?;
        Ok(())
    }

    /// The treasury receives sats, mined at once.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn receive(&mut self, sats: u64) -> Result<()> {
        self.net.sync_clocks().await?;
        let (txid, vout) = self.net.bitcoin.pay(&self.treasury, sats).await?;
        lock(&self.net, &txid, vout).await?;
        self.net.bitcoin.mine(1).await?;
        self.receipts.push((txid, vout, sats));
        Ok(())
    }

    /// Reports `epoch`, which is over: all receipts so far, in these pieces; the rest is deducted.
    ///
    /// # Errors
    /// When the contract refuses.
    pub async fn report(
        &mut self,
        epoch: u32,
        pieces: &[(u32, u64)],
    ) -> Result<Vec<(String, u32, u64)>> {
        let mut report = report::blank_report(&self.net, epoch).await?;
        let receipts = std::mem::take(&mut self.receipts);
        report.receipts = receipts
            .iter()
            .map(|(txid, vout, sats)| IFleetOracle::Receipt {
                txid: internal(txid),
                vout: *vout,
                sats: *sats,
            })
            .collect();
        report.series[0].pots = pieces
            .iter()
            .map(|(epoch, sats)| IFleetOracle::Piece { workEpoch: *epoch, sats: *sats })
            .collect();
        let received: u64 = receipts.iter().map(|r| r.2).sum();
        let given: u64 = pieces.iter().map(|p| p.1).sum();
        report.series[0].deductions = received - given;
        report::post(&self.net, report).await?;
        Ok(receipts)
    }

    /// Commits `epoch`, with every account's hash as `forge` returns it (to lie with), and returns who is due what.
    ///
    /// # Errors
    /// When the contract refuses.
    pub async fn commit(
        &mut self,
        epoch: u32,
        pieces: &[(u32, u64)],
        funding: &[(String, u32, u64)],
        forge: impl Fn(B256) -> B256,
    ) -> Result<(B256, Vec<(String, u64)>)> {
        for (work_epoch, sats) in pieces {
            self.credit(*work_epoch, *sats).await?;
        }
        let mut due = Vec::new();
        let mut outputs = Vec::new();
        let mut nodes = Vec::new();
        let ledger = IEpochLedger::new(
            self.net.deployment.epoch_ledger,
            self.net.evm.as_key(DevKey::Operator)?,
        );
        for (account, line) in &mut self.lines {
            let (address, script) = &self.scripts[account];
            let owed = u64::try_from(line.acc >> 64)? - line.paid;
            let mut out = u32::MAX;
            if owed >= MIN_PAY {
                out = u32::try_from(due.len())?;
                due.push((address.clone(), owed));
                outputs.extend_from_slice(&owed.to_le_bytes());
                outputs.push(u8::try_from(script.len())?);
                outputs.extend_from_slice(script);
                line.paid += owed;
                line.since = 0;
            } else if owed > 0 && line.since == 0 {
                line.since = epoch;
            }
            let mut acc = vec![0, 1];
            acc.extend_from_slice(&line.acc.to_be_bytes());
            let hash = ledger
                .leafHash(*account, keccak256(script), line.paid, line.since, out, acc.into())
                .call()
                .await?;
            nodes.push(Root { hash, accSum: line.acc, paidSum: line.paid });
        }
        let mut root = proof::tree(&ledger, nodes).await?;
        root.hash = forge(root.hash);
        let total: u64 = due.iter().map(|(_, sats)| sats).sum();
        let batch = IEpochLedger::Batch { outputsHash: keccak256(&outputs), total };
        let commitment = IEpochLedger::Commitment {
            epoch,
            root: root.clone(),
            accounts: u32::try_from(self.lines.len())?,
            minPay: MIN_PAY,
            feeRate: 1_000,
            anchorHeight: 0,
            anchorHash: B256::ZERO,
            funding: funding
                .iter()
                .map(|(txid, vout, _)| IEpochLedger::OutPoint { txid: internal(txid), vout: *vout })
                .collect(),
            defer: false,
            batches: if due.is_empty() { vec![] } else { vec![batch] },
        };
        evm::land("commit", ledger.commit(commitment)).await?;
        Ok((root.hash, due))
    }

    /// Credits a piece of a pot by what the tokens themselves say.
    async fn credit(&mut self, work_epoch: u32, sats: u64) -> Result<()> {
        let series = self.net.deployment.series[0].clone();
        let sale = self.net.deployment.primary_sale;
        let people = [DevKey::Anya, DevKey::Boris, DevKey::Lena, DevKey::FirstLoss].map(who);
        let total = self.weight(series.unit, None, work_epoch).await?;
        let pot = U256::from(sats) << 64;
        for holder in people.into_iter().chain([sale]) {
            let weight = self.weight(series.unit, Some(holder), work_epoch).await?;
            self.earn(holder, pot * weight / total)?;
        }
        for (wrapper, share) in [(series.pool, series.lp_share), (series.queue, series.claim_token)]
        {
            let part = pot * self.weight(series.unit, Some(wrapper), work_epoch).await? / total;
            let shares = self.weight(share, None, work_epoch).await?;
            if shares.is_zero() {
                self.earn(who(DevKey::FirstLoss), part)?;
                continue;
            }
            for holder in people {
                let own = self.weight(share, Some(holder), work_epoch).await?;
                self.earn(holder, part * own / shares)?;
            }
        }
        Ok(())
    }

    fn earn(&mut self, account: Address, credit: U256) -> Result<()> {
        if !credit.is_zero() {
            self.lines.entry(account).or_default().acc += u128::try_from(credit)?;
        }
        Ok(())
    }

    async fn weight(&self, token: Address, holder: Option<Address>, epoch: u32) -> Result<U256> {
        let token = ITwabToken::new(token, self.net.evm.reader()?);
        Ok(match holder {
            Some(holder) => token.balanceSeconds(holder, epoch).call().await?,
            None => token.totalBalanceSeconds(epoch).call().await?,
        })
    }

    /// Pays what was committed from the baton and `funding`, mines six blocks and proves it.
    ///
    /// # Errors
    /// When a node or the contract refuses.
    pub async fn pay(
        &mut self,
        epoch: u32,
        root: B256,
        due: &[(String, u64)],
        funding: &[(String, u32, u64)],
    ) -> Result<String> {
        let mut inputs = vec![json!({"txid": self.baton.0, "vout": self.baton.1})];
        inputs.extend(funding.iter().map(|(txid, vout, _)| json!({"txid": txid, "vout": vout})));
        let have = self.baton.2 + funding.iter().map(|f| f.2).sum::<u64>();
        let rest = have - due.iter().map(|d| d.1).sum::<u64>() - FEE;
        let marker = [&b"LHR1"[..], &epoch.to_be_bytes(), &[0, 0], &root[..30]].concat();
        let mut outputs = vec![
            json!({address(&self.net).await?: btc(rest)}),
            json!({"data": hex::encode(marker)}),
        ];
        outputs.extend(due.iter().map(|(address, sats)| json!({address.as_str(): btc(*sats)})));
        let faucet = self.net.bitcoin.faucet();
        let raw = faucet.call("createrawtransaction", json!([inputs, outputs])).await?;
        let signed = faucet.call("signrawtransactionwithwallet", json!([raw])).await?;
        self.net.sync_clocks().await?;
        let sent = faucet.call("sendrawtransaction", json!([signed["hex"]])).await?;
        let txid = sent.as_str().unwrap().to_owned();
        lock(&self.net, &txid, 0).await?;
        self.baton = (txid.clone(), 0, rest);
        let height = self.net.bitcoin.mine(6).await? - 5;
        self.prove(epoch, height, &txid).await?;
        Ok(txid)
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn btc(sats: u64) -> String {
    format!("{}.{:08}", sats / 100_000_000, sats % 100_000_000)
}

fn wei(units: u64) -> U256 {
    U256::from(units) * U256::from(domain::UNIT)
}

fn internal(txid: &str) -> B256 {
    let mut bytes: [u8; 32] = hex::decode(txid).unwrap().try_into().unwrap();
    bytes.reverse();
    bytes.into()
}

async fn address(net: &Devnet) -> Result<String> {
    let address = net.bitcoin.faucet().call("getnewaddress", json!(["", "bech32"])).await?;
    Ok(address.as_str().unwrap().to_owned())
}

async fn payee(net: &Devnet) -> Result<(String, Vec<u8>)> {
    let address = address(net).await?;
    let info = net.bitcoin.faucet().call("getaddressinfo", json!([address])).await?;
    Ok((address, bytes(&info["scriptPubKey"])))
}

/// Keeps the node's wallet from spending an output of ours.
async fn lock(net: &Devnet, txid: &str, vout: u32) -> Result<()> {
    net.bitcoin
        .faucet()
        .call("lockunspent", json!([false, [{"txid": txid, "vout": vout}]]))
        .await?;
    Ok(())
}
