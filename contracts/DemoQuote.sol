// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "solady/tokens/ERC20.sol";
import {IDemoQuote} from "./interfaces/IDemoQuote.sol";
import {Production} from "./libraries/Production.sol";

/// @title DemoQuote
/// @notice The dev chain's stand-in for a stablecoin.
contract DemoQuote is ERC20 {
    constructor() {
        if (Production.isProduction(block.chainid)) revert IDemoQuote.NotOnProduction(block.chainid);
    }

    /// @notice Mints to anyone who asks.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function name() public pure override returns (string memory) {
        return "Demo USD";
    }

    function symbol() public pure override returns (string memory) {
        return "dUSD";
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
