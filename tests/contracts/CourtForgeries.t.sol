// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {CourtFixture} from "./utils/CourtFixture.sol";

/// @notice A challenger that keeps books of what it receives.
contract Purse {
    uint256 public got;

    receive() external payable {
        got += msg.value;
    }
}

/// @notice Evidence that is not in the tree shows nothing, at whichever place of a list it stands.
contract CourtForgeriesTest is CourtFixture {
    uint64 private constant _SATS = 3_000_000;
    uint32 private _e;

    function setUp() public override {
        super.setUp();
        reportAndCommit(_SATS);
        _e = report(_SATS);
        bondUp(1e12);
    }

    /// A first leaf with another name would show that everybody before it was left out.
    function test_omitted_noForgedFirstLeaf() public {
        commit(plan(_e));
        ILedgerCourt.Opening[] memory around = new ILedgerCourt.Opening[](1);
        around[0] = opening(_e, 0);
        around[0].leaf.account = address(uint160(actor(3)) + 1);
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.NotInTree.selector, _e, 0));
        court.omitted(_e, books(_e), actor(3), 1, reportBytes[_e], around, before);
    }

    /// Of two leaves beside one another neither may be made up.
    function test_omitted_noForgedNeighbour() public {
        commit(plan(_e));
        uint32 place = uint32(indexOf(_e, actor(3)));
        uint32 left = place == 0 ? 0 : place - 1;
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        for (uint256 i = 0; i < 2; ++i) {
            ILedgerCourt.Opening[] memory around = new ILedgerCourt.Opening[](2);
            (around[0], around[1]) = (opening(_e, left), opening(_e, left + 1));
            around[i].leaf.scriptHash = keccak256("another");
            vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.NotInTree.selector, _e, left + i));
            court.omitted(_e, books(_e), actor(3), 1, reportBytes[_e], around, before);
        }
    }

    /// Whoever says that more was due to them would take the others' parts.
    function test_claimUnpaid_noForgedLeaf() public {
        commit(plan(_e));
        skip(1 days);
        court.unpaid(_e, books(_e), 0);
        for (uint256 i = 0; i < leafCount(_e); ++i) {
            ILedgerCourt.Opening memory leaf = opening(_e, i);
            if (leaf.leaf.out >> 16 != 0) continue;
            leaf.leaf.paid += 1_000_000;
            ILedgerCourt.Opening[] memory before = evidence(_e - 1, leaf.leaf.account);
            vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.NotInTree.selector, _e, i));
            court.claimUnpaid(_e, block.timestamp / 1 days, books(_e), leaf, before);
        }
    }

    /// Gas goes back with enough gas for a contract that books it.
    function test_gasReachesAContract() public {
        vm.deal(address(this), 1 ether);
        court.fundGas{value: 1 ether}();
        vm.fee(1 gwei);
        Plan memory p = plan(_e);
        shift(at(p, actor(3)), -int256(uint256(1) << 64));
        commit(p);
        address purse = address(new Purse());
        ILedgerCourt.Opening memory leaf = leafOf(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        vm.prank(purse);
        court.wrongShare(_e, books(_e), 1, reportBytes[_e], leaf, before);
        assertTrue(Purse(payable(purse)).got() > 3 * 100_000 * 1 gwei, "three times");
    }

    /// Of a demand's deposit, who answers has the gas and who asked has the rest: contracts book both.
    function test_depositsReachContracts() public {
        commit(plan(_e));
        (address asks, address answers) = (address(new Purse()), address(new Purse()));
        vm.fee(1 gwei);
        vm.deal(asks, 0.01 ether);
        vm.prank(asks);
        court.demand{value: 0.01 ether}(actor(3), _e, reportBytes[_e]);
        ILedgerCourt.Opening[] memory here = evidence(_e, actor(3));
        ILedgerCourt.Opening[] memory before = evidence(_e - 1, actor(3));
        vm.prank(answers);
        court.answer(actor(3), _e, books(_e), here, before);
        (uint256 gas, uint256 rest) = (Purse(payable(answers)).got(), Purse(payable(asks)).got());
        assertTrue(gas != 0 && rest != 0, "each heard of it");
        assertEq(gas + rest, 0.01 ether, "all of it");
    }

    /// Nobody answered: the deposit is back with who asked.
    function test_silenceReturnsTheDepositToAContract() public {
        commit(plan(_e));
        address asks = address(new Purse());
        vm.deal(asks, 0.01 ether);
        vm.prank(asks);
        court.demand{value: 0.01 ether}(actor(3), _e, reportBytes[_e]);
        skip(12 hours + 1);
        court.silence(actor(3), _e);
        assertEq(Purse(payable(asks)).got(), 0.01 ether, "heard of it");
    }
}
