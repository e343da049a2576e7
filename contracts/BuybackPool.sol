// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {LibCall} from "solady/utils/LibCall.sol";
import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IBuybackPool} from "./interfaces/IBuybackPool.sol";
import {IExitQueue} from "./interfaces/IExitQueue.sol";
import {IFairValue} from "./interfaces/IFairValue.sol";
import {ExitQueue} from "./ExitQueue.sol";
import {LpVault} from "./LpVault.sol";
import {PoolMath} from "./libraries/PoolMath.sol";

/// @title BuybackPool
/// @notice Buys units at fair value less a spread and sells its inventory at fair value plus one. What liquidity
/// providers do is in LpVault. Balances are kept in own books: a donation changes nothing.
contract BuybackPool is LpVault, ReentrancyGuardTransient {
    using SafeTransferLib for address;

    uint256 private constant _EPOCH = 28_800;
    /// @dev a report is missed when the epoch after the one it was due in is over
    uint256 private constant _MISSED_TO_SETTLE = 3;
    /// @dev the queue's price falls no further: units would go for nothing if the oracle stayed silent
    uint256 private constant _MISSED_MAX = 21;

    /// @inheritdoc IBuybackPool
    address public immutable queue;

    constructor(address authority, Config memory config) AccessManaged(authority) LpVault(config) {
        queue = address(new ExitQueue(address(this), config.unit, config.name));
    }

    /* TRADES */

    /// @inheritdoc IBuybackPool
    function sell(uint256 units, uint256 minQuote, address to) external nonReentrant returns (uint256 quote) {
        _roll();
        quote = quoteSell(units);
        if (quote < minQuote) revert MinQuoteNotMet(quote, minQuote);
        uint256 level = _bucketLevel();
        uint256 kept = Math.fullMulDiv(IExitQueue(queue).queuedUnits(), IFairValue(fairValue).bidBase(seriesId), 1e18);
        // queued units come first: only what the bucket holds beyond them is for instant sales
        uint256 left = Math.min(Math.zeroFloorSub(level, kept), _cash);
        if (quote > left) revert OutflowExhausted(left, quote);

        _take(units, quote, level);
        emit Sold(msg.sender, to, units, quote);
        unit.safeTransferFrom(msg.sender, address(this), units);
        quoteToken.safeTransfer(to, quote);
    }

    /// @inheritdoc IBuybackPool
    function buy(uint256 units, uint256 maxQuote, address to) external nonReentrant returns (uint256 quote) {
        _roll();
        quote = quoteBuy(units);
        if (quote > maxQuote) revert MaxQuoteExceeded(quote, maxQuote);
        _cash += uint128(quote);
        _inventory -= uint96(units);
        emit Bought(msg.sender, to, units, quote);
        quoteToken.safeTransferFrom(msg.sender, address(this), quote);
        unit.safeTransfer(to, units);
    }

    /// @inheritdoc IBuybackPool
    function quoteSell(uint256 units) public view returns (uint256) {
        if (units == 0) revert ZeroAmount();
        if (!IFairValue(fairValue).fresh(seriesId)) revert StaleValue(seriesId);
        if (_inventory + units > _inventoryMax) revert InventoryFull(_inventory, _inventoryMax);
        uint256 base = IFairValue(fairValue).bidBase(seriesId);
        return PoolMath.sell_floor(base, units, _inventory, _inventoryMax, feePpm, skewPpm);
    }

    /// @inheritdoc IBuybackPool
    function quoteBuy(uint256 units) public view returns (uint256) {
        if (units == 0) revert ZeroAmount();
        if (!IFairValue(fairValue).fresh(seriesId)) revert StaleValue(seriesId);
        if (units > _inventory) revert NotEnoughInventory(_inventory, units);
        uint256 base = IFairValue(fairValue).askBase(seriesId);
        return PoolMath.buy_ceil(base, units, _inventory, Math.max(_inventoryMax, 1), feePpm, askSkewPpm);
    }

    /* QUEUE */

    /// @inheritdoc IBuybackPool
    function queueSettle(uint256 units) external nonReentrant returns (uint256 taken, uint256 quote) {
        if (msg.sender != queue) revert OnlyQueue(msg.sender);
        _roll();
        uint256 base = _queueBase();
        uint256 max = _inventoryMax;
        if (base == 0 || _inventory >= max) return (0, 0);
        uint256 level = _bucketLevel();
        uint256 budget = Math.min(level, _cash);
        taken = Math.min(units, max - _inventory);
        quote = PoolMath.sell_floor(base, taken, _inventory, max, feePpm, skewPpm);
        if (quote > budget) {
            taken = Math.min(taken, PoolMath.affordable_floor(base, budget, _inventory, max, feePpm, skewPpm));
            quote = PoolMath.sell_floor(base, taken, _inventory, max, feePpm, skewPpm);
        }
        // a whole ticket too small to be worth a quote unit goes for nothing, or it would stop those behind it
        if (taken == 0 || (quote == 0 && taken < units)) return (0, 0);
        _take(taken, quote, level);
        _owedToClaims += uint128(quote);
    }

    /// @inheritdoc IBuybackPool
    function queuePay(address to, uint256 quote) external nonReentrant {
        if (msg.sender != queue) revert OnlyQueue(msg.sender);
        _owedToClaims -= uint128(quote);
        quoteToken.safeTransfer(to, quote);
    }

    /// @dev The bid base; after three missed reports the last one, less 2 % for each of at most 21; zero in between.
    function _queueBase() private view returns (uint256 base) {
        IFairValue values = IFairValue(fairValue);
        bool isFresh = values.fresh(seriesId);
        uint256 missed = isFresh ? 0 : _missed(values);
        if (!isFresh && missed < _MISSED_TO_SETTLE) return 0;
        base = values.bidBase(seriesId);
        if (missed != 0) base = Math.fullMulDiv(base, Math.rpow(98e16, Math.min(missed, _MISSED_MAX), 1e18), 1e18);
    }

    /// @dev Reports missed since the last valued one; zero before any.
    function _missed(IFairValue values) private view returns (uint256) {
        try values.valuation(seriesId) returns (IFairValue.Valuation memory v) {
            return Math.zeroFloorSub(block.timestamp / _EPOCH, uint256(v.epoch) + 2);
        } catch {
            return 0;
        }
    }

    /* LIQUIDITY */

    /// @inheritdoc IBuybackPool
    function deposit(uint256 quote) external nonReentrant whenRunning {
        _roll();
        _requestDeposit(quote);
        quoteToken.safeTransferFrom(msg.sender, address(this), quote);
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
