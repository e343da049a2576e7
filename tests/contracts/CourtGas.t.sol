// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {CourtFixture} from "./utils/CourtFixture.sol";

/// @notice What a challenge and a commit cost as whole transactions.
contract CourtGasTest is CourtFixture {
    event Measured(string what, uint256 gas);

    uint64 private constant _SATS = 3_000_000;
    uint32 private _e;

    function setUp() public override {
        super.setUp();
        reportAndCommit(_SATS);
        reportAndCommit(_SATS);
        _e = report(_SATS);
    }

    /// @dev Execution, intrinsic cost and calldata of a call that succeeds.
    function _cost(address to, bytes memory data) private returns (uint256 used) {
        uint256 before = gasleft();
        (bool ok,) = to.call(data);
        used = before - gasleft() + 21_000;
        assertTrue(ok, "succeeds");
        for (uint256 i = 0; i < data.length; ++i) {
            used += data[i] == 0 ? 4 : 16;
        }
    }

    /// Upheld challenges with all they write, and the part that decides: the same call where there is no fault.
    function test_gas() public {
        Plan memory p = plan(_e);
        shift(at(p, actor(3)), -1);
        ILedgerCourt.Leaf memory other = at(p, actor(1));
        other.acc = abi.encodePacked(uint16(1), uint128(accOf(other, 1)), uint16(2), uint128(accOf(other, 2) - 1));
        commit(p);
        bytes memory data = abi.encodeCall(
            court.wrongShare, (_e, 2, reportBytes[_e], leafOf(_e, actor(1)), evidence(_e - 1, actor(1)))
        );
        uint256 used = _cost(address(court), data);
        emit Measured("wrongShare upheld: one piece, no wrapper, first of its day", used);
        data = abi.encodeCall(
            court.wrongShare, (_e, 1, reportBytes[_e], leafOf(_e, actor(3)), evidence(_e - 1, actor(3)))
        );
        used = _cost(address(court), data);
        emit Measured("wrongShare upheld: two pieces, two wrappers", used);
        assertLe(used, 500_000, "worst per series");
        uint256 before = gasleft();
        court.credits().creditOf(_e, 2, actor(1), reportBytes[_e]);
        emit Measured("of it: one piece's credit, warm", before - gasleft());
    }

    function test_gasOfCommit() public {
        perBatch = 100;
        Plan memory p = plan(_e);
        IEpochLedger.Commitment memory c;
        (c.epoch, c.minPay, c.accounts) = (p.epoch, minPay, uint32(p.leaves.length));
        IEpochLedger.Root[][] memory levels = levelsOf(p.leaves);
        c.root = levels[levels.length - 1][0];
        c.batches = new IEpochLedger.Batch[](1);
        c.batches[0] = IEpochLedger.Batch(keccak256(p.outputs[0]), p.totals[0]);
        c.funding = new IEpochLedger.OutPoint[](1);
        vm.prank(operator);
        uint256 used = _cost(address(sys.epochLedger), abi.encodeCall(sys.epochLedger.commit, (c)));
        emit Measured("commit, one batch", used);
    }
}
