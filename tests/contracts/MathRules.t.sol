// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFairValue} from "../../contracts/interfaces/IFairValue.sol";
import {PoolMath} from "../../contracts/libraries/PoolMath.sol";
import {ValueMath} from "../../contracts/libraries/ValueMath.sol";
import {Test} from "./utils/Test.sol";

/// @notice Prices and values at the edges of their formulas, worked out by hand.
contract MathRulesTest is Test {
    /// 20 quote units a unit; of numbers of units below, a thousandth each
    uint256 private constant _BASE = 20_000;
    uint256 private constant _UNIT = 1e18;

    /* POOL */

    /// @dev Fee 1 %, skew 10 %, at most 100 units.
    function _sell(uint256 units, uint256 held) private pure returns (uint256) {
        return PoolMath.sell_floor(_BASE, units, held, 100e18, 10_000, 100_000);
    }

    /// @dev Fee 1 %, skew 0.5 %, skewed up to 100 units.
    function _buy(uint256 units, uint256 held) private pure returns (uint256) {
        return PoolMath.buy_ceil(_BASE, units, held, 100e18, 10_000, 5000);
    }

    /// The bid falls from 99 % to 89 % of the base as the pool fills; a sale gets the mean of where it begins and ends.
    function test_saleIntoTheWholePool() public pure {
        assertEq(_sell(100e18, 0), 1_880_000, "94 % of all");
        assertEq(_sell(10e18, 0), 197_000, "98.5 % of the first ten");
        assertEq(_sell(10e18, 90e18), 179_000, "89.5 % of the last ten");
        assertEq(_sell(0, 50e18), 0, "nothing for nothing");
        assertEq(_sell(1, 0), 0, "nor for less than a quote unit");
        assertEq(_sell(_UNIT, 0), 19_790, "98.95 % of one");
        assertEq(_sell(_UNIT / 3, 0), 6598, "rounded down");
    }

    /// The ask falls from 101 % to 100.5 % as the pool fills, and no further when it holds more.
    function test_purchaseOutOfTheWholePool() public pure {
        assertEq(_buy(100e18, 100e18), 2_015_000, "100.75 % of all");
        assertEq(_buy(10e18, 10e18), 201_950, "100.975 % of the last ten");
        assertEq(_buy(10e18, 100e18), 201_050, "100.525 % of the first ten");
        assertEq(_buy(10e18, 110e18), 201_000, "100.5 % of those above");
        assertEq(_buy(10e18, 109e18), 200_900 - 20_000 + 20_102 - 1, "nine above, one below");
        assertEq(_buy(10e18, 111e18), 201_000, "more above than are bought");
        assertEq(_buy(1, 100e18), 1, "a quote unit for next to nothing");
        assertEq(_buy(0, 100e18), 0, "nothing for nothing");
    }

    /// What a budget surely buys is at the price of the first unit.
    function test_unitsForABudget() public pure {
        assertEq(PoolMath.affordable_floor(_BASE, 19_800, 0, 100e18, 10_000, 100_000), _UNIT, "at 99 %");
        assertEq(PoolMath.affordable_floor(_BASE, 18_800, 50e18, 100e18, 10_000, 100_000), _UNIT, "at 94 %");
        assertEq(
            PoolMath.affordable_floor(_BASE, 18_799, 50e18, 100e18, 10_000, 100_000), 999_946_808_510_638_297, "less"
        );
        assertEq(PoolMath.affordable_floor(0, 18_800, 50e18, 100e18, 10_000, 100_000), 0, "of no price none");
        assertEq(PoolMath.affordable_floor(_BASE, 18_800, 100e18, 100e18, 0, 1e6), 0, "nor of no weight");
        assertEq(PoolMath.affordable_floor(_BASE, 0, 0, 100e18, 10_000, 100_000), 0, "nor without a budget");
        assertEq(PoolMath.affordable_floor(1, 1, 0, 1, 999_999, 0), 1e24, "the smallest price and weight");
    }

    /* FAIR VALUE */

    /// @dev 1e12 at first, a tenth of it scrap, 10 % decay a month, 1 % discount an epoch, 2 epochs to live.
    function _params() private pure returns (IFairValue.Params memory) {
        return IFairValue.Params(1e12, 100_000, 100_000, 10_000, 2);
    }

    /// What is above scrap falls by a tenth each month, in a straight line within it.
    function test_scheduleByTheMonth() public pure {
        IFairValue.Params memory p = _params();
        assertEq(ValueMath.scrap(p), 1e11, "scrap");
        assertEq(ValueMath.schedule(p, 0), 1e12, "new");
        assertEq(ValueMath.schedule(p, 15 days), 1e11 + 0.95 * 9e11, "half a month");
        assertEq(ValueMath.schedule(p, 30 days), 1e11 + 0.9 * 9e11, "a month");
        assertEq(ValueMath.schedule(p, 45 days), 1e11 + 0.855 * 9e11, "a month and a half");
        assertEq(ValueMath.schedule(p, 60 days), 1e11 + 0.81 * 9e11, "two");
        p.decayPpm = 1e6;
        assertEq(ValueMath.schedule(p, 30 days), 1e11, "all of it in one");
        p.decayPpm = 0;
        assertEq(ValueMath.schedule(p, 3000 days), 1e12, "or none ever");
    }

    function test_hardwareAtThePriceOfBitcoin() public pure {
        // 1e15 H/s for 3 quote units at 60,000 quote units a BTC: 5,000 sats
        assertEq(ValueMath.hardware_floor(3, 1e15, 60_000), uint256(5000) << 32, "a unit of 1e15 H/s");
        assertEq(ValueMath.hardware_floor(3, 1, 60_000), uint256(5000 << 32) / 1e15, "rounded down");
        assertEq(ValueMath.hardware_floor(0, 1e15, 60_000), 0, "no price");
        assertEq(ValueMath.hardware_floor(1 << 120, 1e15, 1), type(uint128).max, "fits its field");
    }

    /// Two epochs' income at 1 % discount, and scrap at the end; at least scrap, and at least one.
    function test_discountedIncome() public pure {
        IFairValue.Params memory p = _params();
        // 0.99 + 0.9801 of what is left of income, and 0.9801 of scrap
        assertEq(ValueMath.discounted(p, 3e11, 1e11), 2e11 * 1.9701 + 0.9801e11, "income");
        assertEq(ValueMath.discounted(p, 1e11, 1e11), 1e11, "no more than it costs");
        assertEq(ValueMath.discounted(p, 1e11 - 1, 1e11), 1e11, "less");
        assertEq(ValueMath.discounted(p, 1e11 + 1, 1e11), 1e11, "too little: scrap is more");
        p.discountPpm = 0;
        assertEq(ValueMath.discounted(p, 3e11, 1e11), 4e11 + 1e11, "without discount");
        p.discountPpm = 1e6;
        assertEq(ValueMath.discounted(p, 3e11, 1e11), 1e11, "tomorrow is worth nothing");
        assertEq(ValueMath.discounted(p, 1e11 + 5e18, 1e11), 1e11, "however much");
        p.discountPpm = 1;
        assertEq(ValueMath.discounted(p, 1e18, 0), 2e18 - 3e12 + 1e6 + 1e11 - 2e5, "a millionth an epoch");
        p.discountPpm = 1e6;
        p.scrapPpm = 0;
        assertEq(ValueMath.discounted(p, 1, 1), 1, "never unknown, out of service");
        assertEq(ValueMath.discounted(p, 3, 1), 1, "nor in it");
        p.discountPpm = 0;
        assertEq(ValueMath.discounted(p, 1 << 127, 0), type(uint128).max, "fits its field");
        assertEq(ValueMath.discounted(p, 5, 3), 4, "two epochs of two");
    }

    /// The middle of three, the lower of two, the one that is known.
    function test_medianOfWhatIsKnown() public pure {
        uint256[3] memory v = [uint256(5), 7, 9];
        for (uint256 i = 0; i < 3; ++i) {
            for (uint256 j = 0; j < 3; ++j) {
                if (i == j) continue;
                assertEq(ValueMath.combine(v[i], v[j], v[3 - i - j]), 7, "the middle one");
                uint256 low = v[i] < v[j] ? v[i] : v[j];
                assertEq(ValueMath.combine(v[i], v[j], 0), low, "no income known");
                assertEq(ValueMath.combine(v[i], 0, v[j]), low, "no hardware price known");
            }
            assertEq(ValueMath.combine(v[i], 0, 0), v[i], "nothing known but the schedule");
            assertEq(ValueMath.combine(v[i], 0, 1), 1, "one is known");
            assertEq(ValueMath.combine(v[i], 1, 0), 1, "of either");
        }
    }

    function test_scheduleOfNothingIsOneOfThree() public pure {
        assertEq(ValueMath.combine(0, 5, 1), 1, "the middle one all the same");
    }

    function test_movesOfAtMostTwoPercent() public pure {
        assertEq(ValueMath.clamp(979, 1000), 980, "down");
        assertEq(ValueMath.clamp(980, 1000), 980, "just");
        assertEq(ValueMath.clamp(1020, 1000), 1020, "up");
        assertEq(ValueMath.clamp(1021, 1000), 1020, "no more");
        assertEq(ValueMath.clamp(1000, 1000), 1000, "stays");
        assertEq(ValueMath.clamp(0, 149), 146, "both ends are rounded down");
        assertEq(ValueMath.clamp(200, 149), 151, "both");
        assertEq(ValueMath.clamp(5, 0), 0, "of nothing");
    }
}
