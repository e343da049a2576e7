// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBuybackPool} from "../../contracts/interfaces/IBuybackPool.sol";
import {IFairValue} from "../../contracts/interfaces/IFairValue.sol";
import {ISeriesRegistry} from "../../contracts/interfaces/ISeriesRegistry.sol";
import {ISeriesUpgrader} from "../../contracts/interfaces/ISeriesUpgrader.sol";
import {UpgradeFixture} from "./utils/UpgradeFixture.sol";

/// @notice Edges of upgrades: no scrap, sums beyond their fields, hashrate beyond its own.
contract UpgradeRulesTest is UpgradeFixture {
    /// Cash that was there pays alone.
    function test_withoutScrap() public {
        vm.prank(operator);
        upgrader.addCash(1, 1000e6);
        ISeriesUpgrader.Upgrade memory u = standard();
        u.scrap = 0;
        upgradeBy(u);
        assertEq(quote.balanceOf(VENDOR), 990e6, "paid");
        assertEq(upgrader.hardwareCash(1), 10e6, "left");
    }

    function test_cashBeyondItsField() public {
        uint256 most = type(uint128).max;
        quote.mint(operator, 2 * most);
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.AmountTooLarge.selector, most + 1));
        upgrader.addCash(1, most + 1);
        upgrader.addCash(1, most);
        upgrader.addCash(1, 1);
        vm.stopPrank();
        ISeriesUpgrader.Upgrade memory u = standard();
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.AmountTooLarge.selector, most + 1));
        upgrader.propose(u, MODEL);
    }

    /// H/s per unit has 64 bits.
    function test_hashrateBeyondItsField() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        u.hashrate = uint128(100) << 64;
        proposeAndWait(u);
        bytes[] memory list = attested(u);
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.HashrateTooLarge.selector, uint256(1) << 64));
        upgrader.execute(u, list);
    }

    /// What a unit is worth changes with its machines: nobody trades with the pool at the value of the old ones.
    function test_valueOfTheOldMachinesIsNotTraded() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        while (sys.fleetOracle.lastEpoch() + 1 < epochNow()) {
            reportAndValue(5_000_000);
        }
        assertTrue(sys.fairValue.fresh(1), "before the change");
        upgrader.execute(u, attested(u));
        assertTrue(!sys.fairValue.fresh(1), "after it");
        fund(actor(1), 1e12, address(line.pool));
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.StaleValue.selector, 1));
        vm.prank(actor(1));
        line.pool.buy(1e18, type(uint256).max, actor(1));
        reportAndValue(5_000_000);
        assertTrue(sys.fairValue.fresh(1), "the new machines' value");
    }

    function test_noValueBeforeAReport() public {
        vm.expectRevert(abi.encodeWithSelector(IFairValue.NoValue.selector, 1));
        sys.fairValue.valuation(1);
    }
}
