// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBuybackPool} from "../../contracts/interfaces/IBuybackPool.sol";
import {IStoppable} from "../../contracts/interfaces/IStoppable.sol";
import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {PoolBooks} from "../../contracts/PoolBooks.sol";
import {PoolMath} from "../../contracts/libraries/PoolMath.sol";
import {LpShare} from "../../contracts/tokens/LpShare.sol";
import {OnBuybackPool, OnReferencePool, PoolFixture} from "./utils/PoolFixture.sol";
import {Test} from "./utils/Test.sol";

contract PoolMathTest is Test {
    uint256 private constant _FEE = 5000;
    uint256 private constant _SKEW = 100_000;
    uint256 private constant _ASK = 2500;

    function testFuzz_splittingASaleGainsNothing(uint96 max, uint96 held, uint96 a, uint96 b, uint64 base) public pure {
        uint256 top = bound(max, 4, type(uint96).max);
        uint256 i = bound(held, 0, top - 2);
        uint256 whole = bound(a, 2, top - i);
        uint256 first = bound(b, 1, whole - 1);
        uint256 once = PoolMath.sell_floor(base, whole, i, top, _FEE, _SKEW);
        uint256 twice = PoolMath.sell_floor(base, first, i, top, _FEE, _SKEW)
            + PoolMath.sell_floor(base, whole - first, i + first, top, _FEE, _SKEW);
        assertLe(twice, once, "pieces gain nothing");
        assertLe(once, twice + 2, "and lose only rounding");
    }

    function testFuzz_splittingAPurchaseGainsNothing(uint96 max, uint96 held, uint96 a, uint96 b, uint64 base)
        public
        pure
    {
        uint256 top = bound(max, 1, type(uint96).max);
        uint256 i = bound(held, 2, type(uint96).max);
        uint256 whole = bound(a, 2, i);
        uint256 first = bound(b, 1, whole - 1);
        uint256 once = PoolMath.buy_ceil(base, whole, i, top, _FEE, _ASK);
        uint256 twice = PoolMath.buy_ceil(base, first, i, top, _FEE, _ASK)
            + PoolMath.buy_ceil(base, whole - first, i - first, top, _FEE, _ASK);
        assertGe(twice, once, "pieces gain nothing");
        assertLe(twice, once + 2, "and lose only rounding");
    }

    function testFuzz_sellThenBuyNeverProfits(uint96 max, uint96 held, uint96 units, uint64 base) public pure {
        uint256 top = bound(max, 2, type(uint96).max);
        uint256 i = bound(held, 0, top - 1);
        uint256 n = bound(units, 1, top - i);
        uint256 got = PoolMath.sell_floor(base, n, i, top, _FEE, _SKEW);
        uint256 paid = PoolMath.buy_ceil(base, n, i + n, top, _FEE, _ASK);
        assertLe(got, paid, "round trip");
        assertLe(got, base * n / 1e18, "never above the base");
        assertGe(paid, base * n / 1e18, "never below the base");
    }

    function testFuzz_affordableFitsTheBudget(uint96 max, uint96 held, uint64 base, uint96 budget) public pure {
        uint256 top = bound(max, 2, type(uint96).max);
        uint256 i = bound(held, 0, top - 1);
        uint256 n = PoolMath.affordable_floor(bound(base, 1, type(uint64).max), budget, i, top, _FEE, _SKEW);
        if (n > top - i) n = top - i;
        assertLe(PoolMath.sell_floor(bound(base, 1, type(uint64).max), n, i, top, _FEE, _SKEW), budget, "fits");
    }
}

