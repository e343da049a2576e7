// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBuybackPool} from "../../contracts/interfaces/IBuybackPool.sol";
import {IExitQueue} from "../../contracts/interfaces/IExitQueue.sol";
import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {LpShare} from "../../contracts/tokens/LpShare.sol";
import {HostileQuote} from "./utils/HostileQuote.sol";
import {OnBuybackPool, OnReferencePool, PoolFixture} from "./utils/PoolFixture.sol";
import {ValuedPool} from "./utils/ValuedPool.sol";

/// @notice Attacks on LPs, sellers and the queue, on a quote token that does what it is told.
abstract contract PoolAttackSuite is PoolFixture {
    bytes4 private constant _REENTRANCY = bytes4(keccak256("Reentrancy()"));

    function _hostile() internal returns (HostileQuote) {
        HostileQuote hostile = new HostileQuote();
        vm.etch(address(_quote), address(hostile).code);
        return HostileQuote(address(_quote));
    }

    /* LP SHARES */

    /// The first depositor gives a fortune away to make the next one's shares round to nothing: the pool counts its own
    /// books only, and shares have 12 digits more than quote.
    function test_inflationByDonationGainsNothing() public {
        _provide(actor(9), 1);
        vm.prank(actor(9));
        _quote.transfer(address(_pool), 1_000_000e6);
        _provide(actor(8), 1000e6);
        uint256 shares = _lp.balanceOf(actor(8));
        assertGe(shares, 499e18, "shares");
        vm.prank(actor(8));
        _pool.requestWithdraw(shares);
        _nextEpoch();
        vm.prank(actor(8));
        (uint256 quote,) = _pool.withdrawSettled(actor(8));
        assertGe(quote, 999e6, "money back");
    }

    /// Without a donation the same by selling: a first depositor of one unit cannot price out the second.
    function test_firstDepositorCannotRoundTheNextOneAway() public {
        _provide(actor(9), 1);
        _provide(actor(8), 1);
        assertGe(_lp.balanceOf(actor(8)), 0.49e12, "shares of one quote unit");
    }

    /// Knows that units are worth half as much again, deposits just before the boundary at which the old value still
    /// counts, and leaves in kind at the first chance.
    function test_depositBeforeAKnownRiseGainsNothing() public {
        _provide(actor(9), 100_000e6);
        _sell(actor(1), 200e18);
        skip(EPOCH - 200);
        vm.prank(actor(8));
        _pool.deposit(1_000_000e6);
        skip(EPOCH / 4);
        _pool.roll(); // the report of the deposit's epoch is not there yet
        _values.set(20e6, 31.5e6, true, epochNow() - 1);
        skip(EPOCH);
        _pool.roll();
        uint256 shares = _lp.balanceOf(actor(8));
        assertTrue(shares != 0, "shares");
        vm.prank(actor(8));
        _pool.requestWithdraw(shares);
        skip(EPOCH);
        vm.prank(actor(8));
        (uint256 quote, uint256 units) = _pool.withdrawSettled(actor(8));
        assertLe(quote + units * 30e6 / 1e18, 1_000_000e6, "worth no more than what came in");
    }

    /// Leaves at the boundary before a fall that the report will tell: gets units like everybody, and the others keep
    /// what they had.
    function test_withdrawalBeforeAKnownFallGainsNothing() public {
        _provide(actor(9), 100_000e6);
        _provide(actor(8), 100_000e6);
        _sell(actor(1), 200e18);
        (uint256 cash, uint256 units) = (_pool.state().cash, _pool.state().inventory);
        uint256 shares = _lp.balanceOf(actor(8));
        uint256 part = shares * 1e18 / _lp.totalSupply();
        vm.prank(actor(8));
        _pool.requestWithdraw(shares);
        _nextEpoch();
        _pool.roll();
        (uint256 quote, uint256 got) = _pool.settledOf(actor(8));
        assertLe(quote, cash * part / 1e18 + 1, "no more than the part of the cash");
        assertGe(got + 1e9, units * part / 1e18, "and no less than the part of the units");
    }

    function test_wrapperCannotDepositOrQueue() public {
        _wrappers.add(actor(5));
        vm.startPrank(actor(5));
        vm.expectRevert(abi.encodeWithSelector(IBuybackPool.WrapperRefused.selector, actor(5)));
        _pool.deposit(1e6);
        vm.expectRevert(abi.encodeWithSelector(IExitQueue.WrapperRefused.selector, actor(5)));
        _queue.enqueue(1e18);
        vm.stopPrank();
    }

    /// There is nothing to initialise again, and what builds the pieces together answers to nobody else.
    function test_nothingIsInitialisedTwice() public {
        address[4] memory all = [address(_pool), address(_queue), address(_lp), address(_claims)];
        string[4] memory names =
            ["init()", "initialize()", "initialize(address)", "init(address,address,uint256,address,uint256)"];
        for (uint256 i = 0; i < 4; ++i) {
            for (uint256 j = 0; j < 4; ++j) {
                (bool ok,) = all[i].call(abi.encodeWithSignature(names[j]));
                assertTrue(!ok, "initialised");
            }
        }
        bytes memory why = abi.encodeWithSelector(IBuybackPool.OnlyQueue.selector, address(this));
        vm.expectRevert(why);
        _pool.queueAdd(1);
        vm.expectRevert(why);
        _pool.queueRemove(1, 0);
        vm.expectRevert(why);
        _pool.queueSettle(1, 0);
        vm.expectRevert(why);
        _pool.queuePay(address(this), 1);
        why = abi.encodeWithSelector(ITwabToken.OnlyMinter.selector, address(this));
        vm.expectRevert(why);
        _lp.mint(address(this), 1);
        vm.expectRevert(why);
        LpShare(address(_lp)).lock(actor(1), 1);
        vm.expectRevert(why);
        _claims.mint(address(this), 1);
    }

    /* TRADES */

    function testFuzz_piecesGainNothingHere(uint96 units, uint96 first) public {
        _provide(actor(9), 1_000_000e6);
        uint256 whole = bound(units, 2, 2000e18);
        uint256 part = bound(first, 1, whole - 1);
        uint256 id = vm.snapshotState();
        uint256 once = _sell(actor(1), whole);
        vm.revertToState(id);
        assertLe(_sell(actor(1), part) + _sell(actor(1), whole - part), once, "sold in pieces");
        id = vm.snapshotState();
        once = _buy(actor(2), whole);
        vm.revertToState(id);
        assertGe(_buy(actor(2), part) + _buy(actor(2), whole - part), once, "bought in pieces");
    }

    function testFuzz_buyThenSellNeverProfits(uint96 held, uint96 units, bool sellsFirst) public {
        _values.set(20e6, 20e6, true, epochNow() - 1); // no gap between the bases
        vm.prank(actor(9));
        _pool.deposit(1_000_000e6);
        skip(EPOCH);
        _values.set(20e6, 20e6, true, epochNow() - 1);
        _pool.roll();
        uint256 i = bound(held, 2, 1000e18);
        _sell(actor(1), i);
        uint256 n = bound(units, 1, sellsFirst ? 1000e18 : i);
        uint256 before = _quote.balanceOf(actor(2));
        if (sellsFirst) _sell(actor(2), n);
        _buy(actor(2), n);
        if (!sellsFirst) _sell(actor(2), n);
        assertLe(_quote.balanceOf(actor(2)), before, "round trip");
    }

    /* HOSTILE QUOTE TOKENS */

    function test_feeOnTransferIsRefused() public {
        _provide(actor(9), 1_000_000e6);
        _sell(actor(1), 100e18);
        HostileQuote hostile = _hostile();
        hostile.set(HostileQuote.Way.FeeOnTransfer);
        refuses(IBuybackPool.ShortReceived.selector);
        vm.prank(actor(8));
        _pool.deposit(1000e6);
        refuses(IBuybackPool.ShortReceived.selector);
        _buy(actor(2), 1e18);
    }

    function test_returnsFalseChangesNothing() public {
        _provide(actor(9), 1_000_000e6);
        _sell(actor(1), 100e18);
        HostileQuote hostile = _hostile();
        hostile.set(HostileQuote.Way.ReturnsFalse);
        bytes32 before = keccak256(abi.encode(_pool.state()));
        vm.startPrank(actor(1));
        vm.expectRevert();
        _pool.deposit(1e6);
        vm.expectRevert();
        _pool.buy(1e18, type(uint256).max, actor(1));
        vm.expectRevert();
        _pool.sell(1e18, 0, actor(1));
        vm.stopPrank();
        assertEq(keccak256(abi.encode(_pool.state())), before, "state");
    }

    function test_callbackCannotReenter() public {
        _provide(actor(9), 1_000_000e6);
        _sell(actor(1), 100e18);
        vm.prank(actor(1));
        _queue.enqueue(10e18);
        _queue.settle(1);
        HostileQuote hostile = _hostile();
        bytes[8] memory calls = [
            abi.encodeCall(IBuybackPool.sell, (1e18, 0, actor(1))),
            abi.encodeCall(IBuybackPool.buy, (1e18, type(uint256).max, actor(1))),
            abi.encodeCall(IBuybackPool.deposit, (1e6)),
            abi.encodeCall(IBuybackPool.requestWithdraw, (1e18)),
            abi.encodeCall(IBuybackPool.withdrawSettled, (actor(1))),
            abi.encodeCall(IBuybackPool.roll, ()),
            abi.encodeCall(IBuybackPool.queueAdd, (1)),
            abi.encodeCall(IBuybackPool.queuePay, (actor(1), 1))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            hostile.onTransfer(address(_pool), calls[i]);
            _sell(actor(1), 1e18);
            _refused(hostile);
            _buy(actor(1), 1e18);
            _refused(hostile);
            vm.prank(actor(1));
            _pool.deposit(1e6);
            _refused(hostile);
        }
        hostile.onTransfer(address(_queue), abi.encodeCall(IExitQueue.claim, (actor(1))));
        vm.prank(actor(1));
        _queue.claim(actor(1));
        _refused(hostile);
    }

    function _refused(HostileQuote hostile) private view {
        assertTrue(!hostile.calledBack() && bytes4(hostile.answer()) == _REENTRANCY, "reentered");
    }

    /// Whom the quote token blocks gets paid elsewhere, and stops nobody.
    function test_blockedAccountsStopNobody() public {
        _provide(actor(9), 1_000_000e6);
        HostileQuote hostile = _hostile();
        vm.prank(actor(1));
        _queue.enqueue(10e18);
        vm.prank(actor(2));
        _queue.enqueue(10e18);
        hostile.block_(actor(1), true);
        _queue.settle(5);
        vm.prank(actor(2));
        _queue.claim(actor(2));
        vm.startPrank(actor(1));
        vm.expectRevert();
        _queue.claim(actor(1));
        assertTrue(_queue.claim(actor(77)) != 0, "elsewhere");
        vm.expectRevert();
        _pool.sell(1e18, 0, actor(1));
        assertTrue(_pool.sell(1e18, 0, actor(77)) != 0, "elsewhere");
        vm.stopPrank();
    }

    /* QUEUE */

    /// A thousand tickets of one wei each ahead: they cost who settles them a bounded sum, and stop nobody.
    function test_dustTicketsOnlyCostGas() public {
        _provide(actor(9), 1_000_000e6);
        vm.startPrank(actor(3));
        for (uint256 i = 0; i < 200; ++i) {
            _queue.enqueue(1);
        }
        vm.stopPrank();
        vm.prank(actor(1));
        _queue.enqueue(10e18);
        uint256 gas = gasleft();
        _queue.settle(200);
        assertLe((gas - gasleft()) / 200, 70_000, "gas a ticket");
        assertEq(_queue.head(), 200, "past the dust");
        (uint256 units,) = _queue.settle(1);
        assertEq(units, 10e18, "served");
    }

    /// A ticket behind which everybody waits may be huge, taken back, or of an account that can do nothing.
    function test_hostileHeadCannotStopTheQueue() public {
        _provide(actor(9), 1_000_000e6);
        vm.prank(actor(3));
        uint256 id = _queue.enqueue(90_000e18);
        vm.prank(actor(1));
        _queue.enqueue(10e18);
        vm.etch(actor(3), hex"60006000fd"); // reverts at every call
        for (uint256 i = 0; i < 4; ++i) {
            _nextEpoch();
            _queue.settle(5);
        }
        assertEq(_queue.head(), 0, "the first is served first");
        vm.prank(actor(3));
        _queue.takeBack(id);
        _nextEpoch();
        (uint256 units,) = _queue.settle(5);
        assertEq(units, 10e18, "then the second");
    }
}

