// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ISeriesRegistry} from "../../../contracts/interfaces/ISeriesRegistry.sol";
import {ISeriesUpgrader} from "../../../contracts/interfaces/ISeriesUpgrader.sol";
import {SeriesRegistry} from "../../../contracts/SeriesRegistry.sol";
import {SeriesUpgrader} from "../../../contracts/SeriesUpgrader.sol";
import {Fixture} from "./Fixture.sol";

/// @title UpgradeFixture
/// @notice 100 units on the machines of one root, and an upgrade of them to 250 H/s for 990 of 1,000 USDC of scrap.
abstract contract UpgradeFixture is Fixture {
    SeriesRegistry internal registry;
    SeriesUpgrader internal upgrader;
    bytes32 internal oldRoot;
    address internal constant VENDOR = address(0x7E4D04);
    string internal constant MODEL = "S23";

    function setUp() public virtual override {
        super.setUp();
        registry = sys.seriesRegistry;
        upgrader = sys.seriesUpgrader;
        registerUnits(100e18);
        oldRoot = registry.series(1).lastMachineRoot;
        fund(operator, 1e15, address(upgrader));
    }

    function upgradeOf(bytes32 retired, bytes32 root) internal view returns (ISeriesUpgrader.Upgrade memory) {
        return ISeriesUpgrader.Upgrade({
            series: 1,
            nonce: upgrader.proposalCount(1),
            retiredRoot: retired,
            generation: registry.series(1).generation + 1,
            modelHash: keccak256(bytes(MODEL)),
            machineRoot: root,
            machines: 2,
            hashrate: 250,
            millijoulePerTerahash: 9500,
            serviceDate: uint40(block.timestamp + 1 days),
            opexPerUnit: uint64(12_000) << 32,
            initialValue: uint128(50_000) << 32,
            scrapPpm: 100_000,
            decayPpm: 10_000,
            discountPpm: 20_000,
            lifeEpochs: 3000,
            vendor: VENDOR,
            price: 990e6,
            scrap: 1000e6,
            evidence: keccak256("invoice")
        });
    }

    function standard() internal view returns (ISeriesUpgrader.Upgrade memory) {
        return upgradeOf(oldRoot, keccak256("second generation"));
    }

    function attested(ISeriesUpgrader.Upgrade memory u) internal view returns (bytes[] memory) {
        return signed(upgrader.upgradeDigest(u), 2);
    }

    function propose(ISeriesUpgrader.Upgrade memory u) internal {
        vm.prank(operator);
        upgrader.propose(u, MODEL);
    }

    function proposeAndWait(ISeriesUpgrader.Upgrade memory u) internal {
        propose(u);
        skip(72 hours);
    }

    /// @notice Proposes, waits and executes.
    function upgradeBy(ISeriesUpgrader.Upgrade memory u) internal {
        proposeAndWait(u);
        upgrader.execute(u, attested(u));
    }

    /// @notice Every token and venue in which a holder can own something.
    function holdersContracts() internal view returns (address[7] memory) {
        return [
            line.unit,
            address(sys.positionMarket),
            address(line.pool),
            line.pool.lpShare(),
            address(line.queue),
            line.queue.claimToken(),
            address(sys.payoutRegistry)
        ];
    }

    /// @notice Executes, and requires that no storage word of those was written.
    function executeTouchingNobody(ISeriesUpgrader.Upgrade memory u) internal {
        bytes[] memory signatures = attested(u);
        vm.record();
        upgrader.execute(u, signatures);
        address[7] memory list = holdersContracts();
        for (uint256 i = 0; i < list.length; ++i) {
            (, bytes32[] memory writes) = vm.accesses(list[i]);
            assertEq(writes.length, 0, "a holder's contract was written");
        }
        (, bytes32[] memory own) = vm.accesses(address(registry));
        assertTrue(own.length != 0, "the recording works");
    }

    /// @notice A second series with 50 units on a root of its own.
    function secondSeries(bytes32 root) internal returns (uint16 id) {
        vm.prank(operator);
        (id,) = registry.createSeries(
            ISeriesRegistry.SeriesParams(1, 1, 10, 1, uint40(block.timestamp), 0, address(0), "m", "n", "S2")
        );
        ISeriesRegistry.Batch memory batch = ISeriesRegistry.Batch(id, 1, 50e18, root, 0, 0);
        registry.registerBatch(batch, signed(registry.batchDigest(batch), 2));
    }
}
