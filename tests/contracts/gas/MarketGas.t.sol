// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DemoQuote} from "../../../contracts/DemoQuote.sol";
import {PositionMarket} from "../../../contracts/PositionMarket.sol";
import {IPositionMarket} from "../../../contracts/interfaces/IPositionMarket.sol";
import {HashrateUnit} from "../../../contracts/tokens/HashrateUnit.sol";
import {GasTable} from "./GasTable.sol";

/// @notice Whole transactions on the real unit token and a solady ERC-20 as the quote. Unless the name says otherwise
/// both parties hold both tokens, were touched this epoch, and the order's storage word is not zero.
/// forge-config: default.isolate = true
contract MarketGasTest is GasTable {
    PositionMarket private _market;
    HashrateUnit private _unit;
    DemoQuote private _quote;
    uint256 private constant _KEY = 0xA11CE;
    uint256 private constant _KEY2 = 0xCA41;
    address private _maker;
    address private _maker2;
    uint256 private _salt = 0x5a17000000000000;

    function setUp() public {
        vm.warp(70_000 * EPOCH);
        _market = new PositionMarket(0, address(0));
        _unit = new HashrateUnit(address(this), address(0), "Unit", "UNIT");
        _quote = new DemoQuote();
        (_maker, _maker2) = (vm.addr(_KEY), vm.addr(_KEY2));
        _fund(_maker);
        _fund(_maker2);
        _fund(_taker());
    }

    function _taker() private pure returns (address) {
        return address(uint160(uint256(keccak256("taker"))));
    }

    function _fund(address account) private {
        _unit.mint(account, 1000e18);
        _quote.mint(account, 1e12);
        vm.prank(account);
        _unit.approve(address(_market), type(uint256).max);
        vm.prank(account);
        _quote.approve(address(_market), type(uint256).max);
    }

    /// @dev Every account touched in each of 40 epochs, so that no ring entry is new; then the present epoch's touch.
    function _wearRing() private {
        for (uint256 i = 0; i < 40; ++i) {
            skip(EPOCH);
            _touch();
        }
        skip(100);
    }

    function _touch() private {
        vm.prank(_maker);
        _unit.transfer(_maker2, 1);
        vm.prank(_maker2);
        _unit.transfer(_taker(), 1);
        vm.prank(_taker());
        _unit.transfer(_maker, 1);
    }

    function _order(address maker, uint8 side) private returns (IPositionMarket.Order memory) {
        return IPositionMarket.Order(
            maker,
            address(0),
            address(_unit),
            address(_quote),
            side,
            10e18,
            side == 0 ? 200e6 : 201e6,
            uint40(block.timestamp + 600),
            7,
            uint64(++_salt)
        );
    }

    function _rfq(uint64 nonce) private view returns (IPositionMarket.RfqOrder memory) {
        return IPositionMarket.RfqOrder(
            _maker,
            address(0),
            address(_unit),
            address(_quote),
            0,
            10e18,
            200e6,
            uint40(block.timestamp + 600),
            0,
            nonce
        );
    }

    /// @dev EIP-2098: 64 bytes.
    function _compact(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    function _fill(IPositionMarket.Order memory order, uint256 key, string memory name) private {
        bytes memory signature = _compact(key, _market.orderHash(order));
        vm.prank(_taker());
        _market.fill(order, signature, 3e18);
        record(name);
    }

    function _fillRfq(uint64 nonce, bool compact, string memory name) private {
        IPositionMarket.RfqOrder memory order = _rfq(nonce);
        bytes32 digest = _market.rfqHash(order);
        bytes memory signature = compact ? _compact(_KEY, digest) : signatureOf(_KEY, digest);
        vm.prank(_taker());
        _market.fillRfq(order, signature);
        record(name);
    }

    function test_gas() public {
        _transfers();
        _fills();
        _matches();
        _cancels();
        check("market");
        if (!isRelease()) return;
        assertLe(gasOf("transferSameEpoch"), 34_900, "target: transfer, same epoch");
        assertLe(gasOf("transferFirstTouch"), 45_300, "target: transfer, first touch");
        assertLe(gasOf("cancelRfq"), 27_000, "target: cancel");
    }

    function _transfers() private {
        skip(EPOCH);
        vm.prank(_maker);
        _unit.transfer(_maker2, 1e18);
        record("transferFirstTouchNewRing");
        _wearRing();
        vm.prank(_maker);
        _unit.transfer(_maker2, 1e18);
        record("transferSameEpoch");
        skip(EPOCH);
        vm.prank(_maker);
        _unit.transfer(_maker2, 1e18);
        record("transferFirstTouch");
        skip(1);
        vm.prank(_maker);
        _unit.transfer(address(0xFEE1), 1e18);
        record("transferToNewHolder");
        _touch();
        skip(1);
    }

    function _fills() private {
        _fillRfq(256, true, "rfqFillNewNonceWord");
        _fillRfq(257, true, "rfqFill");
        _fillRfq(258, false, "rfqFill65ByteSignature");
        IPositionMarket.Order memory order = _order(_maker, 0);
        _fill(order, _KEY, "limitFillFirst");
        _fill(order, _KEY, "limitFill");
        order = _order(_maker, 1);
        _fill(order, _KEY, "limitBuyFillFirst");
        _fill(order, _KEY, "limitBuyFill");
        order = _order(_maker, 0);
        vm.prank(_maker);
        _market.post(order);
        record("post");
        vm.prank(_taker());
        _market.fill(order, "", 3e18);
        record("limitFillPosted");
        _fillMany();
    }

    function _fillMany() private {
        IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](3);
        bytes[] memory signatures = new bytes[](3);
        for (uint256 i = 0; i < 3; ++i) {
            orders[i] = _order(_maker, 0);
            signatures[i] = _compact(_KEY, _market.orderHash(orders[i]));
        }
        signatures[1] = "";
        vm.prank(_taker());
        _market.fillUpTo(
            orders, signatures, IPositionMarket.FillLimits(address(_unit), address(_quote), 0, 20e18, 20e18, 1e12, 20e6)
        );
        record("fillUpToTwoOrdersOneDead");
    }

    function _matches() private {
        IPositionMarket.Order memory sell = _order(_maker, 0);
        IPositionMarket.Order memory buy = _order(_maker2, 1);
        bytes memory s = _compact(_KEY, _market.orderHash(sell));
        bytes memory b = _compact(_KEY2, _market.orderHash(buy));
        vm.prank(_taker());
        _market.matchOrders(sell, s, buy, b, 3e18);
        record("matchOrdersFirst");
        vm.prank(_taker());
        _market.matchOrders(sell, s, buy, b, 3e18);
        record("matchOrders");
    }

    function _cancels() private {
        vm.startPrank(_maker2);
        _market.cancelRfq(512);
        record("cancelRfqNewNonceWord");
        _market.cancelRfq(513);
        record("cancelRfq");
        _market.cancelRfqWord(2, type(uint256).max);
        record("cancel256Rfqs");
        _market.cancelGroup(1);
        record("cancelGroupFirst");
        _market.cancelGroup(2);
        record("cancelGroup");
        _market.cancelAll();
        record("cancelAll");
        vm.stopPrank();
        vm.prank(_maker);
        _market.cancelAll();
        record("cancelAllFirst");
        IPositionMarket.Order memory order = _order(_maker2, 0);
        vm.prank(_maker2);
        _market.cancel(order);
        record("cancelOrderNeverFilled");
        order.group |= 1 << 32;
        bytes memory signature = _compact(_KEY2, _market.orderHash(order));
        vm.prank(_taker());
        _market.fill(order, signature, 1e18);
        vm.prank(_maker2);
        _market.cancel(order);
        record("cancelOrder");
    }
}
