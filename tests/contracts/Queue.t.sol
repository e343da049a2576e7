// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBuybackPool} from "../../contracts/interfaces/IBuybackPool.sol";
import {IExitQueue} from "../../contracts/interfaces/IExitQueue.sol";
import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {PoolMath} from "../../contracts/libraries/PoolMath.sol";
import {OnBuybackPool, OnReferencePool, PoolFixture} from "./utils/PoolFixture.sol";

abstract contract QueueSuite is PoolFixture {
    function _enqueue(address who, uint256 units) private returns (uint256 id) {
        vm.prank(who);
        id = _queue.enqueue(units);
    }

    function test_settlesInOrderAndPays() public {
        _provide(actor(9), 1_000_000e6);
        uint256 a = _enqueue(actor(1), 100e18);
        _enqueue(actor(2), 50e18);
        assertEq(_claims.balanceOf(actor(1)), 100e18, "claim token");
        (uint256 units, uint256 quote) = _queue.settle(1);
        assertEq(units, 100e18, "the first ticket");
        assertEq(quote, 1_989_900_000, "as an instant sale");
        assertEq(_queue.head(), a + 1, "next");
        assertEq(_claims.balanceOf(actor(1)), 0, "claim burnt");
        vm.prank(actor(1));
        _queue.claim(actor(77));
        assertEq(_quote.balanceOf(actor(77)), quote, "paid");
        assertEq(_pool.state().inventory, 100e18, "bought");
        assertEq(_unit.balanceOf(address(_pool)), 100e18, "held");
    }

    function test_bucketIsSharedAndTheQueueComesFirst() public {
        _provide(actor(9), 1_000_000e6);
        _enqueue(actor(1), 10_000e18);
        refuses(IBuybackPool.OutflowExhausted.selector);
        _sell(actor(2), 1e18);
        (uint256 units, uint256 quote) = _queue.settle(5);
        assertLe(quote, 50_000e6, "within the bucket");
        assertGe(quote, 49_000e6, "nearly all of it");
        assertEq(_queue.ticket(0).settledUnits, units, "partly settled");
        // what is left of the bucket goes the same way, and no more than the bucket
        (, uint256 more) = _queue.settle(5);
        assertLe(quote + more, 50_000e6, "within the bucket");
        assertEq(_queue.head(), 0, "the first is still first");
        skip(EPOCH / 2);
        (units,) = _queue.settle(5);
        assertTrue(units != 0, "refilled");
    }

    function test_stalePriceLeavesTheQueueOpen() public {
        _provide(actor(9), 1_000_000e6);
        _values.set(20e6, 21e6, false, epochNow() - 1);
        _enqueue(actor(1), 10e18);
        vm.expectRevert(IExitQueue.NothingToSettle.selector);
        _queue.settle(5);
        // three missed reports: the last bid less 2 % for each
        skip(4 * EPOCH);
        (, uint256 quote) = _queue.settle(5);
        uint256 base = uint256(20e6) * 941_192 / 1e6;
        assertEq(quote, PoolMath.sell_floor(base, 10e18, 0, _pool.state().inventoryMax, 5000, 100_000), "decayed");
        skip(EPOCH);
        _enqueue(actor(1), 10e18);
        (, uint256 less) = _queue.settle(5);
        assertLe(less, quote * 981 / 1000, "and less");
    }

    function test_takeBackAtAnyTime() public {
        _provide(actor(9), 1_000_000e6);
        _enqueue(actor(1), 10e18);
        uint256 id = _enqueue(actor(2), 10e18);
        uint256 before = _unit.balanceOf(actor(2));
        vm.prank(actor(2));
        assertEq(_queue.takeBack(id), 10e18, "units");
        assertEq(_unit.balanceOf(actor(2)), before + 10e18, "back");
        assertEq(_queue.queuedUnits(), 10e18, "left");
        _enqueue(actor(1), 5e18);
        (uint256 units,) = _queue.settle(10);
        assertEq(units, 15e18, "the gap is skipped");
        assertEq(_queue.head(), 3, "all done");
    }

    function test_sellerEarnsUntilSettled() public {
        _enqueue(actor(1), 10e18);
        uint32 e = epochNow();
        uint256 left = (uint256(e) + 1) * EPOCH - block.timestamp;
        skip(EPOCH);
        assertEq(_claims.balanceSeconds(actor(1), e), 10e18 * left, "claim weight");
        assertEq(_unit.balanceSeconds(address(_queue), e), 10e18 * left, "the queue's own");
    }

    function test_claimTokensDoNotMove() public {
        _enqueue(actor(1), 10e18);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.ReceiverRefused.selector, actor(2)));
        vm.prank(actor(1));
        _claims.transfer(actor(2), 1);
    }

    function test_dustTicketCannotStopTheQueue() public {
        _provide(actor(9), 1_000_000e6);
        _enqueue(actor(1), 1);
        _enqueue(actor(2), 10e18);
        (uint256 units,) = _queue.settle(2);
        assertEq(units, 10e18 + 1, "both");
    }

    function test_NotTheOwner() public {
        uint256 id = _enqueue(actor(1), 10e18);
        vm.expectRevert(abi.encodeWithSelector(IExitQueue.NotTheOwner.selector, id));
        vm.prank(actor(2));
        _queue.takeBack(id);
    }

    function test_NothingToSettle() public {
        vm.expectRevert(IExitQueue.NothingToSettle.selector);
        _queue.settle(10);
    }

    function test_NothingToClaim() public {
        vm.expectRevert(abi.encodeWithSelector(IExitQueue.NothingToClaim.selector, address(this)));
        _queue.claim(address(this));
    }

    function test_ZeroUnits() public {
        vm.expectRevert(IExitQueue.ZeroUnits.selector);
        _queue.enqueue(0);
        uint256 id = _enqueue(actor(1), 1);
        vm.startPrank(actor(1));
        _queue.takeBack(id);
        vm.expectRevert(IExitQueue.ZeroUnits.selector);
        _queue.takeBack(id);
        vm.stopPrank();
    }
}

contract QueueTest is QueueSuite, OnBuybackPool {}

contract QueueReferenceTest is QueueSuite, OnReferencePool {}
