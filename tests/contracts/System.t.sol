// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {BuybackPool} from "../../contracts/BuybackPool.sol";
import {DemoQuote} from "../../contracts/DemoQuote.sol";
import {FairValue} from "../../contracts/FairValue.sol";
import {IBuybackPool} from "../../contracts/interfaces/IBuybackPool.sol";
import {IFairValue} from "../../contracts/interfaces/IFairValue.sol";
import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {IPositionMarket} from "../../contracts/interfaces/IPositionMarket.sol";
import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {Deploy} from "../../scripts/deploy/Deploy.s.sol";
import {Bitcoin} from "./utils/Bitcoin.sol";
import {deployedContracts} from "./utils/Deployed.sol";
import {Fixture} from "./utils/Fixture.sol";
import {Records} from "./utils/Records.sol";

/// @notice The deployed system, end to end: machines, report, value, sale, pool, market, payout and its proof.
contract SystemTest is Fixture, Records {
    uint256 private constant _ALICE = 0xA11CE;
    address private _alice;
    address private constant _BOB = address(0xB0B);

    function setUp() public override {
        super.setUp();
        _alice = vm.addr(_ALICE);
        registerUnits(100e18);
    }

    function _buyUnits(address who, uint256 units) private {
        fund(who, 1e12, address(sys.primarySale));
        vm.prank(who);
        sys.primarySale.buy(1, units, type(uint256).max, who);
    }

    function test_deployment() public view {
        assertEq(sys.epochLedger.firstEpoch(), sys.fleetOracle.firstEpoch(), "one first epoch");
        IEpochLedger.Wrapper[] memory wrappers = sys.epochLedger.wrappers();
        assertEq(wrappers.length, 2, "pool and queue");
        assertEq(wrappers[0].shareToken, line.pool.lpShare(), "LP share");
        assertEq(wrappers[1].shareToken, line.queue.claimToken(), "claim");
        assertTrue(sys.seriesRegistry.isVenue(address(sys.positionMarket)), "market is a venue");
        assertTrue(sys.seriesRegistry.isVenue(address(line.pool)), "pool is a venue");
        AccessManager manager = AccessManager(sys.accessManager);
        (bool isOperator,) = manager.hasRole(1, operator);
        (bool isGuardian,) = manager.hasRole(2, guardian);
        (bool isAdmin,) = manager.hasRole(0, operator);
        assertTrue(isOperator && isGuardian && isAdmin, "roles");
    }

    function test_everyContractFitsTheSizeLimit() public view {
        (, address[19] memory list) = deployedContracts(sys, line);
        for (uint256 i = 0; i < list.length; ++i) {
            assertTrue(list[i].code.length != 0 && list[i].code.length <= 24_576, "EIP-170");
        }
    }

    function test_theDeployerKeepsNothing() public {
        Deploy script = new Deploy();
        script.deploy(vm.readFile("scripts/deploy/dev.json"), address(script));
        AccessManager manager = AccessManager(script.system().accessManager);
        for (uint64 role = 0; role < 4; ++role) {
            (bool member,) = manager.hasRole(role, address(script));
            assertTrue(!member, "no role left");
        }
    }

    /// With the production delay, a parameter changes 72 h after it was announced, and no earlier.
    function test_parametersWaitInProduction() public {
        string memory json = vm.readFile("scripts/deploy/dev.json");
        json = vm.replace(json, "\"roleDelaySeconds\": 0", "\"roleDelaySeconds\": 259200");
        Deploy script = new Deploy();
        script.deploy(json, address(script));
        FairValue values = script.system().fairValue;
        AccessManager manager = AccessManager(script.system().accessManager);
        IFairValue.Params memory p = values.params(1);
        p.scrapPpm = 200_000;
        bytes memory data = abi.encodeCall(values.setParams, (1, p));
        vm.startPrank(operator);
        refuses(IAccessManager.AccessManagerNotScheduled.selector);
        values.setParams(1, p);
        manager.schedule(address(values), data, 0);
        skip(72 hours - 1);
        refuses(IAccessManager.AccessManagerNotReady.selector);
        manager.execute(address(values), data);
        skip(1);
        manager.execute(address(values), data);
        vm.stopPrank();
        assertEq(values.params(1).scrapPpm, 200_000, "changed");
    }

    function test_UnsafeRolesOnProduction() public {
        string memory json = vm.readFile("scripts/deploy/dev.json");
        Deploy script = new Deploy();
        vm.chainId(1);
        refuses(Deploy.UnsafeRoles.selector);
        script.deploy(json, address(script));
    }

    /// What an operator starts from is what the script takes on a production chain, and each weakening of it is refused.
    function test_productionConfiguration() public {
        string memory json = vm.readFile("scripts/deploy/production.example.json");
        Deploy script = new Deploy();
        vm.chainId(1);
        refuses(Deploy.UnsafePool.selector);
        script.deploy(vm.replace(json, "\"firstLossPpm\": 300000", "\"firstLossPpm\": 299999"), address(script));
        refuses(Deploy.UnsafeBond.selector);
        script.deploy(vm.replace(json, "\"registrar\": 250000000000", "\"registrar\": 0"), address(script));
        refuses(Deploy.UnsafeRoles.selector);
        script.deploy(vm.replace(json, "259200", "259199"), address(script));
        script.deploy(json, address(script));
        BuybackPool pool = script.line(0).pool;
        assertEq(pool.firstLossPpm(), 300_000, "first loss");
        assertTrue(!script.system().bitcoinRelay.noRetarget(), "retargets");

        vm.etch(pool.quoteToken(), sys.quote.code);
        vm.startPrank(_alice);
        DemoQuote(pool.quoteToken()).mint(_alice, 1e6);
        DemoQuote(pool.quoteToken()).approve(address(pool), 1e6);
        refuses(IBuybackPool.FirstLossTooSmall.selector);
        pool.deposit(1e6);
        vm.stopPrank();
    }

    /// Σ balance-seconds is backed units x seconds, wherever the units are.
    function test_weightsAddUpAcrossSalePoolQueueAndHolders() public {
        reportAndValue(5_000_000);
        _buyUnits(_alice, 40e18);
        vm.startPrank(_alice);
        unit.approve(address(line.queue), type(uint256).max);
        skip(1000);
        line.queue.enqueue(7e18);
        skip(500);
        unit.transfer(_BOB, 3e18);
        vm.stopPrank();
        uint32 e = epochNow();
        skip(EPOCH);
        uint256 sum = unit.balanceSeconds(_alice, e) + unit.balanceSeconds(_BOB, e)
            + unit.balanceSeconds(address(line.queue), e) + unit.balanceSeconds(address(sys.primarySale), e);
        assertEq(sum, 100e18 * EPOCH, "every second of every unit");
        assertEq(unit.totalBalanceSeconds(e), sum, "supply");
    }

    function test_poolBuysAndSells() public {
        fund(_BOB, 1e12, address(line.pool));
        vm.prank(_BOB);
        line.pool.deposit(100_000e6);
        reportAndValue(5_000_000);
        line.pool.roll();
        _buyUnits(_alice, 40e18);
        vm.startPrank(_alice);
        unit.approve(address(line.pool), type(uint256).max);
        uint256 got = line.pool.sell(10e18, 190e6, _alice);
        vm.stopPrank();
        assertGe(got, 199e6, "about 20 a unit less 0.5 %");
        assertEq(unit.balanceOf(address(line.pool)), 10e18, "inventory");
        vm.prank(_BOB);
        uint256 paid = line.pool.buy(10e18, type(uint256).max, _BOB);
        assertGe(paid, got, "no free round trip");
    }

    function test_marketFill() public {
        reportAndValue(5_000_000);
        _buyUnits(_alice, 40e18);
        IPositionMarket market = IPositionMarket(address(sys.positionMarket));
        vm.prank(_alice);
        unit.approve(address(market), type(uint256).max);
        fund(_BOB, 1e12, address(market));
        IPositionMarket.Order memory order = IPositionMarket.Order(
            _alice, address(0), line.unit, sys.quote, 0, 4e18, 84e6, uint40(block.timestamp + 9), 0, 1
        );
        bytes memory signature = signatureOf(_ALICE, market.orderHash(order));
        vm.prank(_BOB);
        assertEq(market.fill(order, signature, 1e18), 21e6, "price");
    }

    /// One epoch paid and proven with the real relay: alice holds 40 of 100 units, the operator the rest.
    function test_epochIsCommittedAndProven() public {
        bytes32 first = keccak256("funding output");
        vm.prank(operator);
        sys.epochLedger.setBaton(first, 3);
        reportAndValue(5_000_000);
        _buyUnits(_alice, 40e18);
        IEpochLedger.Commitment memory c;
        c.epoch = 70_000;
        // the whole pot to the operator's sale account: it held everything in that epoch
        bytes memory script = abi.encodePacked(hex"0014", bytes20("operator"));
        bytes memory acc = abi.encodePacked(uint16(1), uint128(5_000_000) << 64);
        c.root = IEpochLedger.Root(
            sys.epochLedger.leafHash(address(sys.primarySale), keccak256(script), 5_000_000, 0, 0, acc),
            uint128(5_000_000) << 64,
            5_000_000
        );
        Bitcoin.Output[] memory outputs = new Bitcoin.Output[](3);
        outputs[0] = Bitcoin.Output(10_000, script);
        outputs[1] = Bitcoin.Output(0, abi.encodePacked(hex"6a284c485231", c.epoch, uint16(0), bytes30(c.root.hash)));
        outputs[2] = Bitcoin.Output(5_000_000, script);
        c.batches = new IEpochLedger.Batch[](1);
        c.batches[0] = IEpochLedger.Batch(keccak256(Bitcoin.serialise(outputs, 2)), 5_000_000);
        vm.prank(operator);
        sys.epochLedger.commit(c);
        note(c);
        sys.epochLedger.checkLeaf(recordOf[70_000], 0, c.root, new IEpochLedger.Root[](0));
        bytes memory payout = Bitcoin.transaction(first, 3, outputs);
        sys.epochLedger.provePayout(70_000, 0, paying(70_000), Bitcoin.prove(payout, 2, 12, 1));
        assertTrue(sys.epochLedger.isProven(70_000), "proven");
    }

    /// Nothing that a role can do stops a holder from leaving.
    function test_noSwitchStopsAnExit() public {
        fund(_BOB, 1e12, address(line.pool));
        vm.prank(_BOB);
        line.pool.deposit(100_000e6);
        reportAndValue(5_000_000);
        line.pool.roll();
        _buyUnits(_alice, 40e18);
        vm.startPrank(guardian);
        line.pool.setStopped(true);
        sys.primarySale.setStopped(true);
        sys.seriesRegistry.setStopped(true);
        vm.stopPrank();
        vm.startPrank(_alice);
        unit.transfer(_BOB, 1e18);
        unit.approve(address(line.pool), type(uint256).max);
        unit.approve(address(line.queue), type(uint256).max);
        line.pool.sell(1e18, 0, _alice);
        line.queue.takeBack(line.queue.enqueue(1e18));
        line.queue.enqueue(1e18);
        vm.stopPrank();
        line.queue.settle(2);
        vm.prank(_alice);
        line.queue.claim(_alice);
        uint256 shares = ITwabToken(line.pool.lpShare()).balanceOf(_BOB);
        vm.prank(_BOB);
        line.pool.requestWithdraw(shares);
        skip(30 * EPOCH); // and the oracle falls silent
        vm.prank(_BOB);
        (uint256 cash, uint256 units) = line.pool.withdrawSettled(_BOB);
        assertTrue(cash != 0 && units != 0, "in kind");
    }

    /// An oracle that stopped for good: gaps go on, and so does the ledger.
    function test_silentOracleDoesNotStopTheLedger() public {
        vm.warp(70_004 * EPOCH);
        sys.fleetOracle.declareGap(70_000);
        IEpochLedger.Commitment memory c;
        c.epoch = 70_000;
        c.defer = true;
        vm.prank(operator);
        sys.epochLedger.commit(c);
        IFleetOracle.FleetReport memory report = reportOf(0);
        assertEq(report.epoch, 70_001, "the next one reports as usual");
        post(report);
    }
}
