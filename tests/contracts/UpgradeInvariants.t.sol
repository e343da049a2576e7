// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IExitQueue} from "../../contracts/interfaces/IExitQueue.sol";
import {IPositionMarket} from "../../contracts/interfaces/IPositionMarket.sol";
import {ISeriesRegistry} from "../../contracts/interfaces/ISeriesRegistry.sol";
import {ISeriesUpgrader} from "../../contracts/interfaces/ISeriesUpgrader.sol";
import {UpgradeFixture} from "./utils/UpgradeFixture.sol";
import {Test} from "./utils/Test.sol";

/// @notice Holders who trade, order, lend and queue, while generations come and go.
contract UpgradeHandler is UpgradeFixture {
    uint256 public constant ACTORS = 5;
    bytes32[] private _live;
    uint256 public roots;
    uint256 public executed;
    uint256 public paid;
    uint256 public broughtIn;
    uint256 public refunded;
    ISeriesUpgrader.Upgrade private _open;

    constructor() {
        setUp();
        _live.push(oldRoot);
        reportAndValue(5_000_000);
        for (uint256 i = 0; i < ACTORS; ++i) {
            vm.prank(address(sys.primarySale));
            unit.transfer(actor(i), 10e18);
            fund(actor(i), 1e12, address(line.pool));
            vm.startPrank(actor(i));
            unit.approve(address(line.queue), type(uint256).max);
            vm.stopPrank();
        }
    }

    function transfer(uint256 from, uint256 to, uint256 amount) external {
        amount = bound(amount, 0, unit.balanceOf(actor(from % ACTORS)));
        vm.prank(actor(from % ACTORS));
        unit.transfer(actor(to % ACTORS), amount);
    }

    function order(uint256 who, uint64 salt) external {
        IPositionMarket market = IPositionMarket(address(sys.positionMarket));
        vm.startPrank(actor(who % ACTORS));
        unit.approve(address(market), salt);
        try market.post(
            IPositionMarket.Order(
                actor(who % ACTORS), address(0), line.unit, sys.quote, 0, 1e18, 2e7, type(uint40).max, 0, salt
            )
        ) {}
            catch {}
        vm.stopPrank();
    }

    function deposit(uint256 who, uint256 amount) external {
        vm.prank(actor(who % ACTORS));
        line.pool.deposit(bound(amount, 1, 1000e6));
    }

    function enqueue(uint256 who, uint256 amount) external {
        uint256 held = unit.balanceOf(actor(who % ACTORS));
        if (held == 0) return;
        vm.prank(actor(who % ACTORS));
        line.queue.enqueue(bound(amount, 1, held));
    }

    function takeBack(uint256 id) external {
        if (line.queue.ticketCount() == 0) return;
        id %= line.queue.ticketCount();
        IExitQueue.Ticket memory t = line.queue.ticket(id);
        if (t.units == t.settledUnits) return;
        vm.prank(t.owner);
        line.queue.takeBack(id);
    }

    function register(uint96 units) external {
        registerUnits(uint96(bound(units, 1e18, 50e18)));
        _live.push(registry.series(1).lastMachineRoot);
    }

    function gift(uint256 amount) external {
        amount = bound(amount, 0, 50e6);
        vm.prank(operator);
        upgrader.addCash(1, amount);
        broughtIn += amount;
    }

    function proposeNext(uint256 root, uint128 hashrate, uint128 scrap, uint256 spend) external {
        if (upgrader.proposal(1).structHash != 0) return;
        _open = upgradeOf(_live[root % _live.length], keccak256(abi.encode("upgrade", ++roots)));
        _open.generation = registry.series(1).generation;
        _open.hashrate = uint128(bound(hashrate, 1, 5000));
        _open.scrap = uint128(bound(scrap, 100, 1000e6));
        uint256 escrow = upgrader.hardwareCash(1) + _open.scrap;
        _open.price = uint128(bound(spend, (escrow * 98 + 99) / 100, escrow));
        propose(_open);
        broughtIn += _open.scrap;
    }

    function wait(uint256 time) external {
        skip(bound(time, 1, 30 hours));
    }

    function execute() external {
        ISeriesUpgrader.Proposal memory p = upgrader.proposal(1);
        if (p.structHash == 0) return;
        if (block.timestamp < p.readyAt) vm.warp(p.readyAt);
        if (block.timestamp > p.expiresAt) return;
        uint256 left = registry.hashrateOf(1) - registry.rootOf(_open.retiredRoot).hashrate;
        if (left + uint256(_open.hashrate) * 1e18 < registry.series(1).backedUnits) return;
        executeTouchingNobody(_open);
        ++executed;
        paid += _open.price;
        for (uint256 i = 0; i < _live.length; ++i) {
            if (_live[i] == _open.retiredRoot) _live[i] = _open.machineRoot;
        }
    }

    function cancel() external {
        if (upgrader.proposal(1).structHash == 0) return;
        vm.startPrank(operator);
        upgrader.cancel(1);
        refunded += upgrader.takeRefund(address(0xD1));
        vm.stopPrank();
    }

    /* CHECKS */

    function moneyAddsUp() external view {
        ISeriesUpgrader.Proposal memory p = upgrader.proposal(1);
        uint256 here = upgrader.hardwareCash(1) + p.arrived + p.carried;
        assertEq(here + paid + refunded, broughtIn, "in = out + here");
        assertEq(quote.balanceOf(address(upgrader)), here, "and it is here");
        assertEq(quote.balanceOf(VENDOR), paid, "vendor");
    }

    function backingAddsUp() external view {
        ISeriesRegistry.Series memory s = registry.series(1);
        uint256 hashrate = 0;
        uint256 machines = 0;
        for (uint256 i = 0; i < _live.length; ++i) {
            ISeriesRegistry.SerialRoot memory root = registry.rootOf(_live[i]);
            assertTrue(!root.retired && root.series == 1, "live");
            hashrate += root.hashrate;
            machines += root.machines;
        }
        assertEq(registry.hashrateOf(1), hashrate, "sum over live roots");
        assertEq(s.machines, machines, "machines");
        assertEq(s.backedUnits, unit.totalSupply(), "units");
        assertLe(uint256(s.hashratePerUnit) * s.backedUnits, hashrate, "never promised more than is there");
    }
}

contract UpgradeInvariants is Test {
    UpgradeHandler private _handler;

    function setUp() public {
        _handler = new UpgradeHandler();
        bytes4[] memory list = new bytes4[](11);
        list[0] = UpgradeHandler.transfer.selector;
        list[1] = UpgradeHandler.order.selector;
        list[2] = UpgradeHandler.deposit.selector;
        list[3] = UpgradeHandler.enqueue.selector;
        list[4] = UpgradeHandler.takeBack.selector;
        list[5] = UpgradeHandler.register.selector;
        list[6] = UpgradeHandler.gift.selector;
        list[7] = UpgradeHandler.proposeNext.selector;
        list[8] = UpgradeHandler.wait.selector;
        list[9] = UpgradeHandler.execute.selector;
        list[10] = UpgradeHandler.cancel.selector;
        target(address(_handler), list);
    }

    /// That nothing of a holder's is written is required inside of every `execute`.
    function invariant_upgradesTouchNobodyAndTheirMoneyAddsUp() public view {
        _handler.moneyAddsUp();
    }

    function invariant_liveMachinesBackTheUnits() public view {
        _handler.backingAddsUp();
    }
}
