// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {CourtFixture} from "./utils/CourtFixture.sol";

/// @notice For every rule, a commit that breaks it, the challenge that catches it, and what the next epoch makes of it.
contract CourtTest is CourtFixture {
    uint64 private constant _SATS = 3_000_000;
    uint32 private _e;

    /// @dev One honest epoch, and the next one reported.
    function setUp() public override {
        super.setUp();
        // scripts registered in the first epoch count from the next
        reportAndCommit(_SATS);
        reportAndCommit(_SATS);
        _e = report(_SATS);
    }

    function _wrongShare(address account, uint16 series) private {
        ILedgerCourt.Opening memory leaf = leafOf(_e, account);
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, account);
        court.wrongShare(_e, books(_e), series, reportBytes[_e], leaf, before);
    }

    /* SHARE */

    function test_wrongShare_tooLittle() public {
        Plan memory p = plan(_e);
        shift(at(p, actor(4 - 1)), -1);
        commit(p);
        _wrongShare(actor(3), 1);
        uint32 now_ = epochNow();
        assertTrue(court.accCorrection(now_, actor(3), 1) == 1, "given back");
        assertEq(court.correctionSums(now_).accUp, 1, "sum");
        ILedgerCourt.Opening memory leaf = leafOf(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        vm.expectRevert(ILedgerCourt.AlreadyUpheld.selector);
        court.wrongShare(_e, books(_e), 1, reportBytes[_e], leaf, before);
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.wrongShare(_e, books(_e), 2, reportBytes[_e], leaf, before);
    }

    /// The shortfall reaches the account in the epoch running at the challenge; a commit without it is a fault again.
    function test_correctionFlowsThrough() public {
        Plan memory p = plan(_e);
        shift(at(p, actor(3)), -int256(uint256(5000) << 64));
        commit(p);
        _wrongShare(actor(3), 1);
        uint256 short = accOf(leafOf(_e, actor(3)).leaf, 1);
        _e = report(_SATS);
        p = plan(_e);
        assertEq(
            accOf(at(p, actor(3)), 1), short + creditFor(_e, 1, actor(3)) + (uint256(5000) << 64), "corrected base"
        );
        uint256 id = vm.snapshotState();
        commit(p);
        ILedgerCourt.Opening memory leaf = leafOf(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.wrongShare(_e, books(_e), 1, reportBytes[_e], leaf, before);
        vm.revertToState(id);
        shift(at(p, actor(3)), -int256(uint256(5000) << 64));
        commit(p);
        _wrongShare(actor(3), 1);
    }

    /// One account's share moved to another: both are faults, and the sums let the next epoch set both right.
    function test_wrongShare_movedToAnother() public {
        Plan memory p = plan(_e);
        shift(at(p, actor(3)), -int256(uint256(9000) << 64));
        shift(at(p, line.pool.firstLoss()), int256(uint256(9000) << 64));
        commit(p);
        _wrongShare(actor(3), 1);
        _wrongShare(line.pool.firstLoss(), 1);
        _e = report(0);
        commit(plan(_e));
        assertEq(sys.epochLedger.nextEpoch(), _e + 1, "committed");
    }

    function test_wrongShare_dropsASeries() public {
        Plan memory p = plan(_e);
        ILedgerCourt.Leaf memory leaf = at(p, actor(1));
        // not paid, so that its sums stay possible
        leaf.acc = abi.encodePacked(uint16(1), uint128(accOf(leaf, 1)));
        commit(p);
        _wrongShare(actor(1), 2);
    }

    function test_wrongShare_wantsTheRightReport() public {
        commit(plan(_e));
        ILedgerCourt.Opening memory leaf = leafOf(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        bytes memory other = reportBytes[_e - 1];
        vm.expectRevert();
        court.wrongShare(_e, books(_e), 1, other, leaf, before);
        vm.expectRevert();
        court.wrongShare(_e, books(_e), 1, "", leaf, before);
        bytes memory good = reportBytes[_e];
        leaf.leaf.paid += 1;
        refuses(ILedgerCourt.NotInTree.selector);
        court.wrongShare(_e, books(_e), 1, good, leaf, before);
        leaf.leaf.paid -= 1;
        before = evidence(_e - 1, actor(2));
        refuses(ILedgerCourt.NoEvidence.selector);
        court.wrongShare(_e, books(_e), 1, good, leaf, before);
        // nor more than is needed
        before = new ILedgerCourt.Opening[](3);
        refuses(ILedgerCourt.NoEvidence.selector);
        court.wrongShare(_e, books(_e), 1, good, leaf, before);
    }

    /* DUE */

    function _wrongDue(address account) private {
        ILedgerCourt.Opening memory leaf = leafOf(_e, account);
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, account);
        court.wrongDue(_e, books(_e), leaf, before);
    }

    /// @dev The same plan, but nothing is paid to `account`, or to anybody after it in its batch.
    function _withhold(Plan memory p, address account) private pure {
        ILedgerCourt.Leaf memory leaf = at(p, account);
        require(leaf.out != NONE, "is due");
        uint64 sats = 0;
        bytes memory list = p.outputs[leaf.out >> 16];
        for (uint256 i = 0; i < 8; ++i) {
            sats |= uint64(uint8(list[31 * (leaf.out & 0xffff) + i])) << uint64(8 * i);
        }
        leaf.paid -= sats;
        p.totals[leaf.out >> 16] -= sats;
        leaf.out = NONE;
    }

    function test_wrongDue_notPaid() public {
        Plan memory p = plan(_e);
        _withhold(p, actor(0));
        commit(p);
        _wrongDue(actor(0));
        // owed is still owed: nothing to correct
        assertTrue(court.paidCorrection(epochNow(), actor(0)) == 0, "no correction");
        _e = report(_SATS);
        assertTrue(at(plan(_e), actor(0)).out != NONE, "rolls on");
    }

    function test_wrongDue_since() public {
        Plan memory p = plan(_e);
        assertTrue(at(p, actor(3)).since != 0, "waits");
        at(p, actor(3)).since += 1;
        commit(p);
        _wrongDue(actor(3));
    }

    function test_wrongDue_script() public {
        Plan memory p = plan(_e);
        at(p, actor(0)).scriptHash = keccak256("thief");
        commit(p);
        _wrongDue(actor(0));
    }

    /// Said to be paid, without an output: the sats come back as owed.
    function test_wrongDue_paidWithoutOutput() public {
        Plan memory p = plan(_e);
        at(p, actor(3)).paid += 700;
        p.totals[0] += 700;
        commit(p);
        _wrongDue(actor(3));
        assertTrue(court.paidCorrection(epochNow(), actor(3)) == -700, "owed again");
        _e = report(_SATS);
        p = plan(_e);
        commit(p);
        assertEq(leafOf(_e, actor(3)).leaf.paid, 0, "corrected");
    }

    function test_wrongDue_deferredYetPaid() public {
        Plan memory p = plan(_e);
        uint64 owed = uint64((accOf(at(p, actor(3)), 1)) >> 64);
        // no script, and yet scheduled
        at(p, actor(3)).paid = owed;
        at(p, actor(3)).out = 0;
        p.totals[0] += owed;
        commit(p);
        _wrongDue(actor(3));
    }

    /* OUTPUT */

    function _badOutput(address account) private {
        ILedgerCourt.Opening memory leaf = leafOf(_e, account);
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, account);
        uint256 batch = leaf.leaf.out >> 16;
        bytes memory outputs = batch < outputsOf[_e].length ? outputsOf[_e][batch] : bytes("");
        court.badOutput(_e, books(_e), leaf, before, outputs);
    }

    function test_badOutput_anotherScript() public {
        Plan memory p = plan(_e);
        uint32 out = at(p, actor(0)).out;
        bytes memory list = p.outputs[out >> 16];
        // one bit of the script
        list[31 * (out & 0xffff) + 15] ^= 0x01;
        commit(p);
        _badOutput(actor(0));
        uint64 due = leafOf(_e, actor(0)).leaf.paid - leafOf(_e - 1, actor(0)).leaf.paid;
        assertTrue(court.paidCorrection(epochNow(), actor(0)) == -int256(uint256(due)), "all of it");
        _e = report(_SATS);
        commit(plan(_e));
        assertGe(leafOf(_e, actor(0)).leaf.paid, due, "paid in the next epoch");
    }

    function test_badOutput_less() public {
        Plan memory p = plan(_e);
        uint32 out = at(p, actor(0)).out;
        bytes memory list = p.outputs[out >> 16];
        uint256 position = 31 * (out & 0xffff) + 1;
        list[position] = bytes1(uint8(list[position]) - 1);
        commit(p);
        _badOutput(actor(0));
        assertTrue(court.paidCorrection(epochNow(), actor(0)) == -256, "the difference");
    }

    function test_badOutput_noSuchBatchOrIndex() public {
        Plan memory p = plan(_e);
        uint256 id = vm.snapshotState();
        at(p, actor(0)).out = 7 << 16;
        commit(p);
        _badOutput(actor(0));
        vm.revertToState(id);
        at(p, actor(0)).out = 200;
        commit(p);
        _badOutput(actor(0));
    }

    /// Bytes that are no list of outputs pay nobody, and do not stop the challenge.
    function test_badOutput_garbage() public {
        Plan memory p = plan(_e);
        uint256 batch = at(p, actor(0)).out >> 16;
        p.outputs[batch] = hex"0011223344556677ff00";
        commit(p);
        _badOutput(actor(0));
    }

    /* TREE */

    function _without(Plan memory p, address account) private pure {
        ILedgerCourt.Leaf[] memory leaves = p.leaves;
        uint256 i = 0;
        while (leaves[i].account != account) {
            ++i;
        }
        for (; i + 1 < leaves.length; ++i) {
            leaves[i] = leaves[i + 1];
        }
        assembly ("memory-safe") {
            mstore(leaves, sub(mload(leaves), 1))
        }
    }

    /// Dropped with all it had: the whole of it comes back, series by series.
    function test_omitted_dropped() public {
        Plan memory p = plan(_e);
        uint256 owed = accOf(at(p, actor(3)), 1);
        // somebody else's gain, so that the sums do not fall
        shift(at(p, line.pool.firstLoss()), int256(owed));
        _without(p, actor(3));
        commit(p);
        ILedgerCourt.Opening[] memory around = evidence(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        court.omitted(_e, books(_e), actor(3), 1, reportBytes[_e], around, before);
        assertTrue(court.accCorrection(epochNow(), actor(3), 1) == int256(owed), "all of it");
        bytes memory r = reportBytes[_e];
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.omitted(_e, books(_e), actor(3), 2, r, around, before);
        _wrongShare(line.pool.firstLoss(), 1);
        _e = report(_SATS);
        commit(plan(_e));
        assertEq(accOf(leafOf(_e, actor(3)).leaf, 1), owed + creditFor(_e, 1, actor(3)), "back");
    }

    function test_omitted_newcomer() public {
        // in the tree's middle, at its end and before its start
        address[3] memory fresh = [address(uint160(actor(1)) + 0), address(type(uint160).max), address(1)];
        fresh[0] = address(uint160(0xA0001FF));
        for (uint256 i = 0; i < 3; ++i) {
            give(unit, fresh[i], 1e18);
        }
        commit(plan(_e));
        _e = report(_SATS);
        commit(plan(_e)); // knows nothing of them
        for (uint256 i = 0; i < 3; ++i) {
            ILedgerCourt.Opening[] memory around = evidence(_e, fresh[i]);
            ILedgerCourt.Opening[] memory before = evidence(_e - 1, fresh[i]);
            court.omitted(_e, books(_e), fresh[i], 1, reportBytes[_e], around, before);
            assertTrue(court.accCorrection(epochNow(), fresh[i], 1) == int256(creditFor(_e, 1, fresh[i])), "credit");
        }
    }

    function test_disorder() public {
        Plan memory p = plan(_e);
        (p.leaves[0], p.leaves[1]) = (p.leaves[1], p.leaves[0]);
        commit(p);
        court.disorder(_e, encoded(_e), opening(_e, 0), opening(_e, 1));
    }

    function test_disorder_outputs() public {
        Plan memory p = plan(_e);
        ILedgerCourt.Leaf memory first;
        for (uint256 i = 0; i < p.leaves.length; ++i) {
            if (p.leaves[i].out == NONE) continue;
            if (first.account == address(0)) first = p.leaves[i];
            else p.leaves[i].out = first.out;
        }
        commit(p);
        uint256 last = leafCount(_e) - 1;
        while (opening(_e, last).leaf.out == NONE) {
            --last;
        }
        court.disorder(_e, encoded(_e), leafOf(_e, first.account), opening(_e, last));
    }

    function test_disorder_aLeafBeyondTheLast() public {
        hidden = 1;
        commit(plan(_e));
        uint256 last = leafCount(_e) - 2;
        court.disorder(_e, encoded(_e), opening(_e, last), opening(_e, last));
        ILedgerCourt.Opening memory beyond = opening(_e, last + 1);
        refuses(ILedgerCourt.NotInTree.selector);
        court.disorder(_e, encoded(_e), beyond, beyond);
    }

    function test_disorder_wrapperWithALeaf() public {
        Plan memory p = plan(_e);
        ILedgerCourt.Leaf memory last = p.leaves[p.leaves.length - 1];
        last.account = address(line.pool);
        commit(p);
        ILedgerCourt.Opening memory o = opening(_e, leafCount(_e) - 1);
        court.disorder(_e, encoded(_e), o, o);
    }

    /* TIME */

    function test_unpaid() public {
        commit(plan(_e));
        uint256 from = block.timestamp + 1 days;
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.TooEarly.selector, from));
        court.unpaid(_e, books(_e), 0);
        vm.warp(from);
        court.unpaid(_e, books(_e), 0);
        vm.expectRevert(ILedgerCourt.AlreadyUpheld.selector);
        court.unpaid(_e, books(_e), 0);
        skip(1 days);
        court.unpaid(_e, books(_e), 0);
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.unpaid(_e, books(_e), 9);
    }

    function test_lateCommit() public {
        uint256 limit = (uint256(_e) + 7) * EPOCH;
        vm.warp(limit - 1);
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.TooEarly.selector, limit));
        court.lateCommit(_e, encoded(_e));
        vm.warp(limit);
        court.lateCommit(_e, encoded(_e));
        vm.warp(limit + 1);
        deferNext = true;
        commit(plan(_e));
        court.lateCommit(_e, encoded(_e));
        vm.expectRevert(ILedgerCourt.AlreadyUpheld.selector);
        court.lateCommit(_e, encoded(_e));
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.lateCommit(_e - 1, encoded(_e - 1));
    }

    function test_TooOld() public {
        Plan memory p = plan(_e);
        at(p, actor(3)).since += 1;
        commit(p);
        vm.warp((uint256(_e) + 22) * EPOCH);
        ILedgerCourt.Opening memory leaf = leafOf(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.TooOld.selector, _e));
        court.wrongDue(_e, books(_e), leaf, before);
    }
}
