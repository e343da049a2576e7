// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title LiveBacking
/// @notice Whether the machines that units were minted against still hash. Below 90 % of the backing for 21 epochs on end
/// the series is unbacked; at 90 % or above for 21 epochs on end it is backed again. An epoch that nobody reported or
/// valued counts as below: hashrate that nobody saw is none.
library LiveBacking {
    uint256 private constant _RUN = 21;
    uint256 private constant _PERCENT = 90;

    /// @notice `below` and `above`: length of the present run, at most 21.
    struct Run {
        uint8 below;
        uint8 above;
        bool unbacked;
    }

    /// @notice The run after an epoch with `live` H/s, and `missed` epochs without any word before it. `backing` is H/s
    /// per unit times units (18 decimals).
    function next(Run memory run, uint256 missed, uint256 live, uint256 backing) internal pure returns (Run memory) {
        if (missed != 0) run = _low(run, missed);
        if (live * 1e18 * 100 < backing * _PERCENT) return _low(run, 1);
        run.below = 0;
        if (run.above < _RUN) ++run.above;
        if (run.above == _RUN) run.unbacked = false;
        return run;
    }

    function _low(Run memory run, uint256 epochs) private pure returns (Run memory) {
        uint256 below = run.below + epochs;
        run.above = 0;
        run.below = uint8(below < _RUN ? below : _RUN);
        if (run.below == _RUN) run.unbacked = true;
        return run;
    }
}
