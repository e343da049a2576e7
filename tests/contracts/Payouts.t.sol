// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {BitcoinRelay} from "../../contracts/BitcoinRelay.sol";
import {DemoQuote} from "../../contracts/DemoQuote.sol";
import {PayoutRegistry} from "../../contracts/PayoutRegistry.sol";
import {IBitcoinRelay} from "../../contracts/interfaces/IBitcoinRelay.sol";
import {IDemoQuote} from "../../contracts/interfaces/IDemoQuote.sol";
import {IPayoutRegistry} from "../../contracts/interfaces/IPayoutRegistry.sol";
import {Bitcoin} from "./utils/Bitcoin.sol";
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

contract BitcoinRelayTest is Test {
    BitcoinRelay private _relay;
    bytes private _headers;

    function setUp() public {
        _relay = new BitcoinRelay(Bitcoin.TARGET, true);
        bytes32 previous = keccak256("genesis");
        for (uint256 i = 0; i < 4; ++i) {
            bytes memory h = Bitcoin.header(previous, keccak256(abi.encode(i)), Bitcoin.BITS);
            _headers = abi.encodePacked(_headers, h);
            previous = Bitcoin.hash256(h);
        }
    }

    function test_checkHeaders() public view {
        (bytes32 root, bytes32 first, uint256 count) = _relay.checkHeaders(_headers);
        assertEq(root, keccak256(abi.encode(0)), "root");
        bytes memory h = new bytes(80);
        for (uint256 i = 0; i < 80; ++i) {
            h[i] = _headers[i];
        }
        assertEq(first, Bitcoin.hash256(h), "hash");
        assertEq(count, 4, "count");
    }

    function test_BadHeaderLength() public {
        vm.expectRevert(abi.encodeWithSelector(IBitcoinRelay.BadHeaderLength.selector, 0));
        _relay.checkHeaders("");
        vm.expectRevert(abi.encodeWithSelector(IBitcoinRelay.BadHeaderLength.selector, 321));
        _relay.checkHeaders(abi.encodePacked(_headers, hex"00"));
    }

    function test_NotLinked() public {
        bytes memory alone = Bitcoin.header(keccak256("elsewhere"), 0, Bitcoin.BITS);
        vm.expectRevert(abi.encodeWithSelector(IBitcoinRelay.NotLinked.selector, 4));
        _relay.checkHeaders(abi.encodePacked(_headers, alone));
    }

    function test_WorkTooLow() public {
        bytes memory h = Bitcoin.header(keccak256("p"), 0, Bitcoin.BITS);
        uint256 i = 0;
        do {
            h[76] = bytes1(uint8(++i));
        } while (uint256(Bitcoin.reverse(Bitcoin.hash256(h))) <= Bitcoin.TARGET);
        refuses(IBitcoinRelay.WorkTooLow.selector);
        _relay.checkHeaders(h);
    }

    function test_WrongTarget() public {
        bytes memory h = Bitcoin.header(keccak256("p"), 0, 0x207ffffe);
        refuses(IBitcoinRelay.WrongTarget.selector);
        _relay.checkHeaders(h);
        h = Bitcoin.header(keccak256("p"), 0, 0x20ffffff);
        refuses(IBitcoinRelay.WrongTarget.selector);
        _relay.checkHeaders(h);
    }

    function test_NoRetargetOnProduction() public {
        vm.chainId(1);
        vm.expectRevert(abi.encodeWithSelector(IBitcoinRelay.NoRetargetOnProduction.selector, 1));
        new BitcoinRelay(Bitcoin.TARGET, true);
        new BitcoinRelay(Bitcoin.TARGET, false);
    }

    function test_NotOnProduction() public {
        new DemoQuote();
        vm.chainId(8453);
        vm.expectRevert(abi.encodeWithSelector(IDemoQuote.NotOnProduction.selector, 8453));
        new DemoQuote();
    }

    /// Mainnet's genesis block and the next one: real bytes, difficulty 1.
    function test_mainnetHeaders() public {
        BitcoinRelay relay = new BitcoinRelay(0xffff << 208, false);
        bytes memory two = abi.encodePacked(
            hex"0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c",
            hex"010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299"
        );
        (, bytes32 hash, uint256 count) = relay.checkHeaders(two);
        assertEq(count, 2, "count");
        assertEq(
            Bitcoin.reverse(hash), 0x000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f, "genesis hash"
        );
        assertEq(relay.targetOf(0x1d00ffff), uint256(0xffff) << 208, "compact form");
        assertEq(relay.targetOf(0x01120000), 0x12, "small exponent");
    }
}
