//! Where Bitcoin is read and transactions are handed out: a node of one's own, or a light server.

use std::sync::Arc;

use bitcoin::{BlockHash, OutPoint, Transaction, Txid, block::Header};

use crate::{
    config::{BackendConfig, Config},
    error::Error,
    light::{Electrum, Esplora, Known, Light, Place, Server, Start},
    node::{Broadcast, Node},
    proof::Mined,
    store::Store,
    treasury::Treasury,
    vault::{Coin, Vault},
};

/// A connection; nothing was read over it yet.
#[derive(Clone, Debug)]
pub enum Connection {
    /// bitcoind.
    Node(Node),
    /// An Electrum or Esplora server.
    Server(Arc<dyn Server>),
}

/// A source of blocks.
#[derive(Clone, Debug)]
pub enum Backend {
    /// bitcoind, which is believed.
    Node(Node),
    /// A light server, which is not.
    Light(Arc<Light>),
}

impl From<Node> for Backend {
    fn from(node: Node) -> Self {
        Self::Node(node)
    }
}

impl Connection {
    /// Connects as the configuration says, and checks the network.
    ///
    /// # Errors
    /// When it does not answer or is on another network.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let connection = match &config.bitcoin.backend {
            BackendConfig::Rpc { url, cookie_file } => Self::Node(Node::connect(url, cookie_file)?),
            BackendConfig::Electrum { url, .. } => Self::Server(Arc::new(Electrum::new(url)?)),
            BackendConfig::Esplora { url, .. } => Self::Server(Arc::new(Esplora::new(url)?)),
        };
        let found = connection.header_at(0).await?.block_hash();
        let expected = bitcoin::constants::genesis_block(config.network).block_hash();
        if found == expected {
            return Ok(connection);
        }
        Err(Error::Config(format!(
            "the first block at [bitcoin.backend] is {found}, network {} begins with {expected}",
            config.network
        )))
    }

    /// Height of the best chain.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn height(&self) -> Result<u32, Error> {
        match self {
            Self::Node(node) => Ok(node.tip().await?.0),
            Self::Server(server) => asked(server, |server| server.height()).await,
        }
    }

    /// The header at a height; a server's word.
    ///
    /// # Errors
    /// When it does not answer or has none.
    pub async fn header_at(&self, height: u32) -> Result<Header, Error> {
        match self {
            Self::Node(node) => node.header_at(height).await,
            Self::Server(server) => {
                asked(server, move |server| {
                    let first = server.headers(height, 1)?.into_iter().next();
                    first.ok_or_else(|| {
                        Error::node("light server", format!("no header at {height}"))
                    })
                })
                .await
            }
        }
    }

    /// Checks that a server proves what a block holds, with the block's first transaction.
    ///
    /// # Errors
    /// When it does not answer, or its answers are no proof. A node is not asked.
    pub async fn check_proof(&self, height: u32, header: Header) -> Result<(), Error> {
        let Self::Server(server) = self else { return Ok(()) };
        asked(server, move |server| {
            let block = header.block_hash();
            let txid = server.coinbase(height, block)?;
            let (coinbase, branch) = (server.transaction(txid)?, server.branch(txid, height)?);
            let siblings = branch.siblings;
            let mined = Mined {
                tx: coinbase.clone(),
                index: branch.index,
                branch: siblings.clone(),
                coinbase,
                coinbase_branch: siblings,
            };
            let fail = || Error::node("light server", format!("it does not prove block {block}"));
            mined.is_under(header.merkle_root).then_some(()).ok_or_else(fail)
        })
        .await
    }

    /// Sats per 1,000 vB for confirmation within `blocks`; `None` if there is no estimate.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn fee_rate_ceil(&self, blocks: u16) -> Result<Option<u64>, Error> {
        match self {
            Self::Node(node) => node.fee_rate_ceil(blocks).await,
            Self::Server(server) => asked(server, move |server| server.fee_rate_ceil(blocks)).await,
        }
    }

    /// Hands a transaction to the network.
    ///
    /// # Errors
    /// When it does not answer. A refusal is an answer.
    pub async fn broadcast(&self, tx: &Transaction) -> Result<Broadcast, Error> {
        match self {
            Self::Node(node) => node.broadcast(tx).await,
            Self::Server(server) => {
                let tx = tx.clone();
                asked(server, move |server| server.broadcast(&tx)).await
            }
        }
    }

    /// The transaction in the mempool that spends a coin, if there is one. A server's word.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn spender(&self, coin: &Coin) -> Result<Option<Transaction>, Error> {
        let place = coin.outpoint;
        match self {
            Self::Node(node) => node.spender(place).await,
            Self::Server(server) => {
                let script = coin.output.script_pubkey.clone();
                asked(server, move |server| {
                    let histories = server.histories(&[script])?;
                    for seen in histories.iter().flatten().filter(|seen| seen.height.is_none()) {
                        let tx = server.transaction(seen.txid)?;
                        if spends(&tx, place) {
                            return Ok(Some(tx));
                        }
                    }
                    Ok(None)
                })
                .await
            }
        }
    }

    /// Sats of a coin that nothing in the chain or the mempool spends; `None` if it is spent or unknown. A server's word.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn unspent(&self, coin: &Coin) -> Result<Option<u64>, Error> {
        let place = coin.outpoint;
        match self {
            Self::Node(node) => node.unspent(place).await,
            Self::Server(server) => {
                let script = coin.output.script_pubkey.clone();
                asked(server, move |server| {
                    let histories = server.histories(&[script])?;
                    let seen = histories.iter().flatten();
                    let txs = seen.map(|seen| server.transaction(seen.txid));
                    Ok(unspent(place, &txs.collect::<Result<Vec<_>, _>>()?))
                })
                .await
            }
        }
    }
}

