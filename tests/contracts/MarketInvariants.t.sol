// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DemoQuote} from "../../contracts/DemoQuote.sol";
import {IPositionMarket} from "../../contracts/interfaces/IPositionMarket.sol";
import {MarketFixture, OnPositionMarket, OnReferenceMarket} from "./utils/MarketFixture.sol";
import {PlainToken} from "./utils/Mocks.sol";
import {Test} from "./utils/Test.sol";

/// @notice Three makers, who are takers too, and a book of orders that are filled, matched, posted and cancelled at random.
contract MarketHandler is Test {
    IPositionMarket private immutable _market;
    PlainToken private immutable _unit;
    DemoQuote private immutable _quote;
    IPositionMarket.Order[] private _orders;
    mapping(uint256 order => bool) public dead;
    mapping(uint256 order => uint256) public filledWhenDead;
    mapping(uint256 order => uint256) public given;
    mapping(uint256 order => uint256) public paid;

    constructor(IPositionMarket market, PlainToken unit, DemoQuote quote) {
        (_market, _unit, _quote) = (market, unit, quote);
        for (uint64 i = 0; i < 12; ++i) {
            _orders.push(
                IPositionMarket.Order({
                    maker: vm.addr(1 + i % 3),
                    taker: address(0),
                    base: address(unit),
                    quote: address(quote),
                    side: uint8(i / 3 % 2),
                    baseAmount: uint96(1 + i * 7e17),
                    quoteAmount: uint128(1 + i * 13e6 + (i / 3 % 2) * 5e6),
                    expiry: uint40(block.timestamp + 1000 * EPOCH),
                    group: i < 9 ? i % 4 : 300 + i % 2,
                    salt: i
                })
            );
        }
    }

    function count() external view returns (uint256) {
        return _orders.length;
    }

    function order(uint256 i) external view returns (IPositionMarket.Order memory) {
        return _orders[i];
    }

    function _signed(uint256 i) private view returns (bytes memory) {
        return signatureOf(1 + i % 3, _market.orderHash(_orders[i]));
    }

    function _count(uint256 i, uint256 base, uint256 quote) private {
        given[i] += base;
        paid[i] += quote;
    }

    function fill(uint256 i, uint256 who, uint256 units) external {
        i = i % _orders.length;
        bytes memory signature = _signed(i);
        units = bound(units, 0, _orders[i].baseAmount + 1);
        vm.prank(vm.addr(1 + who % 3));
        try _market.fill(_orders[i], signature, units) returns (uint256 quote) {
            _count(i, units, quote);
        } catch {}
    }

    function fillUpTo(uint256 i, uint256 who, uint256 units, uint256 budget) external {
        i = i % _orders.length;
        IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](1);
        orders[0] = _orders[i];
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = _signed(i);
        uint128 worst = orders[0].side == 0 ? type(uint128).max : 0;
        IPositionMarket.FillLimits memory limits = IPositionMarket.FillLimits(
            address(_unit), address(_quote), orders[0].side, bound(units, 0, 2e19), 0, bound(budget, 0, 3e8), worst
        );
        vm.prank(vm.addr(1 + who % 3));
        (uint256 base, uint256 quote) = _market.fillUpTo(orders, signatures, limits);
        _count(i, base, quote);
    }

    function matchOrders(uint256 i, uint256 j, uint256 units) external {
        (i, j) = (i % _orders.length, j % _orders.length);
        (bytes memory s, bytes memory b) = (_signed(i), _signed(j));
        try _market.matchOrders(_orders[i], s, _orders[j], b, bound(units, 1, 2e19)) returns (
            uint256 base, uint256 quote
        ) {
            _count(i, base, quote);
            _count(j, base, quote);
        } catch {}
    }

    function post(uint256 i) external {
        i = i % _orders.length;
        vm.prank(_orders[i].maker);
        try _market.post(_orders[i]) {} catch {}
    }

    function cancel(uint256 i) external {
        i = i % _orders.length;
        vm.prank(_orders[i].maker);
        _market.cancel(_orders[i]);
        _bury(i);
    }

    function cancelGroup(uint256 i) external {
        i = i % _orders.length;
        vm.prank(_orders[i].maker);
        _market.cancelGroup(_orders[i].group);
        for (uint256 j = 0; j < _orders.length; ++j) {
            if (_orders[j].maker == _orders[i].maker && _orders[j].group == _orders[i].group) _bury(j);
        }
    }

    function cancelAll(uint256 who) external {
        // rarely, or nothing would be left to fill
        if (who % 5 != 0) return;
        address maker = vm.addr(1 + who % 3);
        vm.prank(maker);
        _market.cancelAll();
        for (uint256 j = 0; j < _orders.length; ++j) {
            if (_orders[j].maker == maker) _bury(j);
        }
    }

    function _bury(uint256 i) private {
        if (dead[i]) return;
        dead[i] = true;
        filledWhenDead[i] = given[i];
    }
}

