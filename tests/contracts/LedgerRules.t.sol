// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {BitcoinRelay} from "../../contracts/BitcoinRelay.sol";
import {EpochLedger} from "../../contracts/EpochLedger.sol";
import {PayoutRegistry} from "../../contracts/PayoutRegistry.sol";
import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {IPayoutRegistry} from "../../contracts/interfaces/IPayoutRegistry.sol";
import {Bitcoin} from "./utils/Bitcoin.sol";
import {LedgerFixture} from "./utils/LedgerFixture.sol";
import {Test} from "./utils/Test.sol";

/// @notice Edges of the ledger: how far a correction lets the sums go, what a coinbase is, which batch is which.
/// The test is the court.
contract LedgerRulesTest is LedgerFixture {
    mapping(uint32 epoch => ILedgerCourt.Sums) private _sums;

    function setUp() public override {
        super.setUp();
        _ledger = new EpochLedger(address(_manager), address(_oracle), address(_relay), address(this), 3);
        _ledger.setBaton(_BATON, 1);
    }

    /// @dev As the court says it.
    function correctionSums(uint32 epoch) external view returns (ILedgerCourt.Sums memory) {
        return _sums[epoch];
    }

    function _corrected(uint32 epoch, uint128 accUp, uint128 accDown, uint64 paidUp, uint64 paidDown) private {
        _sums[epoch] = ILedgerCourt.Sums(accUp, accDown, paidUp, paidDown);
        _ledger.noteCorrection(epoch);
    }

    /* CORRECTIONS */

    function test_whatIsGivenBackMayBeCreditedAndNoMore() public {
        IEpochLedger.Commitment memory c = _commitment(70_000, 1);
        c.root.accSum = uint128(_POT) << 64;
        _commit(c);
        _corrected(70_001, 77, 0, 0, 0);
        c = _commitment(70_001, 0);
        uint256 limit = (uint256(_POT) << 65) + 77;
        c.root.accSum = uint128(limit + 1);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.AccSumTooLarge.selector, limit, limit + 1));
        _commit(c);
        c.root.accSum = uint128(limit);
        _commit(c);
    }

    /// What was paid stays paid: credit that was taken back counts against it, all of it together.
    function test_whatIsTakenBackMayBeMissingAndNoMore() public {
        _commit(_commitment(70_000, 1));
        uint128 whole = uint128(_paidSum()) << 64;
        uint128[3] memory missing = [uint128(55), 56, 56];
        _corrected(70_001, 0, 55, 0, 0);
        for (uint32 i = 0; i < 3; ++i) {
            if (i == 1) _corrected(70_002, 0, 1, 0, 0);
            uint128 last = whole - (i == 0 ? 0 : missing[i - 1]);
            IEpochLedger.Commitment memory c = _commitment(70_001 + i, 0);
            c.root.accSum = whole - missing[i] - 1;
            vm.expectRevert(abi.encodeWithSelector(IEpochLedger.AccSumFell.selector, last, c.root.accSum));
            _commit(c);
            c.root.accSum += 1;
            _commit(c);
        }
        IEpochLedger.Commitment memory more = _commitment(70_004, 1);
        uint256 paid = uint256(more.root.paidSum) << 64;
        more.root.accSum = uint128(paid - 57);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.PaidBeyondCredit.selector, paid - 1, paid));
        _commit(more);
        more.root.accSum += 1;
        _commit(more);
    }

    function test_paymentsFollowTheirCorrections() public {
        _commit(_commitment(70_000, 1));
        _corrected(70_001, 0, 0, 9, 4);
        IEpochLedger.Commitment memory c = _commitment(70_001, 2);
        uint64 most = c.root.paidSum + 9;
        uint64[2] memory wrong = [most + 1, most - 5];
        for (uint256 i = 0; i < 2; ++i) {
            c.root.paidSum = wrong[i];
            _credit(c);
            vm.expectRevert(abi.encodeWithSelector(IEpochLedger.PaidSumMismatch.selector, most, wrong[i]));
            _commit(c);
        }
        uint256 id = vm.snapshotState();
        c.root.paidSum = most;
        _credit(c);
        _ledger.commit(c);
        vm.revertToState(id);
        c.root.paidSum = most - 4;
        _credit(c);
        _ledger.commit(c);
        assertEq(_paidSum(), most - 4, "the least");
    }

    /// A correction counts in its epoch: not in the epochs before it, nor in those after.
    function test_aCorrectionCountsInItsEpoch() public {
        for (uint32 e = 70_000; e < 70_005; ++e) {
            _sums[e].accUp = 100;
        }
        _sums[70_000].accUp = 0;
        _ledger.noteCorrection(70_002);
        uint128 acc = 0;
        for (uint32 e = 70_000; e < 70_004; ++e) {
            IEpochLedger.Commitment memory c = _commitment(e, 0);
            uint128 most = acc + (uint128(_POT) << 64) + (e == 70_000 || e == 70_003 ? 0 : 100);
            c.root.accSum = most + 1;
            vm.expectRevert(abi.encodeWithSelector(IEpochLedger.AccSumTooLarge.selector, most, most + 1));
            _commit(c);
            c.root.accSum = acc = most;
            _commit(c);
        }
    }

    function test_paymentsFitTheirField() public {
        _oracle.report(70_000, type(uint64).max >> 8);
        _oracle.report(70_001, 5);
        IEpochLedger.Commitment memory c = _commitment(70_000, 1);
        c.root.paidSum = c.batches[0].total = type(uint56).max;
        _credit(c);
        _commit(c);
        c = _commitment(70_001, 1);
        c.batches[0].total = 1;
        c.root.paidSum = uint64(1 << 56);
        c.root.accSum = uint128(type(uint56).max) << 64;
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.PaidSumMismatch.selector, 1 << 56, 1 << 56));
        _commit(c);
    }

    /* CONSTRUCTION AND LISTS */

    /// @dev A call of its own, so that a constructor's revert is that call's.
    function deploy(uint8 confirmations) external returns (EpochLedger) {
        return new EpochLedger(address(_manager), address(_oracle), address(_relay), address(5), confirmations);
    }

    function test_confirmationsAreSixWhereMoneyIsReal() public {
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.TooFewConfirmations.selector, 0));
        this.deploy(0);
        EpochLedger made = this.deploy(1);
        assertEq(made.confirmations(), 1, "elsewhere one is enough");
        assertEq(made.oracle(), address(_oracle), "oracle");
        assertEq(made.relay(), address(_relay), "relay");
        assertEq(made.court(), address(5), "court");
        assertTrue(made.firstEpoch() == 70_000 && made.nextEpoch() == 70_000, "first epoch");
        vm.chainId(1);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.TooFewConfirmations.selector, 5));
        this.deploy(5);
        assertEq(this.deploy(6).confirmations(), 6, "six");
    }

    function test_theBatonIsSetOnceAndLogged() public {
        EpochLedger made = this.deploy(1);
        vm.expectEmit(true, true, true, true, address(made));
        emit IEpochLedger.BatonSet(_BATON, 9);
        made.setBaton(_BATON, 9);
        (bytes32 txid, uint32 vout) = made.baton();
        assertTrue(txid == _BATON && vout == 9, "as said");
    }

    function test_aWrapperIsListedAsGiven() public {
        _commit(_commitment(70_000, 0));
        IEpochLedger.Wrapper memory w = IEpochLedger.Wrapper(3, address(11), address(12), address(13));
        vm.expectEmit(true, true, true, true, address(_ledger));
        emit IEpochLedger.WrapperAdded(w);
        _ledger.addWrapper(w);
        assertEq(keccak256(abi.encode(_ledger.wrappers()[0])), keccak256(abi.encode(w)), "listed");
        assertEq(_ledger.wrapperFrom(0), 70_001, "from the next epoch to be committed");
        assertTrue(_ledger.isWrapper(address(11)) && !_ledger.isWrapper(address(12)), "itself alone");
        assertTrue(!_ledger.isWrapper(address(13)), "not its first-loss account");
    }

    /// Whoever bears some wrapper's first loss gets no wrapper of its own, wherever it stands in the list.
    function test_aFirstLossAccountIsNoWrapper() public {
        for (uint160 i = 1; i <= 3; ++i) {
            _ledger.addWrapper(IEpochLedger.Wrapper(1, address(i), address(99), address(i + 10)));
        }
        for (uint160 i = 1; i <= 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IEpochLedger.BadWrapper.selector, address(i + 10)));
            _ledger.addWrapper(IEpochLedger.Wrapper(1, address(i + 10), address(99), address(50)));
            vm.expectRevert(abi.encodeWithSelector(IEpochLedger.BadWrapper.selector, address(60)));
            _ledger.addWrapper(IEpochLedger.Wrapper(1, address(60), address(99), address(i)));
        }
        _ledger.addWrapper(IEpochLedger.Wrapper(1, address(60), address(99), address(11)));
    }

    function test_65534BatchesAreTheMost() public {
        IEpochLedger.Commitment memory c = _commitment(70_000, 0);
        c.batches = new IEpochLedger.Batch[](65_534);
        _ledger.commit(c);
        assertEq(_ledger.nextEpoch(), 70_001, "committed");
    }

    /* PROOFS */

    /// @dev A block of `coinbase` and `payout`, three deep.
    function _proveWith(bytes memory coinbase, bytes memory payout)
        private
        pure
        returns (IEpochLedger.Proof memory proof)
    {
        bytes32[] memory leaves = new bytes32[](2);
        (leaves[0], leaves[1]) = (Bitcoin.hash256(coinbase), Bitcoin.hash256(payout));
        bytes32 root;
        (root, proof.branch) = Bitcoin.tree(leaves, 1);
        (, proof.coinbaseBranch) = Bitcoin.tree(leaves, 0);
        (proof.index, proof.transaction, proof.coinbase) = (1, payout, coinbase);
        bytes32 previous = keccak256("block before");
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory h = Bitcoin.header(previous, root, Bitcoin.BITS);
            proof.headers = abi.encodePacked(proof.headers, h);
            previous = Bitcoin.hash256(h);
        }
    }

    function _coinbase(bytes32 txid, uint32 vout) private pure returns (bytes memory) {
        bytes memory input = abi.encodePacked(txid, vout, hex"0403aabbccffffffff");
        return abi.encodePacked(hex"01000000", hex"01", input, hex"01", bytes8(0), hex"0151", hex"00000000");
    }

    /// A coinbase spends no transaction, and none of its outputs: either alone is not enough.
    function test_aCoinbaseSpendsNothing() public {
        _commit(_commitment(70_000, 1));
        bytes memory payout = _payout(70_000, 0, _BATON, 1, _payees(70_000, 0));
        bytes[3] memory bad =
            [_coinbase(0, 0xfeffffff), _coinbase(0, 0), _coinbase(bytes32(uint256(1)), type(uint32).max)];
        for (uint256 i = 0; i < bad.length; ++i) {
            IEpochLedger.Proof memory proof = _proveWith(bad[i], payout);
            vm.expectRevert(IEpochLedger.BadTransaction.selector);
            _ledger.provePayout(70_000, 0, paying(70_000), proof);
        }
        IEpochLedger.Proof memory good = _proveWith(_coinbase(0, type(uint32).max), payout);
        (, bytes32 blockHash,) = BitcoinRelay(_relay).checkHeaders(good.headers);
        vm.expectEmit(true, true, true, true, address(_ledger));
        emit IEpochLedger.PayoutProven(70_000, 0, Bitcoin.hash256(payout), blockHash);
        _ledger.provePayout(70_000, 0, paying(70_000), good);
    }

    /// With more batches than one word has bits, each is still itself.
    function test_batchesBeyondAWordAreThemselves() public {
        _commit(_commitment(70_000, 300));
        IEpochLedger.Paying memory p = paying(70_000);
        Bitcoin.Output[] memory list = new Bitcoin.Output[](300);
        for (uint256 i = 0; i < 300; ++i) {
            list[i] = Bitcoin.Output(200_000, hex"5120");
        }
        bytes memory root = _payout(70_000, 0xffff, _BATON, 1, list);
        _ledger.provePayout(70_000, 0xffff, p, Bitcoin.prove(root, 1, 3, 1));
        bytes32 txid = Bitcoin.hash256(root);
        _ledger.provePayout(70_000, 257, p, _chunk(70_000, 257, txid, 3));
        for (uint16 i = 0; i < 300; ++i) {
            assertTrue(_ledger.batchProven(70_000, i) == (i == 257), "it alone");
        }
        assertEq(_ledger.provenBatches(70_000), 0, "none of the first word");
        _ledger.provePayout(70_000, 1, p, _chunk(70_000, 1, txid, 3));
        assertEq(_ledger.provenBatches(70_000), 2, "the second");
        assertTrue(!_ledger.isProven(70_000), "298 are left");
        IEpochLedger.Proof memory again = _chunk(70_000, 257, txid, 3);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.AlreadyProven.selector, 70_000, 257));
        _ledger.provePayout(70_000, 257, p, again);
    }

    function test_whatIsNotProvenIsNotShown() public {
        _commit(_commitment(70_000, 1));
        assertEq(_ledger.provenBatches(70_000), 0, "none yet");
        assertTrue(!_ledger.batchProven(70_000, 0) && !_ledger.batchProven(70_000, 0xffff), "nor any");
        _ledger.provePayout(70_000, 0, paying(70_000), _single(70_000, _BATON, 3));
        assertEq(_ledger.provenBatches(70_000), 1, "the only one");
        assertTrue(!_ledger.batchProven(70_000, 1) && !_ledger.batchProven(70_000, 0xffff), "no other");
        // before the ledger's first epoch, and after the newest
        for (uint32 e = 69_999; e < 70_002; e += 2) {
            assertTrue(!_ledger.batchProven(e, 0) && !_ledger.isProven(e), "no epoch of it");
            assertEq(_ledger.provenBatches(e), 0, "nothing");
        }
    }

    function test_confirmationsWhenThereIsNoSubsidy() public {
        vm.warp(1_835_481_600 + 27 * 1461 days); // 28 halvings: one satoshi
        assertEq(_ledger.confirmationsFor(3), 3, "three subsidies");
        assertEq(_ledger.confirmationsFor(4), 6, "more");
        vm.warp(block.timestamp + 1461 days);
        assertEq(_ledger.confirmationsFor(0), 3, "nothing is proven like a little");
        assertEq(_ledger.confirmationsFor(7), 21, "every satoshi counts");
    }

    /// A tree of one leaf: its hash does not cover the sums, so each is compared.
    function test_aLoneLeafIsComparedByEveryField() public {
        IEpochLedger.Root memory leaf = IEpochLedger.Root(keccak256("leaf"), 12, 0);
        IEpochLedger.Commitment memory c = _commitment(70_000, 0);
        (c.root, c.accounts) = (leaf, 1);
        _commit(c);
        IEpochLedger.Root[] memory none = new IEpochLedger.Root[](0);
        _ledger.checkLeaf(recordOf[70_000], 0, leaf, none);
        IEpochLedger.Root[4] memory bad = [
            IEpochLedger.Root(keccak256("other"), 12, 0),
            IEpochLedger.Root(leaf.hash, 13, 0),
            IEpochLedger.Root(leaf.hash, 12, 1),
            IEpochLedger.Root(leaf.hash, 0, 0)
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IEpochLedger.NotUnderRoot.selector, 70_000));
            _ledger.checkLeaf(recordOf[70_000], 0, bad[i], none);
        }
    }
}

