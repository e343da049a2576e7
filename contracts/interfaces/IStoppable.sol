// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IStoppable
/// @notice What the guardian may stop: mint, primary sale and LP deposit, and nothing else.
interface IStoppable {
    error Stopped();

    event StoppedSet(bool stopped);

    function setStopped(bool stopped) external;
    function stopped() external view returns (bool);
}
