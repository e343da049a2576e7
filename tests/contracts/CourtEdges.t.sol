// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ICreditRule} from "../../contracts/interfaces/ICreditRule.sol";
import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {CourtFixture} from "./utils/CourtFixture.sol";

/// @notice Challenges at the edges of the rules: wrappers, empty trees, pots of nothing, sums that fit no field, and
/// demands that come too late.
contract CourtEdgesTest is CourtFixture {
    uint64 private constant _SATS = 3_000_000;
    uint32 private _e;

    function _begin() private {
        reportAndCommit(_SATS);
        reportAndCommit(_SATS);
        _e = report(_SATS);
    }

    function _wrongShare(uint256 index, address account, uint16 series) private {
        ILedgerCourt.Opening memory leaf = opening(_e, index);
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, account);
        court.wrongShare(_e, books(_e), series, reportBytes[_e], leaf, before);
    }

    /* CREDIT */

    /// What a wrapper earned belongs to its holders: all that its leaf says is taken back.
    function test_aWrapperEarnsNothing() public {
        _begin();
        Plan memory p = plan(_e);
        uint256 last = p.leaves.length - 1;
        p.leaves[last].account = address(line.pool);
        uint256 said = accOf(p.leaves[last], 1);
        assertTrue(said != 0, "earns, by its leaf");
        commit(p);
        _wrongShare(last, address(line.pool), 1);
        assertTrue(court.accCorrection(epochNow(), address(line.pool), 1) == -int256(said), "nothing stays");
    }

    /// Each wrapper from its own epoch on, and nobody else.
    function test_whoIsAWrapper() public view {
        ICreditRule credits = court.credits();
        assertTrue(
            credits.isWrapper(FIRST, address(line.pool)) && credits.isWrapper(FIRST, address(line.queue)), "both"
        );
        assertTrue(!credits.isWrapper(FIRST - 1, address(line.queue)), "not before it was added");
        assertTrue(!credits.isWrapper(FIRST, actor(0)), "a holder");
    }

    /// A piece of an epoch in which nobody held a unit credits nobody.
    function test_aPieceWithoutUnitsCreditsNobody() public {
        IFleetOracle.FleetReport memory r = reportOf(_SATS);
        r.series[0].pots = new IFleetOracle.Piece[](2);
        r.series[0].pots[0] = IFleetOracle.Piece(r.epoch - 1, _SATS / 3);
        r.series[0].pots[1] = IFleetOracle.Piece(r.epoch, _SATS - _SATS / 3);
        vm.warp((uint256(r.epoch) + 1) * EPOCH + 60);
        post(r);
        assertEq(unit.totalBalanceSeconds(r.epoch - 1), 0, "no units then");
        uint256 pot = uint256(_SATS - _SATS / 3) << 64;
        assertEq(
            court.credits().creditOf(r.epoch, 1, address(sys.primarySale), abi.encode(r)),
            pot * unit.balanceSeconds(address(sys.primarySale), r.epoch) / unit.totalBalanceSeconds(r.epoch),
            "the other piece alone"
        );
    }

    /// A gap has no report, and takes none.
    function test_aGapCreditsNobody() public {
        _begin();
        commit(plan(_e));
        uint32 gap = _e + 1;
        vm.warp((uint256(gap) + 1) * EPOCH + 1 days);
        sys.fleetOracle.declareGap(gap);
        assertEq(court.credits().creditOf(gap, 1, actor(0), ""), 0, "nothing");
        bytes memory other = reportBytes[_e];
        ICreditRule credits = court.credits();
        vm.expectRevert(abi.encodeWithSelector(ICreditRule.WrongReport.selector, gap));
        credits.creditOf(gap, 1, actor(0), other);
    }

    /* TREES */

    /// Before the first epoch there is nothing to bring, and nothing was credited.
    function test_theFirstEpochHasNoneBeforeIt() public {
        _e = report(_SATS);
        Plan memory p = plan(_e);
        shift(at(p, actor(3)), -1);
        commit(p);
        assertEq(books(_e).before.length, 0, "no record before");
        _wrongShare(indexOf(_e, actor(3)), actor(3), 1);
        assertTrue(court.accCorrection(epochNow(), actor(3), 1) == 1, "given back");
    }

    function test_disorder_ofAnHonestTree() public {
        _begin();
        commit(plan(_e));
        ILedgerCourt.Opening memory left = opening(_e, 0);
        ILedgerCourt.Opening memory right = opening(_e, 1);
        bytes memory here = encoded(_e);
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.disorder(_e, here, left, right);
    }

    /// The epoch before has a tree of no leaf: it shows nobody's, without any opening.
    function test_anEmptyTreeShowsNobody() public {
        commit(plan(report(0)));
        assertEq(recordOf[FIRST].accounts, 0, "no leaf");
        _e = report(_SATS);
        Plan memory p = plan(_e);
        shift(at(p, actor(3)), -1);
        commit(p);
        _wrongShare(indexOf(_e, actor(3)), actor(3), 1);
        assertTrue(court.accCorrection(epochNow(), actor(3), 1) == 1, "given back");
    }

    /// Sums that fit no field are no leaf of any tree.
    function test_sumsThatFitNoFieldAreRefused() public {
        _begin();
        commit(plan(_e));
        ILedgerCourt.Opening memory leaf = leafOf(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        leaf.leaf.acc = abi.encodePacked(uint16(1), type(uint128).max, uint16(2), type(uint128).max);
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.NotInTree.selector, _e, leaf.index));
        court.wrongShare(_e, books(_e), 1, reportBytes[_e], leaf, before);
    }

    /// Dropped with two series and payments: each series comes back, what was paid only once.
    function test_omitted_whatWasPaidComesBackOnce() public {
        _begin();
        Plan memory p = plan(_e);
        ILedgerCourt.Leaf memory gone = at(p, actor(0));
        ILedgerCourt.Leaf memory heir = at(p, line.pool.firstLoss());
        (uint256 one, uint256 two) = (accOf(gone, 1), accOf(gone, 2));
        shift(heir, int256(one + two));
        heir.paid += gone.paid;
        ILedgerCourt.Leaf[] memory leaves = new ILedgerCourt.Leaf[](p.leaves.length - 1);
        uint256 count = 0;
        for (uint256 i = 0; i < p.leaves.length; ++i) {
            if (p.leaves[i].account != actor(0)) leaves[count++] = p.leaves[i];
        }
        p.leaves = leaves;
        commit(p);
        ILedgerCourt.Opening[] memory around = evidence(_e, actor(0));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(0));
        int256 paid = int256(uint256(before[0].leaf.paid));
        assertTrue(paid != 0, "was paid");
        for (uint16 series = 1; series <= 2; ++series) {
            court.omitted(_e, books(_e), actor(0), series, reportBytes[_e], around, before);
            assertTrue(court.paidCorrection(epochNow(), actor(0)) == paid, "once");
        }
        assertTrue(court.accCorrection(epochNow(), actor(0), 1) == int256(one), "series 1");
        assertTrue(court.accCorrection(epochNow(), actor(0), 2) == int256(two), "series 2");
        ILedgerCourt.Sums memory sums = court.correctionSums(epochNow());
        assertEq(sums.accUp, one + two, "both");
        assertTrue(int256(uint256(sums.paidUp)) == paid, "one payment");
    }

    /// A leaf that says less was paid than before, and names no output: what was paid before counts.
    function test_wrongDue_lessThanBefore() public {
        _begin();
        Plan memory p = plan(_e);
        ILedgerCourt.Leaf memory leaf = at(p, actor(0));
        (ILedgerCourt.Leaf memory last,) = lastLeaf(_e - 1, actor(0));
        uint64 due = leaf.paid - last.paid;
        p.totals[leaf.out >> 16] -= due + 5;
        (leaf.paid, leaf.out) = (last.paid - 5, NONE);
        commit(p);
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(0));
        court.wrongDue(_e, books(_e), leafOf(_e, actor(0)), before);
        assertTrue(court.paidCorrection(epochNow(), actor(0)) == 5, "was paid");
        assertEq(court.correctionSums(epochNow()).paidUp, 5, "sum");
        _e = report(_SATS);
        p = plan(_e);
        // all that is owed is paid now, and no more
        assertEq(at(p, actor(0)).paid, (accOf(at(p, actor(0)), 1) + accOf(at(p, actor(0)), 2)) >> 64, "paid in full");
        commit(p);
    }

    function test_badOutput_wantsTheBatchItself() public {
        _begin();
        commit(plan(_e));
        ILedgerCourt.Opening memory leaf = leafOf(_e, actor(0));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(0));
        bytes memory other = abi.encodePacked(outputsOf[_e][leaf.leaf.out >> 16], hex"00");
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.NoEvidence.selector, actor(0), _e));
        court.badOutput(_e, books(_e), leaf, before, other);
    }

    /* PENALTIES */

    /// The epoch's pot was nothing, so the penalty is a tenth of the largest one.
    function test_aFaultOfAnEpochWithoutAPotCosts() public {
        bondUp(1e12);
        _begin();
        commit(plan(_e));
        _e = report(0);
        Plan memory p = plan(_e);
        (p.leaves[0], p.leaves[1]) = (p.leaves[1], p.leaves[0]);
        commit(p);
        court.disorder(_e, encoded(_e), opening(_e, 0), opening(_e, 1));
        assertEq(court.bond(), 1e12 - 180e6, "a tenth of 0.03 BTC at 60,000");
    }

    /// A penalty fits its field whatever pot and price say.
    function test_penaltyFitsItsField() public {
        bondUp(1 << 100);
        _begin();
        vm.warp((uint256(_e) + 7) * EPOCH);
        bytes memory most = abi.encode(type(uint64).max);
        address oracle = address(sys.fleetOracle);
        vm.mockCall(oracle, abi.encodeWithSelector(IFleetOracle.potOf.selector), most);
        vm.mockCall(oracle, abi.encodeWithSelector(IFleetOracle.quotePerBtc.selector), most);
        court.lateCommit(_e, "");
        assertEq(court.bond(), (1 << 100) - uint256(type(uint96).max), "2^96 - 1, not what is left of more");
        bytes32 id = court.poolId(ILedgerCourt.Fault.LateCommit, _e, 0xffff, block.timestamp / 1 days);
        uint256 reward = court.rewardOf(address(this));
        assertEq(court.poolOf(id).amount + reward, type(uint96).max, "all of it is shared");
    }

    /// Two series of one account, both of a paid batch: one penalty, of which each fault claims its part once.
    function test_eachFaultOfABatchIsClaimedForItself() public {
        bondUp(1e12);
        _begin();
        Plan memory p = plan(_e);
        ILedgerCourt.Leaf memory leaf = at(p, actor(0));
        leaf.acc = abi.encodePacked(
            uint16(1), uint128(accOf(leaf, 1) - (99 << 64)), uint16(2), uint128(accOf(leaf, 2) - (299 << 64))
        );
        uint256 penalty = uint256(p.totals[leaf.out >> 16]) * 60_000e6 / 1e8 / 10;
        commit(p);
        uint256 index = indexOf(_e, actor(0));
        _wrongShare(index, actor(0), 1);
        _wrongShare(index, actor(0), 2);
        assertEq(1e12 - court.bond(), penalty, "a tenth of the batch, once");
        uint256 rest = penalty - penalty / 20;
        skip(1 days);
        court.claim(ILedgerCourt.Fault.WrongShare, _e, actor(0), 1);
        assertEq(quote.balanceOf(actor(0)), rest / 4, "100 of 400 sats");
        court.claim(ILedgerCourt.Fault.WrongShare, _e, actor(0), 2);
        assertEq(quote.balanceOf(actor(0)), rest / 4 + rest * 3 / 4, "and the other 300");
        vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
        court.claim(ILedgerCourt.Fault.WrongShare, _e, actor(0), 2);
        vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
        court.claim(ILedgerCourt.Fault.WrongDue, _e, actor(0), 1);
    }

    function test_lateCommit_ofEpochsThatOweNone() public {
        _begin();
        vm.warp((uint256(_e) + 20) * EPOCH);
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.lateCommit(FIRST - 1, "");
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.lateCommit(_e + 1, ""); // not reported
    }

    function test_claimUnpaid_isForThosePaid() public {
        bondUp(1e12);
        _begin();
        commit(plan(_e));
        skip(1 days + 1 hours);
        court.unpaid(_e, books(_e), 0);
        ILedgerCourt.Opening memory leaf = leafOf(_e, actor(3));
        assertEq(leaf.leaf.out, NONE, "waits for a script");
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
        court.claimUnpaid(_e, block.timestamp / 1 days, books(_e), leaf, before);
    }

    /* DEMANDS */

    function test_demand_TooOld() public {
        _begin();
        commit(plan(_e));
        vm.warp((uint256(_e) + 22) * EPOCH);
        uint256 deposit = court.demandDeposit();
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.TooOld.selector, _e));
        court.demand{value: deposit}(actor(3), _e, reportBytes[_e]);
    }

    function test_answer_withoutADemand() public {
        _begin();
        commit(plan(_e));
        ILedgerCourt.Opening[] memory here = evidence(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.NoDemand.selector, actor(3), _e));
        court.answer(actor(3), _e, books(_e), here, before);
    }

    function _silent(uint256 from) private {
        vm.warp(from);
        court.demand{value: court.demandDeposit()}(actor(3), _e, reportBytes[_e]);
        vm.warp(from + 12 hours + 1);
        court.silence(actor(3), _e);
    }

    /// Silent twice on one day: one penalty, and the whole of it is the account's.
    function test_silentTwiceOnADay() public {
        bondUp(1e12);
        _begin();
        commit(plan(_e));
        vm.deal(address(this), 1 ether);
        uint256 day = block.timestamp / 1 days + 1;
        _silent(day * 1 days - 12 hours);
        _silent(day * 1 days + 2);
        assertEq(block.timestamp / 1 days, day, "the same day");
        assertEq(court.bond(), 1e12 - 180e6, "one penalty");
        skip(1 days);
        court.claim(ILedgerCourt.Fault.Silence, _e, actor(3), day);
        assertEq(quote.balanceOf(actor(3)), 171e6, "by both harms");
    }

    receive() external payable {}

    /// An answer dearer than the deposit costs who asked all of it, and no more.
    function test_answer_takesNoMoreThanTheDeposit() public {
        _begin();
        commit(plan(_e));
        uint256 deposit = court.demandDeposit();
        address asks = address(0xA5C5);
        vm.deal(asks, deposit);
        vm.prank(asks);
        court.demand{value: deposit}(actor(3), _e, reportBytes[_e]);
        vm.fee(1 ether);
        ILedgerCourt.Opening[] memory here = evidence(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        uint256 had = operator.balance;
        vm.prank(operator);
        court.answer(actor(3), _e, books(_e), here, before);
        assertEq(operator.balance - had, deposit, "all of it");
        assertEq(asks.balance + address(court).balance, 0, "nothing else");
    }
}
