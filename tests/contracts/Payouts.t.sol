// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {PayoutRegistry} from "../../contracts/PayoutRegistry.sol";
import {IPayoutRegistry} from "../../contracts/interfaces/IPayoutRegistry.sol";
import {Test} from "./utils/Test.sol";

contract PayoutRegistryTest is Test {
    PayoutRegistry private _registry;
    bytes private _p2wpkh = abi.encodePacked(hex"0014", bytes20(keccak256("a")));
    bytes private _p2tr = abi.encodePacked(hex"5120", keccak256("b"));

    function setUp() public {
        vm.warp(70_000 * EPOCH + 1);
        _registry = new PayoutRegistry();
    }

    function _at(uint32 epoch) private view returns (IPayoutRegistry.Entry memory) {
        return _registry.entryAt(address(this), epoch);
    }

    function test_firstCountsFromTheNextEpoch() public {
        _registry.setScript(_p2wpkh, 0);
        assertEq(_at(70_000).scriptHash, bytes32(0), "not yet");
        assertEq(_at(70_001).scriptHash, keccak256(_p2wpkh), "next");
        assertEq(_at(70_001).minimum, 294, "minimum is at least dust");
        assertEq(_at(70_001).dust, 294, "dust");
        assertEq(_at(4_000_000_000).fromEpoch, 70_001, "for ever");
    }

    function test_aChangeCountsAfterThree() public {
        _registry.setScript(_p2wpkh, 1000);
        skip(EPOCH);
        _registry.setScript(_p2tr, 2000);
        assertEq(_at(70_003).scriptHash, keccak256(_p2wpkh), "old through 70,003");
        assertEq(_at(70_004).scriptHash, keccak256(_p2tr), "new from 70,004");
        assertEq(_at(70_004).minimum, 2000, "minimum");
    }

    function test_aPendingOneIsReplaced() public {
        _registry.setScript(_p2wpkh, 0);
        _registry.setScript(_p2tr, 0);
        assertEq(_at(70_001).scriptHash, keccak256(_p2tr), "still the first registration");
        skip(2 * EPOCH);
        _registry.setScript(_p2wpkh, 0);
        skip(EPOCH);
        _registry.setScript(_p2wpkh, 5000);
        assertEq(_at(70_005).scriptHash, keccak256(_p2tr), "the dropped change never counts");
        assertEq(_at(70_006).minimum, 5000, "the last one does");
    }

    function test_cancelRestores() public {
        _registry.setScript(_p2wpkh, 0);
        skip(EPOCH);
        _registry.setScript(_p2tr, 0);
        skip(3 * EPOCH - 2);
        _registry.cancel();
        assertEq(_at(70_010).scriptHash, keccak256(_p2wpkh), "restored");
    }

    function test_NothingToCancel() public {
        bytes memory why = abi.encodeWithSelector(IPayoutRegistry.NothingToCancel.selector, address(this));
        vm.expectRevert(why);
        _registry.cancel();
        _registry.setScript(_p2wpkh, 0);
        skip(EPOCH - 1);
        vm.expectRevert(why);
        _registry.cancel();
    }

    function test_UnknownScript() public {
        bytes[] memory bad = new bytes[](8);
        bad[0] = "";
        bad[1] = hex"6a";
        bad[2] = abi.encodePacked(hex"0015", bytes20(0), hex"00");
        bad[3] = abi.encodePacked(hex"0014", bytes20(0), hex"00");
        bad[4] = abi.encodePacked(hex"5220", bytes32(0));
        bad[5] = abi.encodePacked(hex"a914", bytes20(0), hex"88");
        bad[6] = abi.encodePacked(hex"76a914", bytes20(0), hex"88ad");
        bad[7] = abi.encodePacked(hex"76a915", bytes20(0), hex"88ac");
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IPayoutRegistry.UnknownScript.selector, bad[i]));
            _registry.setScript(bad[i], 0);
        }
    }

    function test_MinimumTooLarge() public {
        vm.expectRevert(abi.encodeWithSelector(IPayoutRegistry.MinimumTooLarge.selector, 100_000_001));
        _registry.setScript(_p2tr, 100_000_001);
    }

    /// Many registrations: the entry in force is what a plain scan of what was set says.
    function testFuzz_entryAtEqualsAScan(uint8[12] memory waits) public {
        uint32[12] memory from;
        uint64[12] memory minimum;
        for (uint256 i = 0; i < 12; ++i) {
            skip((uint256(waits[i]) % 6) * EPOCH);
            bool first = true;
            for (uint256 j = 0; j < i; ++j) {
                if (from[j] > epochNow()) from[j] = type(uint32).max;
                else if (from[j] != type(uint32).max) first = false;
            }
            minimum[i] = uint64(1000 + i);
            from[i] = epochNow() + (first ? 1 : 3);
            _registry.setScript(_p2tr, minimum[i]);
        }
        for (uint32 e = 69_999; e < epochNow() + 5; ++e) {
            uint64 expected = 0;
            for (uint256 j = 0; j < 12; ++j) {
                if (from[j] <= e) expected = minimum[j];
            }
            assertEq(_at(e).minimum, expected, "entry");
        }
    }
}
