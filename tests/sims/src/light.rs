//! A simulator of somebody else's light server: Electrum's protocol and Esplora's interface, out of one index of a node's
//! blocks. It can be told to lie in the ways such a server can.

use std::{path::PathBuf, sync::Arc};

use clap::Parser;
use eyre::{Result, eyre};
use serde_json::json;
use tokio::{net::TcpListener, sync::Mutex};

use crate::{node::Node, process};

mod electrum;
mod esplora;
mod index;

use index::Index;

/// A simulator of an outside light server over a regtest node: Electrum (protocol 1.4) and Esplora at once.
#[derive(Debug, Parser)]
#[command(name = "sim-light", version)]
struct Args {
    /// The node's JSON-RPC, e.g. http://127.0.0.1:18443.
    #[arg(long)]
    rpc: String,
    /// The node's cookie file.
    #[arg(long)]
    cookie: PathBuf,
    /// Where Electrum is served; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    electrum: String,
    /// Where Esplora is served, and POST /admin/misbehave.
    #[arg(long, default_value = "127.0.0.1:0")]
    esplora: String,
    /// Log filter, to stderr.
    #[arg(long, default_value = "info")]
    log: String,
}

/// How the server lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    None,
    /// Histories lack what is in blocks above this height.
    Omit(u32),
    /// Branches have a wrong first sibling.
    ForgeBranch,
    /// Histories have a payment that nobody made.
    Invent,
    /// The chain ends at this height.
    Stale(u32),
    /// The chain ends above this height with a block without work. It stays there, whatever is mined: a lie that a real
    /// block overtakes would be none for an instant.
    FakeBlock(u32),
    /// Transactions are taken and thrown away.
    Swallow,
}

/// Index, node and mode, shared by both protocols.
#[derive(Debug)]
pub(crate) struct Light {
    pub(crate) node: Node,
    pub(crate) index: Mutex<Index>,
    pub(crate) mode: Mutex<Mode>,
}

impl Light {
    /// Height that is shown.
    pub(crate) async fn height(&self) -> Result<u32> {
        let mut index = self.index.lock().await;
        index.refresh(&self.node).await?;
        let height = index.height();
        Ok(match *self.mode.lock().await {
            Mode::Stale(at) => at.min(height),
            Mode::FakeBlock(below) => below + 1,
            _ => height,
        })
    }

    /// Header bytes at a height, as shown.
    pub(crate) async fn header(&self, height: u32) -> Result<[u8; 80]> {
        let shown = self.height().await?;
        let mode = *self.mode.lock().await;
        let index = self.index.lock().await;
        if height > shown {
            return Err(eyre!("no block at {height}"));
        }
        if let Mode::FakeBlock(below) = mode
            && height > below
        {
            return Ok(index.fake_header(below));
        }
        index.header(height).ok_or_else(|| eyre!("no block at {height}"))
    }

    /// Hands a transaction to the node; the node's words if it refuses.
    pub(crate) async fn broadcast(&self, raw: &str) -> Result<String> {
        if *self.mode.lock().await == Mode::Swallow {
            return index::txid_of(raw);
        }
        let txid = self.node.call("sendrawtransaction", json!([raw])).await?;
        Ok(txid.as_str().unwrap_or_default().to_owned())
    }

    async fn misbehave(&self, name: &str) -> Result<()> {
        let height = self.height().await?;
        let mode = match name {
            "none" => Mode::None,
            "omit" => Mode::Omit(height),
            "forge_branch" => Mode::ForgeBranch,
            "invent" => Mode::Invent,
            "stale" => Mode::Stale(height),
            "fake_block" => Mode::FakeBlock(height),
            "swallow" => Mode::Swallow,
            other => return Err(eyre!("no mode {other:?}")),
        };
        *self.mode.lock().await = mode;
        Ok(())
    }
}

/// Entry point of the `sim-light` binary.
///
/// # Errors
/// Node or port problems at start.
pub fn light_main() -> Result<()> {
    let args = Args::parse();
    process::init_log(&args.log)?;
    process::block_on(run(args))
}

async fn run(args: Args) -> Result<()> {
    let stop = process::stop_on_signal()?;
    let node = Node::new(&args.rpc, args.cookie, "")?;
    node.wait().await?;
    let light = Light { node, index: Mutex::default(), mode: Mutex::default() };
    light.height().await?;
    let light = Arc::new(light);
    let lines = TcpListener::bind(&args.electrum).await?;
    let web = TcpListener::bind(&args.esplora).await?;
    let urls = [format!("tcp://{}", lines.local_addr()?), format!("http://{}", web.local_addr()?)];
    tokio::spawn(electrum::listen(Arc::clone(&light), lines));
    tokio::spawn(esplora::serve(light, web));
    process::ready("sim-light", &urls)?;
    stop.cancelled().await;
    Ok(())
}
