// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {Bitcoin} from "./utils/Bitcoin.sol";
import {LedgerFixture} from "./utils/LedgerFixture.sol";
import {Vm} from "./utils/Vm.sol";

contract LedgerCommitTest is LedgerFixture {
    function test_commitStores() public {
        IEpochLedger.Commitment memory c = _commitment(70_000, 2);
        _commit(c);
        assertEq(_ledger.commitmentHash(70_000), _ledger.recordHash(recordOf[70_000]), "hash");
        assertEq(_ledger.nextEpoch(), 70_001, "next");
        (uint128 accSum, uint64 paidSum, uint32 lastPaying) = _ledger.newest();
        assertEq(accSum, c.root.accSum, "credited");
        assertEq(paidSum, c.root.paidSum, "paid");
        assertEq(lastPaying, 70_000, "has batches");
        assertTrue(!_ledger.isProven(70_000), "not proven");
    }

    /// What is logged is enough to write the record again.
    function test_commitLogsWhatItStoresTheHashOf() public {
        _commit(_commitment(70_000, 2));
        vm.warp(block.timestamp + 61);
        IEpochLedger.Commitment memory c = _commitment(70_001, 1);
        vm.recordLogs();
        _commit(c);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1, "one");
        assertEq(logs[0].topics[0], IEpochLedger.Committed.selector, "event");
        assertEq(logs[0].topics[1], bytes32(uint256(70_001)), "epoch");
        (IEpochLedger.Commitment memory said, uint32 lastPaying, uint32 delay) =
            abi.decode(logs[0].data, (IEpochLedger.Commitment, uint32, uint32));
        assertEq(keccak256(abi.encode(said)), keccak256(abi.encode(c)), "commitment");
        assertEq(logs[0].data, abi.encode(c, lastPaying, delay), "nothing else");
        assertEq(lastPaying, 70_000, "paying before");
        assertEq(delay, (70_005 * EPOCH + 111 - 70_002 * EPOCH + 59) / 60, "minutes");
        assertEq(recordOf[70_001].lastPaying, 70_000, "as in the record");
    }

    /// No field of what is brought may differ from what was committed.
    function test_noOtherRecordHasTheHash() public {
        _commit(_commitment(70_000, 2));
        bytes memory good = encoded(70_000);
        for (uint256 i = 0; i < 11; ++i) {
            bytes memory other = bytes.concat(good);
            // the last byte of a word
            other[32 * i + 31] ^= 0x01;
            IEpochLedger.Record memory r = abi.decode(other, (IEpochLedger.Record));
            assertTrue(_ledger.recordHash(r) != _ledger.commitmentHash(70_000), "differs");
        }
        assertEq(_ledger.recordHash(abi.decode(good, (IEpochLedger.Record))), _ledger.commitmentHash(70_000), "same");
    }

    function test_NotCourt() public {
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.NotCourt.selector, address(this)));
        _ledger.noteCorrection(70_000);
    }

    /// An epoch that pays nothing is proven at once, whatever waits before it, and none of its batches is.
    function test_epochsWithoutBatchesBetweenOthers() public {
        _commit(_commitment(70_000, 1));
        _commit(_commitment(70_001, 0));
        _commit(_commitment(70_002, 1));
        assertTrue(!_ledger.isProven(70_000) && _ledger.isProven(70_001) && !_ledger.isProven(70_002), "before");
        _ledger.provePayout(70_000, 0, paying(70_000), _single(70_000, _BATON, 3));
        (bytes32 baton,) = _ledger.baton();
        bytes memory payout = _payout(70_002, 0, baton, 0, _payees(70_002, 0));
        _ledger.provePayout(70_002, 0, paying(70_002), Bitcoin.prove(payout, 3, 3, 1));
        assertTrue(_ledger.isProven(70_000) && _ledger.isProven(70_001) && _ledger.isProven(70_002), "after");
        assertTrue(!_ledger.isProven(70_003) && !_ledger.isProven(69_999), "not committed");
        assertTrue(!_ledger.batchProven(70_001, 0) && !_ledger.batchProven(70_000, 1), "no such batch");
        assertEq(_ledger.provenBatches(70_001), 0, "none");
    }

    function test_zeroBatchesLeaveTheBatonAlone() public {
        _commit(_commitment(70_000, 0));
        assertTrue(_ledger.isProven(70_000), "nothing to prove");
        _commit(_commitment(70_001, 1));
        _ledger.provePayout(70_001, 0, paying(70_001), _single(70_001, _BATON, 3));
        assertTrue(_ledger.isProven(70_001), "proven");
    }

    function test_WrongEpoch() public {
        IEpochLedger.Commitment memory c = _commitment(70_001, 1);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.WrongEpoch.selector, 70_000, 70_001));
        _commit(c);
        _commit(_commitment(70_000, 1));
        c = _commitment(70_000, 1);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.WrongEpoch.selector, 70_001, 70_000));
        _commit(c);
    }

    function test_NotReported() public {
        for (uint32 e = 70_000; e < 70_005; ++e) {
            _commit(_commitment(e, 0));
        }
        IEpochLedger.Commitment memory c = _commitment(70_005, 0);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.NotReported.selector, 70_005));
        _commit(c);
    }

    function test_TooLate() public {
        vm.warp(70_007 * EPOCH);
        IEpochLedger.Commitment memory c = _commitment(70_000, 1);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.TooLate.selector, 70_000));
        _commit(c);
        vm.warp(70_007 * EPOCH - 1);
        _commit(c);
        vm.warp(70_100 * EPOCH);
        c = _commitment(70_001, 0);
        c.defer = true;
        _commit(c);
        assertEq(_ledger.nextEpoch(), 70_002, "a late epoch defers");
    }

    function test_MinPayTooLarge() public {
        IEpochLedger.Commitment memory c = _commitment(70_000, 1);
        c.minPay = 50_001;
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.MinPayTooLarge.selector, 50_001));
        _commit(c);
        c.minPay = 50_000;
        _commit(c);
    }

    function test_PaidSumMismatch() public {
        IEpochLedger.Commitment memory c = _commitment(70_000, 2);
        c.root.paidSum += 1;
        vm.expectRevert(
            abi.encodeWithSelector(IEpochLedger.PaidSumMismatch.selector, c.root.paidSum - 1, c.root.paidSum)
        );
        _commit(c);
    }

    function test_AccSumTooLarge() public {
        IEpochLedger.Commitment memory c = _commitment(70_000, 1);
        c.root.accSum = uint128(uint256(_POT) << 64);
        _commit(c);
        c = _commitment(70_001, 0);
        c.root.accSum = uint128((uint256(_POT) << 65) + 1);
        refuses(IEpochLedger.AccSumTooLarge.selector);
        _commit(c);
    }

    function test_AccSumFell() public {
        _commit(_commitment(70_000, 1));
        IEpochLedger.Commitment memory c = _commitment(70_001, 0);
        c.root.accSum -= 1;
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.AccSumFell.selector, c.root.accSum + 1, c.root.accSum));
        _commit(c);
    }

    function test_PaidBeyondCredit() public {
        IEpochLedger.Commitment memory c = _commitment(70_000, 1);
        c.root.accSum -= 1;
        vm.expectRevert(
            abi.encodeWithSelector(IEpochLedger.PaidBeyondCredit.selector, c.root.accSum, uint256(c.root.accSum) + 1)
        );
        _commit(c);
    }

    function test_DeferredWithBatches() public {
        IEpochLedger.Commitment memory c = _commitment(70_000, 1);
        c.defer = true;
        vm.expectRevert(IEpochLedger.DeferredWithBatches.selector);
        _commit(c);
    }

    function test_TooManyBatches() public {
        IEpochLedger.Commitment memory c = _commitment(70_000, 0);
        c.batches = new IEpochLedger.Batch[](65_535);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.TooManyBatches.selector, 65_535));
        _commit(c);
    }

    function test_TooManyWrappers() public {
        for (uint160 i = 1; i <= 16; ++i) {
            _ledger.addWrapper(IEpochLedger.Wrapper(1, address(i), address(i + 100), address(i + 200)));
        }
        assertEq(_ledger.wrappers().length, 16, "count");
        assertEq(_ledger.wrapperFrom(15), 70_000, "from the next epoch");
        assertTrue(_ledger.isWrapper(address(16)) && !_ledger.isWrapper(address(17)), "known");
        vm.expectRevert(IEpochLedger.TooManyWrappers.selector);
        _ledger.addWrapper(IEpochLedger.Wrapper(1, address(17), address(1), address(1)));
    }

    /// A wrapper is asked for by its series, and only from the epoch that was next when it was added.
    function test_wrappersOfASeriesAndEpoch() public {
        IEpochLedger.Wrapper memory first = IEpochLedger.Wrapper(1, address(1), address(2), address(3));
        IEpochLedger.Wrapper memory other = IEpochLedger.Wrapper(2, address(4), address(5), address(6));
        IEpochLedger.Wrapper memory later = IEpochLedger.Wrapper(1, address(7), address(8), address(9));
        _ledger.addWrapper(first);
        _ledger.addWrapper(other);
        _commit(_commitment(70_000, 0));
        _ledger.addWrapper(later);
        assertEq(_ledger.wrappersOf(1, 69_999).length, 0, "before any");
        IEpochLedger.Wrapper[] memory list = _ledger.wrappersOf(1, 70_000);
        assertEq(list.length, 1, "one yet");
        assertEq(keccak256(abi.encode(list[0])), keccak256(abi.encode(first)), "the first");
        list = _ledger.wrappersOf(1, 70_001);
        assertEq(list.length, 2, "both");
        assertEq(keccak256(abi.encode(list[1])), keccak256(abi.encode(later)), "in order");
        list = _ledger.wrappersOf(2, 70_001);
        assertEq(list.length, 1, "one of the other series");
        assertEq(keccak256(abi.encode(list[0])), keccak256(abi.encode(other)), "its own");
        assertEq(_ledger.wrappersOf(3, 70_001).length, 0, "none");
    }

    function test_BadWrapper() public {
        _ledger.addWrapper(IEpochLedger.Wrapper(1, address(1), address(2), address(3)));
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.BadWrapper.selector, address(1)));
        _ledger.addWrapper(IEpochLedger.Wrapper(2, address(1), address(4), address(3)));
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.BadWrapper.selector, address(5)));
        _ledger.addWrapper(IEpochLedger.Wrapper(1, address(5), address(2), address(1)));
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.BadWrapper.selector, address(6)));
        _ledger.addWrapper(IEpochLedger.Wrapper(1, address(6), address(2), address(6)));
    }

    function test_BatonAlreadySet() public {
        vm.expectRevert(IEpochLedger.BatonAlreadySet.selector);
        _ledger.setBaton(keccak256("another"), 0);
    }

    function test_restrictedFunctions() public {
        bytes4 unauthorized = bytes4(keccak256("AccessManagedUnauthorized(address)"));
        IEpochLedger.Commitment memory c = _commitment(70_000, 0);
        vm.startPrank(address(0xBAD));
        refuses(unauthorized);
        _ledger.commit(c);
        refuses(unauthorized);
        _ledger.setBaton(keccak256("x"), 0);
        refuses(unauthorized);
        _ledger.addWrapper(IEpochLedger.Wrapper(1, address(1), address(1), address(1)));
        vm.stopPrank();
    }

    /* LEAVES */

    function test_checkLeafAndNotUnderRoot() public {
        IEpochLedger.Root memory a = IEpochLedger.Root(keccak256("a"), 1, 0);
        IEpochLedger.Root memory b = IEpochLedger.Root(keccak256("b"), 2, 0);
        IEpochLedger.Commitment memory c = _commitment(70_000, 0);
        c.root = _ledger.nodeHash(a, b);
        _commit(c);
        IEpochLedger.Root[] memory siblings = new IEpochLedger.Root[](1);
        siblings[0] = b;
        _ledger.checkLeaf(recordOf[70_000], 0, a, siblings);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.NotUnderRoot.selector, 70_000));
        _ledger.checkLeaf(recordOf[70_000], 1, a, siblings);
        a.accSum += 1;
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.NotUnderRoot.selector, 70_000));
        _ledger.checkLeaf(recordOf[70_000], 0, a, siblings);
        IEpochLedger.Record memory other = recordOf[70_000];
        other.epoch = 70_001;
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.WrongRecord.selector, 70_001));
        _ledger.checkLeaf(other, 0, a, siblings);
        vm.expectRevert(IEpochLedger.BadLeaf.selector);
        _ledger.checkLeaf(recordOf[70_000], 2, a, siblings);
    }

    function test_BadLeaf() public {
        bytes16 one = bytes16(uint128(1));
        bytes[] memory bad = new bytes[](5);
        bad[0] = hex"0001";
        bad[1] = abi.encodePacked(uint16(0), one);
        bad[2] = abi.encodePacked(uint16(2), one, uint16(2), one);
        bad[3] = abi.encodePacked(uint16(1), bytes16(0));
        for (uint16 i = 1; i <= 17; ++i) {
            bad[4] = abi.encodePacked(bad[4], i, one);
        }
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(IEpochLedger.BadLeaf.selector);
            _ledger.leafHash(address(1), 0, 0, 0, 0, bad[i]);
        }
        _ledger.leafHash(address(1), 0, 0, 0, 0, "");
    }

    function test_confirmationsGrowWithValue() public {
        vm.warp(1_835_481_599);
        assertEq(_ledger.confirmationsFor(0), 3, "none");
        assertEq(_ledger.confirmationsFor(937_500_000), 3, "three subsidies");
        assertEq(_ledger.confirmationsFor(937_500_001), 6, "more");
        vm.warp(1_835_481_600);
        assertEq(_ledger.confirmationsFor(937_500_000), 6, "halved");
        vm.warp(1_835_481_600 + 1461 days);
        assertEq(_ledger.confirmationsFor(937_500_000), 12, "halved again");
    }
}
