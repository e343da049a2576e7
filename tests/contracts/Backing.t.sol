// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFairValue} from "../../contracts/interfaces/IFairValue.sol";
import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {IPrimarySale} from "../../contracts/interfaces/IPrimarySale.sol";
import {LiveBacking} from "../../contracts/libraries/LiveBacking.sol";
import {Fixture} from "./utils/Fixture.sol";

/// @notice 100 units at 1 H/s: 90 H/s and more are enough.
contract BackingTest is Fixture {
    function setUp() public override {
        super.setUp();
        registerUnits(100e18);
    }

    function _post(uint128 live) private returns (IFleetOracle.FleetReport memory report) {
        report = reportOf(5_000_000);
        report.series[0].liveHashrate = live;
        vm.warp((uint256(report.epoch) + 1) * EPOCH + 60);
        post(report);
    }

    function _epoch(uint128 live) private {
        sys.fairValue.update(abi.encode(_post(live)));
    }

    function _epochs(uint256 count, uint128 live) private {
        for (uint256 i = 0; i < count; ++i) {
            _epoch(live);
        }
    }

    function _sells() private returns (bool) {
        quote.mint(address(this), 1e12);
        quote.approve(address(sys.primarySale), type(uint256).max);
        try sys.primarySale.buy(1, 1e15, type(uint256).max, address(this)) {
            return true;
        } catch (bytes memory why) {
            assertEq(bytes32(bytes4(why)), bytes32(IPrimarySale.Unbacked.selector), "for this reason");
            return false;
        }
    }

    function test_21lowEpochsStopTheSale() public {
        _epochs(20, 89);
        assertTrue(_sells(), "not yet");
        IFleetOracle.FleetReport memory report = _post(89);
        vm.expectEmit(true, true, true, true, address(sys.fairValue));
        emit IFairValue.BackingChanged(1, report.epoch, true);
        sys.fairValue.update(abi.encode(report));
        assertTrue(!_sells(), "stopped");
        _epochs(20, 90);
        assertTrue(!_sells(), "recovers by the same rule");
        _epoch(90);
        assertTrue(_sells(), "goes on");
    }

    function test_oneGoodEpochStartsTheCountAgain() public {
        _epochs(20, 0);
        _epoch(90);
        _epochs(20, 0);
        assertTrue(_sells(), "never 21 on end");
        (bool unbacked, uint8 below, uint8 above) = sys.fairValue.backing(1);
        assertTrue(!unbacked && below == 20 && above == 0, "the run");
    }

    function test_oneBadEpochStartsRecoveryAgain() public {
        _epochs(21, 0);
        _epochs(20, 100);
        _epoch(89);
        _epochs(20, 100);
        assertTrue(!_sells(), "never 21 on end");
        _epoch(100);
        assertTrue(_sells(), "now");
    }

    /// Nobody can hide a bad epoch by not valuing it: a later one is not valued before it.
    function test_epochsCannotBeLeftOut() public {
        _epochs(20, 89);
        IFleetOracle.FleetReport memory hidden = _post(89);
        IFleetOracle.FleetReport memory good = _post(100);
        vm.expectRevert(
            abi.encodeWithSelector(IFairValue.OutOfOrder.selector, hidden.prevHash, keccak256(abi.encode(hidden)))
        );
        sys.fairValue.update(abi.encode(good));
        sys.fairValue.update(abi.encode(hidden));
        assertTrue(!_sells(), "21 low ones");
        sys.fairValue.update(abi.encode(good));
    }

    /// A report that does not name the series says nothing of its machines: that counts as below.
    function test_epochsLeftOutCountAsBelow() public {
        _epoch(100);
        for (uint256 i = 0; i < 20; ++i) {
            IFleetOracle.FleetReport memory report = reportOf(0);
            (report.series, report.receipts) = (new IFleetOracle.SeriesReport[](0), new IFleetOracle.Receipt[](0));
            vm.warp((uint256(report.epoch) + 1) * EPOCH + 60);
            post(report);
            sys.fairValue.update(abi.encode(report));
        }
        _epoch(89);
        assertTrue(!_sells(), "20 left out and one low");
    }

    function test_gapsCountAsBelow() public {
        _epoch(100);
        for (uint256 i = 0; i < 21; ++i) {
            uint32 epoch = sys.fleetOracle.lastEpoch() + 1;
            vm.warp((uint256(epoch) + 1) * EPOCH + 1 days);
            sys.fleetOracle.declareGap(epoch);
        }
        _epoch(100);
        (bool unbacked,, uint8 above) = sys.fairValue.backing(1);
        assertTrue(unbacked && above == 1, "the good epoch counts from here");
    }

    /// The rule stops the sale, and nothing that a holder does.
    function test_anUnbackedSeriesCanBeLeft() public {
        vm.prank(address(sys.primarySale));
        unit.transfer(actor(1), 5e18);
        _epochs(21, 0);
        vm.startPrank(actor(1));
        unit.transfer(actor(2), 1e18);
        unit.approve(address(line.queue), 4e18);
        line.queue.takeBack(line.queue.enqueue(4e18));
        vm.stopPrank();
    }

    /// Against a reading of the sentence itself: stopped after 21 low on end, until 21 good on end.
    function testFuzz_runEqualsTheSentence(uint256 seed, uint8 bias) public pure {
        LiveBacking.Run memory run;
        bool stopped = false;
        bool[] memory low = new bool[](200);
        for (uint256 i = 0; i < low.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            low[i] = i % 60 < 30 ? seed % 256 < bias / 8 : seed % 256 >= bias / 8;
            run = LiveBacking.next(run, 0, low[i] ? 89 : 90, 100e18);
            if (_lastAre(low, i, true)) stopped = true;
            if (_lastAre(low, i, false)) stopped = false;
            assertTrue(run.unbacked == stopped, "as the sentence says");
        }
    }

    function _lastAre(bool[] memory low, uint256 at, bool wanted) private pure returns (bool) {
        if (at < 20) return false;
        for (uint256 i = 0; i < 21; ++i) {
            if (low[at - i] != wanted) return false;
        }
        return true;
    }

    /// Missed epochs are low epochs.
    function testFuzz_missedEqualsLow(uint8 before, uint8 missed, bool live) public pure {
        LiveBacking.Run memory a;
        LiveBacking.Run memory b;
        for (uint256 i = 0; i < before % 50; ++i) {
            a = LiveBacking.next(a, 0, 100, 100e18);
            b = LiveBacking.next(b, 0, 100, 100e18);
        }
        a = LiveBacking.next(a, missed, live ? 100 : 0, 100e18);
        for (uint256 i = 0; i < missed; ++i) {
            b = LiveBacking.next(b, 0, 0, 100e18);
        }
        b = LiveBacking.next(b, 0, live ? 100 : 0, 100e18);
        assertEq(keccak256(abi.encode(a)), keccak256(abi.encode(b)), "same run");
    }

    function test_exactlyNinetyPercent() public pure {
        LiveBacking.Run memory run;
        assertEq(LiveBacking.next(run, 0, 90, 100e18).below, 0, "90 % is enough");
        assertEq(LiveBacking.next(run, 0, 89, 100e18).below, 1, "less is not");
        assertEq(LiveBacking.next(run, 0, 0, 0).below, 0, "nothing to back");
        assertEq(LiveBacking.next(run, 0, type(uint128).max, type(uint160).max).below, 0, "the largest numbers");
    }
}
