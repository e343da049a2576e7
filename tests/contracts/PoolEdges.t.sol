// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBuybackPool} from "../../contracts/interfaces/IBuybackPool.sol";
import {IExitQueue} from "../../contracts/interfaces/IExitQueue.sol";
import {OnBuybackPool} from "./utils/PoolFixture.sol";

/// @notice Where the pool's numbers end: a bucket with nothing worth a unit in it, and a price that fits no balance.
contract PoolEdgesTest is OnBuybackPool {
    /// The queue takes the bucket down to where it buys no unit for a quote unit, and no more than the bucket.
    function test_anEmptyBucketSettlesNothing() public {
        _provide(actor(9), 1_000_000e6);
        vm.prank(actor(1));
        _queue.enqueue(10_000e18);
        uint256 sum = 0;
        for (bool more = true; more;) {
            try _queue.settle(1) returns (uint256 units, uint256 quote) {
                assertTrue(units != 0 && quote != 0, "each step sells for something");
                sum += quote;
            } catch (bytes memory why) {
                assertEq(bytes32(bytes4(why)), bytes32(IExitQueue.NothingToSettle.selector), "nothing more to buy");
                more = false;
            }
        }
        assertLe(sum, 50_000e6, "within the bucket");
        assertGe(sum, 49_999e6, "all but dust of it");
        assertEq(_pool.owedToClaims(), sum, "owed to the seller until it claims");
        vm.prank(actor(1));
        _queue.claim(actor(77));
        assertEq(_quote.balanceOf(actor(77)), sum, "paid");
        assertEq(_pool.owedToClaims(), 0, "owed no more");
    }

    /// After 21 missed reports a pool without cash has nothing to share out: the tickets stay.
    function test_noCashOpensNoRound() public {
        vm.prank(actor(1));
        _queue.enqueue(10e18);
        _values.set(20e6, 21e6, false, epochNow() - 1);
        skip(22 * EPOCH);
        _pool.roll();
        assertGe(_pool.missedReports(), 21, "silent");
        (, uint256 units,, uint256 cash) = _pool.round();
        assertEq(units + cash, 0, "no round");
        vm.expectRevert(IExitQueue.NothingToSettle.selector);
        _queue.settle(1);
        vm.prank(actor(1));
        _queue.takeBack(0);
        assertEq(_unit.balanceOf(actor(1)), 100_000e18, "and can be taken back");
    }

    function test_aPriceBeyondAllBalancesIsRefused() public {
        _provide(actor(9), 1_000_000e6);
        _sell(actor(1), 100e18);
        _values.set(20e6, type(uint96).max, true, epochNow() - 1);
        refuses(IBuybackPool.AmountTooLarge.selector);
        _buy(actor(2), 2e18);
    }
}
