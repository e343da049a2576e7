// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Calls from within one transaction, with nothing of the callee touched before: execution without what a
/// transaction and its calldata cost.
contract Meter {
    function measure(address to, bytes calldata data) external returns (uint256 used) {
        uint256 before = gasleft();
        (bool ok,) = to.call(data);
        used = before - gasleft();
        require(ok, "reverts");
    }
}
