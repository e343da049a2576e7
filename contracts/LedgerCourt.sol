// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {ICreditRule} from "./interfaces/ICreditRule.sol";
import {IEpochLedger} from "./interfaces/IEpochLedger.sol";
import {ILedgerCourt} from "./interfaces/ILedgerCourt.sol";
import {IPayoutRegistry} from "./interfaces/IPayoutRegistry.sol";
import {DueRule} from "./libraries/DueRule.sol";
import {LedgerTree} from "./libraries/LedgerTree.sol";
import {LedgerEvidence} from "./LedgerEvidence.sol";

/// @title LedgerCourt
/// @notice Decides challenges to payout roots from chain data alone. No role has a say in it.
contract LedgerCourt is LedgerEvidence {
    using SafeTransferLib for address;

    uint32 private constant _NOT_PAID = type(uint32).max;
    uint256 private constant _ANSWER_TIME = 12 hours;
    uint256 private constant _PAY_TIME = 24 hours;
    uint256 private constant _LATE_EPOCHS = 6;

    ICreditRule public immutable credits;
    /// @notice Wei that a demand leaves as deposit.
    uint256 public immutable demandDeposit;

    mapping(address account => mapping(uint32 epoch => Demand)) public demands;

    constructor(
        address authority,
        address credits_,
        address payouts_,
        address quoteToken_,
        uint256 bondFactor_,
        uint256 demandDeposit_
    ) LedgerEvidence(authority, ICreditRule(credits_).ledger(), payouts_, quoteToken_, bondFactor_) {
        credits = ICreditRule(credits_);
        demandDeposit = demandDeposit_;
    }

    /* CHALLENGES */

    /// @inheritdoc ILedgerCourt
    function wrongShare(
        uint32 epoch,
        Books calldata books,
        uint16 series,
        bytes calldata report,
        Opening calldata leaf,
        Opening[] calldata before
    ) external metered {
        address account = leaf.leaf.account;
        (, At memory place) = _openIn(epoch, books, leaf);
        (, uint256 found) = LedgerTree.accumulators(leaf.leaf.acc, series);
        uint256 right = _right(epoch, books, account, series, report, before);
        if (found == right) revert NoFault();
        Verdict storage verdict = _decide(Fault.WrongShare, epoch, account, series);
        _correct(account, series, int256(right) - int256(found));
        _penalise(Fault.WrongShare, epoch, place, account, _missing(found, right), msg.sender, verdict);
    }

    /// @dev Sats, rounded up.
    function _missing(uint256 found, uint256 right) private pure returns (uint256) {
        return right > found ? ((right - found) >> 64) + 1 : 0;
    }

    /// @dev What the account's accumulator has to be: its base and the epoch's credit.
    function _right(
        uint32 epoch,
        Books calldata books,
        address account,
        uint16 series,
        bytes calldata report,
        Opening[] calldata before
    ) private view returns (uint256) {
        uint256 base = _accBase(epoch, books.before, account, series, before);
        return base + credits.creditOf(epoch, series, account, report);
    }

    /// @inheritdoc ILedgerCourt
    function wrongDue(uint32 epoch, Books calldata books, Opening calldata leaf, Opening[] calldata before)
        external
        metered
    {
        Leaf calldata l = leaf.leaf;
        (IEpochLedger.Record calldata terms, At memory place) = _openIn(epoch, books, leaf);
        (uint256 paid, uint32 since) = _paidBase(epoch, books.before, l.account, before);
        (bool kept, uint256 due) = _due(l, terms, paid, since);
        if (kept) revert NoFault();
        Verdict storage verdict = _decide(Fault.WrongDue, epoch, l.account, 0);
        // with an output, what it pays counts, and `badOutput` decides that
        if (l.out == _NOT_PAID && l.paid != paid) _correct(l.account, 0, int256(paid) - int256(uint256(l.paid)));
        _penalise(Fault.WrongDue, epoch, place, l.account, _withheld(l, paid, due), msg.sender, verdict);
    }

    /// @dev Whether the leaf says what the Due rule gives, and the sats that are due.
    function _due(Leaf calldata l, IEpochLedger.Record calldata terms, uint256 paid, uint32 since)
        private
        view
        returns (bool kept, uint256 sats)
    {
        uint32 epoch = terms.epoch;
        IPayoutRegistry.Entry memory entry = payouts.entryAt(l.account, epoch);
        (uint256 credited,) = LedgerTree.accumulators(l.acc, 0);
        DueRule.Due memory due = DueRule.due(epoch, credited >> 64, paid, since, entry, terms.minPay, terms.defer);
        kept = l.scriptHash == entry.scriptHash && l.paid == paid + due.sats && l.since == due.since
            && (l.out != _NOT_PAID) == (due.sats != 0);
        sats = due.sats;
    }

    /// @dev Sats that are due and not scheduled.
    function _withheld(Leaf calldata l, uint256 paid, uint256 due) private pure returns (uint256) {
        uint256 given = l.out != _NOT_PAID && l.paid > paid ? l.paid - paid : 0;
        return due > given ? due - given : 0;
    }

    /// @inheritdoc ILedgerCourt
    function badOutput(
        uint32 epoch,
        Books calldata books,
        Opening calldata leaf,
        Opening[] calldata before,
        bytes calldata outputs
    ) external metered {
        Leaf calldata l = leaf.leaf;
        (, At memory place) = _openIn(epoch, books, leaf);
        if (l.out == _NOT_PAID) revert NoFault();
        (uint256 paid,) = _paidBase(epoch, books.before, l.account, before);
        paid += _paidBy(epoch, place, l, outputs);
        if (paid == l.paid) revert NoFault();
        Verdict storage verdict = _decide(Fault.BadOutput, epoch, l.account, 0);
        _correct(l.account, 0, int256(paid) - int256(uint256(l.paid)));
        uint256 harm = l.paid > paid ? l.paid - paid : 0;
        _penalise(Fault.BadOutput, epoch, place, l.account, harm, msg.sender, verdict);
    }

    /// @inheritdoc ILedgerCourt
    function omitted(
        uint32 epoch,
        Books calldata books,
        address account,
        uint16 series,
        bytes calldata report,
        Opening[] calldata around,
        Opening[] calldata before
    ) external metered {
        if (series == 0 || _find(epoch, books.here, account, around)) revert NoFault();
        if (credits.isWrapper(epoch, account)) revert NoFault();
        uint256 right = _right(epoch, books, account, series, report, before);
        if (right == 0) revert NoFault();
        Verdict storage verdict = _decide(Fault.Omitted, epoch, account, series);
        _correct(account, series, int256(right));
        _restorePaid(epoch, books.before, account, before);
        _penalise(Fault.Omitted, epoch, _nowhere(), account, (right >> 64) + 1, msg.sender, verdict);
    }

    /// @dev What was paid before, with the first series that is shown.
    function _restorePaid(uint32 epoch, bytes calldata encoded, address account, Opening[] calldata before) private {
        Verdict storage first = _verdicts[_key(Fault.Omitted, epoch, account, 0)];
        if (first.upheld) return;
        first.upheld = true;
        (uint256 paid,) = _paidBase(epoch, encoded, account, before);
        _correct(account, 0, int256(paid));
    }

    /// @inheritdoc ILedgerCourt
    function disorder(uint32 epoch, bytes calldata here, Opening calldata left, Opening calldata right)
        external
        metered
    {
        IEpochLedger.Record calldata terms = _open(epoch, here, left);
        _check(terms, right);
        Leaf calldata l = left.leaf;
        Leaf calldata r = right.leaf;
        bool unsorted = l.account >= r.account || (l.out != _NOT_PAID && r.out != _NOT_PAID && l.out >= r.out);
        bool fault = (left.index < right.index && unsorted) || (left.index + 1 == terms.accounts && _hides(left));
        if (!fault && !credits.isWrapper(epoch, l.account)) revert NoFault();
        Verdict storage verdict = _decide(Fault.Disorder, epoch, l.account, 0);
        _penalise(Fault.Disorder, epoch, _nowhere(), address(0), 0, msg.sender, verdict);
    }

    /// @dev What stands right of the leaf in the tree has a sum.
    function _hides(Opening calldata opening) private pure returns (bool) {
        for (uint256 k = 0; k * 56 < opening.siblings.length; ++k) {
            if (opening.index >> k & 1 == 1) continue;
            if (bytes24(opening.siblings[k * 56 + 32:k * 56 + 56]) != 0) return true;
        }
        return false;
    }

    /// @inheritdoc ILedgerCourt
    function unpaid(uint32 epoch, Books calldata books, uint16 batch) external metered {
        IEpochLedger.Record calldata r = _record(epoch, books.here);
        At memory place = _batch(r, books.batches, batch);
        if (place.batch == _NO_BATCH || ledger.batchProven(epoch, batch)) revert NoFault();
        uint256 from = (uint256(epoch) + 1) * _EPOCH + uint256(r.delay) * 60 + _PAY_TIME;
        if (block.timestamp < from) revert TooEarly(from);
        Verdict storage verdict = _decideToday(Fault.Unpaid, epoch, address(uint160(batch)));
        _penalise(Fault.Unpaid, epoch, place, address(0), 0, msg.sender, verdict);
    }

    /// @inheritdoc ILedgerCourt
    function lateCommit(uint32 epoch, bytes calldata here) external metered {
        uint256 from = (uint256(epoch) + 1 + _LATE_EPOCHS) * _EPOCH;
        if (block.timestamp < from) revert TooEarly(from);
        if (epoch < _firstEpoch || !oracle.settled(epoch)) revert NoFault();
        Verdict storage verdict;
        if (epoch < ledger.nextEpoch()) {
            // minutes are rounded up: what was committed within the last one before the limit stands at the limit
            if (uint256(_record(epoch, here).delay) * 60 <= _LATE_EPOCHS * _EPOCH) revert NoFault();
            verdict = _decide(Fault.LateCommit, epoch, address(0), 0);
        } else {
            verdict = _decideToday(Fault.LateCommit, epoch, address(0));
        }
        _penalise(Fault.LateCommit, epoch, _nowhere(), address(0), 0, msg.sender, verdict);
    }

    /* DEMANDS */

    /// @inheritdoc ILedgerCourt
    function demand(address account, uint32 epoch, bytes calldata report) external payable {
        if (msg.value != demandDeposit) revert WrongDeposit(demandDeposit);
        _committed(epoch);
        if (block.timestamp >= (uint256(epoch) + 1 + _WINDOW) * _EPOCH) revert TooOld(epoch);
        if (demands[account][epoch].by != address(0)) revert DemandStands(account, epoch);
        demands[account][epoch] = Demand(msg.sender, uint40(block.timestamp), false, msg.value);
        _deposits += uint96(msg.value);
        credits.pinAll(epoch, account, report);
        emit Demanded(account, epoch, msg.sender);
    }

    /// @inheritdoc ILedgerCourt
    function answer(
        address account,
        uint32 epoch,
        Books calldata books,
        Opening[] calldata here,
        Opening[] calldata before
    ) external {
        uint256 gasAtStart = gasleft();
        Demand storage d = demands[account][epoch];
        if (d.by == address(0) || d.answered) revert NoDemand(account, epoch);
        uint256 until = d.since + _ANSWER_TIME;
        if (block.timestamp > until) revert AnswerPeriod(until);
        _find(epoch, books.here, account, here);
        _find(epoch - 1, books.before, account, before);
        (uint256 deposit, address by) = (d.deposit, d.by);
        d.answered = true;
        d.deposit = 0;
        _deposits -= uint96(deposit);
        emit Answered(account, epoch);
        uint256 cost = (gasAtStart - gasleft() + 60_000) * block.basefee;
        if (cost > deposit) cost = deposit;
        if (cost != 0) msg.sender.forceSafeTransferETH(cost, 50_000);
        if (deposit > cost) by.forceSafeTransferETH(deposit - cost, 50_000);
    }

    /// @inheritdoc ILedgerCourt
    function silence(address account, uint32 epoch) external metered {
        Demand memory d = demands[account][epoch];
        if (d.by == address(0) || d.answered) revert NoDemand(account, epoch);
        uint256 until = d.since + _ANSWER_TIME;
        if (block.timestamp <= until) revert AnswerPeriod(until);
        // asked again, the operator owes an answer again
        delete demands[account][epoch];
        _deposits -= uint96(d.deposit);
        if (d.deposit != 0) d.by.forceSafeTransferETH(d.deposit, 50_000);
        Verdict storage verdict = _verdicts[_key(Fault.Silence, epoch, account, block.timestamp / 1 days)];
        _penalise(Fault.Silence, epoch, _nowhere(), account, 1, d.by, verdict);
    }

    /// @inheritdoc ILedgerCourt
    function claimUnpaid(
        uint32 epoch,
        uint256 day,
        Books calldata books,
        Opening calldata leaf,
        Opening[] calldata before
    ) external {
        address account = leaf.leaf.account;
        uint16 batch = uint16(leaf.leaf.out >> 16);
        _open(epoch, books.here, leaf);
        (uint256 paid,) = _paidBase(epoch, books.before, account, before);
        if (leaf.leaf.out == _NOT_PAID || leaf.leaf.paid <= paid) revert NothingToClaim();
        bytes32 id = poolId(Fault.Unpaid, epoch, batch, day);
        Verdict storage verdict = _verdicts[keccak256(abi.encode(id, account))];
        if (verdict.upheld) revert NothingToClaim();
        verdict.upheld = true;
        _payPart(id, account, leaf.leaf.paid - paid);
    }
}
