// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {PositionMarket} from "../../contracts/PositionMarket.sol";
import {Repositioner} from "../../contracts/Repositioner.sol";
import {IPositionMarket} from "../../contracts/interfaces/IPositionMarket.sol";
import {IRepositioner} from "../../contracts/interfaces/IRepositioner.sol";
import {ISeriesRegistry} from "../../contracts/interfaces/ISeriesRegistry.sol";
import {PlainToken} from "./utils/Mocks.sol";
import {OnBuybackPool} from "./utils/PoolFixture.sol";

/// @notice What the repositioner asks of registry and sale.
contract FixedSale {
    address public immutable quoteToken;
    mapping(uint16 series => address) private _units;
    mapping(address account => bool) public isVenue;
    uint256 public price;
    address private _callee;
    bytes private _call;
    bytes public answer;

    constructor(address quote, address one, address two, address pool) {
        (quoteToken, _units[1], _units[2], isVenue[pool]) = (quote, one, two, true);
    }

    function addVenue(address venue) external {
        isVenue[venue] = true;
    }

    function setPrice(uint256 price_) external {
        price = price_;
    }

    function onBuy(address callee, bytes calldata call) external {
        (_callee, _call) = (callee, call);
    }

    function series(uint16 id) external view returns (ISeriesRegistry.Series memory s) {
        s.unit = _units[id];
    }

    function quoteBuy(uint16, uint256 units) public view returns (uint256) {
        require(price != 0, "stale");
        return (price * units + 1e18 - 1) / 1e18;
    }

    function buy(uint16 id, uint256 units, uint256 maxQuote, address to) external returns (uint256 quote) {
        if (_callee != address(0)) (, answer) = _callee.call(_call);
        quote = quoteBuy(id, units);
        require(quote <= maxQuote, "max");
        PlainToken(quoteToken).transferFrom(msg.sender, address(this), quote);
        PlainToken(_units[id]).transfer(to, units);
    }
}

