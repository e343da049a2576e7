//! Who is credited what, and what is due: the rules of `docs/LEDGER.md`, pure and by our own arithmetic.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256, keccak256};
use domain::{EpochId, Leaf, OutRef, Sats, SeriesAcc, SeriesId};

use crate::{Error, encode};

/// Epochs after which a small sum is paid too.
const PATIENCE: u32 = 90;
/// What such a sum must at least be, sats.
const PATIENT_MIN: u64 = 2_000;

/// How one series' pot of one work epoch is split.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// Balance-seconds of the unit token, of each holder.
    pub holders: BTreeMap<Address, U256>,
    /// Their total.
    pub total: U256,
    /// Holders whose credit belongs to others.
    pub wrappers: Vec<Lookthrough>,
}

/// A holder that holds for the holders of its share token.
#[derive(Clone, Debug)]
pub struct Lookthrough {
    /// Pool or queue.
    pub wrapper: Address,
    /// Balance-seconds of its share token.
    pub shares: BTreeMap<Address, U256>,
    /// Their total.
    pub total: U256,
    /// Earns while the total is zero.
    pub first_loss: Address,
}

/// `floor(part * weight / total)`; zero if the total is.
///
/// # Errors
/// When the result does not fit 128 bits, as when the weight is above the total.
pub fn part_floor(part: u128, weight: U256, total: U256) -> Result<u128, Error> {
    if total.is_zero() {
        return Ok(0);
    }
    let product = U256::from(part).checked_mul(weight).ok_or(Error::Overflow("a credit"))?;
    u128::try_from(product / total).map_err(|_| Error::Overflow("a credit"))
}

/// `floor(sats * 2^64 * weight / total)`: one account's credit from one piece of a pot, 2^-64 sat.
///
/// # Errors
/// As [`part_floor`].
pub fn part_of_pot(sats: u64, weight: U256, total: U256) -> Result<u128, Error> {
    part_floor(u128::from(sats) << 64, weight, total)
}

/// Everybody's credit from one piece of a pot, 2^-64 sat. Credits of zero are left out.
///
/// # Errors
/// As [`part_floor`].
pub fn credits(sats: u64, split: &Split) -> Result<BTreeMap<Address, u128>, Error> {
    let mut credits = BTreeMap::new();
    for (holder, weight) in &split.holders {
        let credit = part_of_pot(sats, *weight, split.total)?;
        let Some(wrapper) = split.wrappers.iter().find(|w| w.wrapper == *holder) else {
            add(&mut credits, *holder, credit)?;
            continue;
        };
        if wrapper.total.is_zero() {
            add(&mut credits, wrapper.first_loss, credit)?;
        }
        for (owner, shares) in &wrapper.shares {
            add(&mut credits, *owner, part_floor(credit, *shares, wrapper.total)?)?;
        }
    }
    Ok(credits)
}

fn add(credits: &mut BTreeMap<Address, u128>, account: Address, credit: u128) -> Result<(), Error> {
    if credit > 0 {
        let entry = credits.entry(account).or_default();
        *entry = entry.checked_add(credit).ok_or(Error::Overflow("a credit"))?;
    }
    Ok(())
}

/// An account's line from epoch to epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Earned per series, for life, 2^-64 sat.
    pub acc: BTreeMap<SeriesId, u128>,
    /// Sats scheduled, for life.
    pub paid: u64,
    /// First epoch with something owed since the last payment.
    pub since: Option<EpochId>,
}

/// Where and from what sum an account is paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// scriptPubKey; empty if none is known.
    pub script: Vec<u8>,
    /// The account's own minimum, sats.
    pub minimum: u64,
}

/// What a commitment decides about payment.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The epoch.
    pub epoch: EpochId,
    /// Sats below which a due amount waits.
    pub min_pay: u64,
    /// Nobody is paid.
    pub defer: bool,
}

impl Account {
    /// Earns a credit.
    ///
    /// # Errors
    /// When the accumulator leaves 128 bits.
    pub fn earn(&mut self, series: SeriesId, credit: u128) -> Result<(), Error> {
        let acc = self.acc.entry(series).or_default();
        *acc = acc.checked_add(credit).ok_or(Error::Overflow("acc"))?;
        Ok(())
    }

