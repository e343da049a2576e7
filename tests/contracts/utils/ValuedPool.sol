// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {BuybackPool} from "../../../contracts/BuybackPool.sol";
import {DemoQuote} from "../../../contracts/DemoQuote.sol";
import {ExitQueue} from "../../../contracts/ExitQueue.sol";
import {FairValue} from "../../../contracts/FairValue.sol";
import {PoolBooks} from "../../../contracts/PoolBooks.sol";
import {IFairValue} from "../../../contracts/interfaces/IFairValue.sol";
import {IFleetOracle} from "../../../contracts/interfaces/IFleetOracle.sol";
import {HashrateUnit} from "../../../contracts/tokens/HashrateUnit.sol";
import {LpShare} from "../../../contracts/tokens/LpShare.sol";
import {FixedSeries} from "./Mocks.sol";
import {Test} from "./Test.sol";

/// @title ValuedPool
/// @notice Real pool, queue, unit and fair value; reports as a test writes them. One unit is worth 20 quote when new.
abstract contract ValuedPool is Test {
    uint256 internal constant NEW = 20e6;
    uint64 internal constant BTC = 60_000e6;
    address internal constant FIRST_LOSS = address(0xF1257);
    address internal constant LP = address(0x19);
    address internal constant SELLER = address(0x5E11E4);
    address internal constant HOLDER = address(0x401DE4);

    FixedSeries internal chain;
    HashrateUnit internal unit;
    DemoQuote internal quote;
    FairValue internal values;
    BuybackPool internal pool;
    ExitQueue internal queue;

    function setUp() public virtual {
        vm.warp(70_000 * EPOCH + 100);
        AccessManager manager = new AccessManager(address(this));
        unit = new HashrateUnit(address(this), address(0), "Unit", "UNIT");
        quote = new DemoQuote();
        chain = new FixedSeries(address(unit));
        values = new FairValue(address(manager), address(chain), address(chain));
        // two years at 0.3 per mille an epoch: what a unit earns is worth 20 quote when new
        values.setParams(1, IFairValue.Params(33_333 << 32, 100_000, 13_600, 300, 2190));
        pool = new BuybackPool(address(manager), poolConfig());
        queue = ExitQueue(pool.queue());
        address[4] memory all = [FIRST_LOSS, LP, SELLER, HOLDER];
        for (uint256 i = 0; i < 4; ++i) {
            unit.mint(all[i], 10_000_000e18);
            quote.mint(all[i], 1e15);
            vm.startPrank(all[i]);
            unit.approve(address(pool), type(uint256).max);
            unit.approve(address(queue), type(uint256).max);
            quote.approve(address(pool), type(uint256).max);
            vm.stopPrank();
        }
    }

    function poolConfig() internal view virtual returns (PoolBooks.Config memory) {
        return PoolBooks.Config({
            seriesId: 1,
            unit: address(unit),
            quoteToken: address(quote),
            fairValue: address(values),
            ledger: address(chain),
            firstLoss: FIRST_LOSS,
            feePpm: 5000,
            skewPpm: 100_000,
            askSkewPpm: 2500,
            outflowPpm: 50_000,
            firstLossPpm: 0,
            name: "TST"
        });
    }

    /// @notice Reports the past epoch: income in proportion to `worth` (quote units a unit), hardware at `hardware` (zero:
    /// nobody quoted).
    function report(uint256 worth, uint256 hardware) internal {
        IFleetOracle.FleetReport memory r;
        r.epoch = epochNow() - 1;
        r.prevHash = chain.lastReportHash();
        r.quotePerBtc = BTC;
        r.observedAt = uint40(uint256(epochNow()) * EPOCH);
        r.series = new IFleetOracle.SeriesReport[](1);
        r.series[0].series = 1;
        r.series[0].work = uint128(1e6 * EPOCH);
        r.series[0].hardwarePrice = uint128(hardware * 1e15);
        r.series[0].pots = new IFleetOracle.Piece[](1);
        // for a million units, so that D is what they are worth: 19.676 sats a unit and epoch when new; scrap in two
        // years is worth 5.18 % of that
        uint256 earns = 20_751_000 * worth / NEW;
        r.series[0].pots[0] = IFleetOracle.Piece(r.epoch, uint64(earns > 1_075_000 ? earns - 1_075_000 : 0));
        chain.report(r.epoch, keccak256(abi.encode(r)));
        values.update(abi.encode(r));
    }

    function nextEpoch(uint256 worth, uint256 hardware) internal {
        vm.warp((uint256(epochNow()) + 1) * EPOCH + 60);
        report(worth, hardware);
    }

    function deposit(address who, uint256 amount) internal {
        if (amount == 0) return;
        vm.prank(who);
        pool.deposit(amount);
    }

    function shares() internal view returns (LpShare) {
        return LpShare(pool.lpShare());
    }
}
