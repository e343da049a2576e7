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
        bytes[] memory signatures = signed(_oracle.reportDigest(report), 2);
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

    function test_structHashMatchesAnIndependentOne() public view {
        IFleetOracle.FleetReport memory r = reportOf(5);
        bytes32 piece = keccak256(abi.encode(keccak256("Piece(uint32 workEpoch,uint64 sats)"), r.epoch, uint64(5)));
        bytes32 receipt = keccak256(
            abi.encode(keccak256("Receipt(bytes32 txid,uint32 vout,uint64 sats)"), keccak256("receipt"), 0, 5)
        );
        string memory seriesType =
            "SeriesReport(uint16 series,Piece[] pots,uint128 work,uint128 liveHashrate,uint128 hardwarePrice,uint64 deductions)";
        string memory pieceType = "Piece(uint32 workEpoch,uint64 sats)";
        bytes32 series = keccak256(
            abi.encode(
                keccak256(bytes(string.concat(seriesType, pieceType))),
                1,
                keccak256(abi.encode(piece)),
                100 * EPOCH,
                100,
                uint256(2e22),
                0
            )
        );
        string memory reportType =
            "FleetReport(uint32 epoch,uint16 round,bytes32 prevHash,bytes32 configDigest,uint64 quotePerBtc,uint32 quoteSpread,uint40 observedAt,Receipt[] receipts,SeriesReport[] series,bytes32 evidenceRoot)";
        bytes32 typeHash = keccak256(
            bytes(string.concat(reportType, pieceType, "Receipt(bytes32 txid,uint32 vout,uint64 sats)", seriesType))
        );
        bytes memory head = abi.encode(typeHash, r.epoch, 0, r.prevHash, r.configDigest, r.quotePerBtc, 0, r.observedAt);
        bytes32 inner = keccak256(
            abi.encodePacked(head, keccak256(abi.encode(receipt)), keccak256(abi.encode(series)), bytes32(0))
        );
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

    function test_WrongRound() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        report.round = 1;
        _refused(report, abi.encodeWithSelector(IFleetOracle.WrongRound.selector, 1));
    }

    function test_NotEnoughSignatures() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes[] memory one = signed(_oracle.reportDigest(report), 1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NotEnoughSignatures.selector, 2, 1));
        _oracle.post(report, one);
    }

    function test_SignersNotAscending() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes[] memory list = signed(_oracle.reportDigest(report), 2);
        address first = vm.addr(keys[0]);
        list[1] = list[0];
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.SignersNotAscending.selector, first, first));
        _oracle.post(report, list);
        list[0] = signatureOf(keys[1], _oracle.reportDigest(report));
        refuses(IFleetOracle.SignersNotAscending.selector);
        _oracle.post(report, list);
    }

    function test_NotASigner() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes[] memory list = signed(_oracle.reportDigest(report), 2);
        list[1] = signatureOf(0xBAD, _oracle.reportDigest(report));
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NotASigner.selector, vm.addr(0xBAD)));
        _oracle.post(report, list);
        // signed for another report
        report.quotePerBtc += 1;
        list = signed(keccak256("something else"), 2);
        refuses(IFleetOracle.NotASigner.selector);
        _oracle.post(report, list);
    }

    function test_BadSignature() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes[] memory list = signed(_oracle.reportDigest(report), 2);
        bytes memory good = list[1];
        list[1] = "";
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.BadSignature.selector, 1));
        _oracle.post(report, list);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[1], _oracle.reportDigest(report));
        // the mirror signature, with s above half the order
        uint256 n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        list[1] = abi.encodePacked(r, n - uint256(s), v == 27 ? uint8(28) : uint8(27));
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.BadSignature.selector, 1));
        _oracle.post(report, list);
        list[1] = abi.encodePacked(r, s, uint8(30));
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.BadSignature.selector, 1));
        _oracle.post(report, list);
        list[1] = good;
        _oracle.post(report, list);
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
        new FleetOracle(address(this), address(this), list, 1, epochNow() + 1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.BadFirstEpoch.selector, epochNow() - 2));
        new FleetOracle(address(this), address(this), list, 1, epochNow() - 2);
        new FleetOracle(address(this), address(this), list, 1, epochNow() - 1);
    }
}
