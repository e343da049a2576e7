// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../../contracts/interfaces/IEpochLedger.sol";
import {ILedgerCourt} from "../../../contracts/interfaces/ILedgerCourt.sol";
import {Test} from "./Test.sol";

/// @title Records
/// @notice What the ledger keeps only a hash of, kept here: the record of every commitment, written from docs/LEDGER.md
/// apart from the contracts.
abstract contract Records is Test {
    mapping(uint32 epoch => IEpochLedger.Record) internal recordOf;
    mapping(uint32 epoch => IEpochLedger.Batch[]) internal batchesOf;
    uint32 private _newestPaying;

    /// @dev Remembers a commitment that was just made.
    function note(IEpochLedger.Commitment memory c) internal {
        IEpochLedger.Record storage r = recordOf[c.epoch];
        (r.root, r.accSum, r.paidSum) = (c.root.hash, c.root.accSum, c.root.paidSum);
        (r.epoch, r.accounts, r.minPay, r.defer) = (c.epoch, c.accounts, c.minPay, c.defer);
        uint256 end = (uint256(c.epoch) + 1) * EPOCH;
        r.delay = uint32((block.timestamp - end + 59) / 60);
        bytes memory whole = abi.encode(c);
        assembly ("memory-safe") {
            // drops the offset
            mstore(add(whole, 32), sub(mload(whole), 32))
            whole := add(whole, 32)
        }
        r.commitment = keccak256(whole);
        r.lastPaying = _newestPaying;
        bytes memory list;
        for (uint256 i = 0; i < c.batches.length; ++i) {
            batchesOf[c.epoch].push(c.batches[i]);
            list = abi.encodePacked(list, abi.encode(c.batches[i]));
        }
        r.batches = keccak256(list);
        if (c.batches.length != 0) _newestPaying = c.epoch;
    }

    /// @dev abi.encode(Record); empty if there is none.
    function encoded(uint32 epoch) internal view returns (bytes memory) {
        return recordOf[epoch].epoch == 0 ? bytes("") : abi.encode(recordOf[epoch]);
    }

    function books(uint32 epoch) internal view returns (ILedgerCourt.Books memory b) {
        (b.here, b.before) = (encoded(epoch), encoded(epoch - 1));
        for (uint256 i = 0; i < batchesOf[epoch].length; ++i) {
            b.batches = abi.encodePacked(b.batches, abi.encode(batchesOf[epoch][i]));
        }
    }

    function paying(uint32 epoch) internal view returns (IEpochLedger.Paying memory p) {
        IEpochLedger.Record memory r = recordOf[epoch];
        p.root = r.root;
        p.terms =
            keccak256(abi.encode(r.accSum, r.paidSum, r.epoch, r.accounts, r.minPay, r.defer, r.delay, r.commitment));
        p.lastPaying = r.lastPaying;
        p.batches = batchesOf[epoch];
    }
}
