// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {Bitcoin} from "./utils/Bitcoin.sol";
import {CourtFixture} from "./utils/CourtFixture.sol";

/// @notice The Due rule at each of its edges: both plans are committed, one that pays and one that waits, and the court
/// finds fault with exactly one of them.
contract DueLimitsTest is CourtFixture {
    uint64 private constant _SATS = 3_000_000;
    /// the second epoch: scripts registered in the first one count in it
    uint32 private constant _E = FIRST + 1;

    function _leaf(address account, uint64 owed, uint32 since) private pure returns (ILedgerCourt.Leaf[] memory list) {
        list = new ILedgerCourt.Leaf[](1);
        (list[0].account, list[0].since, list[0].out) = (account, since, NONE);
        list[0].acc = abi.encodePacked(uint16(1), (uint128(owed) << 64) + 1);
    }

    /// @dev Whether the court finds nothing wrong with an account that is owed `owed` since `since` and is paid, or not.
    function _stands(address account, uint64 owed, uint32 since, bool pays) private returns (bool stands) {
        uint256 id = vm.snapshotState();
        Plan memory p;
        (p.epoch, p.leaves) = (report(_SATS), _leaf(account, owed, since));
        commit(p);
        p.epoch = report(_SATS);
        p.defer = deferNext;
        p.leaves[0].scriptHash = sys.payoutRegistry.entryAt(account, _E).scriptHash;
        if (pays) {
            Bitcoin.Output[] memory output = new Bitcoin.Output[](1);
            output[0] = Bitcoin.Output(owed, scriptOf(account));
            (p.leaves[0].paid, p.leaves[0].since, p.leaves[0].out) = (owed, 0, 0);
            (p.outputs, p.totals) = (new bytes[](1), new uint64[](1));
            (p.outputs[0], p.totals[0]) = (Bitcoin.serialise(output, 0), owed);
        } else if (owed == 0 || since == 0) {
            p.leaves[0].since = owed == 0 ? 0 : _E;
        }
        commit(p);
        ILedgerCourt.Opening memory opened = leafOf(_E, account);
        ILedgerCourt.Opening[] memory before = evidence(FIRST, account);
        try court.wrongDue(_E, books(_E), opened, before) {}
        catch (bytes memory why) {
            assertEq(why, abi.encodeWithSelector(ILedgerCourt.NoFault.selector), "no other reason");
            stands = true;
        }
        vm.revertToState(id);
    }

    function _due(address account, uint64 owed, uint32 since, string memory what) private {
        assertTrue(_stands(account, owed, since, true), what);
        assertTrue(!_stands(account, owed, since, false), what);
    }

    function _waits(address account, uint64 owed, uint32 since, string memory what) private {
        assertTrue(_stands(account, owed, since, false), what);
        if (!deferNext) assertTrue(!_stands(account, owed, since, true), what);
    }

    function test_theOperatorsMinimum() public {
        _due(actor(0), 10_000, 0, "just enough");
        _waits(actor(0), 9999, 0, "a sat short");
        _waits(actor(0), 9999, _E - 1, "a sat short since the epoch before");
    }

    function test_theAccountsOwnMinimum() public {
        _due(actor(1), 20_000, 0, "just enough");
        _waits(actor(1), 19_999, 0, "a sat short");
        minPay = 30_000;
        _due(actor(1), 30_000, 0, "the larger one counts");
        _waits(actor(1), 29_999, 0, "a sat short of it");
    }

    function test_dustIsNeverDue() public {
        minPay = 0;
        _due(actor(0), 294, 0, "the limit itself");
        _waits(actor(0), 293, 0, "below it");
        _waits(actor(0), 293, _E - 200, "however long it waits");
        _waits(actor(0), 1, 0, "though it waits from then on");
        _waits(actor(0), 0, 0, "and less than a sat does not wait");
        _waits(actor(0), 0, _E - 200, "nor any longer");
    }

    function test_90EpochsAre2000SatsWorth() public {
        _due(actor(0), 2000, _E - 90, "long enough, and enough");
        _waits(actor(0), 2000, _E - 89, "an epoch short");
        _waits(actor(0), 1999, _E - 90, "a sat short");
        _due(actor(0), 9999, _E - 91, "more of both");
    }

    function test_withoutAScriptNothingIsDue() public {
        _waits(actor(4), 1_000_000, 0, "none registered");
        _waits(actor(4), 1_000_000, _E - 200, "however long");
    }

    function test_aDeferredEpochPaysNothing() public {
        deferNext = true;
        _waits(actor(0), 1_000_000, 0, "enough, but deferred");
        _waits(actor(0), 1_000_000, _E - 200, "however long");
    }
}

