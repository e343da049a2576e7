// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {PositionMarket} from "../../contracts/PositionMarket.sol";
import {IPositionMarket} from "../../contracts/interfaces/IPositionMarket.sol";
import {MarketFixture, OnPositionMarket} from "./utils/MarketFixture.sol";

/// @notice Edges of the market: which group dies, what is logged of a fill, what a budget with a fee buys to the unit.
contract MarketRulesTest is MarketFixture, OnPositionMarket {
    uint32 private constant _FEE = 5000;

    /* MAKERS */

    /// Groups on both sides of every word's end: the one that is cancelled dies, and no other.
    function test_groupsAtTheEndsOfTheirWords() public {
        uint64[12] memory ids = [uint64(0), 1, 31, 32, 223, 224, 225, 255, 256, 479, 480, type(uint32).max];
        for (uint256 i = 0; i < ids.length; ++i) {
            uint256 state = vm.snapshotState();
            vm.expectEmit(true, true, true, true, address(_market));
            emit IPositionMarket.GroupCancelled(_maker, ids[i]);
            vm.prank(_maker);
            _market.cancelGroup(ids[i]);
            for (uint256 j = 0; j < ids.length; ++j) {
                IPositionMarket.Order memory order = _order(0);
                order.group = ids[j];
                (, bool cancelled) = _market.orderState(order);
                assertTrue(cancelled == (i == j), "itself alone");
                if (i != j) _fill(order, 1e18);
                else _refusesFill(order, 1, _cancelled(order));
            }
            assertEq(_market.makerEpoch(_maker), 0, "the epoch stays");
            vm.revertToState(state);
        }
    }

    function _cancelled(IPositionMarket.Order memory order) private view returns (bytes memory) {
        return abi.encodeWithSelector(IPositionMarket.OrderIsCancelled.selector, _market.orderHash(order));
    }

    /// A group that is dead already is logged, and the one of the present epoch with its number lives.
    function test_aGroupOfAnEarlierEpochIsOnlyLogged() public {
        vm.startPrank(_maker);
        vm.expectEmit(true, true, true, true, address(_market));
        emit IPositionMarket.MakerEpochBumped(_maker, 1);
        _market.cancelAll();
        for (uint64 id = 7; id < 300; id += 292) {
            vm.expectEmit(true, true, true, true, address(_market));
            emit IPositionMarket.GroupCancelled(_maker, id);
            _market.cancelGroup(id);
        }
        vm.stopPrank();
        for (uint64 id = 7; id < 300; id += 292) {
            IPositionMarket.Order memory order = _order(0);
            order.group = 1 << 32 | id;
            assertEq(_fill(order, 1e18), 20e6, "lives");
        }
    }

    /// To post an order changes nothing of what was filled, and a signature that is brought is checked all the same.
    function test_aPostedOrderKeepsWhatWasFilled() public {
        IPositionMarket.Order memory order = _order(0);
        _fill(order, 3e18);
        vm.prank(_maker);
        _market.post(order);
        (uint256 filled, bool cancelled) = _market.orderState(order);
        assertTrue(filled == 3e18 && !cancelled, "kept");
        bytes memory wrong = signatureOf(_KEY2, _market.orderHash(order));
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, _maker));
        _fillWith(order, wrong, 1e18);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, _maker));
        _fillWith(order, hex"01", 1e18);
        assertEq(_fillWith(order, "", 7e18), 140e6, "the rest");
        bytes32 hash = _market.orderHash(order);
        vm.expectEmit(true, true, true, true, address(_market));
        emit IPositionMarket.OrderCancelled(hash, _maker);
        vm.prank(_maker);
        _market.cancel(order);
        (filled, cancelled) = _market.orderState(order);
        assertTrue(filled == 10e18 && cancelled, "and after");
    }

    /// An order lives until the second before it expires.
    function test_theLastSecondOfAnOrder() public {
        IPositionMarket.Order memory order = _order(0);
        IPositionMarket.RfqOrder memory rfq = _rfq(0, 1);
        skip(59);
        uint256 state = vm.snapshotState();
        assertEq(_fill(order, 1e18), 20e6, "filled");
        bytes memory signature = _signRfq(rfq);
        vm.prank(_taker);
        assertEq(_market.fillRfq(rfq, signature), 200e6, "quoted");
        vm.revertToState(state);
        skip(1);
        _refusesFill(order, 1e18, abi.encodeWithSelector(IPositionMarket.OrderExpired.selector, order.expiry));
        _refusesRfq(rfq, abi.encodeWithSelector(IPositionMarket.OrderExpired.selector, rfq.expiry));
    }

    /* CONSTRUCTION */

    /// @dev A call of its own, so that a constructor's revert is that call's.
    function deploy(uint32 ppm, address to) external returns (PositionMarket) {
        return new PositionMarket(ppm, to);
    }

    /// A fee of at most a hundredth, and somebody to take it; or neither.
    function test_feesThatCanBe() public {
        uint32[6] memory ppm = [uint32(0), 1, 10_000, 10_001, 1, 0];
        address[6] memory to = [address(0), _FEE_TO, _FEE_TO, _FEE_TO, address(0), _FEE_TO];
        for (uint256 i = 0; i < 6; ++i) {
            if (i > 2) vm.expectRevert(abi.encodeWithSelector(IPositionMarket.BadFee.selector, ppm[i], to[i]));
            PositionMarket made = this.deploy(ppm[i], to[i]);
            if (i > 2) continue;
            assertTrue(made.feePpm() == ppm[i] && made.feeTo() == to[i], "as asked");
        }
    }

    /* FILLS */

    function _filled(IPositionMarket.Order memory order, address taker, uint256 units, uint256 price, uint256 left)
        private
    {
        bytes32 hash = _market.orderHash(order);
        vm.expectEmit(true, true, true, true, address(_market));
        emit IPositionMarket.OrderFilled(
            hash, order.maker, taker, order.base, order.quote, order.side, units, price, left
        );
    }

    function _paidFee(bytes32 hash, uint256 fee) private {
        vm.expectEmit(true, true, true, true, address(_market));
        emit IPositionMarket.FeePaid(hash, address(_quote), fee);
    }

    /// Each fill says what was moved at what price, what is left of the order, and what the fee was.
    function test_whatIsLoggedOfAFill() public {
        _useMarket(_FEE, _FEE_TO);
        for (uint8 side = 0; side < 2; ++side) {
            IPositionMarket.Order memory order = _order(side);
            bytes32 hash = _market.orderHash(order);
            _filled(order, _taker, 4e18, 80e6, 6e18);
            _paidFee(hash, 400_000);
            _fill(order, 4e18);
            _filled(order, _taker, 6e18, 120e6, 0);
            _paidFee(hash, 600_000);
            _fill(order, 6e18);
        }
    }

    function test_whatIsLoggedOfAQuote() public {
        _useMarket(_FEE, _FEE_TO);
        for (uint8 side = 0; side < 2; ++side) {
            IPositionMarket.RfqOrder memory order = _rfq(side, side);
            order.taker = _taker;
            bytes32 hash = _market.rfqHash(order);
            bytes memory signature = _signRfq(order);
            (address unit_, address quote_) = (address(_unit), address(_quote));
            vm.expectEmit(true, true, true, true, address(_market));
            emit IPositionMarket.OrderFilled(hash, _maker, _taker, unit_, quote_, side, 10e18, 200e6, 0);
            _paidFee(hash, 1e6);
            uint256 had = _quote.balanceOf(_taker);
            vm.prank(_taker);
            _market.fillRfq(order, signature);
            uint256 has = _quote.balanceOf(_taker);
            assertTrue(side == 0 ? had - has == 201e6 : has - had == 199e6, "the taker bears the fee");
        }
        assertEq(_quote.balanceOf(_FEE_TO), 2e6, "both");
    }

    function test_whatIsLoggedOfAMatch() public {
        _useMarket(_FEE, _FEE_TO);
        IPositionMarket.Order memory sell = _order(0);
        IPositionMarket.Order memory buy = _order(1);
        (buy.maker, buy.quoteAmount) = (_maker2, 210e6);
        _fill(sell, 1e18);
        (bytes memory s, bytes memory b) = (_sign(sell), _sign(buy));
        bytes32 hash = _market.orderHash(sell);
        // 9 units are bid 189e6, of which the fee is 945,000, and asked 180e6
        _filled(sell, _maker2, 9e18, 184_027_500, 0);
        _filled(buy, _maker, 9e18, 184_027_500, 1e18);
        _paidFee(hash, 945_000);
        (uint256 base, uint256 quote) = _market.matchOrders(sell, s, buy, b, 100e18);
        assertTrue(base == 9e18 && quote == 184_027_500, "answer");
        (uint256 filled,) = _market.orderState(buy);
        assertEq(filled, 9e18, "recorded");
    }

    /// One is enough: a unit of base, a unit of quote, a unit of fee, a millionth of a fee.
    function test_theSmallestOrders() public {
        _useMarket(1, _FEE_TO);
        for (uint8 side = 0; side < 2; ++side) {
            IPositionMarket.Order memory order = _order(side);
            (order.baseAmount, order.quoteAmount) = (1, 1);
            assertEq(_fill(order, 1), 1, "a fill");
            order.salt = 2;
            IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](1);
            orders[0] = order;
            (uint256 base, uint256 quote) = _fillUpTo(orders, _limits(side, 1));
            assertTrue(base == 1 && quote == 1, "a fill of many");
            IPositionMarket.RfqOrder memory rfq = _rfq(side, side);
            (rfq.baseAmount, rfq.quoteAmount) = (1, 1);
            bytes memory signature = _signRfq(rfq);
            vm.prank(_taker);
            assertEq(_market.fillRfq(rfq, signature), 1, "a quote");
        }
        IPositionMarket.Order memory sell = _order(0);
        IPositionMarket.Order memory buy = _order(1);
        (buy.maker, sell.salt) = (_maker2, 3);
        (sell.baseAmount, sell.quoteAmount, buy.baseAmount, buy.quoteAmount) = (1, 1, 1, 1);
        (bytes memory s, bytes memory b) = (_sign(sell), _sign(buy));
        (uint256 one,) = _market.matchOrders(sell, s, buy, b, 1);
        assertEq(one, 1, "a match");
        assertEq(_quote.balanceOf(_FEE_TO), 0, "no fee of so little");
        for (uint128 price = 1e6 - 1; price <= 2e6; price += 1_000_000) {
            sell = _order(0);
            (sell.quoteAmount, sell.salt) = (price, 4);
            _fill(sell, 10e18);
            assertEq(_quote.balanceOf(_FEE_TO), price / 1e6, "a millionth, rounded down");
        }
    }

    /// Two prices meet when the fee just fits between them; the seller's half of an odd rest is the smaller one.
    function test_aMatchAtTheEdge() public {
        _useMarket(_FEE, _FEE_TO);
        uint128[4] memory asks = [uint128(199_994_996), 199_994_999, 199_995_000, 199_995_001];
        for (uint64 i = 0; i < 4; ++i) {
            IPositionMarket.Order memory sell = _order(0);
            IPositionMarket.Order memory buy = _order(1);
            (buy.maker, buy.quoteAmount, sell.quoteAmount) = (_maker2, 201e6, asks[i]);
            (sell.salt, buy.salt) = (i, i);
            (bytes memory s, bytes memory b) = (_sign(sell), _sign(buy));
            bytes memory why = abi.encodeWithSelector(IPositionMarket.NotCrossed.selector, asks[i], 201e6);
            if (i == 3) vm.expectRevert(why);
            (, uint256 quote) = _market.matchOrders(sell, s, buy, b, 10e18);
            if (i != 3) assertEq(quote, asks[i] + (199_995_000 - asks[i]) / 2, "price");
        }
    }

    /// Makers match only over one pair, from two sides, and never with themselves.
    function test_aMatchIsOfOnePair() public {
        for (uint256 i = 0; i < 5; ++i) {
            IPositionMarket.Order memory sell = _order(0);
            IPositionMarket.Order memory buy = _order(1);
            (buy.maker, buy.quoteAmount) = (_maker2, 210e6);
            if (i == 0) sell.base = address(0x77);
            if (i == 1) sell.quote = address(0x77);
            if (i == 2) sell.side = 1;
            if (i == 3) buy.side = 0;
            if (i == 4) buy.maker = _maker;
            (bytes memory s, bytes memory b) = (_sign(sell), _sign(buy));
            vm.expectRevert(IPositionMarket.BadMatch.selector);
            _market.matchOrders(sell, s, buy, b, 10e18);
        }
    }

    /* MANY ORDERS */

    function _ladder(uint8 side) private view returns (IPositionMarket.Order[] memory orders) {
        orders = new IPositionMarket.Order[](3);
        for (uint64 i = 0; i < 3; ++i) {
            orders[i] = _order(side);
            (orders[i].salt, orders[i].quoteAmount) = (i, 200e6 + i * 10e6);
        }
    }

    /// A budget of two orders with their fees buys those two, to the unit; one more unit of quote buys more.
    function test_aBudgetBuysWithItsFees() public {
        _useMarket(_FEE, _FEE_TO);
        uint256[4] memory budgets = [uint256(201e6), 201e6 + 211_050_000, 201e6 + 211_050_000 + 221, 633_150_000];
        uint256[4] memory bought = [uint256(10e18), 20e18, 20e18 + 9_954_545_454_545, 30e18];
        for (uint256 i = 0; i < 4; ++i) {
            uint256 state = vm.snapshotState();
            IPositionMarket.FillLimits memory limits = _limits(0, 100e18);
            limits.quoteMax = budgets[i];
            uint256 had = _quote.balanceOf(_taker);
            (uint256 base,) = _fillUpTo(_ladder(0), limits);
            assertEq(base, bought[i], "units");
            assertLe(had - _quote.balanceOf(_taker), budgets[i], "within the budget");
            vm.revertToState(state);
        }
    }

    /// A seller's budget is its units alone; what it gets is told without the fee it leaves.
    function test_aSellerHasNoQuoteBudget() public {
        _useMarket(_FEE, _FEE_TO);
        IPositionMarket.FillLimits memory limits = _limits(1, 25e18);
        (limits.quoteMax, limits.baseMin) = (0, 25e18);
        uint256 had = _quote.balanceOf(_taker);
        (uint256 base, uint256 quote) = _fillUpTo(_ladder(1), limits);
        assertTrue(base == 25e18 && quote == 200e6 + 210e6 + 110e6, "just what was asked for");
        assertEq(_quote.balanceOf(_taker) - had, 520e6 - 2_600_000, "less the fee");
    }

    /// What was asked for as the least is enough; a unit less is not, and then nothing moves.
    function test_theLeastIsEnough() public {
        IPositionMarket.Order[] memory orders = _ladder(0);
        bytes[] memory signatures = new bytes[](3);
        for (uint256 i = 0; i < 3; ++i) {
            signatures[i] = _sign(orders[i]);
        }
        IPositionMarket.FillLimits memory limits = _limits(0, 100e18);
        limits.baseMin = 30e18 + 1;
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.FilledTooLittle.selector, 30e18, 30e18 + 1));
        vm.prank(_taker);
        _market.fillUpTo(orders, signatures, limits);
        limits.baseMin = 30e18;
        (uint256 base,) = _fillUpTo(orders, limits);
        assertEq(base, 30e18, "all");
    }

    /// Only orders of the pair and side that were asked for are taken, and none past the worst price.
    function test_ordersOutsideTheLimitsAreSkipped() public {
        for (uint8 side = 0; side < 2; ++side) {
            for (uint256 i = 0; i < 5; ++i) {
                uint256 state = vm.snapshotState();
                IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](1);
                orders[0] = _order(side);
                IPositionMarket.FillLimits memory limits = _limits(side, 10e18);
                limits.worstPrice = 20e6;
                if (i == 1) limits.base = address(0x77);
                if (i == 2) limits.quote = address(0x77);
                if (i == 3) limits.side = 1 - side;
                if (i == 4) limits.worstPrice = side == 0 ? 20e6 - 1 : 20e6 + 1;
                (uint256 base,) = _fillUpTo(orders, limits);
                assertEq(base, i == 0 ? 10e18 : 0, "taken or not");
                vm.revertToState(state);
            }
        }
    }

    /// A maker's order reaches as far as both what it holds and what it has approved.
    function test_aMakerGivesWhatItHoldsAndApproved() public {
        for (uint256 i = 0; i < 4; ++i) {
            uint256 state = vm.snapshotState();
            uint8 side = uint8(i / 2);
            IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](1);
            orders[0] = _order(side);
            vm.startPrank(_maker);
            if (i == 0) _unit.transfer(address(9), 1000e18 - 3e18);
            if (i == 1) _unit.approve(address(_market), 3e18);
            if (i == 2) _quote.transfer(address(9), 1e12 - 60e6);
            if (i == 3) _quote.approve(address(_market), 60e6);
            vm.stopPrank();
            (uint256 base, uint256 quote) = _fillUpTo(orders, _limits(side, 10e18));
            assertTrue(base == 3e18 && quote == 60e6, "three units");
            vm.revertToState(state);
        }
    }
}
