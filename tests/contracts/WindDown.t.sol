// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBuybackPool} from "../../contracts/interfaces/IBuybackPool.sol";
import {IExitQueue} from "../../contracts/interfaces/IExitQueue.sol";
import {OnBuybackPool, OnReferencePool, PoolFixture} from "./utils/PoolFixture.sol";

/// @notice A silent oracle: three missed reports, then 21.
abstract contract WindDownSuite is PoolFixture {
    /// 0.98^21 x 20, less half spread and skew of a full inventory
    uint256 private constant _LOWEST = 11_711_178;

    function _enqueue(address who, uint256 units) private returns (uint256 id) {
        vm.prank(who);
        id = _queue.enqueue(units);
    }

    /// @dev Silent for `epochs` since the last valued report, which is of the past epoch.
    function _silence(uint256 epochs) private {
        _values.set(20e6, 21e6, false, epochNow() - 1);
        skip((epochs + 1) * EPOCH);
    }

    function test_missedReportsAreCounted() public {
        assertEq(_pool.missedReports(), 0, "fresh");
        _values.set(20e6, 21e6, false, epochNow() - 1);
        assertEq(_pool.missedReports(), 0, "stale, not missed");
        skip(EPOCH);
        assertEq(_pool.missedReports(), 0, "due");
        skip(EPOCH);
        assertEq(_pool.missedReports(), 1, "missed");
        _values.set(0, 0, false, 0);
        assertEq(_pool.missedReports(), 0, "never valued");
    }

    function test_eachMissedReportTakesTwoPercent() public {
        _provide(actor(9), 1_000_000e6);
        uint256 paid = 20e6;
        _silence(3);
        for (uint256 missed = 3; missed < 21; ++missed) {
            assertEq(_pool.missedReports(), missed, "missed");
            _enqueue(actor(1), 1e18);
            (, uint256 quote) = _queue.settle(5);
            assertLe(quote, paid * 981 / 1000, "less each time");
            paid = quote;
            skip(EPOCH);
        }
        assertGe(paid, 13e6, "20 x 0.98^20, less the spread");
    }

    /// Cash goes pro rata to claims whatever their order, then to LPs with the units.
    function test_windDownPaysProRata() public {
        _provide(actor(9), 100_000e6);
        _enqueue(actor(1), 10_000e18);
        _enqueue(actor(2), 30_000e18);
        _silence(21);
        (uint256 units,) = _queue.settle(1);
        assertEq(units, 10_000e18, "the first ticket, whole");
        (uint32 number, uint256 left, uint256 price,) = _pool.round();
        assertTrue(number == 1 && left == 30_000e18, "round");
        assertEq(price, 2.5e6, "cash over units");
        _queue.settle(5);
        assertEq(_queue.claimable(actor(1)), 25_000e6, "a quarter");
        assertEq(_queue.claimable(actor(2)), 75_000e6, "three quarters");
        assertEq(_pool.state().cash, 0, "all of the cash");
        assertEq(_pool.state().inventory, 40_000e18, "for the units");
        vm.prank(actor(9));
        _pool.requestWithdraw(100_000e18);
        skip(EPOCH);
        vm.prank(actor(9));
        (uint256 quote, uint256 got) = _pool.withdrawSettled(actor(9));
        assertTrue(quote == 0 && got / 1e12 >= 39_999e18 / 1e12, "LPs in kind");
    }

    /// Few units get no more than the lowest bid; the rest of the cash is the LPs'.
    function test_windDownPaysNoMoreThanTheLowestBid() public {
        _provide(actor(9), 100_000e6);
        _enqueue(actor(1), 100e18);
        _silence(25);
        (uint256 units, uint256 quote) = _queue.settle(1);
        assertEq(units, 100e18, "settled");
        assertLe(quote, 100 * _LOWEST + 100, "price");
        assertGe(quote, 100 * _LOWEST - 100, "price");
        assertEq(_pool.state().cash, 100_000e6 - quote, "the rest");
    }

    /// LPs who ask to leave as the wind-down begins leave after the cash was set aside.
    function test_claimsComeBeforeLps() public {
        _provide(actor(9), 100_000e6);
        _enqueue(actor(1), 40_000e18);
        _silence(20);
        vm.prank(actor(9));
        _pool.requestWithdraw(100_000e18);
        skip(EPOCH);
        vm.prank(actor(9));
        (uint256 quote,) = _pool.withdrawSettled(actor(9));
        assertEq(quote, 0, "no cash before the claims");
        (, quote) = _queue.settle(5);
        assertEq(quote, 100_000e6, "claims");
    }

    function test_takeBackFromARound() public {
        _provide(actor(9), 100_000e6);
        uint256 id = _enqueue(actor(1), 10_000e18);
        _enqueue(actor(2), 30_000e18);
        _silence(21);
        _pool.roll();
        vm.prank(actor(1));
        assertEq(_queue.takeBack(id), 10_000e18, "units");
        assertEq(_pool.state().cash, 25_000e6, "its part of the cash is free again");
        _queue.settle(5);
        assertEq(_queue.claimable(actor(2)), 75_000e6, "the other's part is as it was");
        assertEq(_queue.queuedUnits(), 0, "done");
    }

    /// Who queues later waits for the next round, and dilutes nobody.
    function test_laterTicketsWaitForTheNextRound() public {
        _provide(actor(9), 1_000_000e6);
        _enqueue(actor(1), 100e18);
        _silence(21);
        _pool.roll();
        _enqueue(actor(2), 100e18);
        (uint256 units,) = _queue.settle(5);
        assertEq(units, 100e18, "the round only");
        vm.expectRevert(IExitQueue.NothingToSettle.selector);
        _queue.settle(5);
        skip(EPOCH);
        (units,) = _queue.settle(5);
        assertEq(units, 100e18, "the next round");
        (uint32 number, uint256 left,, uint256 cash) = _pool.round();
        assertTrue(number == 2 && left == 0 && cash == 0, "closed");
    }

    /// When reports come again the open round is paid as promised, and trade goes on.
    function test_reportsComeBack() public {
        _provide(actor(9), 1_000_000e6);
        _enqueue(actor(1), 100e18);
        _silence(21);
        _pool.roll();
        _nextEpoch();
        _enqueue(actor(2), 100e18);
        (uint256 units, uint256 quote) = _queue.settle(5);
        assertEq(units, 200e18, "both");
        assertGe(_queue.claimable(actor(2)), 1980e6, "at today's bid");
        assertEq(quote - _queue.claimable(actor(2)), _queue.claimable(actor(1)), "the round");
        _sell(actor(3), 1e18);
    }
}

