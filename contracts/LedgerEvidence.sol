// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "./interfaces/IEpochLedger.sol";
import {ILedgerCourt} from "./interfaces/ILedgerCourt.sol";
import {IPayoutRegistry} from "./interfaces/IPayoutRegistry.sol";
import {BitcoinTx} from "./libraries/BitcoinTx.sol";
import {LedgerRecord} from "./libraries/LedgerRecord.sol";
import {LedgerTree} from "./libraries/LedgerTree.sol";
import {LedgerBond} from "./LedgerBond.sol";

/// @title LedgerEvidence
/// @notice Reads leaves under roots, and the base that an account starts an epoch with: its last leaf as corrected.
abstract contract LedgerEvidence is LedgerBond {
    IPayoutRegistry public immutable payouts;

    /// @dev series 0 is `paid`
    mapping(uint32 epoch => mapping(address account => mapping(uint16 series => int256))) private _corrections;
    mapping(uint32 epoch => Sums) private _sums;
    uint32 internal immutable _firstEpoch;

    constructor(address authority, address ledger_, address payouts_, address quoteToken_, uint256 bondFactor_)
        LedgerBond(authority, ledger_, quoteToken_, bondFactor_)
    {
        payouts = IPayoutRegistry(payouts_);
        _firstEpoch = IEpochLedger(ledger_).firstEpoch();
    }

    /* CORRECTIONS */

    /// @inheritdoc ILedgerCourt
    function accCorrection(uint32 epoch, address account, uint16 series) external view returns (int256) {
        return series == 0 ? int256(0) : _corrections[epoch][account][series];
    }

    /// @inheritdoc ILedgerCourt
    function paidCorrection(uint32 epoch, address account) external view returns (int256) {
        return _corrections[epoch][account][0];
    }

    /// @inheritdoc ILedgerCourt
    function correctionSums(uint32 epoch) external view returns (Sums memory) {
        return _sums[epoch];
    }

    /// @dev Counts in the epoch that runs now: nobody can have committed it, and everybody sees it before its end.
    function _correct(address account, uint16 series, int256 change) internal {
        if (change == 0) return;
        uint32 epoch = uint32(block.timestamp / _EPOCH);
        _corrections[epoch][account][series] += change;
        Sums storage sums = _sums[epoch];
        bool first = series == 0 ? sums.paidUp | sums.paidDown == 0 : sums.accUp | sums.accDown == 0;
        uint256 size = uint256(change < 0 ? -change : change);
        if (series != 0 && change > 0) sums.accUp += uint128(size);
        else if (series != 0) sums.accDown += uint128(size);
        else if (change > 0) sums.paidUp += uint64(size);
        else sums.paidDown += uint64(size);
        // once known, the epoch's commitment asks for the sums as they are then
        if (first) ledger.noteCorrection(epoch);
        emit Corrected(epoch, account, series, change);
    }

    function _decide(Fault fault, uint32 epoch, address account, uint16 series)
        internal
        returns (Verdict storage verdict)
    {
        if (block.timestamp >= (uint256(epoch) + 1 + _WINDOW) * _EPOCH) revert TooOld(epoch);
        verdict = _verdicts[_key(fault, epoch, account, series)];
        _once(verdict);
    }

    function _decideToday(Fault fault, uint32 epoch, address account) internal returns (Verdict storage verdict) {
        verdict = _verdicts[_key(fault, epoch, account, block.timestamp / 1 days)];
        _once(verdict);
    }

    function _once(Verdict storage verdict) private {
        if (verdict.upheld) revert AlreadyUpheld();
        verdict.upheld = true;
    }

    /* EVIDENCE */

    /// @dev The record of a committed epoch, as it was brought.
    function _record(uint32 epoch, bytes calldata encoded) internal view returns (IEpochLedger.Record calldata r) {
        bytes32 found;
        (r, found) = LedgerRecord.read(encoded);
        if (_committed(epoch) != found || encoded.length != LedgerRecord.LENGTH) revert WrongRecord(epoch);
    }

    function _committed(uint32 epoch) internal view returns (bytes32 stored) {
        stored = ledger.commitmentHash(epoch);
        if (stored == 0) revert NotCommitted(epoch);
    }

    /// @dev The opened leaf stands under the epoch's root.
    function _open(uint32 epoch, bytes calldata encoded, Opening calldata opening)
        internal
        view
        returns (IEpochLedger.Record calldata r)
    {
        r = _record(epoch, encoded);
        _check(r, opening);
    }

    /// @dev The same, and the batch that pays it, if it names one that exists.
    function _openIn(uint32 epoch, Books calldata books, Opening calldata opening)
        internal
        view
        returns (IEpochLedger.Record calldata r, At memory)
    {
        r = _open(epoch, books.here, opening);
        return (r, _batch(r, books.batches, opening.leaf.out >> 16));
    }

    function _check(IEpochLedger.Record calldata r, Opening calldata opening) internal pure {
        Leaf calldata l = opening.leaf;
        uint256 index = opening.index;
        if (index >= r.accounts || opening.siblings.length != 56 * LedgerTree.depthOf(r.accounts)) {
            revert NotInTree(r.epoch, index);
        }
        IEpochLedger.Root memory node;
        node.hash = LedgerTree.leafHash(l.account, l.scriptHash, l.paid, l.since, l.out, l.acc);
        (uint256 sum,) = LedgerTree.accumulators(l.acc, 0);
        if (sum > type(uint128).max) revert NotInTree(r.epoch, index);
        (node.accSum, node.paidSum) = (uint128(sum), l.paid);
        (bytes32 hash, uint256 accSum, uint256 paidSum) = LedgerTree.rootOfPacked(index, node, opening.siblings);
        if (hash != r.root || accSum != r.accSum || paidSum != r.paidSum) revert NotInTree(r.epoch, index);
    }

    /// @dev Whether the account has a leaf, which is then the first of `list`; reverts if `list` shows neither.
    function _find(uint32 epoch, bytes calldata encoded, address account, Opening[] calldata list)
        internal
        view
        returns (bool)
    {
        if (epoch < _firstEpoch) return false;
        IEpochLedger.Record calldata r = _record(epoch, encoded);
        if (r.accounts == 0) return false;
        // no more than is needed: the challenger is paid by the gas
        if (list.length == 0 || list.length > 2) revert NoEvidence(account, epoch);
        for (uint256 i = 0; i < list.length; ++i) {
            _check(r, list[i]);
        }
        address first = list[0].leaf.account;
        if (first == account) return true;
        uint256 index = list[0].index;
        bool absent;
        if (list.length == 1) {
            absent = account < first ? index == 0 : index + 1 == r.accounts;
        } else {
            absent = list[1].index == index + 1 && first < account && account < list[1].leaf.account;
        }
        if (!absent) revert NoEvidence(account, epoch);
        return false;
    }

    /// @dev Accumulator of `series` before the epoch: the last leaf's, or 0, as corrected.
    function _accBase(uint32 epoch, bytes calldata encoded, address account, uint16 series, Opening[] calldata before)
        internal
        view
        returns (uint256 base)
    {
        if (_find(epoch - 1, encoded, account, before)) (, base) = LedgerTree.accumulators(before[0].leaf.acc, series);
        return _add(base, _corrections[epoch][account][series]);
    }

    /// @dev Sats paid before the epoch, as corrected, and since when something was owed.
    function _paidBase(uint32 epoch, bytes calldata encoded, address account, Opening[] calldata before)
        internal
        view
        returns (uint256 paid, uint32 since)
    {
        if (_find(epoch - 1, encoded, account, before)) {
            (paid, since) = (before[0].leaf.paid, before[0].leaf.since);
        }
        paid = _add(paid, _corrections[epoch][account][0]);
    }

    /// @dev Not below zero.
    function _add(uint256 base, int256 change) internal pure returns (uint256) {
        int256 sum = int256(base) + change;
        return sum < 0 ? 0 : uint256(sum);
    }

    /// @dev Batch `index` of the epoch, if it exists.
    function _batch(IEpochLedger.Record calldata r, bytes calldata batches, uint256 index)
        internal
        pure
        returns (At memory)
    {
        if (keccak256(batches) != r.batches) revert WrongRecord(r.epoch);
        if (index * 64 >= batches.length) return _nowhere();
        (bytes32 outputsHash, uint256 total) = (0, 0);
        assembly ("memory-safe") {
            // 64 bytes that are there: the length of what was committed is a multiple of them
            let place := add(batches.offset, shl(6, index))
            outputsHash := calldataload(place)
            total := calldataload(add(place, 32))
        }
        return At(uint16(index), uint64(total), outputsHash);
    }

    /// @dev What the output that the leaf names pays to the script that the account had registered.
    function _paidBy(uint32 epoch, At memory where, Leaf calldata l, bytes calldata outputs)
        internal
        view
        returns (uint256)
    {
        if (where.batch == _NO_BATCH) return 0;
        if (keccak256(outputs) != where.outputsHash) revert NoEvidence(l.account, epoch);
        uint256 cursor = 0;
        // what is no list of outputs pays nobody, and must not stop the challenge
        for (uint256 i = 0; cursor + 9 <= outputs.length; ++i) {
            uint256 next = cursor + 9 + uint8(outputs[cursor + 8]);
            if (next > outputs.length) return 0;
            if (i == l.out & 0xffff) {
                bytes32 script = payouts.entryAt(l.account, epoch).scriptHash;
                if (script == 0 || keccak256(outputs[cursor + 9:next]) != script) return 0;
                return BitcoinTx.littleEndian(outputs[cursor:cursor + 8]);
            }
            cursor = next;
        }
        return 0;
    }
}
