// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ExitQueue} from "../../../contracts/ExitQueue.sol";
import {PoolBooks} from "../../../contracts/PoolBooks.sol";
import {IFairValue} from "../../../contracts/interfaces/IFairValue.sol";
import {LpShare} from "../../../contracts/tokens/LpShare.sol";

import {ReferenceVault} from "./ReferenceVault.sol";

/// @title ReferencePool
/// @notice BuybackPool as one would explain it: a variable for everything, no packed word, no batches, other libraries.
/// The suites run on both.
contract ReferencePool is ReferenceVault {
    using SafeERC20 for IERC20;

    modifier onlyQueue() {
        if (msg.sender != queue) revert OnlyQueue(msg.sender);
        _;
    }

    constructor(address authority, PoolBooks.Config memory c) AccessManaged(authority) {
        if (c.feePpm + c.skewPpm >= _PPM || c.askSkewPpm > c.feePpm) revert PoolBooks.BadConfig();
        if (c.outflowPpm == 0 || c.outflowPpm > _PPM || c.firstLoss == address(0)) revert PoolBooks.BadConfig();
        _c = c;
        lpShare = address(new LpShare(c.ledger, c.firstLoss, c.name, c.name));
        queue = address(new ExitQueue(address(this), c.unit, c.ledger, c.name));
        _settledEpoch = block.timestamp / _EPOCH;
        _filledAt = block.timestamp;
    }

    /* TRADES */

    function quoteSell(uint256 units) public view returns (uint256) {
        (uint256 bid,, uint256 until) = IFairValue(_c.fairValue).quotes(_c.seriesId);
        if (units == 0) revert ZeroAmount();
        if (block.timestamp > until) revert StaleValue(_c.seriesId);
        if (_inventory + units > _inventoryMax) revert InventoryFull(_inventory, _inventoryMax);
        return _sellPrice(bid, units);
    }

    function quoteBuy(uint256 units) public view returns (uint256) {
        (, uint256 ask, uint256 until) = IFairValue(_c.fairValue).quotes(_c.seriesId);
        if (units == 0) revert ZeroAmount();
        if (block.timestamp > until) revert StaleValue(_c.seriesId);
        if (units > _inventory) revert NotEnoughInventory(_inventory, units);
        return _buyPrice(ask, units);
    }

    function sell(uint256 units, uint256 minQuote, address to) external once returns (uint256 quote) {
        _roll();
        quote = quoteSell(units);
        if (quote < minQuote) revert MinQuoteNotMet(quote, minQuote);
        (uint256 bid,,) = IFairValue(_c.fairValue).quotes(_c.seriesId);
        uint256 forQueue = Math.mulDiv(queuedUnits - _roundUnits, bid, _ONE);
        uint256 left = outflow() > forQueue ? outflow() - forQueue : 0;
        left = Math.min(left, _cash);
        if (quote > left) revert OutflowExhausted(left, quote);
        _spend(units, quote);
        emit Sold(msg.sender, to, units, quote);
        IERC20(_c.unit).safeTransferFrom(msg.sender, address(this), units);
        IERC20(_c.quoteToken).safeTransfer(to, quote);
    }

    function buy(uint256 units, uint256 maxQuote, address to) external once returns (uint256 quote) {
        _roll();
        quote = quoteBuy(units);
        if (quote > maxQuote) revert MaxQuoteExceeded(quote, maxQuote);
        if (_cash + quote > type(uint96).max) revert AmountTooLarge(quote);
        _cash += quote;
        _inventory -= units;
        emit Bought(msg.sender, to, units, quote);
        _pull(quote);
        IERC20(_c.unit).safeTransfer(to, units);
    }

    /// @dev Units times the mean of the marginal prices before and after.
    function _sellPrice(uint256 base, uint256 units) private view returns (uint256) {
        uint256 mean2 = _bidAt(_inventory) + _bidAt(_inventory + units);
        return Math.mulDiv(base * units, mean2, 2 * _inventoryMax * _PPM * _ONE);
    }

    function _bidAt(uint256 held) private view returns (uint256) {
        return (_PPM - _c.feePpm) * _inventoryMax - _c.skewPpm * held;
    }

    /// @dev Above a full inventory the ask falls no further.
    function _buyPrice(uint256 base, uint256 units) private view returns (uint256) {
        uint256 max = Math.max(_inventoryMax, 1);
        uint256 flat = _inventory > max ? Math.min(_inventory - max, units) : 0;
        uint256 top = _inventory - flat;
        uint256 cost2 = flat * 2 * _askAt(max, max);
        if (flat < units) cost2 += (units - flat) * (_askAt(top, max) + _askAt(_inventory - units, max));
        return Math.mulDiv(base, cost2, 2 * max * _PPM * _ONE, Math.Rounding.Ceil);
    }

    function _askAt(uint256 held, uint256 max) private view returns (uint256) {
        return (_PPM + _c.feePpm) * max - _c.askSkewPpm * held;
    }

    function _pull(uint256 quote) internal override {
        uint256 before = IERC20(_c.quoteToken).balanceOf(address(this));
        IERC20(_c.quoteToken).safeTransferFrom(msg.sender, address(this), quote);
        uint256 got = IERC20(_c.quoteToken).balanceOf(address(this)) - before;
        if (got < quote) revert ShortReceived(quote - got);
    }

    /* OUTFLOW */

    /// @notice What the bucket holds now.
    function outflow() public view override returns (uint256) {
        return Math.min(_cap, _level + _cap * (block.timestamp - _filledAt) / _EPOCH);
    }

    function _spend(uint256 units, uint256 quote) private {
        _level = outflow() - quote;
        _filledAt = block.timestamp;
        _cash -= quote;
        _inventory += units;
    }

    /* QUEUE */

    function queueAdd(uint256 units) external once onlyQueue returns (uint32) {
        queuedUnits += units;
        return _round;
    }

    function queueRemove(uint256 units, uint32 ticketRound) external once onlyQueue {
        queuedUnits -= units;
        if (ticketRound == _round) return;
        uint256 freed = _freed(units);
        _cash += freed;
        _markCash += int256(freed);
    }

    function queueSettle(uint256 units, uint32 ticketRound)
        external
        once
        onlyQueue
        returns (uint256 taken, uint256 quote)
    {
        _roll();
        if (ticketRound < _round) return (units, _settleInRound(units));
        uint256 base = _queueBase();
        if (base == 0 || _inventory >= _inventoryMax) return (0, 0);
        uint256 budget = Math.min(outflow(), _cash);
        taken = Math.min(units, _inventoryMax - _inventory);
        if (_sellPrice(base, taken) > budget) {
            // as many as the budget pays at the price of the first
            uint256 first = base * _bidAt(_inventory);
            taken = Math.min(taken, Math.mulDiv(budget, _ONE * _PPM * _inventoryMax, first));
        }
        quote = _sellPrice(base, taken);
        if (taken == 0 || (quote == 0 && taken < units)) return (0, 0);
        _spend(taken, quote);
        queuedUnits -= taken;
        owedToClaims += quote;
    }

    function queuePay(address to, uint256 quote) external once onlyQueue {
        owedToClaims -= quote;
        IERC20(_c.quoteToken).safeTransfer(to, quote);
    }

    function missedReports() public view returns (uint256) {
        (,, uint256 until) = IFairValue(_c.fairValue).quotes(_c.seriesId);
        if (block.timestamp <= until || until == 0) return 0;
        uint256 last = IFairValue(_c.fairValue).valuation(_c.seriesId).epoch;
        uint256 now_ = block.timestamp / _EPOCH;
        return now_ > last + 2 ? now_ - last - 2 : 0;
    }

    function _queueBase() private view returns (uint256 bid) {
        uint256 until;
        (bid,, until) = IFairValue(_c.fairValue).quotes(_c.seriesId);
        if (block.timestamp <= until) return bid;
        uint256 missed = missedReports();
        return missed < 3 || missed >= 21 ? 0 : bid * _power98(missed) / _ONE;
    }

    /// @dev 0.98^n, to the nearest of 1e18.
    function _power98(uint256 n) private pure returns (uint256 x) {
        x = _ONE;
        for (uint256 i = 0; i < n; ++i) {
            x = (x * 98 + 50) / 100;
        }
    }

    /* WIND-DOWN */

    function round() external view returns (uint32, uint256, uint256, uint256) {
        return (_round, _roundUnits, _roundPrice, _roundCash);
    }

    function _openRound(uint256 bid) internal override {
        if (queuedUnits == 0 || _roundUnits != 0 || missedReports() < 21) return;
        uint256 lowest = bid * _power98(21) / _ONE * (_PPM - _c.feePpm - _c.skewPpm) / _PPM;
        uint256 price = Math.min(lowest, _cash * _ONE / queuedUnits);
        if (price == 0) return;
        _roundPrice = price;
        _roundUnits = queuedUnits;
        _roundCash = queuedUnits * price / _ONE;
        _cash -= _roundCash;
        _markCash -= int256(_roundCash);
        emit RoundOpened(++_round, queuedUnits, price);
    }

    function _freed(uint256 units) private returns (uint256 freed) {
        _roundUnits -= units;
        freed = _roundUnits == 0 ? _roundCash : units * _roundPrice / _ONE;
        _roundCash -= freed;
    }

    function _settleInRound(uint256 units) private returns (uint256 quote) {
        quote = units * _roundPrice / _ONE;
        uint256 left = _freed(units) - quote;
        queuedUnits -= units;
        _cash += left;
        _inventory += units;
        _markCash += int256(left);
        _markUnits += int256(units);
        owedToClaims += quote;
    }
}
