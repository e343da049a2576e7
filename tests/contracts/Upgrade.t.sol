// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFairValue} from "../../contracts/interfaces/IFairValue.sol";
import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {IPositionMarket} from "../../contracts/interfaces/IPositionMarket.sol";
import {ISeriesRegistry} from "../../contracts/interfaces/ISeriesRegistry.sol";
import {ISeriesUpgrader} from "../../contracts/interfaces/ISeriesUpgrader.sol";
import {UpgradeFixture} from "./utils/UpgradeFixture.sol";

contract UpgradeTest is UpgradeFixture {
    function test_upgradeChangesTheHardware() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        upgradeBy(u);
        ISeriesRegistry.Series memory s = registry.series(1);
        assertEq(s.generation, 2, "generation");
        assertEq(s.hashratePerUnit, 2, "250 H/s over 100 units, rounded down");
        assertEq(s.millijoulePerTerahash, 9500, "efficiency");
        assertEq(s.serviceDate, u.serviceDate, "service date");
        assertEq(s.opexPerUnit, u.opexPerUnit, "opex");
        assertEq(s.machines, 2, "machines");
        assertEq(s.lastMachineRoot, u.machineRoot, "root");
        assertEq(s.backedUnits, 100e18, "units stay");
        assertTrue(registry.rootOf(oldRoot).retired, "retired");
        assertEq(registry.rootOf(u.machineRoot).hashrate, 250e18, "exact");
        assertEq(sys.fairValue.params(1).initialValue, u.initialValue, "schedule");
        assertEq(quote.balanceOf(VENDOR), 990e6, "paid");
        assertEq(upgrader.hardwareCash(1), 10e6, "the rest is for the next hardware");
        assertEq(quote.balanceOf(address(upgrader)), 10e6, "and nothing else is here");
        assertEq(upgrader.proposal(1).structHash, 0, "closed");
    }

    function test_cashForNoSeriesIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.UnknownSeries.selector, 99));
        upgrader.addCash(99, 1);
    }

    function test_theRestFundsTheNextUpgrade() public {
        upgradeBy(standard());
        ISeriesUpgrader.Upgrade memory u = upgradeOf(keccak256("second generation"), keccak256("third"));
        (u.scrap, u.price) = (90e6, 100e6);
        upgradeBy(u);
        assertEq(upgrader.hardwareCash(1), 0, "used up");
        assertEq(quote.balanceOf(VENDOR), 1090e6, "both paid");
        assertEq(quote.balanceOf(address(upgrader)), 0, "nothing stuck");
    }

    function test_hashrateMayFallAndBothAreShown() public {
        upgradeBy(standard());
        ISeriesUpgrader.Upgrade memory u = upgradeOf(keccak256("second generation"), keccak256("third"));
        (u.hashrate, u.scrap) = (100, 1000e6 - 10e6);
        proposeAndWait(u);
        vm.expectEmit(true, true, true, true, address(upgrader));
        emit ISeriesUpgrader.Upgraded(1, 1, VENDOR, 2, 1, 990e6, 10e6);
        upgrader.execute(u, attested(u));
    }

    /// Another batch keeps its part: H/s per unit is that of all live machines.
    function test_otherBatchesKeepTheirHashrate() public {
        registerUnits(300e18);
        ISeriesUpgrader.Upgrade memory u = standard();
        u.hashrate = 700;
        upgradeBy(u);
        assertEq(registry.series(1).hashratePerUnit, 2, "(700 + 300) / 400 = 2.5");
        assertEq(registry.hashrateOf(1), 1000e18, "exact, not from the rounded value");
        bytes32 second = keccak256(abi.encode("machines", uint32(1)));
        u = upgradeOf(second, keccak256("third"));
        (u.hashrate, u.scrap) = (100, 1000e6 - 10e6);
        upgradeBy(u);
        assertEq(registry.series(1).hashratePerUnit, 2, "(700 + 100) / 400");
        assertEq(registry.series(1).machines, 4, "two and two");
    }

    /// Units at the old H/s per unit were attested before; they are not minted at the new one.
    function test_anOldBatchAttestationIsVoid() public {
        ISeriesRegistry.Batch memory batch = batchOf(10e18);
        bytes[] memory list = signed(registry.batchDigest(batch), 2);
        upgradeBy(standard());
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.WrongNonce.selector, 2, 1));
        registry.registerBatch(batch, list);
    }

    function test_valueFollowsTheNewGeneration() public {
        reportAndValue(5_000_000);
        uint256 published = sys.fairValue.valuation(1).published;
        ISeriesUpgrader.Upgrade memory u = standard();
        upgradeBy(u);
        // the epochs of the wait had no report; work is at the new machines' rate
        for (uint256 i = 0; i < 9; ++i) {
            reportAndValue(5_000_000);
        }
        IFairValue.Valuation memory v = sys.fairValue.valuation(1);
        uint256 age = (uint256(v.epoch) + 1) * EPOCH - u.serviceDate;
        assertLe(age, 4 days, "counted from the new service date");
        assertGe(v.schedule, uint256(u.initialValue) * 998 / 1000, "of the new schedule");
        assertEq(v.hardware >> 32, 66_666, "twice the H/s at the same price of hardware");
        assertLe(v.published, published * 102 ** 9 / 100 ** 9, "and still at most 2 % an epoch");
    }

    /* NOTHING OF A HOLDER'S CHANGES */

    function test_nothingOfAHoldersIsWritten() public {
        reportAndValue(5_000_000);
        address anya = vm.addr(0xA11CE);
        fund(anya, 1e12, address(sys.primarySale));
        vm.prank(anya);
        sys.primarySale.buy(1, 40e18, type(uint256).max, anya);
        IPositionMarket market = IPositionMarket(address(sys.positionMarket));
        IPositionMarket.Order memory order = IPositionMarket.Order(
            anya, address(0), line.unit, sys.quote, 0, 4e18, 84e6, uint40(block.timestamp + 30 days), 0, 1
        );
        bytes memory signature = signatureOf(0xA11CE, market.orderHash(order));
        vm.startPrank(anya);
        unit.approve(address(market), type(uint256).max);
        unit.approve(address(line.queue), type(uint256).max);
        uint256 ticket = line.queue.enqueue(5e18);
        vm.stopPrank();
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        bytes32 state = _stateOf(anya, ticket);
        executeTouchingNobody(u);
        assertEq(_stateOf(anya, ticket), state, "byte for byte");
        // and everything goes on
        fund(address(0xB0B), 1e12, address(market));
        vm.prank(address(0xB0B));
        assertEq(market.fill(order, signature, 4e18), 84e6, "the order fills at its price");
        vm.prank(anya);
        assertEq(line.queue.takeBack(ticket), 5e18, "the ticket is there");
    }

    function _stateOf(address who, uint256 ticket) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                unit.balanceOf(who),
                unit.allowance(who, address(sys.positionMarket)),
                unit.totalSupply(),
                line.queue.ticket(ticket),
                line.pool.state()
            )
        );
    }

    /// Gas does not depend on holders, batches or orders.
    function test_gasIsConstant() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        uint256 id = vm.snapshotState();
        proposeAndWait(u);
        uint256 few = _gasOfExecute(u);
        vm.revertToState(id);
        for (uint256 i = 0; i < 60; ++i) {
            registerUnits(10e18);
        }
        for (uint256 i = 0; i < 300; ++i) {
            vm.prank(address(sys.primarySale));
            unit.transfer(actor(i), 1e18);
        }
        u.hashrate = 2000;
        proposeAndWait(u);
        uint256 many = _gasOfExecute(u);
        assertLe(many, few + 100, "the same");
        assertLe(few, 330_000, "execute");
    }

    function _gasOfExecute(ISeriesUpgrader.Upgrade memory u) private returns (uint256 used) {
        bytes[] memory signatures = attested(u);
        used = gasleft();
        upgrader.execute(u, signatures);
        used -= gasleft();
    }

    /* MONEY */

    function testFuzz_spendsBetween98And100Percent(uint128 scrap, uint128 price) public {
        scrap = uint128(bound(scrap, 1, 1e15));
        price = uint128(bound(price, uint256(scrap) * 95 / 100, uint256(scrap) * 102 / 100));
        ISeriesUpgrader.Upgrade memory u = standard();
        (u.scrap, u.price) = (scrap, price);
        if (price > scrap || uint256(price) * 100 < uint256(scrap) * 98) {
            vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.PriceOutOfBounds.selector, price, scrap));
            propose(u);
            return;
        }
        if (price == 0) return;
        upgradeBy(u);
        assertEq(quote.balanceOf(VENDOR), price, "to the vendor");
        assertEq(upgrader.hardwareCash(1), scrap - price, "rest");
        assertLe(upgrader.hardwareCash(1) * 100, uint256(scrap) * 2, "at most 2 %");
    }

    /// Less than 1 H/s per unit would be no hashrate.
    function test_hashrateBelowOnePerUnitIsRefused() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        u.hashrate = 99; // over 100 units
        proposeAndWait(u);
        bytes[] memory list = attested(u);
        vm.expectRevert(ISeriesRegistry.ZeroHashrate.selector);
        upgrader.execute(u, list);
    }

    function testFuzz_hashratePerUnitRoundsDown(uint96 units, uint128 hashrate) public {
        units = uint96(bound(units, 1e18, 1e24));
        registerUnits(units);
        hashrate = uint128(bound(hashrate, 1, 1e18));
        ISeriesUpgrader.Upgrade memory u = standard();
        u.hashrate = hashrate;
        proposeAndWait(u);
        bytes[] memory list = attested(u);
        uint256 backed = 100e18 + uint256(units);
        uint256 expected = (uint256(hashrate) * 1e18 + uint256(units)) / backed;
        if (expected == 0) {
            vm.expectRevert(ISeriesRegistry.ZeroHashrate.selector);
            upgrader.execute(u, list);
            return;
        }
        upgrader.execute(u, list);
        assertEq(registry.series(1).hashratePerUnit, expected, "live H/s / units");
    }

    function test_cancelRefundsTheFunderOnly() public {
        quote.mint(address(0xD0), 20e6);
        vm.startPrank(address(0xD0));
        quote.approve(address(upgrader), 20e6);
        upgrader.addCash(1, 20e6);
        vm.stopPrank();
        ISeriesUpgrader.Upgrade memory u = standard();
        u.price = 1010e6;
        propose(u);
        assertEq(upgrader.hardwareCash(1), 0, "in escrow");
        vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.NotTheFunder.selector, operator));
        upgrader.cancel(1);
        vm.prank(operator);
        upgrader.cancel(1);
        assertEq(upgrader.refundOf(operator), 1000e6, "what the funder brought");
        assertEq(upgrader.hardwareCash(1), 20e6, "what the series had");
        vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.NothingToTake.selector, address(this)));
        upgrader.takeRefund(address(this));
        vm.startPrank(operator);
        upgrader.takeRefund(address(0xD1));
        refuses(ISeriesUpgrader.NothingToTake.selector);
        upgrader.takeRefund(address(0xD1));
        vm.stopPrank();
        assertEq(quote.balanceOf(address(0xD1)), 1000e6, "once");
        bytes[] memory list = attested(u);
        vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.NothingOpen.selector, 1));
        upgrader.execute(u, list);
    }

    function test_anyoneEndsAnExpiredProposal() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        skip(21 days);
        refuses(ISeriesUpgrader.NotTheFunder.selector);
        upgrader.cancel(1);
        skip(1);
        bytes[] memory list = attested(u);
        refuses(ISeriesUpgrader.Expired.selector);
        upgrader.execute(u, list);
        upgrader.cancel(1);
        assertEq(upgrader.refundOf(operator), 1000e6, "to the funder");
        refuses(ISeriesUpgrader.NothingOpen.selector);
        upgrader.cancel(1);
        // the way is free for another one, and the old signatures are of no use to it
        u.nonce = 1;
        proposeAndWait(u);
        refuses(IFleetOracle.NotASigner.selector);
        upgrader.execute(u, list);
    }

    /* WHO AND WHEN */

    function test_onlyTheOperatorProposes() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        refuses(bytes4(keccak256("AccessManagedUnauthorized(address)")));
        upgrader.propose(u, MODEL);
    }

    function test_72hours() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        propose(u);
        bytes[] memory list = attested(u);
        uint256 readyAt = block.timestamp + 72 hours;
        skip(72 hours - 1);
        vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.TooEarly.selector, readyAt));
        upgrader.execute(u, list);
        skip(1);
        upgrader.execute(u, list);
    }

    function test_onlyTheUpgraderChangesHardwareAndSchedule() public {
        ISeriesRegistry.Hardware memory h = ISeriesRegistry.Hardware(2, 0, keccak256("x"), 1, 1, 1, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.OnlyUpgrader.selector, operator));
        vm.prank(operator);
        registry.upgrade(1, oldRoot, h);
        IFairValue.Params memory p = sys.fairValue.params(1);
        vm.expectRevert(abi.encodeWithSelector(IFairValue.OnlyUpgrader.selector, operator));
        vm.prank(operator);
        sys.fairValue.setSchedule(1, p);
    }

    function test_oneProposalAtATimeInOrder() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        u.nonce = 1;
        vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.WrongNonce.selector, 0, 1));
        propose(u);
        u.nonce = 0;
        propose(u);
        u.nonce = 1;
        vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.AlreadyOpen.selector, 1));
        propose(u);
    }

    function test_whatCannotBeProposed() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        u.retiredRoot = keccak256("unknown");
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.NotALiveRoot.selector, 1, u.retiredRoot));
        propose(u);
        u = standard();
        u.machineRoot = oldRoot;
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.RootTaken.selector, oldRoot, 1));
        propose(u);
        u = standard();
        u.generation = 0;
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.GenerationFell.selector, 1, 0));
        propose(u);
        u = standard();
        u.vendor = address(0);
        refuses(ISeriesUpgrader.BadVendor.selector);
        propose(u);
        u = standard();
        u.modelHash = 0;
        refuses(ISeriesUpgrader.WrongModel.selector);
        propose(u);
        u = standard();
        u.hashrate = 0;
        refuses(ISeriesRegistry.EmptyBatch.selector);
        propose(u);
        u = standard();
        u.series = 2;
        refuses(ISeriesRegistry.NotALiveRoot.selector);
        propose(u);
    }

    function test_badScheduleIsRefused() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        u.scrapPpm = 1_000_001;
        proposeAndWait(u);
        bytes[] memory list = attested(u);
        vm.expectRevert(abi.encodeWithSelector(IFairValue.BadParams.selector, 1));
        upgrader.execute(u, list);
    }

    function test_NotInService() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        u.serviceDate = uint40(block.timestamp + 72 hours + 1);
        proposeAndWait(u);
        bytes[] memory list = attested(u);
        refuses(ISeriesUpgrader.NotInService.selector);
        upgrader.execute(u, list);
        skip(1);
        upgrader.execute(u, list);
    }
}
