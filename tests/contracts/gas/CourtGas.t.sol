// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFleetOracle} from "../../../contracts/interfaces/IFleetOracle.sol";
import {ILedgerCourt} from "../../../contracts/interfaces/ILedgerCourt.sol";
import {CourtFixture} from "../utils/CourtFixture.sol";
import {deployedContracts} from "../utils/Deployed.sol";
import {GasTable} from "./GasTable.sol";

/// @notice Whole transactions of commit and challenge on the deployed system, whose ledger has few accounts: with 100,000,
/// a challenge brings 14 more siblings of 56 bytes for each opening. And the size of every contract in this code.
/// forge-config: default.isolate = true
contract CourtGasTest is GasTable, CourtFixture {
    uint64 private constant _SATS = 3_000_000;
    uint256 private constant _SIZE_LIMIT = 24_576;

    error TooLarge(uint256 place, uint256 size);

    function test_gas() public {
        bondUp(1e12);
        perBatch = 100;
        for (uint256 i = 0; i < 4; ++i) {
            reportAndCommit(_SATS);
        }
        uint32 e = _reportFourPieces();
        Plan memory p = plan(e);
        shift(at(p, actor(3)), -1);
        _shiftSecond(at(p, actor(0)));
        _shiftSecond(at(p, actor(1)));
        commit(p);
        record("commit");
        _challenge(e, 1, actor(3), "wrongShareFourPiecesTwoWrappers");
        _challenge(e, 2, actor(0), "wrongShare");
        skip(1 days);
        _challenge(e, 2, actor(1), "wrongShareFirstOfTheDay");
        check("court");
    }

    /// @dev The most pieces a series may have, so the most that one challenge must weigh.
    function _reportFourPieces() private returns (uint32 epoch) {
        IFleetOracle.FleetReport memory r = reportOf(_SATS);
        epoch = r.epoch;
        IFleetOracle.SeriesReport[] memory list = new IFleetOracle.SeriesReport[](2);
        list[0] = r.series[0];
        list[0].pots = new IFleetOracle.Piece[](4);
        for (uint32 i = 0; i < 4; ++i) {
            list[0].pots[i] = IFleetOracle.Piece(epoch - 3 + i, _SATS / 6);
        }
        list[1].series = 2;
        list[1].pots = new IFleetOracle.Piece[](1);
        list[1].pots[0] = IFleetOracle.Piece(epoch, _SATS - 4 * (_SATS / 6));
        r.series = list;
        vm.warp((uint256(epoch) + 1) * EPOCH + 60);
        post(r);
        reportBytes[epoch] = abi.encode(r);
    }

    function _shiftSecond(ILedgerCourt.Leaf memory leaf) private pure {
        leaf.acc = abi.encodePacked(uint16(1), uint128(accOf(leaf, 1)), uint16(2), uint128(accOf(leaf, 2) - 1));
    }

    function _challenge(uint32 e, uint16 series, address account, string memory name) private {
        ILedgerCourt.Opening memory now_ = leafOf(e, account);
        ILedgerCourt.Opening[] memory before = evidence(e - 1, account);
        court.wrongShare(e, books(e), series, reportBytes[e], now_, before);
        record(name);
    }

    /// EIP-170 of everything that the deployment script deploys, in the code that the gas of these tables is measured on.
    function test_everyContractFitsTheSizeLimit() public view {
        (, address[19] memory list) = deployedContracts(sys, line);
        for (uint256 i = 0; i < list.length; ++i) {
            uint256 size = list[i].code.length;
            if (size == 0 || size > _SIZE_LIMIT) revert TooLarge(i, size);
        }
    }
}
