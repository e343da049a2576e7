// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {IBuybackPool} from "./interfaces/IBuybackPool.sol";
import {IFairValue} from "./interfaces/IFairValue.sol";
import {Outflow} from "./libraries/Outflow.sol";
import {Stoppable} from "./Stoppable.sol";
import {LpShare} from "./tokens/LpShare.sol";

/// @title PoolBooks
/// @notice What a buyback pool is built with, and its books.
/// @dev Most significant bits first. A sale writes the first word and reads the second; the third only while units are
/// queued.
///
///     trading  emptyAt:64 | cash:96 | inventory:96
///     limits   unused:16 | queued:8 | backlog:8 | settledEpoch:32 | outflowCap:96 | inventoryMax:96
///     waiting  round:32 | unused:32 | roundUnits:96 | queuedUnits:96
///     owed     roundPrice:96 | unused:32 | claims:128
abstract contract PoolBooks is IBuybackPool, Stoppable {
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
        /// part of all LP shares that the first-loss account must hold for others to deposit
        uint32 firstLossPpm;
        string name;
    }

    struct Trading {
        uint96 inventory;
        uint96 cash;
        /// the outflow bucket, see Outflow
        uint64 emptyAt;
    }

    /// @dev set at epoch boundaries; the flags also when the first request comes or the last one goes. `backlog` stays
    /// set until there are limits, too: every call then looks for a value
    struct Limits {
        uint96 inventoryMax;
        uint96 outflowCap;
        uint32 settledEpoch;
        bool backlog;
        bool queued;
    }

    /// @dev a round of the wind-down: tickets of rounds before `round` settle at one price, from cash set aside
    struct Waiting {
        uint96 queuedUnits;
        uint96 roundUnits;
        uint32 round;
    }

    struct Owed {
        uint128 claims;
        uint96 roundPrice;
    }

    error BadConfig();

    uint256 internal constant _EPOCH = 28_800;
    uint256 internal constant _PPM = 1e6;
    uint256 internal constant _UNIT = 1e18;

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
    uint256 public immutable firstLossPpm;

    Trading internal _trading;
    Limits internal _limits;
    Waiting internal _waiting;
    Owed internal _owed;
    /// @dev cash set aside for the tickets of an open round
    uint256 internal _roundCash;

    constructor(Config memory c) {
        bool bad = c.feePpm + c.skewPpm >= _PPM || c.askSkewPpm > c.feePpm || c.outflowPpm == 0 || c.outflowPpm > _PPM;
        if (bad || c.firstLoss == address(0) || c.firstLossPpm > _PPM) revert BadConfig();
        seriesId = c.seriesId;
        unit = c.unit;
        quoteToken = c.quoteToken;
        fairValue = c.fairValue;
        firstLoss = c.firstLoss;
        feePpm = c.feePpm;
        skewPpm = c.skewPpm;
        askSkewPpm = c.askSkewPpm;
        outflowPpm = c.outflowPpm;
        firstLossPpm = c.firstLossPpm;
        lpShare = address(
            new LpShare(c.ledger, c.firstLoss, string.concat(c.name, " LP share"), string.concat("lp", c.name))
        );
        _limits.settledEpoch = uint32(block.timestamp / _EPOCH);
        _trading.emptyAt = uint64(block.timestamp << 24);
    }

    function _tradingWord() internal view returns (uint256 word) {
        assembly ("memory-safe") {
            word := sload(_trading.slot)
        }
    }

    function _limitsWord() internal view returns (uint256 word) {
        assembly ("memory-safe") {
            word := sload(_limits.slot)
        }
    }

    function _setTrading(uint256 word) internal {
        assembly ("memory-safe") {
            sstore(_trading.slot, word)
        }
    }

    /// @dev Bases in quote units per whole unit, as last valued; zeros before any valuation.
    function _value() internal view returns (uint256 bid, uint256 ask, bool fresh) {
        uint256 until;
        (bid, ask, until) = IFairValue(fairValue).quotes(seriesId);
        fresh = block.timestamp <= until;
    }

    /// @inheritdoc IBuybackPool
    function missedReports() public view returns (uint256) {
        (uint256 bid, uint256 ask, uint256 until) = IFairValue(fairValue).quotes(seriesId);
        if (block.timestamp <= until || (bid | ask | until) == 0) return 0;
        // a report is missed when the epoch after the one it is of is over
        return Math.zeroFloorSub(block.timestamp / _EPOCH, uint256(IFairValue(fairValue).valuation(seriesId).epoch) + 2);
    }

    /// @inheritdoc IBuybackPool
    function owedToClaims() external view returns (uint256) {
        return _owed.claims;
    }

    /// @inheritdoc IBuybackPool
    function queuedUnits() external view returns (uint256) {
        return _waiting.queuedUnits;
    }

    /// @inheritdoc IBuybackPool
    function round() external view returns (uint32 number, uint256 units, uint256 price, uint256 cash) {
        return (_waiting.round, _waiting.roundUnits, _owed.roundPrice, _roundCash);
    }
}
