// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../interfaces/IEpochLedger.sol";

/// @title BitcoinTx
/// @notice Reads a Bitcoin transaction serialised without witness. Every read is bounds-checked; a 64-byte transaction
/// (it could be an inner node of a Merkle tree), the witness marker, an overlong compact size and trailing bytes are
/// refused with `BadTransaction`.
library BitcoinTx {
    /// @notice Where things are in a transaction.
    struct Layout {
        bytes32 inputTxid;
        uint32 inputVout;
        uint256 inputs;
        uint256 outputs;
        /// offset of the first output
        uint256 outputsAt;
        /// of all outputs
        uint256 sats;
    }

    /// @dev outputs that are summed at once
    uint256 private constant _RUN = 257;

    /// @notice Double SHA-256.
    function hash256(bytes calldata data) internal view returns (bytes32 digest) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, data.offset, data.length)
            // SHA-256 is precompile 2; it fails only for lack of gas
            if iszero(staticcall(gas(), 2, free, data.length, 0, 32)) { revert(0, 0) }
            if iszero(staticcall(gas(), 2, 0, 32, 0, 32)) { revert(0, 0) }
            digest := mload(0)
        }
    }

    /// @notice Checks the whole serialisation and returns its layout.
    function parse(bytes calldata raw) internal pure returns (Layout memory parsed) {
        if (raw.length == 64) revert IEpochLedger.BadTransaction();
        uint256 cursor;
        (parsed.inputs, cursor) = compactSize(raw, 4);
        if (parsed.inputs == 0) revert IEpochLedger.BadTransaction();
        parsed.inputTxid = bytes32(slice(raw, cursor, 32));
        parsed.inputVout = uint32(littleEndian(slice(raw, cursor + 32, 4)));
        for (uint256 i = 0; i < parsed.inputs; ++i) {
            uint256 length;
            (length, cursor) = compactSize(raw, cursor + 36);
            cursor += length + 4;
            if (cursor > raw.length) revert IEpochLedger.BadTransaction();
        }
        (parsed.outputs, cursor) = compactSize(raw, cursor);
        if (parsed.outputs == 0) revert IEpochLedger.BadTransaction();
        parsed.outputsAt = cursor;
        (parsed.sats, cursor) = _outputs(raw, cursor, parsed.outputs);
        if (cursor + 4 != raw.length) revert IEpochLedger.BadTransaction();
    }

    /// @dev Sum of `count` outputs from `cursor` on, and the offset after them.
    function _outputs(bytes calldata raw, uint256 cursor, uint256 count) private pure returns (uint256, uint256) {
        (uint256 sum, uint256 next, bool short) = (0, cursor, true);
        for (uint256 left = count; short && left != 0;) {
            uint256 run = left < _RUN ? left : _RUN;
            uint256 sats;
            (sats, next, short) = _shortOutputs(raw, next, run);
            // after a long script `next` means nothing
            if (short && next > raw.length) revert IEpochLedger.BadTransaction();
            (sum, left) = (sum + sats, left - run);
        }
        if (short) return (sum, next);
        // some script is long: read each output with care
        (sum, next) = (0, cursor);
        for (uint256 i = 0; i < count; ++i) {
            uint256 sats;
            (sats,, next) = output(raw, next);
            sum += sats;
        }
        return (sum, next);
    }

    /// @dev The same of at most 257 outputs with scripts below 64 bytes; if there are others, `short` is false and the rest
    /// means nothing. In assembly, for a payout has hundreds. Every output takes 9 bytes or more, so the offset only
    /// grows, and the caller holds it against the length.
    function _shortOutputs(bytes calldata raw, uint256 cursor, uint256 count)
        private
        pure
        returns (uint256 sats, uint256 next, bool short)
    {
        assembly ("memory-safe") {
            // sums of the eight little-endian bytes, 16 bits each: bytes 1, 3, 5, 7 in the lanes from bit 240 down to 192,
            // bytes 0, 2, 4, 6 in those from 176 down to 128; no lane overflows in 257 turns
            let lanes := 0
            let lengths := 0
            let place := add(raw.offset, cursor)
            for {} count { count := sub(count, 1) } {
                let word := calldataload(place)
                let length := byte(8, word)
                let odd := and(word, 0x00ff00ff00ff00ff000000000000000000000000000000000000000000000000)
                let even := and(shr(72, word), 0x000000000000000000ff00ff00ff00ff00000000000000000000000000000000)
                lanes := add(lanes, or(odd, even))
                lengths := or(lengths, length)
                place := add(place, add(length, 9))
            }
            for { let i := 0 } lt(i, 4) { i := add(i, 1) } {
                let weight := shl(4, i)
                sats := add(sats, shl(weight, and(shr(sub(176, weight), lanes), 0xffff)))
                sats := add(sats, shl(add(weight, 8), and(shr(sub(240, weight), lanes), 0xffff)))
            }
            next := sub(place, raw.offset)
            short := lt(lengths, 64)
        }
    }

    /// @notice The output at offset `at`, and the offset after it.
    function output(bytes calldata raw, uint256 cursor)
        internal
        pure
        returns (uint256 sats, bytes calldata script, uint256 next)
    {
        // `cursor` and what is added to it stay below 2^65, so none of these sums can wrap
        if (cursor > raw.length) revert IEpochLedger.BadTransaction();
        uint256 length;
        unchecked {
            if (raw.length - cursor < 9) revert IEpochLedger.BadTransaction();
            uint256 word;
            assembly ("memory-safe") {
                word := calldataload(add(raw.offset, cursor))
            }
            sats = _swap64(word >> 192);
            length = word >> 184 & 0xff;
            if (length < 0xfd) cursor += 9;
            else (length, cursor) = compactSize(raw, cursor + 8);
            if (length > raw.length - cursor) revert IEpochLedger.BadTransaction();
            next = cursor + length;
        }
        assembly ("memory-safe") {
            script.offset := add(raw.offset, cursor)
            script.length := length
        }
    }

    /// @dev The 8 bytes of a 64-bit number, reversed.
    function _swap64(uint256 x) private pure returns (uint256) {
        x = (x & 0xff00ff00ff00ff00) >> 8 | (x & 0x00ff00ff00ff00ff) << 8;
        x = (x & 0xffff0000ffff0000) >> 16 | (x & 0x0000ffff0000ffff) << 16;
        return x >> 32 | (x & 0xffffffff) << 32;
    }

    /// @notice Root of the Merkle tree over `leaf` at `index`. Internal byte order throughout.
    function merkleRoot(bytes32 leaf, bytes calldata branch, uint256 index) internal view returns (bytes32 node) {
        if (branch.length % 32 != 0) revert IEpochLedger.NotInBlock();
        node = leaf;
        assembly ("memory-safe") {
            let end := add(branch.offset, branch.length)
            for { let at := branch.offset } lt(at, end) { at := add(at, 32) } {
                // the node's place: left if its bit is 0
                let place := shl(5, and(index, 1))
                mstore(place, node)
                mstore(sub(32, place), calldataload(at))
                // SHA-256 is precompile 2; it fails only for lack of gas
                if iszero(staticcall(gas(), 2, 0, 64, 0, 32)) { revert(0, 0) }
                if iszero(staticcall(gas(), 2, 0, 32, 0, 32)) { revert(0, 0) }
                node := mload(0)
                index := shr(1, index)
            }
        }
        if (index != 0) revert IEpochLedger.NotInBlock();
    }

    /// @notice Reads a compact size at `at`, refusing any but the shortest form.
    function compactSize(bytes calldata raw, uint256 cursor) internal pure returns (uint256 value, uint256 next) {
        uint256 first = littleEndian(slice(raw, cursor, 1));
        if (first < 0xfd) return (first, cursor + 1);
        uint256 size = first == 0xfd ? 2 : first == 0xfe ? 4 : 8;
        value = littleEndian(slice(raw, cursor + 1, size));
        if (value < (size == 2 ? 0xfd : size == 4 ? 0x10000 : 0x100000000)) revert IEpochLedger.BadTransaction();
        next = cursor + 1 + size;
    }

    /// @notice `length` bytes at `at`, or a revert.
    function slice(bytes calldata raw, uint256 cursor, uint256 length) internal pure returns (bytes calldata) {
        if (cursor > raw.length || length > raw.length - cursor) revert IEpochLedger.BadTransaction();
        return raw[cursor:cursor + length];
    }

    /// @notice At most 32 bytes as a little-endian integer.
    function littleEndian(bytes calldata raw) internal pure returns (uint256 value) {
        for (uint256 i = raw.length; i > 0; --i) {
            value = value << 8 | uint8(raw[i - 1]);
        }
    }
}
