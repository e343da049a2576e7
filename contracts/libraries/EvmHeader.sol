// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IHashProof} from "../interfaces/IHashProof.sol";

/// @title EvmHeader
/// @notice Fields of the RLP of an EVM block header whose keccak is known to be a block hash.
/// @dev A hash that this chain knows has one preimage, a valid header: this reader only has to find the fields in it, and
/// refuses what is shorter than they are.
library EvmHeader {
    /// where the fields of fixed length end: 3 bytes of list prefix, five hashes, an address, the bloom filter
    uint256 private constant _DIFFICULTY = 3 + 5 * 33 + 21 + 259;
    uint256 private constant _PARENT = 4;

    function parent(bytes calldata header) internal pure returns (bytes32 hash) {
        if (header.length < _DIFFICULTY || uint8(header[0]) != 0xf9) revert IHashProof.BadHeader();
        hash = bytes32(header[_PARENT:_PARENT + 32]);
    }

    /// @return number of the block
    /// @return time of the block, unix seconds
    function numberAndTime(bytes calldata header) internal pure returns (uint256 number, uint256 time) {
        if (header.length < _DIFFICULTY || uint8(header[0]) != 0xf9) revert IHashProof.BadHeader();
        uint256 cursor = _DIFFICULTY;
        (, cursor) = _integer(header, cursor);
        (number, cursor) = _integer(header, cursor);
        (, cursor) = _integer(header, cursor); // gas limit
        (, cursor) = _integer(header, cursor); // gas used
        (time,) = _integer(header, cursor);
    }

    /// @dev An RLP string of at most 32 bytes as a number.
    function _integer(bytes calldata header, uint256 cursor) private pure returns (uint256 value, uint256 next) {
        if (cursor >= header.length) revert IHashProof.BadHeader();
        uint256 first = uint8(header[cursor]);
        if (first < 0x80) return (first, cursor + 1);
        uint256 length = first - 0x80;
        next = cursor + 1 + length;
        if (length > 32 || next > header.length) revert IHashProof.BadHeader();
        if (length > 0) value = uint256(bytes32(header[cursor + 1:next])) >> 8 * (32 - length);
    }
}
