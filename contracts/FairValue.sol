// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {IFairValue} from "./interfaces/IFairValue.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ISeriesRegistry} from "./interfaces/ISeriesRegistry.sol";
import {ValueMath} from "./libraries/ValueMath.sol";

/// @title FairValue
/// @notice Values every series once per report or valuation, in their order. Nothing that trades can write a price.
contract FairValue is IFairValue, AccessManaged {
    /// @dev income of one report: `sats:128 | work:128`
    struct Income {
        uint128 sats;
        uint128 work;
    }

    /// @dev hardware price as last quoted, and how many reports are in the income ring
    struct History {
        uint128 hardwarePrice;
        uint32 hardwareEpoch;
        uint32 observedAt;
        bool earned;
        uint8 next;
        Income[3] ring;
    }

    /// @dev quote units per BTC in the last two valued reports
    struct Prices {
        uint32 epoch;
        uint64 current;
        uint64 previous;
    }

    uint256 private constant _EPOCH = 28_800;
    uint256 private constant _MAX_AGE = 36_000;
    uint256 private constant _HARDWARE_EPOCHS = 3;

    /// @inheritdoc IFairValue
    address public immutable registry;
    /// @inheritdoc IFairValue
    address public immutable oracle;
    mapping(uint16 series => Params) private _params;
    mapping(uint16 series => Valuation) private _valuations;
    mapping(uint16 series => History) private _histories;
    Prices private _prices;
    /// @inheritdoc IFairValue
    bytes32 public lastReport;
    /// @inheritdoc IFairValue
    bytes32 public lastValuation;
    uint32 private _reportEpoch;
    uint32 private _valuationEpoch;

    constructor(address authority, address registry_, address oracle_) AccessManaged(authority) {
        registry = registry_;
        oracle = oracle_;
        // what was posted before is left out
        lastReport = IFleetOracle(oracle_).lastReportHash();
        lastValuation = IFleetOracle(oracle_).lastValuationHash();
    }

    /// @inheritdoc IFairValue
    function setParams(uint16 series, Params calldata newParams) external restricted {
        if (series == 0 || series > ISeriesRegistry(registry).seriesCount()) revert UnknownSeries(series);
        if (
            newParams.initialValue == 0 || newParams.scrapPpm > ValueMath.PPM || newParams.decayPpm > ValueMath.PPM
                || newParams.discountPpm > ValueMath.PPM || newParams.lifeEpochs > 50_000
                || newParams.initialValue > type(uint96).max
        ) revert BadParams(series);
        _params[series] = newParams;
        emit ParamsSet(series, newParams);
    }

    /// @inheritdoc IFairValue
    function update(bytes calldata reportData) external {
        bytes32 hash = keccak256(reportData);
        IFleetOracle.FleetReport memory report = abi.decode(reportData, (IFleetOracle.FleetReport));
        if (IFleetOracle(oracle).reportHash(report.epoch) != hash) revert WrongReport(report.epoch);
        if (report.epoch <= _reportEpoch) revert AlreadyValued(0, report.epoch);
        if (report.prevHash != lastReport) revert OutOfOrder(lastReport, report.prevHash);
        bytes32 pending = IFleetOracle(oracle).lastValuationAfter(lastReport);
        if (pending != 0 && pending != lastValuation) revert OutOfOrder(lastValuation, pending);
        (lastReport, _reportEpoch) = (hash, report.epoch);
        emit Applied(hash, report.epoch, false);
        _reprice(report.epoch, report.quotePerBtc);
        for (uint256 i = 0; i < report.series.length; ++i) {
            IFleetOracle.SeriesReport memory one = report.series[i];
            if (_params[one.series].initialValue == 0) continue;
            History storage mem = _histories[one.series];
            _rememberPrices(mem, report.epoch, uint32(report.observedAt), one.hardwarePrice);
            _rememberIncome(mem, one);
            _value(one.series, report.epoch);
        }
    }

    /// @inheritdoc IFairValue
    function updateByValuation(bytes calldata valuationData) external {
        bytes32 hash = keccak256(valuationData);
        IFleetOracle.FleetValuation memory v = abi.decode(valuationData, (IFleetOracle.FleetValuation));
        if (!IFleetOracle(oracle).isValuation(hash)) revert WrongReport(v.epoch);
        if (v.epoch <= _valuationEpoch) revert AlreadyValued(0, v.epoch);
        if (v.prevValuation != lastValuation) revert OutOfOrder(lastValuation, v.prevValuation);
        if (v.afterReport != lastReport) revert OutOfOrder(lastReport, v.afterReport);
        (lastValuation, _valuationEpoch) = (hash, v.epoch);
        emit Applied(hash, v.epoch, true);
        _reprice(v.epoch, v.quotePerBtc);
        uint256 count = ISeriesRegistry(registry).seriesCount();
        uint256 next = 0;
        for (uint16 id = 1; id <= count; ++id) {
            uint128 hardware = 0;
            if (next < v.hardware.length && v.hardware[next].series == id) hardware = v.hardware[next++].price;
            // a series that no report ever named has no history to value it by
            if (_valuations[id].epoch == 0) continue;
            _rememberPrices(_histories[id], v.epoch, uint32(v.observedAt), hardware);
            _value(id, v.epoch);
        }
    }

    /// @dev A late report of an epoch that a valuation has valued leaves the prices as they are.
    function _reprice(uint32 epoch, uint64 price) private {
        if (epoch <= _prices.epoch) return;
        _prices = Prices(epoch, price, _prices.current == 0 ? price : _prices.current);
    }

    /// @dev Values one series at `epoch`; if it is valued at that or a later one already, does that step once more, so
    /// that the published value moves once per epoch.
    function _value(uint16 series, uint32 epoch) private {
        History storage mem = _histories[series];
        Valuation storage v = _valuations[series];
        ISeriesRegistry.Series memory s = ISeriesRegistry(registry).series(series);
        Params memory p = _params[series];
        bool young = v.epoch == 0;
        bool again = !young && epoch <= v.epoch;
        if (again) epoch = v.epoch;
        uint256 end = (uint256(epoch) + 1) * _EPOCH;

        uint256 schedule = ValueMath.schedule(p, end > s.serviceDate ? end - s.serviceDate : 0);
        uint256 hardware = mem.hardwarePrice == 0 || mem.hardwareEpoch + _HARDWARE_EPOCHS < epoch
            ? 0
            : ValueMath.hardware_floor(mem.hardwarePrice, s.hashratePerUnit, _prices.current);
        uint256 discounted = mem.earned ? ValueMath.discounted(p, _income(mem, s.hashratePerUnit), s.opexPerUnit) : 0;
        uint256 raw = ValueMath.combine(schedule, hardware, discounted);

        v.epoch = epoch;
        v.schedule = uint128(schedule);
        v.hardware = uint128(hardware);
        v.discounted = uint128(discounted);
        v.raw = uint128(raw);
        if (!again) v.previous = young ? uint128(raw) : v.published;
        v.published = uint128(ValueMath.clamp(raw, v.previous));
        emit Valued(series, epoch, v, _prices.current);
    }

    function _rememberPrices(History storage mem, uint32 epoch, uint32 observedAt, uint128 hardware) private {
        if (observedAt > mem.observedAt) mem.observedAt = observedAt;
        if (hardware != 0 && epoch >= mem.hardwareEpoch) (mem.hardwarePrice, mem.hardwareEpoch) = (hardware, epoch);
    }

    /// @dev Keeps what later reports need of this one.
    function _rememberIncome(History storage mem, IFleetOracle.SeriesReport memory one) private {
        uint256 sats = one.deductions;
        for (uint256 i = 0; i < one.pots.length; ++i) {
            sats += one.pots[i].sats;
        }
        if (sats != 0) mem.earned = true;
        mem.ring[mem.next] = Income(uint128(sats), one.work);
        mem.next = (mem.next + 1) % 3;
    }

    /// @dev Sats per whole unit and epoch over the last three reports, times 2^32.
    function _income(History storage mem, uint256 hashratePerUnit) private view returns (uint256) {
        uint256 sats = 0;
        uint256 work = 0;
        for (uint256 i = 0; i < 3; ++i) {
            sats += mem.ring[i].sats;
            work += mem.ring[i].work;
        }
        return work == 0 ? 0 : Math.min(Math.fullMulDiv(sats << 32, hashratePerUnit * _EPOCH, work), type(uint112).max);
    }

    /* VIEWS */

    /// @inheritdoc IFairValue
    function params(uint16 series) external view returns (Params memory) {
        return _params[series];
    }

    /// @inheritdoc IFairValue
    function valuation(uint16 series) public view returns (Valuation memory v) {
        v = _valuations[series];
        if (v.epoch == 0) revert NoValue(series);
    }

    /// @inheritdoc IFairValue
    function bidBase(uint16 series) external view returns (uint256) {
        Valuation memory v = valuation(series);
        uint256 sats = Math.min(v.raw, Math.min(v.published, v.previous));
        return sats * Math.min(_prices.current, _prices.previous) / ValueMath.BTC_Q32;
    }

    /// @inheritdoc IFairValue
    function askBase(uint16 series) external view returns (uint256) {
        Valuation memory v = valuation(series);
        uint256 sats = Math.max(v.raw, Math.max(v.published, v.previous));
        return Math.divUp(sats * Math.max(_prices.current, _prices.previous), ValueMath.BTC_Q32);
    }

    /// @inheritdoc IFairValue
    function fresh(uint16 series) external view returns (bool) {
        Valuation storage v = _valuations[series];
        if (v.epoch == 0) return false;
        uint256 since = Math.max((uint256(v.epoch) + 1) * _EPOCH, _histories[series].observedAt);
        return block.timestamp <= since + _MAX_AGE;
    }
}
