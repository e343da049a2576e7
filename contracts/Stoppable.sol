// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IStoppable} from "./interfaces/IStoppable.sol";

/// @title Stoppable
/// @notice A switch for the guardian role, on entries only.
abstract contract Stoppable is IStoppable, AccessManaged {
    /// @inheritdoc IStoppable
    bool public stopped;

    modifier whenRunning() {
        if (stopped) revert Stopped();
        _;
    }

    /// @inheritdoc IStoppable
    function setStopped(bool value) external restricted {
        stopped = value;
        emit StoppedSet(value);
    }
}
