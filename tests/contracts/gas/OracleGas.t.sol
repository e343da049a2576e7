// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DemoQuote} from "../../../contracts/DemoQuote.sol";
import {FleetOracle} from "../../../contracts/FleetOracle.sol";
import {IFleetOracle} from "../../../contracts/interfaces/IFleetOracle.sol";
import {GasTable} from "./GasTable.sol";

/// @notice Whole report transactions: one receipt, one piece a series. Unless the name says otherwise the ring of hashes
/// has gone round once; `pair` is the mean of an even epoch, whose word of pots is new, and the odd one after it.
/// forge-config: default.isolate = true
contract OracleGasTest is GasTable {
    uint32 private constant _FIRST = 70_000;
    uint8 public seriesCount = 16;
    DemoQuote private _quote;
    FleetOracle private _oracle;
    uint256[] private _keys;
    uint256 private _gasOfPost;

    /// @dev `n` signers of whom `k` sign.
    function _start(uint256 n, uint256 k) private {
        vm.warp(uint256(_FIRST) * EPOCH);
        _quote = new DemoQuote();
        delete _keys;
        address[] memory list = new address[](n);
        for (uint256 i = 0; i < n; ++i) {
            _keys.push(1);
        }
        uint256 key = 1;
        for (uint256 i = 0; i < n; ++key) {
            if (i > 0 && vm.addr(key) <= list[i - 1]) continue;
            list[i] = vm.addr(key);
            _keys[i++] = key;
        }
        _oracle = new FleetOracle(address(this), address(this), address(_quote), 1, list, uint8(k), _FIRST);
        _quote.mint(address(this), n);
        _quote.approve(address(_oracle), n);
        for (uint256 i = 0; i < n; ++i) {
            _oracle.stake(list[i], 1);
        }
    }

    function _report(uint256 series) private view returns (IFleetOracle.FleetReport memory r) {
        r.epoch = _oracle.lastEpoch() + 1;
        r.prevHash = _oracle.lastReportHash();
        r.configDigest = _oracle.configDigest();
        (r.quotePerBtc, r.quoteSpread, r.evidenceRoot) = (67_123_456_789, 312, keccak256("evidence"));
        r.observedAt = uint40((uint256(r.epoch) + 1) * EPOCH + 600);
        r.receipts = new IFleetOracle.Receipt[](1);
        r.receipts[0] = IFleetOracle.Receipt(keccak256("receipt"), 1, uint64(70_123_456 * series));
        r.series = new IFleetOracle.SeriesReport[](series);
        for (uint256 i = 0; i < series; ++i) {
            IFleetOracle.SeriesReport memory line = r.series[i];
            line.series = uint16(i + 1);
            (line.work, line.liveHashrate) = (5_443_200_123_456_789_012_345, 189_000_004_286_694_063);
            (line.hardwarePrice, line.deductions) = (14_123_456, 10_123_456);
            line.pots = new IFleetOracle.Piece[](1);
            line.pots[0] = IFleetOracle.Piece(r.epoch, 60_000_000);
        }
    }

    function _post(uint256 series, uint256 k) private {
        IFleetOracle.FleetReport memory r = _report(series);
        vm.warp((uint256(r.epoch) + 1) * EPOCH + 700);
        bytes32 digest = _oracle.reportDigest(r);
        bytes memory packed;
        for (uint256 i = 0; i < k; ++i) {
            (uint8 v, bytes32 a, bytes32 b) = vm.sign(_keys[i], digest);
            packed = abi.encodePacked(packed, uint8(i), a, bytes32(uint256(b) | uint256(v - 27) << 255));
        }
        _oracle.post(r, packed);
        _gasOfPost = vm.lastCallGas().gasTotalUsed;
    }

    function _pair(uint256 series, uint256 k, string memory name) private {
        _post(series, k);
        uint256 even = _gasOfPost;
        _post(series, k);
        record(name, (even + _gasOfPost + 1) / 2);
    }

    /// @dev Until every word of the ring of hashes was written once; the next epoch is even.
    function _wearRing(uint256 k) private {
        for (uint256 i = 0; i < 512 || _oracle.lastEpoch() % 2 == 0; ++i) {
            _post(1, k);
        }
    }

    function test_gas() public {
        _start(5, 3);
        _post(1, 3);
        record("reportOneSeries3SignersFirstEver", _gasOfPost);
        _post(1, 3);
        _pair(1, 3, "reportOneSeries3SignersNewHashWord");
        _wearRing(3);
        _pair(1, 3, "reportOneSeries3Signers");
        _post(1, 3);
        record("reportOneSeries3SignersEvenEpoch", _gasOfPost);
        _post(1, 3);
        record("reportOneSeries3SignersOddEpoch", _gasOfPost);
        _post(4, 5);
        _post(4, 5);
        _pair(4, 3, "reportFourSeries3Signers");
        _start(9, 5);
        _wearRing(5);
        _pair(1, 5, "reportOneSeries5Signers");
        _start(13, 7);
        _wearRing(7);
        _pair(1, 7, "reportOneSeries7Signers");
        check("oracle");
        if (!isRelease()) return;
        assertLe(gasOf("reportOneSeries3Signers"), 80_000 + 12_000, "target: report, one series");
        assertLe(gasOf("reportFourSeries3Signers"), 80_000 + 4 * 12_000, "target: report, four series");
    }
}
