// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IHashProof} from "../interfaces/IHashProof.sol";
import {BitcoinHeader} from "./BitcoinHeader.sol";

/// @title ShareHash
/// @notice Header hash of a mining share in the form of `IHashProof`, and the tag in its coinbase.
/// @dev Nothing after the input script is parsed: whatever it is, it was hashed, and nothing is read from it. That the
/// script is that of input 0 of a coinbase needs no check either: the 37 bytes before it are written here, not read.
library ShareHash {
    /// offsets in a share
    uint256 private constant _TAG_AT = 48;
    uint256 private constant _DEPTH = 49;
    uint256 private constant _BRANCH = 50;
    /// consensus: a coinbase script has 2 to 100 bytes
    uint256 private constant _MAX_SCRIPT = 100;
    /// `01`, 32 zeros, `ffffffff`: one input, which spends nothing
    uint256 private constant _OMITTED = 37;

    /// @param index names the share in errors
    function hash(bytes calldata share, bytes4 tag, uint256 index) internal view returns (uint256) {
        uint256 depth;
        uint256 body; // of the coinbase, as far as it is sent: offset
        uint256 length; // and length
        (depth, body, length) = _check(share, tag, index);
        bytes32 root = _root(share, body, length, depth);
        return BitcoinHeader.reverse(_header(share, root));
    }

    function _check(bytes calldata share, bytes4 tag, uint256 index)
        private
        pure
        returns (uint256 depth, uint256 body, uint256 length)
    {
        if (share.length < _BRANCH) revert IHashProof.BadShare(index);
        uint256 tagAt = uint8(share[_TAG_AT]);
        depth = uint8(share[_DEPTH]);
        body = _BRANCH + 32 * depth;
        if (share.length < body + 5) revert IHashProof.BadShare(index);
        uint256 script = uint8(share[body + 4]);
        length = share.length - body;
        if (script > _MAX_SCRIPT || length < 5 + script) revert IHashProof.BadShare(index);
        if (length + _OMITTED == 64) revert IHashProof.SixtyFourBytes(index);
        if (tagAt + 4 > script) revert IHashProof.TagOutsideScript(index);
        bytes4 found;
        assembly ("memory-safe") {
            found := calldataload(add(share.offset, add(body, add(5, tagAt))))
            found := and(found, shl(224, 0xffffffff))
        }
        if (found != tag) revert IHashProof.WrongTag(index, tag, found);
    }

    /// @dev Merkle root over the coinbase, which is always transaction 0: every sibling is on the right.
    function _root(bytes calldata share, uint256 body, uint256 length, uint256 depth)
        private
        view
        returns (bytes32 root)
    {
        assembly ("memory-safe") {
            let free := mload(0x40)
            let from := add(share.offset, body)
            calldatacopy(free, from, 4)
            mstore(add(free, 4), shl(248, 1))
            mstore(add(free, 5), 0)
            mstore(add(free, 37), not(0))
            calldatacopy(add(free, 41), add(from, 4), sub(length, 4))
            // SHA-256 is precompile 2; it fails only for lack of gas
            if iszero(staticcall(gas(), 2, free, add(length, 37), 0, 32)) { revert(0, 0) }
            if iszero(staticcall(gas(), 2, 0, 32, 0, 32)) { revert(0, 0) }
            let branch := add(share.offset, 50)
            for { let end := add(branch, shl(5, depth)) } lt(branch, end) { branch := add(branch, 32) } {
                mstore(32, calldataload(branch))
                if iszero(staticcall(gas(), 2, 0, 64, 0, 32)) { revert(0, 0) }
                if iszero(staticcall(gas(), 2, 0, 32, 0, 32)) { revert(0, 0) }
            }
            root := mload(0)
        }
    }

    function _header(bytes calldata share, bytes32 root) private view returns (bytes32 digest) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, share.offset, 36)
            mstore(add(free, 36), root)
            calldatacopy(add(free, 68), add(share.offset, 36), 12)
            if iszero(staticcall(gas(), 2, free, 80, 0, 32)) { revert(0, 0) }
            if iszero(staticcall(gas(), 2, 0, 32, 0, 32)) { revert(0, 0) }
            digest := mload(0)
        }
    }
}