abstract contract MarketInvariantSuite is MarketFixture {
    MarketHandler private _handler;

    function _prepare() internal virtual override {
        for (uint256 key = 1; key < 4; ++key) {
            _fund(vm.addr(key));
        }
        _handler = new MarketHandler(_market, _unit, _quote);
        bytes4[] memory selectors = new bytes4[](7);
        selectors[0] = MarketHandler.fill.selector;
        selectors[1] = MarketHandler.fillUpTo.selector;
        selectors[2] = MarketHandler.matchOrders.selector;
        selectors[3] = MarketHandler.post.selector;
        selectors[4] = MarketHandler.cancel.selector;
        selectors[5] = MarketHandler.cancelGroup.selector;
        selectors[6] = MarketHandler.cancelAll.selector;
        target(address(_handler), selectors);
    }

    function invariant_bothTokensAreConservedBetweenTheParties() public view {
        uint256 units;
        uint256 quote;
        for (uint256 key = 1; key < 4; ++key) {
            units += _unit.balanceOf(vm.addr(key));
            quote += _quote.balanceOf(vm.addr(key));
        }
        assertEq(units, 3000e18, "units");
        assertEq(quote, 3e12, "quote");
        assertEq(_unit.balanceOf(address(_market)) + _quote.balanceOf(address(_market)), 0, "the market holds nothing");
    }

    function invariant_noOrderFillsBeyondItsAmountOrPrice() public view {
        for (uint256 i = 0; i < _handler.count(); ++i) {
            IPositionMarket.Order memory order = _handler.order(i);
            (uint256 filled,) = _market.orderState(order);
            assertEq(filled, _handler.given(i), "filled is what was given");
            assertLe(filled, order.baseAmount, "amount");
            uint256 paid = _handler.paid(i) * order.baseAmount;
            uint256 exact = filled * order.quoteAmount;
            if (order.side == 0) assertGe(paid, exact, "a selling maker gets its price");
            else assertLe(paid, exact, "a buying maker pays no more than its price");
        }
    }

    function invariant_cancelledNeverFills() public view {
        for (uint256 i = 0; i < _handler.count(); ++i) {
            if (!_handler.dead(i)) continue;
            (uint256 filled, bool cancelled) = _market.orderState(_handler.order(i));
            assertTrue(cancelled, "for ever");
            assertEq(filled, _handler.filledWhenDead(i), "no fill since");
        }
    }
}

contract MarketInvariantTest is MarketInvariantSuite, OnPositionMarket {
    function _prepare() internal override(MarketFixture, MarketInvariantSuite) {
        super._prepare();
    }
}

contract MarketReferenceInvariantTest is MarketInvariantSuite, OnReferenceMarket {
    function _prepare() internal override(MarketFixture, MarketInvariantSuite) {
        super._prepare();
    }
}
