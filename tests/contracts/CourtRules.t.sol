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
        court.omitted(epoch, address(line.pool), 1, reportBytes[epoch], around, before);
    }

    /// The delay of a commit is kept in minutes, rounded up.
    function test_delayIsKeptInMinutes() public {
        uint32 epoch = report(3_000_000);
        vm.warp((uint256(epoch) + 1) * EPOCH + 61 * 60 + 1);
        commit(plan(epoch));
        (, IEpochLedger.Terms memory terms) = sys.epochLedger.termsOf(epoch);
        assertEq(terms.delay, 62, "minutes");
    }

    function test_delayStopsAtItsField() public {
        uint32 epoch = report(3_000_000);
        deferNext = true;
        Plan memory late = plan(epoch);
        vm.warp((uint256(epoch) + 1) * EPOCH + 60 days);
        commit(late);
        (, IEpochLedger.Terms memory terms) = sys.epochLedger.termsOf(epoch);
        assertEq(terms.delay, type(uint16).max, "45 days and more are one");
    }

    /// What is logged of a fault, and what its pool holds then.
    function test_upheldIsLoggedAndPooled() public {
        uint32 epoch = _lie();
        ILedgerCourt.Opening memory leaf = leafOf(epoch, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(epoch - 1, actor(3));
        vm.recordLogs();
        vm.prank(_CAROL);
        court.wrongShare(epoch, 1, reportBytes[epoch], leaf, before);
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
        court.wrongShare(epoch, 1, reportBytes[epoch], leaf, before);
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
