// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {IFairValue} from "./interfaces/IFairValue.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ISeriesRegistry} from "./interfaces/ISeriesRegistry.sol";
import {LiveBacking} from "./libraries/LiveBacking.sol";
import {ValueMath} from "./libraries/ValueMath.sol";

/// @title FairValue
/// @notice Values every series once per report. Nothing that trades can write a price.
contract FairValue is IFairValue, AccessManaged {
    /// @dev income of one report: `sats:128 | work:128`
    struct Income {
        uint128 sats;
        uint128 work;
    }

    /// @dev hardware price as last quoted, the income ring's next place, and the run of `LiveBacking`, in one word:
    /// `unbacked:8 | above:8 | below:8 | next:8 | earned:8 | observedAt:32 | hardwareEpoch:32 | hardwarePrice:128`
    struct History {
        uint128 hardwarePrice;
        uint32 hardwareEpoch;
        bool earned;
        uint8 next;
        uint8 below;
        uint8 above;
        bool unbacked;
        /// last epoch whose report named the series
        uint32 watched;
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
    /// @dev what trades read, one word a series: `freshUntil:48 | ask:104 | bid:104`, quote units per whole
    /// unit; an array, for a trade to find it without a hash
    uint256[1 << 16] private _quotes;
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
        _setParams(series, newParams);
    }

    /// @inheritdoc IFairValue
    function setSchedule(uint16 series, Params calldata newParams) external {
        if (msg.sender != ISeriesRegistry(registry).upgrader()) revert OnlyUpgrader(msg.sender);
        _setParams(series, newParams);
        // nobody buys or sells at the value of the old machines: stale until the next report or valuation
        _quotes[series] &= type(uint208).max;
    }

    function _setParams(uint16 series, Params calldata newParams) private {
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
            ISeriesRegistry.Series memory s = ISeriesRegistry(registry).series(one.series);
            _rememberPrice(mem, report.epoch, one.hardwarePrice);
            _rememberIncome(mem, one);
            _watch(mem, report.epoch, one, s);
            _value(one.series, s, report.epoch, report.observedAt);
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
            _rememberPrice(_histories[id], v.epoch, hardware);
            _value(id, ISeriesRegistry(registry).series(id), v.epoch, v.observedAt);
        }
    }

    /// @dev A late report of an epoch that a valuation has valued leaves the prices as they are.
    function _reprice(uint32 epoch, uint64 price) private {
        if (epoch <= _prices.epoch) return;
        _prices = Prices(epoch, price, _prices.current == 0 ? price : _prices.current);
    }

    /// @dev Values one series at `epoch`; if it is valued at that or a later one already, does that step once more, so
    /// that the published value moves once per epoch.
    function _value(uint16 series, ISeriesRegistry.Series memory s, uint32 epoch, uint256 observedAt) private {
        Valuation storage v = _valuations[series];
        bool young = v.epoch == 0;
        bool again = !young && epoch <= v.epoch;
        if (!again) v.epoch = epoch;
        uint256 raw = _raw(v, series, s);
        v.raw = uint128(raw);
        if (!again) v.previous = young ? uint128(raw) : v.published;
        v.published = uint128(ValueMath.clamp(raw, v.previous));
        uint256 freshUntil = Math.max((uint256(v.epoch) + 1) * _EPOCH, observedAt) + _MAX_AGE;
        _quotes[series] = _quote(v, Math.max(_quotes[series] >> 208, freshUntil));
        emit Valued(series, v.epoch, v, _prices.current);
    }

    /// @dev The three inputs at the valuation's epoch, and what they come to.
    function _raw(Valuation storage v, uint16 series, ISeriesRegistry.Series memory s) private returns (uint256) {
        History storage mem = _histories[series];
        Params memory p = _params[series];
        uint256 end = (uint256(v.epoch) + 1) * _EPOCH;
        uint256 schedule = ValueMath.schedule(p, end > s.serviceDate ? end - s.serviceDate : 0);
        uint256 hardware = mem.hardwarePrice == 0 || mem.hardwareEpoch + _HARDWARE_EPOCHS < v.epoch
            ? 0
            : ValueMath.hardware_floor(mem.hardwarePrice, s.hashratePerUnit, _prices.current);
        uint256 discounted = mem.earned ? ValueMath.discounted(p, _income(mem, s.hashratePerUnit), s.opexPerUnit) : 0;
        v.schedule = uint128(schedule);
        v.hardware = uint128(hardware);
        v.discounted = uint128(discounted);
        return ValueMath.combine(schedule, hardware, discounted);
    }

    /// @dev Here, because a sale needs a value of the last report anyway: there is nothing to call beside, or to leave out.
    function _watch(
        History storage mem,
        uint32 epoch,
        IFleetOracle.SeriesReport memory line,
        ISeriesRegistry.Series memory s
    ) private {
        bool was = mem.unbacked;
        uint256 missed = mem.watched == 0 ? 0 : epoch - mem.watched - 1;
        mem.watched = epoch;
        LiveBacking.Run memory run = LiveBacking.Run(mem.below, mem.above, was);
        run = LiveBacking.next(run, missed, line.liveHashrate, uint256(s.hashratePerUnit) * s.backedUnits);
        (mem.below, mem.above, mem.unbacked) = (run.below, run.above, run.unbacked);
        if (run.unbacked != was) emit BackingChanged(line.series, epoch, run.unbacked);
    }

    /// @dev The bid base rounds down at the lower of the last two prices of BTC, the ask base up at the higher.
    function _quote(Valuation storage v, uint256 freshUntil) private view returns (uint256) {
        uint256 low = Math.min(v.raw, Math.min(v.published, v.previous));
        uint256 high = Math.max(v.raw, Math.max(v.published, v.previous));
        uint256 bid = low * Math.min(_prices.current, _prices.previous) / ValueMath.BTC_Q32;
        uint256 ask = Math.divUp(high * Math.max(_prices.current, _prices.previous), ValueMath.BTC_Q32);
        uint256 top = type(uint104).max;
        return freshUntil << 208 | Math.min(ask, top) << 104 | Math.min(bid, top);
    }

    function _rememberPrice(History storage mem, uint32 epoch, uint128 hardware) private {
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
    function quotes(uint16 series) public view returns (uint256 bid, uint256 ask, uint256 freshUntil) {
        uint256 word = _quotes[series];
        return (word & type(uint104).max, (word >> 104) & type(uint104).max, word >> 208);
    }

    /// @inheritdoc IFairValue
    function bidBase(uint16 series) external view returns (uint256 bid) {
        if (_quotes[series] == 0) revert NoValue(series);
        (bid,,) = quotes(series);
    }

    /// @inheritdoc IFairValue
    function askBase(uint16 series) external view returns (uint256 ask) {
        if (_quotes[series] == 0) revert NoValue(series);
        (, ask,) = quotes(series);
    }

    /// @inheritdoc IFairValue
    function backing(uint16 series) external view returns (bool, uint8, uint8) {
        History storage mem = _histories[series];
        return (mem.unbacked, mem.below, mem.above);
    }

    /// @inheritdoc IFairValue
    function fresh(uint16 series) external view returns (bool) {
        return block.timestamp <= _quotes[series] >> 208;
    }
}
