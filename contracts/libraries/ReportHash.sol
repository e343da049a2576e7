// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFleetOracle} from "../interfaces/IFleetOracle.sol";

/// @title ReportHash
/// @notice EIP-712 struct hash of a fleet report.
library ReportHash {
    bytes32 internal constant PIECE = keccak256("Piece(uint32 workEpoch,uint64 sats)");
    bytes32 internal constant RECEIPT = keccak256("Receipt(bytes32 txid,uint32 vout,uint64 sats)");
    bytes32 internal constant SERIES = keccak256(
        "SeriesReport(uint16 series,Piece[] pots,uint128 work,uint128 liveHashrate,uint128 hardwarePrice,"
        "uint64 deductions)Piece(uint32 workEpoch,uint64 sats)"
    );
    bytes32 internal constant REPORT = keccak256(
        "FleetReport(uint32 epoch,uint16 round,bytes32 prevHash,bytes32 configDigest,uint64 quotePerBtc,"
        "uint32 quoteSpread,uint40 observedAt,Receipt[] receipts,SeriesReport[] series,bytes32 evidenceRoot)"
        "Piece(uint32 workEpoch,uint64 sats)" "Receipt(bytes32 txid,uint32 vout,uint64 sats)"
        "SeriesReport(uint16 series,Piece[] pots,uint128 work,uint128 liveHashrate,uint128 hardwarePrice,"
        "uint64 deductions)"
    );

    function hashOf(IFleetOracle.FleetReport memory report) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                REPORT,
                report.epoch,
                report.round,
                report.prevHash,
                report.configDigest,
                report.quotePerBtc,
                report.quoteSpread,
                report.observedAt,
                _receipts(report.receipts),
                _series(report.series),
                report.evidenceRoot
            )
        );
    }

    function _receipts(IFleetOracle.Receipt[] memory receipts) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](receipts.length);
        for (uint256 i = 0; i < receipts.length; ++i) {
            hashes[i] = keccak256(abi.encode(RECEIPT, receipts[i].txid, receipts[i].vout, receipts[i].sats));
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _series(IFleetOracle.SeriesReport[] memory series) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](series.length);
        for (uint256 i = 0; i < series.length; ++i) {
            IFleetOracle.SeriesReport memory s = series[i];
            hashes[i] = keccak256(
                abi.encode(SERIES, s.series, _pieces(s.pots), s.work, s.liveHashrate, s.hardwarePrice, s.deductions)
            );
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _pieces(IFleetOracle.Piece[] memory pieces) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](pieces.length);
        for (uint256 i = 0; i < pieces.length; ++i) {
            hashes[i] = keccak256(abi.encode(PIECE, pieces[i].workEpoch, pieces[i].sats));
        }
        return keccak256(abi.encodePacked(hashes));
    }
}
