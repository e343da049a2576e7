// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFairValue} from "../../../contracts/interfaces/IFairValue.sol";
import {IPayoutRegistry} from "../../../contracts/interfaces/IPayoutRegistry.sol";
import {DueRule} from "../../../contracts/libraries/DueRule.sol";
import {PoolMath} from "../../../contracts/libraries/PoolMath.sol";
import {ValueMath} from "../../../contracts/libraries/ValueMath.sol";
import {Vm} from "../utils/Vm.sol";

/// @title MathProofs
/// @notice Prices of the pool, inputs of fair value, and the Due rule.
/// @dev Dividing by an unknown, or a product of two, is what a solver cannot do: where it must, a check goes through every
/// value of a small range instead (`_each`), and the fuzz tests sample the rest.
contract MathProofs {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant _BASE = 20e6;
    uint256 private constant _MAX = 32;
    uint256 private constant _STEP = 1e15;

    /// @dev Each value below `count` is a path of its own.
    function _each(uint8 x, uint256 count) private pure returns (uint256 i) {
        vm.assume(x < count);
        while (i != x) ++i;
    }

    /* POOL */

    function _sell(uint256 units, uint256 held) private pure returns (uint256) {
        return PoolMath.sell_floor(_BASE, units * _STEP, held * _STEP, _MAX * _STEP, 5000, 100_000);
    }

    function _buy(uint256 units, uint256 held) private pure returns (uint256) {
        return PoolMath.buy_ceil(_BASE, units * _STEP, held * _STEP, _MAX * _STEP, 5000, 2500);
    }

    function check_bidIsBelowTheBase(uint8 a, uint8 b) external pure {
        (uint256 units, uint256 held) = (_each(a, 17), _each(b, 16));
        assert(_sell(units, held) * 1e18 <= _BASE * units * _STEP);
    }

    function check_askIsAboveTheBase(uint8 a, uint8 b) external pure {
        (uint256 units, uint256 held) = (_each(a, 16), _each(b, 40));
        vm.assume(units <= held);
        assert(_buy(units, held) * 1e18 >= _BASE * units * _STEP);
    }

    function check_sellingAndBuyingBackCosts(uint8 a, uint8 b) external pure {
        (uint256 units, uint256 held) = (_each(a, 17), _each(b, 16));
        assert(_buy(units, held + units) >= _sell(units, held));
    }

    function check_piecesPayNoMore(uint8 a, uint8 b) external pure {
        (uint256 first, uint256 second) = (_each(a, 16), _each(b, 16));
        assert(_sell(first, 0) + _sell(second, first) <= _sell(first + second, 0));
    }

    function check_piecesCostNoLess(uint8 a, uint8 b) external pure {
        (uint256 first, uint256 second) = (_each(a, 16), _each(b, 16));
        assert(_buy(first, 40) + _buy(second, 40 - first) >= _buy(first + second, 40));
    }

    function check_affordableIsAffordable(uint8 a) external pure {
        uint256 budget = _each(a, 250);
        uint256 units = PoolMath.affordable_floor(_BASE, budget, 7 * _STEP, _MAX * _STEP, 5000, 100_000);
        assert(PoolMath.sell_floor(_BASE, units, 7 * _STEP, _MAX * _STEP, 5000, 100_000) <= budget);
    }

    /* FAIR VALUE */

    function check_combineIsTheMedian(uint128 low, uint128 mid, uint128 high) external pure {
        vm.assume(low != 0 && low <= mid && mid <= high);
        assert(ValueMath.combine(low, mid, high) == mid && ValueMath.combine(low, high, mid) == mid);
        assert(ValueMath.combine(mid, low, high) == mid && ValueMath.combine(mid, high, low) == mid);
        assert(ValueMath.combine(high, low, mid) == mid && ValueMath.combine(high, mid, low) == mid);
    }

    function check_combineOfTwoIsTheLower(uint128 h, uint128 other, bool first) external pure {
        vm.assume(h != 0 && other != 0);
        uint256 found = first ? ValueMath.combine(h, other, 0) : ValueMath.combine(h, 0, other);
        assert(found <= h && found <= other && (found == h || found == other));
    }

    function check_combineOfOneIsItself(uint128 h) external pure {
        assert(ValueMath.combine(h, 0, 0) == h);
    }

    function check_clampMovesAtMostTwoPercent(uint128 raw, uint8 previous) external pure {
        uint256 last = _each(previous, 40) * 37;
        uint256 found = ValueMath.clamp(raw, last);
        assert(found <= last * 102 / 100 && found >= last * 98 / 100);
    }

    function check_clampKeepsWhatIsNear(uint128 raw, uint8 previous) external pure {
        uint256 last = _each(previous, 40) * 1000;
        vm.assume(raw >= last * 98 / 100 && raw <= last * 102 / 100);
        assert(ValueMath.clamp(raw, last) == raw);
    }

    function check_scrapIsTheFloorOfTheSchedule(uint8 month) external pure {
        IFairValue.Params memory p = IFairValue.Params(1e12, 100_000, 50_000, 0, 0);
        uint256 age = _each(month, 60) * 30 days;
        assert(ValueMath.schedule(p, age) >= ValueMath.scrap(p) && ValueMath.schedule(p, age) <= 1e12);
        assert(ValueMath.schedule(p, age + 15 days) <= ValueMath.schedule(p, age));
    }

    /* DUE RULE */

    struct Case {
        uint32 epoch;
        uint64 credited;
        uint64 paid;
        uint32 since;
        uint64 minimum;
        uint16 dust;
        bytes32 script;
        uint16 minPay;
        bool defer;
    }

    function _due(Case memory c) private pure returns (DueRule.Due memory) {
        vm.assume(c.since <= c.epoch && c.epoch != 0);
        IPayoutRegistry.Entry memory entry = IPayoutRegistry.Entry(1, c.minimum, c.dust, c.script);
        return DueRule.due(c.epoch, c.credited, c.paid, c.since, entry, c.minPay, c.defer);
    }

    function _owed(Case memory c) private pure returns (uint256) {
        return c.credited > c.paid ? c.credited - c.paid : 0;
    }

    function check_dueIsAllOrNothing(Case memory c) external pure {
        uint256 sats = _due(c).sats;
        assert(sats == 0 || sats == _owed(c));
    }

    function check_nothingIsDueWithoutAScript(Case memory c) external pure {
        c.script = 0;
        assert(_due(c).sats == 0);
    }

    function check_nothingIsDueInADeferredEpoch(Case memory c) external pure {
        c.defer = true;
        assert(_due(c).sats == 0);
    }

    function check_dustIsNeverDue(Case memory c) external pure {
        uint256 sats = _due(c).sats;
        assert(sats == 0 || sats >= c.dust);
    }

    function check_sinceIsZeroExactlyWhenNothingIsOpen(Case memory c) external pure {
        DueRule.Due memory due = _due(c);
        assert((due.since == 0) == (_owed(c) == due.sats));
    }

    function check_waitingKeepsItsStart(Case memory c) external pure {
        DueRule.Due memory due = _due(c);
        if (due.since != 0) assert(due.since == (c.since == 0 ? c.epoch : c.since));
    }

    function check_enoughIsDueAtOnce(Case memory c) external pure {
        vm.assume(!c.defer && c.script != 0);
        uint256 owed = _owed(c);
        vm.assume(owed != 0 && owed >= c.dust && owed >= c.minPay && owed >= c.minimum);
        assert(_due(c).sats == owed);
    }

    function check_ninetyEpochsAreEnough(Case memory c) external pure {
        vm.assume(!c.defer && c.script != 0 && c.since != 0);
        vm.assume(_owed(c) >= c.dust && _owed(c) >= 2000 && c.epoch >= c.since && c.epoch - c.since >= 90);
        assert(_due(c).sats == _owed(c));
    }

    function check_littleWaits(Case memory c) external pure {
        vm.assume(c.epoch < 90 || c.since == 0);
        vm.assume(_owed(c) < c.minPay || _owed(c) < c.minimum);
        assert(_due(c).sats == 0);
    }
}
