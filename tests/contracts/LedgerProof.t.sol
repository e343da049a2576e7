// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {EpochLedger} from "../../contracts/EpochLedger.sol";
import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {Bitcoin} from "./utils/Bitcoin.sol";
import {LedgerFixture} from "./utils/LedgerFixture.sol";

contract LedgerProofTest is LedgerFixture {
    function setUp() public override {
        super.setUp();
        _commit(_commitment(70_000, 1));
    }

    function _refused(IEpochLedger.Proof memory proof, bytes memory why) private {
        vm.expectRevert(why);
        _ledger.provePayout(70_000, 0, paying(70_000), proof);
    }

    /* GOOD PROOFS */

    function test_singleBatch() public {
        IEpochLedger.Proof memory proof = _single(70_000, _BATON, 3);
        _ledger.provePayout(70_000, 0, paying(70_000), proof);
        assertTrue(_ledger.isProven(70_000) && _ledger.batchProven(70_000, 0), "proven");
        assertEq(_ledger.provenBatches(70_000), 1, "bitmap");
        (bytes32 txid, uint32 vout) = _ledger.baton();
        assertEq(txid, Bitcoin.hash256(proof.transaction), "next baton");
        assertEq(vout, 0, "output 0");
    }

    function testFuzz_anyPlaceInAnyBlock(uint8 others, uint8 confirmations) public {
        uint256 depth = bound(confirmations, 3, 9);
        bytes memory payout = _payout(70_000, 0, _BATON, 1, _payees(70_000, 0));
        _ledger.provePayout(70_000, 0, paying(70_000), Bitcoin.prove(payout, others % 40, depth, others));
        assertTrue(_ledger.isProven(70_000), "proven");
    }

    function test_severalBatchesAndTheNextEpoch() public {
        _ledger.provePayout(70_000, 0, paying(70_000), _single(70_000, _BATON, 3));
        (bytes32 baton,) = _ledger.baton();
        _commit(_commitment(70_001, 3));
        bytes memory root = _rootTransaction(70_001, baton, 3);
        bytes32 rootTxid = Bitcoin.hash256(root);
        IEpochLedger.Proof memory chunk = _chunk(70_001, 1, rootTxid, 3);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.OutOfOrder.selector, 70_001));
        _ledger.provePayout(70_001, 1, paying(70_001), chunk);
        _ledger.provePayout(70_001, 0xffff, paying(70_001), Bitcoin.prove(root, 3, 3, 9));
        assertTrue(_ledger.batchProven(70_001, 0xffff), "root proven");
        for (uint16 j = 3; j > 0; --j) {
            assertTrue(!_ledger.isProven(70_001), "not all yet");
            _ledger.provePayout(70_001, j - 1, paying(70_001), _chunk(70_001, j - 1, rootTxid, 3));
        }
        assertTrue(_ledger.isProven(70_001), "all chunks");
        assertEq(_ledger.provenBatches(70_001), 7, "bitmap");
        (baton,) = _ledger.baton();
        assertEq(baton, rootTxid, "the root carries the baton");
        chunk = Bitcoin.prove(root, 3, 3, 9);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.AlreadyProven.selector, 70_001, 0xffff));
        _ledger.provePayout(70_001, 0xffff, paying(70_001), chunk);
    }

    function test_rootTransactionWithOutputsBesideItsChunks() public {
        _ledger.provePayout(70_000, 0, paying(70_000), _single(70_000, _BATON, 3));
        (bytes32 baton,) = _ledger.baton();
        _commit(_commitment(70_001, 3));
        IEpochLedger.Proof memory proof = Bitcoin.prove(_rootTransaction(70_001, baton, 4), 3, 3, 9);
        vm.expectRevert(
            abi.encodeWithSelector(IEpochLedger.WrongOutputs.selector, bytes32(uint256(5)), bytes32(uint256(6)))
        );
        _ledger.provePayout(70_001, 0xffff, paying(70_001), proof);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.UnknownBatch.selector, 70_000, 0xffff));
        _ledger.provePayout(70_000, 0xffff, paying(70_000), proof);
    }

    /// Two chunks in one block: the second needs the work that both together ask for.
    function test_valueUnderOneBlockAddsUp() public {
        IEpochLedger.Commitment memory c = _commitment(70_001, 2);
        Bitcoin.Output[][2] memory payees;
        c.root.paidSum = _paidSum() + 12e8;
        for (uint256 j = 0; j < 2; ++j) {
            payees[j] = new Bitcoin.Output[](1);
            payees[j][0] = Bitcoin.Output(6e8, abi.encodePacked(hex"0014", bytes20(keccak256(abi.encode(j)))));
            c.batches[j] = IEpochLedger.Batch(keccak256(Bitcoin.serialise(payees[j], 0)), 6e8);
        }
        _credit(c);
        _commit(c);
        vm.warp(1_800_000_000); // before the halving of 2028: three subsidies are 9.375 BTC
        _ledger.provePayout(70_000, 0, paying(70_000), _single(70_000, _BATON, 3));
        (bytes32 baton,) = _ledger.baton();
        bytes memory root = _rootTransaction(70_001, baton, 2);
        _ledger.provePayout(70_001, 0xffff, paying(70_001), Bitcoin.prove(root, 3, 3, 9));
        bytes memory first = Bitcoin.transaction(Bitcoin.hash256(root), 2, _withMarker(70_001, 0, 0, payees[0]));
        bytes memory second = Bitcoin.transaction(Bitcoin.hash256(root), 3, _withMarker(70_001, 1, 0, payees[1]));
        IEpochLedger.Proof memory proof = Bitcoin.proveBoth(first, second, 5);
        _ledger.provePayout(70_001, 0, paying(70_001), proof);
        proof.transaction = second;
        proof.index = 2;
        proof.branch = Bitcoin.branchOfThird(proof.coinbase, first);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.NotEnoughConfirmations.selector, 6, 5));
        _ledger.provePayout(70_001, 1, paying(70_001), proof);
    }

    function test_chunkOfAnotherOutput() public {
        _ledger.provePayout(70_000, 0, paying(70_000), _single(70_000, _BATON, 3));
        (bytes32 baton,) = _ledger.baton();
        _commit(_commitment(70_001, 2));
        bytes memory root = _rootTransaction(70_001, baton, 2);
        _ledger.provePayout(70_001, 0xffff, paying(70_001), Bitcoin.prove(root, 3, 3, 9));
        bytes32 txid = Bitcoin.hash256(root);
        Bitcoin.Output[] memory outputs = _withMarker(70_001, 1, 0, _payees(70_001, 1));
        IEpochLedger.Proof memory proof = Bitcoin.prove(Bitcoin.transaction(txid, 2, outputs), 3, 3, 4);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.WrongInput.selector, txid, 2));
        _ledger.provePayout(70_001, 1, paying(70_001), proof);
    }

    /* REFUSED */

    function test_BatonNotSet() public {
        EpochLedger fresh = new EpochLedger(address(_manager), address(_oracle), address(_relay), address(0), 3);
        // the same commitment as in `_ledger`
        IEpochLedger.Commitment memory c = _commitment(70_000, 1);
        c.root.paidSum -= _paidSum();
        _credit(c);
        fresh.commit(c);
        IEpochLedger.Proof memory proof = _single(70_000, _BATON, 3);
        vm.expectRevert(IEpochLedger.BatonNotSet.selector);
        fresh.provePayout(70_000, 0, paying(70_000), proof);
    }

    function test_UnknownBatch() public {
        IEpochLedger.Proof memory proof = _single(70_000, _BATON, 3);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.UnknownBatch.selector, 70_000, 1));
        _ledger.provePayout(70_000, 1, paying(70_000), proof);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.WrongRecord.selector, 70_009));
        _ledger.provePayout(70_009, 0, paying(70_009), proof);
    }

    /// Whatever of the commitment is told differently: it is not what is stored.
    function test_WrongRecord() public {
        IEpochLedger.Proof memory proof = _single(70_000, _BATON, 3);
        bytes memory why = abi.encodeWithSelector(IEpochLedger.WrongRecord.selector, 70_000);
        IEpochLedger.Paying[5] memory lies =
            [paying(70_000), paying(70_000), paying(70_000), paying(70_000), paying(70_000)];
        lies[0].root = bytes32(uint256(lies[0].root) ^ 1);
        lies[1].terms = bytes32(uint256(lies[1].terms) ^ 1);
        lies[2].lastPaying = 1;
        lies[3].batches[0].total += 1;
        lies[4].batches = new IEpochLedger.Batch[](0);
        for (uint256 i = 0; i < lies.length; ++i) {
            vm.expectRevert(why);
            _ledger.provePayout(70_000, 0, lies[i], proof);
        }
        _ledger.provePayout(70_000, 0, paying(70_000), proof);
    }

    /// Scripts of other lengths than payees have are summed too, and a batch may be larger than a run of the fast sum.
    /// forge-config: default.fuzz.runs = 24
    /// forge-config: nightly.fuzz.runs = 2000
    function testFuzz_anyOutputs(uint256 seed, uint16 count) public {
        Bitcoin.Output[] memory list = new Bitcoin.Output[](bound(count, 1, 600));
        for (uint256 i = 0; i < list.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 length = seed % 97 == 0 ? (seed >> 8) % 600 : (seed >> 8) % 40;
            list[i] = Bitcoin.Output(uint64(bound(seed >> 128, 0, i == 0 ? 2 ** 33 : 2 ** 21)), new bytes(length));
        }
        IEpochLedger.Commitment memory c = _commitment(70_001, 1);
        c.root.paidSum -= c.batches[0].total;
        c.batches[0] = IEpochLedger.Batch(keccak256(Bitcoin.serialise(list, 0)), _total(list));
        _oracle.report(70_001, type(uint64).max >> 8);
        c.root.paidSum += c.batches[0].total;
        _credit(c);
        _commit(c);
        _ledger.provePayout(70_000, 0, paying(70_000), _single(70_000, _BATON, 3));
        (bytes32 baton,) = _ledger.baton();
        uint256 confirmations = _ledger.confirmationsFor(_total(list));
        IEpochLedger.Proof memory proof = Bitcoin.prove(_payout(70_001, 0, baton, 0, list), 3, confirmations, 1);
        _ledger.provePayout(70_001, 0, paying(70_001), proof);
        assertTrue(_ledger.isProven(70_001), "summed");
    }

    function test_AlreadyProven() public {
        IEpochLedger.Proof memory proof = _single(70_000, _BATON, 3);
        _ledger.provePayout(70_000, 0, paying(70_000), proof);
        _refused(proof, abi.encodeWithSelector(IEpochLedger.AlreadyProven.selector, 70_000, 0));
    }

    function test_OutOfOrder() public {
        _commit(_commitment(70_001, 1));
        IEpochLedger.Proof memory proof = _single(70_001, _BATON, 3);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.OutOfOrder.selector, 70_001));
        _ledger.provePayout(70_001, 0, paying(70_001), proof);
    }

    function test_WrongInput() public {
        bytes32 other = keccak256("other");
        _refused(_single(70_000, other, 3), abi.encodeWithSelector(IEpochLedger.WrongInput.selector, other, 1));
        bytes memory payout = _payout(70_000, 0, _BATON, 0, _payees(70_000, 0));
        bytes memory why = abi.encodeWithSelector(IEpochLedger.WrongInput.selector, _BATON, 0);
        _refused(Bitcoin.prove(payout, 3, 3, 1), why);
    }

    function test_WrongOutputs() public {
        bytes32 committed = batchesOf[70_000][0].outputsHash;
        Bitcoin.Output[] memory payees = _payees(70_000, 0);
        payees[1].sats -= 1;
        bytes32 found = keccak256(Bitcoin.serialise(payees, 0));
        bytes memory why = abi.encodeWithSelector(IEpochLedger.WrongOutputs.selector, committed, found);
        _refused(Bitcoin.prove(_payout(70_000, 0, _BATON, 1, payees), 3, 3, 1), why);
        // one payee less
        Bitcoin.Output[] memory less = new Bitcoin.Output[](2);
        (less[0], less[1]) = (_payees(70_000, 0)[0], _payees(70_000, 0)[1]);
        IEpochLedger.Proof memory proof = Bitcoin.prove(_payout(70_000, 0, _BATON, 1, less), 3, 3, 1);
        refuses(IEpochLedger.WrongOutputs.selector);
        _ledger.provePayout(70_000, 0, paying(70_000), proof);
    }

    function test_totalThatIsNotTheSum() public {
        _commit(_commitment(70_001, 0));
        IEpochLedger.Commitment memory c = _commitment(70_002, 1);
        c.batches[0].total += 5;
        c.root.paidSum += 5;
        _credit(c);
        _commit(c);
        _ledger.provePayout(70_000, 0, paying(70_000), _single(70_000, _BATON, 3));
        (bytes32 baton,) = _ledger.baton();
        bytes memory payout = _payout(70_002, 0, baton, 0, _payees(70_002, 0));
        IEpochLedger.Proof memory proof = Bitcoin.prove(payout, 1, 3, 1);
        refuses(IEpochLedger.WrongOutputs.selector);
        _ledger.provePayout(70_002, 0, paying(70_002), proof);
    }

    function test_WrongMarker() public {
        bytes memory why = abi.encodeWithSelector(IEpochLedger.WrongMarker.selector);
        _refused(Bitcoin.prove(_payout(70_001, 0, _BATON, 1, _payees(70_000, 0)), 3, 3, 1), why);
        _refused(Bitcoin.prove(_payout(70_000, 1, _BATON, 1, _payees(70_000, 0)), 3, 3, 1), why);
        Bitcoin.Output[] memory outputs = _withMarker(70_000, 0, 1, _payees(70_000, 0));
        outputs[1].sats = 1;
        _refused(Bitcoin.prove(Bitcoin.transaction(_BATON, 1, outputs), 3, 3, 1), why);
        Bitcoin.Output[] memory alone = new Bitcoin.Output[](1);
        alone[0] = outputs[0];
        _refused(Bitcoin.prove(Bitcoin.transaction(_BATON, 1, alone), 3, 3, 1), why);
    }

    function test_NotEnoughConfirmations() public {
        IEpochLedger.Proof memory proof = _single(70_000, _BATON, 2);
        _refused(proof, abi.encodeWithSelector(IEpochLedger.NotEnoughConfirmations.selector, 3, 2));
    }

    function test_NotInBlock() public {
        bytes memory why = abi.encodeWithSelector(IEpochLedger.NotInBlock.selector);
        IEpochLedger.Proof memory proof = _single(70_000, _BATON, 3);
        proof.index = 0;
        _refused(proof, why);
        proof.index = 1 + 8;
        _refused(proof, why);
        proof = _single(70_000, _BATON, 3);
        proof.branch[40] ^= 0x01;
        _refused(proof, why);
        proof = _single(70_000, _BATON, 3);
        proof.coinbaseBranch = abi.encodePacked(proof.coinbaseBranch, bytes32(0));
        _refused(proof, why);
        proof = _single(70_000, _BATON, 3);
        proof.coinbaseBranch[0] ^= 0x01;
        _refused(proof, why);
        proof = _single(70_000, _BATON, 3);
        proof.branch = abi.encodePacked(proof.branch, hex"00");
        _refused(proof, why);
    }

    /// A transaction posing at another depth: its branch is shorter than the coinbase's.
    function test_wrongDepth() public {
        bytes memory payout = _payout(70_000, 0, _BATON, 1, _payees(70_000, 0));
        IEpochLedger.Proof memory proof;
        proof.transaction = payout;
        proof.coinbase = Bitcoin.coinbase(5);
        // the payout stands where the inner node of leaves 2 and 3 would be
        bytes32 left = Bitcoin.hash256(abi.encodePacked(Bitcoin.hash256(proof.coinbase), keccak256("second")));
        bytes32 root = Bitcoin.hash256(abi.encodePacked(left, Bitcoin.hash256(payout)));
        proof.branch = abi.encodePacked(left);
        proof.index = 1;
        proof.coinbaseBranch = abi.encodePacked(keccak256("second"), Bitcoin.hash256(payout));
        bytes32 previous = keccak256("p");
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory h = Bitcoin.header(previous, root, Bitcoin.BITS);
            proof.headers = abi.encodePacked(proof.headers, h);
            previous = Bitcoin.hash256(h);
        }
        _refused(proof, abi.encodeWithSelector(IEpochLedger.NotInBlock.selector));
    }

    function test_BadTransaction() public {
        bytes memory why = abi.encodeWithSelector(IEpochLedger.BadTransaction.selector);
        bytes memory good = _payout(70_000, 0, _BATON, 1, _payees(70_000, 0));
        // well formed but for its length, which an inner node has too
        bytes memory inner = abi.encodePacked(hex"02000000", hex"01", _BATON, Bitcoin.le(1, 4), hex"0400000000ffffffff");
        inner = abi.encodePacked(inner, hex"01", bytes8(0), hex"00", hex"00000000");
        assertEq(inner.length, 64, "length");
        _refused(Bitcoin.prove(inner, 3, 3, 1), why);
        _refused(Bitcoin.prove(abi.encodePacked(good, hex"00"), 3, 3, 1), why);
        _refused(Bitcoin.prove(hex"", 3, 3, 1), why);
        // the witness marker: no inputs, then a flag
        bytes memory witness = abi.encodePacked(hex"02000000", hex"0001", good);
        _refused(Bitcoin.prove(witness, 3, 3, 1), why);
        // a count in more bytes than it needs
        bytes memory tail = new bytes(good.length - 5);
        for (uint256 i = 0; i < tail.length; ++i) {
            tail[i] = good[i + 5];
        }
        _refused(Bitcoin.prove(abi.encodePacked(hex"02000000", hex"fd0200", tail), 3, 3, 1), why);
        // a coinbase that is none
        IEpochLedger.Proof memory proof = Bitcoin.prove(good, 3, 3, 1);
        proof.coinbase = good;
        _refused(proof, why);
    }

    /// Any cut of a good transaction is refused, never misread.
    function testFuzz_truncatedTransaction(uint16 cut) public {
        bytes memory good = _payout(70_000, 0, _BATON, 1, _payees(70_000, 0));
        uint256 length = bound(cut, 0, good.length - 1);
        assembly ("memory-safe") {
            mstore(good, length)
        }
        _refused(Bitcoin.prove(good, 3, 3, 1), abi.encodeWithSelector(IEpochLedger.BadTransaction.selector));
    }

    /// Whatever single byte of the payout changes, the proof no longer holds, even when the block is real.
    function testFuzz_changedByte(uint16 where, uint8 mask) public {
        bytes memory payout = _payout(70_000, 0, _BATON, 1, _payees(70_000, 0));
        uint256 position = bound(where, 0, payout.length - 1);
        while (!_matters(position, payout.length)) position = (position + 1) % payout.length;
        payout[position] ^= bytes1(uint8(bound(mask, 1, 255)));
        IEpochLedger.Proof memory proof = Bitcoin.prove(payout, 3, 3, 1);
        vm.expectRevert();
        _ledger.provePayout(70_000, 0, paying(70_000), proof);
    }

    /// @dev Version, sequence numbers, the funding input, the baton output's own bytes and the lock time are free.
    function _matters(uint256 position, uint256 length) private pure returns (bool) {
        if (position < 4 || position >= length - 4) return false;
        // input 0: outpoint 5..40, script length 41, sequence 42..45; input 1: 46..86; output count 87
        if (position > 41 && position < 87) return position == 82;
        // baton output: value 88..95, script length 96, script 97..118
        return position < 88 || position > 118 || position == 96;
    }
}
