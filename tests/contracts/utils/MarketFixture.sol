// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DemoQuote} from "../../../contracts/DemoQuote.sol";
import {PositionMarket} from "../../../contracts/PositionMarket.sol";
import {IPositionMarket} from "../../../contracts/interfaces/IPositionMarket.sol";
import {ReferenceMarket} from "../reference/ReferenceMarket.sol";
import {PlainToken} from "./Mocks.sol";
import {Test} from "./Test.sol";

/// @title MarketFixture
/// @notice A market, two makers with keys, and a taker, all funded. Suites run on PositionMarket and on its readable twin.
abstract contract MarketFixture is Test {
    IPositionMarket internal _market;
    PlainToken internal _unit;
    DemoQuote internal _quote;
    uint256 internal constant _KEY = 0xA11CE;
    uint256 internal constant _KEY2 = 0xCA401;
    uint256 internal constant _TAKER_KEY = 0xB0B;
    address internal _maker;
    address internal _maker2;
    address internal _taker;
    address internal constant _FEE_TO = address(0xFEE);

    /// @dev The market under test.
    function _deploy(uint32 feePpm, address feeTo) internal virtual returns (IPositionMarket);

    function setUp() public {
        vm.warp(70_000 * EPOCH);
        _unit = new PlainToken(address(this));
        _quote = new DemoQuote();
        (_maker, _maker2, _taker) = (vm.addr(_KEY), vm.addr(_KEY2), vm.addr(_TAKER_KEY));
        _useMarket(0, address(0));
        _prepare();
    }

    /// @dev What a suite needs besides.
    function _prepare() internal virtual {}

    function _useMarket(uint32 feePpm, address feeTo) internal {
        _market = _deploy(feePpm, feeTo);
        _fund(_maker);
        _fund(_maker2);
        _fund(_taker);
    }

    function _fund(address account) internal {
        _unit.mint(account, 1000e18);
        _quote.mint(account, 1e12);
        vm.startPrank(account);
        _unit.approve(address(_market), type(uint256).max);
        _quote.approve(address(_market), type(uint256).max);
        vm.stopPrank();
    }

    function _order(uint8 side) internal view returns (IPositionMarket.Order memory) {
        return IPositionMarket.Order({
            maker: _maker,
            taker: address(0),
            base: address(_unit),
            quote: address(_quote),
            side: side,
            baseAmount: 10e18,
            quoteAmount: 200e6,
            expiry: uint40(block.timestamp + 60),
            group: 7,
            salt: 1
        });
    }

    function _rfq(uint8 side, uint64 nonce) internal view returns (IPositionMarket.RfqOrder memory) {
        return IPositionMarket.RfqOrder({
            maker: _maker,
            taker: address(0),
            base: address(_unit),
            quote: address(_quote),
            side: side,
            baseAmount: 10e18,
            quoteAmount: 200e6,
            expiry: uint40(block.timestamp + 60),
            makerEpoch: _market.makerEpoch(_maker),
            nonce: nonce
        });
    }

    function _sign(IPositionMarket.Order memory order) internal view returns (bytes memory) {
        return signatureOf(order.maker == _maker2 ? _KEY2 : _KEY, _market.orderHash(order));
    }

    function _signRfq(IPositionMarket.RfqOrder memory order) internal view returns (bytes memory) {
        return signatureOf(_KEY, _market.rfqHash(order));
    }

    /// @notice EIP-2098: the same signature in 64 bytes.
    function _compact(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, uint256 s, uint8 v) = _parts(signature);
        return abi.encodePacked(r, s | uint256(v - 27) << 255);
    }

    function _parts(bytes memory signature) internal pure returns (bytes32 r, uint256 s, uint8 v) {
        assembly ("memory-safe") {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
            v := byte(0, mload(add(signature, 0x60)))
        }
    }

    function _fill(IPositionMarket.Order memory order, uint256 units) internal returns (uint256) {
        return _fillWith(order, _sign(order), units);
    }

    function _fillWith(IPositionMarket.Order memory order, bytes memory signature, uint256 units)
        internal
        returns (uint256)
    {
        vm.prank(_taker);
        return _market.fill(order, signature, units);
    }

    function _refusesFill(IPositionMarket.Order memory order, uint256 units, bytes memory why) internal {
        bytes memory signature = _sign(order);
        vm.expectRevert(why);
        vm.prank(_taker);
        _market.fill(order, signature, units);
    }

    function _refusesRfq(IPositionMarket.RfqOrder memory order, bytes memory why) internal {
        bytes memory signature = _signRfq(order);
        vm.expectRevert(why);
        vm.prank(_taker);
        _market.fillRfq(order, signature);
    }

    function _error(bytes4 selector) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector);
    }

    function _limits(uint8 side, uint256 baseMax) internal view returns (IPositionMarket.FillLimits memory) {
        uint128 any = side == 0 ? type(uint128).max : 0;
        return IPositionMarket.FillLimits(address(_unit), address(_quote), side, baseMax, 0, type(uint256).max, any);
    }

    /// @notice Fills the signed orders up to the limits, as the taker.
    function _fillUpTo(IPositionMarket.Order[] memory orders, IPositionMarket.FillLimits memory limits)
        internal
        returns (uint256 base, uint256 quote)
    {
        bytes[] memory signatures = new bytes[](orders.length);
        for (uint256 i = 0; i < orders.length; ++i) {
            signatures[i] = _sign(orders[i]);
        }
        vm.prank(_taker);
        return _market.fillUpTo(orders, signatures, limits);
    }
}

/// @notice The market itself.
abstract contract OnPositionMarket is MarketFixture {
    function _deploy(uint32 feePpm, address feeTo) internal override returns (IPositionMarket) {
        return new PositionMarket(feePpm, feeTo);
    }
}

/// @notice Its readable twin.
abstract contract OnReferenceMarket is MarketFixture {
    function _deploy(uint32 feePpm, address feeTo) internal override returns (IPositionMarket) {
        return new ReferenceMarket(feePpm, feeTo);
    }
}