/// @notice To the second, to the leaf, to the wei: until when a fault can be shown, who has evidence, what gas costs.
contract CourtLimitsTest is CourtFixture {
    uint64 private constant _SATS = 3_000_000;
    uint256 private constant _DEPOSIT = 0.01 ether;
    address private constant _CAROL = address(0xCA401);
    address private constant _DAVE = address(0xDA7E);
    uint32 private _e;

    function setUp() public override {
        super.setUp();
        reportAndCommit(_SATS);
        reportAndCommit(_SATS);
        _e = report(_SATS);
        vm.deal(_CAROL, 1 ether);
        vm.deal(_DAVE, 1 ether);
    }

    function _demand(address account) private {
        vm.prank(_CAROL);
        court.demand{value: _DEPOSIT}(account, _e, reportBytes[_e]);
    }

    function _answer(address account) private {
        ILedgerCourt.Opening[] memory here = evidence(_e, account);
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, account);
        vm.prank(_DAVE);
        court.answer(account, _e, books(_e), here, before);
    }

    /* TIMES */

    /// Up to the last second of the twenty-first epoch after it, a fault can be shown and a leaf demanded.
    function test_theLastSecondOfTheWindow() public {
        Plan memory p = plan(_e);
        at(p, actor(3)).since += 1;
        commit(p);
        uint256 end = (uint256(_e) + 22) * EPOCH;
        ILedgerCourt.Opening memory leaf = leafOf(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        bytes memory tooOld = abi.encodeWithSelector(ILedgerCourt.TooOld.selector, _e);
        vm.warp(end);
        vm.expectRevert(tooOld);
        court.wrongDue(_e, books(_e), leaf, before);
        vm.expectRevert(tooOld);
        vm.prank(_CAROL);
        court.demand{value: _DEPOSIT}(actor(3), _e, reportBytes[_e]);
        vm.warp(end - 1);
        _demand(actor(3));
        court.wrongDue(_e, books(_e), leaf, before);
    }

    /// The answer may come in the last second of its twelve hours; silence is a fault in the next one.
    function test_theLastSecondToAnswer() public {
        commit(plan(_e));
        vm.expectEmit(true, true, true, true, address(court));
        emit ILedgerCourt.Demanded(actor(3), _e, _CAROL);
        _demand(actor(3));
        (address by, uint40 since, bool answered, uint256 deposit) = court.demands(actor(3), _e);
        assertTrue(by == _CAROL && since == block.timestamp && !answered && deposit == _DEPOSIT, "stands");
        vm.warp(block.timestamp + 12 hours);
        uint256 id = vm.snapshotState();
        ILedgerCourt.Opening[] memory here = evidence(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        vm.expectEmit(true, true, true, true, address(court));
        emit ILedgerCourt.Answered(actor(3), _e);
        court.answer(actor(3), _e, books(_e), here, before);
        (by,, answered, deposit) = court.demands(actor(3), _e);
        assertTrue(by == _CAROL && answered && deposit == 0, "answered");
        bytes memory none = abi.encodeWithSelector(ILedgerCourt.NoDemand.selector, actor(3), _e);
        vm.expectRevert(none);
        court.answer(actor(3), _e, books(_e), here, before);
        vm.revertToState(id);
        skip(1);
        court.silence(actor(3), _e);
        (by,,,) = court.demands(actor(3), _e);
        assertEq(by, address(0), "over");
    }

    /// What the ledger still takes is no fault, to the last second, though its delay is kept in minutes, rounded up.
    function test_aCommitIsInTimeToTheLastSecond() public {
        vm.warp((uint256(_e) + 7) * EPOCH - 1);
        commit(plan(_e));
        vm.warp((uint256(_e) + 7) * EPOCH);
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.lateCommit(_e, encoded(_e));
    }

    /* GAS AND DEPOSITS */

    /// Silence costs one unit of harm, for the account; the reward is theirs who demanded, whoever shows it.
    function test_silenceIsForWhoDemanded() public {
        bondUp(1e12);
        commit(plan(_e));
        _demand(actor(3));
        skip(12 hours + 1);
        vm.prank(_DAVE);
        court.silence(actor(3), _e);
        bytes32 id = court.poolId(ILedgerCourt.Fault.Silence, _e, 0xffff, block.timestamp / 1 days);
        ILedgerCourt.Pool memory pool = court.poolOf(id);
        assertTrue(pool.amount == uint256(_SATS) * 57 && pool.weight == 1 && pool.taken, "pool");
        assertEq(court.rewardOf(_CAROL), uint256(_SATS) * 3, "who demanded");
        assertEq(court.rewardOf(_DAVE), 0, "who showed it");
        assertEq(_CAROL.balance, 1 ether, "deposit back");
    }

    /// What was a deposit and has gone back is nobody's any more: all that is left pays gas.
    function test_depositsThatWentBackReserveNothing() public {
        commit(plan(_e));
        _demand(actor(3));
        _answer(actor(3));
        _demand(actor(2));
        skip(12 hours + 1);
        court.silence(actor(2), _e);
        assertEq(address(court).balance, 0, "all gone back");
        vm.deal(address(court), 1000);
        vm.fee(1 gwei);
        vm.warp((uint256(_e) + 8) * EPOCH);
        uint32 late = report(_SATS);
        vm.warp((uint256(late) + 8) * EPOCH);
        uint256 had = _DAVE.balance;
        vm.prank(_DAVE);
        court.lateCommit(late, "");
        assertEq(_DAVE.balance - had, 1000, "all there was");
    }

    /// Three times the base fee of what the call used, of the transaction itself, and of little more.
    function test_gasGivenBackCoversTheTransaction() public {
        vm.deal(address(court), 1 ether);
        vm.fee(1 gwei);
        vm.warp((uint256(_e) + 7) * EPOCH);
        uint256 had = _DAVE.balance;
        vm.prank(_DAVE);
        court.lateCommit(_e, "");
        uint256 used = vm.lastCallGas().gasTotalUsed;
        uint256 given = (_DAVE.balance - had) / 3 gwei;
        assertGe(given, used + 21_000, "all of it");
        assertLe(given, used + 40_000, "and not much more");
    }

    /// At the base fee, out of the deposit: what the answer used, and the transaction itself.
    function test_answerIsPaidOutOfTheDeposit() public {
        commit(plan(_e));
        _demand(actor(3));
        vm.fee(1 gwei);
        uint256 had = _DAVE.balance;
        _answer(actor(3));
        uint256 used = vm.lastCallGas().gasTotalUsed;
        uint256 given = (_DAVE.balance - had) / 1 gwei;
        assertGe(given, used + 21_000, "all of it");
        assertLe(given, used + 60_000, "and not much more");
        assertEq(_CAROL.balance, 1 ether - given * 1 gwei, "the rest goes back");
    }

    /* EVIDENCE */

    /// A lone leaf is the root: its sums are compared, for its hash does not cover them.
    function test_sumsOfALoneLeafAreCompared() public {
        ILedgerCourt.Leaf[] memory list = new ILedgerCourt.Leaf[](1);
        (list[0].account, list[0].out, list[0].since) = (actor(0), NONE, 5);
        list[0].acc = abi.encodePacked(uint16(1), uint128(1 << 64));
        IEpochLedger.Root memory root = levelsOf(list)[0][0];
        ILedgerCourt.Opening memory leaf = ILedgerCourt.Opening(list[0], 0, "");
        (uint128 accSum, uint64 paidSum,) = sys.epochLedger.newest();
        IEpochLedger.Commitment memory c;
        (c.epoch, c.accounts, c.minPay) = (_e, 1, minPay);
        c.root = IEpochLedger.Root(root.hash, accSum, paidSum);
        vm.prank(operator);
        sys.epochLedger.commit(c);
        note(c);
        _notInTree(leaf, 0);
        leaf.index = 1;
        _notInTree(leaf, 1);
        leaf.index = 0;
        leaf.siblings = new bytes(56);
        _notInTree(leaf, 0);
    }

    function _notInTree(ILedgerCourt.Opening memory leaf, uint256 index) private {
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.NotInTree.selector, _e, index));
        court.disorder(_e, encoded(_e), leaf, leaf);
    }

    /// @dev `omitted` of an account between the leaves `left` and `right`, or beside `left` alone.
    function _absent(address account, uint256 left, uint256 right) private returns (bool) {
        ILedgerCourt.Opening[] memory around = new ILedgerCourt.Opening[](right == 0 ? 1 : 2);
        around[0] = opening(_e, left);
        if (right != 0) around[1] = opening(_e, right);
        try court.omitted(_e, books(_e), account, 1, reportBytes[_e], around, evidence(_e - 1, account)) {}
        catch (bytes memory why) {
            if (keccak256(why) == keccak256(abi.encodeWithSelector(ILedgerCourt.NoFault.selector))) return true;
            assertEq(why, abi.encodeWithSelector(ILedgerCourt.NoEvidence.selector, account, _e), "no evidence");
            return false;
        }
        return true;
    }

    /// Absent is who stands before the first leaf, after the last, or between two that stand together.
    function test_whoIsAbsentIsShownByItsNeighbours() public {
        commit(plan(_e));
        uint256 last = leafCount(_e) - 1;
        for (uint256 i = 0; i <= last; ++i) {
            address below = address(uint160(opening(_e, i).leaf.account) - 1);
            address above = address(uint160(opening(_e, i).leaf.account) + 1);
            if (i == 0) assertTrue(_absent(below, 0, 0), "before the first");
            else assertTrue(!_absent(below, i, 0), "one leaf alone, after it");
            if (i == last) assertTrue(_absent(above, last, 0), "after the last");
            else assertTrue(!_absent(above, i, 0), "one leaf alone, before it");
        }
        address between = address(uint160(opening(_e, last - 1).leaf.account) + 1);
        assertTrue(between < opening(_e, last).leaf.account, "there is room");
        assertTrue(_absent(between, last - 1, last), "between two");
        assertTrue(!_absent(address(1), 1, 2), "below both");
        assertTrue(!_absent(address(type(uint160).max), 1, 2), "above both");
        assertTrue(!_absent(between, last - 2, last), "with one between them");
        assertTrue(!_absent(between, last, last - 1), "the wrong way round");
    }
}
