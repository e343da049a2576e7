// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {CourtFixture} from "./utils/CourtFixture.sol";

/// @notice Edges of the court and of what the ledger keeps of a commit. Found by mutants that survived.
contract CourtRulesTest is CourtFixture {
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
}
