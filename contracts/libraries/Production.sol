// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Production
/// @notice Chain ids where money is real: what exists for demos refuses to be deployed there.
library Production {
    function isProduction(uint256 chainId) internal pure returns (bool) {
        return chainId == 1 || chainId == 10 || chainId == 56 || chainId == 100 || chainId == 130 || chainId == 137
            || chainId == 324 || chainId == 5000 || chainId == 8453 || chainId == 42161 || chainId == 43114
            || chainId == 59144 || chainId == 534352;
    }
}
