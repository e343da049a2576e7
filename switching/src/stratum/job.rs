//! Jobs: a pool's `mining.notify`, and the same work rewritten for our machines.
//!
//! A pool gives `extranonce1` and `n` bytes of extranonce2. A machine keeps for life a prefix `E` of `k` bytes as its
//! extranonce1 and `e` bytes of extranonce2. Its jobs carry `coinb1 ‖ extranonce1 ‖ PAD` as coinb1, PAD filling
//! `n − k − e` bytes, so that it hashes byte for byte the pool's coinbase with extranonce2 = `PAD ‖ E ‖ en2`.

use serde_json::value::RawValue;

use super::codec::LineError;

/// Bytes of PAD that bind shares to an epoch, if the pool leaves room for them.
pub const TAG_BYTES: usize = 4;
/// Offset of the input script in a coinbase: version, input count, null outpoint and the script's length are before it.
const SCRIPT_AT: usize = 42;

/// Work as a pool sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolJob {
    /// The pool's name for it.
    pub id: String,
    /// Previous block hash in stratum's word order, as it stands on the wire.
    pub prev_hash: [u8; 32],
    /// Coinbase before the extranonce.
    pub coinb1: Vec<u8>,
    /// Coinbase after the extranonce.
    pub coinb2: Vec<u8>,
    /// Merkle branches, deepest first.
    pub branches: Vec<[u8; 32]>,
    /// Block version.
    pub version: u32,
    /// Compact target of the block.
    pub nbits: u32,
    /// Timestamp.
    pub ntime: u32,
    /// Whether earlier jobs of this pool are worthless.
    pub clean: bool,
}

/// Where the bytes of the extranonce go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The pool's extranonce1.
    pub extranonce1: Vec<u8>,
    /// PAD: epoch tag, then zeros.
    pub pad: Vec<u8>,
}

/// A pool leaves too little room for our machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the pool gives {given} bytes of extranonce2, but extranonce.prefix_bytes + extranonce.miner_bytes = {needed}: \
     lower those or use another pool"
)]
pub struct TooStingy {
    /// Size the pool gave.
    pub given: usize,
    /// Size we need.
    pub needed: usize,
}

impl Layout {
    /// Lays out a pool's extranonce for machines with `needed = k + e` bytes of their own.
    ///
    /// # Errors
    /// When the pool's extranonce2 is shorter than that.
    pub fn new(extranonce1: Vec<u8>, size: usize, needed: usize) -> Result<Self, TooStingy> {
        let room = size.checked_sub(needed).ok_or(TooStingy { given: size, needed })?;
        Ok(Self { extranonce1, pad: vec![0; room] })
    }

    /// The same layout with an epoch's tag at the start of PAD; none if PAD is too short.
    #[must_use]
    pub fn tagged(&self, tag: [u8; TAG_BYTES]) -> Option<Self> {
        let mut tagged = self.clone();
        tagged.pad.get_mut(..TAG_BYTES)?.copy_from_slice(&tag);
        Some(tagged)
    }
}

impl PoolJob {
    /// Where PAD starts in the coinbase, if a tag there stands in the script of the one input of a coinbase.
    #[must_use]
    pub fn tag_at(&self, layout: &Layout) -> Option<u16> {
        let at = self.coinb1.len().checked_add(layout.extranonce1.len())?;
        let one_null_input = self.coinb1.get(4..41)?;
        let (count, null) = one_null_input.split_first()?;
        let script = usize::from(*self.coinb1.get(41)?);
        let spends = *count != 1
            || null.iter().take(32).any(|byte| *byte != 0)
            || null.iter().skip(32).any(|byte| *byte != 0xff);
        let end = SCRIPT_AT.checked_add(script)?;
        let inside = script <= 100 && at >= SCRIPT_AT && at.checked_add(TAG_BYTES)? <= end;
        u16::try_from(at).ok().filter(|_| inside && !spends)
    }

    /// The previous block's hash in internal byte order, as it stands in the header.
    #[must_use]
    pub fn previous(&self) -> [u8; 32] {
        let mut out = self.prev_hash;
        out.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        out
    }

    /// Reads the parameters of `mining.notify`. Parameters past the ninth are ignored.
    ///
    /// # Errors
    /// When one is missing or of the wrong form.
    pub fn parse(params: &[Box<RawValue>]) -> Result<Self, LineError> {
        let at = |index: usize, name: &'static str| Field { params, index, name };
        let branches: Vec<String> = at(4, "merkle branches").json()?;
        let branches = branches.iter().map(|text| at(4, "merkle branches").hash(text));
        Ok(Self {
            id: at(0, "job id").json()?,
            prev_hash: at(1, "previous hash").hash(&at(1, "previous hash").json::<String>()?)?,
            coinb1: at(2, "coinb1").bytes()?,
            coinb2: at(3, "coinb2").bytes()?,
            branches: branches.collect::<Result<_, _>>()?,
            version: at(5, "version").word()?,
            nbits: at(6, "nbits").word()?,
            ntime: at(7, "ntime").word()?,
            clean: at(8, "clean_jobs").json()?,
        })
    }

    /// The `mining.notify` line, newline included, that gives this work to machines under our own job id.
    #[must_use]
    pub fn render(&self, id: u64, layout: &Layout, ntime: u32, clean: bool) -> String {
        let branches: Vec<String> =
            self.branches.iter().map(|b| format!("\"{}\"", hex::encode(b))).collect();
        format!(
            "{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"{id:x}\",\"{}\",\"{}{}{}\",\"{}\",[{}],\
             \"{:08x}\",\"{:08x}\",\"{ntime:08x}\",{clean}]}}\n",
            hex::encode(self.prev_hash),
            hex::encode(&self.coinb1),
            hex::encode(&layout.extranonce1),
            hex::encode(&layout.pad),
            hex::encode(&self.coinb2),
            branches.join(","),
            self.version,
            self.nbits,
        )
    }
}

/// One parameter of a `mining.notify`.
struct Field<'a> {
    params: &'a [Box<RawValue>],
    index: usize,
    name: &'static str,
}

impl Field<'_> {
    fn wrong(&self, why: &str) -> LineError {
        LineError(format!("mining.notify: {} (parameter {}): {why}", self.name, self.index))
    }

    fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, LineError> {
        let raw = self.params.get(self.index).ok_or_else(|| self.wrong("missing"))?;
        serde_json::from_str(raw.get()).map_err(|error| self.wrong(&error.to_string()))
    }

    fn bytes(&self) -> Result<Vec<u8>, LineError> {
        hex::decode(self.json::<String>()?).map_err(|error| self.wrong(&error.to_string()))
    }

    fn hash(&self, text: &str) -> Result<[u8; 32], LineError> {
        let mut out = [0; 32];
        hex::decode_to_slice(text, &mut out).map_err(|error| self.wrong(&error.to_string()))?;
        Ok(out)
    }

    fn word(&self) -> Result<u32, LineError> {
        super::codec::word(&self.json::<String>()?).ok_or_else(|| self.wrong("not 8 hex digits"))
    }
}