contract PoolAttackTest is PoolAttackSuite, OnBuybackPool {}

contract PoolAttackReferenceTest is PoolAttackSuite, OnReferencePool {}

/// @notice Whoever knows the next report trades on this one, and back on the next.
contract ReportFrontRunning is ValuedPool {
    function _ready(uint256 worth, uint256 hardware) private {
        report(NEW, NEW);
        deposit(LP, 10_000_000e6);
        nextEpoch(NEW, NEW);
        pool.roll();
        vm.prank(HOLDER);
        pool.sell(10_000e18, 0, HOLDER);
        nextEpoch(worth, hardware);
        pool.roll();
    }

    function testFuzz_sellBeforeAReportAndBuyAfterNeverProfits(uint256[2] memory worth, uint256[2] memory hardware)
        public
    {
        _trip(worth, hardware, true);
    }

    function testFuzz_buyBeforeAReportAndSellAfterNeverProfits(uint256[2] memory worth, uint256[2] memory hardware)
        public
    {
        _trip(worth, hardware, false);
    }

    function _trip(uint256[2] memory worth, uint256[2] memory hardware, bool sellsFirst) private {
        _ready(bound(worth[0], NEW / 10, NEW * 3), bound(hardware[0], NEW / 10, NEW * 3));
        uint256 before = quote.balanceOf(SELLER);
        vm.startPrank(SELLER);
        if (sellsFirst) pool.sell(1000e18, 0, SELLER);
        else pool.buy(1000e18, type(uint256).max, SELLER);
        vm.stopPrank();
        nextEpoch(bound(worth[1], NEW / 10, NEW * 3), bound(hardware[1], NEW / 10, NEW * 3));
        pool.roll();
        vm.startPrank(SELLER);
        if (sellsFirst) pool.buy(1000e18, type(uint256).max, SELLER);
        else pool.sell(1000e18, 0, SELLER);
        vm.stopPrank();
        assertLe(quote.balanceOf(SELLER), before, "profit");
    }
}
