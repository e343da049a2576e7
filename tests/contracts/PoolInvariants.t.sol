// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBuybackPool} from "../../contracts/interfaces/IBuybackPool.sol";
import {IExitQueue} from "../../contracts/interfaces/IExitQueue.sol";
import {PoolMath} from "../../contracts/libraries/PoolMath.sol";
import {OnBuybackPool, OnReferencePool, PoolFixture} from "./utils/PoolFixture.sol";
import {Test} from "./utils/Test.sol";

/// @notice Uses a pool and its queue at random, with prices that move, go stale and come back.
abstract contract PoolHandler is PoolFixture {
    uint256 public constant ACTORS = 6;
    uint256 public exits;

    constructor() {
        setUp();
    }

    function sell(uint256 who, uint256 units) external {
        units = bound(units, 1, 400e18);
        try _pool.quoteSell(units) returns (uint256) {}
        catch {
            return;
        }
        vm.prank(actor(who % ACTORS));
        try _pool.sell(units, 0, actor(who % ACTORS)) {}
        catch (bytes memory why) {
            // the bucket, or limits that the boundary in this very call has just moved
            bytes4 reason = bytes4(why);
            bool known =
                reason == IBuybackPool.OutflowExhausted.selector || reason == IBuybackPool.InventoryFull.selector;
            assertTrue(known, "sell");
        }
    }

    function buy(uint256 who, uint256 units) external {
        _pool.roll();
        uint256 held = _pool.state().inventory;
        if (held == 0 || !_values.isFresh()) return;
        units = bound(units, 1, held);
        vm.prank(actor(who % ACTORS));
        _pool.buy(units, type(uint256).max, actor(who % ACTORS));
    }

    function deposit(uint256 who, uint256 amount) external {
        vm.prank(actor(who % ACTORS));
        _pool.deposit(bound(amount, 1, 100_000e6));
    }

    function withdraw(uint256 who, uint256 shares) external {
        _pool.roll();
        address account = actor(who % ACTORS);
        uint256 free = _lp.balanceOf(account) - _locked(account);
        if (free == 0) return;
        vm.prank(account);
        _pool.requestWithdraw(bound(shares, 1, free));
    }

    function takeSettled(uint256 who) external {
        vm.prank(actor(who % ACTORS));
        _pool.withdrawSettled(actor(who % ACTORS));
        ++exits;
    }

    function enqueue(uint256 who, uint256 units) external {
        vm.prank(actor(who % ACTORS));
        _queue.enqueue(bound(units, 1, 2000e18));
    }

    function takeBack(uint256 id) external {
        if (_queue.ticketCount() == 0) return;
        id %= _queue.ticketCount();
        IExitQueue.Ticket memory t = _queue.ticket(id);
        if (t.units == t.settledUnits) return;
        vm.prank(t.owner);
        _queue.takeBack(id);
        ++exits;
    }

    function settle(uint256 tickets) external {
        try _queue.settle(bound(tickets, 1, 5)) {}
        catch (bytes memory why) {
            assertTrue(bytes4(why) == IExitQueue.NothingToSettle.selector, "settle");
        }
    }

    function claim(uint256 who) external {
        address account = actor(who % ACTORS);
        if (_queue.claimable(account) == 0) return;
        vm.prank(account);
        _queue.claim(account);
        ++exits;
    }

    function donate(uint256 amount) external {
        _quote.mint(address(_pool), amount % 1e12);
        _unit.mint(address(_pool), amount % 1e18);
    }

    function price(uint256 bid, uint256 spread, uint256 wait) external {
        skip(wait % (2 * EPOCH));
        bid = bound(bid, 1e6, 40e6);
        _values.set(bid, bid + spread % 2e6, wait % 4 != 0, epochNow() - 1 - uint32(wait % 7));
    }

    /// @dev Past the ring of 32 epochs, with an oracle that stayed silent: the wind-down.
    function silence(uint256 wait) external {
        _values.set(_values.bid(), _values.ask(), false, epochNow() - 1);
        skip(bound(wait, 3 * EPOCH, 40 * EPOCH));
    }

    function roll() external {
        _pool.roll();
    }

    function depositFirstLoss(uint256 amount) external {
        vm.prank(_FIRST_LOSS);
        _pool.deposit(bound(amount, 1, 50_000e6));
    }

    /// @dev Sells and buys the same back within one report.
    function roundTrip(uint256 units) external {
        _pool.roll();
        units = bound(units, 1, 400e18);
        uint256 before = _quote.balanceOf(actor(7));
        vm.prank(actor(7));
        try _pool.sell(units, 0, actor(7)) {}
        catch {
            return;
        }
        _buy(actor(7), units);
        assertLe(_quote.balanceOf(actor(7)), before, "a round trip never profits");
    }

    function _locked(address account) private view returns (uint256) {
        (, bytes memory data) = address(_lp).staticcall(abi.encodeWithSignature("locked(address)", account));
        return abi.decode(data, (uint256));
    }

    /* CHECKS */

    function checkCash() external view {
        uint256 owed = uint256(_pool.state().cash) + _pool.state().pendingDeposits;
        uint256 claims = 0;
        for (uint256 i = 0; i < ACTORS; ++i) {
            (uint256 settled,) = _pool.settledOf(actor(i));
            owed += settled;
            claims += _queue.claimable(actor(i));
        }
        assertEq(_pool.owedToClaims(), claims, "claims");
        (,,, uint256 setAside) = _pool.round();
        (uint256 kept,) = _pool.settledOf(_FIRST_LOSS);
        owed += claims + setAside + kept;
        assertGe(_quote.balanceOf(address(_pool)), owed, "cash covers all that is owed");
    }

    function checkUnits() external view {
        uint256 owed = _pool.state().inventory;
        for (uint256 i = 0; i < ACTORS; ++i) {
            (, uint256 units) = _pool.settledOf(actor(i));
            owed += units;
        }
        assertGe(_unit.balanceOf(address(_pool)), owed, "units cover all that is owed");
    }

    function checkQueue() external view {
        uint256 waiting = 0;
        for (uint256 id = 0; id < _queue.ticketCount(); ++id) {
            IExitQueue.Ticket memory t = _queue.ticket(id);
            waiting += t.units - t.settledUnits;
            if (id < _queue.head()) assertEq(t.units, t.settledUnits, "before the head all is settled");
            if (id > _queue.head()) assertEq(t.settledUnits, 0, "behind it nothing, or was taken back");
        }
        assertEq(_queue.queuedUnits(), waiting, "queued units");
        assertEq(_claims.totalSupply(), waiting, "one claim a queued unit");
        assertEq(_unit.balanceOf(address(_queue)), waiting, "held by the queue");
    }

    /// What was deposited is in the till, in inventory, or was paid out for units and shares: nothing else comes or goes.
    function checkConservation() external view {
        uint256 quote = _quote.balanceOf(address(_pool));
        uint256 units = _unit.balanceOf(address(_pool)) + _unit.balanceOf(address(_queue));
        for (uint256 i = 0; i < 10; ++i) {
            quote += _quote.balanceOf(actor(i));
            units += _unit.balanceOf(actor(i));
        }
        assertEq(quote + _quote.balanceOf(_FIRST_LOSS), _quote.totalSupply(), "quote");
        assertEq(units + _unit.balanceOf(_FIRST_LOSS), _unit.totalSupply(), "units");
    }

    /// The tickets of an open round are covered by the cash set aside for them.
    function checkRound() external view {
        (uint32 number, uint256 units, uint256 price, uint256 cash) = _pool.round();
        uint256 covered = 0;
        for (uint256 id = 0; id < _queue.ticketCount(); ++id) {
            IExitQueue.Ticket memory t = _queue.ticket(id);
            if (t.round < number) covered += t.units - t.settledUnits;
        }
        assertEq(covered, units, "units of the round");
        assertGe(cash, units * price / 1e18, "cash of the round");
        if (units == 0) assertEq(cash, 0, "closed");
    }

    /// No trade writes a price: the quote for the same inventory depends on the value and the epoch's limits only.
    function checkPrice() external view {
        IBuybackPool.State memory s = _pool.state();
        if (!_values.isFresh() || _values.epoch() == 0 || s.inventory >= s.inventoryMax) return;
        uint256 units = s.inventoryMax - s.inventory;
        uint256 expected = PoolMath.sell_floor(_values.bid(), units, s.inventory, s.inventoryMax, 5000, 100_000);
        assertEq(_pool.quoteSell(units), expected, "quote");
    }

    function checkShares() external view {
        for (uint256 i = 0; i < ACTORS; ++i) {
            assertLe(_locked(actor(i)), _lp.balanceOf(actor(i)), "locked shares are held");
        }
        assertLe(_locked(_FIRST_LOSS), _lp.balanceOf(_FIRST_LOSS), "locked shares are held");
    }
}

