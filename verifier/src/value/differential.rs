//! Pool integral, fair value and balance-seconds against the contracts: the same seeded cases, computed here from their
//! definitions in wide integers and there by the libraries, folded into the digests of `tests/vectors/math.json`. The
//! Solidity side is tests/contracts/Differential.t.sol.

use std::collections::BTreeMap;

use alloy::{
    primitives::{B256, U256, U512, keccak256},
    sol_types::SolValue,
};

use super::{Inputs, discounted, hardware, median_of_known, schedule};
use evm::bindings::IFairValue::Params;

const UNIT: u64 = 1_000_000_000_000_000_000;
const EPOCH: u64 = 28_800;

/// Draws and digest as the contract test makes them.
struct Fold {
    state: U256,
    digest: B256,
}

impl Fold {
    fn new(seed: &str) -> Self {
        Self { state: keccak256(seed).into(), digest: B256::ZERO }
    }

    fn draw(&mut self) -> U256 {
        self.state = keccak256(self.state.abi_encode()).into();
        self.state
    }

    fn below(&mut self, bound: U256) -> U256 {
        self.draw() % bound
    }

    fn small(&mut self, bound: u64) -> u64 {
        self.below(U256::from(bound)).to()
    }

    fn wide(&mut self, bits: u64) -> U256 {
        let size = self.small(bits) + 1;
        self.below(U256::from(1) << size)
    }

    fn add(&mut self, results: &[U256]) {
        let mut bytes = self.digest.to_vec();
        for result in results {
            bytes.extend(result.to_be_bytes::<32>());
        }
        self.digest = keccak256(bytes);
    }

    fn check(&self, key: &str) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/math.json");
        let vectors: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(vectors[key].as_str().unwrap(), self.digest.to_string(), "{key}");
    }
}

fn wide(x: impl Into<U256>) -> U512 {
    U512::from(x.into())
}

fn narrow(x: U512) -> U256 {
    x.to()
}

/// The integral of `base (one ∓ slope x / max)` from `low` to `high`, as a fraction: base times
/// `one (high - low) - slope (high² - low²) / 2 max`.
fn integral(base: U256, one: u64, slope: u64, low: U256, high: U256, max: U256) -> (U512, U512) {
    let (low, high, max) = (wide(low), wide(high), wide(max));
    let two_max = U512::from(2) * max;
    let flat = U512::from(one) * (high - low) * two_max;
    let fallen = U512::from(slope) * (high * high - low * low);
    (wide(base) * (flat - fallen), two_max * U512::from(1_000_000) * U512::from(UNIT))
}

#[test]
fn the_pool_integral_is_the_contracts() {
    let mut fold = Fold::new("pool");
    for _ in 0..10_000 {
        let fee = fold.small(500_000);
        let skew = fold.small(1_000_000 - fee);
        let ask_skew = fold.small(fee + 1);
        let most = (U256::from(1) << 96) - U256::from(1);
        let max = (fold.wide(96) + U256::from(1)).min(most);
        let base = fold.wide(104);
        let held = fold.below(max);
        let units = fold.below(max - held) + U256::from(1);
        let (top, bottom) = integral(base, 1_000_000 - fee, skew, held, held + units, max);
        let got = narrow(top / bottom);
        // as many units as the budget pays at the price of the first
        let budget = fold.wide(96);
        let first =
            wide(base) * (U512::from(1_000_000 - fee) * wide(max) - U512::from(skew) * wide(held));
        let few = if first.is_zero() {
            U256::ZERO
        } else {
            narrow(wide(budget) * U512::from(UNIT) * U512::from(1_000_000) * wide(max) / first)
        };
        let held = fold.wide(96).max(U256::from(1));
        let units = fold.below(held) + U256::from(1);
        let left = held - units;
        let (full, empty) = (held.min(max), left.min(max));
        let (mut top, bottom) = integral(base, 1_000_000 + fee, ask_skew, empty, full, max);
        // beyond a full inventory the ask falls no further
        let beyond = units - (full - empty);
        top += wide(base)
            * U512::from(1_000_000 + fee - ask_skew)
            * wide(beyond)
            * U512::from(2)
            * wide(max);
        let paid = narrow(top.div_ceil(bottom));
        fold.add(&[got, few, paid]);
    }
    fold.check("pool");
}

#[test]
fn fair_value_is_the_contracts() {
    let mut fold = Fold::new("value");
    for _ in 0..10_000 {
        let params = Params {
            initialValue: fold.wide(96).to(),
            scrapPpm: fold.small(1_000_001).try_into().unwrap(),
            decayPpm: fold.small(1_000_001).try_into().unwrap(),
            discountPpm: (fold.wide(20) % U256::from(1_000_001)).to(),
            lifeEpochs: (fold.wide(16) % U256::from(50_001)).to(),
        };
        let h = schedule(&params, fold.wide(30).to()).unwrap();
        let price = fold.wide(120).to();
        let inputs = Inputs {
            epoch: 0,
            hashrate_per_unit: fold.wide(64).to(),
            quote_per_btc: (fold.wide(63) + U256::from(1)).to(),
            income: None,
            hardware_price: price,
            service_date: 0,
            opex: 0,
        };
        let q = hardware(price, &inputs).unwrap();
        let income = fold.wide(112);
        let d = discounted(&params, income, fold.wide(64).to()).unwrap();
        fold.add(&[h, q, d, median_of_known(h, q, d)]);
    }
    fold.check("value");
}

/// What an account held, from when.
type Held = Vec<(u64, U256)>;

/// Second by second, piece by piece: no cumulative sum and no ring.
fn weight(held: &Held, epoch: u64) -> U256 {
    let (start, end) = (epoch * EPOCH, (epoch + 1) * EPOCH);
    let mut sum = U256::ZERO;
    for (i, (from, balance)) in held.iter().enumerate() {
        let until = held.get(i + 1).map_or(u64::MAX, |next| next.0);
        let (low, high) = ((*from).max(start), until.min(end));
        sum += *balance * U256::from(high.saturating_sub(low));
    }
    sum
}

#[test]
fn balance_seconds_are_the_contracts() {
    let mut fold = Fold::new("twab");
    for _ in 0..40 {
        let mut time = 100_000 * EPOCH + fold.small(EPOCH);
        let mut accounts: BTreeMap<u64, Held> = BTreeMap::new();
        for account in 0..5 {
            accounts.insert(account, vec![(time, fold.wide(90))]);
        }
        for _ in 0..50 {
            let longest = if fold.small(10) == 0 { 40 * EPOCH } else { EPOCH };
            time += fold.small(longest);
            let (from, to) = (fold.small(5), fold.small(5));
            let balance = |accounts: &BTreeMap<u64, Held>, who| accounts[&who].last().unwrap().1;
            let amount = fold.below(balance(&accounts, from) + U256::from(1));
            let left = balance(&accounts, from) - amount;
            accounts.get_mut(&from).unwrap().push((time, left));
            let more = balance(&accounts, to) + amount;
            accounts.get_mut(&to).unwrap().push((time, more));
        }
        let now = time / EPOCH;
        for epoch in now - 31..now {
            for held in accounts.values() {
                fold.add(&[weight(held, epoch)]);
            }
        }
    }
    fold.check("twab");
}
