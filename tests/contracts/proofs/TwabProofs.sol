// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Twab} from "../../../contracts/libraries/Twab.sol";
import {Vm} from "../utils/Vm.sol";

/// @title TwabProofs
/// @notice The account word and its ring, for every balance and every cumulative sum. Run by `./scripts/bench proofs`:
/// an `assert` that can fail for any argument is a counterexample.
contract TwabProofs {
    using Twab for Twab.Account;

    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant _E = 28_800;
    /// @dev an epoch whose number is 16 modulo the ring's length
    uint256 private constant _NOW = 70_000;
    Twab.Account private _account;

    function _word(uint256 last, uint128 cumulative, uint96 held) private pure returns (uint256) {
        return last << 224 | uint256(cumulative) << 96 | held;
    }

    function _cumulative(uint256 word) private pure returns (uint256) {
        return (word >> 96) & type(uint128).max;
    }

    /// @dev A word as it can stand: nothing accumulates faster than the largest balance.
    function _start(uint256 last, uint128 cumulative, uint96 held) private {
        vm.assume(cumulative <= 2 ** 127);
        _account.word = _word(last, cumulative, held);
    }

    /// @dev `second` of the present epoch; sets `next`.
    function _touch(uint256 second, uint96 next) private {
        vm.warp(_NOW * _E + second);
        _account.set(_account.word, next);
    }

    function check_setStoresTheBalance(uint128 cumulative, uint96 held, uint96 next) external {
        _start(_NOW * _E + 5, cumulative, held);
        _touch(77, next);
        assert(_account.balance() == next);
    }

    function check_setStampsTheTime(uint128 cumulative, uint96 held, uint96 next) external {
        _start(_NOW * _E - 5, cumulative, held);
        _touch(77, next);
        assert(_account.word >> 224 == _NOW * _E + 77);
    }

    function check_accumulatesWithinAnEpoch(uint128 cumulative, uint96 held, uint96 next) external {
        _start(_NOW * _E + 100, cumulative, held);
        _touch(777, next);
        assert(_cumulative(_account.word) == uint256(cumulative) + uint256(held) * 677);
    }

    /// @dev The two steps over a boundary lose nothing.
    function check_accumulatesAcrossABoundary(uint128 cumulative, uint96 held, uint96 next) external {
        _start((_NOW - 1) * _E + 12_345, cumulative, held);
        _touch(20_001, next);
        assert(_cumulative(_account.word) == uint256(cumulative) + uint256(held) * (_E - 12_345 + 20_001));
    }

    function check_accumulatesAcrossTheWholeRing(uint128 cumulative, uint96 held, uint96 next) external {
        _start((_NOW - 70) * _E + 9, cumulative, held);
        _touch(11, next);
        assert(_cumulative(_account.word) == uint256(cumulative) + uint256(held) * (70 * _E + 2));
    }

    function check_firstTouchProjectsToTheStart(uint128 cumulative, uint96 held, uint96 next) external {
        _start((_NOW - 2) * _E + 700, cumulative, held);
        _touch(4321, next);
        uint256 entry = _account.ring[_NOW % 32];
        assert(_cumulative(entry) == uint256(cumulative) + uint256(held) * (2 * _E - 700));
        assert(uint96(entry) == held);
    }

    function check_firstTouchTagsItsEntry(uint128 cumulative, uint96 held, uint96 next, uint256 stale) external {
        _start((_NOW - 40) * _E, cumulative, held);
        _account.ring[_NOW % 32] = stale;
        _touch(1, next);
        assert(_account.ring[_NOW % 32] >> 224 == _NOW * _E);
    }

    function check_laterTouchLeavesTheRing(uint128 cumulative, uint96 held, uint96 next, uint256 entry) external {
        _start(_NOW * _E, cumulative, held);
        _account.ring[_NOW % 32] = entry;
        _touch(28_799, next);
        assert(_account.ring[_NOW % 32] == entry);
    }

    function check_touchLeavesOtherEntries(uint8 index, uint256 entry, uint96 held, uint96 next) external {
        index = index % 32;
        vm.assume(index != _NOW % 32);
        _start((_NOW - 1) * _E, 0, held);
        for (uint256 i = 0; i < 32; ++i) {
            if (i == index) _account.ring[i] = entry;
        }
        _touch(5, next);
        for (uint256 i = 0; i < 32; ++i) {
            if (i == index) assert(_account.ring[i] == entry);
        }
    }

    /// @dev What a touch wrote is what is read back for the start of its epoch.
    function check_readBackAtTheStart(uint128 cumulative, uint96 held, uint96 next) external {
        _start((_NOW - 1) * _E + 3, cumulative, held);
        _touch(2000, next);
        assert(_account.cumulativeAt(_NOW) == uint256(cumulative) + uint256(held) * (_E - 3));
    }

    /// @dev An untouched account is projected forward.
    function check_idleIsProjected(uint128 cumulative, uint96 held) external {
        _start((_NOW - 35) * _E + 8, cumulative, held);
        assert(_account.cumulativeAt(_NOW) == uint256(cumulative) + uint256(held) * (35 * _E - 8));
    }

    /// @dev Idle epochs before a touch weigh the balance that stood, whatever the ring held 32 epochs ago.
    function check_staleEntryIsNeverTaken(uint96 held, uint96 next, uint224 old) external {
        _account.ring[(_NOW - 3) % 32] = ((_NOW - 35) * _E) << 224 | old;
        _account.ring[(_NOW - 2) % 32] = ((_NOW - 34) * _E) << 224 | old;
        _account.ring[(_NOW - 1) % 32] = ((_NOW - 33) * _E) << 224 | old;
        _start((_NOW - 40) * _E, 0, held);
        _touch(99, next);
        for (uint256 e = _NOW - 3; e < _NOW; ++e) {
            assert(_account.cumulativeAt(e + 1) - _account.cumulativeAt(e) == uint256(held) * _E);
        }
    }

    /// @dev The largest balance over all of 32 bits of time does not reach the field's 128 bits.
    function check_cumulativeNeverOverflows(uint32 time) external pure {
        assert(uint256(type(uint96).max) * time <= type(uint128).max);
    }
}