    /// Whether nothing was ever earned or scheduled.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.paid == 0 && self.acc.values().all(|acc| *acc == 0)
    }

    /// Whole sats owed and not yet scheduled; zero while more is scheduled than earned, as after the court took
    /// credit back that was paid already.
    ///
    /// # Errors
    /// When a sum overflows.
    pub fn owed_floor(&self) -> Result<u64, Error> {
        let mut sum = 0_u128;
        for acc in self.acc.values() {
            sum = sum.checked_add(*acc).ok_or(Error::Overflow("sum of acc"))?;
        }
        let earned = u64::try_from(sum >> 64).map_err(|_| Error::Overflow("owed"))?;
        Ok(earned.saturating_sub(self.paid))
    }

    /// Closes an epoch: schedules what is due, which it returns (zero if nothing is), and moves `since`.
    ///
    /// # Errors
    /// As [`Account::owed_floor`].
    pub fn close(&mut self, terms: &Terms, rules: Rules) -> Result<u64, Error> {
        let owed = self.owed_floor()?;
        if owed == 0 {
            self.since = None;
            return Ok(0);
        }
        let since = self.since.unwrap_or(rules.epoch);
        let waited = rules.epoch.0.saturating_sub(since.0);
        let large = owed >= rules.min_pay.max(terms.minimum);
        let old = waited >= PATIENCE && owed >= PATIENT_MIN;
        let payable = encode::dust(&terms.script).is_some_and(|dust| owed >= dust);
        if rules.defer || !payable || !(large || old) {
            self.since = Some(since);
            return Ok(0);
        }
        self.paid = self.paid.checked_add(owed).ok_or(Error::Overflow("paid"))?;
        self.since = None;
        Ok(owed)
    }

    /// The account's leaf.
    #[must_use]
    pub fn leaf(&self, account: Address, terms: &Terms, out: Option<OutRef>) -> Leaf {
        let earned = |(series, acc): (&SeriesId, &u128)| SeriesAcc { series: *series, acc: *acc };
        Leaf {
            account,
            script_hash: if terms.script.is_empty() {
                alloy::primitives::B256::ZERO
            } else {
                keccak256(&terms.script)
            },
            paid: Sats(self.paid),
            since: self.since,
            out,
            acc: self.acc.iter().map(earned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const P2WPKH: [u8; 22] = [0, 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];

    fn rules(epoch: u32) -> Rules {
        Rules { epoch: EpochId(epoch), min_pay: 5_000, defer: false }
    }

    fn owing(sats: u64, since: Option<u32>) -> Account {
        let acc = BTreeMap::from([(SeriesId(1), u128::from(sats) << 64)]);
        Account { acc, paid: 0, since: since.map(EpochId) }
    }

    fn terms() -> Terms {
        Terms { script: P2WPKH.to_vec(), minimum: 0 }
    }

    #[test]
    fn what_is_due_follows_the_rule_at_each_of_its_edges() {
        let due =
            |account: &mut Account, terms: &Terms, rules| account.close(terms, rules).unwrap();
        assert_eq!(due(&mut owing(4_999, None), &terms(), rules(7)), 0);
        assert_eq!(due(&mut owing(5_000, None), &terms(), rules(7)), 5_000);
        assert_eq!(due(&mut owing(5_000, None), &Terms::default(), rules(7)), 0);
        let own = Terms { minimum: 6_000, ..terms() };
        assert_eq!(due(&mut owing(5_999, None), &own, rules(7)), 0);
        assert_eq!(due(&mut owing(2_000, Some(7)), &terms(), rules(96)), 0);
        assert_eq!(due(&mut owing(2_000, Some(7)), &terms(), rules(97)), 2_000);
        assert_eq!(due(&mut owing(1_999, Some(7)), &terms(), rules(97)), 0);
        assert_eq!(due(&mut owing(9_000, None), &terms(), Rules { defer: true, ..rules(7) }), 0);
        let low = Rules { min_pay: 0, ..rules(7) };
        assert_eq!(due(&mut owing(293, None), &terms(), low), 0);
        assert_eq!(due(&mut owing(294, None), &terms(), low), 294);
    }

    #[test]
    fn since_starts_with_the_first_debt_and_ends_with_payment() {
        let mut account = owing(100, None);
        account.close(&terms(), rules(7)).unwrap();
        assert_eq!(account.since, Some(EpochId(7)));
        account.earn(SeriesId(2), 9_000 << 64).unwrap();
        assert_eq!(account.close(&terms(), rules(8)).unwrap(), 9_100);
        assert_eq!((account.since, account.paid), (None, 9_100));
        assert_eq!(account.close(&terms(), rules(9)).unwrap(), 0);
        assert_eq!(account.since, None);
    }

    proptest! {
        #[test]
        fn nothing_is_created_and_less_than_one_step_per_floor_is_lost(
            sats in 0_u64..2_100_000_000_000_000,
            weights in prop::collection::vec(0_u128..1 << 110, 1..12),
            shares in prop::collection::vec(0_u128..1 << 110, 0..6),
            wrapper in any::<prop::sample::Index>(),
        ) {
            let account = |n: usize| Address::left_padding_from(&(u64::try_from(n).unwrap() + 1).to_be_bytes());
            let sum = |list: &[u128]| list.iter().fold(U256::ZERO, |a, b| a + U256::from(*b));
            let holders: BTreeMap<_, _> = weights.iter().enumerate().map(|(n, w)| (account(n), U256::from(*w))).collect();
            let owners: BTreeMap<_, _> = shares.iter().enumerate().map(|(n, w)| (account(100 + n), U256::from(*w))).collect();
            let wrapper = account(wrapper.index(weights.len()));
            let split = Split {
                holders,
                total: sum(&weights),
                wrappers: vec![Lookthrough { wrapper, shares: owners, total: sum(&shares), first_loss: account(999) }],
            };
            let credits = credits(sats, &split).unwrap();
            let given = credits.values().fold(U256::ZERO, |a, b| a + U256::from(*b));
            let pot = U256::from(sats) << 64;
            prop_assert!(given <= pot);
            prop_assert!(!credits.contains_key(&wrapper));
            if !split.total.is_zero() {
                prop_assert!(pot - given <= U256::from(weights.len() + shares.len()));
            }
        }

        #[test]
        fn an_accounts_credit_ignores_everybody_else(pot in 0_u64..1 << 50, own in 1_u128..1 << 100, others in 0_u128..1 << 100) {
            let total = U256::from(own) + U256::from(others);
            let direct = part_of_pot(pot, U256::from(own), total).unwrap();
            let mut holders = BTreeMap::from([(Address::repeat_byte(1), U256::from(own))]);
            holders.insert(Address::repeat_byte(2), U256::from(others / 3));
            holders.insert(Address::repeat_byte(3), U256::from(others - others / 3));
            let split = Split { holders, total, wrappers: Vec::new() };
            let all = credits(pot, &split).unwrap();
            prop_assert_eq!(all.get(&Address::repeat_byte(1)).copied().unwrap_or_default(), direct);
        }
    }
}
