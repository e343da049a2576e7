// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {PositionMarket} from "../../contracts/PositionMarket.sol";
import {IPositionMarket} from "../../contracts/interfaces/IPositionMarket.sol";
import {MarketFixture, OnPositionMarket, OnReferenceMarket} from "./utils/MarketFixture.sol";
import {ReferenceMarket} from "./reference/ReferenceMarket.sol";

/// @notice Many orders in one call, makers against each other, and the protocol fee.
abstract contract MarketManySuite is MarketFixture {
    function _ladder(uint8 side) private view returns (IPositionMarket.Order[] memory orders) {
        orders = new IPositionMarket.Order[](3);
        for (uint64 i = 0; i < 3; ++i) {
            orders[i] = _order(side);
            orders[i].salt = i;
            orders[i].quoteAmount = 200e6 + i * 10e6;
        }
    }

    /* FILL UP TO */

    function test_fillUpToTakesInSequence() public {
        (uint256 base, uint256 quote) = _fillUpTo(_ladder(0), _limits(0, 15e18));
        assertEq(base, 15e18, "units");
        assertEq(quote, 200e6 + 105e6, "first order whole, half of the second");
        assertEq(_unit.balanceOf(_taker), 1015e18, "delivered");
        assertEq(_quote.balanceOf(_taker), 1e12 - 305e6, "paid");
    }

    function test_fillUpToSkipsDeadOrders() public {
        IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](8);
        for (uint64 i = 0; i < 8; ++i) {
            orders[i] = _order(0);
            orders[i].salt = i;
        }
        orders[0].expiry = uint40(block.timestamp);
        orders[1].taker = _maker2;
        orders[2].group = 99;
        orders[3].maker = address(0xDEAD);
        orders[4].base = address(0x1234);
        orders[5].quoteAmount = 0;
        orders[6].group = 1 << 32;
        vm.prank(_maker);
        _market.cancelGroup(99);
        (uint256 base, uint256 quote) = _fillUpTo(orders, _limits(0, 50e18));
        assertTrue(base == 10e18 && quote == 200e6, "the last one alone");
        (base,) = _fillUpTo(orders, _limits(0, 50e18));
        assertEq(base, 0, "and it is filled");
    }

    /// What nobody can have is no fill of nothing.
    function test_fillUpToLeavesNoTraceOfAnUnfundedOrder() public {
        vm.prank(_maker);
        _unit.approve(address(_market), 0);
        IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](1);
        orders[0] = _order(0);
        vm.recordLogs();
        (uint256 base,) = _fillUpTo(orders, _limits(0, 50e18));
        assertEq(base, 0, "nothing");
        assertEq(vm.getRecordedLogs().length, 0, "and nothing said");
    }

    function test_fillUpToTakesTheFundedPart() public {
        vm.prank(_maker);
        _unit.approve(address(_market), 4e18);
        (uint256 base, uint256 quote) = _fillUpTo(_ladder(0), _limits(0, 30e18));
        assertTrue(base == 4e18 && quote == 80e6, "what the allowance covers");
        vm.prank(_maker);
        _quote.transfer(address(1), 1e12 - 50e6);
        (base, quote) = _fillUpTo(_ladder(1), _limits(1, 30e18));
        assertEq(quote, 130e6, "what the maker's quote covers");
        assertEq(_quote.balanceOf(_maker), 0, "all of it");
    }

    function test_fillUpToKeepsTheWorstPrice() public {
        IPositionMarket.FillLimits memory limits = _limits(0, 30e18);
        limits.worstPrice = 21e6;
        (uint256 base,) = _fillUpTo(_ladder(0), limits);
        assertEq(base, 20e18, "the dearest is skipped");
        limits = _limits(1, 30e18);
        limits.worstPrice = 21e6;
        (base,) = _fillUpTo(_ladder(1), limits);
        assertEq(base, 20e18, "the lowest bid is skipped");
        limits.quote = address(_unit);
        (base,) = _fillUpTo(_ladder(1), limits);
        assertEq(base, 0, "another pair is skipped");
    }

    function testFuzz_fillUpToKeepsTheBudget(uint256 budget, uint96 baseMax) public {
        budget = bound(budget, 0, 700e6);
        IPositionMarket.FillLimits memory limits = _limits(0, baseMax);
        limits.quoteMax = budget;
        (uint256 base, uint256 quote) = _fillUpTo(_ladder(0), limits);
        assertLe(base, baseMax, "units");
        assertLe(quote, budget, "quote");
        assertEq(_quote.balanceOf(_taker), 1e12 - quote, "paid as told");
        assertEq(_unit.balanceOf(_taker), 1000e18 + base, "delivered as told");
        // what was left of the budget does not buy the next unit of quote
        if (budget < 600e6 && baseMax > 30e18) assertLe(budget - quote, 3, "spent");
    }

    function test_FilledTooLittle() public {
        IPositionMarket.FillLimits memory limits = _limits(0, 40e18);
        limits.baseMin = 31e18;
        bytes[] memory signatures = new bytes[](3);
        IPositionMarket.Order[] memory orders = _ladder(0);
        for (uint256 i = 0; i < 3; ++i) {
            signatures[i] = _sign(orders[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.FilledTooLittle.selector, 30e18, 31e18));
        vm.prank(_taker);
        _market.fillUpTo(orders, signatures, limits);
        assertEq(_unit.balanceOf(_taker), 1000e18, "nothing moved");
    }

    function test_LengthMismatch() public {
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.LengthMismatch.selector, 3, 0));
        _market.fillUpTo(_ladder(0), new bytes[](0), _limits(0, 1));
    }

    function test_OnlySelf() public {
        IPositionMarket.Order memory order = _order(0);
        bytes memory signature = _sign(order);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.OnlySelf.selector, _maker2));
        vm.prank(_maker2);
        _market.fillFor(_taker, order, signature, 1e18, 1e18);
    }

    /* MATCH */

    function _pair(uint128 asks, uint128 bids)
        private
        view
        returns (IPositionMarket.Order memory sell, IPositionMarket.Order memory buy)
    {
        (sell, buy) = (_order(0), _order(1));
        buy.maker = _maker2;
        (sell.quoteAmount, buy.quoteAmount) = (asks, bids);
    }

    function _match(IPositionMarket.Order memory sell, IPositionMarket.Order memory buy, uint256 baseMax)
        private
        returns (uint256 base, uint256 quote)
    {
        (bytes memory s, bytes memory b) = (_sign(sell), _sign(buy));
        vm.prank(address(0x501));
        return _market.matchOrders(sell, s, buy, b, baseMax);
    }

    function test_matchSplitsTheDifference() public {
        (IPositionMarket.Order memory sell, IPositionMarket.Order memory buy) = _pair(200e6, 210e6);
        buy.baseAmount = 20e18;
        buy.quoteAmount = 420e6;
        (uint256 base, uint256 quote) = _match(sell, buy, type(uint256).max);
        assertTrue(base == 10e18 && quote == 205e6, "the smaller order, at the middle");
        assertEq(_quote.balanceOf(_maker), 1e12 + 205e6, "seller");
        assertEq(_unit.balanceOf(_maker2), 1010e18, "buyer");
        (uint256 filled,) = _market.orderState(buy);
        assertEq(filled, 10e18, "the larger order goes on");
    }

    function testFuzz_matchNeverWorseThanSigned(uint96 a, uint96 b, uint128 asks, uint128 bids, uint96 units) public {
        (IPositionMarket.Order memory sell, IPositionMarket.Order memory buy) =
            _pair(uint128(bound(asks, 1, 1e11)), uint128(bound(bids, 1, 1e11)));
        sell.baseAmount = uint96(bound(a, 1, 900e18));
        buy.baseAmount = uint96(bound(b, 1, 900e18));
        units = uint96(bound(units, 1, 900e18));
        (bytes memory s, bytes memory t) = (_sign(sell), _sign(buy));
        try _market.matchOrders(sell, s, buy, t, units) returns (uint256 base, uint256 quote) {
            assertGe(quote * sell.baseAmount, sell.quoteAmount * base, "seller");
            assertLe(quote * buy.baseAmount, buy.quoteAmount * base, "buyer");
            assertEq(_quote.balanceOf(_maker), 1e12 + quote, "all that is paid arrives");
            assertEq(_quote.balanceOf(_maker2), 1e12 - quote, "and no more is paid");
            assertEq(_unit.balanceOf(_maker2), 1000e18 + base, "units");
        } catch (bytes memory why) {
            assertEq(bytes32(bytes4(why)), bytes32(IPositionMarket.NotCrossed.selector), "only for the price");
            uint256 base = sell.baseAmount < buy.baseAmount ? sell.baseAmount : buy.baseAmount;
            if (units < base) base = units;
            // refused only if no whole quote unit lies between the two prices
            uint256 ceil = (sell.quoteAmount * base + sell.baseAmount - 1) / sell.baseAmount;
            assertTrue(ceil > buy.quoteAmount * base / buy.baseAmount, "not crossed");
        }
    }

    function _refusesMatch(IPositionMarket.Order memory sell, IPositionMarket.Order memory buy, bytes memory why)
        private
    {
        (bytes memory s, bytes memory b) = (_sign(sell), _sign(buy));
        vm.expectRevert(why);
        _market.matchOrders(sell, s, buy, b, 10e18);
    }

    function test_matchRefusals() public {
        (IPositionMarket.Order memory sell, IPositionMarket.Order memory buy) = _pair(200e6, 210e6);
        bytes memory bad = _error(IPositionMarket.BadMatch.selector);
        _refusesMatch(buy, sell, bad);
        _refusesMatch(sell, sell, bad);
        _refusesMatch(buy, buy, bad);
        buy.maker = _maker;
        _refusesMatch(sell, buy, bad);
        buy.maker = _maker2;
        buy.quote = address(0x1234);
        _refusesMatch(sell, buy, bad);
        (sell, buy) = _pair(210e6, 200e6);
        _refusesMatch(sell, buy, abi.encodeWithSelector(IPositionMarket.NotCrossed.selector, 210e6, 200e6));
        (sell, buy) = _pair(200e6, 210e6);
        sell.taker = _taker;
        _refusesMatch(sell, buy, abi.encodeWithSelector(IPositionMarket.WrongTaker.selector, _taker));
        (sell, buy) = _pair(200e6, 210e6);
        (bytes memory s, bytes memory b) = (_sign(sell), _sign(buy));
        vm.expectRevert(IPositionMarket.ZeroFill.selector);
        _market.matchOrders(sell, s, buy, b, 0);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, _maker2));
        _market.matchOrders(sell, s, buy, s, 1e18);
        vm.prank(_maker2);
        _market.cancel(buy);
        bytes32 hash = _market.orderHash(buy);
        _refusesMatch(sell, buy, abi.encodeWithSelector(IPositionMarket.OrderIsCancelled.selector, hash));
    }

    function test_matchOfOrdersForEachOther() public {
        (IPositionMarket.Order memory sell, IPositionMarket.Order memory buy) = _pair(200e6, 200e6);
        (sell.taker, buy.taker) = (_maker2, _maker);
        (, uint256 quote) = _match(sell, buy, 10e18);
        assertEq(quote, 200e6, "counterparties that name each other");
    }

    /* FEE */

    function test_takerBearsTheFee() public {
        _useMarket(5000, _FEE_TO);
        uint256 makerBefore = _quote.balanceOf(_maker);
        uint256 takerBefore = _quote.balanceOf(_taker);
        assertEq(_fill(_order(0), 10e18), 200e6, "price");
        assertEq(_quote.balanceOf(_maker), makerBefore + 200e6, "the maker gets its price");
        assertEq(_quote.balanceOf(_taker), takerBefore - 201e6, "a buying taker pays on top");
        assertEq(_quote.balanceOf(_FEE_TO), 1e6, "fee");
        _fill(_order(1), 10e18);
        assertEq(_quote.balanceOf(_maker), makerBefore, "a buying maker pays its price");
        assertEq(_quote.balanceOf(_taker), takerBefore - 2e6, "a selling taker gets less");
        assertEq(_quote.balanceOf(_FEE_TO), 2e6, "fees");
    }

    function test_feeOfAMatchComesOutOfTheDifference() public {
        _useMarket(5000, _FEE_TO);
        (IPositionMarket.Order memory sell, IPositionMarket.Order memory buy) = _pair(200e6, 202e6);
        uint256 before = _quote.balanceOf(_maker);
        (, uint256 quote) = _match(sell, buy, 10e18);
        assertEq(quote, 200e6 + (202e6 - 1_010_000 - 200e6) / 2, "half of what the fee leaves");
        assertEq(_quote.balanceOf(_maker), before + quote, "seller");
        assertEq(_quote.balanceOf(_FEE_TO), 1_010_000, "fee");
        (sell, buy) = _pair(200e6, 201e6);
        sell.salt = 2;
        buy.salt = 2;
        _refusesMatch(sell, buy, abi.encodeWithSelector(IPositionMarket.NotCrossed.selector, 200e6, 201e6));
    }

    /// A buyer cannot save the fee by approving the price alone: what the fee recipient misses the seller would get.
    function test_feeIsNotSavedByASmallAllowance() public {
        _useMarket(5000, _FEE_TO);
        vm.prank(_taker);
        _quote.approve(address(_market), 200_999_999);
        uint256 before = _quote.balanceOf(_maker);
        IPositionMarket.Order memory order = _order(0);
        bytes memory signature = _sign(order);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.TransferFailed.selector, address(_quote)));
        _fillWith(order, signature, 10e18);
        assertEq(_quote.balanceOf(_maker), before, "nothing moved");
    }

    function testFuzz_budgetCoversTheFee(uint256 budget) public {
        _useMarket(9999, _FEE_TO);
        budget = bound(budget, 0, 700e6);
        IPositionMarket.FillLimits memory limits = _limits(0, 100e18);
        limits.quoteMax = budget;
        uint256 before = _quote.balanceOf(_taker);
        _fillUpTo(_ladder(0), limits);
        assertLe(before - _quote.balanceOf(_taker), budget, "fee included");
    }

    function _refusesFee(uint32 ppm, address to) private {
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.BadFee.selector, ppm, to));
        _deploy(ppm, to);
    }

    function test_BadFee() public {
        _refusesFee(10_001, _FEE_TO);
        _refusesFee(1, address(0));
        _refusesFee(0, _FEE_TO);
    }
}

