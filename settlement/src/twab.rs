//! Balance-seconds replayed from Transfer events: what each account held, for how long, in given epochs. Pure.
//!
//! The balance in effect from a block's second on is the one after its last transaction: transfers of one second
//! cancel out, so a flash loan weighs zero. The zero address stands for the supply.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use domain::EpochId;

use crate::allocate::Weights;

/// A Transfer event with the time of its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Unix seconds.
    pub time: u64,
    /// Sender; zero for a mint.
    pub from: Address,
    /// Receiver; zero for a burn.
    pub to: Address,
    /// Token units.
    pub amount: U256,
}

/// Why events cannot be replayed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReplayError {
    /// Somebody sent more than they had: an event is missing.
    #[error("{account} sends {amount} and holds {held}: an event is missing from the node's logs")]
    Overdrawn {
        /// Sender; zero for a burn beyond the supply.
        account: Address,
        /// Sent.
        amount: U256,
        /// Held.
        held: U256,
    },
    /// A number left 256 bits.
    #[error("balance-seconds of {0} do not fit 256 bits")]
    Overflow(Address),
}

#[derive(Debug, Default)]
struct Account {
    since: u64,
    balance: U256,
    seconds: BTreeMap<EpochId, U256>,
}

/// Who held what at a moment; the zero address stands for the supply. Nobody holds zero.
pub type Balances = BTreeMap<Address, U256>;

/// Weights of `epochs`, from all of a token's transfers in chain order. Every epoch asked for must have ended at the
/// block up to which events were read.
///
/// # Errors
/// When events are missing or a number leaves its range.
pub fn replay(
    transfers: &[Transfer],
    epochs: &[EpochId],
) -> Result<BTreeMap<EpochId, Weights>, ReplayError> {
    replay_from(&Balances::new(), transfers, epochs)
}

/// Balances after transfers.
///
/// # Errors
/// When events are missing or a number leaves its range.
pub fn balances(before: &Balances, transfers: &[Transfer]) -> Result<Balances, ReplayError> {
    let accounts = walk(before, transfers, &[])?.into_iter();
    let held = accounts.filter(|(_, account)| !account.balance.is_zero());
    Ok(held.map(|(address, account)| (address, account.balance)).collect())
}

/// Weights of `epochs`, from balances before the first of them and all transfers since.
///
/// # Errors
/// When events are missing or a number leaves its range.
pub fn replay_from(
    before: &Balances,
    transfers: &[Transfer],
    epochs: &[EpochId],
) -> Result<BTreeMap<EpochId, Weights>, ReplayError> {
    let accounts = walk(before, transfers, epochs)?;
    let mut weights: BTreeMap<EpochId, Weights> =
        epochs.iter().map(|epoch| (*epoch, Weights::default())).collect();
    for (address, mut account) in accounts {
        account.touch(address, u64::MAX, epochs)?;
        for (epoch, seconds) in account.seconds {
            let weights = weights.entry(epoch).or_default();
            if address.is_zero() {
                weights.total = seconds;
            } else {
                weights.of.insert(address, seconds);
            }
        }
    }
    Ok(weights)
}

fn walk(
    before: &Balances,
    transfers: &[Transfer],
    epochs: &[EpochId],
) -> Result<BTreeMap<Address, Account>, ReplayError> {
    let held = |(address, balance): (&Address, &U256)| {
        (*address, Account { balance: *balance, ..Account::default() })
    };
    let mut accounts: BTreeMap<Address, Account> = before.iter().map(held).collect();
    for transfer in transfers {
        if transfer.from == transfer.to {
            continue;
        }
        // the supply is the balance of the zero address, with the signs turned
        let (giver, taker) = if transfer.from.is_zero() || transfer.to.is_zero() {
            let supply = accounts.entry(Address::ZERO).or_default();
            supply.touch(Address::ZERO, transfer.time, epochs)?;
            if transfer.from.is_zero() {
                supply.gain(Address::ZERO, transfer.amount)?;
                (None, Some(transfer.to))
            } else {
                supply.lose(Address::ZERO, transfer.amount)?;
                (Some(transfer.from), None)
            }
        } else {
            (Some(transfer.from), Some(transfer.to))
        };
        if let Some(giver) = giver {
            let account = accounts.entry(giver).or_default();
            account.touch(giver, transfer.time, epochs)?;
            account.lose(giver, transfer.amount)?;
        }
        if let Some(taker) = taker {
            let account = accounts.entry(taker).or_default();
            account.touch(taker, transfer.time, epochs)?;
            account.gain(taker, transfer.amount)?;
        }
    }
    Ok(accounts)
}

