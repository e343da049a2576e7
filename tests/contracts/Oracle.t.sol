// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {FleetOracle} from "../../contracts/FleetOracle.sol";
import {Fixture} from "./utils/Fixture.sol";

contract OracleTest is Fixture {
    FleetOracle private _oracle;

    function setUp() public override {
        super.setUp();
        _oracle = sys.fleetOracle;
        registerUnits(100e18);
        vm.warp(70_001 * EPOCH);
    }

    function _refused(IFleetOracle.FleetReport memory report, bytes memory why) private {
        bytes memory signatures = packed(_oracle.reportDigest(report), 2);
        vm.expectRevert(why);
        _oracle.post(report, signatures);
    }

    /* REPORTS */

    function test_post() public {
        IFleetOracle.FleetReport memory report = reportOf(5_000_000);
        assertEq(_oracle.firstEpoch(), 70_000, "first");
        assertEq(_oracle.lastEpoch(), 69_999, "none yet");
        post(report);
        assertEq(_oracle.potOf(70_000), 5_000_000, "pot");
        assertTrue(_oracle.settled(70_000), "settled");
        assertEq(_oracle.quotePerBtc(70_000), 60_000e6, "price");
        assertEq(_oracle.reportHash(70_000), _oracle.lastReportHash(), "hash");
        vm.warp(70_002 * EPOCH);
        post(reportOf(0));
        assertEq(_oracle.lastEpoch(), 70_001, "chained");
    }

    function test_severalPiecesAndDeductions() public {
        vm.warp(70_030 * EPOCH);
        for (uint32 e = 70_000; e < 70_029; ++e) {
            _oracle.declareGap(e > 70_025 ? 70_000 : e);
            if (e == 70_025) break;
        }
        IFleetOracle.FleetReport memory report = reportOf(100);
        report.series[0].pots = new IFleetOracle.Piece[](2);
        report.series[0].pots[0] = IFleetOracle.Piece(report.epoch - 24, 40);
        report.series[0].pots[1] = IFleetOracle.Piece(report.epoch, 50);
        report.series[0].deductions = 10;
        post(report);
        assertEq(_oracle.potOf(report.epoch), 90, "pot without deductions");
    }

    function test_digestMatchesAnIndependentOne() public view {
        IFleetOracle.FleetReport memory r = reportOf(5);
        r.round = 3;
        bytes32 typeHash = keccak256("FleetReport(uint32 epoch,uint16 round,bytes32 reportHash)");
        bytes32 inner = keccak256(abi.encode(typeHash, r.epoch, 3, keccak256(abi.encode(r))));
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Liquid Hashrate FleetOracle"),
                keccak256("1"),
                block.chainid,
                address(_oracle)
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, inner));
        assertEq(_oracle.reportDigest(r), digest, "digest");
    }

    function test_theEventHoldsTheReport() public {
        IFleetOracle.FleetReport memory report = reportOf(5);
        bytes memory signatures = packed(_oracle.reportDigest(report), 2);
        vm.expectEmit(true, true, true, true, address(_oracle));
        emit IFleetOracle.ReportPosted(report.epoch, 0, keccak256(abi.encode(report)), report);
        _oracle.post(report, signatures);
        assertEq(_oracle.reportHash(report.epoch), keccak256(abi.encode(report)), "hash");
    }

    function test_hashesOf512ReportsAreKept() public {
        IFleetOracle.FleetReport memory report = reportOf(7);
        post(report);
        bytes32 hash = keccak256(abi.encode(report));
        vm.warp(uint256(70_000 + 520) * EPOCH);
        for (uint32 e = 70_001; e < 70_512; ++e) {
            _oracle.declareGap(e);
        }
        assertEq(_oracle.reportHash(70_000), hash, "512 back");
        _oracle.declareGap(70_512);
        assertEq(_oracle.reportHash(70_000), 0, "forgotten");
        assertEq(_oracle.lastReportHash(), hash, "still the last report");
        assertEq(_oracle.potOf(70_000), 7, "money is not forgotten");
        post(reportOf(0));
        assertEq(_oracle.lastEpoch(), 70_513, "chained to it");
    }

    /* ERRORS */

    function test_WrongConfig() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        report.configDigest = keccak256("other");
        bytes32 digest = _oracle.configDigest();
        _refused(report, abi.encodeWithSelector(IFleetOracle.WrongConfig.selector, digest, report.configDigest));
    }

    function test_WrongPrevHash() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        report.prevHash = keccak256("other");
        _refused(report, abi.encodeWithSelector(IFleetOracle.WrongPrevHash.selector, bytes32(0), report.prevHash));
    }

    function test_WrongEpoch() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        post(report);
        _refused(report, abi.encodeWithSelector(IFleetOracle.WrongEpoch.selector, 70_001, 70_000));
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.WrongEpoch.selector, 70_001, 70_002));
        _oracle.declareGap(70_002);
    }

    function test_EpochNotOver() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        vm.warp(70_001 * EPOCH - 1);
        _refused(report, abi.encodeWithSelector(IFleetOracle.EpochNotOver.selector, 70_000));
    }

    /// A signature of one round is none of another; whichever round gets a quorum first settles the epoch.
    function test_roundsAreSignedApart() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes memory signatures = packed(_oracle.reportDigest(report), 2);
        report.round = 4;
        refuses(IFleetOracle.NotASigner.selector);
        _oracle.post(report, signatures);
        post(report);
        assertEq(_oracle.lastEpoch(), 70_000, "a later round");
        report.round = 5;
        _refused(report, abi.encodeWithSelector(IFleetOracle.WrongEpoch.selector, 70_001, 70_000));
    }

    function test_NotEnoughSignatures() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes memory one = packed(_oracle.reportDigest(report), 1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NotEnoughSignatures.selector, 2, 1));
        _oracle.post(report, one);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NotEnoughSignatures.selector, 2, 0));
        _oracle.post(report, "");
        bytes32 digest = keccak256("batch");
        bytes[] memory list = signed(digest, 1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NotEnoughSignatures.selector, 2, 1));
        _oracle.checkQuorum(digest, list);
    }

    /// Also the duplicate signer.
    function test_SignersNotAscending() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes32 digest = _oracle.reportDigest(report);
        (address first, address second) = (vm.addr(keys[0]), vm.addr(keys[1]));
        bytes memory one = packed(digest, 1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.SignersNotAscending.selector, first, first));
        _oracle.post(report, bytes.concat(one, one));
        bytes memory other = bytes.concat(bytes1(uint8(1)), compactOf(keys[1], digest));
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.SignersNotAscending.selector, second, first));
        _oracle.post(report, bytes.concat(other, one));
        bytes[] memory list = signed(digest, 2);
        list[1] = list[0];
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.SignersNotAscending.selector, first, first));
        _oracle.checkQuorum(digest, list);
    }

    function test_NotASigner() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes32 digest = _oracle.reportDigest(report);
        bytes memory list = bytes.concat(packed(digest, 1), bytes1(uint8(1)), compactOf(0xBAD, digest));
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NotASigner.selector, vm.addr(0xBAD)));
        _oracle.post(report, list);
        // one signer's signature in another's place
        list = bytes.concat(packed(digest, 1), bytes1(uint8(1)), compactOf(keys[2], digest));
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NotASigner.selector, vm.addr(keys[2])));
        _oracle.post(report, list);
        // signed for another report
        list = packed(keccak256("something else"), 2);
        refuses(IFleetOracle.NotASigner.selector);
        _oracle.post(report, list);
        bytes[] memory loose = signed(digest, 2);
        loose[1] = signatureOf(0xBAD, digest);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NotASigner.selector, vm.addr(0xBAD)));
        _oracle.checkQuorum(digest, loose);
    }

    /// Each signature has one form of 64 bytes and one of 65: no mirror, no other v, no other length.
    function test_BadSignature() public {
        bytes32 digest = keccak256("batch");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[1], digest);
        uint256 n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes32 mirror = bytes32(n - uint256(s));
        uint8 other = v == 27 ? 28 : 27;
        _badLoose(digest, abi.encodePacked(r, mirror, other));
        _badLoose(digest, abi.encodePacked(r, s, uint8(v - 27)));
        _badLoose(digest, abi.encodePacked(r, s, uint8(30)));
        _badLoose(digest, abi.encodePacked(r, s, v, uint8(0)));
        _badLoose(digest, abi.encodePacked(r));
        _badLoose(digest, "");
        bytes[] memory list = signed(digest, 2);
        _oracle.checkQuorum(digest, list);
        list[1] = compactOf(keys[1], digest);
        _oracle.checkQuorum(digest, list);
    }

    function test_badSignatureAmongPackedOnes() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes32 digest = _oracle.reportDigest(report);
        (, bytes32 r,) = vm.sign(keys[1], digest);
        bytes memory one = packed(digest, 1);
        bytes memory bad = abi.encodeWithSelector(IFleetOracle.BadSignature.selector, 1);
        // half the order plus one fits the 255 bits
        bytes memory high = abi.encodePacked(r, hex"7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1");
        vm.expectRevert(bad);
        _oracle.post(report, bytes.concat(one, bytes1(uint8(1)), high));
        vm.expectRevert(bad);
        _oracle.post(report, bytes.concat(one, bytes1(uint8(1)), new bytes(64)));
        vm.expectRevert(bad);
        _oracle.post(report, bytes.concat(one, bytes1(uint8(3)), compactOf(keys[1], digest)));
        vm.expectRevert(bad);
        _oracle.post(report, bytes.concat(one, bytes1(uint8(1))));
        _oracle.post(report, packed(digest, 2));
    }

    function _badLoose(bytes32 digest, bytes memory signature) private {
        bytes[] memory list = signed(digest, 2);
        list[1] = signature;
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.BadSignature.selector, 1));
        _oracle.checkQuorum(digest, list);
    }

    function test_BadPieces() public {
        bytes memory bad = abi.encodeWithSelector(IFleetOracle.BadPieces.selector, 1);
        IFleetOracle.FleetReport memory report = reportOf(1);
        report.series[0].pots[0].workEpoch = report.epoch + 1;
        _refused(report, bad);
        report.series[0].pots[0].workEpoch = report.epoch - 25;
        _refused(report, bad);
        report.series[0].pots = new IFleetOracle.Piece[](5);
        _refused(report, bad);
        report.series[0].pots = new IFleetOracle.Piece[](2);
        report.series[0].pots[0] = IFleetOracle.Piece(report.epoch, 1);
        report.series[0].pots[1] = IFleetOracle.Piece(report.epoch, 0);
        _refused(report, bad);
    }

    function test_SeriesNotAscending() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        IFleetOracle.SeriesReport memory one = report.series[0];
        report.series = new IFleetOracle.SeriesReport[](2);
        (report.series[0], report.series[1]) = (one, one);
        _refused(report, abi.encodeWithSelector(IFleetOracle.SeriesNotAscending.selector, 1));
        one.series = 0;
        _refused(report, abi.encodeWithSelector(IFleetOracle.SeriesNotAscending.selector, 0));
    }

    function test_UnknownSeries() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        report.series[0].series = 2;
        _refused(report, abi.encodeWithSelector(IFleetOracle.UnknownSeries.selector, 2));
    }

    function test_ReceiptsDoNotAddUp() public {
        IFleetOracle.FleetReport memory report = reportOf(100);
        report.receipts[0].sats = 101;
        _refused(report, abi.encodeWithSelector(IFleetOracle.ReceiptsDoNotAddUp.selector, 101, 100));
        report.series[0].deductions = 2;
        _refused(report, abi.encodeWithSelector(IFleetOracle.ReceiptsDoNotAddUp.selector, 101, 102));
    }

    function test_ObservedOutOfBounds() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        report.observedAt = uint40(block.timestamp + 10 minutes + 1);
        _refused(report, abi.encodeWithSelector(IFleetOracle.ObservedOutOfBounds.selector, report.observedAt));
        report.observedAt = uint40(70_001 * EPOCH - 1 days - 1);
        _refused(report, abi.encodeWithSelector(IFleetOracle.ObservedOutOfBounds.selector, report.observedAt));
    }

    function test_ZeroPrice() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        report.quotePerBtc = 0;
        _refused(report, abi.encodeWithSelector(IFleetOracle.ZeroPrice.selector));
    }

    function test_GapTooEarly() public {
        uint256 earliest = 70_001 * EPOCH + 1 days;
        vm.warp(earliest - 1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.GapTooEarly.selector, 70_000, earliest));
        _oracle.declareGap(70_000);
        skip(1);
        _oracle.declareGap(70_000);
        assertTrue(_oracle.settled(70_000), "settled");
        assertEq(_oracle.potOf(70_000), 0, "zero pot");
        assertEq(_oracle.reportHash(70_000), bytes32(0), "no report");
        // later pieces supplement the gap
        IFleetOracle.FleetReport memory report = reportOf(9);
        report.series[0].pots[0].workEpoch = 70_000;
        post(report);
        assertEq(_oracle.potOf(70_001), 9, "late proceeds");
    }

    function test_BadSignerSet() public {
        address[] memory list = new address[](2);
        (list[0], list[1]) = (address(2), address(1));
        vm.startPrank(operator);
        vm.expectRevert(IFleetOracle.BadSignerSet.selector);
        _oracle.setSigners(list, 2);
        (list[0], list[1]) = (address(1), address(2));
        vm.expectRevert(IFleetOracle.BadSignerSet.selector);
        _oracle.setSigners(list, 3);
        vm.expectRevert(IFleetOracle.BadSignerSet.selector);
        _oracle.setSigners(list, 1);
        vm.expectRevert(IFleetOracle.BadSignerSet.selector);
        _oracle.setSigners(new address[](32), 17);
        bytes32 before = _oracle.configDigest();
        _oracle.setSigners(list, 2);
        vm.stopPrank();
        assertTrue(_oracle.configDigest() != before, "config follows the set");
        assertTrue(!_oracle.isSigner(vm.addr(keys[0])), "the old set is out");
        assertEq(_oracle.signers().length, 2, "signers");
        refuses(bytes4(keccak256("AccessManagedUnauthorized(address)")));
        _oracle.setSigners(list, 2);
    }

    function test_BadFirstEpoch() public {
        address[] memory list = new address[](1);
        list[0] = address(1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.BadFirstEpoch.selector, epochNow() + 1));
        _new(list, epochNow() + 1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.BadFirstEpoch.selector, epochNow() - 2));
        _new(list, epochNow() - 2);
        _new(list, epochNow() - 1);
    }

    function _new(address[] memory list, uint32 first) private {
        new FleetOracle(address(this), address(this), address(quote), 1, list, 1, first);
    }
}