abstract contract PoolSuite is PoolFixture {
    /* TRADES */

    function test_sellAndBuy() public {
        _provide(actor(9), 1_000_000e6);
        IBuybackPool.State memory before = _pool.state();
        assertEq(before.inventoryMax, 100_000e18, "2 x cash at 20");
        assertEq(before.outflowLeft, 50_000e6, "5 %");
        uint256 got = _sell(actor(1), 100e18);
        // 20 x 100 x (1 - 0.005 - 0.1 x 100 / 200,000)
        assertEq(got, 1_989_900_000, "exact integral");
        assertEq(_pool.state().cash, before.cash - got, "cash");
        uint256 left = 50_000e6 - got;
        assertLe(_pool.state().outflowLeft, left, "bucket");
        assertGe(_pool.state().outflowLeft + 1, left, "less rounding");
        uint256 paid = _buy(actor(2), 100e18);
        assertGe(paid, 2_100e6, "at least the ask base");
        assertEq(_pool.state().inventory, 0, "sold on");
    }

    function test_tradesWriteNoPrice() public {
        _provide(actor(9), 1_000_000e6);
        uint256 first = _pool.quoteSell(1e18);
        _sell(actor(1), 1000e18);
        _buy(actor(2), 1000e18);
        assertEq(_pool.quoteSell(1e18), first, "back where it was");
    }

    function test_donationChangesNothing() public {
        _provide(actor(9), 1_000_000e6);
        IBuybackPool.State memory before = _pool.state();
        _quote.mint(address(_pool), 1e12);
        vm.prank(actor(1));
        _unit.transfer(address(_pool), 500e18);
        skip(EPOCH);
        _refresh();
        _pool.roll();
        assertEq(_pool.state().cash, before.cash, "cash");
        assertEq(_pool.state().inventory, 0, "inventory");
        assertEq(_pool.state().inventoryMax, before.inventoryMax, "max");
    }

    function test_bucketRefillsIn8Hours() public {
        _provide(actor(9), 1_000_000e6);
        _sell(actor(1), 2500e18);
        uint256 left = _pool.state().outflowLeft;
        skip(EPOCH / 4);
        assertEq(_pool.state().outflowLeft, left + 12_500e6, "a quarter");
        skip(EPOCH / 2 + 7000);
        assertLe(_pool.state().outflowLeft, 50_000e6, "never above its size");
    }

    /* ERRORS OF TRADES */

    function test_StaleValue() public {
        _provide(actor(9), 1_000_000e6);
        _values.set(20e6, 21e6, false, epochNow());
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.StaleValue.selector, 1));
        _sell(actor(1), 1e18);
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.StaleValue.selector, 1));
        _buy(actor(1), 1e18);
    }

    function test_InventoryFull() public {
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.InventoryFull.selector, 0, 0));
        _sell(actor(1), 1e18);
        _provide(actor(9), 1000e6);
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.InventoryFull.selector, 0, 100e18));
        _sell(actor(1), 101e18);
    }

    function test_OutflowExhausted() public {
        _provide(actor(9), 1_000_000e6);
        refuses(IBuybackPool.OutflowExhausted.selector);
        _sell(actor(1), 2600e18);
        _sell(actor(1), 2500e18);
    }

    function test_MinQuoteNotMet() public {
        _provide(actor(9), 1_000_000e6);
        uint256 price = _pool.quoteSell(1e18);
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.MinQuoteNotMet.selector, price, price + 1));
        vm.prank(actor(1));
        _pool.sell(1e18, price + 1, actor(1));
    }

    function test_MaxQuoteExceeded() public {
        _provide(actor(9), 1_000_000e6);
        _sell(actor(1), 10e18);
        uint256 price = _pool.quoteBuy(1e18);
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.MaxQuoteExceeded.selector, price, price - 1));
        vm.prank(actor(2));
        _pool.buy(1e18, price - 1, actor(2));
    }

    function test_NotEnoughInventory() public {
        _provide(actor(9), 1_000_000e6);
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.NotEnoughInventory.selector, 0, 1));
        _buy(actor(1), 1);
    }

    function test_ZeroAmount() public {
        vm.expectRevert(IBuybackPool.ZeroAmount.selector);
        _pool.quoteSell(0);
        vm.expectRevert(IBuybackPool.ZeroAmount.selector);
        _pool.quoteBuy(0);
        vm.expectRevert(IBuybackPool.ZeroAmount.selector);
        _pool.deposit(0);
        vm.expectRevert(IBuybackPool.ZeroAmount.selector);
        _pool.requestWithdraw(0);
    }

    function test_AmountTooLarge() public {
        refuses(IBuybackPool.AmountTooLarge.selector);
        _pool.deposit(uint256(type(uint96).max) + 1);
    }

    function test_OnlyQueue() public {
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.OnlyQueue.selector, address(this)));
        _pool.queueSettle(1, 0);
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.OnlyQueue.selector, address(this)));
        _pool.queuePay(address(this), 1);
    }

    function test_BadConfig() public {
        PoolBooks.Config memory c = _config();
        c.askSkewPpm = c.feePpm + 1;
        vm.expectRevert(PoolBooks.BadConfig.selector);
        _deploy(address(_manager), c);
        c = _config();
        c.outflowPpm = 0;
        vm.expectRevert(PoolBooks.BadConfig.selector);
        _deploy(address(_manager), c);
    }

    /* LIQUIDITY */

    function test_depositWaitsForTheBoundary() public {
        vm.prank(actor(9));
        _pool.deposit(1000e6);
        assertEq(_pool.state().pendingDeposits, 1000e6, "pending");
        assertEq(_pool.state().cash, 0, "not yet cash");
        assertEq(_lp.totalSupply(), 0, "no shares");
        _nextEpoch();
        _pool.roll();
        assertEq(_pool.state().cash, 1000e6, "cash");
        assertEq(_lp.balanceOf(actor(9)), 1000e18, "one share a quote unit");
    }

    function test_laterDepositIsAtTheAsk() public {
        _provide(actor(9), 100_000e6);
        _sell(actor(1), 200e18);
        uint256 cash = _pool.state().cash;
        _provide(actor(8), 50_000e6);
        uint256 worth = cash + 200 * 21e6;
        assertEq(_lp.balanceOf(actor(8)) / 1e12, uint256(50_000e6) * 100_000e6 / worth, "shares at the ask base");
    }

    function test_withdrawalIsInKind() public {
        _provide(actor(9), 100_000e6);
        _sell(actor(1), 200e18);
        uint256 cash = _pool.state().cash;
        vm.prank(actor(9));
        _pool.requestWithdraw(25_000e18);
        _values.set(0, 0, false, 0); // no price is needed
        skip(EPOCH);
        vm.prank(actor(9));
        (uint256 quote, uint256 units) = _pool.withdrawSettled(actor(77));
        assertEq(quote, cash / 4 - 1, "a quarter of the cash, rounded down");
        assertEq(units / 1e12, 50e18 / 1e12 - 1, "a quarter of the units, rounded down");
        assertEq(_unit.balanceOf(actor(77)), units, "units out");
        assertEq(_lp.balanceOf(actor(9)), 75_000e18, "burnt");
        assertEq(LpShare(address(_lp)).locked(actor(9)), 0, "unlocked");
    }

    function test_sharesAfterAWithdrawalKeepTheirPrice() public {
        _provide(actor(9), 1000e6);
        vm.prank(actor(9));
        _pool.requestWithdraw(500e18);
        _nextEpoch();
        _pool.roll();
        _provide(actor(8), 500e6);
        assertGe(_lp.balanceOf(actor(8)), 499e18, "no fewer");
        assertLe(_lp.balanceOf(actor(8)), 501e18, "no more");
    }

    function test_refusedQuoteDoesNotHoldTheUnits() public {
        _provide(actor(9), 100_000e6);
        _sell(actor(1), 200e18);
        vm.prank(actor(9));
        _pool.requestWithdraw(25_000e18);
        _nextEpoch();
        vm.etch(address(_quote), hex"60006000fd");
        vm.prank(actor(9));
        (uint256 quote, uint256 units) = _pool.withdrawSettled(actor(77));
        assertEq(quote, 0, "nothing paid");
        assertTrue(units != 0 && _unit.balanceOf(actor(77)) == units, "units out");
        (uint256 owed,) = _pool.settledOf(actor(9));
        assertTrue(owed != 0, "still owed");
    }

    /// A deposit waits one boundary for a value of its own epoch, and is given back if there is none.
    function test_staleDepositIsGivenBack() public {
        _provide(actor(9), 100_000e6);
        _sell(actor(1), 200e18);
        vm.prank(actor(8));
        _pool.deposit(5000e6);
        skip(EPOCH);
        _pool.roll();
        assertEq(_pool.state().pendingDeposits, 5000e6, "waits");
        skip(EPOCH);
        _values.set(20e6, 21e6, false, epochNow() - 3);
        _pool.roll();
        (uint256 owed,) = _pool.settledOf(actor(8));
        assertEq(owed, 5000e6, "given back");
        assertEq(_lp.balanceOf(actor(8)), 0, "no shares");
        vm.prank(actor(8));
        (uint256 quote,) = _pool.withdrawSettled(actor(8));
        assertEq(quote, 5000e6, "out");
    }

    /// The value of the deposit's own epoch came a boundary late.
    function test_depositWaitsForAValueOfItsOwnEpoch() public {
        _provide(actor(9), 100_000e6);
        _sell(actor(1), 200e18);
        uint256 cash = _pool.state().cash;
        vm.prank(actor(8));
        _pool.deposit(50_000e6);
        skip(EPOCH);
        _pool.roll();
        assertEq(_lp.balanceOf(actor(8)), 0, "the last value is older than the deposit");
        _values.set(20e6, 30e6, true, epochNow() - 1);
        skip(EPOCH);
        _pool.roll();
        uint256 worth = cash + 200 * 30e6;
        assertEq(_lp.balanceOf(actor(8)) / 1e12, uint256(50_000e6) * 100_000e6 / worth, "at the later ask base");
        assertEq(_pool.state().pendingDeposits, 0, "none left");
    }

    /// The first depositor cannot make the second one's shares round to nothing.
    function test_inflationAttackGainsNothing() public {
        _provide(actor(9), 1);
        _quote.mint(address(_pool), 1_000_000e6);
        _provide(actor(8), 1000e6);
        assertGe(_lp.balanceOf(actor(8)), 499e18, "shares");
        uint256 shares = _lp.balanceOf(actor(8));
        vm.prank(actor(8));
        _pool.requestWithdraw(shares);
        _nextEpoch();
        vm.prank(actor(8));
        (uint256 quote,) = _pool.withdrawSettled(actor(8));
        assertGe(quote, 999e6, "money back");
    }

    function test_NotEnoughShares() public {
        _provide(actor(9), 1000e6);
        vm.startPrank(actor(9));
        _pool.requestWithdraw(600e18);
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.NotEnoughShares.selector, 400e18, 401e18));
        _pool.requestWithdraw(401e18);
        vm.stopPrank();
    }

    function test_SharesLocked() public {
        _provide(actor(9), 1000e6);
        vm.startPrank(actor(9));
        _pool.requestWithdraw(600e18);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.SharesLocked.selector, 600e18));
        _lp.transfer(actor(8), 401e18);
        _lp.transfer(actor(8), 400e18);
        vm.stopPrank();
    }

    function test_FirstLossExitsLast() public {
        _provide(actor(9), 1000e6);
        _provide(_FIRST_LOSS, 500e6);
        vm.startPrank(_FIRST_LOSS);
        vm.expectRevert(IBuybackPool.FirstLossExitsLast.selector);
        _pool.requestWithdraw(1e18);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.ReceiverRefused.selector, actor(8)));
        _lp.transfer(actor(8), 1);
        vm.stopPrank();
        vm.prank(actor(9));
        _pool.requestWithdraw(1000e18);
        _nextEpoch();
        _pool.roll();
        vm.prank(_FIRST_LOSS);
        _pool.requestWithdraw(500e18);
    }

    function test_ReceiverRefused() public {
        _provide(actor(9), 1000e6);
        _wrappers.add(actor(5));
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.ReceiverRefused.selector, actor(5)));
        vm.prank(actor(9));
        _lp.transfer(actor(5), 1);
    }

    function test_guardianStopsDepositsOnly() public {
        _provide(actor(9), 100_000e6);
        IStoppable(address(_pool)).setStopped(true);
        vm.expectRevert(IStoppable.Stopped.selector);
        vm.prank(actor(8));
        _pool.deposit(1);
        _sell(actor(1), 1e18);
        vm.prank(actor(9));
        _pool.requestWithdraw(1e18);
        _nextEpoch();
        vm.prank(actor(9));
        _pool.withdrawSettled(actor(9));
    }
}

contract PoolTest is PoolSuite, OnBuybackPool {
    function test_manyRequestsCannotStopThePool() public {
        for (uint256 i = 0; i < 50; ++i) {
            vm.prank(actor(9));
            _pool.deposit(1e6);
        }
        vm.prank(actor(8));
        _pool.deposit(70e6);
        _nextEpoch();
        _pool.roll();
        assertEq(_pool.backlog(), 31, "20 a call");
        _pool.roll();
        _pool.roll();
        assertEq(_lp.balanceOf(actor(8)), 70e18, "last in line");
        assertEq(_lp.totalSupply(), 120e18, "all");
    }
}

contract PoolReferenceTest is PoolSuite, OnReferencePool {}
