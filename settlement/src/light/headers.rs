//! Headers as a light client may believe them: each meets a target that consensus allows there and names the one before
//! it. Pure.

use bitcoin::{
    BlockHash, CompactTarget, Network, block::Header, constants::genesis_block, params::Params,
    pow::Work,
};

/// Blocks of one difficulty.
pub(super) const PERIOD: u32 = 2_016;

/// A run of headers without a gap.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    network: Network,
    /// Height of the first; the first of a difficulty period where the network retargets.
    base: u32,
    run: Vec<Header>,
}

impl Headers {
    /// None yet. The first is taken at `height` or at the start of its period.
    pub(super) const fn from(network: Network, height: u32) -> Self {
        Self { network, base: start_of_period(height), run: Vec::new() }
    }

    /// Height of the newest.
    pub(super) fn tip(&self) -> Option<u32> {
        let above = u32::try_from(self.run.len()).ok()?.checked_sub(1)?;
        self.base.checked_add(above)
    }

    /// Height that the next one has.
    pub(super) fn next_height(&self) -> u32 {
        self.tip().map_or(self.base, |tip| tip.saturating_add(1))
    }

    pub(super) fn get(&self, height: u32) -> Option<&Header> {
        self.run.get(usize::try_from(height.checked_sub(self.base)?).ok()?)
    }

    pub(super) fn hash(&self, height: u32) -> Option<BlockHash> {
        self.get(height).map(Header::block_hash)
    }

    /// Those up to `height`.
    pub(super) fn up_to(&self, height: u32) -> Self {
        let end = self.next_height().min(height.saturating_add(1));
        let kept = usize::try_from(end.saturating_sub(self.base));
        let run = self.run.iter().take(kept.unwrap_or(0)).copied().collect();
        Self { network: self.network, base: self.base, run }
    }

    /// Drops all but the last two periods.
    pub(super) fn forget(&mut self) {
        let keep = start_of_period(self.next_height()).saturating_sub(PERIOD);
        if let Ok(old) = usize::try_from(keep.saturating_sub(self.base))
            && old > 0
        {
            self.run.drain(..old.min(self.run.len()));
            self.base = keep;
        }
    }

    /// Expected hashes of the blocks above `height`.
    pub(super) fn work_above(&self, height: u32) -> Work {
        let above = (height.saturating_add(1)..self.next_height()).filter_map(|at| self.get(at));
        above.fold(Work::from_be_bytes([0; 32]), |sum, header| sum + header.work())
    }

    /// Takes the next header, if it is one.
    pub(super) fn push(&mut self, header: Header) -> Result<(), String> {
        let height = self.next_height();
        let refuse = |why: String| Err(format!("header {} at {height} {why}", header.block_hash()));
        let params = Params::new(self.network);
        if let Some(last) = self.run.last() {
            if header.prev_blockhash != last.block_hash() {
                return refuse(format!("does not follow {}", last.block_hash()));
            }
            let first = height.checked_sub(PERIOD).and_then(|at| self.get(at));
            let bits = required(height, last, first, &params);
            if bits.is_some_and(|bits| bits != header.bits) {
                return refuse(format!("has target {:x}, which consensus forbids", header.bits));
            }
        }
        if height == 0 && header.block_hash() != genesis_block(self.network).block_hash() {
            return refuse(format!("is not the first of network {}", self.network));
        }
        if header.target() > params.max_attainable_target {
            return refuse("is easier than the network allows".into());
        }
        if header.validate_pow(header.target()).is_err() {
            return refuse("lacks its work".into());
        }
        self.run.push(header);
        Ok(())
    }
}

/// Where the difficulty period of a height begins.
pub(super) const fn start_of_period(height: u32) -> u32 {
    height.saturating_sub(height % PERIOD)
}

/// The target that the block at `height` must have, given the one before it and the first of that one's period. `None`
/// where the network leaves a choice: on test networks that allow easy blocks.
fn required(
    height: u32,
    last: &Header,
    first: Option<&Header>,
    params: &Params,
) -> Option<CompactTarget> {
    if params.allow_min_difficulty_blocks && !params.no_pow_retargeting {
        return None;
    }
    if params.no_pow_retargeting || !height.is_multiple_of(PERIOD) {
        return Some(last.bits);
    }
    let took = last.time.saturating_sub(first?.time);
    Some(CompactTarget::from_next_work_required(last.bits, took.into(), params))
}

