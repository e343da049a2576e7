// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {CourtFixture} from "./utils/CourtFixture.sol";
import {Vm} from "./utils/Vm.sol";

/// @notice Edges of the court and of what the ledger keeps of a commit. Found by mutants that survived.
contract CourtRulesTest is CourtFixture {
    address private constant _CAROL = address(0xCA401);

    /// A wrapper has no leaf, and its absence is no fault.
    function test_wrapperIsNotOmitted() public {
        uint32 epoch = reportAndCommit(3_000_000);
        ILedgerCourt.Opening[] memory around = evidence(epoch, address(line.pool));
        ILedgerCourt.Opening[] memory before = evidence(epoch - 1, address(line.pool));
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.omitted(epoch, books(epoch), address(line.pool), 1, reportBytes[epoch], around, before);
    }

    /// The delay of a commit is kept in minutes, rounded up.
    function test_delayIsKeptInMinutes() public {
        uint32 epoch = report(3_000_000);
        vm.warp((uint256(epoch) + 1) * EPOCH + 61 * 60 + 1);
        commit(plan(epoch));
        IEpochLedger.Record memory r = recordOf[epoch];
        r.delay = 62;
        assertEq(sys.epochLedger.commitmentHash(epoch), sys.epochLedger.recordHash(r), "minutes");
    }

    function test_delayOfAYear() public {
        uint32 epoch = report(3_000_000);
        deferNext = true;
        Plan memory late = plan(epoch);
        vm.warp((uint256(epoch) + 1) * EPOCH + 365 days);
        commit(late);
        IEpochLedger.Record memory r = recordOf[epoch];
        r.delay = 365 * 24 * 60;
        assertEq(sys.epochLedger.commitmentHash(epoch), sys.epochLedger.recordHash(r), "minutes");
    }

    /// What is logged of a fault, and what its pool holds then.
    function test_upheldIsLoggedAndPooled() public {
        uint32 epoch = _lie();
        ILedgerCourt.Opening memory leaf = leafOf(epoch, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(epoch - 1, actor(3));
        vm.recordLogs();
        vm.prank(_CAROL);
        court.wrongShare(epoch, books(epoch), 1, reportBytes[epoch], leaf, before);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 seen = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != ILedgerCourt.Upheld.selector) continue;
            assertEq(logs[i].topics[1], bytes32(uint256(ILedgerCourt.Fault.WrongShare)), "fault");
            assertEq(logs[i].topics[2], bytes32(uint256(epoch)), "epoch");
            assertEq(logs[i].topics[3], bytes32(uint256(uint160(actor(3)))), "account");
            assertEq(abi.decode(logs[i].data, (address)), _CAROL, "challenger");
            ++seen;
        }
        assertEq(seen, 1, "once");
        bytes32 id = court.poolId(ILedgerCourt.Fault.WrongShare, epoch, 0xffff, block.timestamp / 1 days);
        ILedgerCourt.Pool memory pool = court.poolOf(id);
        // a tenth of the pot at 60,000 a BTC, of which 5 % is the challenger's
        assertEq(pool.amount + court.rewardOf(_CAROL), 180e6, "penalty");
        assertEq(court.rewardOf(_CAROL), 9e6, "reward");
        assertTrue(pool.taken, "taken");
        assertEq(pool.weight, 2, "the sat that is missing, and the next one begun");
        assertEq(court.bond(), 1000e6 - 180e6, "from the bond");
    }

    /// The court takes no record, of the epoch or of the one before, and no batches but those that were committed.
    function test_booksOfAnotherCommitmentAreRefused() public {
        uint32 epoch = _lie();
        ILedgerCourt.Opening memory leaf = leafOf(epoch, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(epoch - 1, actor(3));
        bytes memory r = reportBytes[epoch];
        ILedgerCourt.Books memory good = books(epoch);
        ILedgerCourt.Books[6] memory bad =
            [books(epoch), books(epoch), books(epoch), books(epoch), books(epoch), books(epoch)];
        bad[0].here[31] ^= 0x01;
        bad[1].here = good.before;
        bad[2].here = "";
        bad[3].here = abi.encodePacked(good.here, bytes32(0));
        bad[4].before[64] ^= 0x01;
        bad[5].batches = abi.encodePacked(good.batches, bytes32(0), bytes32(uint256(1)));
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.WrongRecord.selector, i == 4 ? epoch - 1 : epoch));
            court.wrongShare(epoch, bad[i], 1, r, leaf, before);
        }
        court.wrongShare(epoch, good, 1, r, leaf, before);
    }

    /// Only a commitment of an epoch that a correction counts in asks for the sums.
    function test_theLedgerAsksForCorrectionsWhereThereAreAny() public {
        uint32 epoch = _lie();
        uint32 running = epochNow();
        ILedgerCourt.Opening memory leaf = leafOf(epoch, actor(3));
        court.wrongShare(epoch, books(epoch), 1, reportBytes[epoch], leaf, evidence(epoch - 1, actor(3)));
        uint128 up = court.correctionSums(running).accUp;
        assertTrue(up != 0, "corrected");
        while (epoch < running) {
            epoch = report(3_000_000);
            Plan memory p = plan(epoch);
            vm.expectCall(address(court), abi.encodeCall(ILedgerCourt.correctionSums, (epoch)), 1);
            commit(p);
        }
        epoch = report(3_000_000);
        Plan memory after_ = plan(epoch);
        vm.expectCall(address(court), abi.encodeCall(ILedgerCourt.correctionSums, (epoch)), 0);
        commit(after_);
    }

    /// Somebody's deposit is not what gas is paid back from.
    function test_gasIsNotPaidFromDeposits() public {
        uint32 epoch = _lie();
        vm.fee(1000 gwei);
        vm.deal(_CAROL, 1 ether);
        vm.prank(_CAROL);
        court.demand{value: 0.01 ether}(actor(2), epoch, reportBytes[epoch]);
        vm.deal(address(court), 0.01 ether + 5);
        ILedgerCourt.Opening memory leaf = leafOf(epoch, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(epoch - 1, actor(3));
        address shower = address(0x5403);
        vm.prank(shower);
        court.wrongShare(epoch, books(epoch), 1, reportBytes[epoch], leaf, before);
        assertEq(shower.balance, 5, "what was given for it");
        assertEq(address(court).balance, 0.01 ether, "the deposit stays");
    }

    /// Without a bond nothing is asked for, and there is nothing to take.
    function test_nothingToWithdraw() public {
        assertEq(court.requiredBond(), 0, "required");
        vm.prank(operator);
        vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
        court.withdraw(operator);
    }

    /// @dev An epoch with a sat too little for one account, and a bond.
    function _lie() private returns (uint32 epoch) {
        bondUp(1000e6);
        reportAndCommit(3_000_000);
        epoch = report(3_000_000);
        Plan memory p = plan(epoch);
        for (uint256 i = 0; i < p.leaves.length; ++i) {
            if (p.leaves[i].account == actor(3)) shift(p.leaves[i], -(1 << 64));
        }
        commit(p);
    }
}
