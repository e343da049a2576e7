//! The synthetic order book of one market and the matching of one order against it: pure.

use super::config::Symbol;
use crate::amount::{ONE, mul_div_floor};

/// Price (1e-8 quote per base) and base quantity (1e-8).
pub(crate) type Level = (u64, u64);

/// Which side the customer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Buy,
    Sell,
}

/// How much the customer wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Want {
    /// Base quantity.
    Base(u64),
    /// Quote amount to spend or to receive, at most.
    Quote(u64),
}

/// The levels that a customer on `side` would take, best first.
pub(crate) fn levels(symbol: &Symbol, middle: u64, side: Side) -> Vec<Level> {
    (0..symbol.levels)
        .map(|n| {
            let away = symbol.half_spread_bp + n * symbol.level_step_bp;
            let price = match side {
                Side::Buy => {
                    mul_div_floor(middle, 10_000 + away, 10_000).next_multiple_of(symbol.tick)
                }
                Side::Sell => {
                    let price = mul_div_floor(middle, 10_000_u64.saturating_sub(away), 10_000);
                    (price - price % symbol.tick).max(symbol.tick)
                }
            };
            let size = symbol.level_size * (n + 1);
            (price, (size - size % symbol.lot).max(symbol.lot))
        })
        .collect()
}

/// Takes what others took before off the best levels.
pub(crate) fn without(levels: Vec<Level>, mut taken: u64) -> Vec<Level> {
    levels
        .into_iter()
        .filter_map(|(price, size)| {
            let gone = taken.min(size);
            taken -= gone;
            (size > gone).then_some((price, size - gone))
        })
        .collect()
}

/// Fills, best first, in whole lots, within the limit price.
pub(crate) fn fill(
    levels: &[Level],
    side: Side,
    want: Want,
    limit: Option<u64>,
    lot: u64,
) -> Vec<Level> {
    let mut fills = Vec::new();
    let mut left = want;
    for &(price, size) in levels {
        let bad = match (side, limit) {
            (_, None) => false,
            (Side::Buy, Some(limit)) => price > limit,
            (Side::Sell, Some(limit)) => price < limit,
        };
        let wanted = match left {
            Want::Base(base) => base,
            Want::Quote(quote) => mul_div_floor(quote, ONE, price),
        };
        let taken = wanted.min(size);
        let taken = taken - taken % lot;
        if bad || taken == 0 {
            break;
        }
        fills.push((price, taken));
        left = match left {
            Want::Base(base) => Want::Base(base - taken),
            Want::Quote(quote) => Want::Quote(quote - mul_div_floor(price, taken, ONE)),
        };
        if taken < size {
            break;
        }
    }
    fills
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol() -> Symbol {
        toml::from_str(
            r#"base_asset = "BCH"
            quote_asset = "BTC"
            price = { base = "0.005" }
            half_spread_bp = 10
            level_step_bp = 20
            level_size = "1"
            levels = 3
            tick = "0.000001"
            lot = "0.01"
            min_notional = "0.0001""#,
        )
        .unwrap()
    }

    #[test]
    fn levels_leave_a_spread_and_grow() {
        let asks = levels(&symbol(), 500_000, Side::Buy);
        let bids = levels(&symbol(), 500_000, Side::Sell);
        assert_eq!(asks, [(500_500, ONE), (501_500, 2 * ONE), (502_500, 3 * ONE)]);
        assert_eq!(bids, [(499_500, ONE), (498_500, 2 * ONE), (497_500, 3 * ONE)]);
    }

    #[test]
    fn big_orders_slip_and_then_run_out() {
        let bids = levels(&symbol(), 500_000, Side::Sell);
        let fills = fill(&bids, Side::Sell, Want::Base(2 * ONE), None, 1_000_000);
        assert_eq!(fills, [(499_500, ONE), (498_500, ONE)]);
        let all = fill(&bids, Side::Sell, Want::Base(100 * ONE), None, 1_000_000);
        assert_eq!(all.iter().map(|(_, size)| size).sum::<u64>(), 6 * ONE);
        let limited = fill(&bids, Side::Sell, Want::Base(100 * ONE), Some(499_000), 1_000_000);
        assert_eq!(limited, [(499_500, ONE)]);
    }

    #[test]
    fn quote_orders_never_spend_more_and_taken_size_is_gone() {
        let asks = levels(&symbol(), 500_000, Side::Buy);
        let fills = fill(&asks, Side::Buy, Want::Quote(700_000), None, 1_000_000);
        assert_eq!(fills, [(500_500, ONE), (501_500, 39_000_000)]);
        let spent: u64 = fills.iter().map(|(price, size)| price * size / ONE).sum();
        assert!(spent <= 700_000);
        let rest = without(asks, ONE + ONE / 2);
        assert_eq!(rest, [(501_500, ONE + ONE / 2), (502_500, 3 * ONE)]);
    }
}
