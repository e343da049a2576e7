//! Fair value, computed a second time from reports, registry and schedule (DESIGN section 4.3). Values are sats per
//! whole unit times 2^32; every division rounds down except where named.

use alloy::primitives::U256;
use evm::bindings::IFairValue::Params;

use crate::Error;

/// Fractions are parts per million.
const PPM: u64 = 1_000_000;
/// Fixed point of powers.
const WAD: u64 = 1_000_000_000_000_000_000;
/// Seconds in the month of the schedule.
const MONTH: u64 = 30 * 86_400;
/// Seconds in an epoch.
const EPOCH: u64 = domain::EPOCH_SECONDS;
/// Reports after which a hardware quote is too old.
const HARDWARE_EPOCHS: u32 = 3;
/// Reports that the trailing income looks back.
const TRAILING: usize = 3;

const OVERFLOW: Error = Error::Overflow("a fair value");

/// What a series' reports left behind for the next valuation.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Sats and work of the last reports, newest last.
    income: Vec<(u128, u128)>,
    /// Whether any report brought sats.
    earned: bool,
    /// Hardware price as last quoted, and when.
    hardware: Option<(u128, u32)>,
    /// Epoch of the last step, the value published by it, and that from which it stepped.
    step: Option<(u32, u128, u128)>,
}

/// What a report, or a valuation apart from production, says of one series, with what stood in the registry.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    /// Its epoch.
    pub epoch: u32,
    /// Quote units per BTC, of the highest epoch so far.
    pub quote_per_btc: u64,
    /// Sats of pots and deductions, and acknowledged hashes; none in a valuation.
    pub income: Option<(u128, u128)>,
    /// Quote units per 1e15 H/s; zero if nobody quoted.
    pub hardware_price: u128,
    /// Hashes per second of a whole unit.
    pub hashrate_per_unit: u64,
    /// Service date, unix seconds.
    pub service_date: u64,
    /// Sats per epoch and whole unit, times 2^32.
    pub opex: u64,
}

/// What should have been published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// From the schedule.
    pub schedule: u128,
    /// From quoted hardware; zero if unknown.
    pub hardware: u128,
    /// From income; zero if unknown.
    pub discounted: u128,
    /// The median of what is known.
    pub raw: u128,
    /// `raw`, at most 2 % from `previous`.
    pub published: u128,
    /// Published before.
    pub previous: u128,
}

impl Memory {
    /// Epoch of the last step.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        self.step.map(|(epoch, _, _)| epoch)
    }

    /// Takes a report or valuation in and values the series by it. One of an epoch that is valued already does that step
    /// once more.
    ///
    /// # Errors
    /// When a value leaves its field.
    pub fn value(&mut self, params: &Params, inputs: &Inputs) -> Result<Value, Error> {
        let quoted_at = self.hardware.map_or(0, |(_, at)| at);
        if inputs.hardware_price > 0 && inputs.epoch >= quoted_at {
            self.hardware = Some((inputs.hardware_price, inputs.epoch));
        }
        if let Some((sats, work)) = inputs.income {
            self.earned |= sats > 0;
            self.income.push((sats, work));
            let old = self.income.len().saturating_sub(TRAILING);
            self.income.drain(..old);
        }
        let again = self.step.filter(|(epoch, _, _)| *epoch >= inputs.epoch);
        let epoch = again.map_or(inputs.epoch, |(epoch, _, _)| epoch);

        let end = (u64::from(epoch) + 1) * EPOCH;
        let schedule = schedule(params, end.saturating_sub(inputs.service_date))?;
        let quoted = self.hardware.filter(|(_, at)| at + HARDWARE_EPOCHS >= epoch);
        let hardware = quoted.map_or(Ok(U256::ZERO), |(price, _)| hardware(price, inputs))?;
        let discounted = if self.earned {
            discounted(params, self.income(inputs)?, inputs.opex)?
        } else {
            U256::ZERO
        };
        let raw = median_of_known(schedule, hardware, discounted);
        let before = again.map(|(_, _, previous)| previous);
        let before = before.or(self.step.map(|(_, published, _)| published));
        let previous = before.map_or(raw, U256::from);
        let (low, high) = (mul_div(previous, 98, 100)?, mul_div(previous, 102, 100)?);
        let value = Value {
            schedule: narrow(schedule)?,
            hardware: narrow(hardware)?,
            discounted: narrow(discounted)?,
            raw: narrow(raw)?,
            published: narrow(raw.max(low).min(high))?,
            previous: narrow(previous)?,
        };
        self.step = Some((epoch, value.published, value.previous));
        Ok(value)
    }

    /// Sats per whole unit and epoch over the trailing reports, times 2^32.
    fn income(&self, inputs: &Inputs) -> Result<U256, Error> {
        let (mut sats, mut work) = (0_u128, 0_u128);
        for (earned, done) in &self.income {
            sats = sats.checked_add(*earned).ok_or(OVERFLOW)?;
            work = work.checked_add(*done).ok_or(OVERFLOW)?;
        }
        if work == 0 {
            return Ok(U256::ZERO);
        }
        let per_unit = U256::from(inputs.hashrate_per_unit) * U256::from(EPOCH);
        let income = times(U256::from(sats) << 32, per_unit)? / U256::from(work);
        Ok(income.min((U256::from(1) << 112) - U256::from(1)))
    }
}

