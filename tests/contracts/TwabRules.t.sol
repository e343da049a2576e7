// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {PlainToken} from "./utils/Mocks.sol";
import {Test} from "./utils/Test.sol";
import {Vm} from "./utils/Vm.sol";

/// @notice What the token answers and what it logs: indexers and wallets live from it. Found by mutants that survived.
contract TwabRulesTest is Test {
    PlainToken private _token;
    address private constant _A = address(0xA1);
    address private constant _B = address(0xB2);

    function setUp() public {
        vm.warp(70_000 * EPOCH + 7);
        _token = new PlainToken(address(this));
        _token.mint(_A, 100);
    }

    /// @dev The one log of the call just made: its topics and its word.
    function _logged(bytes32 topic, uint256 first, uint256 second, uint256 value) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1, "one log");
        assertEq(logs[0].emitter, address(_token), "emitter");
        assertEq(logs[0].topics.length, 3, "two indexed fields");
        assertEq(logs[0].topics[0], topic, "event");
        assertEq(logs[0].topics[1], bytes32(first), "first");
        assertEq(logs[0].topics[2], bytes32(second), "second");
        assertEq(abi.decode(logs[0].data, (uint256)), value, "value");
    }

    function _transfer(address from, address to, uint256 amount) private {
        _logged(keccak256("Transfer(address,address,uint256)"), uint160(from), uint160(to), amount);
    }

    function test_transferLogsAndAnswers() public {
        vm.recordLogs();
        vm.prank(_A);
        assertTrue(_token.transfer(_B, 30), "answer");
        _transfer(_A, _B, 30);
    }

    function test_transferFromLogsAndAnswers() public {
        vm.recordLogs();
        vm.prank(_A);
        assertTrue(_token.approve(_B, 30), "answer");
        _logged(keccak256("Approval(address,address,uint256)"), uint160(_A), uint160(_B), 30);
        vm.recordLogs();
        vm.prank(_B);
        assertTrue(_token.transferFrom(_A, _B, 20), "answer");
        _transfer(_A, _B, 20);
        assertEq(_token.allowance(_A, _B), 10, "left");
    }

    function test_mintAndBurnLogAddressZero() public {
        vm.recordLogs();
        _token.mint(_B, 5);
        _transfer(address(0), _B, 5);
        vm.recordLogs();
        _token.burn(_B, 2);
        _transfer(_B, address(0), 2);
    }

    function test_transferToOneselfIsLogged() public {
        vm.recordLogs();
        vm.prank(_A);
        _token.transfer(_A, 3);
        _transfer(_A, _A, 3);
    }

    function test_pinLogsOnce() public {
        vm.warp(70_001 * EPOCH);
        vm.recordLogs();
        uint256 weight = _token.pin(_A, 70_000);
        assertEq(weight, 100 * (EPOCH - 7), "weight");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1, "logged");
        assertEq(logs[0].topics[0], ITwabToken.Pinned.selector, "event");
        vm.recordLogs();
        assertEq(_token.pin(_A, 70_000), weight, "same");
        assertEq(vm.getRecordedLogs().length, 0, "once");
    }

    function test_names() public view {
        assertEq(bytes(_token.name()), bytes("Plain"), "name");
        assertEq(bytes(_token.symbol()), bytes("PLN"), "symbol");
        assertEq(_token.decimals(), 18, "decimals");
    }
}
