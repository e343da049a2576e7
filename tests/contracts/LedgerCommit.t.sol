// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {LedgerFixture} from "./utils/LedgerFixture.sol";

contract LedgerCommitTest is LedgerFixture {
    function test_commitStores() public {
        IEpochLedger.Commitment memory c = _commitment(70_000, 2);
        _commit(c);
        assertEq(_ledger.commitmentHash(70_000), keccak256(abi.encode(c)), "hash");
        assertEq(_ledger.nextEpoch(), 70_001, "next");
        assertEq(_ledger.rootOf(70_000).paidSum, c.root.paidSum, "root");
        assertEq(_ledger.batchesOf(70_000).length, 2, "batches");
        assertTrue(!_ledger.isProven(70_000), "not proven");
    }

    function test_zeroBatchesLeaveTheBatonAlone() public {
        _commit(_commitment(70_000, 0));
        assertTrue(_ledger.isProven(70_000), "nothing to prove");
        _commit(_commitment(70_001, 1));
        _ledger.provePayout(70_001, 0, _single(70_001, _BATON, 3));
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
        _ledger.checkLeaf(70_000, 0, a, siblings);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.NotUnderRoot.selector, 70_000));
        _ledger.checkLeaf(70_000, 1, a, siblings);
        a.accSum += 1;
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.NotUnderRoot.selector, 70_000));
        _ledger.checkLeaf(70_000, 0, a, siblings);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.NotUnderRoot.selector, 70_001));
        _ledger.checkLeaf(70_001, 0, a, siblings);
        vm.expectRevert(IEpochLedger.BadLeaf.selector);
        _ledger.checkLeaf(70_000, 2, a, siblings);
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
