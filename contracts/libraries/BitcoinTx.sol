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

    function hash256(bytes memory data) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(sha256(data)));
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
        (uint256 count, uint256 sum) = (parsed.outputs, 0);
        for (uint256 i = 0; i < count; ++i) {
            uint256 sats;
            (sats,, cursor) = output(raw, cursor);
            // a reverted read ends it long before 2^192 sums of 64 bits
            unchecked {
                sum += sats;
            }
        }
        parsed.sats = sum;
        if (cursor + 4 != raw.length) revert IEpochLedger.BadTransaction();
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
    function merkleRoot(bytes32 leaf, bytes calldata branch, uint256 index) internal pure returns (bytes32 node) {
        if (branch.length % 32 != 0) revert IEpochLedger.NotInBlock();
        node = leaf;
        for (uint256 i = 0; i < branch.length; i += 32) {
            bytes32 sibling = bytes32(branch[i:i + 32]);
            node = hash256(index & 1 == 0 ? abi.encodePacked(node, sibling) : abi.encodePacked(sibling, node));
            index >>= 1;
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