/// `initial * (scrap + (1 - scrap) * (1 - decay)^months)`, linear within a month.
fn schedule(params: &Params, age: u64) -> Result<U256, Error> {
    let wad = U256::from(WAD);
    let keep = wad - U256::from(params.decayPpm) * U256::from(WAD / PPM);
    let mut left = power(keep, age / MONTH)?;
    left -= mul_div(left * (wad - keep) / wad, age % MONTH, MONTH)?;
    let above = mul_div(U256::from(params.initialValue), PPM - u64::from(params.scrapPpm), PPM)?;
    Ok(scrap(params)? + times(above, left)? / wad)
}

fn scrap(params: &Params) -> Result<U256, Error> {
    mul_div(U256::from(params.initialValue), u64::from(params.scrapPpm), PPM)
}

/// Price of the hashrate of a whole unit, turned into sats.
fn hardware(price: u128, inputs: &Inputs) -> Result<U256, Error> {
    let quote = times(U256::from(price), U256::from(inputs.hashrate_per_unit))?;
    let btc = U256::from(100_000_000_u64) << 32;
    let per = U256::from(inputs.quote_per_btc) * U256::from(1_000_000_000_000_000_u64);
    if per.is_zero() {
        return Err(OVERFLOW);
    }
    Ok((times(quote, btc)? / per).min(U256::from(u128::MAX)))
}

/// What the unit still earns net of opex, discounted per epoch, and scrap at the end; never below scrap.
fn discounted(params: &Params, income: U256, opex: u64) -> Result<U256, Error> {
    let (wad, one) = (U256::from(WAD), U256::from(1));
    let rest = scrap(params)?;
    let opex = U256::from(opex);
    if income <= opex {
        return Ok(rest.max(one));
    }
    let keep = wad - U256::from(params.discountPpm) * U256::from(WAD / PPM);
    let end = power(keep, u64::from(params.lifeEpochs))?;
    let annuity = if keep == wad {
        U256::from(params.lifeEpochs) * wad
    } else {
        times(keep, wad - end)? / (wad - keep)
    };
    let value = times(income - opex, annuity)? / wad + times(rest, end)? / wad;
    Ok(value.max(rest).max(one).min(U256::from(u128::MAX)))
}

/// The median of the values that are known (above zero); the lower of two.
fn median_of_known(h: U256, q: U256, d: U256) -> U256 {
    let mut known: Vec<U256> = [q, d].into_iter().filter(|value| !value.is_zero()).collect();
    known.push(h);
    known.sort();
    known.get(known.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// `base^exponent` in fixed point of 1e18, every product rounded half up, squaring from the low bit: the order of
/// roundings is part of the published value.
fn power(base: U256, exponent: u64) -> Result<U256, Error> {
    let (wad, half) = (U256::from(WAD), U256::from(WAD / 2));
    let (mut square, mut rest) = (base, exponent);
    let mut result = if rest % 2 == 1 { base } else { wad };
    while rest > 1 {
        rest /= 2;
        square = (times(square, square)? + half) / wad;
        if rest % 2 == 1 {
            result = (times(result, square)? + half) / wad;
        }
    }
    Ok(result)
}

fn mul_div(value: U256, by: u64, over: u64) -> Result<U256, Error> {
    Ok(times(value, U256::from(by))? / U256::from(over))
}

fn times(a: U256, b: U256) -> Result<U256, Error> {
    a.checked_mul(b).ok_or(OVERFLOW)
}

fn narrow(value: U256) -> Result<u128, Error> {
    u128::try_from(value).map_err(|_| OVERFLOW)
}

#[cfg(test)]
mod differential;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn params() -> Params {
        Params {
            initialValue: 33_500 << 32,
            scrapPpm: 100_000,
            decayPpm: 13_600,
            discountPpm: 20_000,
            lifeEpochs: 1_000,
        }
    }

    #[test]
    fn powers_are_exact_where_they_can_be() {
        let half = U256::from(WAD / 2);
        assert_eq!(power(half, 0).unwrap(), U256::from(WAD));
        assert_eq!(power(half, 1).unwrap(), half);
        assert_eq!(power(half, 10).unwrap(), U256::from((WAD + 512) / 1_024));
    }

    #[test]
    fn the_schedule_starts_at_new_and_ends_at_scrap() {
        assert_eq!(schedule(&params(), 0).unwrap(), U256::from(33_500_u64 << 32));
        let old = schedule(&params(), MONTH * 5_000).unwrap();
        assert_eq!(old, U256::from(3_350_u64 << 32));
    }

    #[test]
    fn the_median_takes_only_what_is_known() {
        let m =
            |h: u64, q: u64, d: u64| median_of_known(U256::from(h), U256::from(q), U256::from(d));
        assert_eq!(m(5, 0, 0), U256::from(5));
        assert_eq!(m(5, 3, 0), U256::from(3));
        assert_eq!(m(5, 0, 9), U256::from(5));
        assert_eq!(m(5, 9, 7), U256::from(7));
        assert_eq!(m(0, 9, 7), U256::from(7));
    }

    proptest! {
        #[test]
        fn what_is_published_moves_at_most_two_percent(sats in prop::collection::vec(0_u64..1 << 40, 1..8)) {
            let mut memory = Memory::default();
            let mut before: Option<u128> = None;
            for (n, sats) in (0_u32..).zip(sats) {
                let inputs = Inputs {
                    epoch: 60_000 + n, quote_per_btc: 60_000_000_000, income: Some((u128::from(sats), 1 << 50)),
                    hardware_price: 0, hashrate_per_unit: 1 << 20, service_date: 0, opex: 0,
                };
                let value = memory.value(&params(), &inputs).unwrap();
                if let Some(before) = before {
                    prop_assert_eq!(value.previous, before);
                    prop_assert!(value.published <= before * 102 / 100 && value.published >= before * 98 / 100);
                }
                before = Some(value.published);
            }
        }
    }
}
