// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";

/// @title PoolMath
/// @notice Prices of the buyback pool: linear in inventory, integrated exactly, so that trading in pieces gains nothing.
/// @dev `base` is quote units per whole unit (1e18); fractions are parts per million; rounding favours the pool.
/// Bounds: base below 2^104, units and inventories below 2^96, fee + skew below one; so nothing here overflows.
/// At inventory I of a maximum M: marginal bid = base (1 - fee - skew I/M), ask = base (1 + fee - skew' min(I, M)/M).
library PoolMath {
    uint256 internal constant UNIT = 1e18;
    uint256 internal constant PPM = 1e6;

    /// @notice Quote for selling `units` into an inventory of `held`, rounded down. `held + units <= max`.
    function sell_floor(uint256 base, uint256 units, uint256 held, uint256 max, uint256 fee, uint256 skew)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            uint256 weight = (PPM - fee) * 2 * max - skew * (2 * held + units);
            return Math.fullMulDiv(base * units, weight, UNIT * PPM * 2 * max);
        }
    }

    /// @notice Quote for buying `units` out of an inventory of `held`, rounded up. `units <= held`.
    function buy_ceil(uint256 base, uint256 units, uint256 held, uint256 max, uint256 fee, uint256 skew)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            uint256 above = held > max ? Math.min(held - max, units) : 0;
            uint256 flat = (PPM + fee - skew) * above;
            if (above == units) return Math.fullMulDivUp(base, flat, UNIT * PPM);
            uint256 within = units - above;
            uint256 top = held - above;
            uint256 weight = flat * 2 * max + within * ((PPM + fee) * 2 * max - skew * (2 * top - within));
            return Math.fullMulDivUp(base, weight, UNIT * PPM * 2 * max);
        }
    }

    /// @notice Units that surely cost no more than `budget` when sold into `held`: at the price of the first of them.
    function affordable_floor(uint256 base, uint256 budget, uint256 held, uint256 max, uint256 fee, uint256 skew)
        internal
        pure
        returns (uint256)
    {
        uint256 weight = (PPM - fee) * max - skew * held;
        return base == 0 || weight == 0 ? 0 : Math.fullMulDiv(budget, UNIT * PPM * max, base * weight);
    }
}
