// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {PoolBooks} from "./PoolBooks.sol";
import {LpShare} from "./tokens/LpShare.sol";

/// @title FirstLoss
/// @notice Losses on what the pool traded are borne by the first-loss account before any other LP.
/// @dev Once an epoch, while the value is fresh, trades of the last seven epochs that were measured are valued anew:
/// units bought at the bid base, units sold at the ask base, as they are now. What they lost since the last measure is taken from the first-loss account by burning its LP
/// shares, which raises everybody else's part of the reserve by as much; what they gain gives burnt shares back. A fall
/// of units held for longer is a change of value, and not of the trade: that one all LPs bear alike, like the output that
/// those units earn. Reads a price and moves no cash, so no withdrawal waits for it.
abstract contract FirstLoss is PoolBooks {
    /// @dev the reserve as it would be had nobody traded since the last measure
    struct Mark {
        int128 cash;
        int128 units;
    }

    uint256 private constant _MEMORY = 6;

    Mark private _mark;
    /// @dev units bought, less units sold, by measured epoch
    int128[_MEMORY] private _bought;
    uint120 private _lastBid;
    uint120 private _lastAsk;
    uint8 private _next;
    /// @dev LP shares burnt for losses and not given back
    uint128 internal _absorbed;

    /// @dev Flows at a boundary and rounds of the wind-down are no trades.
    function _shiftMark(int256 cash, int256 units) internal {
        _mark.cash += int128(cash);
        _mark.units += int128(units);
    }

    /// @dev Of withdrawn units nothing is measured any more.
    function _forget(uint256 part, uint256 whole) internal {
        for (uint256 i = 0; i < _MEMORY; ++i) {
            if (_bought[i] != 0) _bought[i] -= int128(int256(_bought[i]) * int256(part) / int256(whole));
        }
    }

    /// @dev Measures and settles with the first-loss account; returns how many LP shares there are then.
    function _measure(Trading memory t, uint256 bid, uint256 ask, uint256 shares, uint256 room)
        internal
        returns (uint256)
    {
        int256 units = int256(uint256(t.inventory)) - _mark.units;
        int256 old = 0;
        for (uint256 i = 0; i < _MEMORY; ++i) {
            old += _bought[i];
        }
        int256 gain = int256(uint256(t.cash)) - _mark.cash + units * int256(units < 0 ? ask : bid) / int256(_UNIT);
        int256 rise = old < 0 ? int256(ask) - int256(uint256(_lastAsk)) : int256(bid) - int256(uint256(_lastBid));
        gain += old * rise / int256(_UNIT);
        _bought[_next] = int128(units);
        _next = uint8((_next + 1) % _MEMORY);
        (_lastBid, _lastAsk) = (uint120(bid), uint120(ask));
        _mark = Mark(int128(uint128(t.cash)), int128(uint128(t.inventory)));

        uint256 reserve = t.cash + Math.fullMulDiv(t.inventory, bid, _UNIT);
        if (gain < 0) return _absorb(shares, uint256(-gain), reserve);
        return _giveBack(shares, Math.min(uint256(gain), reserve), reserve, room);
    }

    function _absorb(uint256 shares, uint256 loss, uint256 reserve) private returns (uint256) {
        LpShare token = LpShare(lpShare);
        uint256 held = token.balanceOf(firstLoss);
        // with nobody to protect, and of shares on their way out, nothing is burnt
        if (held >= shares) return shares;
        uint256 burnt = Math.min(Math.fullMulDiv(shares, loss, reserve + loss), held - token.locked(firstLoss));
        if (burnt == 0) return shares;
        token.lock(firstLoss, burnt);
        token.burn(firstLoss, burnt);
        // used up: the account has no part in what comes after
        _absorbed = burnt == held ? 0 : _absorbed + uint128(burnt);
        emit FirstLossAbsorbed(loss, burnt);
        return shares - burnt;
    }

    function _giveBack(uint256 shares, uint256 gain, uint256 reserve, uint256 room) private returns (uint256) {
        if (_absorbed == 0 || gain == 0 || gain >= reserve) return shares;
        uint256 minted = Math.min(Math.min(_absorbed, room), Math.fullMulDiv(shares, gain, reserve - gain));
        _absorbed -= uint128(minted);
        LpShare(lpShare).mint(firstLoss, minted);
        emit FirstLossGivenBack(gain, minted);
        return shares + minted;
    }
}
