// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {PlainToken} from "../utils/Mocks.sol";
import {Vm} from "../utils/Vm.sol";

/// @title TokenProofs
/// @notice Conservation over the token's own entry points, for every amount.
contract TokenProofs {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant _E = 28_800;
    uint32 private constant _NOW = 70_000;
    address private constant _A = address(0xA1);
    address private constant _B = address(0xB2);
    PlainToken private _token;

    function setUp() public {
        vm.warp(uint256(_NOW) * _E);
        _token = new PlainToken(address(this));
    }

    function _give(uint96 a, uint96 b) private {
        vm.assume(uint256(a) + b <= type(uint96).max);
        _token.mint(_A, a);
        _token.mint(_B, b);
    }

    function _try(address sender, bytes memory call) private returns (bool ok) {
        vm.prank(sender);
        (ok,) = address(_token).call(call);
    }

    function check_transferConserves(uint96 a, uint96 b, uint256 amount) external {
        _give(a, b);
        bool ok = _try(_A, abi.encodeCall(_token.transfer, (_B, amount)));
        assert(ok == (amount <= a));
        if (!ok) return;
        assert(_token.balanceOf(_A) == a - amount && _token.balanceOf(_B) == b + amount);
        assert(_token.totalSupply() == uint256(a) + b);
    }

    function check_transferToOneselfChangesNothing(uint96 a, uint256 amount) external {
        _give(a, 0);
        bool ok = _try(_A, abi.encodeCall(_token.transfer, (_A, amount)));
        assert(ok == (amount <= a) && _token.balanceOf(_A) == a);
    }

    function check_mintAddsUp(uint96 a, uint96 b, uint256 amount) external {
        _give(a, b);
        bool ok = _try(address(this), abi.encodeCall(_token.mint, (_A, amount)));
        uint256 supply = uint256(a) + b;
        assert(ok == (amount <= type(uint96).max - supply));
        if (ok) assert(_token.totalSupply() == supply + amount && _token.balanceOf(_A) == a + amount);
    }

    function check_burnTakesOnlyWhatIsHeld(uint96 a, uint96 b, uint256 amount) external {
        _give(a, b);
        bool ok = _try(address(this), abi.encodeCall(_token.burn, (_A, amount)));
        assert(ok == (amount <= a));
        if (ok) assert(_token.totalSupply() == uint256(a) + b - amount && _token.balanceOf(_B) == b);
    }

    function check_onlyTheMinterMintsAndBurns(address sender, uint96 amount) external {
        vm.assume(sender != address(this));
        _give(amount, 0);
        assert(!_try(sender, abi.encodeCall(_token.mint, (_B, amount))));
        assert(!_try(sender, abi.encodeCall(_token.burn, (_A, amount))));
    }

    function check_allowanceIsSpent(uint96 a, uint256 allowed, uint256 amount) external {
        _give(a, 0);
        vm.prank(_A);
        _token.approve(_B, allowed);
        bool ok = _try(_B, abi.encodeCall(_token.transferFrom, (_A, _B, amount)));
        assert(ok == (amount <= allowed && amount <= a));
        uint256 left = !ok || allowed == type(uint256).max ? allowed : allowed - amount;
        assert(_token.allowance(_A, _B) == left);
    }

    function check_nobodyMovesWithoutAllowance(address sender, uint96 a, uint256 amount) external {
        vm.assume(sender != _A && amount != 0);
        _give(a, 0);
        assert(!_try(sender, abi.encodeCall(_token.transferFrom, (_A, _B, amount))));
        assert(_token.balanceOf(_A) == a);
    }

    /// @dev The supply is the account of address zero: nobody may write it by a transfer.
    function check_theSupplyIsNobodys(uint96 a, uint256 amount) external {
        _give(a, 0);
        assert(!_try(_A, abi.encodeCall(_token.transfer, (address(0), amount))));
        assert(!_try(address(0), abi.encodeCall(_token.transfer, (_B, amount))));
        assert(_token.totalSupply() == a && _token.balanceOf(address(0)) == 0);
    }
}