#[cfg(test)]
pub(super) mod tests {
    use bitcoin::{TxMerkleNode, hashes::Hash};

    use super::*;

    /// The next header on regtest, mined; `salt` tells branches apart.
    pub(in crate::light) fn next(last: &Header, root: TxMerkleNode, salt: u32) -> Header {
        let mut header = Header {
            prev_blockhash: last.block_hash(),
            merkle_root: root,
            time: last.time + 1 + salt,
            nonce: 0,
            ..*last
        };
        while header.validate_pow(header.target()).is_err() {
            header.nonce += 1;
        }
        header
    }

    fn regtest(count: u32) -> Headers {
        let mut headers = Headers::from(Network::Regtest, 0);
        headers.push(genesis_block(Network::Regtest).header).unwrap();
        for _ in 0..count {
            let last = *headers.run.last().unwrap();
            headers.push(next(&last, TxMerkleNode::all_zeros(), 0)).unwrap();
        }
        headers
    }

    #[test]
    fn a_header_without_work_link_or_lawful_target_is_refused() {
        let mut headers = regtest(3);
        let last = *headers.run.last().unwrap();
        let good = next(&last, TxMerkleNode::all_zeros(), 0);
        let mut lazy = good;
        while lazy.validate_pow(lazy.target()).is_ok() {
            lazy.nonce += 1;
        }
        assert!(headers.push(lazy).unwrap_err().contains("lacks its work"));
        let stray = next(&good, TxMerkleNode::all_zeros(), 0);
        assert!(headers.push(stray).unwrap_err().contains("does not follow"));
        let mut easy = good;
        easy.bits = CompactTarget::from_consensus(0x207f_fffe);
        assert!(headers.push(easy).unwrap_err().contains("consensus forbids"));
        headers.push(good).unwrap();
        assert_eq!((headers.tip(), headers.hash(4)), (Some(4), Some(good.block_hash())));
        assert_eq!(headers.up_to(2).tip(), Some(2));
        assert_eq!(headers.work_above(2), good.work() + good.work());
    }

    #[test]
    fn only_the_last_two_periods_are_kept() {
        let mut headers = regtest(3 * PERIOD);
        headers.forget();
        assert_eq!((headers.base, headers.tip()), (2 * PERIOD, Some(3 * PERIOD)));
        assert!(headers.get(2 * PERIOD - 1).is_none() && headers.get(2 * PERIOD).is_some());
    }

    /// The main network's own headers around block 405,216, where the difficulty rose.
    #[test]
    fn on_the_main_network_a_retarget_is_computed_and_nothing_else_is_taken() {
        #[derive(serde::Deserialize)]
        struct Vector {
            header: String,
        }
        let text = include_str!("../../../tests/vectors/headers.json");
        let list: Vec<Vector> = serde_json::from_str(text).unwrap();
        let real: Vec<Header> = list
            .iter()
            .map(|v| {
                bitcoin::consensus::deserialize(&alloy::hex::decode(&v.header).unwrap()).unwrap()
            })
            .collect();
        let params = Params::new(Network::Bitcoin);
        let needs = |height, first| required(height, &real[2], first, &params);
        assert_eq!(needs(405_216, Some(&real[0])), Some(real[3].bits));
        assert_ne!(real[3].bits, real[2].bits);
        assert_eq!(needs(405_215, None), Some(real[2].bits), "within a period it stays");
        // a run that begins with a period: the next header must have its target
        let mut headers = Headers::from(Network::Bitcoin, 405_216);
        headers.push(real[3]).unwrap();
        headers.push(real[4]).unwrap();
        assert_eq!(headers.tip(), Some(405_217));
        let mut headers = Headers::from(Network::Bitcoin, 405_216);
        headers.push(real[2]).unwrap();
        assert!(headers.push(real[3]).unwrap_err().contains("consensus forbids"));
    }
}
