//! The Bitcoin node over JSON-RPC. Calls block a thread of their own, never the runtime.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bdk_bitcoind_rpc::bitcoincore_rpc::{Auth, Client, RpcApi, jsonrpc};
use bitcoin::{
    Block, BlockHash, Transaction, Txid, block::Header, consensus::encode, hashes::Hash,
};
use serde_json::{Value, json};

use crate::{error::Error, packed, proof::Mined};

/// What became of a broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// The node has it: in its mempool, or in a block already.
    Known,
    /// The node refuses it.
    Refused(String),
}

/// A connection to a node. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    url: String,
    cookie: PathBuf,
    /// The cookie's text and the client that carries it: a node that was restarted has a new one.
    held: Arc<Mutex<(String, Arc<Client>)>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node")
    }
}

impl Node {
    /// Connects with the node's cookie file.
    ///
    /// # Errors
    /// When the cookie cannot be read. The node is not asked yet.
    pub fn connect(url: &str, cookie: &Path) -> Result<Self, Error> {
        let fail = |why: String| Error::File {
            path: cookie.display().to_string(),
            why: format!("no cookie of a running bitcoind: {why}"),
        };
        let text = std::fs::read_to_string(cookie).map_err(|error| fail(error.to_string()))?;
        let client = Client::new(url, Auth::CookieFile(cookie.to_path_buf()));
        let client = Arc::new(client.map_err(|error| fail(error.to_string()))?);
        let held = Arc::new(Mutex::new((text, client)));
        Ok(Self { url: url.to_owned(), cookie: cookie.to_path_buf(), held })
    }

    /// The blocking client, for the wallet's emitter, with the node's present cookie.
    #[must_use]
    pub fn client(&self) -> Arc<Client> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(text) = std::fs::read_to_string(&self.cookie)
            && text != held.0
            && let Ok(client) = Client::new(&self.url, Auth::CookieFile(self.cookie.clone()))
        {
            *held = (text, Arc::new(client));
        }
        Arc::clone(&held.1)
    }

    async fn call(&self, method: &'static str, params: Vec<Value>) -> Result<Value, Error> {
        self.raw(method, params).await?.map_err(|error| Error::node(method, error))
    }

    /// The outer error is the thread's, the inner one the node's.
    async fn raw(
        &self,
        method: &'static str,
        params: Vec<Value>,
    ) -> Result<Result<Value, bdk_bitcoind_rpc::bitcoincore_rpc::Error>, Error> {
        let client = self.client();
        let task = tokio::task::spawn_blocking(move || client.call(method, &params));
        task.await.map_err(|error| Error::node(method, error))
    }

    /// Height and hash of the tip.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn tip(&self) -> Result<(u32, BlockHash), Error> {
        let count = self.call("getblockcount", Vec::new()).await?;
        let height = count.as_u64().and_then(|n| u32::try_from(n).ok());
        let height = height.ok_or_else(|| Error::node("getblockcount", &count))?;
        Ok((height, self.hash_at(height).await?))
    }

    /// Hash of the block at a height of the active chain.
    ///
    /// # Errors
    /// When the chain is shorter or the node does not answer.
    pub async fn hash_at(&self, height: u32) -> Result<BlockHash, Error> {
        let hash = self.call("getblockhash", vec![json!(height)]).await?;
        let parsed = hash.as_str().and_then(|text| text.parse().ok());
        parsed.ok_or_else(|| Error::node("getblockhash", &hash))
    }

    /// A transaction in a block, with what shows that it is there.
    ///
    /// # Errors
    /// When the node does not have the block, or the block not the transaction.
    pub async fn mined(&self, hash: BlockHash, txid: Txid) -> Result<Mined, Error> {
        let block = self.call("getblock", vec![json!(hash), json!(0)]).await?;
        let block: Block = decode("getblock", &block)?;
        let lacks = || Error::node("getblock", format!("block {hash} does not hold {txid}"));
        Mined::of(&block, txid).ok_or_else(lacks)
    }

    /// Header of the block at a height of the active chain.
    ///
    /// # Errors
    /// When the node does not have it.
    pub async fn header_at(&self, height: u32) -> Result<Header, Error> {
        let hash = self.hash_at(height).await?;
        let header = self.call("getblockheader", vec![json!(hash), json!(false)]).await?;
        decode("getblockheader", &header)
    }

    /// Sats per 1,000 vB for confirmation within `blocks`; `None` if the node has no estimate.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn fee_rate_ceil(&self, blocks: u16) -> Result<Option<u64>, Error> {
        let answer = self.call("estimatesmartfee", vec![json!(blocks)]).await?;
        Ok(answer.get("feerate").and_then(sats))
    }

    /// What `getblockchaininfo` says.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn chain_info(&self) -> Result<Value, Error> {
        self.call("getblockchaininfo", Vec::new()).await
    }

    /// Sats of an output that nothing in the chain or the mempool spends; `None` if it is spent or unknown.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn unspent(&self, place: bitcoin::OutPoint) -> Result<Option<u64>, Error> {
        let asked = vec![json!(place.txid), json!(place.vout), json!(true)];
        let answer = self.call("gettxout", asked).await?;
        let Some(value) = answer.get("value") else { return Ok(None) };
        sats(value).map(Some).ok_or_else(|| Error::node("gettxout", value))
    }

    /// Hands a transaction to the network.
    ///
    /// # Errors
    /// When the node does not answer. A refusal is an answer.
    pub async fn broadcast(&self, tx: &Transaction) -> Result<Broadcast, Error> {
        use bdk_bitcoind_rpc::bitcoincore_rpc::Error as Rpc;
        let raw = packed::tx_hex(tx);
        // a fee rate ceiling of 0 lifts the node's own; ours is checked by planner and signers
        match self.raw("sendrawtransaction", vec![json!(raw), json!(0)]).await? {
            Ok(_) => Ok(Broadcast::Known),
            // -27: already in the chain
            Err(Rpc::JsonRpc(jsonrpc::Error::Rpc(error))) if error.code == -27 => {
                Ok(Broadcast::Known)
            }
            Err(Rpc::JsonRpc(jsonrpc::Error::Rpc(error))) if matches!(error.code, -25 | -26) => {
                Ok(Broadcast::Refused(error.message))
            }
            Err(error) => Err(Error::node("sendrawtransaction", error)),
        }
    }

    /// The transaction in the mempool that spends an output, if there is one.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn spender(&self, place: bitcoin::OutPoint) -> Result<Option<Transaction>, Error> {
        let asked = json!([{ "txid": place.txid, "vout": place.vout }]);
        let answer = self.call("gettxspendingprevout", vec![asked]).await?;
        let Some(txid) = answer.get(0).and_then(|one| one.get("spendingtxid")) else {
            return Ok(None);
        };
        match self.raw("getrawtransaction", vec![txid.clone()]).await? {
            Ok(raw) => decode("getrawtransaction", &raw).map(Some),
            // it has left the mempool since
            Err(bdk_bitcoind_rpc::bitcoincore_rpc::Error::JsonRpc(jsonrpc::Error::Rpc(_))) => {
                Ok(None)
            }
            Err(error) => Err(Error::node("getrawtransaction", error)),
        }
    }
}

