// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {IFairValue} from "../interfaces/IFairValue.sol";

/// @title ValueMath
/// @notice The three inputs of fair value. Values are sats per whole unit times 2^32, rounded down; zero: not known.
library ValueMath {
    uint256 internal constant PPM = 1e6;
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BTC_Q32 = 1e8 << 32;
    uint256 private constant _MONTH = 30 days;

    /// @notice H: `initial * (scrap + (1 - scrap) * (1 - decay)^(age / 30 days))`, linear within a month.
    function schedule(IFairValue.Params memory p, uint256 age) internal pure returns (uint256) {
        uint256 keep = WAD - uint256(p.decayPpm) * (WAD / PPM);
        uint256 left = Math.rpow(keep, age / _MONTH, WAD);
        left -= left * (WAD - keep) / WAD * (age % _MONTH) / _MONTH;
        uint256 above = uint256(p.initialValue) * (PPM - p.scrapPpm) / PPM;
        return scrap(p) + above * left / WAD;
    }

    function scrap(IFairValue.Params memory p) internal pure returns (uint256) {
        return uint256(p.initialValue) * p.scrapPpm / PPM;
    }

    /// @notice q: `price` quote units per 1e15 H/s, at `quotePerBtc`.
    function hardware_floor(uint256 price, uint256 hashratePerUnit, uint256 quotePerBtc)
        internal
        pure
        returns (uint256)
    {
        return Math.min(Math.fullMulDiv(price * hashratePerUnit, BTC_Q32, quotePerBtc * 1e15), type(uint128).max);
    }

    /// @notice D: what the unit still earns, less opex, discounted per epoch, plus scrap at the end; never below scrap.
    function discounted(IFairValue.Params memory p, uint256 income, uint256 opex) internal pure returns (uint256) {
        uint256 rest = scrap(p);
        if (income <= opex) return Math.max(rest, 1);
        uint256 n = p.lifeEpochs;
        uint256 x = WAD - uint256(p.discountPpm) * (WAD / PPM);
        uint256 end = Math.rpow(x, n, WAD);
        uint256 annuity = p.discountPpm == 0 ? n * WAD : x == 0 ? 0 : x * (WAD - end) / (WAD - x);
        uint256 value = (income - opex) * annuity / WAD + rest * end / WAD;
        return Math.min(Math.max(Math.max(value, rest), 1), type(uint128).max);
    }

    /// @notice Median of what is known (not zero); the lower of two.
    function combine(uint256 h, uint256 q, uint256 d) internal pure returns (uint256) {
        if (q == 0) return d == 0 ? h : Math.min(h, d);
        if (d == 0) return Math.min(h, q);
        return Math.max(Math.min(h, q), Math.min(Math.max(h, q), d));
    }

    /// @notice `raw`, moved at most 2 % away from `previous`.
    function clamp(uint256 raw, uint256 previous) internal pure returns (uint256) {
        return Math.min(Math.max(raw, previous * 98 / 100), previous * 102 / 100);
    }
}
