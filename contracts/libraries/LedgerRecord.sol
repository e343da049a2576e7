// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../interfaces/IEpochLedger.sol";

/// @title LedgerRecord
/// @notice The one word that the ledger keeps of a commitment. Table: docs/LEDGER.md, "What is stored of a commitment".
/// @dev Two levels, so that the proof of a payout brings two hashes instead of terms that it does not look at.
library LedgerRecord {
    /// @notice Bytes of an encoded record.
    uint256 internal constant LENGTH = 352;

    /// @notice The word for a record.
    function hash(IEpochLedger.Record memory r) internal pure returns (bytes32) {
        bytes32 terms;
        assembly ("memory-safe") {
            // accSum to commitment: its second to ninth word
            terms := keccak256(add(r, 32), 256)
        }
        return sealOf(r.root, terms, r.lastPaying, r.batches);
    }

    function sealOf(bytes32 root, bytes32 terms, uint32 lastPaying, bytes32 batches) internal pure returns (bytes32) {
        return keccak256(abi.encode(root, terms, lastPaying, batches));
    }

    /// @notice The record that `encoded` is, and the word for it. Unchecked: whoever uses the record compares the word, and
    /// no two encodings of a record have the same one.
    function read(bytes calldata encoded) internal pure returns (IEpochLedger.Record calldata r, bytes32 digest) {
        assembly ("memory-safe") {
            r := encoded.offset
            let free := mload(0x40)
            calldatacopy(free, encoded.offset, LENGTH)
            // root, terms, lastPaying, batches
            mstore(add(free, 32), keccak256(add(free, 32), 256))
            mcopy(add(free, 64), add(free, 288), 64)
            digest := keccak256(free, 128)
        }
    }

    /// @notice Hash of the list's elements, 64 bytes each as the ABI has them, without offset or length.
    function batchesHash(IEpochLedger.Batch[] calldata batches) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            let size := shl(6, batches.length)
            calldatacopy(free, batches.offset, size)
            digest := keccak256(free, size)
        }
    }
}
