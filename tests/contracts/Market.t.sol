// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPositionMarket} from "../../contracts/interfaces/IPositionMarket.sol";
import {MarketFixture, OnPositionMarket, OnReferenceMarket} from "./utils/MarketFixture.sol";
import {Wallet} from "./utils/Mocks.sol";

/// @notice Limit orders: fills, cancels and every way in which they are refused.
abstract contract MarketSuite is MarketFixture {
    /* FILLS */

    function test_fillOfASellOrder() public {
        IPositionMarket.Order memory order = _order(0);
        assertEq(_fill(order, 10e18), 200e6, "quote");
        assertEq(_unit.balanceOf(_taker), 1010e18, "taker units");
        assertEq(_quote.balanceOf(_maker), 1e12 + 200e6, "maker quote");
        (uint256 filled, bool cancelled) = _market.orderState(order);
        assertEq(filled, 10e18, "filled");
        assertTrue(!cancelled, "not cancelled");
    }

    function test_fillOfABuyOrder() public {
        assertEq(_fill(_order(1), 5e18), 100e6, "quote");
        assertEq(_unit.balanceOf(_maker), 1005e18, "maker units");
        assertEq(_quote.balanceOf(_taker), 1e12 + 100e6, "taker quote");
    }

    /// Pieces of any size: the maker never does worse than the price, and the order ends exactly filled.
    function testFuzz_partialFillsRoundAgainstTheTaker(uint8 side, uint96 amount, uint128 price, uint256[4] memory cuts)
        public
    {
        IPositionMarket.Order memory order = _order(side % 2);
        order.baseAmount = uint96(bound(amount, 1, 900e18));
        order.quoteAmount = uint128(bound(price, 1, 1e11));
        uint256 left = order.baseAmount;
        uint256 paid = 0;
        for (uint256 i = 0; i < 5 && left > 0; ++i) {
            uint256 units = i == 4 ? left : bound(cuts[i], 1, left);
            uint256 got = _fill(order, units);
            uint256 exact = uint256(order.quoteAmount) * units;
            if (order.side == 0) assertGe(got * order.baseAmount, exact, "taker pays at least the price");
            else assertLe(got * order.baseAmount, exact, "taker gets at most the price");
            paid += got;
            left -= units;
        }
        if (order.side == 1) assertLe(paid, order.quoteAmount, "a buying maker pays no more than signed");
        else assertGe(paid, order.quoteAmount, "a selling maker gets no less than signed");
        (uint256 filled,) = _market.orderState(order);
        assertEq(filled, order.baseAmount, "all filled");
    }

    function test_contractMaker() public {
        Wallet wallet = new Wallet(_maker);
        _unit.mint(address(wallet), 10e18);
        wallet.call(address(_unit), abi.encodeCall(_unit.approve, (address(_market), 10e18)));
        IPositionMarket.Order memory order = _order(0);
        order.maker = address(wallet);
        assertEq(_fill(order, 10e18), 200e6, "quote");
        assertEq(_quote.balanceOf(address(wallet)), 200e6, "paid to the wallet");
        order.salt = 2;
        bytes memory wrong = signatureOf(0xBAD, _market.orderHash(order));
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, address(wallet)));
        vm.prank(_taker);
        _market.fill(order, wrong, 1);
    }

    function test_namedTakerFills() public {
        IPositionMarket.Order memory order = _order(0);
        order.taker = _taker;
        assertEq(_fill(order, 1e18), 20e6, "quote");
    }

    /* ERRORS */

    function test_OrderExpired() public {
        IPositionMarket.Order memory order = _order(0);
        skip(60);
        _refusesFill(order, 1, abi.encodeWithSelector(IPositionMarket.OrderExpired.selector, order.expiry));
    }

    function test_OrderIsCancelled() public {
        IPositionMarket.Order memory order = _order(0);
        _fill(order, 1e18);
        vm.prank(_maker);
        _market.cancel(order);
        bytes32 hash = _market.orderHash(order);
        _refusesFill(order, 1, abi.encodeWithSelector(IPositionMarket.OrderIsCancelled.selector, hash));
        (uint256 filled, bool cancelled) = _market.orderState(order);
        assertTrue(cancelled && filled == 1e18, "state keeps what was filled");
    }

    function test_groupCancelKillsTheWholeLadder() public {
        vm.prank(_maker);
        _market.cancelGroup(7);
        for (uint64 salt = 0; salt < 3; ++salt) {
            IPositionMarket.Order memory order = _order(0);
            order.salt = salt;
            bytes32 hash = _market.orderHash(order);
            _refusesFill(order, 1, abi.encodeWithSelector(IPositionMarket.OrderIsCancelled.selector, hash));
        }
        IPositionMarket.Order memory other = _order(0);
        other.group = 8;
        _fill(other, 1e18);
    }

    /// Groups beyond those in the maker's word have words of their own.
    function test_groupBeyondTheMakersWord() public {
        IPositionMarket.Order memory order = _order(0);
        order.group = 300;
        _fill(order, 1e18);
        vm.prank(_maker);
        _market.cancelGroup(300);
        bytes32 hash = _market.orderHash(order);
        _refusesFill(order, 1, abi.encodeWithSelector(IPositionMarket.OrderIsCancelled.selector, hash));
        order.group = 301;
        _fill(order, 1e18);
    }

    function test_Overfill() public {
        IPositionMarket.Order memory order = _order(0);
        _fill(order, 6e18);
        bytes32 hash = _market.orderHash(order);
        _refusesFill(order, 5e18, abi.encodeWithSelector(IPositionMarket.Overfill.selector, hash, 4e18, 5e18));
    }

    function test_InvalidSignature() public {
        IPositionMarket.Order memory order = _order(0);
        bytes memory signature = _sign(order);
        order.quoteAmount = 1;
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, _maker));
        vm.prank(_taker);
        _market.fill(order, signature, 1);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, _maker));
        vm.prank(_taker);
        _market.fill(order, "", 1);
    }

    function test_WrongTaker() public {
        IPositionMarket.Order memory order = _order(0);
        order.taker = address(0x77);
        _refusesFill(order, 1, abi.encodeWithSelector(IPositionMarket.WrongTaker.selector, address(0x77)));
    }

    function test_NotTheMaker() public {
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.NotTheMaker.selector, _maker));
        vm.prank(_taker);
        _market.cancel(_order(0));
    }

    function test_BadOrder() public {
        bytes memory bad = abi.encodeWithSelector(IPositionMarket.BadOrder.selector);
        _refusesFill(_order(2), 1, bad);
        IPositionMarket.Order memory order = _order(0);
        order.quoteAmount = 0;
        _refusesFill(order, 1, bad);
        order = _order(0);
        order.baseAmount = 0;
        _refusesFill(order, 1, bad);
        order = _order(0);
        order.quote = order.base;
        _refusesFill(order, 1, bad);
    }

    function test_ZeroFill() public {
        _refusesFill(_order(0), 0, abi.encodeWithSelector(IPositionMarket.ZeroFill.selector));
    }

    function test_TransferFailed() public {
        IPositionMarket.Order memory order = _order(0);
        vm.prank(_maker);
        _unit.approve(address(_market), 0);
        _refusesFill(order, 1, abi.encodeWithSelector(IPositionMarket.TransferFailed.selector, address(_unit)));
        order.base = address(0x1234);
        _refusesFill(order, 1, abi.encodeWithSelector(IPositionMarket.TransferFailed.selector, address(0x1234)));
    }

    function test_domain() public view {
        bytes32 typeHash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 name = keccak256("Liquid Hashrate PositionMarket");
        bytes32 expected = keccak256(abi.encode(typeHash, name, keccak256("1"), block.chainid, address(_market)));
        assertEq(_market.DOMAIN_SEPARATOR(), expected, "domain");
    }
}

contract MarketTest is MarketSuite, OnPositionMarket {}

contract MarketReferenceTest is MarketSuite, OnReferenceMarket {}
