// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {ISeriesRegistry} from "../../contracts/interfaces/ISeriesRegistry.sol";
import {IStoppable} from "../../contracts/interfaces/IStoppable.sol";
import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {SeriesRegistry} from "../../contracts/SeriesRegistry.sol";
import {HashrateUnit} from "../../contracts/tokens/HashrateUnit.sol";
import {Fixture} from "./utils/Fixture.sol";
import {HostilePolicy} from "./utils/Mocks.sol";

contract RegistryTest is Fixture {
    SeriesRegistry private _registry;

    function setUp() public override {
        super.setUp();
        _registry = sys.seriesRegistry;
    }

    function test_batchMintsToTheSale() public {
        registerUnits(60e18);
        registerUnits(40e18);
        ISeriesRegistry.Series memory s = _registry.series(1);
        assertEq(s.backedUnits, 100e18, "backed");
        assertEq(unit.totalSupply(), 100e18, "supply");
        assertEq(unit.balanceOf(address(sys.primarySale)), 100e18, "held by the sale");
        assertEq(s.machines, 6, "machines");
        assertEq(_registry.batchCount(1), 2, "batches");
        skip(EPOCH);
        // minted 100 s into the epoch
        assertEq(unit.totalBalanceSeconds(70_000), 100e18 * (EPOCH - 100), "weighs from its second");
    }

    function test_wrongSigner() public {
        ISeriesRegistry.Batch memory batch = batchOf(1e18);
        bytes[] memory list = signed(_registry.batchDigest(batch), 2);
        list[1] = signatureOf(0xBAD, _registry.batchDigest(batch));
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NotASigner.selector, vm.addr(0xBAD)));
        _registry.registerBatch(batch, list);
        batch.units = 2e18;
        list = signed(_registry.batchDigest(batchOf(1e18)), 2);
        refuses(IFleetOracle.NotASigner.selector);
        _registry.registerBatch(batch, list);
    }

    function test_WrongNonce() public {
        ISeriesRegistry.Batch memory batch = batchOf(1e18);
        bytes[] memory list = signed(_registry.batchDigest(batch), 2);
        _registry.registerBatch(batch, list);
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.WrongNonce.selector, 1, 0));
        _registry.registerBatch(batch, list);
    }

    function test_UnknownSeries() public {
        ISeriesRegistry.Batch memory batch = batchOf(1e18);
        batch.series = 2;
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.UnknownSeries.selector, 2));
        _registry.registerBatch(batch, new bytes[](2));
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.UnknownSeries.selector, 2));
        _registry.series(2);
    }

    function test_EmptyBatch() public {
        ISeriesRegistry.Batch memory batch = batchOf(0);
        vm.expectRevert(ISeriesRegistry.EmptyBatch.selector);
        _registry.registerBatch(batch, new bytes[](2));
        batch = batchOf(1);
        batch.machines = 0;
        vm.expectRevert(ISeriesRegistry.EmptyBatch.selector);
        _registry.registerBatch(batch, new bytes[](2));
    }

    function _params() private pure returns (ISeriesRegistry.SeriesParams memory) {
        return ISeriesRegistry.SeriesParams(2, 1, 1000, 1, 0, 0, address(0), "model", "name", "SYM");
    }

    function test_UnknownAlgorithm() public {
        ISeriesRegistry.SeriesParams memory params = _params();
        vm.startPrank(operator);
        params.algorithm = 5;
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.UnknownAlgorithm.selector, 5));
        _registry.createSeries(params);
        params.algorithm = 0;
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.UnknownAlgorithm.selector, 0));
        _registry.createSeries(params);
        vm.stopPrank();
    }

    function test_ZeroHashrate() public {
        ISeriesRegistry.SeriesParams memory params = _params();
        params.hashratePerUnit = 0;
        vm.expectRevert(ISeriesRegistry.ZeroHashrate.selector);
        vm.prank(operator);
        _registry.createSeries(params);
    }

    function test_onlyTheOperatorCreates() public {
        refuses(bytes4(keccak256("AccessManagedUnauthorized(address)")));
        _registry.createSeries(_params());
        vm.prank(operator);
        (uint16 id, address token) = _registry.createSeries(_params());
        assertEq(id, 2, "id");
        assertEq(HashrateUnit(token).minter(), address(_registry), "minter");
    }

    function test_guardianStopsMintOnly() public {
        refuses(bytes4(keccak256("AccessManagedUnauthorized(address)")));
        _registry.setStopped(true);
        vm.prank(guardian);
        _registry.setStopped(true);
        ISeriesRegistry.Batch memory batch = batchOf(1e18);
        bytes[] memory list = signed(_registry.batchDigest(batch), 2);
        vm.expectRevert(IStoppable.Stopped.selector);
        _registry.registerBatch(batch, list);
        vm.prank(guardian);
        _registry.setStopped(false);
        _registry.registerBatch(batch, list);
    }

    /// A hostile policy stops a transfer between holders, but no way out.
    function test_policyCannotStopAnExit() public {
        HostilePolicy policy = new HostilePolicy();
        ISeriesRegistry.SeriesParams memory params = _params();
        params.policy = address(policy);
        vm.startPrank(operator);
        (uint16 id, address token) = _registry.createSeries(params);
        _registry.addVenue(address(0x9001));
        vm.stopPrank();
        ISeriesRegistry.Batch memory batch = batchOf(10e18);
        (batch.series, batch.nonce, batch.machineRoot) = (id, 0, keccak256("others"));
        _registry.registerBatch(batch, signed(_registry.batchDigest(batch), 2));
        HashrateUnit u = HashrateUnit(token);
        address sale = address(sys.primarySale);
        vm.prank(sale);
        u.transfer(address(0x9001), 10e18);
        // a venue sends to a holder, a holder sends to a venue, a venue settles between holders
        vm.prank(address(0x9001));
        u.transfer(actor(1), 10e18);
        for (uint256 i = 0; i < 2; ++i) {
            policy.set(i == 1);
            vm.prank(actor(1));
            u.transfer(address(0x9001), 1e18);
            vm.prank(actor(1));
            u.approve(address(0x9001), 1e18);
            vm.prank(address(0x9001));
            u.transferFrom(actor(1), actor(2), 1e18);
        }
        policy.set(false);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.ReceiverRefused.selector, actor(2)));
        vm.prank(actor(1));
        u.transfer(actor(2), 1);
    }

    function test_onlyTheRegistryMints() public {
        refuses(ITwabToken.OnlyMinter.selector);
        unit.mint(address(this), 1);
    }
}
