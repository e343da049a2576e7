//! What settlement and a signer say to each other over a Unix socket: one JSON object a line, one answer a request.

use std::{path::Path, time::Duration};

use bitcoin::Psbt;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use crate::psbt;

/// Longest line, bytes: a PSBT of the largest standard transaction with its previous transactions, in hex.
pub const MAX_LINE: u64 = 256 * 1024 * 1024;
/// A signer that takes longer is taken to be down.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request to sign.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The epoch that is paid.
    pub epoch: u32,
    /// Its batch; 65535 for a root transaction.
    pub batch: u16,
    /// Hex of the PSBT.
    pub psbt: String,
}

/// A signer's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Answer {
    /// Hex of the PSBT with the signer's signatures.
    Signed(String),
    /// Why not. Asking again changes nothing unless the chains do.
    Refused(String),
}

/// Asks one signer.
///
/// # Errors
/// In words: the signer is down, refuses, or answers nonsense.
pub async fn ask(socket: &Path, epoch: u32, batch: u16, unsigned: &Psbt) -> Result<Psbt, String> {
    let request = Request { epoch, batch, psbt: psbt::to_hex(unsigned) };
    let line = serde_json::to_string(&request).map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(PATIENCE, exchange(socket, line)).await;
    let answer = answer.map_err(|_| format!("no answer in {} s", PATIENCE.as_secs()))?;
    let answer = answer.map_err(|error| error.to_string())?;
    match serde_json::from_str(&answer)
        .map_err(|error| format!("no answer of a signer: {error}"))?
    {
        Answer::Signed(hex) => psbt::from_hex(&hex).map_err(|error| error.to_string()),
        Answer::Refused(why) => Err(format!("refused: {why}")),
    }
}

async fn exchange(socket: &Path, mut line: String) -> std::io::Result<String> {
    let (read, mut write) = UnixStream::connect(socket).await?.into_split();
    line.push('\n');
    write.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(read.take(MAX_LINE)).read_line(&mut answer).await?;
    Ok(answer)
}
