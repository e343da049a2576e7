//! Balances and balance-seconds of a token, replayed from its transfers.
//!
//! The balance in effect is the one after the last transaction of each block: moves within a block share its time, so
//! what was held between them was held for no second.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, U256};
use domain::EpochId;

use crate::{Error, history::Move};

/// What every account of a token held, and when.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Per account: times (unix seconds, ascending) and the balance from each on.
    accounts: BTreeMap<Address, Vec<(u64, U256)>>,
    supply: Vec<(u64, U256)>,
}

impl Replay {
    /// Replays transfers, which are in chain order.
    ///
    /// # Errors
    /// When an account sends more than it has, or a sum overflows: the logs are not this token's.
    pub fn of(moves: &[Move]) -> Result<Self, Error> {
        let mut replay = Self::default();
        for step in moves {
            let time = step.at.time;
            if step.from.is_zero() {
                change(&mut replay.supply, time, |held| held.checked_add(step.amount))?;
            } else {
                let line = replay.accounts.entry(step.from).or_default();
                change(line, time, |held| held.checked_sub(step.amount))?;
            }
            if step.to.is_zero() {
                change(&mut replay.supply, time, |held| held.checked_sub(step.amount))?;
            } else {
                let line = replay.accounts.entry(step.to).or_default();
                change(line, time, |held| held.checked_add(step.amount))?;
            }
        }
        Ok(replay)
    }

    /// Every account that ever held the token.
    pub fn holders(&self) -> impl Iterator<Item = Address> + '_ {
        self.accounts.keys().copied()
    }

    /// Token units held at the end.
    #[must_use]
    pub fn balance(&self, account: Address) -> U256 {
        self.accounts.get(&account).and_then(|line| line.last()).map_or(U256::ZERO, |last| last.1)
    }

    /// Supply at the end.
    #[must_use]
    pub fn supply(&self) -> U256 {
        self.supply.last().map_or(U256::ZERO, |last| last.1)
    }

    /// Token units x seconds of `account` in `epoch`.
    ///
    /// # Errors
    /// When the sum overflows 256 bits.
    pub fn seconds(&self, account: Address, epoch: EpochId) -> Result<U256, Error> {
        self.accounts.get(&account).map_or(Ok(U256::ZERO), |line| integral(line, epoch))
    }

    /// Token units x seconds of the whole supply in `epoch`.
    ///
    /// # Errors
    /// When the sum overflows 256 bits.
    pub fn total_seconds(&self, epoch: EpochId) -> Result<U256, Error> {
        integral(&self.supply, epoch)
    }

    /// Every account with balance-seconds above zero in `epoch`.
    ///
    /// # Errors
    /// When a sum overflows 256 bits.
    pub fn all_seconds(&self, epoch: EpochId) -> Result<BTreeMap<Address, U256>, Error> {
        let mut all = BTreeMap::new();
        for (account, line) in &self.accounts {
            let seconds = integral(line, epoch)?;
            if !seconds.is_zero() {
                all.insert(*account, seconds);
            }
        }
        Ok(all)
    }

    /// Epochs in which a transfer happened.
    #[must_use]
    pub fn touched(&self) -> BTreeSet<EpochId> {
        self.accounts.values().flatten().map(|(time, _)| EpochId::at(*time)).collect()
    }
}

fn change(
    line: &mut Vec<(u64, U256)>,
    time: u64,
    step: impl Fn(U256) -> Option<U256>,
) -> Result<(), Error> {
    let held = line.last().map_or(U256::ZERO, |last| last.1);
    let held = step(held)
        .ok_or_else(|| Error::decode("a token's transfer log", "a balance would be negative"))?;
    match line.last_mut() {
        Some(last) if last.0 == time => last.1 = held,
        _ => line.push((time, held)),
    }
    Ok(())
}

/// Sum over the seconds of `epoch` of the balance in effect.
fn integral(line: &[(u64, U256)], epoch: EpochId) -> Result<U256, Error> {
    let (start, end) = (epoch.start(), epoch.end());
    let first = line.partition_point(|(time, _)| *time <= start).saturating_sub(1);
    let mut sum = U256::ZERO;
    let steps = line.get(first..).unwrap_or_default();
    for (position, (time, held)) in steps.iter().enumerate() {
        let until = steps.get(position.saturating_add(1)).map_or(end, |next| next.0.min(end));
        let from = (*time).max(start);
        if from >= end {
            break;
        }
        let part = held.checked_mul(U256::from(until.saturating_sub(from)));
        sum = part
            .and_then(|part| sum.checked_add(part))
            .ok_or(Error::Overflow("balance-seconds"))?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;
    use domain::EPOCH_SECONDS;
    use proptest::prelude::*;

    use super::*;
    use crate::history::Stamp;

    fn step(time: u64, from: u8, to: u8, amount: u64) -> Move {
        let at = Stamp { block: time, index: 0, time, tx: B256::ZERO };
        let account = |n: u8| if n == 0 { Address::ZERO } else { Address::repeat_byte(n) };
        Move { at, from: account(from), to: account(to), amount: U256::from(amount) }
    }

    #[test]
    fn seconds_split_at_the_transfer_and_a_flash_holding_weighs_nothing() {
        let start = EpochId(3).start();
        let replay = Replay::of(&[
            step(start - 100, 0, 1, 10),
            step(start + 800, 1, 2, 4),
            step(start + 900, 1, 3, 6),
            step(start + 900, 3, 1, 6),
        ])
        .unwrap();
        let seconds = |n| replay.seconds(Address::repeat_byte(n), EpochId(3)).unwrap();
        assert_eq!(seconds(1), U256::from(800 * 10 + 28_000 * 6));
        assert_eq!(seconds(2), U256::from(28_000 * 4));
        assert_eq!(seconds(3), U256::ZERO);
        assert_eq!(replay.total_seconds(EpochId(3)).unwrap(), U256::from(288_000));
        assert_eq!(
            replay.seconds(Address::repeat_byte(2), EpochId(90)).unwrap(),
            U256::from(4 * 28_800)
        );
        assert_eq!(replay.seconds(Address::repeat_byte(1), EpochId(2)).unwrap(), U256::from(1_000));
    }

    #[test]
    fn a_transfer_beyond_the_balance_is_refused() {
        assert!(Replay::of(&[step(1, 0, 1, 5), step(2, 1, 2, 6)]).is_err());
    }

    proptest! {
        #[test]
        fn accounts_always_sum_to_the_supply(
            moves in prop::collection::vec((0_u64..90_000, 1_u8..6, 1_u8..6, 0_u64..1_000), 0..60),
            epoch in 0_u32..5,
        ) {
            let mut times = moves;
            times.sort_by_key(|m| m.0);
            let mut log = vec![step(5, 0, 1, 1_000)];
            let mut held = [0_u64, 1_000, 0, 0, 0, 0];
            for (time, from, to, amount) in times {
                let amount = amount.min(held[usize::from(from)]);
                held[usize::from(from)] -= amount;
                held[usize::from(to)] += amount;
                log.push(step(time + 5, from, to, amount));
            }
            let replay = Replay::of(&log).unwrap();
            let sum = replay.all_seconds(EpochId(epoch)).unwrap().values().fold(U256::ZERO, |a, b| a + b);
            prop_assert_eq!(sum, replay.total_seconds(EpochId(epoch)).unwrap());
            if epoch > 0 {
                prop_assert_eq!(sum, U256::from(1_000 * EPOCH_SECONDS));
            }
        }
    }
}