fn decode<T: encode::Decodable>(doing: &str, value: &Value) -> Result<T, Error> {
    let text = value.as_str().ok_or_else(|| Error::node(doing, value))?;
    encode::deserialize_hex(text).map_err(|error| Error::node(doing, error))
}

/// Sats of an amount of bitcoin as JSON has it.
#[must_use]
pub fn sats(bitcoin: &Value) -> Option<u64> {
    let amount = bitcoin::Amount::from_btc(bitcoin.as_f64()?).ok()?;
    Some(amount.to_sat())
}

/// A hash in internal byte order, as contracts have it.
#[must_use]
pub fn internal<H: Hash<Bytes = [u8; 32]>>(hash: H) -> alloy::primitives::B256 {
    alloy::primitives::B256::from(hash.to_byte_array())
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};

    use super::*;

    type Seen = Arc<Mutex<Vec<String>>>;

    async fn answer(State(seen): State<Seen>, headers: HeaderMap) -> Json<Value> {
        let words = headers.get("authorization").unwrap().to_str().unwrap();
        seen.lock().unwrap().push(words.to_owned());
        Json(json!({ "jsonrpc": "2.0", "id": 0, "error": null, "result": "00".repeat(32) }))
    }

    #[tokio::test]
    async fn a_restarted_nodes_new_cookie_is_used() {
        let seen = Seen::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/", post(answer)).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let dir = tempfile::tempdir().unwrap();
        let cookie = dir.path().join(".cookie");
        std::fs::write(&cookie, "__cookie__:first").unwrap();
        let node = Node::connect(&url, &cookie).unwrap();
        node.hash_at(0).await.ok();
        std::fs::write(&cookie, "__cookie__:second").unwrap();
        node.hash_at(0).await.ok();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        assert_ne!(seen.first(), seen.last());
    }

    #[test]
    fn small_fee_rates_are_read_too() {
        assert_eq!(sats(&json!(0.00001)), Some(1_000));
        assert_eq!(sats(&json!(0.000_123_45)), Some(12_345));
        assert_eq!(sats(&json!(-1)), None);
    }
}
