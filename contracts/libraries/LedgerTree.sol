// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../interfaces/IEpochLedger.sol";

/// @title LedgerTree
/// @notice Leaves, nodes and branches of the payout tree. Byte tables: docs/LEDGER.md.
library LedgerTree {
    /// @notice Hash of a leaf; `acc` packs n x (series:2 || acc:16).
    function leafHash(address account, bytes32 scriptHash, uint64 paid, uint32 since, uint32 out, bytes calldata acc)
        internal
        pure
        returns (bytes32)
    {
        uint256 count = acc.length / 18;
        if (acc.length % 18 != 0 || count > 16) revert IEpochLedger.BadLeaf();
        uint256 previous = 0;
        for (uint256 i = 0; i < count; ++i) {
            (uint256 series, uint256 value) = _entry(acc, i);
            if (series <= previous || value == 0) revert IEpochLedger.BadLeaf();
            previous = series;
        }
        return keccak256(abi.encodePacked(uint8(0), account, scriptHash, paid, since, out, uint8(count), acc));
    }

    /// @notice Parent of two nodes. Reverts if a sum overflows its field.
    function nodeHash(IEpochLedger.Root memory left, IEpochLedger.Root memory right)
        internal
        pure
        returns (IEpochLedger.Root memory)
    {
        bytes32 hash = keccak256(
            abi.encodePacked(uint8(1), left.hash, left.accSum, left.paidSum, right.hash, right.accSum, right.paidSum)
        );
        return IEpochLedger.Root(hash, left.accSum + right.accSum, left.paidSum + right.paidSum);
    }

    /// @notice Root over `leaf` at `index`, with `siblings` from the leaf upwards.
    function rootOf(uint256 index, IEpochLedger.Root memory leaf, IEpochLedger.Root[] calldata siblings)
        internal
        pure
        returns (IEpochLedger.Root memory node)
    {
        node = leaf;
        for (uint256 i = 0; i < siblings.length; ++i) {
            node = index & 1 == 0 ? nodeHash(node, siblings[i]) : nodeHash(siblings[i], node);
            index >>= 1;
        }
        if (index != 0) revert IEpochLedger.BadLeaf();
    }

    /// @notice The same, with siblings packed as `hash:32 || accSum:16 || paidSum:8`.
    /// @dev In assembly: a challenge hashes two branches. The preimage of a node is `01 || left:56 || right:56`.
    function rootOfPacked(uint256 index, IEpochLedger.Root memory leaf, bytes calldata siblings)
        internal
        pure
        returns (bytes32 hash, uint256 accSum, uint256 paidSum)
    {
        if (siblings.length % 56 != 0 || index >> siblings.length / 56 != 0) revert IEpochLedger.BadLeaf();
        (hash, accSum, paidSum) = (leaf.hash, leaf.accSum, leaf.paidSum);
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore8(p, 1)
            let end := add(siblings.offset, siblings.length)
            for { let s := siblings.offset } lt(s, end) { s := add(s, 56) } {
                let sums := or(shl(128, accSum), shl(64, paidSum))
                switch and(index, 1)
                case 0 {
                    mstore(add(p, 1), hash)
                    mstore(add(p, 33), sums)
                    calldatacopy(add(p, 57), s, 56)
                }
                default {
                    calldatacopy(add(p, 1), s, 56)
                    mstore(add(p, 57), hash)
                    mstore(add(p, 89), sums)
                }
                hash := keccak256(p, 113)
                accSum := add(accSum, shr(128, calldataload(add(s, 32))))
                paidSum := add(paidSum, shr(192, calldataload(add(s, 48))))
                if or(shr(128, accSum), shr(64, paidSum)) { revert(0, 0) }
                index := shr(1, index)
            }
        }
    }

    /// @notice Siblings in a branch of a tree over `accounts` leaves.
    function depthOf(uint256 accounts) internal pure returns (uint256 depth) {
        while (1 << depth < accounts) {
            ++depth;
        }
    }

    /// @notice Sum of a packed series list's accumulators, and that of `series` (zero if it is not listed).
    function accumulators(bytes calldata acc, uint16 series) internal pure returns (uint256 sum, uint256 one) {
        uint256 count = acc.length / 18;
        for (uint256 i = 0; i < count; ++i) {
            (uint256 listed, uint256 value) = _entry(acc, i);
            sum += value;
            if (listed == series) one = value;
        }
    }

    /// @dev Entry `i` of a packed series list that has more than `i`: one word holds its 18 bytes.
    function _entry(bytes calldata acc, uint256 i) private pure returns (uint256 series, uint256 value) {
        uint256 word;
        assembly ("memory-safe") {
            word := calldataload(add(acc.offset, mul(i, 18)))
        }
        return (word >> 240, word >> 112 & type(uint128).max);
    }
}