/// @notice From series 1 (pool at 20, quote 6 decimals) into series 2 (sale at 40), with orders beside both.
contract RepositionerTest is OnBuybackPool {
    PositionMarket private _market;
    Repositioner private _repositioner;
    PlainToken private _unit2;
    FixedSale private _sale;
    uint256 private constant _KEY = 0xA11CE;
    uint256 private constant _HOLDER_KEY = 0xB0B;
    address private _maker;
    address private _holder;

    function setUp() public override {
        super.setUp();
        vm.prank(actor(0));
        _pool.deposit(1_000_000e6);
        _nextEpoch();
        vm.prank(actor(1));
        _pool.roll();
        _unit2 = new PlainToken(address(this));
        _sale = new FixedSale(address(_quote), address(_unit), address(_unit2), address(_pool));
        _sale.setPrice(40e6);
        _unit2.mint(address(_sale), 1000e18);
        _market = new PositionMarket(0, address(0));
        _repositioner = new Repositioner(address(_market), address(_sale), address(_sale));
        (_maker, _holder) = (vm.addr(_KEY), vm.addr(_HOLDER_KEY));
        _quote.mint(_maker, 1e12);
        _unit2.mint(_maker, 1000e18);
        _unit.mint(_holder, 1000e18);
        vm.startPrank(_maker);
        _quote.approve(address(_market), type(uint256).max);
        _unit2.approve(address(_market), type(uint256).max);
        vm.stopPrank();
        vm.prank(_holder);
        _unit.approve(address(_repositioner), type(uint256).max);
    }

    function _move(uint256 units, uint256 minUnits) private view returns (IRepositioner.Move memory) {
        return IRepositioner.Move(1, 2, units, minUnits, address(_pool), uint40(block.timestamp));
    }

    function _orders(uint8 side, uint96 base, uint128 quote) private view returns (bytes memory) {
        IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](1);
        address unit = side == 0 ? address(_unit2) : address(_unit);
        uint40 expiry = uint40(block.timestamp + 60);
        orders[0] = IPositionMarket.Order(_maker, address(0), unit, address(_quote), side, base, quote, expiry, 0, 1);
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = signatureOf(_KEY, _market.orderHash(orders[0]));
        return abi.encode(orders, signatures);
    }

    function _reposition(IRepositioner.Move memory move, bytes memory sellInto, bytes memory buyFrom)
        private
        returns (uint256 received)
    {
        vm.prank(_holder);
        received = _repositioner.reposition(move, sellInto, buyFrom);
        _holdsNothing();
        assertEq(_unit2.balanceOf(_holder), received, "received");
    }

    function _holdsNothing() private view {
        address it = address(_repositioner);
        assertEq(_unit.balanceOf(it) + _unit2.balanceOf(it) + _quote.balanceOf(it), 0, "holds nothing");
        assertEq(_unit.allowance(it, address(_pool)) + _unit.allowance(it, address(_market)), 0, "approves nothing");
        assertEq(_quote.allowance(it, address(_sale)) + _quote.allowance(it, address(_market)), 0, "nor quote");
    }

    function test_poolAndSale() public {
        uint256 quote = _pool.quoteSell(100e18);
        uint256 received = _reposition(_move(100e18, 1), "", "");
        assertEq(received, quote * 1e18 / 40e6, "all of the pool's price, at the sale's price");
        assertEq(_unit.balanceOf(_holder), 900e18, "sold");
        assertLe(_quote.balanceOf(_holder), 1, "less than the next unit is returned");
    }

    function test_betterOrdersComeFirst() public {
        uint256 rest = _pool.quoteSell(60e18);
        // 40 units at 25 beat the pool, 20 units at 30 beat the sale
        uint256 received = _reposition(_move(100e18, 1), _orders(1, 40e18, 1000e6), _orders(0, 20e18, 600e6));
        uint256 quote = 1000e6 + rest - 600e6;
        assertEq(received, 20e18 + quote * 1e18 / 40e6, "orders, then pool and sale");
    }

    function test_worseOrdersAreLeft() public {
        _reposition(_move(100e18, 1), _orders(1, 40e18, 400e6), _orders(0, 20e18, 1600e6));
        assertEq(_unit.balanceOf(_maker), 0, "a bid of 10 is left");
        assertEq(_unit2.balanceOf(_maker), 1000e18, "an ask of 80 is left");
    }

    function test_worseOrdersServeWhenPoolAndSaleDoNot() public {
        _values.set(20e6, 21e6, false, epochNow() - 1);
        _sale.setPrice(0);
        uint256 received = _reposition(_move(40e18, 10e18), _orders(1, 40e18, 800e6), _orders(0, 20e18, 1600e6));
        assertEq(received, 10e18, "800 buys ten at 80");
    }

    function test_soldOutSaleLeavesTheRestToOrders() public {
        vm.prank(address(_sale));
        _unit2.transfer(actor(9), 990e18);
        uint256 quote = _pool.quoteSell(100e18);
        uint256 received = _reposition(_move(100e18, 1), "", _orders(0, 100e18, 8000e6));
        assertGe(received, 10e18 + (quote - 400e6) * 1e18 / 80e6 - 1e12, "ten from the sale, the rest at 80");
    }

    function test_whatCannotBeSoldOrSpentReturns() public {
        _values.set(20e6, 21e6, false, epochNow() - 1);
        assertEq(_reposition(_move(40e18, 0), "", ""), 0, "nothing moved");
        assertEq(_unit.balanceOf(_holder), 1000e18, "units are back");
        _refresh();
        _sale.setPrice(0);
        uint256 quote = _pool.quoteSell(40e18);
        _reposition(_move(40e18, 0), "", "");
        assertEq(_quote.balanceOf(_holder), quote, "the quote is the holder's");
    }

    /// More than the bucket holds: the pool refuses, and what it had beaten is better than nothing.
    function test_ordersThatThePoolBeatServeWhenItRefuses() public {
        _unit.mint(_holder, 4000e18);
        assertGe(_pool.quoteSell(5000e18), 50_000e6 + 1, "beyond the bucket");
        uint256 received = _reposition(_move(5000e18, 0), _orders(1, 40e18, 400e6), "");
        assertEq(received, 10e18, "400 buys ten at 40");
        assertEq(_unit.balanceOf(_maker), 40e18, "a bid of 10 serves");
        assertEq(_unit.balanceOf(_holder), 4960e18, "the rest is back");
    }

    function test_withoutAPoolOrdersServeAtAnyPrice() public {
        IRepositioner.Move memory move = _move(40e18, 0);
        move.pool = address(0);
        assertEq(_reposition(move, _orders(1, 40e18, 400e6), ""), 10e18, "400 buys ten at 40");
        assertEq(_unit.balanceOf(_maker), 40e18, "a bid of 10 serves");
    }

    function test_nothingToMoveTakesNoOrder() public {
        assertEq(_reposition(_move(0, 0), _orders(1, 40e18, 1000e6), _orders(0, 20e18, 600e6)), 0, "nothing");
        assertEq(_unit.balanceOf(_maker), 0, "no bid is filled");
        assertEq(_unit2.balanceOf(_maker), 1000e18, "no ask is filled");
    }

    function testFuzz_neverLessThanPoolAndSaleAlone(uint96 units, uint96 base, uint64 bid, uint64 ask) public {
        units = uint96(bound(units, 1e15, 500e18));
        base = uint96(bound(base, 1e15, 300e18));
        uint256 alone = _pool.quoteSell(units) * 1e18 / 40e6;
        bytes memory bids = _orders(1, base, uint128(bound(bid, 1, 1e10)));
        bytes memory asks = _orders(0, base, uint128(bound(ask, 1, 1e11)));
        // orders are whole quote units: rounding costs at most one unit for each of four fills
        uint256 received = _reposition(_move(units, 0), bids, asks);
        assertGe(received + 4e18 / 40e6 + 1e12, alone, "orders only improve");
    }

    function test_permitInTheSameCall() public {
        vm.prank(_holder);
        _unit.approve(address(_repositioner), 0);
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 data = keccak256(abi.encode(typeHash, _holder, address(_repositioner), 5e18, 0, block.timestamp));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(_HOLDER_KEY, keccak256(abi.encodePacked(hex"1901", _unit.DOMAIN_SEPARATOR(), data)));
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IRepositioner.permit, (address(_unit), _holder, 5e18, block.timestamp, v, r, s));
        calls[1] = abi.encodeCall(IRepositioner.reposition, (_move(5e18, 1), "", ""));
        vm.prank(_holder);
        _repositioner.multicall(calls);
        assertGe(_unit2.balanceOf(_holder), 2e18, "moved");
    }

    /* ERRORS AND ATTACKS */

    function _refuses(IRepositioner.Move memory move, bytes memory why) private {
        vm.expectRevert(why);
        vm.prank(_holder);
        _repositioner.reposition(move, "", "");
    }

    function test_TooFewUnits() public {
        uint256 received = _pool.quoteSell(40e18) * 1e18 / 40e6;
        bytes memory why = abi.encodeWithSelector(IRepositioner.TooFewUnits.selector, received, received + 1);
        _refuses(_move(40e18, received + 1), why);
        assertEq(_unit.balanceOf(_holder), 1000e18, "nothing moved");
    }

    function test_refusals() public {
        IRepositioner.Move memory move = _move(1e18, 0);
        move.deadline = uint40(block.timestamp - 1);
        _refuses(move, abi.encodeWithSelector(IRepositioner.DeadlinePassed.selector, move.deadline));
        move = _move(1e18, 0);
        move.toSeries = 1;
        _refuses(move, abi.encodeWithSelector(IRepositioner.SameSeries.selector, 1));
        move = _move(1e18, 0);
        move.pool = actor(5);
        _refuses(move, abi.encodeWithSelector(IRepositioner.UnknownPool.selector, actor(5)));
        (move.fromSeries, move.toSeries, move.pool) = (2, 1, address(_pool));
        _refuses(move, abi.encodeWithSelector(IRepositioner.UnknownPool.selector, address(_pool)));
    }

    function test_attack_reentrancyThroughTheSale() public {
        bytes memory call = abi.encodeCall(IRepositioner.reposition, (_move(0, 0), "", ""));
        _sale.onBuy(address(_repositioner), call);
        _reposition(_move(100e18, 1), "", "");
        assertEq(bytes32(bytes4(_sale.answer())), bytes32(bytes4(keccak256("Reentrancy()"))), "refused");
    }

    function test_attack_ordersThatFailCostNothing() public {
        IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](1);
        orders[0].maker = address(0xDEAD);
        uint256 alone = _pool.quoteSell(100e18) * 1e18 / 40e6;
        bytes memory dead = abi.encode(orders, new bytes[](1));
        assertEq(_reposition(_move(100e18, alone), dead, dead), alone, "as if there were none");
    }
}
