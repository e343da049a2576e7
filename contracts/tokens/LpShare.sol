// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../interfaces/IEpochLedger.sol";
import {TwabToken} from "./TwabToken.sol";

/// @title LpShare
/// @notice LP shares of one buyback pool. No wrapper of the ledger may hold them (output is looked through one level),
/// the first-loss account's do not move, and shares asked to be burnt are locked until they are.
contract LpShare is TwabToken {
    IEpochLedger public immutable ledger;
    address public immutable firstLoss;
    /// @notice Shares of an account that wait to be burnt.
    mapping(address account => uint256) public locked;

    constructor(address ledger_, address firstLoss_, string memory name_, string memory symbol_)
        TwabToken(msg.sender, name_, symbol_)
    {
        ledger = IEpochLedger(ledger_);
        firstLoss = firstLoss_;
    }

    /// @notice Locks shares of `account` until they are burnt. Only the pool, which checked the balance.
    function lock(address account, uint256 amount) external onlyMinter {
        locked[account] += amount;
    }

    function _beforeMove(address from, address to, uint256 amount) internal view override {
        if (from == firstLoss || ledger.isWrapper(to)) revert ReceiverRefused(to);
        if (balanceOf(from) < locked[from] + amount) revert SharesLocked(locked[from]);
    }

    function _beforeBurn(address from, uint256 amount) internal override {
        locked[from] -= amount;
    }
}