contract WindDownTest is WindDownSuite, OnBuybackPool {}

contract WindDownReferenceTest is WindDownSuite, OnReferencePool {}

/// @notice Who bears what a trade lost.
abstract contract FirstLossSuite is PoolFixture {
    function _both(uint256 first) private {
        vm.prank(_FIRST_LOSS);
        _pool.deposit(first);
        _provide(actor(9), 100_000e6);
        _sell(actor(1), 200e18);
    }

    function _others() private view returns (uint256) {
        IBuybackPool.State memory s = _pool.state();
        return (s.cash + uint256(s.inventory) * 10e6 / 1e18) * _lp.balanceOf(actor(9)) / _lp.totalSupply();
    }

    function _fall(uint256 bid) private {
        skip(EPOCH);
        _values.set(bid, bid + 1e6, true, epochNow() - 1);
        _pool.roll();
    }

    function test_firstLossBearsWhatATradeLost() public {
        _both(20_000e6);
        assertEq(_lp.balanceOf(_FIRST_LOSS), 20_000e18, "before");
        _fall(10e6);
        // 200 units bought for about 3,978 are worth 2,000
        assertGe(_others(), 100_000e6 - 10, "the others lost nothing");
        assertLe(_lp.balanceOf(_FIRST_LOSS), 18_100e18, "it did");
        assertEq(_pool.firstLossAbsorbed(), 20_000e18 - _lp.balanceOf(_FIRST_LOSS), "counted");
    }

    function test_gainsGiveItBack() public {
        _both(20_000e6);
        _fall(10e6);
        _fall(19e6);
        assertGe(_lp.balanceOf(_FIRST_LOSS), 19_700e18, "nearly all");
        assertLe(_lp.balanceOf(_FIRST_LOSS), 20_000e18, "and never more");
    }

    /// What units lose that the pool has held for long is a change of value, borne by all.
    function test_oldUnitsLoseForAll() public {
        _both(20_000e6);
        for (uint256 i = 0; i < 7; ++i) {
            _nextEpoch();
            _pool.roll();
        }
        uint256 held = _lp.balanceOf(_FIRST_LOSS);
        _fall(10e6);
        assertEq(_lp.balanceOf(_FIRST_LOSS), held, "not of the trade");
    }

    function test_usedUpItIsOut() public {
        _both(1000e6);
        _fall(10e6);
        assertEq(_lp.balanceOf(_FIRST_LOSS), 0, "used up");
        assertEq(_pool.firstLossAbsorbed(), 0, "for good");
        _fall(30e6);
        assertEq(_lp.balanceOf(_FIRST_LOSS), 0, "no part in what comes after");
    }

    /// With nobody to protect there is nothing to burn.
    function test_aloneItKeepsItsShares() public {
        _provide(_FIRST_LOSS, 100_000e6);
        _sell(actor(1), 200e18);
        _fall(10e6);
        assertEq(_lp.balanceOf(_FIRST_LOSS), 100_000e18, "kept");
    }

    function test_FirstLossTooSmall() public {
        _requireFirstLoss();
        vm.prank(actor(9));
        refuses(IBuybackPool.FirstLossTooSmall.selector);
        _pool.deposit(1e6);
        vm.prank(_FIRST_LOSS);
        _pool.deposit(25_000e6);
        _nextEpoch();
        vm.startPrank(actor(9));
        refuses(IBuybackPool.FirstLossTooSmall.selector);
        _pool.deposit(80_000e6);
        _pool.deposit(74_000e6);
        refuses(IBuybackPool.FirstLossTooSmall.selector);
        _pool.deposit(2_000e6);
        vm.stopPrank();
    }

    function _requireFirstLoss() private {
        _firstLossPpm = 250_000;
        _pool = _deploy(address(_manager), _config());
        vm.prank(actor(9));
        _quote.approve(address(_pool), type(uint256).max);
        vm.prank(_FIRST_LOSS);
        _quote.approve(address(_pool), type(uint256).max);
    }
}

contract FirstLossTest is FirstLossSuite, OnBuybackPool {}

contract FirstLossReferenceTest is FirstLossSuite, OnReferencePool {}
