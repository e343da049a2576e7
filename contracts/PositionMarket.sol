// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {LibCall} from "solady/utils/LibCall.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IPositionMarket} from "./interfaces/IPositionMarket.sol";
import {OrderBook} from "./OrderBook.sol";

/// @title PositionMarket
/// @notice Settles signed orders between two wallets. Holds nothing and has no owner.
contract PositionMarket is OrderBook {
    struct Checked {
        bytes32 hash;
        uint256 word;
    }

    uint32 private constant _MAX_FEE_PPM = 10_000;
    uint256 private constant _PPM = 1e6;

    /// @inheritdoc IPositionMarket
    uint32 public immutable feePpm;
    /// @inheritdoc IPositionMarket
    address public immutable feeTo;

    constructor(uint32 feePpm_, address feeTo_) {
        if (feePpm_ > _MAX_FEE_PPM || (feePpm_ == 0) != (feeTo_ == address(0))) revert BadFee(feePpm_, feeTo_);
        (feePpm, feeTo) = (feePpm_, feeTo_);
    }

    /* ONE ORDER */

    /// @inheritdoc IPositionMarket
    function fill(Order calldata order, bytes calldata signature, uint256 baseFill)
        external
        nonReentrant
        returns (uint256 quoteFilled)
    {
        (bytes32 hash, uint256 word) = _checkFill(order, signature, msg.sender);
        if (baseFill == 0) revert ZeroFill();
        uint256 remaining = order.baseAmount - uint96(word);
        if (baseFill > remaining) revert Overfill(hash, remaining, baseFill);
        quoteFilled = _fill(order, hash, word, msg.sender, baseFill);
    }

    /// @inheritdoc IPositionMarket
    function fillRfq(RfqOrder calldata order, bytes calldata signature)
        external
        nonReentrant
        returns (uint256 quoteFilled)
    {
        quoteFilled = order.quoteAmount;
        if (order.side > 1 || order.baseAmount == 0 || quoteFilled == 0 || order.base == order.quote) {
            revert BadOrder();
        }
        if (block.timestamp >= order.expiry) revert OrderExpired(order.expiry);
        if (order.taker != address(0) && order.taker != msg.sender) revert WrongTaker(order.taker);
        _useNonce(order);
        bytes32 hash = _hashRfq(order);
        _checkSignature(order.maker, hash, signature);

        emit OrderFilled(
            hash, order.maker, msg.sender, order.base, order.quote, order.side, order.baseAmount, quoteFilled, 0
        );
        if (order.side == 0) {
            _buy(hash, order.base, order.quote, order.maker, msg.sender, order.baseAmount, quoteFilled);
        } else {
            _sell(hash, order.base, order.quote, msg.sender, order.maker, order.baseAmount, quoteFilled);
        }
    }

    /* MANY ORDERS */

    /// @inheritdoc IPositionMarket
    function fillUpTo(Order[] calldata orders, bytes[] calldata signatures, FillLimits calldata limits)
        external
        nonReentrant
        returns (uint256 base, uint256 quote)
    {
        if (orders.length != signatures.length) revert LengthMismatch(orders.length, signatures.length);
        uint256 budget = limits.side == 0 ? limits.quoteMax : type(uint256).max;
        for (uint256 i = 0; i < orders.length && base < limits.baseMax; ++i) {
            if (!_withinLimits(orders[i], limits)) continue;
            (bool ok, uint256 baseFill, uint256 quoteFill) =
                _tryFill(orders.length - i + 1, limits.baseMax - base, budget, orders[i], signatures[i]);
            if (!ok) continue;
            base += baseFill;
            quote += quoteFill;
            if (limits.side == 0) budget -= quoteFill + _fee(quoteFill);
        }
        if (base < limits.baseMin) revert FilledTooLittle(base, limits.baseMin);
    }

    /// @inheritdoc IPositionMarket
    function fillFor(address taker, Order calldata order, bytes calldata signature, uint256 baseMax, uint256 quoteMax)
        external
        returns (uint256 base, uint256 quote)
    {
        if (msg.sender != address(this)) revert OnlySelf(msg.sender);
        (bytes32 hash, uint256 word) = _checkFill(order, signature, taker);
        base = Math.min(_fundable(order, quoteMax), Math.min(baseMax, order.baseAmount - uint96(word)));
        if (base == 0) revert ZeroFill();
        quote = _fill(order, hash, word, taker, base);
    }

    /// @dev A call of its own, so that an order which fails half way leaves nothing behind; its part of the gas, so that
    /// a hostile one cannot use up the others'; two words of its answer, however many it gives.
    function _tryFill(uint256 parts, uint256 baseMax, uint256 budget, Order calldata order, bytes calldata signature)
        private
        returns (bool ok, uint256 baseFill, uint256 quoteFill)
    {
        bytes memory answer;
        bytes memory call = abi.encodeCall(this.fillFor, (msg.sender, order, signature, baseMax, budget));
        (ok,, answer) = LibCall.tryCall(address(this), 0, gasleft() / parts, 64, call);
        if (ok) (baseFill, quoteFill) = abi.decode(answer, (uint256, uint256));
    }

    function _withinLimits(Order calldata order, FillLimits calldata limits) private pure returns (bool) {
        if (order.base != limits.base || order.quote != limits.quote || order.side != limits.side) return false;
        uint256 price = uint256(order.quoteAmount) * 1e18;
        uint256 worst = uint256(limits.worstPrice) * order.baseAmount;
        return order.side == 0 ? price <= worst : price >= worst;
    }

    /// @dev Units that the maker can pay for or deliver, and that the taker's quote budget reaches to. Rounded down.
    function _fundable(Order calldata order, uint256 quoteMax) private view returns (uint256) {
        bool sells = order.side == 0;
        address token = sells ? order.base : order.quote;
        uint256 funds = Math.min(
            SafeTransferLib.balanceOf(token, order.maker), IAllowance(token).allowance(order.maker, address(this))
        );
        uint256 quoteFunds = sells ? quoteMax : funds;
        // beyond the order's own price (and a fee that never exceeds it) more funds change nothing
        quoteFunds = Math.min(quoteFunds, 2 * uint256(order.quoteAmount));
        if (sells) quoteFunds = quoteFunds * _PPM / (_PPM + feePpm);
        uint256 units = quoteFunds * order.baseAmount / order.quoteAmount;
        return sells ? Math.min(units, funds) : units;
    }

    /* MAKER AGAINST MAKER */

    /// @inheritdoc IPositionMarket
    function matchOrders(
        Order calldata sell,
        bytes calldata sellSignature,
        Order calldata buy,
        bytes calldata buySignature,
        uint256 baseMax
    ) external nonReentrant returns (uint256 base, uint256 quote) {
        if (sell.side != 0 || buy.side != 1 || sell.base != buy.base || sell.quote != buy.quote) {
            revert BadMatch();
        }
        if (sell.maker == buy.maker) revert BadMatch();
        Checked memory s = _checked(sell, sellSignature, buy.maker);
        Checked memory b = _checked(buy, buySignature, sell.maker);
        base = Math.min(baseMax, Math.min(sell.baseAmount - uint96(s.word), buy.baseAmount - uint96(b.word)));
        if (base == 0) revert ZeroFill();
        uint256 fee;
        (quote, fee) = _matchPrice(_quoteFor(sell, base), _quoteFor(buy, base));
        _record(sell, s.hash, s.word, buy.maker, base, quote);
        _record(buy, b.hash, b.word, sell.maker, base, quote);
        _pull(sell.base, sell.maker, buy.maker, base);
        _pay(s.hash, sell.quote, buy.maker, sell.maker, quote, fee);
    }

    function _checked(Order calldata order, bytes calldata signature, address taker)
        private
        view
        returns (Checked memory c)
    {
        (c.hash, c.word) = _checkFill(order, signature, taker);
    }

    /// @dev The seller gets its price and half of what is left between the two, rounded down; the buyer keeps the rest.
    function _matchPrice(uint256 asks, uint256 bids) private view returns (uint256 quote, uint256 fee) {
        fee = _fee(bids);
        if (asks + fee > bids) revert NotCrossed(asks, bids);
        unchecked {
            quote = asks + (bids - fee - asks) / 2;
        }
    }

    /* SETTLEMENT */

    /// @dev Everything that can be wrong with an order but its amount. Returns its word.
    function _checkFill(Order calldata order, bytes calldata signature, address taker)
        private
        view
        returns (bytes32 hash, uint256 word)
    {
        _checkTerms(order);
        if (order.taker != address(0) && order.taker != taker) revert WrongTaker(order.taker);
        hash = _hashOrder(order);
        word = _orders[hash];
        if (word & _CANCELLED != 0) revert OrderIsCancelled(hash);
        _checkGroup(order.maker, order.group, hash);
        if (signature.length != 0 || word & _POSTED == 0) _checkSignature(order.maker, hash, signature);
    }

    function _fill(Order calldata order, bytes32 hash, uint256 word, address taker, uint256 baseFill)
        private
        returns (uint256 quoteFill)
    {
        quoteFill = _quoteFor(order, baseFill);
        _record(order, hash, word, taker, baseFill, quoteFill);
        if (order.side == 0) _buy(hash, order.base, order.quote, order.maker, taker, baseFill, quoteFill);
        else _sell(hash, order.base, order.quote, taker, order.maker, baseFill, quoteFill);
    }

    /// @dev `baseFill` is at most what is left of the order.
    function _record(
        Order calldata order,
        bytes32 hash,
        uint256 word,
        address taker,
        uint256 baseFill,
        uint256 quoteFill
    ) private {
        unchecked {
            word += baseFill;
            _orders[hash] = word;
            emit OrderFilled(
                hash,
                order.maker,
                taker,
                order.base,
                order.quote,
                order.side,
                baseFill,
                quoteFill,
                order.baseAmount - uint96(word)
            );
        }
    }

    /// @dev Against the taker: a buying taker pays rounded up, a selling taker gets rounded down.
    function _quoteFor(Order calldata order, uint256 baseFill) private pure returns (uint256) {
        unchecked {
            // 128 and 96 bits
            uint256 product = uint256(order.quoteAmount) * baseFill;
            uint256 base = order.baseAmount;
            return order.side == 0 ? (product + base - 1) / base : product / base;
        }
    }

    /// @dev The taker buys and pays the fee on top.
    function _buy(bytes32 hash, address base, address quote, address maker, address taker, uint256 units, uint256 price)
        private
    {
        _pull(base, maker, taker, units);
        _pay(hash, quote, taker, maker, price, _fee(price));
    }

    /// @dev The taker sells and leaves the fee out of the price.
    function _sell(
        bytes32 hash,
        address base,
        address quote,
        address taker,
        address maker,
        uint256 units,
        uint256 price
    ) private {
        _pull(base, taker, maker, units);
        uint256 fee = _fee(price);
        _pay(hash, quote, maker, taker, price - fee, fee);
    }

    function _fee(uint256 price) private view returns (uint256) {
        return feePpm == 0 ? 0 : price * feePpm / _PPM;
    }

    /// @dev A fee that cannot be paid goes to the seller: it stops no exit, and no buyer saves it.
    function _pay(bytes32 hash, address quote, address buyer, address seller, uint256 amount, uint256 fee) private {
        if (fee != 0) {
            if (SafeTransferLib.trySafeTransferFrom(quote, buyer, feeTo, fee)) emit FeePaid(hash, quote, fee);
            else amount += fee;
        }
        _pull(quote, buyer, seller, amount);
    }

    function _pull(address token, address from, address to, uint256 amount) private {
        if (!SafeTransferLib.trySafeTransferFrom(token, from, to, amount)) revert TransferFailed(token);
    }
}

interface IAllowance {
    function allowance(address owner, address spender) external view returns (uint256);
}
