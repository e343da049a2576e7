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
            uint256 series = uint16(bytes2(acc[i * 18:i * 18 + 2]));
            if (series <= previous || bytes16(acc[i * 18 + 2:i * 18 + 18]) == 0) revert IEpochLedger.BadLeaf();
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
}
