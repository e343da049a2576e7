//! Following the server's best chain, header by header.

use bdk_wallet::chain::CheckPoint;
use bitcoin::block::Header;

use super::{
    Light,
    headers::{Headers, PERIOD},
    lie,
};
use crate::error::Error;

impl Light {
    /// Headers up to the newest block of `chain` that the server has too, with the two periods below it.
    pub(super) fn load(&self, chain: &CheckPoint, top: u32) -> Result<Headers, Error> {
        let begin = self.first().saturating_sub(1);
        let mut agreed = None;
        for (point, depth) in chain.iter().zip(0_u32..) {
            if point.height() < begin || point.height() == 0 {
                break;
            }
            if depth > PERIOD {
                return Err(lie("its chain leaves ours more than 2016 blocks deep"));
            }
            if point.height() > top {
                continue;
            }
            if self.header(point.height())?.block_hash() == point.hash() {
                agreed = Some(point);
                break;
            }
        }
        let to = agreed.as_ref().map_or(begin, CheckPoint::height);
        let below = if agreed.is_some() { to.saturating_sub(PERIOD) } else { to };
        let mut headers = Headers::from(self.start.network, below);
        self.take(&mut headers, to)?;
        if agreed.is_some_and(|point| headers.hash(to) != Some(point.hash())) {
            return Err(lie("its headers do not lead to the block that we have read"));
        }
        Ok(headers)
    }

    /// Our headers and the server's next ones, and the height where they part.
    pub(super) fn extend(
        &self,
        ours: &Headers,
        have: u32,
        top: u32,
    ) -> Result<(Headers, u32), Error> {
        let tip = ours.tip().unwrap_or_default();
        let mut fork = tip;
        loop {
            let next = self.header(fork.saturating_add(1))?;
            match ours.hash(fork) {
                Some(hash) if next.prev_blockhash == hash => break,
                Some(_) if fork > 0 => fork = fork.saturating_sub(1),
                _ => return Err(lie("its chain leaves ours deeper than we have headers")),
            }
        }
        let to = top.min(have.saturating_add(1).max(fork.saturating_add(PERIOD)));
        let mut branch = ours.up_to(fork);
        self.take(&mut branch, to)?;
        if fork < tip && branch.work_above(fork) <= ours.work_above(fork) {
            return Err(lie("it shows a branch with less work than the chain that we have read"));
        }
        Ok((branch, fork))
    }

    /// Takes the server's headers up to a height, each checked.
    fn take(&self, headers: &mut Headers, to: u32) -> Result<(), Error> {
        while headers.next_height() <= to {
            let from = headers.next_height();
            let count = to.saturating_sub(from).saturating_add(1).min(PERIOD);
            let some = self.server.headers(from, count)?;
            if some.is_empty() {
                return Err(lie(format!("it has no header at {from}")));
            }
            let wanted = usize::try_from(count).unwrap_or(usize::MAX);
            for header in some.into_iter().take(wanted) {
                let (height, hash) = (headers.next_height(), header.block_hash());
                if let Some(anchor) = self.start.anchor
                    && height == self.start.birthday
                    && anchor != hash
                {
                    let why = format!("block {height} is {hash}, the configuration names {anchor}");
                    return Err(lie(why));
                }
                headers.push(header).map_err(lie)?;
            }
        }
        Ok(())
    }

    pub(super) fn header(&self, height: u32) -> Result<Header, Error> {
        let header = self.server.headers(height, 1)?.into_iter().next();
        header.ok_or_else(|| lie(format!("it has no header at {height}")))
    }
}
