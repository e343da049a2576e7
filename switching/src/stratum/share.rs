//! Shares: rebuilding the header that a machine hashed, and what to tell the pool about it.

use alloy::primitives::U256;
use bitcoin::hashes::{Hash, sha256d};

use super::{
    codec::{self, LineError},
    job::{Layout, PoolJob},
};

/// What a machine submits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// Worker name.
    pub worker: String,
    /// Our job id.
    pub job: u64,
    /// The machine's part of the extranonce.
    pub extranonce2: Vec<u8>,
    /// Header time.
    pub ntime: u32,
    /// Header nonce.
    pub nonce: u32,
    /// Version bits, if the machine rolls them.
    pub version_bits: Option<u32>,
}

/// A share whose header was rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Header hash in order of computation; the number is its little-endian reading.
    pub hash: [u8; 32],
    /// The pool's extranonce2.
    pub extranonce2: Vec<u8>,
    /// Header version.
    pub version: u32,
}

/// Why a header cannot be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Extranonce2 of another length than the machine was given.
    #[error("extranonce2 has {found} bytes, not {expected}")]
    Extranonce2 {
        /// Bytes submitted.
        found: usize,
        /// Bytes agreed.
        expected: usize,
    },
    /// Version bits outside the mask that the machine was given.
    #[error("version bits {bits:08x} are outside the mask {mask:08x}")]
    VersionBits {
        /// Bits submitted.
        bits: u32,
        /// Mask agreed; zero without version rolling.
        mask: u32,
    },
}

impl Submit {
    /// Reads the parameters of `mining.submit`. A job id that is not ours reads as job 0, which never exists.
    ///
    /// # Errors
    /// When a parameter is missing or of the wrong form.
    pub fn parse(params: &[Box<serde_json::value::RawValue>]) -> Result<Self, LineError> {
        let text = |index: usize, name: &str| codec::text(params, index, "mining.submit", name);
        let word = |index: usize, name: &str| {
            let text = text(index, name)?;
            codec::word(&text).ok_or_else(|| {
                LineError(format!("mining.submit: {name}: {text:?} is not 8 hex digits"))
            })
        };
        let extranonce2 = hex::decode(text(2, "extranonce2")?)
            .map_err(|error| LineError(format!("mining.submit: extranonce2: {error}")))?;
        Ok(Self {
            worker: text(0, "worker")?,
            job: u64::from_str_radix(&text(1, "job id")?, 16).unwrap_or(0),
            extranonce2,
            ntime: word(3, "ntime")?,
            nonce: word(4, "nonce")?,
            version_bits: if params.len() > 5 { Some(word(5, "version bits")?) } else { None },
        })
    }

    /// Rebuilds the header that was hashed. `prefix` is the machine's extranonce1, `size` the length of its
    /// extranonce2 and `mask` the version mask it may roll.
    ///
    /// # Errors
    /// When the extranonce or the version bits are not what the machine was given.
    pub fn prove(
        &self,
        job: &PoolJob,
        layout: &Layout,
        prefix: &[u8],
        size: usize,
        mask: u32,
    ) -> Result<Proven, ShareError> {
        if self.extranonce2.len() != size {
            let found = self.extranonce2.len();
            return Err(ShareError::Extranonce2 { found, expected: size });
        }
        let bits = self.version_bits.unwrap_or(0);
        if bits & !mask != 0 {
            return Err(ShareError::VersionBits { bits, mask });
        }
        let version = match self.version_bits {
            Some(bits) => (job.version & !mask) | bits,
            None => job.version,
        };
        let extranonce2 = [layout.pad.as_slice(), prefix, &self.extranonce2].concat();
        let coinbase = coinbase(job, layout, &extranonce2);
        let header = header(job, &coinbase, version, self.ntime, self.nonce);
        let hash = sha256d::Hash::hash(&header).to_byte_array();
        Ok(Proven { hash, extranonce2, version })
    }
}

impl Proven {
    /// Whether the hash is at most `target`.
    #[must_use]
    pub fn meets(&self, target: U256) -> bool {
        U256::from_le_bytes(self.hash) <= target
    }
}

/// The coinbase that a machine hashed, without witness.
#[must_use]
pub fn coinbase(job: &PoolJob, layout: &Layout, extranonce2: &[u8]) -> Vec<u8> {
    [job.coinb1.as_slice(), &layout.extranonce1, extranonce2, &job.coinb2].concat()
}

/// The 80 bytes of a header over `coinbase`.
fn header(job: &PoolJob, coinbase: &[u8], version: u32, ntime: u32, nonce: u32) -> Vec<u8> {
    let leaf = sha256d::Hash::hash(coinbase).to_byte_array();
    let root = job
        .branches
        .iter()
        .fold(leaf, |node, branch| sha256d::Hash::hash(&[node, *branch].concat()).to_byte_array());
    let tail = [ntime, job.nbits, nonce].into_iter().flat_map(u32::to_le_bytes);
    version.to_le_bytes().into_iter().chain(job.previous()).chain(root).chain(tail).collect()
}