contract RealPoolHandler is PoolHandler, OnBuybackPool {}

contract ReferencePoolHandler is PoolHandler, OnReferencePool {}

abstract contract PoolInvariantSuite is Test {
    PoolHandler private _handler;

    function _handlerOf() internal virtual returns (PoolHandler);

    function setUp() public {
        _handler = _handlerOf();
        bytes4[] memory list = new bytes4[](15);
        list[0] = PoolHandler.sell.selector;
        list[1] = PoolHandler.buy.selector;
        list[2] = PoolHandler.deposit.selector;
        list[3] = PoolHandler.withdraw.selector;
        list[4] = PoolHandler.takeSettled.selector;
        list[5] = PoolHandler.enqueue.selector;
        list[6] = PoolHandler.takeBack.selector;
        list[7] = PoolHandler.settle.selector;
        list[8] = PoolHandler.claim.selector;
        list[9] = PoolHandler.donate.selector;
        list[10] = PoolHandler.price.selector;
        list[11] = PoolHandler.silence.selector;
        list[12] = PoolHandler.roll.selector;
        list[13] = PoolHandler.depositFirstLoss.selector;
        list[14] = PoolHandler.roundTrip.selector;
        target(address(_handler), list);
    }

    function invariant_cashCoversAllThatIsOwed() public view {
        _handler.checkCash();
    }

    function invariant_unitsCoverAllThatIsOwed() public view {
        _handler.checkUnits();
    }

    function invariant_queueAddsUp() public view {
        _handler.checkQueue();
    }

    function invariant_lockedSharesAreHeld() public view {
        _handler.checkShares();
    }

    function invariant_nothingComesOrGoes() public view {
        _handler.checkConservation();
    }

    function invariant_roundsAreCovered() public view {
        _handler.checkRound();
    }

    function invariant_noTradeWritesAPrice() public view {
        _handler.checkPrice();
    }
}

contract PoolInvariantTest is PoolInvariantSuite {
    function _handlerOf() internal override returns (PoolHandler) {
        return new RealPoolHandler();
    }
}

contract PoolReferenceInvariantTest is PoolInvariantSuite {
    function _handlerOf() internal override returns (PoolHandler) {
        return new ReferencePoolHandler();
    }
}