/// @notice Edges of when a payout script counts, and what is logged of it.
contract PayoutRulesTest is Test {
    PayoutRegistry private _registry;
    bytes private _script = abi.encodePacked(hex"0014", bytes20(keccak256("a")));
    bytes private _other = abi.encodePacked(hex"5120", keccak256("b"));

    function setUp() public {
        vm.warp(70_000 * EPOCH);
        _registry = new PayoutRegistry();
    }

    function _setLogged(bytes memory script, uint64 minimum, uint32 fromEpoch, uint64 kept) private {
        vm.expectEmit(true, true, true, true, address(_registry));
        emit IPayoutRegistry.ScriptRegistered(address(this), fromEpoch, script, kept);
        _registry.setScript(script, minimum);
    }

    function _at(uint32 epoch) private view returns (IPayoutRegistry.Entry memory) {
        return _registry.entryAt(address(this), epoch);
    }

    /// A minimum is the dust limit or more, and at most a bitcoin.
    function test_minimumAtItsEnds() public {
        _setLogged(_script, 0, 70_001, 294);
        _setLogged(_script, 293, 70_001, 294);
        _setLogged(_script, 294, 70_001, 294);
        _setLogged(_script, 295, 70_001, 295);
        _setLogged(_script, 100_000_000, 70_001, 100_000_000);
        assertEq(_at(70_001).minimum, 100_000_000, "kept");
        assertEq(_at(70_001).dust, 294, "dust");
        vm.expectRevert(abi.encodeWithSelector(IPayoutRegistry.MinimumTooLarge.selector, 100_000_001));
        _registry.setScript(_script, 100_000_001);
    }

    /// Until the second before it counts a change can be taken back; then it cannot, and a new one waits.
    function test_aChangeIsFinalWhenItCounts() public {
        _setLogged(_script, 0, 70_001, 294);
        vm.warp(70_001 * EPOCH);
        vm.expectRevert(abi.encodeWithSelector(IPayoutRegistry.NothingToCancel.selector, address(this)));
        _registry.cancel();
        _setLogged(_other, 0, 70_004, 330);
        vm.warp(70_004 * EPOCH - 1);
        vm.expectEmit(true, true, true, true, address(_registry));
        emit IPayoutRegistry.ScriptCancelled(address(this), 70_004);
        _registry.cancel();
        assertEq(_at(70_004).scriptHash, keccak256(_script), "the old one stays");
        _setLogged(_other, 0, 70_006, 330);
        vm.warp(70_006 * EPOCH);
        _setLogged(_script, 0, 70_009, 294);
        assertEq(_at(70_006).scriptHash, keccak256(_other), "not dropped");
        assertEq(_at(70_008).scriptHash, keccak256(_other), "until the next one");
        assertEq(_at(70_009).fromEpoch, 70_009, "which counts then");
        assertEq(_at(70_000).fromEpoch, 0, "none before the first");
        assertEq(_registry.entryAt(address(9), 70_009).scriptHash, bytes32(0), "nobody else's");
    }
}
