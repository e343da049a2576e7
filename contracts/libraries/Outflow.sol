// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";

/// @title Outflow
/// @notice A token bucket kept as one point in time: the moment at which it was empty. It fills by its size in 8 h.
/// @dev Times are seconds x 2^24 in 64 bits. Levels round down, what is spent rounds up.
library Outflow {
    uint256 internal constant FULL = 28_800 << 24;

    /// @notice How long the bucket has filled, at most until it is full.
    function span(uint256 emptyAt) internal view returns (uint256) {
        unchecked {
            return Math.min((block.timestamp << 24) - emptyAt, FULL);
        }
    }

    /// @notice What may leave now.
    function level_floor(uint256 emptyAt, uint256 cap) internal view returns (uint256) {
        unchecked {
            // 96-bit caps times 39-bit spans
            return cap * span(emptyAt) / FULL;
        }
    }

    /// @notice The part of its span that `quote` uses up. No more than `span` exactly if `quote` is no more than the level.
    function spanOf_ceil(uint256 quote, uint256 cap) internal pure returns (uint256) {
        unchecked {
            if (cap == 0) return quote == 0 ? 0 : type(uint256).max;
            return Math.rawDiv(quote * FULL + cap - 1, cap);
        }
    }

    /// @notice The bucket when `left` of its span is left now.
    function emptyAtFor(uint256 left) internal view returns (uint256) {
        unchecked {
            return (block.timestamp << 24) - left;
        }
    }

    /// @notice A bucket of the size `cap` that holds `level` now, or is full.
    function holding_floor(uint256 level, uint256 cap) internal view returns (uint64) {
        return uint64(emptyAtFor(level >= cap ? FULL : level * FULL / cap));
    }
}
