//! What settlement and a signer say to each other over a Unix socket: one JSON object a line, one answer a request.

use std::{path::Path, time::Duration};

use alloy::hex;
use bitcoin::{Psbt, TxOut};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use crate::{
    allocate::Batch,
    encode::{self, ROOT_BATCH},
    psbt::{self, Signatures},
};

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
    /// For a root transaction only: hex of every batch's committed outputs, as their hash is made over them, so that the
    /// signer can tell what each chunk will weigh.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<String>,
}

impl Request {
    /// A request for one transaction of an epoch that pays `batches`.
    #[must_use]
    pub fn new(epoch: u32, batch: u16, unsigned: &Psbt, batches: &[Batch]) -> Self {
        let hex = |batch: &Batch| hex::encode(batch.outputs_bytes());
        let root = batch == ROOT_BATCH;
        let chunks = if root { batches.iter().map(hex).collect() } else { Vec::new() };
        Self { epoch, batch, psbt: psbt::to_hex(unsigned), chunks }
    }

    /// The outputs in `chunks`.
    ///
    /// # Errors
    /// With the number of the first chunk that is no list of outputs.
    pub fn chunk_outputs(&self) -> Result<Vec<Vec<TxOut>>, usize> {
        let read = |text: &String| encode::read_outputs(&hex::decode(text).ok()?);
        self.chunks.iter().enumerate().map(|(at, text)| read(text).ok_or(at)).collect()
    }
}

/// A signer's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Answer {
    /// The signer's signatures; all else of the PSBT is as it was asked for, so it does not come back.
    Signed(Signatures),
    /// Why not. Asking again changes nothing unless the chains do.
    Refused(String),
}

/// Asks one signer.
///
/// # Errors
/// In words: the signer is down, refuses, or answers nonsense.
pub async fn ask(socket: &Path, request: &Request) -> Result<Signatures, String> {
    let line = serde_json::to_string(request).map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(PATIENCE, exchange(socket, line)).await;
    let answer = answer.map_err(|_| format!("no answer in {} s", PATIENCE.as_secs()))?;
    let answer = answer.map_err(|error| error.to_string())?;
    match serde_json::from_str(&answer)
        .map_err(|error| format!("no answer of a signer: {error}"))?
    {
        Answer::Signed(signatures) => Ok(signatures),
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
