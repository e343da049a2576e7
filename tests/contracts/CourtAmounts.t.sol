// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {Bitcoin} from "./utils/Bitcoin.sol";
import {CourtFixture} from "./utils/CourtFixture.sol";
import {Vm} from "./utils/Vm.sol";

/// @notice What each fault costs, whom it harmed by how much, what is corrected and what is logged: to the unit.
/// A sat is 600 quote units at 60,000 a BTC, so a penalty of a tenth is 60 a sat, and 3 of them are the challenger's.
contract CourtAmountsTest is CourtFixture {
    uint64 private constant _SATS = 3_000_000;
    uint16 private constant _NOWHERE = 0xffff;
    address private constant _CAROL = address(0xCA401);
    uint32 private _e;

    function setUp() public override {
        super.setUp();
        reportAndCommit(_SATS);
        reportAndCommit(_SATS);
        _e = report(_SATS);
        bondUp(1e12);
    }

    /* WHAT IS EXPECTED */

    /// @dev The call just made upheld one fault, took a penalty on `total` sats, and booked `harm` in its pool.
    function _upheld(ILedgerCourt.Fault fault, address account, uint16 batch, uint256 total, uint256 harm) private {
        bytes32 id = court.poolId(fault, _e, batch, block.timestamp / 1 days);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 seen = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == ILedgerCourt.Upheld.selector) {
                assertEq(logs[i].topics[1], bytes32(uint256(fault)), "fault");
                assertEq(logs[i].topics[2], bytes32(uint256(_e)), "epoch");
                assertEq(logs[i].topics[3], bytes32(uint256(uint160(account))), "account");
                assertEq(logs[i].data, abi.encode(_CAROL), "challenger");
                seen += 1;
            } else if (logs[i].topics[0] == ILedgerCourt.Penalised.selector) {
                assertEq(logs[i].topics[1], id, "pool");
                assertEq(logs[i].data, abi.encode(total * 60, total * 3), "penalty and reward");
                seen += 16;
            }
        }
        assertEq(seen, 17, "one of each");
        ILedgerCourt.Pool memory pool = court.poolOf(id);
        assertEq(pool.amount, total * 57, "for the harmed");
        assertEq(pool.weight, harm, "harm");
        assertTrue(pool.taken, "taken");
        assertEq(court.rewardOf(_CAROL), total * 3, "for the challenger");
        assertEq(court.bond(), 1e12 - total * 60, "from the bond");
        if (batch != _NOWHERE) assertEq(total, batchesOf[_e][batch].total, "of the batch");
    }

    /// @dev Nothing but this is corrected, of `paid` (series 0) or of a series.
    function _corrects(uint16 series, int256 change) private view {
        ILedgerCourt.Sums memory sums = court.correctionSums(epochNow());
        uint256 up = change > 0 ? uint256(change) : 0;
        uint256 down = change < 0 ? uint256(-change) : 0;
        assertEq(sums.paidUp, series == 0 ? up : 0, "paid up");
        assertEq(sums.paidDown, series == 0 ? down : 0, "paid down");
        assertEq(sums.accUp, series == 0 ? 0 : up, "credit up");
        assertEq(sums.accDown, series == 0 ? 0 : down, "credit down");
    }

    function _expectCorrected(address account, uint16 series, int256 change) private {
        vm.expectEmit(true, true, true, true, address(court));
        emit ILedgerCourt.Corrected(epochNow(), account, series, change);
    }

    /// @dev Sats that the honest plan pays to the account now.
    function _dueIn(Plan memory p, address account) private view returns (uint64) {
        (ILedgerCourt.Leaf memory last,) = lastLeaf(_e - 1, account);
        return at(p, account).paid - last.paid;
    }

    function _wrongShare(address account, int256 change) private {
        ILedgerCourt.Opening memory leaf = leafOf(_e, account);
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, account);
        vm.recordLogs();
        _expectCorrected(account, 1, change);
        vm.prank(_CAROL);
        court.wrongShare(_e, books(_e), 1, reportBytes[_e], leaf, before);
        _corrects(1, change);
        assertTrue(court.accCorrection(epochNow(), account, 1) == change, "of the account");
    }

    function _wrongDue(address account, int256 change) private {
        ILedgerCourt.Opening memory leaf = leafOf(_e, account);
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, account);
        vm.recordLogs();
        if (change != 0) _expectCorrected(account, 0, change);
        vm.prank(_CAROL);
        court.wrongDue(_e, books(_e), leaf, before);
        _corrects(0, change);
        assertTrue(court.paidCorrection(epochNow(), account) == change, "of the account");
    }

    function _badOutput(address account, int256 change) private {
        ILedgerCourt.Opening memory leaf = leafOf(_e, account);
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, account);
        bytes memory outputs = outputsOf[_e][leaf.leaf.out >> 16];
        vm.recordLogs();
        _expectCorrected(account, 0, change);
        vm.prank(_CAROL);
        court.badOutput(_e, books(_e), leaf, before, outputs);
        _corrects(0, change);
        assertTrue(court.paidCorrection(epochNow(), account) == change, "of the account");
    }

    /* SHARE */

    /// The harm is in sats, one more than whole ones.
    function test_wrongShare_harmInSats() public {
        int256[4] memory less = [int256(1), (1 << 64) - 1, 1 << 64, (5 << 64) + 7];
        uint256[4] memory harm = [uint256(1), 1, 2, 6];
        for (uint256 i = 0; i < 4; ++i) {
            uint256 id = vm.snapshotState();
            Plan memory p = plan(_e);
            shift(at(p, actor(3)), -less[i]);
            commit(p);
            _wrongShare(actor(3), less[i]);
            _upheld(ILedgerCourt.Fault.WrongShare, actor(3), _NOWHERE, _SATS, harm[i]);
            vm.revertToState(id);
        }
    }

    /// Who has too much was not harmed; and who is paid in a batch, by that batch's total.
    function test_wrongShare_tooMuchHarmsNobody() public {
        Plan memory p = plan(_e);
        shift(at(p, actor(0)), 9);
        uint16 batch = uint16(at(p, actor(0)).out >> 16);
        shift(at(p, actor(3)), -int256(9));
        commit(p);
        _wrongShare(actor(0), -9);
        _upheld(ILedgerCourt.Fault.WrongShare, actor(0), batch, p.totals[batch], 0);
    }

    /* DUE */

    function test_wrongDue_harmIsWhatIsNotScheduled() public {
        Plan memory p = plan(_e);
        uint64 due = _dueIn(p, actor(0));
        ILedgerCourt.Leaf memory leaf = at(p, actor(0));
        p.totals[leaf.out >> 16] -= due;
        (leaf.paid, leaf.out) = (leaf.paid - due, NONE);
        commit(p);
        _wrongDue(actor(0), 0);
        _upheld(ILedgerCourt.Fault.WrongDue, actor(0), _NOWHERE, _SATS, due);
    }

    function test_wrongDue_lessThanDue() public {
        Plan memory p = plan(_e);
        ILedgerCourt.Leaf memory leaf = at(p, actor(0));
        uint16 batch = uint16(leaf.out >> 16);
        leaf.paid -= 700;
        p.totals[batch] -= 700;
        commit(p);
        _wrongDue(actor(0), 0);
        _upheld(ILedgerCourt.Fault.WrongDue, actor(0), batch, p.totals[batch], 700);
    }

    function test_wrongDue_moreThanDueHarmsNobody() public {
        Plan memory p = plan(_e);
        ILedgerCourt.Leaf memory leaf = at(p, actor(0));
        uint16 batch = uint16(leaf.out >> 16);
        leaf.paid += 700;
        p.totals[batch] += 700;
        commit(p);
        _wrongDue(actor(0), 0);
        _upheld(ILedgerCourt.Fault.WrongDue, actor(0), batch, p.totals[batch], 0);
    }

    function test_wrongDue_withoutSatsHarmsNobody() public {
        Plan memory p = plan(_e);
        at(p, actor(3)).since += 1;
        commit(p);
        _wrongDue(actor(3), 0);
        _upheld(ILedgerCourt.Fault.WrongDue, actor(3), _NOWHERE, _SATS, 0);
    }

    /// Said to be paid, and in no output: nothing of it was given.
    function test_wrongDue_paidInNoOutput() public {
        Plan memory p = plan(_e);
        uint64 due = _dueIn(p, actor(0));
        at(p, actor(0)).out = NONE;
        commit(p);
        _wrongDue(actor(0), -int256(uint256(due)));
        _upheld(ILedgerCourt.Fault.WrongDue, actor(0), _NOWHERE, _SATS, due);
    }

    function test_wrongDue_paidWithoutBeingDue() public {
        Plan memory p = plan(_e);
        at(p, actor(3)).paid += 700;
        p.totals[0] += 700;
        commit(p);
        _wrongDue(actor(3), -700);
        _upheld(ILedgerCourt.Fault.WrongDue, actor(3), _NOWHERE, _SATS, 0);
    }

    /* OUTPUT */

    /// @dev The account's output says a sat more or less than it should.
    function _otherSats(Plan memory p, address account, bool more) private view returns (uint16 batch) {
        uint32 out = at(p, account).out;
        batch = uint16(out >> 16);
        uint64 sats = _dueIn(p, account);
        bytes memory said = Bitcoin.le(more ? sats + 1 : sats - 1, 8);
        for (uint256 i = 0; i < 8; ++i) {
            p.outputs[batch][31 * (out & 0xffff) + i] = said[i];
        }
    }

    function test_badOutput_lessHarmsByTheDifference() public {
        Plan memory p = plan(_e);
        uint16 batch = _otherSats(p, actor(0), false);
        commit(p);
        _badOutput(actor(0), -1);
        _upheld(ILedgerCourt.Fault.BadOutput, actor(0), batch, p.totals[batch], 1);
    }

    function test_badOutput_moreHarmsNobody() public {
        Plan memory p = plan(_e);
        uint16 batch = _otherSats(p, actor(0), true);
        commit(p);
        _badOutput(actor(0), 1);
        _upheld(ILedgerCourt.Fault.BadOutput, actor(0), batch, p.totals[batch], 0);
    }

    /// An output that the bytes break off in pays nothing, not even a sat.
    function test_badOutput_brokenOff() public {
        for (uint256 less = 1; less < 31; less += 7) {
            uint256 id = vm.snapshotState();
            Plan memory p = plan(_e);
            uint64 due = _dueIn(p, actor(0));
            uint16 batch = uint16(at(p, actor(0)).out >> 16);
            bytes memory list = p.outputs[batch];
            uint256 length = 31 * (uint256(at(p, actor(0)).out & 0xffff) + 1) - less;
            assembly ("memory-safe") {
                mstore(list, length)
            }
            commit(p);
            _badOutput(actor(0), -int256(uint256(due)));
            _upheld(ILedgerCourt.Fault.BadOutput, actor(0), batch, p.totals[batch], due);
            vm.revertToState(id);
        }
    }

    /// Outputs are counted from the first, whatever their scripts: even one without any.
    function test_badOutput_countsEveryOutput() public {
        Plan memory p = plan(_e);
        for (uint256 i = 0; i < p.leaves.length; ++i) {
            if (p.leaves[i].out != NONE) ++p.leaves[i].out;
        }
        for (uint256 i = 0; i < p.outputs.length; ++i) {
            p.outputs[i] = abi.encodePacked(new bytes(9), p.outputs[i]);
        }
        commit(p);
        for (uint256 i = 0; i < p.leaves.length; ++i) {
            if (p.leaves[i].out == NONE) continue;
            ILedgerCourt.Opening memory leaf = opening(_e, i);
            ILedgerCourt.Opening[] memory before = evidence(_e - 1, leaf.leaf.account);
            bytes memory outputs = outputsOf[_e][leaf.leaf.out >> 16];
            vm.expectRevert(ILedgerCourt.NoFault.selector);
            court.badOutput(_e, books(_e), leaf, before, outputs);
        }
    }

    /* TREE AND TIME */

    function test_omitted_harmIsAllThatIsMissing() public {
        Plan memory p = plan(_e);
        uint256 owed = accOf(at(p, actor(3)), 1);
        shift(at(p, line.pool.firstLoss()), int256(owed));
        ILedgerCourt.Leaf[] memory leaves = new ILedgerCourt.Leaf[](p.leaves.length - 1);
        uint256 count = 0;
        for (uint256 i = 0; i < p.leaves.length; ++i) {
            if (p.leaves[i].account != actor(3)) leaves[count++] = p.leaves[i];
        }
        p.leaves = leaves;
        commit(p);
        ILedgerCourt.Opening[] memory around = evidence(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        vm.recordLogs();
        vm.prank(_CAROL);
        court.omitted(_e, books(_e), actor(3), 1, reportBytes[_e], around, before);
        _upheld(ILedgerCourt.Fault.Omitted, actor(3), _NOWHERE, _SATS, (owed >> 64) + 1);
        _corrects(1, int256(owed));
    }

    function test_disorderHarmsNobodyInParticular() public {
        Plan memory p = plan(_e);
        (p.leaves[0], p.leaves[1]) = (p.leaves[1], p.leaves[0]);
        commit(p);
        ILedgerCourt.Opening memory left = opening(_e, 0);
        ILedgerCourt.Opening memory right = opening(_e, 1);
        vm.recordLogs();
        vm.prank(_CAROL);
        court.disorder(_e, encoded(_e), left, right);
        _upheld(ILedgerCourt.Fault.Disorder, address(0), _NOWHERE, _SATS, 0);
        _corrects(0, 0);
    }

    /// Each payee's part of the penalty is what its output is of the batch.
    function test_unpaid_partsByWhatIsDue() public {
        Plan memory p = plan(_e);
        commit(p);
        vm.warp(block.timestamp + 1 days);
        vm.recordLogs();
        vm.prank(_CAROL);
        court.unpaid(_e, books(_e), 0);
        uint256 total = p.totals[0];
        _upheld(ILedgerCourt.Fault.Unpaid, address(0), 0, total, total);
        uint256 day = block.timestamp / 1 days;
        bytes32 id = court.poolId(ILedgerCourt.Fault.Unpaid, _e, 0, day);
        for (uint256 i = 0; i < p.leaves.length; ++i) {
            address account = p.leaves[i].account;
            if (p.leaves[i].out >> 16 != 0) continue;
            ILedgerCourt.Opening memory leaf = opening(_e, i);
            ILedgerCourt.Opening[] memory before = evidence(_e - 1, account);
            uint256 part = total * 57 * _dueIn(p, account) / total;
            uint256 had = quote.balanceOf(account);
            vm.expectEmit(true, true, true, true, address(court));
            emit ILedgerCourt.Claimed(id, account, part);
            court.claimUnpaid(_e, day, books(_e), leaf, before);
            assertEq(quote.balanceOf(account) - had, part, "paid out");
        }
    }

    /// A leaf that says less than was paid before has no part, though it names an output of the batch.
    function test_unpaid_noPartForWhoIsOwedNothing() public {
        Plan memory p = plan(_e);
        ILedgerCourt.Leaf memory leaf = at(p, actor(0));
        uint16 batch = uint16(leaf.out >> 16);
        uint64 less = _dueIn(p, actor(0)) + 5;
        leaf.paid -= less;
        p.totals[batch] -= less;
        commit(p);
        skip(1 days);
        court.unpaid(_e, books(_e), batch);
        ILedgerCourt.Opening memory opened = leafOf(_e, actor(0));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(0));
        vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
        court.claimUnpaid(_e, block.timestamp / 1 days, books(_e), opened, before);
    }

    /// A late epoch costs while it is not committed, and once more for ever after.
    function test_lateCommitCosts() public {
        vm.warp((uint256(_e) + 7) * EPOCH);
        uint256 id = vm.snapshotState();
        vm.recordLogs();
        vm.prank(_CAROL);
        court.lateCommit(_e, "");
        _upheld(ILedgerCourt.Fault.LateCommit, address(0), _NOWHERE, _SATS, 0);
        vm.revertToState(id);
        skip(1);
        deferNext = true;
        commit(plan(_e));
        vm.recordLogs();
        vm.prank(_CAROL);
        court.lateCommit(_e, encoded(_e));
        _upheld(ILedgerCourt.Fault.LateCommit, address(0), _NOWHERE, _SATS, 0);
    }
}
