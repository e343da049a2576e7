// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPayoutRegistry} from "../interfaces/IPayoutRegistry.sol";

/// @title DueRule
/// @notice The Due rule of docs/LEDGER.md.
library DueRule {
    uint256 private constant _LONG_WAIT = 90;
    uint256 private constant _LONG_WAIT_SATS = 2000;

    /// @notice What the Due rule gives.
    struct Due {
        uint256 sats;
        uint32 since;
    }

    /// @param credited floor(sum of accumulators / 2^64)
    /// @param paid before this epoch
    /// @param since before this epoch
    /// @param minPay of the epoch's commitment, as `defer`
    function due(
        uint32 epoch,
        uint256 credited,
        uint256 paid,
        uint32 since,
        IPayoutRegistry.Entry memory entry,
        uint64 minPay,
        bool defer
    ) internal pure returns (Due memory result) {
        uint256 owed = credited > paid ? credited - paid : 0;
        if (owed == 0) return result;
        result.since = since == 0 ? epoch : since;
        if (defer || entry.scriptHash == 0 || owed < entry.dust) return result;
        uint256 least = minPay > entry.minimum ? minPay : entry.minimum;
        bool waited = epoch - result.since >= _LONG_WAIT && owed >= _LONG_WAIT_SATS;
        if (owed >= least || waited) (result.sats, result.since) = (owed, 0);
    }
}