contract MarketManyTest is MarketManySuite, OnPositionMarket {}

contract MarketManyReferenceTest is MarketManySuite, OnReferenceMarket {}

/// @notice The same random calls on the market and on its twin end in the same balances and answers.
contract MarketDifferentialTest is MarketFixture, OnPositionMarket {
    function _twin() private returns (IPositionMarket twin) {
        twin = new ReferenceMarket(3000, _FEE_TO);
        _market = new PositionMarket(3000, _FEE_TO);
        assertEq(_market.feePpm(), twin.feePpm(), "fee");
        address[3] memory all = [_maker, _maker2, _taker];
        for (uint256 i = 0; i < 3; ++i) {
            for (uint256 j = 0; j < 2; ++j) {
                vm.startPrank(all[i]);
                _unit.approve(address(j == 0 ? _market : twin), type(uint256).max);
                _quote.approve(address(j == 0 ? _market : twin), type(uint256).max);
                vm.stopPrank();
            }
        }
    }

    function _run(IPositionMarket market, IPositionMarket.Order memory order, uint256 units, uint256 budget)
        private
        returns (bytes32 result)
    {
        uint256 state = vm.snapshotState();
        _market = market;
        IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](2);
        orders[0] = order;
        orders[1] = _order(order.side);
        orders[1].salt = 77;
        IPositionMarket.FillLimits memory limits = _limits(order.side, units);
        limits.quoteMax = budget;
        (uint256 base, uint256 quote) = _fillUpTo(orders, limits);
        (uint256 filled,) = _market.orderState(order);
        result = keccak256(
            abi.encode(
                base, quote, filled, _unit.balanceOf(_taker), _quote.balanceOf(_taker), _quote.balanceOf(_FEE_TO)
            )
        );
        vm.revertToState(state);
    }

    function testFuzz_sameAsTheTwin(uint8 side, uint96 amount, uint128 price, uint256 units, uint256 budget) public {
        IPositionMarket twin = _twin();
        IPositionMarket market = _market;
        IPositionMarket.Order memory order = _order(side % 2);
        order.baseAmount = uint96(bound(amount, 1, 3000e18));
        order.quoteAmount = uint128(bound(price, 1, 3e12));
        units = bound(units, 0, 2000e18);
        budget = bound(budget, 0, 3e12);
        assertEq(_run(market, order, units, budget), _run(twin, order, units, budget), "one result");
    }
}
