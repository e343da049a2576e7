// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {BitcoinRelay} from "../../contracts/BitcoinRelay.sol";
import {DemoQuote} from "../../contracts/DemoQuote.sol";
import {IBitcoinRelay} from "../../contracts/interfaces/IBitcoinRelay.sol";
import {IDemoQuote} from "../../contracts/interfaces/IDemoQuote.sol";
import {BitcoinHeader} from "../../contracts/libraries/BitcoinHeader.sol";
import {Bitcoin} from "./utils/Bitcoin.sol";
import {Test} from "./utils/Test.sol";

/// @dev Real headers of Bitcoin's main chain: public facts, each checked here by its own hash and links.
contract BitcoinRelayTest is Test {
    uint256 private constant _LIMIT = 0xffff << 208;
    bytes private constant _H403200 =
        hex"04000000473ed7b7ef2fce828c318fd5e5868344a5356c9e93b6040400000000000000004409cae5b7b2f8f18ea55f558c9bfa7c5f4778a1a53172a48fc57e172d0ed3d264c5eb56c3a40618af9bc1c7";
    bytes private constant _H405214 =
        hex"04000000ea6410972dfe65f4d93d376c1678148baff89b914654460600000000000000000275ca93e15993399290808da2da97bce309e5d0f559713622fca2b32bf6330e1e10fe56c3a4061860b02896";
    bytes private constant _H405215 =
        hex"040000005f5560a04006b8a4a6fc85c7a7816c36f89a6da5b03aaa000000000000000000e74d25fadc646f6e0e2b781da6d172170ed1213afb9ac6f05c5a5dc482830e520914fe56c3a40618a6a1ffc0";
    bytes private constant _H405216 =
        hex"04000000f7ef2881b8a0cb415ba81e889c79bc5f1b098167c95646030000000000000000a48869fe8d6777821fa85525139cb77d12c440c16182c637e943dfea7d937daa7b16fe56f49606185628272d";
    bytes private constant _H405217 =
        hex"0000003007fc81082e2d4d3b44e6ee00ad53a9d926213aee7394960600000000000000003a810e13e6253dd483a95f55cfc3adbc60e112f0d485832ea1d482661487e9dc411cfe56f496061837c4a22f";
    event Measured(string what, uint256 gas);

    BitcoinRelay private _relay;
    bytes private _headers;

    function setUp() public {
        _relay = new BitcoinRelay(Bitcoin.TARGET, true, 0, 0, "");
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
        new BitcoinRelay(Bitcoin.TARGET, true, 0, 0, "");
        new BitcoinRelay(_LIMIT, false, 6, 403_200, _H403200);
        vm.expectRevert(abi.encodeWithSelector(IBitcoinRelay.BadAnchor.selector));
        new BitcoinRelay(_LIMIT, false, 5, 403_200, _H403200);
    }

    function test_NotOnProduction() public {
        new DemoQuote();
        vm.chainId(8453);
        vm.expectRevert(abi.encodeWithSelector(IDemoQuote.NotOnProduction.selector, 8453));
        new DemoQuote();
    }

    /// Mainnet's genesis block and the next one: real bytes, difficulty 1.
    function test_mainnetHeaders() public {
        bytes memory genesis =
            hex"0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";
        BitcoinRelay relay = new BitcoinRelay(_LIMIT, false, 1, 0, genesis);
        assertEq(relay.periodAt(0).startTime, 1_231_006_505, "time");
        bytes memory two = abi.encodePacked(
            genesis,
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

    /* RETARGET */

    function _mainnet() private returns (BitcoinRelay) {
        vm.warp(1_459_492_475);
        return new BitcoinRelay(_LIMIT, false, 2, 403_200, _H403200);
    }

    function _four() private pure returns (bytes memory) {
        return abi.encodePacked(_H405214, _H405215, _H405216, _H405217);
    }

    /// Block 405,216 states exactly the target that the rule gives from blocks 403,200 and 405,215.
    function test_realRetarget() public {
        BitcoinRelay relay = _mainnet();
        relay.retarget(201, _four(), 2);
        IBitcoinRelay.Period memory p = relay.periodAt(201);
        assertEq(p.bits, 0x180696f4, "bits");
        assertEq(relay.newestPeriod(), 201, "newest");
        assertEq(p.startHash, Bitcoin.hash256(_H405216), "start");
        assertEq(relay.target(), relay.targetOf(0x180696f4), "target");
    }

    function test_realChainAcrossTheBoundary() public {
        BitcoinRelay relay = _mainnet();
        refuses(IBitcoinRelay.WrongTarget.selector);
        relay.checkHeaders(_four());
        relay.retarget(201, _four(), 2);
        (,, uint256 count) = relay.checkHeaders(_four());
        // the difficulty rose: the two blocks before weigh a little less than one of today's each
        assertEq(count, 3, "work in today's blocks");
        (,, count) = relay.checkHeaders(abi.encodePacked(_H405216, _H405217));
        assertEq(count, 2, "after it");
        (,, count) = relay.checkHeaders(_H405215);
        assertEq(count, 0, "an older block alone is less than one");
    }

    function test_retargetIsRefused() public {
        BitcoinRelay relay = _mainnet();
        vm.expectRevert(abi.encodeWithSelector(IBitcoinRelay.WrongPeriod.selector, 200, 202));
        relay.retarget(202, _four(), 2);
        vm.expectRevert(abi.encodeWithSelector(IBitcoinRelay.WrongPeriod.selector, 200, 200));
        relay.retarget(200, _four(), 2);
        vm.expectRevert(abi.encodeWithSelector(IBitcoinRelay.TooFewHeaders.selector, 2, 1, 3));
        relay.retarget(201, _four(), 1);
        vm.expectRevert(abi.encodeWithSelector(IBitcoinRelay.TooFewHeaders.selector, 2, 9, 0));
        relay.retarget(201, _four(), 9);
        bytes memory gap = abi.encodePacked(_H405214, _H405215, _H405217, _H405216);
        refuses(IBitcoinRelay.NotLinked.selector);
        relay.retarget(201, gap, 2);
        vm.warp(1_459_492_475 - 1 days);
        refuses(IBitcoinRelay.HeaderFromTheFuture.selector);
        relay.retarget(201, _four(), 2);
        vm.expectRevert(IBitcoinRelay.NoRetarget.selector);
        _relay.retarget(1, _four(), 2);
    }

    /// A boundary one block early has another last time, so another target: its headers state the wrong one.
    function test_fakeRetargetAtAnotherHeight() public {
        vm.warp(1_459_492_475);
        BitcoinRelay relay = new BitcoinRelay(_LIMIT, false, 1, 403_200, _H403200);
        bytes memory early = abi.encodePacked(_H405214, _H405215);
        refuses(IBitcoinRelay.WrongTarget.selector);
        relay.retarget(201, early, 1);
    }

    /// While a period is the newest, more work replaces its start; as much does not.
    function test_heavierRetargetReplaces() public {
        vm.warp(1_459_492_475);
        BitcoinRelay relay = new BitcoinRelay(_LIMIT, false, 1, 403_200, _H403200);
        relay.retarget(201, abi.encodePacked(_H405215, _H405216), 1);
        refuses(IBitcoinRelay.NotHeavier.selector);
        relay.retarget(201, abi.encodePacked(_H405215, _H405216), 1);
        relay.retarget(201, _four(), 2);
        assertEq(relay.newestPeriod(), 201, "the same period");
    }

    /// After the difficulty fell, a confirmation still takes the work of one block of the period before. Headers mined for
    /// this test, of 33 and 17 million hashes each.
    function test_fallenDifficultyMakesNoConfirmationCheaper() public {
        bytes memory anchor =
            hex"020000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000105e5f80ff7f1d086ae208";
        bytes memory last =
            hex"020000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000fa825f80ff7f1d2aba6200";
        bytes memory next =
            hex"020000009a7f73b0d4427df43c6293c5d64a56d06fe0f83f3665a0622339693e2d000000000000000000000000000000000000000000000000000000000000000000000001fa825fffff001e94ac4100";
        bytes memory more =
            hex"020000001c1fe5b0b9f19a2c4418489949fe8845203f751ae03a36c33c522db89f000000000000000000000000000000000000000000000000000000000000000000000002fa825fffff001e393d2000";
        vm.warp(1_600_000_000 + 30 days);
        BitcoinRelay relay = new BitcoinRelay(uint256(0xffff) << 216, false, 1, 2016, anchor);
        // four weeks instead of two: half the difficulty
        relay.retarget(2, abi.encodePacked(last, next), 1);
        assertEq(relay.periodAt(2).bits, 0x1e00ffff, "easier");
        (,, uint256 count) = relay.checkHeaders(abi.encodePacked(next, more));
        assertEq(count, 1, "two easy blocks are one of the blocks before");
        (,, count) = relay.checkHeaders(last);
        assertEq(count, 1, "which count in full");
    }

    function test_demoQuoteNamesItself() public {
        DemoQuote quote = new DemoQuote();
        assertEq(keccak256(bytes(quote.name())), keccak256("Demo USD"), "name");
        assertEq(keccak256(bytes(quote.symbol())), keccak256("dUSD"), "symbol");
        assertEq(quote.decimals(), 6, "as USDC");
    }

    function test_BadAnchor() public {
        bytes memory why = abi.encodeWithSelector(IBitcoinRelay.BadAnchor.selector);
        vm.expectRevert(why);
        new BitcoinRelay(_LIMIT, false, 2, 403_201, _H403200);
        vm.expectRevert(why);
        new BitcoinRelay(_LIMIT, false, 0, 403_200, _H403200);
        vm.expectRevert(why);
        new BitcoinRelay(_LIMIT, false, 2, 403_200, "");
        vm.expectRevert(why);
        new BitcoinRelay(Bitcoin.TARGET, false, 2, 403_200, _H403200);
        bytes memory changed = _H403200;
        changed[79] ^= 0x01;
        vm.expectRevert(why);
        new BitcoinRelay(_LIMIT, false, 2, 403_200, changed);
        vm.expectRevert(why);
        new BitcoinRelay(Bitcoin.TARGET, true, 0, 403_200, _H403200);
    }

    /// Real pairs of consensus values: Bitcoin Core's own unit tests of the rule use these blocks.
    function test_knownRetargets() public pure {
        assertEq(BitcoinHeader.nextBits(0x1d00ffff, 1_261_130_161, 1_262_152_739, _LIMIT), 0x1d00d86a, "block 32,256");
        assertEq(BitcoinHeader.nextBits(0x1d00ffff, 1_231_006_505, 1_233_061_996, _LIMIT), 0x1d00ffff, "the limit");
        assertEq(BitcoinHeader.nextBits(0x1c05a3f4, 1_279_008_237, 1_279_297_671, _LIMIT), 0x1c0168fd, "a quarter");
        assertEq(BitcoinHeader.nextBits(0x1c387f6f, 1_263_163_443, 1_269_211_443, _LIMIT), 0x1d00e1fd, "four times");
    }

    /// The same rule written another way: long division of the mantissa by bytes.
    function testFuzz_retargetEqualsATwin(uint32 mantissa, uint8 size, uint32 first, int32 span) public pure {
        uint32 bits = uint32(bound(size, 4, 28)) << 24 | uint32(bound(mantissa, 0x8000, 0x7fffff));
        if (BitcoinHeader.targetOf(bits) > _LIMIT) bits = 0x1d00ffff;
        uint256 start = bound(first, 1e9, 3e9);
        uint256 last = uint256(int256(start) + int256(span) % 10_000_000);
        uint32 found = BitcoinHeader.nextBits(bits, uint32(start), uint32(last), _LIMIT);
        int256 clamped = int256(last) - int256(start);
        if (clamped < 302_400) clamped = 302_400;
        if (clamped > 4_838_400) clamped = 4_838_400;
        uint256 want = BitcoinHeader.targetOf(bits) * uint256(clamped) / 1_209_600;
        if (want > _LIMIT) want = _LIMIT;
        uint256 target_ = BitcoinHeader.targetOf(found);
        // the compact form keeps at least 15 leading bits and never rounds up
        assertLe(target_, want, "not easier");
        assertLe(want - target_, want >> 15, "no more lost than the form loses");
        assertEq(BitcoinHeader.compactOf(target_), found, "canonical");
        assertTrue(found & 0x800000 == 0, "positive");
    }

    function test_gasOfAHeader() public {
        bytes memory headers;
        bytes32 previous = keccak256("gas");
        for (uint256 i = 0; i < 101; ++i) {
            bytes memory h = Bitcoin.header(previous, 0, Bitcoin.BITS);
            headers = abi.encodePacked(headers, h);
            previous = Bitcoin.hash256(h);
        }
        bytes memory one = new bytes(80);
        for (uint256 i = 0; i < 80; ++i) {
            one[i] = headers[i];
        }
        _relay.checkHeaders(one);
        uint256 before = gasleft();
        _relay.checkHeaders(one);
        uint256 first = before - gasleft();
        before = gasleft();
        _relay.checkHeaders(headers);
        uint256 each = (before - gasleft() - first) / 100;
        emit Measured("gas of a header", each);
        assertLe(each, 1000, "a header");
    }
}
