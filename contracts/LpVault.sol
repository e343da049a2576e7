// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {IBuybackPool} from "./interfaces/IBuybackPool.sol";
import {IFairValue} from "./interfaces/IFairValue.sol";
import {Stoppable} from "./Stoppable.sol";
import {LpShare} from "./tokens/LpShare.sol";

/// @title LpVault
/// @notice The books of a buyback pool: cash, inventory, LP shares, the epoch boundary and the outflow bucket.
/// @dev At a boundary all withdrawals of the past epoch leave at one rate, in kind, and then all its deposits enter at
/// one rate. The rates are fixed at once; shares are minted and burnt account by account, at most 20 in a call, so that
/// no number of requests can stop the pool.
///
///     word 0   inventory:96 | cash:128 | settledEpoch:32
///     word 1   inventoryMax:96 | pendingDeposits:128 | settledRequests:32
///     word 2   bucketLevel:128 | bucketCap:128
///     word 3   bucketTime:40 | shares:128
///     word 4   owedToClaims:128 | pendingShares:128
abstract contract LpVault is IBuybackPool, Stoppable {
    struct Config {
        uint16 seriesId;
        address unit;
        address quoteToken;
        address fairValue;
        address ledger;
        address firstLoss;
        /// half spread, parts per million
        uint32 feePpm;
        /// how far the bid falls over a full inventory
        uint32 skewPpm;
        /// how far the ask falls over a full inventory; at most the fee, so that no ask is ever below the ask base
        uint32 askSkewPpm;
        /// part of the reserve that may leave in 8 h
        uint32 outflowPpm;
        string name;
    }

    struct Settled {
        uint128 quote;
        uint96 units;
    }

    /// @dev two words
    struct Request {
        address provider;
        uint96 amount;
        uint32 rate;
        bool isDeposit;
    }

    /// @dev what a boundary gave for what was asked; `asked` is quote for deposits, shares for withdrawals
    struct Rate {
        uint128 asked;
        uint128 givenShares;
        uint128 givenQuote;
        uint96 givenUnits;
    }

    error BadConfig();

    uint256 private constant _EPOCH = 28_800;
    uint256 private constant _PPM = 1e6;
    uint256 private constant _BATCH = 20;
    /// @dev shares of one quote unit at the start, and virtual shares: a first depositor cannot inflate the price
    uint256 private constant _VIRTUAL = 1e12;

    /// @inheritdoc IBuybackPool
    uint16 public immutable seriesId;
    /// @inheritdoc IBuybackPool
    address public immutable unit;
    /// @inheritdoc IBuybackPool
    address public immutable quoteToken;
    /// @inheritdoc IBuybackPool
    address public immutable fairValue;
    /// @inheritdoc IBuybackPool
    address public immutable lpShare;
    /// @inheritdoc IBuybackPool
    address public immutable firstLoss;
    uint256 public immutable feePpm;
    uint256 public immutable skewPpm;
    uint256 public immutable askSkewPpm;
    uint256 public immutable outflowPpm;

    uint96 internal _inventory;
    uint128 internal _cash;
    uint32 private _settledEpoch;
    uint96 internal _inventoryMax;
    uint128 private _pendingDeposits;
    uint32 private _nextRequest;
    uint128 private _bucket;
    uint128 private _bucketCap;
    uint40 private _bucketTime;
    /// @dev LP shares as of the last boundary; the token follows as requests are handed out
    uint128 private _shares;
    uint128 internal _owedToClaims;
    uint128 private _pendingShares;
    Request[] private _requests;
    Rate[] private _rates;
    /// @dev indices + 1 of the rates that this epoch's requests will get; zero: none opened
    uint32 private _depositRate;
    uint32 private _withdrawRate;
    /// @dev LP shares that left at a boundary and that the token still counts: their burns wait in `_requests`
    uint128 private _unburnt;
    mapping(address provider => Settled) internal _settled;

    constructor(Config memory c) {
        bool bad = c.feePpm + c.skewPpm >= _PPM || c.askSkewPpm > c.feePpm || c.outflowPpm == 0 || c.outflowPpm > _PPM;
        if (bad || c.firstLoss == address(0)) revert BadConfig();
        seriesId = c.seriesId;
        unit = c.unit;
        quoteToken = c.quoteToken;
        fairValue = c.fairValue;
        firstLoss = c.firstLoss;
        feePpm = c.feePpm;
        skewPpm = c.skewPpm;
        askSkewPpm = c.askSkewPpm;
        outflowPpm = c.outflowPpm;
        lpShare = address(
            new LpShare(c.ledger, c.firstLoss, string.concat(c.name, " LP share"), string.concat("lp", c.name))
        );
        _settledEpoch = uint32(block.timestamp / _EPOCH);
    }

    /* REQUESTS */

    function _requestDeposit(uint256 quote) internal {
        if (quote == 0) revert ZeroAmount();
        if (quote > type(uint96).max) revert AmountTooLarge(quote);
        if (_depositRate == 0) _depositRate = _openRate();
        _rates[_depositRate - 1].asked += uint128(quote);
        _pendingDeposits += uint128(quote);
        _requests.push(Request(msg.sender, uint96(quote), _depositRate - 1, true));
        emit DepositRequested(msg.sender, quote, _settledEpoch + 1);
    }

    function _requestWithdraw(uint256 shares) internal {
        if (shares == 0) revert ZeroAmount();
        LpShare token = LpShare(lpShare);
        uint256 free = token.balanceOf(msg.sender) - token.locked(msg.sender);
        if (free < shares) revert NotEnoughShares(free, shares);
        if (msg.sender == firstLoss && _othersLeft(token)) revert FirstLossExitsLast();
        if (_withdrawRate == 0) _withdrawRate = _openRate();
        _rates[_withdrawRate - 1].asked += uint128(shares);
        _pendingShares += uint128(shares);
        _requests.push(Request(msg.sender, uint96(shares), _withdrawRate - 1, false));
        token.lock(msg.sender, shares);
        emit WithdrawRequested(msg.sender, shares, _settledEpoch + 1);
    }

    function _othersLeft(LpShare token) private view returns (bool) {
        return token.totalSupply() != token.balanceOf(firstLoss) || _pendingDeposits != 0;
    }

    function _openRate() private returns (uint32) {
        _rates.push();
        return uint32(_rates.length);
    }

    /* EPOCH BOUNDARY */

    /// @dev Every entry point begins with it.
    function _roll() internal {
        uint32 epoch = uint32(block.timestamp / _EPOCH);
        if (epoch > _settledEpoch) {
            _settledEpoch = epoch;
            _bucket = uint128(_bucketLevel());
            _bucketTime = uint40(block.timestamp);
            if (_pendingShares != 0) _settleWithdrawals();
            if (_pendingDeposits != 0) _settleDeposits();
            _setLimits();
            emit EpochRolled(epoch, _cash, _inventory, _shares);
        } else if (_bucketCap == 0 && _cash != 0) {
            // the first value came after the first deposit
            _setLimits();
        }
        _handOut();
    }

    /// @dev In kind, rounded down, without any price: works whatever the oracle does.
    function _settleWithdrawals() private {
        Rate storage rate = _rates[_withdrawRate - 1];
        uint256 total = uint256(_shares) + _VIRTUAL;
        rate.givenQuote = uint128(uint256(_cash) * rate.asked / total);
        rate.givenUnits = uint96(uint256(_inventory) * rate.asked / total);
        _cash -= rate.givenQuote;
        _inventory -= rate.givenUnits;
        _shares -= rate.asked;
        _unburnt += rate.asked;
        _pendingShares = 0;
        _withdrawRate = 0;
    }

    /// @dev At the ask base, rounded down. What cannot be priced now, or would overflow the token's 96-bit supply, is
    /// given back.
    function _settleDeposits() private {
        Rate storage rate = _rates[_depositRate - 1];
        _pendingDeposits = 0;
        _depositRate = 0;
        bool priced = _inventory == 0 || IFairValue(fairValue).fresh(seriesId);
        uint256 worth = _cash;
        if (priced && _inventory != 0) {
            worth += Math.fullMulDivUp(_inventory, IFairValue(fairValue).askBase(seriesId), 1e18);
        }
        uint256 minted = Math.fullMulDiv(rate.asked, uint256(_shares) + _VIRTUAL, worth + 1);
        if (!priced || minted + _shares + _unburnt > type(uint96).max) {
            rate.givenQuote = rate.asked;
            return;
        }
        rate.givenShares = uint128(minted);
        _cash += rate.asked;
        _shares += uint128(minted);
    }

    /// @dev Inventory of at most twice what the cash buys, and the bucket's size. Without a value, both stay.
    function _setLimits() private {
        try IFairValue(fairValue).bidBase(seriesId) returns (uint256 bid) {
            if (bid == 0) return;
            _inventoryMax = uint96(Math.min(2 * uint256(_cash) * 1e18 / bid, type(uint96).max));
            uint256 reserve = _cash + Math.fullMulDiv(_inventory, bid, 1e18);
            uint256 cap = reserve * outflowPpm / _PPM;
            _bucket = uint128(_bucketCap == 0 ? cap : Math.min(_bucket, cap));
            _bucketCap = uint128(cap);
        } catch {}
    }

    /// @dev Mints and burns for requests of past boundaries, oldest first.
    function _handOut() private {
        uint256 next = _nextRequest;
        uint256 end = Math.min(next + _BATCH, _requests.length);
        for (; next < end; ++next) {
            Request memory request = _requests[next];
            if (request.rate + 1 == _depositRate || request.rate + 1 == _withdrawRate) break;
            _handOutOne(request, _rates[request.rate]);
            delete _requests[next];
        }
        _nextRequest = uint32(next);
    }

    function _handOutOne(Request memory request, Rate memory rate) private {
        if (request.isDeposit && rate.givenShares != 0) {
            LpShare(lpShare).mint(request.provider, uint256(rate.givenShares) * request.amount / rate.asked);
            return;
        }
        uint256 quote = uint256(rate.givenQuote) * request.amount / rate.asked;
        if (request.isDeposit) {
            _settled[request.provider].quote += uint128(quote);
            emit DepositReturned(request.provider, quote);
            return;
        }
        uint256 units = uint256(rate.givenUnits) * request.amount / rate.asked;
        _settled[request.provider].quote += uint128(quote);
        _settled[request.provider].units += uint96(units);
        emit LpWithdrawn(request.provider, request.amount, quote, units);
        _unburnt -= request.amount;
        LpShare(lpShare).burn(request.provider, request.amount);
    }

    /* BUCKET */

    /// @dev What may leave now: the bucket fills by its size in 8 h.
    function _bucketLevel() internal view returns (uint256) {
        uint256 filled = uint256(_bucketCap) * (block.timestamp - _bucketTime) / _EPOCH;
        return Math.min(_bucket + filled, _bucketCap);
    }

    /// @dev Books units bought for quote that leaves the reserve.
    function _take(uint256 units, uint256 quote, uint256 level) internal {
        _bucket = uint128(level - quote);
        _bucketTime = uint40(block.timestamp);
        _cash -= uint128(quote);
        _inventory += uint96(units);
    }

    /* VIEWS */

    /// @inheritdoc IBuybackPool
    function state() external view returns (State memory) {
        return State({
            cash: _cash,
            inventory: _inventory,
            inventoryMax: _inventoryMax,
            pendingDeposits: _pendingDeposits,
            outflowLeft: uint128(Math.min(_bucketLevel(), _cash)),
            settledEpoch: _settledEpoch
        });
    }

    /// @inheritdoc IBuybackPool
    function owedToClaims() external view returns (uint256) {
        return _owedToClaims;
    }

    /// @inheritdoc IBuybackPool
    function settledOf(address provider) external view returns (uint256 quote, uint256 units) {
        return (_settled[provider].quote, _settled[provider].units);
    }

    /// @inheritdoc IBuybackPool
    function backlog() external view returns (uint256) {
        return _requests.length - _nextRequest;
    }
}
