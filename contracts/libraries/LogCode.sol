// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";

/// @title LogCode
/// @notice A number's size in 16 bits, by steps of 0.2 to 0.4 %: `(floor(log2 x) + 1):8 | next 8 binary digits`. Never
/// falls as x grows; zero only of zero; twice a number is exactly 256 more.
library LogCode {
    uint256 internal constant TWICE = 256;
    /// @dev 19 to 25 % up or down
    uint256 internal constant QUARTER = 64;

    function encode(uint128 x) internal pure returns (uint256) {
        if (x == 0) return 0;
        unchecked {
            uint256 n = Math.log2(x);
            return (n + 1) << 8 | ((uint256(x) << 8) >> n) & 0xff;
        }
    }
}
