// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {CourtFixture} from "./utils/CourtFixture.sol";

/// @notice Against honest commits no challenge succeeds: carry, thresholds, accounts without a script, look-through,
/// pieces of older epochs, deferral, several batches, gaps, newcomers, and corrections of an earlier fault.
contract CourtHonestTest is CourtFixture {
    /// forge-config: default.fuzz.runs = 12
    /// forge-config: nightly.fuzz.runs = 2000
    function testFuzz_noChallengeSucceeds(uint256 seed) public {
        perBatch = 1 + seed % 4;
        minPay = uint64(bound(seed >> 8, 0, 50_000));
        for (uint256 i = 0; i < 4; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            _live(seed);
            deferNext = seed % 5 == 0;
            uint32 epoch = seed % 7 == 0 ? _gap() : report(uint64(bound(seed >> 16, 0, 5_000_000)));
            Plan memory p = plan(epoch);
            bool lie = seed % 11 == 0 && p.leaves.length != 0 && accOf(p.leaves[0], 1) != 0 && !deferNext;
            uint256 secondAcc = lie ? accOf(p.leaves[0], 2) : 0;
            if (lie) {
                p.leaves[0].acc = abi.encodePacked(uint16(1), uint128(accOf(p.leaves[0], 1) - 1));
                if (secondAcc != 0) p.leaves[0].acc = abi.encodePacked(p.leaves[0].acc, uint16(2), uint128(secondAcc));
            }
            try this.commitExternally(p) {}
            catch {
                commit(plan(epoch)); // the lie did not fit the sums
                lie = false;
            }
            if (lie) {
                ILedgerCourt.Opening[] memory before = evidence(epoch - 1, p.leaves[0].account);
                court.wrongShare(epoch, books(epoch), 1, reportBytes[epoch], leafOf(epoch, p.leaves[0].account), before);
            } else {
                _challengeAll(epoch);
            }
        }
    }

    function commitExternally(Plan calldata p) external {
        commit(p);
    }

    /// @dev Transfers within the epoch, registrations, shares minted.
    function _live(uint256 seed) private {
        for (uint256 i = 0; i < 3; ++i) {
            seed = uint256(keccak256(abi.encode(seed, i)));
            skip(1 + seed % 9000);
            address from = actor(seed % 5);
            address to = actor((seed >> 8) % 5);
            ITwabToken token = seed % 3 == 0 ? second : ITwabToken(address(unit));
            uint256 amount = token.balanceOf(from) * ((seed >> 16) % 4) / 3;
            vm.prank(from);
            token.transfer(to, amount);
            if (seed % 4 == 0) register(actor((seed >> 24) % 5), uint64((seed >> 32) % 90_000));
            if (seed % 6 == 0) {
                ITwabToken share = ITwabToken(line.pool.lpShare());
                vm.prank(address(line.pool));
                share.mint(to, 1 + (seed >> 40) % 1e18);
            }
        }
    }

    function _gap() private returns (uint32 epoch) {
        epoch = sys.fleetOracle.lastEpoch() + 1;
        vm.warp((uint256(epoch) + 1) * EPOCH + 1 days);
        sys.fleetOracle.declareGap(epoch);
    }

    function _challengeAll(uint32 epoch) private {
        uint256 count = leafCount(epoch);
        for (uint256 i = 0; i < accounts.length; ++i) {
            _challengeAccount(epoch, accounts[i]);
        }
        for (uint256 i = 0; i + 1 < count; ++i) {
            ILedgerCourt.Opening memory left = opening(epoch, i);
            ILedgerCourt.Opening memory right = opening(epoch, i + 1);
            vm.expectRevert(ILedgerCourt.NoFault.selector);
            court.disorder(epoch, encoded(epoch), left, right);
            vm.expectRevert(ILedgerCourt.NoFault.selector);
            court.disorder(epoch, encoded(epoch), right, left);
        }
        if (block.timestamp < (uint256(epoch) + 7) * EPOCH) refuses(ILedgerCourt.TooEarly.selector);
        else vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.lateCommit(epoch, encoded(epoch));
        if (outputsOf[epoch].length == 0) vm.expectRevert(ILedgerCourt.NoFault.selector);
        else refuses(ILedgerCourt.TooEarly.selector);
        court.unpaid(epoch, books(epoch), 0);
    }

    function _challengeAccount(uint32 epoch, address account) private {
        ILedgerCourt.Opening[] memory here = evidence(epoch, account);
        ILedgerCourt.Opening[] memory before = evidence(epoch - 1, account);
        bytes memory r = reportBytes[epoch];
        for (uint16 s = 1; s <= 3; ++s) {
            vm.expectRevert(ILedgerCourt.NoFault.selector);
            court.omitted(epoch, books(epoch), account, s, r, here, before);
        }
        if (here.length == 0 || here[0].leaf.account != account) return;
        for (uint16 s = 1; s <= 3; ++s) {
            vm.expectRevert(ILedgerCourt.NoFault.selector);
            court.wrongShare(epoch, books(epoch), s, r, here[0], before);
        }
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.wrongDue(epoch, books(epoch), here[0], before);
        uint32 out = here[0].leaf.out;
        bytes memory outputs = out == NONE ? bytes("") : outputsOf[epoch][out >> 16];
        vm.expectRevert(ILedgerCourt.NoFault.selector);
        court.badOutput(epoch, books(epoch), here[0], before, outputs);
    }

    /// After 90 epochs of waiting, 2,000 sats are due whatever the minimum.
    function test_longWaitIsDue() public {
        minPay = 50_000;
        give(unit, actor(4), 0.01e18);
        register(actor(4), 90_000_000);
        reportAndCommit(3_000_000);
        for (uint256 i = 0; i < 91; ++i) {
            uint32 epoch = reportAndCommit(i < 60 ? 600_000 : 1);
            if (i < 88) continue;
            _challengeAccount(epoch, actor(4));
            _challengeAccount(epoch, actor(0));
        }
        assertTrue(leafOf(FIRST + 91, actor(4)).leaf.paid >= 2000, "paid at last");
    }
}
