// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {LedgerCourt} from "../../contracts/LedgerCourt.sol";
import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {IPrimarySale} from "../../contracts/interfaces/IPrimarySale.sol";
import {ISeriesRegistry} from "../../contracts/interfaces/ISeriesRegistry.sol";
import {CourtFixture} from "./utils/CourtFixture.sol";

/// @notice Bond, penalties, demands and who gets what. The bond is three times the largest pot at 60,000 a BTC.
contract CourtBondTest is CourtFixture {
    uint64 private constant _SATS = 3_000_000;
    /// 3 x 0.03 BTC x 60,000
    uint256 private constant _REQUIRED = 5400e6;
    uint256 private constant _DEPOSIT = 0.01 ether;
    address private constant _CAROL = address(0xCA401);
    uint32 private _e;

    function configuration() internal view override returns (string memory) {
        return vm.replace(super.configuration(), "\"factor\": 0", "\"factor\": 3");
    }

    function setUp() public override {
        super.setUp();
        reportAndCommit(_SATS);
        reportAndCommit(_SATS);
        _e = report(_SATS);
        vm.deal(_CAROL, 1 ether);
    }

    /// @dev Commits with one sat of `account`'s credit missing.
    function _lie(address account) private {
        Plan memory p = plan(_e);
        for (uint256 i = 0; i < p.leaves.length; ++i) {
            if (p.leaves[i].account != account) continue;
            bytes memory rest =
                accOf(p.leaves[i], 2) == 0 ? bytes("") : abi.encodePacked(uint16(2), uint128(accOf(p.leaves[i], 2)));
            p.leaves[i].acc = abi.encodePacked(uint16(1), uint128(accOf(p.leaves[i], 1) - (1 << 64)), rest);
        }
        commit(p);
    }

    function _challenge(address account, address by) private {
        ILedgerCourt.Opening memory leaf = leafOf(_e, account);
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, account);
        bytes memory r = reportBytes[_e];
        vm.prank(by);
        court.wrongShare(_e, books(_e), 1, r, leaf, before);
        if (court.rewardOf(by) != 0) court.claimReward(by);
    }

    /* BOND */

    function test_underbondedStopsMintAndSaleOnly() public {
        assertEq(court.requiredBond(), _REQUIRED, "required");
        assertTrue(!court.bonded(), "no bond yet");
        ISeriesRegistry.Batch memory batch = batchOf(1e18);
        bytes[] memory signatures = signed(sys.seriesRegistry.batchDigest(batch), 2);
        vm.expectRevert(ISeriesRegistry.Underbonded.selector);
        sys.seriesRegistry.registerBatch(batch, signatures);
        vm.expectRevert(IPrimarySale.Underbonded.selector);
        sys.primarySale.buy(1, 1e18, type(uint256).max, _CAROL);
        // reports, commits and transfers go on
        commit(plan(_e));
        reportAndCommit(_SATS);
        vm.prank(actor(0));
        unit.transfer(actor(4), 1);
        bondUp(_REQUIRED - 1);
        assertTrue(!court.bonded(), "one unit short");
        bondUp(1);
        assertTrue(court.bonded(), "bonded");
        sys.seriesRegistry.registerBatch(batch, signatures);
    }

    function test_withdrawalWaitsAndLeavesEnough() public {
        bondUp(2 * _REQUIRED);
        vm.startPrank(operator);
        court.announceWithdrawal(_REQUIRED + 1);
        assertTrue(!court.bonded(), "announced counts as gone");
        refuses(ILedgerCourt.TooEarly.selector);
        court.withdraw(operator);
        vm.warp(block.timestamp + 21 * EPOCH);
        refuses(ILedgerCourt.BondTooSmall.selector);
        court.withdraw(operator);
        court.announceWithdrawal(_REQUIRED);
        vm.warp(block.timestamp + 21 * EPOCH);
        court.withdraw(operator);
        vm.stopPrank();
        assertEq(court.bond(), _REQUIRED, "left");
        vm.prank(_CAROL);
        vm.expectRevert();
        court.announceWithdrawal(1);
    }

    function test_BondFactorTooSmall() public {
        (address credits, address payouts) = (address(court.credits()), address(court.payouts()));
        vm.chainId(1);
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.BondFactorTooSmall.selector, 2));
        new LedgerCourt(sys.accessManager, credits, payouts, sys.quote, 2, 1);
    }

    /* PENALTIES */

    function test_penaltyGoesToChallengerAndHarmed() public {
        bondUp(_REQUIRED);
        _lie(actor(3));
        _challenge(actor(3), _CAROL);
        // 10 % of the pot of 0.03 BTC at 60,000; nobody's batch pays this account
        uint256 penalty = 180e6;
        assertEq(court.bond(), _REQUIRED - penalty, "bond");
        assertEq(quote.balanceOf(_CAROL), penalty / 20, "at most 5 %");
        uint256 day = block.timestamp / 1 days;
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.DayNotOver.selector, day));
        court.claim(ILedgerCourt.Fault.WrongShare, _e, actor(3), 1);
        skip(1 days);
        court.claim(ILedgerCourt.Fault.WrongShare, _e, actor(3), 1);
        assertEq(quote.balanceOf(actor(3)), penalty - penalty / 20, "the rest");
        vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
        court.claim(ILedgerCourt.Fault.WrongShare, _e, actor(3), 1);
    }

    /// A penalty that found no bond is a verdict with nothing to share.
    function test_noClaimOnAnEmptyBond() public {
        _lie(actor(3));
        _challenge(actor(3), _CAROL);
        assertEq(court.bond(), 0, "there was none");
        skip(1 days);
        vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
        court.claim(ILedgerCourt.Fault.WrongShare, _e, actor(3), 1);
    }

    /// Two harmed accounts on one day: one penalty, shared by harm.
    function test_oncePerBatchAndDay() public {
        bondUp(_REQUIRED);
        Plan memory p = plan(_e);
        for (uint256 i = 0; i < p.leaves.length; ++i) {
            if (p.leaves[i].account != actor(3) && p.leaves[i].account != line.pool.firstLoss()) continue;
            uint256 less = p.leaves[i].account == actor(3) ? 99 : 299;
            p.leaves[i].acc = abi.encodePacked(uint16(1), uint128(accOf(p.leaves[i], 1) - (less << 64)));
        }
        commit(p);
        _challenge(actor(3), _CAROL);
        uint256 left = court.bond();
        _challenge(line.pool.firstLoss(), address(0xD0D0));
        assertEq(court.bond(), left, "one penalty");
        assertEq(quote.balanceOf(address(0xD0D0)), 0, "one reward");
        skip(1 days);
        court.claim(ILedgerCourt.Fault.WrongShare, _e, actor(3), 1);
        assertEq(quote.balanceOf(actor(3)), 171e6 / 4, "100 of 400 sats");
    }

    /// An operator who harms itself and complains gets back less than the bond lost, and its payouts are as they were.
    function test_selfChallengeEarnsNothing() public {
        bondUp(_REQUIRED);
        vm.deal(address(this), 1 ether);
        court.fundGas{value: 1 ether}();
        _lie(line.pool.firstLoss());
        uint256 all = quote.balanceOf(operator) + court.bond();
        _challenge(line.pool.firstLoss(), operator);
        skip(1 days);
        court.claim(ILedgerCourt.Fault.WrongShare, _e, line.pool.firstLoss(), 1);
        assertEq(line.pool.firstLoss(), operator, "itself");
        assertLe(quote.balanceOf(operator) + court.bond(), all, "nothing earned");
        assertTrue(court.accCorrection(epochNow(), operator, 1) == 0, "nothing in this epoch");
        assertTrue(court.accCorrection(_e + 1, operator, 1) == int256(1 << 64), "what was missing, once");
    }

    function test_penaltyTakesNoMoreThanTheBond() public {
        bondUp(100e6);
        _lie(actor(3));
        _challenge(actor(3), _CAROL);
        assertEq(court.bond(), 0, "all of it");
        assertEq(quote.balanceOf(_CAROL), 5e6, "5 % of what there was");
    }

    function test_gasIsPaidThreefold() public {
        vm.deal(address(this), 1 ether);
        court.fundGas{value: 1 ether}();
        vm.fee(1 gwei);
        _lie(actor(3));
        uint256 had = _CAROL.balance;
        _challenge(actor(3), _CAROL);
        assertTrue(_CAROL.balance - had > 3 * 100_000 * 1 gwei, "three times");
    }

    function test_unpaidIsSharedByDue() public {
        bondUp(_REQUIRED);
        commit(plan(_e));
        skip(1 days);
        vm.prank(_CAROL);
        court.unpaid(_e, books(_e), 0);
        court.claimReward(_CAROL);
        uint256 day = block.timestamp / 1 days;
        uint256 penalty = _REQUIRED - court.bond();
        uint256 sum = quote.balanceOf(_CAROL);
        for (uint256 i = 0; i < leafCount(_e); ++i) {
            ILedgerCourt.Opening memory leaf = opening(_e, i);
            if (leaf.leaf.out >> 16 != 0) continue;
            ILedgerCourt.Opening[] memory before = evidence(_e - 1, leaf.leaf.account);
            uint256 had = quote.balanceOf(leaf.leaf.account);
            court.claimUnpaid(_e, day, books(_e), leaf, before);
            sum += quote.balanceOf(leaf.leaf.account) - had;
            vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
            court.claimUnpaid(_e, day, books(_e), leaf, before);
        }
        assertTrue(penalty != 0 && sum <= penalty && sum + 10 >= penalty, "all of it, but for rounding");
    }

    /* DEMANDS */

    function _demand(address account) private {
        bytes memory r = reportBytes[_e];
        vm.prank(_CAROL);
        court.demand{value: _DEPOSIT}(account, _e, r);
    }

    function test_aWithheldTreeIsAFault() public {
        bondUp(_REQUIRED);
        commit(plan(_e));
        _demand(actor(3));
        assertEq(_CAROL.balance, 1 ether - _DEPOSIT, "deposit");
        uint256 until = block.timestamp + 12 hours;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.AnswerPeriod.selector, until));
        court.silence(actor(3), _e);
        vm.warp(until + 1);
        ILedgerCourt.Opening[] memory here = evidence(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.AnswerPeriod.selector, until));
        court.answer(actor(3), _e, books(_e), here, before);
        court.silence(actor(3), _e);
        court.claimReward(_CAROL);
        vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
        court.claimReward(_CAROL);
        assertEq(_CAROL.balance, 1 ether, "deposit back");
        assertEq(quote.balanceOf(_CAROL), 9e6, "and 5 %");
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.NoDemand.selector, actor(3), _e));
        court.silence(actor(3), _e);
        _demand(actor(3));
        // the rest of the penalty is the account's, whom nobody told
        uint256 day = block.timestamp / 1 days;
        skip(1 days);
        court.claim(ILedgerCourt.Fault.Silence, _e, actor(3), day);
        assertEq(quote.balanceOf(actor(3)), 171e6, "its part of that day");
        vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
        court.claim(ILedgerCourt.Fault.Silence, _e, actor(3), 0);
    }

    function test_anAnsweredDemandIsNone() public {
        vm.fee(1 gwei);
        commit(plan(_e));
        _demand(actor(3));
        ILedgerCourt.Opening[] memory here = evidence(_e, actor(2));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        refuses(ILedgerCourt.NoEvidence.selector);
        court.answer(actor(3), _e, books(_e), here, before);
        here = evidence(_e, actor(3));
        uint256 had = operator.balance;
        vm.prank(operator);
        court.answer(actor(3), _e, books(_e), here, before);
        assertEq(_CAROL.balance + operator.balance - had, 1 ether, "deposit back, less the answer's gas");
        assertTrue(_CAROL.balance > 0.99 ether, "most of it");
        skip(1 days);
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.NoDemand.selector, actor(3), _e));
        court.silence(actor(3), _e);
    }

    function test_demandIsRefused() public {
        bytes memory r = reportBytes[_e];
        vm.startPrank(_CAROL);
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.NotCommitted.selector, _e));
        court.demand{value: _DEPOSIT}(actor(3), _e, r);
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.WrongDeposit.selector, _DEPOSIT));
        court.demand(actor(3), _e, r);
        vm.stopPrank();
        commit(plan(_e));
        _demand(actor(3));
        vm.prank(_CAROL);
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.DemandStands.selector, actor(3), _e));
        court.demand{value: _DEPOSIT}(actor(3), _e, r);
    }

    /// What a demand pinned is still known when the ring has moved on.
    function test_demandPins() public {
        commit(plan(_e));
        uint256 weight = unit.balanceSeconds(actor(3), _e);
        _demand(actor(3));
        vm.warp((uint256(_e) + 40) * EPOCH);
        assertEq(unit.balanceSeconds(actor(3), _e), weight, "pinned");
        unit.totalBalanceSeconds(_e - 1);
        unit.balanceSeconds(address(line.pool), _e);
        vm.expectRevert();
        unit.balanceSeconds(actor(2), _e);
    }
}