fn spends(tx: &Transaction, place: OutPoint) -> bool {
    tx.input.iter().any(|input| input.previous_output == place)
}

/// Sats of an output that one of these transactions makes and none spends.
fn unspent(place: OutPoint, txs: &[Transaction]) -> Option<u64> {
    if txs.iter().any(|tx| spends(tx, place)) {
        return None;
    }
    let creator = txs.iter().find(|tx| tx.compute_txid() == place.txid)?;
    let output = creator.output.get(usize::try_from(place.vout).ok()?)?;
    Some(output.value.to_sat())
}

impl Backend {
    /// Over a connection, going on from what wallet and database hold.
    ///
    /// # Errors
    /// Those of the database; when a script cannot be derived.
    pub async fn open(
        connection: Connection,
        config: &Config,
        vault: &Vault,
        treasury: &Treasury,
        store: &Store,
    ) -> Result<Self, Error> {
        let server = match connection {
            Connection::Node(node) => return Ok(Self::Node(node)),
            Connection::Server(server) => server,
        };
        let (tip, _) = treasury.tip();
        // an old block is not looked up: no transaction of it is read again
        let in_chain = |place: &Place| {
            place.height.saturating_add(2_016) < tip
                || treasury.hash_at(place.height) == Some(place.block)
        };
        let (used, wallet) = treasury.read_before();
        let marked = store.marked().await?;
        let epochs = marked.iter().map(|marked| (marked.epoch, marked.height));
        let known = Known::stored(&marked, store.genesis_ids().await?, wallet, in_chain);
        let start = Start {
            network: config.network,
            birthday: config.bitcoin.birthday_height,
            anchor: config.bitcoin.backend.anchor().flatten(),
        };
        let reach = (config.vault.lookahead, used);
        Ok(Self::Light(Arc::new(Light::new(server, start, vault, reach, epochs, known)?)))
    }

    /// The connection under it.
    #[must_use]
    pub fn connection(&self) -> Connection {
        match self {
            Self::Node(node) => Connection::Node(node.clone()),
            Self::Light(light) => Connection::Server(light.server()),
        }
    }

    /// The header at a height; checked against `hash` where a block was read there.
    ///
    /// # Errors
    /// When there is none, or a server has another.
    pub async fn header_at(&self, height: u32, hash: Option<BlockHash>) -> Result<Header, Error> {
        match self {
            Self::Node(node) => node.header_at(height).await,
            Self::Light(light) => asked(light, move |light| light.header_at(height, hash)).await,
        }
    }

    /// A transaction with the proof that a block holds it.
    ///
    /// # Errors
    /// When that cannot be had.
    pub async fn mined(&self, height: u32, block: BlockHash, txid: Txid) -> Result<Mined, Error> {
        match self {
            Self::Node(node) => node.mined(block, txid).await,
            Self::Light(light) => asked(light, move |light| light.mined(height, block, txid)).await,
        }
    }
}

/// Asks on a thread of its own.
async fn asked<S, T>(
    of: &Arc<S>,
    call: impl FnOnce(&S) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error>
where
    S: ?Sized + Send + Sync + 'static,
    T: Send + 'static,
{
    let of = Arc::clone(of);
    let task = tokio::task::spawn_blocking(move || call(&of));
    task.await.map_err(|error| Error::node("light server", error))?
}
