// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TwabToken} from "./TwabToken.sol";

/// @title QueueClaim
/// @notice One claim per queued unit, so that the output of units in the exit queue goes to who queued them. It does not
/// move: a claim sent away would leave a ticket that nobody can settle, and stop the queue.
contract QueueClaim is TwabToken {
    constructor(string memory name_, string memory symbol_) TwabToken(msg.sender, name_, symbol_) {}

    function _beforeMove(address, address to, uint256) internal pure override {
        revert ReceiverRefused(to);
    }
}
