// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {LibCall} from "solady/utils/LibCall.sol";
import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IBuybackPool} from "./interfaces/IBuybackPool.sol";
import {IExitQueue} from "./interfaces/IExitQueue.sol";
import {ExitQueue} from "./ExitQueue.sol";
import {PoolWord} from "./libraries/PoolWord.sol";
import {LpVault} from "./LpVault.sol";
import {PoolBooks} from "./PoolBooks.sol";
import {Outflow} from "./libraries/Outflow.sol";
import {PoolMath} from "./libraries/PoolMath.sol";

/// @title BuybackPool
/// @notice Buys units at fair value less a spread and sells its inventory at fair value plus one. What liquidity
/// providers do is in LpVault. Balances are kept in own books: a donation changes nothing.
contract BuybackPool is LpVault, ReentrancyGuardTransient {
    using SafeTransferLib for address;
    using PoolWord for uint256;

    uint256 private constant _MISSED_TO_SETTLE = 3;
    /// @dev the wind-down; the price falls no further, or units would go for nothing
    uint256 private constant _MISSED_MAX = 21;

    /// @inheritdoc IBuybackPool
    address public immutable queue;

    modifier onlyQueue() {
        if (msg.sender != queue) revert OnlyQueue(msg.sender);
        _;
    }

    constructor(address authority, Config memory config) AccessManaged(authority) PoolBooks(config) {
        queue = address(new ExitQueue(address(this), config.unit, config.ledger, config.name));
    }

    /* TRADES */

    /// @inheritdoc IBuybackPool
    function sell(uint256 units, uint256 minQuote, address to) external nonReentrant returns (uint256 quote) {
        (uint256 t, uint256 l) = _roll();
        (uint256 bid,, bool fresh) = _value();
        quote = _sellPrice(t, l, bid, fresh, units);
        if (quote < minQuote) revert MinQuoteNotMet(quote, minQuote);
        if (l.isQueued()) _checkBehindQueue(t, l, bid, quote);
        if (!_take(t, l, units, quote)) revert OutflowExhausted(_outflowLeft(t, l), quote);
        emit Sold(msg.sender, to, units, quote);
        unit.safeTransferFrom(msg.sender, address(this), units);
        quoteToken.safeTransfer(to, quote);
    }

    /// @inheritdoc IBuybackPool
    function buy(uint256 units, uint256 maxQuote, address to) external nonReentrant returns (uint256 quote) {
        (uint256 t, uint256 l) = _roll();
        (, uint256 ask, bool fresh) = _value();
        quote = _buyPrice(t, l, ask, fresh, units);
        if (quote > maxQuote) revert MaxQuoteExceeded(quote, maxQuote);
        if (quote + t.cash() > type(uint96).max) revert AmountTooLarge(quote);
        _setTrading(PoolWord.trade(t.inventory() - units, t.cash() + quote, t.emptyAt()));
        emit Bought(msg.sender, to, units, quote);
        _pull(quote);
        unit.safeTransfer(to, units);
    }

    /// @inheritdoc IBuybackPool
    function quoteSell(uint256 units) external view returns (uint256) {
        (uint256 bid,, bool fresh) = _value();
        return _sellPrice(_tradingWord(), _limitsWord(), bid, fresh, units);
    }

    /// @inheritdoc IBuybackPool
    function quoteBuy(uint256 units) external view returns (uint256) {
        (, uint256 ask, bool fresh) = _value();
        return _buyPrice(_tradingWord(), _limitsWord(), ask, fresh, units);
    }

    function _sellPrice(uint256 t, uint256 l, uint256 bid, bool fresh, uint256 units) private view returns (uint256) {
        if (units == 0) revert ZeroAmount();
        if (!fresh) revert StaleValue(seriesId);
        (uint256 held, uint256 max) = (t.inventory(), l.inventoryMax());
        if (units > Math.zeroFloorSub(max, held)) revert InventoryFull(held, max);
        return PoolMath.sell_floor(bid, units, held, max, feePpm, skewPpm);
    }

    function _buyPrice(uint256 t, uint256 l, uint256 ask, bool fresh, uint256 units) private view returns (uint256) {
        if (units == 0) revert ZeroAmount();
        if (!fresh) revert StaleValue(seriesId);
        uint256 held = t.inventory();
        if (units > held) revert NotEnoughInventory(held, units);
        return PoolMath.buy_ceil(ask, units, held, Math.max(l.inventoryMax(), 1), feePpm, askSkewPpm);
    }

    /// @dev Queued units come first: only what the bucket holds beyond them is for instant sales.
    function _checkBehindQueue(uint256 t, uint256 l, uint256 bid, uint256 quote) private view {
        Waiting memory w = _waiting;
        uint256 reserved = Math.fullMulDiv(w.queuedUnits - w.roundUnits, bid, _UNIT);
        uint256 left = Math.min(Math.zeroFloorSub(Outflow.level_floor(t.emptyAt(), l.outflowCap()), reserved), t.cash());
        if (quote > left) revert OutflowExhausted(left, quote);
    }

    function _outflowLeft(uint256 t, uint256 l) private view returns (uint256) {
        return Math.min(Outflow.level_floor(t.emptyAt(), l.outflowCap()), t.cash());
    }

    /// @dev Books units bought for quote that leaves the reserve, if bucket and cash have it. Units were checked before.
    function _take(uint256 t, uint256 l, uint256 units, uint256 quote) private returns (bool) {
        unchecked {
            uint256 span = Outflow.span(t.emptyAt());
            uint256 spent = Outflow.spanOf_ceil(quote, l.outflowCap());
            if (spent > span || quote > t.cash()) return false;
            _setTrading(t.bought(units, quote, Outflow.emptyAtFor(span - spent)));
            return true;
        }
    }

    /// @dev A token that keeps a fee would leave the books short.
    function _pull(uint256 quote) private {
        uint256 due = quoteToken.balanceOf(address(this)) + quote;
        quoteToken.safeTransferFrom(msg.sender, address(this), quote);
        uint256 held = quoteToken.balanceOf(address(this));
        if (held < due) revert ShortReceived(due - held);
    }

    /* QUEUE */

    /// @inheritdoc IBuybackPool
    function queueAdd(uint256 units) external nonReentrant onlyQueue returns (uint32) {
        Waiting memory w = _waiting;
        if (w.queuedUnits == 0) _limits.queued = true;
        w.queuedUnits += uint96(units);
        _waiting = w;
        return w.round;
    }

    /// @inheritdoc IBuybackPool
    function queueRemove(uint256 units, uint32 ticketRound) external nonReentrant onlyQueue {
        uint256 freed = _leaveQueue(units, ticketRound < _waiting.round);
        if (freed == 0) return;
        _trading.cash += uint96(freed);
        _shiftMark(int256(freed), 0);
    }

    /// @inheritdoc IBuybackPool
    function queueSettle(uint256 units, uint32 ticketRound)
        external
        nonReentrant
        onlyQueue
        returns (uint256 taken, uint256 quote)
    {
        (uint256 t, uint256 l) = _roll();
        if (ticketRound < _waiting.round) return (units, _settleInRound(units));
        (uint256 base, uint256 held, uint256 max) = (_queueBase(), t.inventory(), l.inventoryMax());
        if (base == 0 || held >= max) return (0, 0);
        uint256 budget = _outflowLeft(t, l);
        taken = Math.min(units, max - held);
        quote = PoolMath.sell_floor(base, taken, held, max, feePpm, skewPpm);
        if (quote > budget) {
            taken = Math.min(taken, PoolMath.affordable_floor(base, budget, held, max, feePpm, skewPpm));
            quote = PoolMath.sell_floor(base, taken, held, max, feePpm, skewPpm);
        }
        // a whole ticket too small to be worth a quote unit goes for nothing, or it would stop those behind it
        if (taken == 0 || (quote == 0 && taken < units)) return (0, 0);
        if (!_take(t, l, taken, quote)) return (0, 0);
        _leaveQueue(taken, false);
        _owed.claims += uint128(quote);
    }

    /// @inheritdoc IBuybackPool
    function queuePay(address to, uint256 quote) external nonReentrant onlyQueue {
        _owed.claims -= uint128(quote);
        quoteToken.safeTransfer(to, quote);
    }

    /// @dev A ticket of the open round sells for its part of the cash set aside.
    function _settleInRound(uint256 units) private returns (uint256 quote) {
        quote = Math.fullMulDiv(units, _owed.roundPrice, _UNIT);
        // what is freed beside it is what rounding left over when the round ends
        uint256 left = _leaveQueue(units, true) - quote;
        _trading.cash += uint96(left);
        _trading.inventory += uint96(units);
        _shiftMark(int256(left), int256(units));
        _owed.claims += uint128(quote);
    }

    /// @dev Returns the cash set aside for these units, and at the end of the round all that is left of it.
    function _leaveQueue(uint256 units, bool inRound) private returns (uint256 freed) {
        Waiting memory w = _waiting;
        w.queuedUnits -= uint96(units);
        if (inRound) {
            w.roundUnits -= uint96(units);
            freed = w.roundUnits == 0 ? _roundCash : Math.fullMulDiv(units, _owed.roundPrice, _UNIT);
            _roundCash -= freed;
        }
        if (w.queuedUnits == 0) _limits.queued = false;
        _waiting = w;
    }

    /// @dev What a queued unit is bought at: the bid base; after three missed reports the last one, less 2 % for each;
    /// zero in between, and in the wind-down, which is settled in rounds.
    function _queueBase() private view returns (uint256) {
        (uint256 bid,, bool fresh) = _value();
        if (fresh) return bid;
        uint256 missed = missedReports();
        return missed < _MISSED_TO_SETTLE || missed >= _MISSED_MAX ? 0 : _decayed(bid, missed);
    }

    function _decayed(uint256 bid, uint256 missed) private pure returns (uint256) {
        return Math.fullMulDiv(bid, Math.rpow(98e16, missed, 1e18), 1e18);
    }

    /// @dev After 21 missed reports cash goes pro rata to what is queued, whatever its order, and at no more than the bid
    /// at a full inventory; what is left is the LPs', in kind.
    function _openRound(Trading memory t, uint256 bid) internal override {
        Waiting memory w = _waiting;
        if (w.queuedUnits == 0 || w.roundUnits != 0 || missedReports() < _MISSED_MAX) return;
        uint256 lowest = _decayed(bid, _MISSED_MAX) * (_PPM - feePpm - skewPpm) / _PPM;
        uint256 price = Math.min(lowest, Math.fullMulDiv(t.cash, _UNIT, w.queuedUnits));
        price = Math.min(price, type(uint96).max);
        if (price == 0) return;
        _roundCash = Math.fullMulDiv(w.queuedUnits, price, _UNIT);
        t.cash -= uint96(_roundCash);
        _shiftMark(-int256(_roundCash), 0);
        _owed.roundPrice = uint96(price);
        (w.roundUnits, w.round) = (w.queuedUnits, w.round + 1);
        _waiting = w;
        emit RoundOpened(w.round, w.queuedUnits, price);
    }

    /* LIQUIDITY */

    /// @inheritdoc IBuybackPool
    function deposit(uint256 quote) external nonReentrant whenRunning {
        _roll();
        _requestDeposit(quote);
        _pull(quote);
    }

    /// @inheritdoc IBuybackPool
    function requestWithdraw(uint256 shares) external nonReentrant {
        _roll();
        _requestWithdraw(shares);
    }

    /// @inheritdoc IBuybackPool
    function roll() external nonReentrant {
        _roll();
    }

    /// @inheritdoc IBuybackPool
    function withdrawSettled(address to) external nonReentrant returns (uint256 quote, uint256 units) {
        _roll();
        Settled memory settled = _settled[msg.sender];
        (quote, units) = (settled.quote, settled.units);
        delete _settled[msg.sender];
        if (quote != 0 && !_tryPay(to, quote)) {
            _settled[msg.sender].quote = uint128(quote);
            quote = 0;
        }
        if (units != 0) unit.safeTransfer(to, units);
    }

    /// @dev A quote token that refuses must not hold the units back.
    function _tryPay(address to, uint256 quote) private returns (bool) {
        // of the answer one word is copied: a flood of bytes would use up the gas
        (bool ok,, bytes memory data) =
            LibCall.tryCall(quoteToken, 0, gasleft(), 32, abi.encodeCall(IERC20Transfer.transfer, (to, quote)));
        return ok && (data.length == 0 || (data.length == 32 && abi.decode(data, (uint256)) == 1));
    }

    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }
}

interface IERC20Transfer {
    function transfer(address to, uint256 amount) external returns (bool);
}
