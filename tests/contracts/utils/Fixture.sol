// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DemoQuote} from "../../../contracts/DemoQuote.sol";
import {IFleetOracle} from "../../../contracts/interfaces/IFleetOracle.sol";
import {ISeriesRegistry} from "../../../contracts/interfaces/ISeriesRegistry.sol";
import {Deploy} from "../../../scripts/deploy/Deploy.s.sol";
import {HashrateUnit} from "../../../contracts/tokens/HashrateUnit.sol";
import {Test} from "./Test.sol";

/// @title Fixture
/// @notice The whole system as the deployment script builds it from the demo's configuration, with known signer keys.
abstract contract Fixture is Test {
    Deploy.System internal sys;
    Deploy.Line internal line;
    DemoQuote internal quote;
    HashrateUnit internal unit;
    uint256[] internal keys;
    address internal operator;
    address internal guardian;

    function setUp() public virtual {
        vm.warp(70_000 * EPOCH + 100);
        string memory json = configuration();
        Deploy script = new Deploy();
        script.deploy(json, address(script));
        sys = script.system();
        line = script.line(0);
        quote = DemoQuote(sys.quote);
        unit = HashrateUnit(line.unit);
        operator = vm.parseJsonAddress(json, ".operator");
        guardian = vm.parseJsonAddress(json, ".guardian");
        _useKnownSigners();
    }

    /// @dev The deployment's configuration, without a bond; a test may change it.
    function configuration() internal view virtual returns (string memory) {
        return vm.replace(vm.readFile("scripts/deploy/dev.json"), "\"factor\": 3", "\"factor\": 0");
    }

    /// @dev Three keys whose addresses ascend, put in by the operator.
    function _useKnownSigners() private {
        address[] memory list = new address[](3);
        uint256 key = 1;
        for (uint256 i = 0; i < 3; ++key) {
            if (i > 0 && vm.addr(key) <= list[i - 1]) continue;
            list[i++] = vm.addr(key);
            keys.push(key);
        }
        vm.prank(operator);
        sys.fleetOracle.setSigners(list, 2);
        stakeFor(list);
    }

    function stakeFor(address[] memory list) internal {
        uint256 amount = sys.fleetOracle.minStake();
        quote.mint(address(this), amount * list.length);
        quote.approve(address(sys.fleetOracle), amount * list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            sys.fleetOracle.stake(list[i], amount);
        }
    }

    /// @notice The first `count` signers' signatures, packed as the oracle takes them.
    function packed(bytes32 digest, uint256 count) internal view returns (bytes memory list) {
        for (uint256 i = 0; i < count; ++i) {
            list = bytes.concat(list, bytes1(uint8(i)), compactOf(keys[i], digest));
        }
    }

    /// @notice EIP-2098.
    function compactOf(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    /// @notice Signatures of the first `count` signers.
    function signed(bytes32 digest, uint256 count) internal view returns (bytes[] memory list) {
        list = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            list[i] = signatureOf(keys[i], digest);
        }
    }

    function batchOf(uint96 units) internal view returns (ISeriesRegistry.Batch memory) {
        uint32 nonce = sys.seriesRegistry.batchCount(1);
        return
            ISeriesRegistry.Batch(1, 3, units, keccak256(abi.encode("machines", nonce)), keccak256("evidence"), nonce);
    }

    function registerUnits(uint96 units) internal virtual {
        ISeriesRegistry.Batch memory batch = batchOf(units);
        sys.seriesRegistry.registerBatch(batch, signed(sys.seriesRegistry.batchDigest(batch), 2));
    }

    /// @notice A report of the next epoch that pays `sats` for work of that epoch; 60,000 a BTC, 20 quote per H/s.
    function reportOf(uint64 sats) internal view returns (IFleetOracle.FleetReport memory report) {
        report.epoch = sys.fleetOracle.lastEpoch() + 1;
        report.prevHash = sys.fleetOracle.lastReportHash();
        report.configDigest = sys.fleetOracle.configDigest();
        report.quotePerBtc = 60_000e6;
        report.observedAt = uint40((uint256(report.epoch) + 1) * EPOCH);
        report.receipts = new IFleetOracle.Receipt[](1);
        report.receipts[0] = IFleetOracle.Receipt(keccak256("receipt"), 0, sats);
        report.series = new IFleetOracle.SeriesReport[](1);
        report.series[0].series = 1;
        report.series[0].work = uint128(100 * EPOCH);
        report.series[0].liveHashrate = 100;
        report.series[0].hardwarePrice = 2e22;
        report.series[0].pots = new IFleetOracle.Piece[](1);
        report.series[0].pots[0] = IFleetOracle.Piece(report.epoch, sats);
    }

    function post(IFleetOracle.FleetReport memory report) internal {
        uint256 needed = sys.fleetOracle.signaturesNeeded(report);
        sys.fleetOracle.post(report, packed(sys.fleetOracle.reportDigest(report), needed));
    }

    /// @notice Moves to just after the next unreported epoch, reports it and values it.
    function reportAndValue(uint64 sats) internal {
        IFleetOracle.FleetReport memory report = reportOf(sats);
        uint256 end = (uint256(report.epoch) + 1) * EPOCH;
        if (block.timestamp < end) vm.warp(end + 60);
        post(report);
        sys.fairValue.update(abi.encode(report));
    }

    function fund(address account, uint256 amount, address spender) internal {
        quote.mint(account, amount);
        vm.prank(account);
        quote.approve(spender, type(uint256).max);
    }
}
