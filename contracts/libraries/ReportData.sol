// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFleetOracle} from "../interfaces/IFleetOracle.sol";

/// @title ReportData
/// @notice A report's one encoding, which is hashed and emitted from the same memory. Its hash is
/// `keccak256(abi.encode(report))`.
library ReportData {
    /// @return data `abi.encode(0, report)`: two words, then the report's body
    /// @return hash of `abi.encode(report)`: that body after the word 0x20
    function encode(IFleetOracle.FleetReport calldata report) internal pure returns (bytes memory data, bytes32 hash) {
        data = abi.encode(uint256(0), report);
        assembly ("memory-safe") {
            mstore(add(data, 64), 0x20)
            hash := keccak256(add(data, 64), sub(mload(data), 32))
        }
    }

    /// @notice Emits `ReportPosted(epoch, round, hash, report)` from what `encode` made.
    function emitPosted(uint32 epoch, uint16 round, bytes32 hash, bytes memory data) internal {
        bytes32 topic = IFleetOracle.ReportPosted.selector;
        assembly ("memory-safe") {
            mstore(add(data, 32), hash)
            mstore(add(data, 64), 0x40)
            log3(add(data, 32), mload(data), topic, epoch, round)
        }
    }
}
