// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title PoolWord
/// @notice The two storage words of PoolBooks that every trade reads, as numbers: a struct in memory costs a sale 2 %.
/// @dev trading `emptyAt:64 | cash:96 | inventory:96`,
/// limits `unused:16 | queued:8 | backlog:8 | settledEpoch:32 | outflowCap:96 | inventoryMax:96`.
library PoolWord {
    uint256 private constant _MASK = type(uint96).max;

    function inventory(uint256 trading) internal pure returns (uint256) {
        return trading & _MASK;
    }

    function cash(uint256 trading) internal pure returns (uint256) {
        return (trading >> 96) & _MASK;
    }

    function emptyAt(uint256 trading) internal pure returns (uint256) {
        return trading >> 192;
    }

    /// @notice All three must fit.
    function trade(uint256 inventory_, uint256 cash_, uint256 emptyAt_) internal pure returns (uint256) {
        return emptyAt_ << 192 | cash_ << 96 | inventory_;
    }

    /// @notice `trading` after `units` came in for `quote`, which it had; the sum must fit.
    function bought(uint256 trading, uint256 units, uint256 quote, uint256 emptyAt_) internal pure returns (uint256) {
        unchecked {
            return (((trading << 64) >> 64) + units - (quote << 96)) | emptyAt_ << 192;
        }
    }

    function inventoryMax(uint256 limits) internal pure returns (uint256) {
        return limits & _MASK;
    }

    function outflowCap(uint256 limits) internal pure returns (uint256) {
        return (limits >> 96) & _MASK;
    }

    function settledEpoch(uint256 limits) internal pure returns (uint256) {
        return (limits >> 192) & type(uint32).max;
    }

    function hasBacklog(uint256 limits) internal pure returns (bool) {
        return limits & (0xff << 224) != 0;
    }

    function isQueued(uint256 limits) internal pure returns (bool) {
        return limits & (0xff << 232) != 0;
    }
}
