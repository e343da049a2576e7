// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFairValue} from "../../contracts/interfaces/IFairValue.sol";
import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {FairValue} from "../../contracts/FairValue.sol";
import {FleetOracle} from "../../contracts/FleetOracle.sol";
import {LogCode} from "../../contracts/libraries/LogCode.sol";
import {Fixture} from "./utils/Fixture.sol";

/// @notice Reports that jump, gaps, and prices apart from production. Three signers, two make a quorum.
contract OracleBoundsTest is Fixture {
    FleetOracle private _oracle;
    FairValue private _values;

    function setUp() public override {
        super.setUp();
        (_oracle, _values) = (sys.fleetOracle, sys.fairValue);
        registerUnits(100e18);
        reportAndValue(1000);
        _next();
    }

    /// @dev To just after the end of the next unsettled epoch.
    function _next() private {
        uint256 end = (uint256(_oracle.lastEpoch()) + 2) * EPOCH;
        if (block.timestamp < end) vm.warp(end);
    }

    function _jumps(IFleetOracle.FleetReport memory report) private {
        assertEq(_oracle.signaturesNeeded(report), 3, "quorum and two, but there are three");
        bytes32 digest = _oracle.reportDigest(report);
        bytes memory two = packed(digest, 2);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NotEnoughSignatures.selector, 3, 2));
        _oracle.post(report, two);
        uint256 state = vm.snapshotState();
        _oracle.post(report, packed(digest, 3));
        vm.revertToState(state);
    }

    function _isOrdinary(IFleetOracle.FleetReport memory report) private {
        assertEq(_oracle.signaturesNeeded(report), 2, "the quorum");
        uint256 state = vm.snapshotState();
        _oracle.post(report, packed(_oracle.reportDigest(report), 2));
        vm.revertToState(state);
    }

    /// A pot that does not fit 64 bits is refused, though it adds up.
    function test_potBeyondAllSatsIsRefused() public {
        IFleetOracle.FleetReport memory report = reportOf(1000);
        uint64 most = type(uint64).max;
        report.receipts = new IFleetOracle.Receipt[](2);
        report.receipts[0] = IFleetOracle.Receipt(keccak256("a"), 0, most);
        report.receipts[1] = IFleetOracle.Receipt(keccak256("b"), 0, 1);
        report.series[0].pots = new IFleetOracle.Piece[](2);
        report.series[0].pots[0] = IFleetOracle.Piece(report.epoch - 1, most);
        report.series[0].pots[1] = IFleetOracle.Piece(report.epoch, 1);
        bytes memory all = packed(_oracle.reportDigest(report), 3);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.BadPieces.selector, 0));
        _oracle.post(report, all);
        assertEq(_oracle.quorum(), 2, "of the three signers");
    }

    /* JUMPS */

    function test_aPotAboveThreeTimesTheLastNeedsMore() public {
        _isOrdinary(reportOf(3000));
        _jumps(reportOf(3001));
        // zero pots and gaps are passed over
        post(reportOf(0));
        _next();
        skip(1 days);
        _oracle.declareGap(_oracle.lastEpoch() + 1);
        _next();
        _isOrdinary(reportOf(3000));
        _jumps(reportOf(3001));
    }

    function test_aPriceBeyondItsBandNeedsMore() public {
        IFleetOracle.FleetReport memory report = reportOf(1000);
        report.quotePerBtc = 75_000e6;
        _isOrdinary(report);
        report.quotePerBtc = 75_000e6 + 1;
        _jumps(report);
        report.quotePerBtc = 48_000e6;
        _isOrdinary(report);
        report.quotePerBtc = 48_000e6 - 1;
        _jumps(report);
    }

    function test_liveHashrateThatMoreThanDoublesNeedsMore() public {
        IFleetOracle.FleetReport memory report = reportOf(1000);
        report.series[0].liveHashrate = 200;
        _isOrdinary(report);
        report.series[0].liveHashrate = 202;
        _jumps(report);
        // an outage is no jump, and is no excuse for one
        report.series[0].liveHashrate = 0;
        post(report);
        _next();
        report = reportOf(1000);
        report.series[0].liveHashrate = 202;
        _jumps(report);
    }

    function test_everybodyWhoCountsIsEnough() public {
        IFleetOracle.FleetReport memory report = reportOf(3001);
        bytes32 other = keccak256("other");
        bytes memory a = signatureOf(keys[2], _oracle.reportDigest(report));
        bytes32 hash = keccak256(abi.encode(report));
        report.evidenceRoot = other;
        bytes memory b = signatureOf(keys[2], _oracle.reportDigest(report));
        _oracle.equivocation(false, report.epoch, 0, hash, a, keccak256(abi.encode(report)), b);
        assertEq(_oracle.signaturesNeeded(report), 2, "two of three still count");
        post(report);
    }

    function testFuzz_logCodeNeverFalls(uint128 x, uint128 more) public pure {
        uint256 sum = uint256(x) + more;
        if (sum > type(uint128).max) sum = type(uint128).max;
        assertLe(LogCode.encode(x), LogCode.encode(uint128(sum)), "grows");
        if (x != 0 && x <= type(uint128).max / 2) {
            assertEq(LogCode.encode(x) + LogCode.TWICE, LogCode.encode(2 * x), "twice");
        }
        assertLe(LogCode.encode(x), type(uint16).max, "16 bits");
    }

    /* GAPS */

    function test_theQuorumDeclaresAGapAtOnce() public {
        uint32 epoch = _oracle.lastEpoch() + 1;
        bytes32 digest = _oracle.gapDigest(epoch);
        bytes memory one = packed(digest, 1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NotEnoughSignatures.selector, 2, 1));
        _oracle.declareGapByQuorum(epoch, one);
        bytes memory two = packed(digest, 2);
        _oracle.declareGapByQuorum(epoch, two);
        assertTrue(_oracle.settled(epoch), "settled");
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.WrongEpoch.selector, epoch + 1, epoch));
        _oracle.declareGapByQuorum(epoch, two);
        // the next epoch's late pieces
        _next();
        IFleetOracle.FleetReport memory report = reportOf(9);
        report.series[0].pots[0].workEpoch = epoch;
        post(report);
        assertEq(_oracle.potOf(epoch + 1), 9, "supplemented");
    }

    function test_aGapOfARunningEpochIsRefused() public {
        uint32 epoch = _oracle.lastEpoch() + 1;
        bytes memory two = packed(_oracle.gapDigest(epoch), 2);
        vm.warp((uint256(epoch) + 1) * EPOCH - 1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.EpochNotOver.selector, epoch));
        _oracle.declareGapByQuorum(epoch, two);
    }

    function test_aGapSignatureIsOfOneEpochAndSet() public {
        uint32 epoch = _oracle.lastEpoch() + 1;
        bytes memory two = packed(_oracle.gapDigest(epoch + 1), 2);
        refuses(IFleetOracle.NotASigner.selector);
        _oracle.declareGapByQuorum(epoch, two);
        two = packed(_oracle.gapDigest(epoch), 2);
        address[] memory list = new address[](2);
        (list[0], list[1]) = (vm.addr(keys[0]), vm.addr(keys[1]));
        vm.prank(operator);
        _oracle.setSigners(list, 2);
        refuses(IFleetOracle.NotASigner.selector);
        _oracle.declareGapByQuorum(epoch, two);
    }

    /// Signers split over rounds for days: the epoch is passed over, and later ones go on.
    function test_aStuckQuorumNeverBlocksLaterEpochs() public {
        uint32 stuck = _oracle.lastEpoch() + 1;
        for (uint16 round = 0; round < 5; ++round) {
            IFleetOracle.FleetReport memory report = reportOf(1);
            report.round = round;
            bytes memory one = packed(_oracle.reportDigest(report), 1);
            refuses(IFleetOracle.NotEnoughSignatures.selector);
            _oracle.post(report, one);
        }
        vm.warp((uint256(stuck) + 1) * EPOCH + 1 days);
        _oracle.declareGap(stuck);
        for (uint32 i = 1; i <= 3; ++i) {
            post(reportOf(10));
            assertTrue(_oracle.settled(stuck + i), "goes on");
        }
    }

    /* VALUATIONS */

    function _valuation(uint32 epoch, uint64 price) private view returns (IFleetOracle.FleetValuation memory v) {
        v.epoch = epoch;
        v.afterReport = _oracle.lastReportHash();
        v.prevValuation = _oracle.lastValuationHash();
        v.configDigest = _oracle.configDigest();
        v.quotePerBtc = price;
        v.observedAt = uint40((uint256(epoch) + 1) * EPOCH);
        v.hardware = new IFleetOracle.HardwarePrice[](1);
        v.hardware[0] = IFleetOracle.HardwarePrice(1, 2e22);
    }

    function _postValuation(IFleetOracle.FleetValuation memory v) private {
        uint256 needed = _oracle.valuationSignaturesNeeded(v);
        _oracle.postValuation(v, packed(_oracle.valuationDigest(v), needed));
    }

    function _refused(IFleetOracle.FleetValuation memory v, bytes memory why) private {
        bytes memory list = packed(_oracle.valuationDigest(v), 2);
        vm.expectRevert(why);
        _oracle.postValuation(v, list);
    }

    /// Production is late; the bid stays fresh, follows the price, and moves once per epoch.
    function test_lateProductionDoesNotStaleTheBid() public {
        uint32 epoch = _oracle.lastEpoch() + 1;
        uint256 bid = _values.bidBase(1);
        _postValuation(_valuation(epoch, 54_000e6));
        vm.warp((uint256(epoch) + 2) * EPOCH);
        assertTrue(_values.fresh(1) == false, "without it");
        IFleetOracle.FleetValuation memory v = _valuation(epoch + 1, 50_000e6);
        _postValuation(v);
        IFleetOracle.FleetValuation memory first = _first(epoch, v);
        _values.updateByValuation(abi.encode(first));
        _values.updateByValuation(abi.encode(v));
        assertTrue(_values.fresh(1), "with it");
        assertLe(_values.bidBase(1), bid * 95 / 100, "follows the price");
        IFairValue.Valuation memory before = _values.valuation(1);
        assertEq(before.epoch, epoch + 1, "epoch");
        IFleetOracle.FleetReport memory late = reportOf(900);
        late.observedAt = uint40(block.timestamp);
        late.quotePerBtc = 54_000e6;
        post(late);
        _values.update(abi.encode(late));
        IFairValue.Valuation memory later = _values.valuation(1);
        assertEq(later.previous, before.previous, "the same step again");
        assertEq(later.epoch, epoch + 1, "not back");
    }

    function _first(uint32 epoch, IFleetOracle.FleetValuation memory v)
        private
        view
        returns (IFleetOracle.FleetValuation memory first)
    {
        first = _valuation(epoch, 54_000e6);
        first.prevValuation = 0;
        first.afterReport = v.afterReport;
    }

    function test_valuationsAreChecked() public {
        uint32 epoch = _oracle.lastEpoch() + 1;
        IFleetOracle.FleetValuation memory v = _valuation(epoch, 60_000e6);
        v.configDigest = keccak256("x");
        _refused(v, abi.encodeWithSelector(IFleetOracle.WrongConfig.selector, _oracle.configDigest(), v.configDigest));
        v = _valuation(epoch, 60_000e6);
        v.afterReport = keccak256("x");
        _refused(
            v, abi.encodeWithSelector(IFleetOracle.WrongPrevHash.selector, _oracle.lastReportHash(), v.afterReport)
        );
        v = _valuation(epoch, 60_000e6);
        v.prevValuation = keccak256("x");
        _refused(v, abi.encodeWithSelector(IFleetOracle.WrongPrevHash.selector, 0, v.prevValuation));
        v = _valuation(epoch - 1, 60_000e6);
        _refused(v, abi.encodeWithSelector(IFleetOracle.WrongEpoch.selector, epoch, epoch - 1));
        v = _valuation(epoch + 1, 60_000e6);
        _refused(v, abi.encodeWithSelector(IFleetOracle.EpochNotOver.selector, epoch + 1));
        v = _valuation(epoch, 0);
        _refused(v, abi.encodeWithSelector(IFleetOracle.ZeroPrice.selector));
        v = _valuation(epoch, 60_000e6);
        v.observedAt = uint40(block.timestamp + 10 minutes + 1);
        _refused(v, abi.encodeWithSelector(IFleetOracle.ObservedOutOfBounds.selector, v.observedAt));
        v = _valuation(epoch, 60_000e6);
        v.hardware[0].series = 0;
        _refused(v, abi.encodeWithSelector(IFleetOracle.SeriesNotAscending.selector, 0));
        v.hardware[0].series = 2;
        _refused(v, abi.encodeWithSelector(IFleetOracle.UnknownSeries.selector, 2));
        _refused(
            _valuation(epoch, 48_000e6 - 1), abi.encodeWithSelector(IFleetOracle.NotEnoughSignatures.selector, 3, 2)
        );
        v = _valuation(epoch, 60_000e6);
        _postValuation(v);
        v = _valuation(epoch, 60_000e6);
        _refused(v, abi.encodeWithSelector(IFleetOracle.WrongEpoch.selector, epoch + 1, epoch));
    }

    /* ORDER */

    /// Report, valuation, valuation, report: each applied once, in that order, and none skipped.
    function test_everythingPostedIsAppliedInOrder() public {
        uint32 epoch = _oracle.lastEpoch() + 1;
        IFleetOracle.FleetReport memory one = reportOf(1000);
        post(one);
        _next();
        IFleetOracle.FleetValuation memory a = _valuation(epoch + 1, 60_000e6);
        _postValuation(a);
        skip(EPOCH);
        IFleetOracle.FleetValuation memory b = _valuation(epoch + 2, 60_000e6);
        _postValuation(b);
        IFleetOracle.FleetReport memory two = reportOf(1000);
        post(two);
        bytes32 known = _values.lastReport();

        vm.expectRevert(abi.encodeWithSelector(IFairValue.OutOfOrder.selector, known, two.prevHash));
        _values.update(abi.encode(two));
        vm.expectRevert(abi.encodeWithSelector(IFairValue.OutOfOrder.selector, known, a.afterReport));
        _values.updateByValuation(abi.encode(a));
        _values.update(abi.encode(one));
        vm.expectRevert(abi.encodeWithSelector(IFairValue.AlreadyValued.selector, 0, one.epoch));
        _values.update(abi.encode(one));
        vm.expectRevert(abi.encodeWithSelector(IFairValue.OutOfOrder.selector, 0, keccak256(abi.encode(b))));
        _values.update(abi.encode(two));
        vm.expectRevert(abi.encodeWithSelector(IFairValue.OutOfOrder.selector, 0, b.prevValuation));
        _values.updateByValuation(abi.encode(b));
        _values.updateByValuation(abi.encode(a));
        vm.expectRevert(abi.encodeWithSelector(IFairValue.AlreadyValued.selector, 0, a.epoch));
        _values.updateByValuation(abi.encode(a));
        refuses(IFairValue.OutOfOrder.selector);
        _values.update(abi.encode(two));
        _values.updateByValuation(abi.encode(b));
        _values.update(abi.encode(two));
        assertEq(_values.lastReport(), _oracle.lastReportHash(), "all reports");
        assertEq(_values.lastValuation(), _oracle.lastValuationHash(), "all valuations");
        assertEq(_values.valuation(1).epoch, epoch + 2, "the highest epoch");
    }

    function test_aForgedValuationIsRefused() public {
        IFleetOracle.FleetValuation memory v = _valuation(_oracle.lastEpoch() + 1, 60_000e6);
        vm.expectRevert(abi.encodeWithSelector(IFairValue.WrongReport.selector, v.epoch));
        _values.updateByValuation(abi.encode(v));
    }
}
