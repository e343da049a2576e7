// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {BitcoinHeader} from "../../../contracts/libraries/BitcoinHeader.sol";
import {BitcoinScript} from "../../../contracts/libraries/BitcoinScript.sol";
import {BitcoinTx} from "../../../contracts/libraries/BitcoinTx.sol";
import {Vm} from "../utils/Vm.sol";

/// @title BitcoinProofs
/// @notice Targets, script templates, the marker and compact sizes, for every input of a size.
contract BitcoinProofs {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /* TARGETS */

    function check_targetIsMantissaTimesPower(uint8 exponent, uint24 mantissa) external pure {
        vm.assume(exponent >= 3 && exponent <= 32 && mantissa < 0x800000);
        uint256 target = BitcoinHeader.targetOf(uint32(exponent) << 24 | mantissa);
        assert(target >> 8 * (uint256(exponent) - 3) == mantissa);
        assert(target & ((1 << 8 * (uint256(exponent) - 3)) - 1) == 0);
    }

    function check_negativeTargetIsNone(uint32 bits) external pure {
        vm.assume(bits & 0x800000 != 0);
        assert(BitcoinHeader.targetOf(bits) == 0);
    }

    function check_overflowingTargetIsNone(uint32 bits) external pure {
        vm.assume(bits >> 24 > 32);
        assert(BitcoinHeader.targetOf(bits) == 0);
    }

    /// @dev Rounding to the compact form only makes a target harder, by less than one part in 2^15.
    function check_compactFormRoundsDown(uint256 target) external pure {
        vm.assume(target < 1 << 232);
        uint256 back = BitcoinHeader.targetOf(BitcoinHeader.compactOf(target));
        assert(back <= target && target - back <= target >> 15);
    }

    function check_compactFormIsStable(uint256 target) external pure {
        vm.assume(target < 1 << 232);
        uint32 bits = BitcoinHeader.compactOf(target);
        assert(BitcoinHeader.compactOf(BitcoinHeader.targetOf(bits)) == bits);
    }

    function check_reversingTwiceIsNothing(bytes32 hash) external pure {
        assert(BitcoinHeader.reverse(bytes32(BitcoinHeader.reverse(hash))) == uint256(hash));
    }

    function check_reverseMovesEachByte(bytes32 hash, uint8 index) external pure {
        index = index % 32;
        for (uint256 i = 0; i < 32; ++i) {
            if (i == index) assert(uint8(BitcoinHeader.reverse(hash) >> (8 * i)) == uint8(hash[i]));
        }
    }

    function bitsOf(bytes calldata header) external pure returns (uint32, uint32) {
        return (BitcoinHeader.bits(header, 0), BitcoinHeader.time(header, 0));
    }

    /// @dev Time and bits are the little-endian words at 68 and 72.
    function check_headerFields(bytes32 a, bytes32 b, bytes4 version, bytes4 time, bytes4 bits, bytes4 nonce)
        external
        view
    {
        bytes memory header = abi.encodePacked(version, a, b, time, bits, nonce);
        (uint32 foundBits, uint32 foundTime) = this.bitsOf(header);
        for (uint256 i = 0; i < 4; ++i) {
            assert(uint8(foundBits >> (8 * i)) == uint8(bits[i]));
            assert(uint8(foundTime >> (8 * i)) == uint8(time[i]));
        }
    }

    /* SCRIPTS */

    function dustOf(bytes calldata script) external pure returns (uint16) {
        return BitcoinScript.dust(script);
    }

    function check_twentyTwoBytes(bytes22 script) external view {
        bool template = bytes2(script) == 0x0014;
        assert((this.dustOf(abi.encodePacked(script)) == 294) == template);
        assert(template || this.dustOf(abi.encodePacked(script)) == 0);
    }

    function check_twentyThreeBytes(bytes23 script) external view {
        bool template = bytes2(script) == 0xa914 && script[22] == 0x87;
        assert(this.dustOf(abi.encodePacked(script)) == (template ? 540 : 0));
    }

    function check_twentyFiveBytes(bytes25 script) external view {
        bool template = bytes3(script) == 0x76a914 && script[23] == 0x88 && script[24] == 0xac;
        assert(this.dustOf(abi.encodePacked(script)) == (template ? 546 : 0));
    }

    function check_thirtyFourBytes(bytes32 head, bytes2 tail) external view {
        bool template = bytes2(head) == 0x0020 || bytes2(head) == 0x5120;
        assert(this.dustOf(abi.encodePacked(head, tail)) == (template ? 330 : 0));
    }

    /// @dev No other length is a template, whatever the bytes are.
    function check_otherLengthsAreNone(bytes32 head, bytes32 tail, uint8 length) external view {
        vm.assume(length <= 64 && length != 22 && length != 23 && length != 25 && length != 34);
        for (uint256 i = 0; i <= 64; ++i) {
            if (i != length) continue;
            bytes memory script = abi.encodePacked(head, tail);
            assembly ("memory-safe") {
                mstore(script, i)
            }
            assert(this.dustOf(script) == 0);
        }
    }

    function check_markerNamesItsEpochAndBatch(uint32 epoch, uint16 batch, bytes32 root) external pure {
        bytes memory marker = BitcoinScript.marker(epoch, batch, root);
        assert(marker.length == 42 && marker[0] == 0x6a && marker[1] == 0x28);
        uint256 tail;
        assembly ("memory-safe") {
            tail := mload(add(marker, 42)) // its last 32 bytes
        }
        // batch:2, root:30
        assert(tail == uint256(batch) << 240 | uint256(root) >> 16);
        uint256 head;
        assembly ("memory-safe") {
            head := mload(add(marker, 32))
        }
        assert(uint32(head >> 176) == epoch);
    }

    /* COMPACT SIZE */

    function compactSizeOf(bytes calldata raw) external pure returns (uint256 value, uint256 next) {
        return BitcoinTx.compactSize(raw, 0);
    }

    /// @dev One value, one form: what is accepted has the shortest length.
    function check_compactSizeIsShortest(bytes9 raw) external view {
        try this.compactSizeOf(abi.encodePacked(raw)) returns (uint256 value, uint256 next) {
            uint256 shortest = value < 0xfd ? 1 : value <= 0xffff ? 3 : value <= 0xffffffff ? 5 : 9;
            assert(next == shortest);
        } catch {
            assert(uint8(raw[0]) >= 0xfd);
        }
    }
}
