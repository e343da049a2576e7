// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {PoolBooks} from "../../../contracts/PoolBooks.sol";
import {Stoppable} from "../../../contracts/Stoppable.sol";
import {IBuybackPool} from "../../../contracts/interfaces/IBuybackPool.sol";
import {IFairValue} from "../../../contracts/interfaces/IFairValue.sol";
import {LpShare} from "../../../contracts/tokens/LpShare.sol";

/// @title ReferenceVault
/// @notice The LPs' part of ReferencePool: requests, the epoch boundary, first loss.
abstract contract ReferenceVault is IBuybackPool, Stoppable {
    using SafeERC20 for IERC20;

    struct Wish {
        address who;
        uint256 amount;
        uint256 epoch;
    }

    struct Pair {
        uint256 quote;
        uint256 units;
    }

    error Reentrancy();

    uint256 internal constant _EPOCH = 28_800;
    uint256 internal constant _PPM = 1e6;
    uint256 internal constant _ONE = 1e18;
    uint256 internal constant _VIRTUAL = 1e12;

    PoolBooks.Config internal _c;
    address public queue;
    address public lpShare;
    uint256 public owedToClaims;
    uint256 public queuedUnits;
    uint256 public firstLossAbsorbed;

    uint256 internal _cash;
    uint256 internal _inventory;
    uint256 internal _inventoryMax;
    uint256 internal _settledEpoch;
    uint256 internal _shares;
    Wish[] internal _deposits;
    Wish[] internal _withdrawals;
    mapping(address who => Pair) internal _settled;
    // outflow
    uint256 internal _level;
    uint256 internal _cap;
    uint256 internal _filledAt;
    // wind-down
    uint32 internal _round;
    uint256 internal _roundUnits;
    uint256 internal _roundPrice;
    uint256 internal _roundCash;
    // first loss: what would be there without trades, units bought by measured epoch, and the bid they were valued at
    int256 internal _markCash;
    int256 internal _markUnits;
    int256[] internal _bought;
    uint256 internal _lastBid;
    uint256 internal _lastAsk;
    bool internal _entered;

    modifier once() {
        if (_entered) revert Reentrancy();
        _entered = true;
        _;
        _entered = false;
    }

    /// @notice What the bucket holds now.
    function outflow() public view virtual returns (uint256);

    function _openRound(uint256 bid) internal virtual;

    function _pull(uint256 quote) internal virtual;

    function _roll() internal {
        uint256 epoch = block.timestamp / _EPOCH;
        (uint256 bid, uint256 ask, uint256 until) = IFairValue(_c.fairValue).quotes(_c.seriesId);
        if (epoch == _settledEpoch) {
            if (_cap == 0 && _cash != 0) _setLimits(bid);
            return;
        }
        if (block.timestamp > until) _openRound(bid);
        else _measure(bid, ask);
        (uint256 cash, uint256 units) = (_cash, _inventory);
        _settleWithdrawals();
        _settleDeposits(epoch, ask, block.timestamp <= until);
        _markCash += int256(_cash) - int256(cash);
        _markUnits += int256(_inventory) - int256(units);
        _settledEpoch = epoch;
        _setLimits(bid);
        emit EpochRolled(uint32(epoch), _cash, _inventory, _shares);
    }

    function _setLimits(uint256 bid) internal {
        if (bid == 0) return;
        _inventoryMax = Math.min(2 * _cash * _ONE / bid, type(uint96).max);
        uint256 cap = (_cash + _inventory * bid / _ONE) * _c.outflowPpm / _PPM;
        _level = _cap == 0 ? cap : Math.min(outflow(), cap);
        _filledAt = block.timestamp;
        _cap = cap;
    }

    function _settleWithdrawals() internal {
        uint256 asked = 0;
        for (uint256 i = 0; i < _withdrawals.length; ++i) {
            asked += _withdrawals[i].amount;
        }
        uint256 total = _shares + _VIRTUAL;
        uint256 quote = _cash * asked / total;
        uint256 units = _inventory * asked / total;
        for (uint256 i = 0; i < _bought.length; ++i) {
            _bought[i] -= _bought[i] * int256(asked) / int256(total);
        }
        for (uint256 i = 0; i < _withdrawals.length; ++i) {
            Wish memory wish = _withdrawals[i];
            (uint256 q, uint256 u) = (quote * wish.amount / asked, units * wish.amount / asked);
            _settled[wish.who].quote += q;
            _settled[wish.who].units += u;
            emit LpWithdrawn(wish.who, wish.amount, q, u);
            LpShare(lpShare).burn(wish.who, wish.amount);
        }
        delete _withdrawals;
        (_cash, _inventory, _shares) = (_cash - quote, _inventory - units, _shares - asked);
    }

    /// @dev Deposits of one epoch enter together, at a value of that epoch or a later one.
    function _settleDeposits(uint256 epoch, uint256 ask, bool fresh) internal {
        uint256 valued = fresh ? IFairValue(_c.fairValue).valuation(_c.seriesId).epoch : 0;
        while (_deposits.length != 0) {
            uint256 since = _deposits[0].epoch;
            uint256 count = 0;
            uint256 asked = 0;
            for (; count < _deposits.length && _deposits[count].epoch == since; ++count) {
                asked += _deposits[count].amount;
            }
            bool priced = _inventory == 0 || valued >= since;
            if (!priced && epoch == since + 1) return;
            _enter(count, asked, ask, priced);
        }
    }

    function _enter(uint256 count, uint256 asked, uint256 ask, bool priced) internal {
        uint256 worth = _cash + Math.mulDiv(_inventory, ask, _ONE, Math.Rounding.Ceil);
        uint256 minted = Math.mulDiv(asked, _shares + _VIRTUAL, worth + 1);
        if (minted == 0 || minted + _shares > type(uint96).max || _cash + asked > type(uint96).max) priced = false;
        for (uint256 i = 0; i < count; ++i) {
            Wish memory wish = _deposits[i];
            if (priced) {
                LpShare(lpShare).mint(wish.who, minted * wish.amount / asked);
            } else {
                _settled[wish.who].quote += wish.amount;
                emit DepositReturned(wish.who, wish.amount);
            }
        }
        for (uint256 i = count; i < _deposits.length; ++i) {
            _deposits[i - count] = _deposits[i];
        }
        for (uint256 i = 0; i < count; ++i) {
            _deposits.pop();
        }
        if (priced) (_cash, _shares) = (_cash + asked, _shares + minted);
    }

    /* LIQUIDITY */

    function deposit(uint256 quote) external once whenRunning {
        _roll();
        if (quote == 0) revert ZeroAmount();
        if (quote > type(uint96).max) revert AmountTooLarge(quote);
        if (LpShare(lpShare).ledger().isWrapper(msg.sender)) revert WrapperRefused(msg.sender);
        if (msg.sender != _c.firstLoss && _c.firstLossPpm != 0) _requireFirstLoss(quote);
        _deposits.push(Wish(msg.sender, quote, _settledEpoch));
        emit DepositRequested(msg.sender, quote, uint32(_settledEpoch + 1));
        _pull(quote);
    }

    function _requireFirstLoss(uint256 asked) internal view {
        for (uint256 i = 0; i < _deposits.length; ++i) {
            asked += _deposits[i].amount;
        }
        uint256 most = _shares + asked * (_shares + _VIRTUAL) / (_cash + 1);
        uint256 needed = Math.mulDiv(most, _c.firstLossPpm, _PPM, Math.Rounding.Ceil);
        uint256 held = LpShare(lpShare).balanceOf(_c.firstLoss) - LpShare(lpShare).locked(_c.firstLoss);
        if (held < needed) revert FirstLossTooSmall(held, needed);
    }

    function requestWithdraw(uint256 shares) external once {
        _roll();
        if (shares == 0) revert ZeroAmount();
        LpShare token = LpShare(lpShare);
        uint256 free = token.balanceOf(msg.sender) - token.locked(msg.sender);
        if (free < shares) revert NotEnoughShares(free, shares);
        bool others = token.totalSupply() != token.balanceOf(_c.firstLoss) || _deposits.length != 0;
        if (msg.sender == _c.firstLoss && others) revert FirstLossExitsLast();
        _withdrawals.push(Wish(msg.sender, shares, _settledEpoch));
        token.lock(msg.sender, shares);
        emit WithdrawRequested(msg.sender, shares, uint32(_settledEpoch + 1));
    }

    function withdrawSettled(address to) external once returns (uint256 quote, uint256 units) {
        _roll();
        (quote, units) = (_settled[msg.sender].quote, _settled[msg.sender].units);
        delete _settled[msg.sender];
        if (units != 0) IERC20(_c.unit).safeTransfer(to, units);
        if (quote == 0) return (quote, units);
        try this.pay(to, quote) {}
        catch {
            _settled[msg.sender].quote = quote;
            quote = 0;
        }
    }

    /// @notice Only this contract: a transfer that may fail.
    function pay(address to, uint256 quote) external {
        require(msg.sender == address(this), "only itself");
        IERC20(_c.quoteToken).safeTransfer(to, quote);
    }

    function roll() external once {
        _roll();
    }

    /* FIRST LOSS */

    /// @dev Trades since the last measure at the bid of now (units sold: the ask), and those of the six before by how it moved.
    function _measure(uint256 bid, uint256 ask) internal {
        int256 units = int256(_inventory) - _markUnits;
        int256 gain = int256(_cash) - _markCash + units * int256(units < 0 ? ask : bid) / int256(_ONE);
        int256 old = 0;
        for (uint256 i = _bought.length; i > 0 && i + 6 > _bought.length; --i) {
            old += _bought[i - 1];
        }
        int256 rise = old < 0 ? int256(ask) - int256(_lastAsk) : int256(bid) - int256(_lastBid);
        gain += old * rise / int256(_ONE);
        _bought.push(units);
        (_lastBid, _lastAsk) = (bid, ask);
        (_markCash, _markUnits) = (int256(_cash), int256(_inventory));
        uint256 reserve = _cash + _inventory * bid / _ONE;
        if (gain < 0) _absorb(uint256(-gain), reserve);
        else if (uint256(gain) < reserve && gain != 0) _giveBack(uint256(gain), reserve);
    }

    function _absorb(uint256 loss, uint256 reserve) internal {
        LpShare token = LpShare(lpShare);
        uint256 held = token.balanceOf(_c.firstLoss);
        if (held >= _shares) return;
        uint256 burnt = Math.min(_shares * loss / (reserve + loss), held - token.locked(_c.firstLoss));
        if (burnt == 0) return;
        token.lock(_c.firstLoss, burnt);
        token.burn(_c.firstLoss, burnt);
        _shares -= burnt;
        firstLossAbsorbed = burnt == held ? 0 : firstLossAbsorbed + burnt;
        emit FirstLossAbsorbed(loss, burnt);
    }

    function _giveBack(uint256 gain, uint256 reserve) internal {
        uint256 minted = Math.min(firstLossAbsorbed, _shares * gain / (reserve - gain));
        minted = Math.min(minted, type(uint96).max - _shares);
        if (firstLossAbsorbed == 0) return;
        firstLossAbsorbed -= minted;
        _shares += minted;
        LpShare(lpShare).mint(_c.firstLoss, minted);
        emit FirstLossGivenBack(gain, minted);
    }

    /* VIEWS */

    function state() external view returns (State memory) {
        uint256 pending = 0;
        for (uint256 i = 0; i < _deposits.length; ++i) {
            pending += _deposits[i].amount;
        }
        return State({
            cash: uint128(_cash),
            inventory: uint96(_inventory),
            inventoryMax: uint96(_inventoryMax),
            pendingDeposits: uint128(pending),
            outflowLeft: uint128(Math.min(outflow(), _cash)),
            settledEpoch: uint32(_settledEpoch)
        });
    }

    function settledOf(address who) external view returns (uint256 quote, uint256 units) {
        return (_settled[who].quote, _settled[who].units);
    }

    function backlog() external view returns (uint256) {
        return _deposits.length + _withdrawals.length;
    }

    function seriesId() external view returns (uint16) {
        return _c.seriesId;
    }

    function unit() external view returns (address) {
        return _c.unit;
    }

    function quoteToken() external view returns (address) {
        return _c.quoteToken;
    }

    function fairValue() external view returns (address) {
        return _c.fairValue;
    }

    function firstLoss() external view returns (address) {
        return _c.firstLoss;
    }
}
