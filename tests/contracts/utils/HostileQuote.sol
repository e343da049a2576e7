// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "solady/tokens/ERC20.sol";

/// @notice A quote token that misbehaves as told.
contract HostileQuote is ERC20 {
    enum Way {
        Honest,
        FeeOnTransfer,
        Callback,
        ReturnsFalse,
        ReturnsNothing,
        Floods
    }

    Way public way;
    mapping(address account => bool) public blocked;
    address private _callee;
    bytes private _call;
    bool public calledBack;
    bytes public answer;

    function set(Way way_) external {
        way = way_;
    }

    function block_(address account, bool is_) external {
        blocked[account] = is_;
    }

    function onTransfer(address callee, bytes calldata call) external {
        (way, _callee, _call) = (Way.Callback, callee, call);
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        require(!blocked[from] && !blocked[to], "blocked");
        if (way == Way.ReturnsFalse) return false;
        if (way == Way.Callback) (calledBack, answer) = _callee.call(_call);
        super.transferFrom(from, to, amount);
        if (way == Way.FeeOnTransfer) _burn(to, amount / 10);
        if (way == Way.ReturnsNothing) _return(0);
        if (way == Way.Floods) _return(100_000);
        return true;
    }

    function transfer(address to, uint256 amount) public virtual override returns (bool) {
        require(!blocked[msg.sender] && !blocked[to], "blocked");
        if (way == Way.ReturnsFalse) return false;
        if (way == Way.Callback) (calledBack, answer) = _callee.call(_call);
        return super.transfer(to, amount);
    }

    function _return(uint256 length) private pure {
        assembly ("memory-safe") {
            mstore(0, 1)
            return(0, length)
        }
    }

    function name() public pure override returns (string memory) {
        return "Hostile";
    }

    function symbol() public pure override returns (string memory) {
        return "HOS";
    }
}

/// @notice A maker whose code burns all gas that it is asked with.
contract GasBurner {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        while (true) {}
        return 0;
    }
}