impl Account {
    /// Books the time since the last touch.
    fn touch(&mut self, who: Address, now: u64, epochs: &[EpochId]) -> Result<(), ReplayError> {
        if !self.balance.is_zero() {
            for epoch in epochs {
                let from = self.since.max(epoch.start());
                let held = now.min(epoch.end()).saturating_sub(from);
                if held == 0 {
                    continue;
                }
                let seconds = self.balance.checked_mul(U256::from(held));
                let sum = self.seconds.entry(*epoch).or_default();
                let total = seconds.and_then(|seconds| sum.checked_add(seconds));
                *sum = total.ok_or(ReplayError::Overflow(who))?;
            }
        }
        self.since = now;
        Ok(())
    }

    fn gain(&mut self, who: Address, amount: U256) -> Result<(), ReplayError> {
        self.balance = self.balance.checked_add(amount).ok_or(ReplayError::Overflow(who))?;
        Ok(())
    }

    fn lose(&mut self, account: Address, amount: U256) -> Result<(), ReplayError> {
        let rest = self.balance.checked_sub(amount);
        let held = self.balance;
        self.balance = rest.ok_or(ReplayError::Overdrawn { account, amount, held })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn who(n: u8) -> Address {
        Address::repeat_byte(n)
    }

    fn transfer(time: u64, from: u8, to: u8, amount: u64) -> Transfer {
        Transfer { time, from: who(from), to: who(to), amount: U256::from(amount) }
    }

    #[test]
    fn a_sale_in_mid_epoch_splits_the_epoch() {
        let epoch = EpochId(10);
        let half = epoch.start() + 14_400;
        let log =
            [transfer(5, 0, 1, 100), transfer(half, 1, 2, 60), transfer(epoch.end(), 2, 1, 60)];
        let weights = replay(&log, &[epoch]).unwrap().remove(&epoch).unwrap();
        assert_eq!(weights.of[&who(1)], U256::from(100 * 14_400 + 40 * 14_400));
        assert_eq!(weights.of[&who(2)], U256::from(60 * 14_400));
        assert_eq!(weights.total, U256::from(100 * 28_800));
    }

    #[test]
    fn a_flash_loan_weighs_zero() {
        let epoch = EpochId(10);
        let t = epoch.start() + 7;
        let log = [transfer(5, 0, 1, 100), transfer(t, 1, 2, 100), transfer(t, 2, 1, 100)];
        let weights = replay(&log, &[epoch]).unwrap().remove(&epoch).unwrap();
        assert_eq!(weights.of.get(&who(2)), None);
        assert_eq!(weights.of[&who(1)], weights.total);
    }

    #[test]
    fn from_balances_on_the_weights_are_the_same() {
        let epoch = EpochId(10);
        let early = [transfer(5, 0, 1, 100), transfer(6, 1, 2, 60), transfer(7, 2, 0, 10)];
        let late = [transfer(epoch.start() + 9, 2, 3, 50), transfer(epoch.start() + 11, 0, 1, 5)];
        let all = [early.as_slice(), late.as_slice()].concat();
        let before = balances(&Balances::new(), &early).unwrap();
        let from = replay_from(&before, &late, &[epoch]).unwrap();
        assert_eq!(from, replay(&all, &[epoch]).unwrap());
        assert_eq!(from[&epoch].total, U256::from(90 * 28_800 + 5 * (28_800 - 11)));
    }

    #[test]
    fn a_missing_event_is_noticed() {
        let log = [transfer(5, 0, 1, 100), transfer(6, 1, 2, 101)];
        assert!(matches!(replay(&log, &[]), Err(ReplayError::Overdrawn { .. })));
    }

    proptest! {
        #[test]
        fn accounts_sum_to_the_supply_and_an_idle_account_is_not_forgotten(
            moves in prop::collection::vec((0_u64..100_000, 1_u8..6, 1_u8..6, 0_u64..40), 0..40),
            idle in 0_u32..200,
        ) {
            let mut log: Vec<_> = (1..6).map(|n| transfer(100, 0, n, 50 * 40)).collect();
            let mut time = 100;
            for (step, from, to, amount) in moves {
                time += step;
                log.push(transfer(time, from, to, amount));
            }
            let epochs: Vec<EpochId> = [0, 1, 3, 20, 100 + idle].into_iter().map(EpochId).collect();
            for (epoch, weights) in replay(&log, &epochs).unwrap() {
                let sum = weights.of.values().fold(U256::ZERO, |sum, w| sum + w);
                prop_assert_eq!(sum, weights.total);
                if epoch.0 > 0 {
                    prop_assert_eq!(weights.total, U256::from(5_u64 * 2_000 * 28_800));
                }
            }
        }
    }
}
