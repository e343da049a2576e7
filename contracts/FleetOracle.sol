// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ISeriesRegistry} from "./interfaces/ISeriesRegistry.sol";
import {LogCode} from "./libraries/LogCode.sol";
import {ReportData} from "./libraries/ReportData.sol";
import {OracleSigners} from "./OracleSigners.sol";

/// @title FleetOracle
/// @notice Checks and stores what the quorum says of each epoch: a report, or that there is none, and prices in between.
contract FleetOracle is OracleSigners {
    uint256 private constant _MAX_PIECES = 4;
    uint256 private constant _MAX_WORK_AGE = 24;
    /// @dev reports whose hash is kept
    uint256 private constant _RING = 512;
    /// @dev how far back a pot or price is looked for to compare with
    uint256 private constant _LOOK_BACK = 24;
    uint256 private constant _POT_FACTOR = 3;
    uint256 private constant _EXTRA_SIGNERS = 2;
    bytes32 private constant _GAP = keccak256("Gap(uint32 epoch,bytes32 configDigest)");

    /// @inheritdoc IFleetOracle
    address public immutable registry;
    /// @inheritdoc IFleetOracle
    uint32 public immutable firstEpoch;
    bytes32[_RING] private _hashes;
    /// @dev two epochs a word, the even one low: `quotePerBtc:64 | pot:64` each
    mapping(uint256 pair => uint256) private _outcomes;
    /// @dev LogCode of the live H/s of each series, 16 bits each, series 1 lowest
    uint256 private _live;
    /// @dev hash of the last report, while a gap follows it
    bytes32 private _hashBeforeGap;
    /// @inheritdoc IFleetOracle
    bytes32 public lastValuationHash;
    /// @dev `quotePerBtc:64 | epoch:32` of the last valuation
    uint32 private _valuationEpoch;
    uint64 private _valuationPrice;
    /// @inheritdoc IFleetOracle
    mapping(bytes32 hash => bool) public isValuation;
    /// @inheritdoc IFleetOracle
    mapping(bytes32 afterReport => bytes32) public lastValuationAfter;

    /// @param firstEpoch_ the epoch of deployment; the one before is let pass, so that a deployment prepared just before a
    /// boundary does not fail
    constructor(
        address authority,
        address registry_,
        address quoteToken_,
        uint96 minStake_,
        address[] memory signers_,
        uint8 quorum_,
        uint32 firstEpoch_
    ) AccessManaged(authority) OracleSigners(quoteToken_, minStake_) {
        uint256 current = block.timestamp / _EPOCH;
        if (firstEpoch_ == 0 || firstEpoch_ > current || firstEpoch_ + 1 < current) revert BadFirstEpoch(firstEpoch_);
        registry = registry_;
        firstEpoch = firstEpoch_;
        _state.lastEpoch = firstEpoch_ - 1;
        _setSigners(signers_, quorum_);
    }

    /* REPORTS */

    /// @inheritdoc IFleetOracle
    function post(FleetReport calldata report, bytes calldata signatures) external {
        State memory s = _state;
        bytes memory set = SSTORE2.read(s.set);
        uint32 epoch = report.epoch;
        _checkEnvelope(report, epoch, s, set);
        uint256 pot = _checkMoney(report, epoch, s);
        uint256 price = report.quotePerBtc;
        bool jump = _isJump(pot, price, s.lastEpoch);
        (bytes memory data, bytes32 hash) = ReportData.encode(report);
        if (_takeLive(report.series)) jump = true;
        uint16 round = report.round;
        _checkPacked(_envelope(_REPORT, epoch, round, hash), signatures, s, set, jump ? _many(s) : s.quorum);

        (s.lastEpoch, s.afterGap) = (epoch, false);
        _state = s;
        _hashes[epoch % _RING] = hash;
        _outcomes[epoch >> 1] |= (price << 64 | pot) << ((epoch & 1) << 7);
        ReportData.emitPosted(epoch, round, hash, data);
    }

    /// @inheritdoc IFleetOracle
    function declareGap(uint32 epoch) external {
        uint256 earliest = (uint256(epoch) + 1) * _EPOCH + 1 days;
        _gap(epoch, _state, false);
        if (block.timestamp < earliest) revert GapTooEarly(epoch, earliest);
    }

    /// @inheritdoc IFleetOracle
    function declareGapByQuorum(uint32 epoch, bytes calldata signatures) external {
        State memory s = _state;
        bytes memory set = SSTORE2.read(s.set);
        if (block.timestamp < (uint256(epoch) + 1) * _EPOCH) revert EpochNotOver(epoch);
        _checkPacked(_gapDigest(epoch, _digestOf(set)), signatures, s, set, s.quorum);
        _gap(epoch, s, true);
    }

    function _gap(uint32 epoch, State memory s, bool byQuorum) private {
        if (epoch != s.lastEpoch + 1) revert WrongEpoch(s.lastEpoch + 1, epoch);
        if (!s.afterGap) _hashBeforeGap = _hashes[s.lastEpoch % _RING];
        _hashes[epoch % _RING] = 0;
        (s.lastEpoch, s.afterGap) = (epoch, true);
        _state = s;
        emit GapDeclared(epoch, byQuorum);
    }

    /// @dev Chain, order and time.
    function _checkEnvelope(FleetReport calldata report, uint32 epoch, State memory s, bytes memory set) private view {
        bytes32 expected = _digestOf(set);
        if (report.configDigest != expected) revert WrongConfig(expected, report.configDigest);
        if (epoch != s.lastEpoch + 1) revert WrongEpoch(s.lastEpoch + 1, epoch);
        expected = _lastHash(s);
        if (report.prevHash != expected) revert WrongPrevHash(expected, report.prevHash);
        _checkTime(epoch, report.observedAt, report.quotePerBtc);
    }

    function _checkTime(uint32 epoch, uint40 observedAt, uint64 price) private view {
        uint256 end = (uint256(epoch) + 1) * _EPOCH;
        if (block.timestamp < end) revert EpochNotOver(epoch);
        if (observedAt + 1 days < end || observedAt > block.timestamp + 10 minutes) {
            revert ObservedOutOfBounds(observedAt);
        }
        if (price == 0) revert ZeroPrice();
    }

    /// @dev Series and pieces in order, and every satoshi received accounted for. Sums of 64-bit numbers from calldata
    /// cannot reach 256 bits.
    function _checkMoney(FleetReport calldata report, uint256 epoch, State memory s)
        private
        view
        returns (uint256 pot)
    {
        Receipt[] calldata receipts = report.receipts;
        SeriesReport[] calldata lines = report.series;
        (uint256 received, uint256 deducted, uint256 previous) = (0, 0, 0);
        unchecked {
            for (uint256 i = 0; i < receipts.length; ++i) {
                received += receipts[i].sats;
            }
            for (uint256 i = 0; i < lines.length; ++i) {
                SeriesReport calldata line = lines[i];
                uint16 id = line.series;
                if (id <= previous) revert SeriesNotAscending(id);
                previous = id;
                pot += _sumPieces(epoch, id, line.pots);
                deducted += line.deductions;
            }
            if (received != pot + deducted) revert ReceiptsDoNotAddUp(received, pot + deducted);
        }
        _checkKnown(previous, s);
        if (pot > type(uint64).max) revert BadPieces(0);
    }

    /// @dev The registry is asked only about a series that it did not have when it was last asked.
    function _checkKnown(uint256 highest, State memory s) private view {
        if (highest > s.knownSeries) s.knownSeries = uint8(ISeriesRegistry(registry).seriesCount());
        if (highest > s.knownSeries) revert UnknownSeries(uint16(highest));
    }

    function _sumPieces(uint256 epoch, uint16 series, Piece[] calldata pots) private pure returns (uint256 sum) {
        if (pots.length > _MAX_PIECES) revert BadPieces(series);
        uint256 next = 0;
        unchecked {
            for (uint256 i = 0; i < pots.length; ++i) {
                uint256 workEpoch = pots[i].workEpoch;
                if (workEpoch < next || workEpoch > epoch || workEpoch + _MAX_WORK_AGE < epoch) {
                    revert BadPieces(series);
                }
                next = workEpoch + 1;
                sum += pots[i].sats;
            }
        }
    }

    /* BOUNDS */

    /// @dev Compares with the last pot that was not zero, and the last price.
    function _isJump(uint256 pot, uint256 price, uint256 last) private view returns (bool) {
        (uint256 lastPot, uint256 lastPrice) = _reference(last);
        unchecked {
            return (lastPot != 0 && pot > lastPot * _POT_FACTOR) || _isPriceJump(price, lastPrice);
        }
    }

    /// @dev Takes over each series' live H/s; whether one of them more than doubled. Only for what a quorum will have
    /// signed: whoever calls reverts otherwise.
    function _takeLive(SeriesReport[] calldata lines) private returns (bool jump) {
        uint256 before = _live;
        uint256 live;
        (jump, live) = _compareLive(lines, before);
        if (live != before) _live = live;
    }

    function _compareLive(SeriesReport[] calldata lines, uint256 live) private pure returns (bool jump, uint256) {
        unchecked {
            for (uint256 i = 0; i < lines.length; ++i) {
                SeriesReport calldata line = lines[i];
                uint256 code = LogCode.encode(line.liveHashrate);
                if (code == 0) continue;
                uint256 shift = (uint256(line.series) - 1) << 4;
                uint256 before = live >> shift & 0xffff;
                if (before != 0 && code > before + LogCode.TWICE) jump = true;
                // kept while within about a quarter, so that most reports write nothing
                if (code > before + LogCode.QUARTER || code + LogCode.QUARTER < before) {
                    live = live & ~(uint256(0xffff) << shift) | code << shift;
                }
            }
        }
        return (jump, live);
    }

    function _reference(uint256 last) private view returns (uint256 pot, uint256 price) {
        unchecked {
            for (uint256 i = 0; i < _LOOK_BACK && last >= firstEpoch + i && (pot == 0 || price == 0); ++i) {
                (uint256 pot_, uint256 price_) = _outcome(last - i);
                if (pot == 0) pot = pot_;
                if (price == 0) price = price_;
            }
        }
    }

    /// @dev More than a quarter up or a fifth down.
    function _isPriceJump(uint256 price, uint256 last) private pure returns (bool) {
        unchecked {
            return last != 0 && (price * 4 > last * 5 || price * 5 < last * 4);
        }
    }

    /// @dev Quorum and two more; all who count, if they are fewer; never fewer than the quorum.
    function _many(State memory s) private pure returns (uint256 needed) {
        uint256 able = 0;
        for (uint256 bits = s.eligible; bits != 0; bits &= bits - 1) {
            ++able;
        }
        needed = uint256(s.quorum) + _EXTRA_SIGNERS;
        if (needed > able) needed = able > s.quorum ? able : s.quorum;
    }

    /* VALUATIONS */

    /// @inheritdoc IFleetOracle
    function postValuation(FleetValuation calldata v, bytes calldata signatures) external {
        State memory s = _state;
        bytes memory set = SSTORE2.read(s.set);
        bytes32 expected = _digestOf(set);
        if (v.configDigest != expected) revert WrongConfig(expected, v.configDigest);
        uint32 last = s.lastEpoch > _valuationEpoch ? s.lastEpoch : _valuationEpoch;
        if (v.epoch <= last) revert WrongEpoch(last + 1, v.epoch);
        expected = _lastHash(s);
        if (v.afterReport != expected) revert WrongPrevHash(expected, v.afterReport);
        if (v.prevValuation != lastValuationHash) revert WrongPrevHash(lastValuationHash, v.prevValuation);
        _checkTime(v.epoch, v.observedAt, v.quotePerBtc);
        _checkHardware(v.hardware, s);
        bytes32 hash = keccak256(abi.encode(v));
        uint256 needed = _isPriceJump(v.quotePerBtc, _lastPrice(s.lastEpoch)) ? _many(s) : s.quorum;
        _checkPacked(_envelope(_VALUATION, v.epoch, v.round, hash), signatures, s, set, needed);

        (_valuationEpoch, _valuationPrice) = (v.epoch, v.quotePerBtc);
        lastValuationHash = hash;
        isValuation[hash] = true;
        lastValuationAfter[v.afterReport] = hash;
        emit ValuationPosted(v.epoch, v.round, hash, v);
    }

    function _checkHardware(HardwarePrice[] calldata hardware, State memory s) private view {
        uint256 previous = 0;
        for (uint256 i = 0; i < hardware.length; ++i) {
            if (hardware[i].series <= previous) revert SeriesNotAscending(hardware[i].series);
            previous = hardware[i].series;
        }
        _checkKnown(previous, s);
    }

    /// @dev Of the report or valuation of the highest epoch.
    function _lastPrice(uint32 last) private view returns (uint256 price) {
        if (_valuationEpoch > last) return _valuationPrice;
        (, price) = _reference(last);
    }

    /* VIEWS */

    /// @inheritdoc IFleetOracle
    function reportDigest(FleetReport calldata report) external view returns (bytes32) {
        return _envelope(_REPORT, report.epoch, report.round, keccak256(abi.encode(report)));
    }

    /// @inheritdoc IFleetOracle
    function valuationDigest(FleetValuation calldata v) external view returns (bytes32) {
        return _envelope(_VALUATION, v.epoch, v.round, keccak256(abi.encode(v)));
    }

    /// @inheritdoc IFleetOracle
    function gapDigest(uint32 epoch) external view returns (bytes32) {
        return _gapDigest(epoch, _digestOf(SSTORE2.read(_state.set)));
    }

    function _gapDigest(uint32 epoch, bytes32 config) private view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(_GAP, epoch, config)));
    }

    /// @inheritdoc IFleetOracle
    function signaturesNeeded(FleetReport calldata report) external view returns (uint256) {
        State memory s = _state;
        uint256 pot = _checkMoney(report, report.epoch, s);
        (bool jump,) = _compareLive(report.series, _live);
        return jump || _isJump(pot, report.quotePerBtc, s.lastEpoch) ? _many(s) : s.quorum;
    }

    /// @inheritdoc IFleetOracle
    function valuationSignaturesNeeded(FleetValuation calldata v) external view returns (uint256) {
        State memory s = _state;
        return _isPriceJump(v.quotePerBtc, _lastPrice(s.lastEpoch)) ? _many(s) : s.quorum;
    }

    /// @inheritdoc IFleetOracle
    function reportHash(uint32 epoch) external view returns (bytes32) {
        return settled(epoch) && epoch + _RING > _state.lastEpoch ? _hashes[epoch % _RING] : bytes32(0);
    }

    /// @inheritdoc IFleetOracle
    function lastReportHash() external view returns (bytes32) {
        return _lastHash(_state);
    }

    function _lastHash(State memory s) private view returns (bytes32) {
        return s.afterGap ? _hashBeforeGap : _hashes[s.lastEpoch % _RING];
    }

    /// @inheritdoc IFleetOracle
    function lastEpoch() external view returns (uint32) {
        return _state.lastEpoch;
    }

    /// @inheritdoc IFleetOracle
    function settled(uint32 epoch) public view returns (bool) {
        return epoch >= firstEpoch && epoch <= _state.lastEpoch;
    }

    /// @inheritdoc IFleetOracle
    function potOf(uint32 epoch) external view returns (uint64) {
        (uint256 pot,) = _outcome(epoch);
        return uint64(pot);
    }

    /// @inheritdoc IFleetOracle
    function quotePerBtc(uint32 epoch) external view returns (uint64) {
        (, uint256 price) = _outcome(epoch);
        return uint64(price);
    }

    function _outcome(uint256 epoch) private view returns (uint256 pot, uint256 price) {
        uint256 word = _outcomes[epoch >> 1] >> ((epoch & 1) << 7);
        return (word & type(uint64).max, word >> 64 & type(uint64).max);
    }
}
