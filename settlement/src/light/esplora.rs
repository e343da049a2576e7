//! An Esplora server: its HTTP interface, over TLS with `https://`.

use std::time::Duration;

use bitcoin::{
    BlockHash, ScriptBuf, Transaction, Txid,
    block::{Header, Version},
    hashes::Hash,
};
use esplora_client::{BlockInfo, BlockingClient, Builder};

use super::{Branch, Seen, Server, refusal};
use crate::{error::Error, node::Broadcast};

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Times that a busy server is asked again at once.
const RETRIES: usize = 2;
/// Transactions of one script that are read at most, 25 a page.
const PAGES: usize = 400;

/// A server; every call is a connection of its own.
#[derive(Debug)]
pub struct Esplora {
    url: String,
    client: BlockingClient,
}

impl Esplora {
    /// For the URL of the interface, without a slash at its end: `https://HOST/api`. Nothing is connected yet.
    ///
    /// # Errors
    /// When the URL is another.
    pub fn new(url: &str) -> Result<Self, Error> {
        let plain = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if plain.is_none_or(|rest| rest.is_empty() || rest.ends_with('/')) {
            let why =
                format!("{url:?} must be http://HOST/PATH or https://HOST/PATH, no / at its end");
            return Err(Error::Config(why));
        }
        let builder = Builder::new(url).timeout(PATIENCE).max_retries(RETRIES);
        Ok(Self { url: url.to_owned(), client: builder.build_blocking() })
    }

    fn fail(&self, why: impl std::fmt::Display) -> Error {
        Error::node(self.url.clone(), why)
    }

    fn header(&self, info: &BlockInfo) -> Result<Header, Error> {
        let header = Header {
            version: Version::from_consensus(info.version.to_consensus()),
            prev_blockhash: info.previousblockhash.unwrap_or_else(BlockHash::all_zeros),
            merkle_root: info.merkle_root,
            time: u32::try_from(info.timestamp).map_err(|error| self.fail(error))?,
            bits: info.bits,
            nonce: info.nonce,
        };
        if header.block_hash() != info.id {
            return Err(self.fail(format!("block {} has another header", info.id)));
        }
        Ok(header)
    }

    fn history(&self, script: &ScriptBuf) -> Result<Vec<Seen>, Error> {
        let (mut all, mut last) = (Vec::new(), None);
        for _ in 0..PAGES {
            let page = self.client.get_scripthash_txs(script, last);
            let page = page.map_err(|error| self.fail(error))?;
            let confirmed = page.iter().rfind(|tx| tx.status.confirmed).map(|tx| tx.txid);
            all.extend(page.iter().map(|tx| Seen {
                height: tx.status.block_height.filter(|_| tx.status.confirmed),
                txid: tx.txid,
            }));
            // the first page also has what is in the mempool
            let count = page.iter().filter(|tx| tx.status.confirmed).count();
            if count < 25 || confirmed == last {
                return Ok(all);
            }
            last = confirmed;
        }
        Err(self.fail(format!("the history of {script} has no end")))
    }
}

impl Server for Esplora {
    fn height(&self) -> Result<u32, Error> {
        self.client.get_height().map_err(|error| self.fail(error))
    }

    /// A page holds 10 or 15 blocks, the given height and those below it.
    fn headers(&self, from: u32, count: u32) -> Result<Vec<Header>, Error> {
        let upto = from.saturating_add(count.min(10)).saturating_sub(1);
        let page = self.client.get_block_infos(Some(upto)).map_err(|error| self.fail(error))?;
        let mut run: Vec<&BlockInfo> =
            page.iter().filter(|info| info.height >= from && info.height <= upto).collect();
        run.sort_by_key(|info| info.height);
        run.into_iter().map(|info| self.header(info)).collect()
    }

    fn histories(&self, scripts: &[ScriptBuf]) -> Result<Vec<Vec<Seen>>, Error> {
        scripts.iter().map(|script| self.history(script)).collect()
    }

    fn transaction(&self, txid: Txid) -> Result<Transaction, Error> {
        self.client.get_tx_no_opt(&txid).map_err(|error| self.fail(error))
    }

    fn branch(&self, txid: Txid, _height: u32) -> Result<Branch, Error> {
        let proof = self.client.get_merkle_proof(&txid).map_err(|error| self.fail(error))?;
        let proof = proof.ok_or_else(|| self.fail(format!("it has no branch of {txid}")))?;
        let index = u32::try_from(proof.pos).map_err(|error| self.fail(error))?;
        let siblings = proof.merkle.iter().flat_map(|sibling| sibling.to_byte_array()).collect();
        Ok(Branch { index, siblings })
    }

    fn coinbase(&self, _height: u32, block: BlockHash) -> Result<Txid, Error> {
        let first = self.client.get_txid_at_block_index(&block, 0);
        let first = first.map_err(|error| self.fail(error))?;
        first.ok_or_else(|| self.fail(format!("it does not have block {block}")))
    }

    fn fee_rate_ceil(&self, blocks: u16) -> Result<Option<u64>, Error> {
        let estimates = self.client.get_fee_estimates().map_err(|error| self.fail(error))?;
        // the nearest one that is at least as quick, else the quickest
        let near = estimates.iter().filter(|(within, _)| **within <= blocks).max_by_key(|e| e.0);
        let rate = near.or_else(|| estimates.iter().min_by_key(|estimate| estimate.0));
        // per 1,000 weight units: four make a virtual byte
        Ok(rate.map(|(_, rate)| rate.to_sat_per_kwu().saturating_mul(4)))
    }

    fn broadcast(&self, tx: &Transaction) -> Result<Broadcast, Error> {
        match self.client.broadcast(tx) {
            Ok(_) => Ok(Broadcast::Known),
            Err(esplora_client::Error::HttpResponse { status: 400, message }) => {
                Ok(refusal(&message))
            }
            Err(error) => Err(self.fail(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::TxMerkleNode;

    use super::*;

    #[test]
    fn a_url_of_another_kind_is_refused() {
        for good in ["http://127.0.0.1:3002", "https://esplora.example/api"] {
            assert!(Esplora::new(good).is_ok(), "{good}");
        }
        for bad in ["tcp://x:1", "https://", "https://esplora.example/api/", "esplora.example"] {
            assert!(Esplora::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_header_is_put_together_from_its_fields_or_refused() {
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest).header;
        let json = serde_json::json!({
            "id": genesis.block_hash(), "height": 0, "version": genesis.version.to_consensus(),
            "timestamp": genesis.time, "tx_count": 1, "size": 285, "weight": 1140,
            "merkle_root": genesis.merkle_root, "previousblockhash": null,
            "mediantime": genesis.time, "nonce": genesis.nonce,
            "bits": genesis.bits.to_consensus(), "difficulty": 0,
        });
        let mut info: BlockInfo = serde_json::from_value(json).unwrap();
        let server = Esplora::new("http://127.0.0.1:1").unwrap();
        assert_eq!(server.header(&info).unwrap(), genesis);
        info.merkle_root = TxMerkleNode::all_zeros();
        assert!(server.header(&info).is_err());
    }
}
