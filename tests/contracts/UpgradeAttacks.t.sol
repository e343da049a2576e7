// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {ISeriesRegistry} from "../../contracts/interfaces/ISeriesRegistry.sol";
import {ISeriesUpgrader} from "../../contracts/interfaces/ISeriesUpgrader.sol";
import {HostileQuote} from "./utils/HostileQuote.sol";
import {UpgradeFixture} from "./utils/UpgradeFixture.sol";

/// @notice Hostile in what it sends too, not only in what it takes.
contract HostileBothWays is HostileQuote {
    function transfer(address to, uint256 amount) public override returns (bool) {
        _approve(msg.sender, msg.sender, amount);
        return transferFrom(msg.sender, to, amount);
    }
}

/// @notice What a thief with the operator's key, a quorum's old signatures, or the quote token itself could try.
contract UpgradeAttacks is UpgradeFixture {
    HostileBothWays private _hostile;
    address private constant _THIEF = address(0x7813F);

    function setUp() public override {
        vm.warp(70_000 * EPOCH + 100);
        _hostile = new HostileBothWays();
        super.setUp();
    }

    function configuration() internal view override returns (string memory) {
        return vm.replace(
            vm.readFile("scripts/deploy/dev.json"),
            "\"quoteToken\": \"0x0000000000000000000000000000000000000000\"",
            string.concat("\"quoteToken\": \"", vm.toString(address(_hostile)), "\"")
        );
    }

    /// @dev Nothing happened: the machines, the money and the proposal are where they were.
    function _unchanged(uint256 escrow) private view {
        assertEq(registry.series(1).generation, 1, "generation");
        assertTrue(!registry.rootOf(oldRoot).retired, "not retired");
        assertEq(_hostile.balanceOf(VENDOR), 0, "not paid");
        assertEq(_hostile.balanceOf(_THIEF), 0, "nor the thief");
        assertEq(_hostile.balanceOf(address(upgrader)), escrow, "in escrow");
        assertTrue(upgrader.proposal(1).structHash != 0, "open");
    }

    /* WHAT WAS ATTESTED */

    function test_wrongVendor() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        bytes[] memory list = attested(u);
        proposeAndWait(u);
        u.vendor = _THIEF;
        refuses(ISeriesUpgrader.WrongProposal.selector);
        upgrader.execute(u, list);
        _unchanged(1000e6);
    }

    function test_wrongRoot() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        u.machineRoot = keccak256("empty boxes");
        bytes[] memory list = attested(u);
        refuses(ISeriesUpgrader.WrongProposal.selector);
        upgrader.execute(u, list);
        _unchanged(1000e6);
    }

    /// Every field of the proposal is bound, by its hash and by the signatures.
    function testFuzz_changedProposal(uint8 word, uint8 bit) public {
        ISeriesUpgrader.Upgrade memory u = standard();
        bytes[] memory list = attested(u);
        proposeAndWait(u);
        bytes32 digest = upgrader.upgradeDigest(u);
        uint256 at = 32 * (2 + uint256(word) % 18);
        uint256 flip = 1 << (bit % 16);
        assembly ("memory-safe") {
            mstore(add(u, at), xor(mload(add(u, at)), flip))
        }
        assertTrue(upgrader.upgradeDigest(u) != digest, "signed");
        refuses(ISeriesUpgrader.WrongProposal.selector);
        upgrader.execute(u, list);
        _unchanged(1000e6);
    }

    /// The operator proposes what nobody attested: the signatures of another proposal do not help.
    function test_proposalChangedAfterAttestation() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        bytes[] memory list = attested(u);
        u.vendor = _THIEF;
        proposeAndWait(u);
        refuses(IFleetOracle.NotASigner.selector);
        upgrader.execute(u, list);
        _unchanged(1000e6);
    }

    function test_tooFewAndForeignSignatures() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        bytes[] memory list = signed(upgrader.upgradeDigest(u), 1);
        refuses(IFleetOracle.NotEnoughSignatures.selector);
        upgrader.execute(u, list);
        list = attested(u);
        list[1] = list[0];
        refuses(IFleetOracle.SignersNotAscending.selector);
        upgrader.execute(u, list);
        list[1] = signatureOf(0xBAD, upgrader.upgradeDigest(u));
        refuses(IFleetOracle.NotASigner.selector);
        upgrader.execute(u, list);
        _unchanged(1000e6);
    }

    /* REPLAY */

    function test_reexecution() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        upgradeBy(u);
        bytes[] memory list = attested(u);
        refuses(ISeriesUpgrader.NothingOpen.selector);
        upgrader.execute(u, list);
        // proposed word for word again
        vm.startPrank(operator);
        refuses(ISeriesUpgrader.WrongNonce.selector);
        upgrader.propose(u, MODEL);
        u.nonce = 1;
        refuses(ISeriesRegistry.NotALiveRoot.selector);
        upgrader.propose(u, MODEL);
        vm.stopPrank();
    }

    function test_replayAcrossProposals() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        bytes[] memory list = attested(u);
        propose(u);
        vm.prank(operator);
        upgrader.cancel(1);
        u.nonce = 1;
        proposeAndWait(u);
        refuses(IFleetOracle.NotASigner.selector);
        upgrader.execute(u, list);
        _unchanged(2000e6);
    }

    function test_replayAcrossSeries() public {
        uint16 id = secondSeries(keccak256("machines of the second series"));
        ISeriesUpgrader.Upgrade memory u = standard();
        bytes[] memory list = attested(u);
        (u.series, u.retiredRoot) = (id, keccak256("machines of the second series"));
        propose(u);
        // nor can one series retire the other's machines
        ISeriesUpgrader.Upgrade memory foreign = standard();
        foreign.retiredRoot = keccak256("machines of the second series");
        refuses(ISeriesRegistry.NotALiveRoot.selector);
        propose(foreign);
        skip(72 hours);
        refuses(IFleetOracle.NotASigner.selector);
        upgrader.execute(u, list);
    }

    function test_replayAcrossChains() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        bytes[] memory list = attested(u);
        proposeAndWait(u);
        vm.chainId(31_338);
        refuses(IFleetOracle.NotASigner.selector);
        upgrader.execute(u, list);
        vm.chainId(31_337);
        upgrader.execute(u, list);
    }

    /// A signature for a batch of machines is none for an upgrade: the domains differ.
    function test_batchAttestationIsNone() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        bytes[] memory list = signed(registry.batchDigest(batchOf(1e18)), 2);
        refuses(IFleetOracle.NotASigner.selector);
        upgrader.execute(u, list);
        _unchanged(1000e6);
    }

    /// Signers that were replaced in the meantime do not count.
    function test_oldSignersDoNotCount() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        bytes[] memory list = attested(u);
        proposeAndWait(u);
        address[] memory fresh = new address[](1);
        fresh[0] = vm.addr(0xF);
        vm.prank(operator);
        sys.fleetOracle.setSigners(fresh, 1);
        refuses(IFleetOracle.NotASigner.selector);
        upgrader.execute(u, list);
        _unchanged(1000e6);
    }

    /* FRONT-RUNNING */

    /// Who sends the execution gains nothing and changes nothing.
    function test_frontRunExecution() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        bytes[] memory list = attested(u);
        vm.prank(_THIEF);
        upgrader.execute(u, list);
        assertEq(_hostile.balanceOf(_THIEF), 0, "nothing for the sender");
        assertEq(_hostile.balanceOf(VENDOR), 990e6, "all for the vendor");
    }

    /// Gifts before and during a proposal cannot push its price out of bounds.
    function test_giftsDoNotBlockAnUpgrade() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        fund(_THIEF, 1000e6, address(upgrader));
        vm.startPrank(_THIEF);
        upgrader.addCash(1, 500e6);
        _hostile.transfer(address(upgrader), 500e6);
        vm.stopPrank();
        upgrader.execute(u, attested(u));
        assertEq(_hostile.balanceOf(VENDOR), 990e6, "as attested");
        assertEq(upgrader.hardwareCash(1), 510e6, "gift and rest; what nobody booked is nobody's");
    }

    /// A batch slipped in before the execution is counted, not lost.
    function test_batchInBetween() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        bytes[] memory list = attested(u);
        registerUnits(400e18);
        upgrader.execute(u, list);
        assertEq(registry.series(1).hashratePerUnit, 1, "(250 + 400) / 500");
    }

    /* THE TOKEN */

    function test_feeOnTheWayIn() public {
        _hostile.set(HostileQuote.Way.FeeOnTransfer);
        ISeriesUpgrader.Upgrade memory u = standard();
        vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.PriceOutOfBounds.selector, 990e6, 900e6));
        propose(u);
        u.price = 890e6;
        propose(u);
        assertEq(upgrader.proposal(1).arrived, 900e6, "what arrived");
        vm.prank(operator);
        upgrader.cancel(1);
        assertEq(upgrader.refundOf(operator), 900e6, "and no more is owed");
    }

    function test_feeOnTheWayOut() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        bytes[] memory list = attested(u);
        _hostile.set(HostileQuote.Way.FeeOnTransfer);
        vm.expectRevert(abi.encodeWithSelector(ISeriesUpgrader.VendorPaidShort.selector, 990e6, 891e6));
        upgrader.execute(u, list);
        _unchanged(1000e6);
    }

    function test_refusedVendorAndRefusedFunder() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        bytes[] memory list = attested(u);
        _hostile.block_(VENDOR, true);
        vm.expectRevert();
        upgrader.execute(u, list);
        _unchanged(1000e6);
        _hostile.block_(operator, true);
        vm.startPrank(operator);
        upgrader.cancel(1); // needs no transfer
        vm.expectRevert();
        upgrader.takeRefund(operator);
        upgrader.takeRefund(address(0xD1));
        vm.stopPrank();
        assertEq(_hostile.balanceOf(address(0xD1)), 1000e6, "not stuck");
    }

    function test_returnsFalse() public {
        _hostile.set(HostileQuote.Way.ReturnsFalse);
        ISeriesUpgrader.Upgrade memory u = standard();
        vm.expectRevert();
        propose(u);
        assertEq(upgrader.proposal(1).structHash, 0, "no proposal without money");
    }

    function test_reentrancy() public {
        ISeriesUpgrader.Upgrade memory u = standard();
        proposeAndWait(u);
        bytes[] memory list = attested(u);
        bytes[5] memory calls = [
            abi.encodeCall(upgrader.execute, (u, list)),
            abi.encodeCall(upgrader.propose, (u, MODEL)),
            abi.encodeCall(upgrader.cancel, (1)),
            abi.encodeCall(upgrader.addCash, (1, 1)),
            abi.encodeCall(upgrader.takeRefund, (_THIEF))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            uint256 id = vm.snapshotState();
            _hostile.onTransfer(address(upgrader), calls[i]);
            upgrader.execute(u, list);
            assertTrue(!_hostile.calledBack(), "the call back is refused");
            // Reentrancy() of the guard; propose fails on its role before
            bool guarded = bytes4(_hostile.answer()) == bytes4(keccak256("Reentrancy()"));
            assertTrue(guarded || i == 1, "by the guard");
            assertEq(_hostile.balanceOf(VENDOR), 990e6, "paid once");
            vm.revertToState(id);
        }
    }
}
