// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title ITransferPolicy
/// @notice Optional rule of a series, fixed at its creation, about who may receive units from the primary sale or from
/// another holder. It is never asked about what a venue (market, pool, queue) sends, receives or settles, so it cannot
/// stop an exit, freeze a balance or force a transfer.
interface ITransferPolicy {
    function canReceive(address from, address to, uint256 amount) external view returns (bool);
}
