// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {Multicallable} from "solady/utils/Multicallable.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IBuybackPool} from "./interfaces/IBuybackPool.sol";
import {IPositionMarket} from "./interfaces/IPositionMarket.sol";
import {IPrimarySale} from "./interfaces/IPrimarySale.sol";
import {IRepositioner} from "./interfaces/IRepositioner.sol";
import {ISeriesRegistry} from "./interfaces/ISeriesRegistry.sol";
import {PermitCalls} from "./PermitCalls.sol";

/// @title Repositioner
/// @notice From one series into another in one transaction.
/// @dev Its balances are whole: whatever it finds of the three tokens at the end goes to the caller. Approvals are for
/// the amount of one call and taken back after it.
contract Repositioner is IRepositioner, PermitCalls {
    using SafeTransferLib for address;

    uint256 private constant _PPM = 1e6;
    uint256 private constant _ONE = 1e18;

    IPositionMarket public immutable market;
    IPrimarySale public immutable sale;
    ISeriesRegistry public immutable registry;
    address public immutable quoteToken;

    constructor(address market_, address sale_, address registry_) {
        market = IPositionMarket(market_);
        sale = IPrimarySale(sale_);
        registry = ISeriesRegistry(registry_);
        quoteToken = sale.quoteToken();
    }

    /// @inheritdoc IRepositioner
    function reposition(Move calldata move, bytes calldata sellInto, bytes calldata buyFrom)
        external
        nonReentrant
        returns (uint256 received)
    {
        if (block.timestamp > move.deadline) revert DeadlinePassed(move.deadline);
        if (move.fromSeries == move.toSeries) revert SameSeries(move.fromSeries);
        address from = registry.series(move.fromSeries).unit;
        address to = registry.series(move.toSeries).unit;
        _checkPool(move.pool, from);

        from.safeTransferFrom(msg.sender, address(this), move.units);
        _sellAll(from, move.pool, sellInto);
        _buyAll(move.toSeries, to, buyFrom);

        uint256 unsold = _sweep(from);
        uint256 unspent = _sweep(quoteToken);
        received = _sweep(to);
        if (received < move.minUnits) revert TooFewUnits(received, move.minUnits);
        uint256 sold = Math.zeroFloorSub(move.units, unsold);
        emit Repositioned(msg.sender, move.fromSeries, move.toSeries, sold, received, unspent);
    }

    /// @inheritdoc IRepositioner
    function permit(address token, address owner, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        public
        override(IRepositioner, PermitCalls)
    {
        super.permit(token, owner, value, deadline, v, r, s);
    }

    /// @inheritdoc IRepositioner
    function multicall(bytes[] calldata data)
        public
        payable
        override(IRepositioner, Multicallable)
        returns (bytes[] memory)
    {
        return super.multicall(data);
    }

    /* SELLING */

    function _checkPool(address pool, address unit) private view {
        if (pool == address(0)) return;
        if (!registry.isVenue(pool)) revert UnknownPool(pool);
        if (IBuybackPool(pool).unit() != unit || IBuybackPool(pool).quoteToken() != quoteToken) {
            revert UnknownPool(pool);
        }
    }

    function _sellAll(address unit, address pool, bytes calldata orders) private {
        uint256 left = unit.balanceOf(address(this));
        if (orders.length != 0) left = _take(orders, unit, 1, left, _poolPrice(pool, left));
        if (left != 0 && pool != address(0)) {
            unit.safeApprove(pool, left);
            try IBuybackPool(pool).sell(left, 0, address(this)) {
                left = 0;
            } catch {} // orders that the pool had beaten are better than nothing
            unit.safeApprove(pool, 0);
        }
        if (left != 0 && orders.length != 0) _take(orders, unit, 1, left, 0);
    }

    /// @dev The lowest order price that gives a seller, after the market's fee, what the pool gives on average.
    function _poolPrice(address pool, uint256 units) private view returns (uint256) {
        if (pool == address(0) || units == 0) return 0;
        try IBuybackPool(pool).quoteSell(units) returns (uint256 quote) {
            return Math.fullMulDivUp(quote, _ONE * _PPM, units * (_PPM - market.feePpm()));
        } catch {
            return 0;
        }
    }

    /* BUYING */

    function _buyAll(uint16 series, address unit, bytes calldata orders) private {
        uint256 ask = _salePrice(series);
        uint256 worst = ask == 0 ? type(uint128).max : Math.fullMulDiv(ask, _PPM, _PPM + market.feePpm());
        uint256 left = quoteToken.balanceOf(address(this));
        if (orders.length != 0) left = _take(orders, unit, 0, left, worst);
        uint256 units = ask == 0 ? 0 : Math.min(Math.fullMulDiv(left, _ONE, ask), unit.balanceOf(address(sale)));
        if (units != 0) {
            quoteToken.safeApprove(address(sale), left);
            try sale.buy(series, units, left, address(this)) {} catch {} // stopped: the rest of the orders, or the quote goes back
            quoteToken.safeApprove(address(sale), 0);
            left = quoteToken.balanceOf(address(this));
        }
        if (left != 0 && orders.length != 0) _take(orders, unit, 0, left, type(uint128).max);
    }

    /// @dev Zero: the sale does not sell.
    function _salePrice(uint16 series) private view returns (uint256) {
        try sale.quoteBuy(series, _ONE) returns (uint256 quote) {
            return quote;
        } catch {
            return 0;
        }
    }

    /* BOTH */

    /// @dev Takes `orders` up to `amount` of the token that we pay with. Returns what is left of it.
    function _take(bytes calldata orders, address unit, uint8 side, uint256 amount, uint256 worst)
        private
        returns (uint256)
    {
        if (amount == 0) return 0;
        (IPositionMarket.Order[] memory list, bytes[] memory signatures) =
            abi.decode(orders, (IPositionMarket.Order[], bytes[]));
        IPositionMarket.FillLimits memory limits = IPositionMarket.FillLimits({
            base: unit,
            quote: quoteToken,
            side: side,
            baseMax: side == 0 ? type(uint96).max : amount,
            baseMin: 0,
            quoteMax: amount,
            worstPrice: uint128(Math.min(worst, type(uint128).max))
        });
        address pays = side == 0 ? quoteToken : unit;
        pays.safeApprove(address(market), amount);
        market.fillUpTo(list, signatures, limits);
        pays.safeApprove(address(market), 0);
        return pays.balanceOf(address(this));
    }

    function _sweep(address token) private returns (uint256 amount) {
        amount = token.balanceOf(address(this));
        if (amount != 0) token.safeTransfer(msg.sender, amount);
    }
}
