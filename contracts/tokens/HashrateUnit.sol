// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ISeriesRegistry} from "../interfaces/ISeriesRegistry.sol";
import {ITransferPolicy} from "../interfaces/ITransferPolicy.sol";
import {TwabToken} from "./TwabToken.sol";

/// @title HashrateUnit
/// @notice Units of one series. The registry mints them against registered machines and nobody can burn a holder's.
contract HashrateUnit is TwabToken {
    /// @notice Asked who may receive; zero: nobody is restricted.
    ITransferPolicy public immutable policy;

    constructor(address registry, address policy_, string memory name_, string memory symbol_)
        TwabToken(registry, name_, symbol_)
    {
        policy = ITransferPolicy(policy_);
    }

    /// @dev The policy is not asked when a venue sends, receives or settles: it can stop no exit.
    function _beforeMove(address from, address to, uint256 amount) internal view override {
        if (address(policy) == address(0)) return;
        ISeriesRegistry registry = ISeriesRegistry(minter);
        if (registry.isVenue(from) || registry.isVenue(to) || registry.isVenue(msg.sender)) return;
        if (!policy.canReceive(from, to, amount)) revert ReceiverRefused(to);
    }
}
