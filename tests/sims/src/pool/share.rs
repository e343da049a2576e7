//! Validation of one `mining.submit`: pure, against the job that it names.

use serde_json::{Value, json};

use super::template::PoolJob;
use crate::work::{self, Bytes32, meets, sha256d, u32_hex};

/// Why a share is refused, with stratum's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reject {
    /// 20: the message or one of its values is not valid.
    Invalid(&'static str),
    /// 21: the job is unknown or of an old block.
    Stale,
    /// 22: the same hash was paid before.
    Duplicate,
    /// 23: the hash is above the share target.
    LowDifficulty,
    /// 24: the worker is not authorized on this connection.
    Unauthorized,
    /// 25: nothing was subscribed.
    NotSubscribed,
}

impl Reject {
    /// Stratum's error triple.
    pub(crate) fn to_json(self) -> Value {
        let (code, message) = match self {
            Self::Invalid(message) => (20, message),
            Self::Stale => (21, "Job not found (=stale)"),
            Self::Duplicate => (22, "Duplicate share"),
            Self::LowDifficulty => (23, "Low difficulty share"),
            Self::Unauthorized => (24, "Unauthorized worker"),
            Self::NotSubscribed => (25, "Not subscribed"),
        };
        json!([code, message, null])
    }
}

/// The parsed parameters of `mining.submit`.
#[derive(Clone, Debug)]
pub(crate) struct Submit {
    pub(crate) worker: String,
    pub(crate) job_id: String,
    pub(crate) extranonce2: Vec<u8>,
    pub(crate) ntime: u32,
    pub(crate) nonce: u32,
    pub(crate) version_bits: u32,
}

/// What the job, the connection and the clock demand of a share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) job: &'a PoolJob,
    pub(crate) extranonce1: &'a [u8],
    /// Bits negotiated by `mining.configure`; 0 when not.
    pub(crate) version_mask: u32,
    /// Node time, seconds.
    pub(crate) now: u64,
    pub(crate) share_target: &'a Bytes32,
}

/// A share that is worth its target.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) hash: Bytes32,
    pub(crate) header: [u8; 80],
    pub(crate) coinbase: Vec<u8>,
}

/// Reads 5 or 6 parameters.
pub(crate) fn parse(params: &Value, extranonce2_size: usize) -> Result<Submit, Reject> {
    let list: Vec<&str> = params
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let (five, version) = match list.as_slice() {
        [five @ .., version] if five.len() == 5 => (five, Some(*version)),
        five => (five, None),
    };
    let [worker, job_id, extranonce2, ntime, nonce] = five else {
        return Err(Reject::Invalid("mining.submit takes 5 or 6 strings"));
    };
    let extranonce2 =
        hex::decode(extranonce2).map_err(|_| Reject::Invalid("extranonce2 is not hex"))?;
    if extranonce2.len() != extranonce2_size {
        return Err(Reject::Invalid("Invalid extranonce2 size"));
    }
    Ok(Submit {
        worker: (*worker).into(),
        job_id: (*job_id).into(),
        extranonce2,
        ntime: u32_hex(ntime).map_err(|_| Reject::Invalid("ntime is not 8 hex digits"))?,
        nonce: u32_hex(nonce).map_err(|_| Reject::Invalid("nonce is not 8 hex digits"))?,
        version_bits: u32_hex(version.unwrap_or("00000000"))
            .map_err(|_| Reject::Invalid("version bits are not 8 hex digits"))?,
    })
}

/// Rebuilds coinbase and header and checks the hash. Duplicates are the caller's matter.
pub(crate) fn check(terms: Terms<'_>, submit: &Submit) -> Result<Found, Reject> {
    let work = &terms.job.work;
    if submit.version_bits & !terms.version_mask != 0 {
        return Err(Reject::Invalid("Version bits outside the mask"));
    }
    let latest = terms.now.max(u64::from(work.ntime)).saturating_add(7200);
    if submit.ntime < work.ntime || u64::from(submit.ntime) > latest {
        return Err(Reject::Invalid("Ntime out of range"));
    }
    let version = match submit.version_bits {
        0 if terms.version_mask == 0 => work.version,
        bits => (work.version & !terms.version_mask) | bits,
    };
    let coinbase = work.coinbase(terms.extranonce1, &submit.extranonce2);
    let root = work.merkle_root(&coinbase);
    let header = work.header(&root, version, submit.ntime, submit.nonce);
    let hash = sha256d(&header);
    if !meets(&hash, terms.share_target) {
        return Err(Reject::LowDifficulty);
    }
    Ok(Found { hash, header, coinbase })
}

/// Whether a share also solves the block.
pub(crate) fn is_block(job: &PoolJob, found: &Found) -> bool {
    work::meets(&found.hash, &job.network_target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::{
        target_of_difficulty,
        tests::{EXTRANONCE1, SUBMIT, real_work},
    };

    fn judge(change: impl FnOnce(&mut [String; 6]), difficulty: u64, mask: u32) -> Option<Reject> {
        let job = PoolJob::of_work("2dc3427c2e", real_work());
        let mut fields = SUBMIT.map(String::from);
        change(&mut fields);
        let target = target_of_difficulty(difficulty.into()).unwrap();
        let terms = Terms {
            job: &job,
            extranonce1: &hex::decode(EXTRANONCE1).unwrap(),
            version_mask: mask,
            now: 0x64c2_5820 + 10,
            share_target: &target,
        };
        parse(&json!(fields), 8).and_then(|submit| check(terms, &submit)).err()
    }

    const MASK: u32 = 0x1fff_e000;

    #[test]
    fn the_real_share_is_accepted_at_its_difficulty_only() {
        assert_eq!(judge(|_| {}, 699, MASK), None);
        assert_eq!(judge(|_| {}, 700, MASK), Some(Reject::LowDifficulty));
    }

    #[test]
    fn any_changed_field_is_refused() {
        let low = Some(Reject::LowDifficulty);
        assert_eq!(judge(|f| f[2] = "0b00000000000000".into(), 1, MASK), low);
        assert_eq!(judge(|f| f[4] = "591d28db".into(), 1, MASK), low);
        assert_eq!(judge(|f| f[5] = "00092000".replace('9', "8"), 1, MASK), low);
        assert_eq!(judge(|f| f[3] = "64c25821".into(), 1, MASK), low);
        let invalid = |reject| matches!(reject, Some(Reject::Invalid(_)));
        assert!(invalid(judge(|_| {}, 1, 0)), "version bits without negotiation");
        assert!(invalid(judge(|f| f[5] = "20092000".into(), 1, MASK)));
        assert!(invalid(judge(|f| f[3] = "64c2581f".into(), 1, MASK)), "before the job");
        assert!(invalid(judge(|f| f[3] = "64c2744b".into(), 1, MASK)), "2 h ahead");
        assert!(invalid(judge(|f| f[2] = "0a".into(), 1, MASK)), "extranonce2 too short");
        assert!(invalid(judge(|f| f[4] = "zz".into(), 1, MASK)));
    }

    #[test]
    fn five_parameters_are_a_share_without_version_bits() {
        let submit = parse(&json!(SUBMIT[..5]), 8).unwrap();
        assert_eq!(submit.version_bits, 0);
        assert!(parse(&json!(SUBMIT[..4]), 8).is_err());
        assert!(parse(&json!(null), 8).is_err());
        assert_eq!(Reject::Stale.to_json()[0], 21);
    }
}
