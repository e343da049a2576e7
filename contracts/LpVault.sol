// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {IBuybackPool} from "./interfaces/IBuybackPool.sol";
import {IFairValue} from "./interfaces/IFairValue.sol";
import {Outflow} from "./libraries/Outflow.sol";
import {PoolWord} from "./libraries/PoolWord.sol";
import {FirstLoss} from "./FirstLoss.sol";
import {LpShare} from "./tokens/LpShare.sol";

/// @title LpVault
/// @notice LP shares, and what happens at an epoch boundary.
/// @dev At a boundary all withdrawals of the past epoch leave at one rate, in kind, and then all its deposits enter at
/// one rate. The rates are fixed at once; shares are minted and burnt account by account, at most 20 of each in a call,
/// so that no number of requests can stop the pool.
abstract contract LpVault is FirstLoss {
    using PoolWord for uint256;

    struct Settled {
        uint128 quote;
        uint96 units;
    }

    struct Request {
        address provider;
        uint96 amount;
        uint32 rate;
    }

    /// @dev requests of one kind, oldest first
    struct Line {
        Request[] requests;
        uint32 next;
        /// index + 1 of the rate that this epoch's requests will get; zero: none
        uint32 open;
        /// index + 1 of the rate of deposits that wait for a value of their own epoch; zero: none
        uint32 waiting;
        /// epoch of the requests of `waiting`
        uint32 since;
        /// asked under `open` and `waiting`
        uint128 pending;
    }

    /// @dev what a boundary gave for what was asked; `asked` is quote for deposits, shares for withdrawals
    struct Rate {
        uint128 asked;
        uint128 givenShares;
        uint128 givenQuote;
        uint96 givenUnits;
    }

    uint256 private constant _BATCH = 20;
    /// @dev shares of one quote unit at the start, and virtual shares: a first depositor cannot inflate the price
    uint256 private constant _VIRTUAL = 1e12;

    /// @dev LP shares as of the last boundary; the token follows as requests are handed out
    uint128 private _shares;
    /// @dev LP shares that left at a boundary and that the token still counts: their burns wait
    uint128 private _unburnt;
    Line private _deposits;
    Line private _withdrawals;
    Rate[] private _rates;
    mapping(address provider => Settled) internal _settled;

    /* REQUESTS */

    function _requestDeposit(uint256 quote) internal {
        if (quote == 0) revert ZeroAmount();
        if (LpShare(lpShare).ledger().isWrapper(msg.sender)) revert WrapperRefused(msg.sender);
        if (msg.sender != firstLoss && firstLossPpm != 0) _requireFirstLoss(quote);
        _request(_deposits, quote);
        emit DepositRequested(msg.sender, quote, _limits.settledEpoch + 1);
    }

    /// @dev Counts what deposits may at most be given: as if there were no inventory. LP shares on their way out leave
    /// at the boundary at which these enter, so they cover nothing.
    function _requireFirstLoss(uint256 quote) private view {
        uint256 asked = _deposits.pending + quote;
        uint256 minted = Math.fullMulDiv(asked, uint256(_shares) + _VIRTUAL, uint256(_trading.cash) + 1);
        uint256 needed = Math.fullMulDivUp(_shares + minted, firstLossPpm, _PPM);
        uint256 held = LpShare(lpShare).balanceOf(firstLoss) - LpShare(lpShare).locked(firstLoss);
        if (held < needed) revert FirstLossTooSmall(held, needed);
    }

    function _requestWithdraw(uint256 shares) internal {
        if (shares == 0) revert ZeroAmount();
        LpShare token = LpShare(lpShare);
        uint256 free = token.balanceOf(msg.sender) - token.locked(msg.sender);
        if (free < shares) revert NotEnoughShares(free, shares);
        if (msg.sender == firstLoss && _othersLeft(token)) revert FirstLossExitsLast();
        _request(_withdrawals, shares);
        token.lock(msg.sender, shares);
        emit WithdrawRequested(msg.sender, shares, _limits.settledEpoch + 1);
    }

    function _request(Line storage line, uint256 amount) private {
        if (amount > type(uint96).max) revert AmountTooLarge(amount);
        if (line.open == 0) {
            _rates.push();
            line.open = uint32(_rates.length);
        }
        uint256 rate = line.open - 1;
        _rates[rate].asked += uint128(amount);
        line.pending += uint128(amount);
        line.requests.push(Request(msg.sender, uint96(amount), uint32(rate)));
        _limits.backlog = true;
    }

    /// @dev A request still in line may be somebody's whose LP shares count already and are not minted yet.
    function _othersLeft(LpShare token) private view returns (bool) {
        return token.totalSupply() != token.balanceOf(firstLoss) || _deposits.next != _deposits.requests.length;
    }

    /* EPOCH BOUNDARY */

    /// @dev Every entry point begins with it. Returns the words as they are then.
    function _roll() internal returns (uint256 trading, uint256 limits) {
        limits = _limitsWord();
        bool behind = block.timestamp / _EPOCH > limits.settledEpoch();
        if (behind || limits.hasBacklog()) {
            _catchUp(behind);
            limits = _limitsWord();
        }
        trading = _tradingWord();
    }

    function _catchUp(bool behind) private {
        (Trading memory t, Limits memory l) = (_trading, _limits);
        if (behind) {
            _boundary(t, l, block.timestamp / _EPOCH);
        } else if (l.outflowCap == 0 && t.cash != 0) {
            // the first value came after the first deposit
            (uint256 bid,,) = _value();
            _setLimits(t, l, bid);
            (_trading, _limits) = (t, l);
        }
        if (l.backlog && !_handOut() && l.outflowCap != 0) _limits.backlog = false;
    }

    function _boundary(Trading memory t, Limits memory l, uint256 epoch) private {
        (uint256 bid, uint256 ask, bool fresh) = _value();
        uint32 past = l.settledEpoch;
        l.settledEpoch = uint32(epoch);
        // the wind-down sets its cash aside before any LP leaves
        if (!fresh) _openRound(t, bid);
        else _shares = uint128(_measure(t, bid, ask, _shares, _room()));
        (int256 cash, int256 units) = (int256(uint256(t.cash)), int256(uint256(t.inventory)));
        if (_withdrawals.open != 0) _settleWithdrawals(t);
        if (_deposits.pending != 0) _settleDeposits(t, ask, fresh, past);
        _shiftMark(int256(uint256(t.cash)) - cash, int256(uint256(t.inventory)) - units);
        _setLimits(t, l, bid);
        (_trading, _limits) = (t, l);
        emit EpochRolled(uint32(epoch), t.cash, t.inventory, _shares);
    }

    /// @dev Opens a round of the wind-down, if it is time.
    function _openRound(Trading memory t, uint256 bid) internal virtual;

    /// @dev In kind, rounded down, without any price: works whatever the oracle does.
    function _settleWithdrawals(Trading memory t) private {
        Rate storage rate = _rates[_withdrawals.open - 1];
        (uint256 asked, uint256 total) = (rate.asked, uint256(_shares) + _VIRTUAL);
        rate.givenQuote = uint128(uint256(t.cash) * asked / total);
        rate.givenUnits = uint96(uint256(t.inventory) * asked / total);
        t.cash -= uint96(rate.givenQuote);
        t.inventory -= rate.givenUnits;
        _forget(asked, total);
        _shares -= uint128(asked);
        _unburnt += uint128(asked);
        (_withdrawals.pending, _withdrawals.open) = (0, 0);
    }

    /// @dev Deposits enter at a value that came after them: whoever knows the next report gains nothing by it. They
    /// wait for it one boundary, and are given back if it does not come. Without inventory there is nothing to value.
    function _settleDeposits(Trading memory t, uint256 ask, bool fresh, uint32 past) private {
        uint256 valued = t.inventory != 0 && fresh ? IFairValue(fairValue).valuation(seriesId).epoch : 0;
        (uint32 waiting, uint32 open) = (_deposits.waiting, _deposits.open);
        if (waiting != 0) {
            _settleRate(t, waiting, ask, t.inventory == 0 || valued >= _deposits.since);
            _deposits.waiting = 0;
        }
        if (open == 0) return;
        _deposits.open = 0;
        bool priced = t.inventory == 0 || valued >= past;
        if (priced || block.timestamp / _EPOCH > uint256(past) + 1) {
            _settleRate(t, open, ask, priced);
        } else {
            (_deposits.waiting, _deposits.since) = (open, past);
        }
    }

    /// @dev At the ask base, rounded down. What would overflow the token's 96-bit supply is given back too.
    function _settleRate(Trading memory t, uint32 index, uint256 ask, bool priced) private {
        Rate storage rate = _rates[index - 1];
        uint256 asked = rate.asked;
        _deposits.pending -= uint128(asked);
        uint256 worth = t.cash + Math.fullMulDivUp(t.inventory, ask, _UNIT);
        uint256 minted = Math.fullMulDiv(asked, uint256(_shares) + _VIRTUAL, worth + 1);
        if (!priced || minted == 0 || minted > _room() || asked + t.cash > type(uint96).max) {
            rate.givenQuote = uint128(asked);
            return;
        }
        rate.givenShares = uint128(minted);
        t.cash += uint96(asked);
        _shares += uint128(minted);
    }

    /// @dev LP shares that the token's supply still has room for.
    function _room() private view returns (uint256) {
        return type(uint96).max - uint256(_shares) - _unburnt;
    }

    /// @dev Inventory of at most twice what the cash buys, and the bucket's size. Without a value, both stay.
    function _setLimits(Trading memory t, Limits memory l, uint256 bid) private view {
        if (bid == 0) return;
        uint256 top = type(uint96).max;
        l.inventoryMax = uint96(Math.min(Math.fullMulDiv(2 * uint256(t.cash), _UNIT, bid), top));
        uint256 reserve = t.cash + Math.fullMulDiv(t.inventory, bid, _UNIT);
        uint256 cap = Math.min(Math.fullMulDiv(reserve, outflowPpm, _PPM), top);
        // full at first; later it keeps what it holds
        uint256 level = l.outflowCap == 0 ? cap : Outflow.level_floor(t.emptyAt, l.outflowCap);
        t.emptyAt = Outflow.holding_floor(level, cap);
        l.outflowCap = uint96(cap);
    }

    /* HANDING OUT */

    /// @dev Mints and burns for requests of past boundaries, oldest first. Returns whether any request is left.
    function _handOut() private returns (bool) {
        bool left = _handOutLine(_withdrawals, false);
        return _handOutLine(_deposits, true) || left;
    }

    function _handOutLine(Line storage line, bool isDeposit) private returns (bool) {
        uint256 next = line.next;
        uint256 count = line.requests.length;
        uint256 end = Math.min(next + _BATCH, count);
        for (; next < end; ++next) {
            Request memory request = line.requests[next];
            if (request.rate + 1 == line.open || request.rate + 1 == line.waiting) break;
            delete line.requests[next];
            Rate memory rate = _rates[request.rate];
            if (isDeposit) _handOutDeposit(request, rate);
            else _handOutWithdrawal(request, rate);
        }
        line.next = uint32(next);
        return next < count;
    }

    function _handOutDeposit(Request memory request, Rate memory rate) private {
        if (rate.givenQuote == 0) {
            LpShare(lpShare).mint(request.provider, uint256(rate.givenShares) * request.amount / rate.asked);
            return;
        }
        _settled[request.provider].quote += request.amount;
        emit DepositReturned(request.provider, request.amount);
    }

    function _handOutWithdrawal(Request memory request, Rate memory rate) private {
        uint256 quote = uint256(rate.givenQuote) * request.amount / rate.asked;
        uint256 units = uint256(rate.givenUnits) * request.amount / rate.asked;
        _settled[request.provider].quote += uint128(quote);
        _settled[request.provider].units += uint96(units);
        emit LpWithdrawn(request.provider, request.amount, quote, units);
        _unburnt -= request.amount;
        LpShare(lpShare).burn(request.provider, request.amount);
    }

    /* VIEWS */

    /// @inheritdoc IBuybackPool
    function state() external view returns (State memory) {
        Trading memory t = _trading;
        Limits memory l = _limits;
        return State({
            cash: t.cash,
            inventory: t.inventory,
            inventoryMax: l.inventoryMax,
            pendingDeposits: _deposits.pending,
            outflowLeft: uint128(Math.min(Outflow.level_floor(t.emptyAt, l.outflowCap), t.cash)),
            settledEpoch: l.settledEpoch
        });
    }

    /// @inheritdoc IBuybackPool
    function settledOf(address provider) external view returns (uint256 quote, uint256 units) {
        return (_settled[provider].quote, _settled[provider].units);
    }

    /// @inheritdoc IBuybackPool
    function backlog() external view returns (uint256) {
        return _deposits.requests.length - _deposits.next + _withdrawals.requests.length - _withdrawals.next;
    }

    /// @inheritdoc IBuybackPool
    function firstLossAbsorbed() external view returns (uint256) {
        return _absorbed;
    }
}
