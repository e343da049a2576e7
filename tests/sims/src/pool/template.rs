//! Block templates of the node, jobs made of them, and blocks made of shares.

use bitcoin::{
    ScriptBuf,
    consensus::Encodable,
    script::{Builder, PushBytesBuf},
};
use eyre::{Context, Result, ensure, eyre};
use serde::Deserialize;
use serde_json::json;

use crate::{
    node::Node,
    work::{self, Bytes32, Work},
};

/// What the pool reads of `getblocktemplate`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Template {
    pub(crate) version: u32,
    pub(crate) previousblockhash: String,
    pub(crate) transactions: Vec<TemplateTx>,
    pub(crate) coinbasevalue: u64,
    pub(crate) target: String,
    pub(crate) curtime: u32,
    pub(crate) bits: String,
    pub(crate) height: u32,
    pub(crate) default_witness_commitment: Option<String>,
}

/// One transaction of a template.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TemplateTx {
    pub(crate) data: String,
    pub(crate) txid: String,
}

/// A job and what is needed to make a block of it.
#[derive(Debug)]
pub(crate) struct PoolJob {
    pub(crate) id: String,
    pub(crate) sequence: u64,
    pub(crate) work: Work,
    pub(crate) height: u32,
    pub(crate) network_target: Bytes32,
    transactions: Vec<String>,
    has_witness: bool,
}

/// Bytes of extranonce1 and extranonce2 in the coinbase script.
pub(crate) const EXTRANONCE1: usize = 4;

impl Template {
    /// Asks the node.
    pub(crate) async fn fetch(node: &Node) -> Result<Self> {
        let reply = node.call("getblocktemplate", json!([{"rules": ["segwit"]}])).await?;
        serde_json::from_value(reply).wrap_err("template has another shape")
    }

    /// Makes a job that pays everything to `script`, with room for both extranonces.
    pub(crate) fn job(
        self,
        sequence: u64,
        script: &ScriptBuf,
        tag: &[u8],
        extranonce2: usize,
    ) -> Result<PoolJob> {
        let txids: Vec<Bytes32> = self
            .transactions
            .iter()
            .map(|tx| Ok(work::reversed(&work::bytes32(&tx.txid)?)))
            .collect::<Result<_>>()?;
        let commitment = self.default_witness_commitment.as_deref().map(hex::decode).transpose()?;
        let (coinb1, coinb2) = self.coinbase_halves(script, tag, extranonce2, &commitment)?;
        Ok(PoolJob {
            id: format!("{sequence:x}"),
            sequence,
            work: Work {
                prev: work::reversed(&work::bytes32(&self.previousblockhash)?),
                coinb1,
                coinb2,
                branches: work::merkle_branches(&txids),
                version: self.version,
                bits: work::u32_hex(&self.bits)?,
                ntime: self.curtime,
            },
            height: self.height,
            network_target: work::bytes32(&self.target)?,
            has_witness: commitment.is_some(),
            transactions: self.transactions.into_iter().map(|tx| tx.data).collect(),
        })
    }

    fn coinbase_halves(
        &self,
        script: &ScriptBuf,
        tag: &[u8],
        extranonce2: usize,
        commitment: &Option<Vec<u8>>,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let tag = PushBytesBuf::try_from(tag.to_vec()).map_err(|_| eyre!("tag too long"))?;
        let mut head = Builder::new()
            .push_int(i64::from(self.height))
            .push_slice(tag)
            .into_script()
            .into_bytes();
        let room = EXTRANONCE1 + extranonce2;
        head.push(u8::try_from(room)?);
        let length = head.len() + room;
        ensure!((2..=100).contains(&length), "coinbase script of {length} bytes");

        let mut first = Vec::new();
        first.extend(2_u32.to_le_bytes());
        first.push(1);
        first.extend([0; 32]);
        first.extend([0xff; 4]);
        first.push(u8::try_from(length)?);
        first.extend(head);

        let mut second = Vec::new();
        second.extend([0xff; 4]);
        second.push(if commitment.is_some() { 2 } else { 1 });
        second.extend(self.coinbasevalue.to_le_bytes());
        script.consensus_encode(&mut second)?;
        if let Some(commitment) = commitment {
            second.extend([0; 8]);
            second.push(u8::try_from(commitment.len())?);
            second.extend(commitment);
        }
        second.extend([0; 4]);
        Ok((first, second))
    }
}

impl PoolJob {
    /// `mining.notify` parameters.
    pub(crate) fn notify(&self, clean: bool) -> serde_json::Value {
        let branches: Vec<String> = self.work.branches.iter().map(hex::encode).collect();
        json!([
            self.id,
            hex::encode(work::swap_words(&self.work.prev)),
            hex::encode(&self.work.coinb1),
            hex::encode(&self.work.coinb2),
            branches,
            format!("{:08x}", self.work.version),
            format!("{:08x}", self.work.bits),
            format!("{:08x}", self.work.ntime),
            clean,
        ])
    }

    /// The serialised block, hex, for `submitblock`.
    pub(crate) fn block(&self, header: &[u8; 80], coinbase: &[u8]) -> Result<String> {
        let mut block = header.to_vec();
        let count = u64::try_from(self.transactions.len())? + 1;
        bitcoin::VarInt(count).consensus_encode(&mut block)?;
        if self.has_witness {
            let (version, rest) = coinbase.split_at_checked(4).ok_or_else(|| eyre!("coinbase"))?;
            let (body, locktime) = rest
                .split_at_checked(rest.len().saturating_sub(4))
                .ok_or_else(|| eyre!("coinbase"))?;
            block.extend(version);
            block.extend([0, 1]);
            block.extend(body);
            block.extend([1, 32]);
            block.extend([0; 32]);
            block.extend(locktime);
        } else {
            block.extend(coinbase);
        }
        Ok(hex::encode(block) + &self.transactions.concat())
    }

    /// Finds a nonce for the network target: how the pool's other miners solve a block.
    pub(crate) fn solve(&self, extranonce: &[u8]) -> Result<([u8; 80], Vec<u8>)> {
        let coinbase = self.work.coinbase(extranonce, &[]);
        let root = self.work.merkle_root(&coinbase);
        for nonce in 0..u32::MAX {
            let header = self.work.header(&root, self.work.version, self.work.ntime, nonce);
            if work::meets(&work::sha256d(&header), &self.network_target) {
                return Ok((header, coinbase));
            }
        }
        Err(eyre!("no nonce solves block {}", self.height))
    }
}

#[cfg(test)]
impl PoolJob {
    /// A job around given work, for tests of share validation.
    pub(crate) fn of_work(id: &str, work: Work) -> Self {
        Self {
            id: id.into(),
            sequence: 1,
            work,
            height: 800_481,
            network_target: [0; 32],
            transactions: Vec::new(),
            has_witness: true,
        }
    }
}
