// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {HashrateUnit} from "../../contracts/tokens/HashrateUnit.sol";
import {Test} from "./utils/Test.sol";

/// @notice Allows one transfer and no other.
contract OneTransfer {
    bytes32 private _allowed;

    function allow(address from, address to, uint256 amount) external {
        _allowed = keccak256(abi.encode(from, to, amount));
    }

    function canReceive(address from, address to, uint256 amount) external view returns (bool) {
        return _allowed == keccak256(abi.encode(from, to, amount));
    }
}

/// @notice When a unit asks its policy, and what. The test is the registry.
contract UnitRulesTest is Test {
    address private constant _A = address(0xA1);
    address private constant _B = address(0xB2);
    address private constant _C = address(0xC3);
    OneTransfer private _policy;
    HashrateUnit private _unit;
    address private _venue;

    function setUp() public {
        vm.warp(70_000 * EPOCH);
        _policy = new OneTransfer();
        _unit = _made(address(_policy));
    }

    function _made(address policy) private returns (HashrateUnit unit) {
        unit = new HashrateUnit(address(this), policy, "Unit", "LH-9");
        unit.mint(_A, 100);
        unit.mint(_B, 100);
        vm.prank(_A);
        unit.approve(_C, 100);
    }

    /// @dev As the registry says it.
    function isVenue(address account) external view returns (bool) {
        require(_venue != address(this), "not to be asked");
        return account == _venue;
    }

    function _move(address from, address to, uint256 amount, bool refused) private {
        if (refused) vm.expectRevert(abi.encodeWithSelector(ITwabToken.ReceiverRefused.selector, to));
        vm.prank(from);
        _unit.transfer(to, amount);
    }

    /// The policy is asked who sends how much to whom.
    function test_thePolicyKnowsTheTransfer() public {
        _policy.allow(_A, _B, 5);
        _move(_A, _B, 6, true);
        _move(_A, _C, 5, true);
        _move(_B, _A, 5, true);
        _move(_A, _B, 5, false);
        assertEq(_unit.balanceOf(_B), 105, "moved");
    }

    /// It is not asked of a venue that sends, one that receives, or one that settles: any one of them is enough.
    function test_anyVenueIsEnough() public {
        _move(_A, _B, 1, true);
        address[3] memory parties = [_A, _B, _C];
        for (uint256 i = 0; i < 3; ++i) {
            _venue = parties[i];
            vm.prank(_C);
            _unit.transferFrom(_A, _B, 1);
        }
        assertEq(_unit.balanceOf(_B), 103, "each time");
        _venue = address(0xD4);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.ReceiverRefused.selector, _B));
        vm.prank(_C);
        _unit.transferFrom(_A, _B, 1);
    }

    /// Without a policy nobody is asked for anything.
    function test_withoutAPolicyNobodyIsAsked() public {
        _unit = _made(address(0));
        _venue = address(this);
        _move(_A, _B, 7, false);
        assertEq(_unit.balanceOf(_B), 107, "moved");
    }

    function test_aUnitIsAsItWasMade() public view {
        assertEq(address(_unit.policy()), address(_policy), "policy");
        assertEq(_unit.minter(), address(this), "minter");
        assertEq(bytes(_unit.name()), "Unit", "name");
        assertEq(bytes(_unit.symbol()), "LH-9", "symbol");
    }
}
